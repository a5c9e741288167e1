import Flows
import Foundation
import Glibc
import Testing

@testable import FlowStore

@Suite("opening a store")
struct OpeningTests {
  private static func mode(_ path: String) throws -> Int {
    try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
  }

  @Test("a new store is for its owner alone, in all its files")
  func modes() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: 1), into: &log)
    try store.commit()
    for suffix in ["", "-wal", "-shm", ".lock"] { #expect(try Self.mode(folder.path() + suffix) == 0o600) }
    let reader = try FlowReader(path: folder.path())
    #expect(try store.setting("journal_mode") == "wal")
    #expect(try reader.value("pragma page_size") == 16_384)
    #expect(try reader.value("pragma application_id") == .integer(Int64(FileHeader.ours)))
    #expect(try reader.value("pragma user_version") == .integer(Int64(Schema.version)))
  }

  @Test("a new store that is to be filled says that it holds nothing, also before it is made, and then what it holds")
  func blank() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path(), firstFill: .repeatable)
    #expect(try store.logs().isEmpty && store.lastTally() == 0 && store.policyText == nil && store.facts().logs.isEmpty)
    try store.setPolicy(text: "version: 1", file: "egress.yaml")
    #expect(try store.policyText == "version: 1")
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: 3), into: &log)
    #expect(try store.logs().map(\.path) == ["a.log"])
    store.close()
    #expect(throws: StoreError.self) { try store.logs() }
  }

  @Test("a new store that nobody asks for anything is made all the same", arguments: [FirstFill.durable, .repeatable])
  func unused(firstFill: FirstFill) throws {
    let folder = try ScratchFolder()
    do { _ = try FlowStore(path: folder.path(), firstFill: firstFill) }
    let reader = try FlowReader(path: folder.path())
    #expect(try reader.value("pragma user_version") == .integer(Int64(Schema.version)))
    #expect(try FileHeader(path: folder.path())?.applicationID == FileHeader.ours)
  }

  @Test("what keeps a new store from being made is told to all who ask it for something, and its lock is given back")
  func unmakeable() throws {
    let folder = try ScratchFolder()
    // In the place of SQLite's journal.
    try FileManager.default.createDirectory(atPath: folder.path() + "-journal", withIntermediateDirectories: false)
    let store = try FlowStore(path: folder.path(), firstFill: .repeatable)
    for _ in 1...2 { #expect(throws: StoreError.self) { try store.begin() } }
    #expect(throws: StoreError.self) { try store.logs() }
    #expect(throws: StoreError.self) { try FlowStore(path: folder.path(), firstFill: .durable).begin() }
    store.settle()
    store.close()
    try FileManager.default.removeItem(atPath: folder.path() + "-journal")
    try FlowStore(path: folder.path(), firstFill: .repeatable).begin()
  }

  @Test("a second writer is told who the first is, under every name of the file, and comes in when it ends")
  func locked() throws {
    let folder = try ScratchFolder()
    let first = try FlowStore(path: folder.path())
    try FileManager.default.createSymbolicLink(atPath: folder.path("link.db"), withDestinationPath: folder.path())
    for path in [folder.path(), folder.path("link.db")] {
      #expect(throws: StoreError.locked(path: first.path, pid: getpid())) { try FlowStore(path: path) }
    }
    let waiting = ContinuousClock.now
    #expect(throws: StoreError.self) { try FlowStore(path: folder.path(), wait: .milliseconds(60)) }
    #expect(ContinuousClock.now - waiting >= .milliseconds(60))
    first.close()
    try FlowStore(path: folder.path()).close()
  }

  @Test("a waiting writer comes in as soon as the first ends")
  func waits() async throws {
    let folder = try ScratchFolder()
    let first = try FlowStore(path: folder.path())
    let path = folder.path()
    let second = Task.detached { try FlowStore(path: path, wait: .seconds(30)).path }
    first.close()
    #expect(try await second.value == first.path)
  }

  @Test("another process's lock is respected, and gone when it is killed")
  func otherProcess() throws {
    let folder = try ScratchFolder()
    try FlowStore(path: folder.path()).close()
    let holder = Process()
    holder.executableURL = URL(fileURLWithPath: "/usr/bin/flock")
    holder.arguments = ["--exclusive", "--no-fork", folder.path() + ".lock", "sh", "-c", "echo held; exec cat"]
    guard FileManager.default.isExecutableFile(atPath: "/usr/bin/flock") else { return }
    let input = Pipe()
    let output = Pipe()
    holder.standardInput = input
    holder.standardOutput = output
    try holder.run()
    #expect(output.fileHandleForReading.availableData == Data("held\n".utf8))
    #expect(throws: StoreError.self) { try FlowStore(path: folder.path()) }
    kill(holder.processIdentifier, SIGKILL)
    holder.waitUntilExit()
    try FlowStore(path: folder.path()).close()
  }

  @Test("readers work beside a writer and see each commit")
  func readerBesideWriter() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    let reader = try FlowReader(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    for round in 1...3 {
      try store.store(maker.batch(count: 10), into: &log)
      #expect(try reader.value("select count(*) from flow") == .integer(Int64(10 * (round - 1))))
      try store.commit()
      #expect(try reader.value("select count(*) from flow") == .integer(Int64(10 * round)))
    }
    // A reader that outlives the writer, and one that opens after it, leave the file as it is.
    store.close()
    let before = try Data(contentsOf: URL(fileURLWithPath: folder.path()))
    #expect(try reader.value("select count(*) from flow") == 30)
    reader.close()
    #expect(try FlowReader(path: folder.path()).value("select count(*) from flow") == 30)
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder.path())) == before)
  }

  @Test("readers on other threads only ever see whole commits")
  func concurrentReaders() async throws {
    let folder = try ScratchFolder()
    let path = folder.path()
    let store = try FlowStore(path: path)
    let readers = (0..<2).map { _ in
      Task.detached {
        let reader = try FlowReader(path: path)
        var last: Int64 = -1
        while last < 5_000 {
          let row = try reader.rows(
            """
            select (select count(*) from flow), coalesce((select stored from log), 0),
              (select count(*) * 100 from line_mark), (select coalesce(sum(count), 0) from line_count)
            """
          ).rows[0]
          #expect(Set(row).count == 1, "one transaction, one answer")
          let count = try #require(row[0].integer)
          #expect(count >= last)
          last = count
        }
        return last
      }
    }
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    for _ in 0..<50 {
      try store.store(maker.batch(count: 100), into: &log)
      try store.commit()
    }
    for reader in readers { #expect(try await reader.value == 5_000) }
    store.close()
    #expect(try FlowReader(path: path).check() == [])
  }

  @Test("a file that is no database, or another program's, is named and left as it was")
  func foreign() throws {
    let folder = try ScratchFolder()
    let text = Data(String(repeating: "10.80.3.11 - - [01/Nov/2026] \"GET /\"\n", count: 10).utf8)
    try text.write(to: URL(fileURLWithPath: folder.path("access.log")))
    try Data("x".utf8).write(to: URL(fileURLWithPath: folder.path("short")))
    try Data("SQLite format 3\u{0}".utf8).write(to: URL(fileURLWithPath: folder.path("cut.db")))
    for name in ["access.log", "short", "cut.db"] {
      let before = try Data(contentsOf: URL(fileURLWithPath: folder.path(name)))
      #expect(throws: StoreError.notADatabase(path: folder.path(name))) { try FlowStore(path: folder.path(name)) }
      #expect(throws: StoreError.notADatabase(path: folder.path(name))) { try FlowReader(path: folder.path(name)) }
      #expect(try Data(contentsOf: URL(fileURLWithPath: folder.path(name))) == before)
      #expect(!FileManager.default.fileExists(atPath: folder.path(name) + ".lock"))
    }
    let isFolder = StoreError.file(
      path: folder.url.path,
      reason: "is a folder; the database is a file, for example \(folder.url.path)/gatewatch.db")
    #expect(throws: isFolder) { try FlowStore(path: folder.url.path) }
    // The copy of a store whose application id is another's.
    try FlowStore(path: folder.path()).close()
    var bytes = try Data(contentsOf: URL(fileURLWithPath: folder.path()))
    bytes[68] = 0
    try bytes.write(to: URL(fileURLWithPath: folder.path("other.db")))
    #expect(throws: StoreError.notAStore(path: folder.path("other.db"))) {
      try FlowStore(path: folder.path("other.db"))
    }
    #expect(throws: StoreError.notAStore(path: folder.path("other.db"))) {
      try FlowReader(path: folder.path("other.db"))
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder.path("other.db"))) == bytes)
  }

  @Test("a damaged file is an error, not a crash")
  func damaged() throws {
    let folder = try ScratchFolder()
    try FlowStore(path: folder.path()).close()
    var bytes = try Data(contentsOf: URL(fileURLWithPath: folder.path()))
    for index in 100..<bytes.count { bytes[index] = UInt8(truncatingIfNeeded: index &* 31) }
    try bytes.write(to: URL(fileURLWithPath: folder.path()))
    #expect(throws: StoreError.self) { try FlowStore(path: folder.path()) }
    #expect(throws: StoreError.self) { try FlowReader(path: folder.path()).check() }
  }

  @Test("a newer schema is refused by writer and reader, and the file is left as it was")
  func newer() throws {
    let folder = try ScratchFolder()
    try FlowStore(path: folder.path()).close()
    var bytes = try Data(contentsOf: URL(fileURLWithPath: folder.path()))
    bytes[63] = 200
    try bytes.write(to: URL(fileURLWithPath: folder.path()))
    let error = StoreError.newerSchema(path: folder.path(), found: 200, known: Schema.version)
    #expect(throws: error) { try FlowStore(path: folder.path()) }
    #expect(throws: error) { try FlowReader(path: folder.path()) }
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder.path())) == bytes)
    #expect(error.description.contains("update gatewatch"))
  }

  @Test("a reader never creates a store")
  func missing() throws {
    let folder = try ScratchFolder()
    #expect(throws: StoreError.missing(path: folder.path())) { try FlowReader(path: folder.path()) }
    #expect(!FileManager.default.fileExists(atPath: folder.path()))
    try Data().write(to: URL(fileURLWithPath: folder.path()))
    #expect(throws: StoreError.missing(path: folder.path())) { try FlowReader(path: folder.path()) }
    // An empty file is nobody's: what an interrupted first run leaves.
    try FlowStore(path: folder.path()).close()
    #expect(try FlowReader(path: folder.path()).value("select count(*) from flow") == 0)
  }

  @Test("the program carries every file of Queries/Schema and Queries/Views, as it stands there")
  func embedded() throws {
    let queries = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appending(path: "../../Queries").standardized
    var onDisk: [String: String] = [:]
    for folder in ["Schema", "Views"] {
      let names = try FileManager.default.contentsOfDirectory(atPath: queries.appending(path: folder).path)
      for name in names where name.hasSuffix(".sql") {
        onDisk["\(folder)/\(name)"] = try String(
          contentsOf: queries.appending(path: "\(folder)/\(name)"), encoding: .utf8)
      }
    }
    let carried = Dictionary(uniqueKeysWithValues: EmbeddedQueries.all.map { ($0.name, $0.sql) })
    #expect(
      carried.mapValues { $0.trimmingCharacters(in: .newlines) }
        == onDisk.mapValues { $0.trimmingCharacters(in: .newlines) })
    #expect(Schema.steps.map(\.version) == Array(1...Schema.steps.count), "a step for each version, in order")
  }

  @Test("views that another version left are made anew by a writer and overlaid by a reader")
  func views() throws {
    let folder = try ScratchFolder()
    do {
      let store = try FlowStore(path: folder.path())
      var maker = BatchMaker()
      var log = LogRecord(path: "a.log")
      try store.store(maker.batch(count: 2), into: &log)
      try store.write("test") { db throws(StoreError) in
        try db.run("drop view bypass_flow")
        try db.run("drop view flows")
        try db.run("create view flows as select 'old' as old")
        try db.run("create view gone as select 1 as one")
        try db.run("update meta set value = 'old' where key = 'views'")
      }
      try store.commit()
      store.close()
    }
    let before = try Data(contentsOf: URL(fileURLWithPath: folder.path()))
    do {
      let reader = try FlowReader(path: folder.path())
      #expect(try reader.value("select count(host) from flows") == 2)
      #expect(try reader.value("select count(*) from bypass_flow") == 0)
      reader.close()
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder.path())) == before)
    try FlowStore(path: folder.path()).close()
    let reader = try FlowReader(path: folder.path())
    #expect(try reader.value("select count(host) from flows") == 2)
    #expect(try reader.value("select count(*) from sqlite_schema where name = 'gone'") == 0)
  }

  @Test("a folder that cannot be written to is an error that says so", .enabled(if: geteuid() != 0))
  func readOnlyFolder() throws {
    let folder = try ScratchFolder()
    try FlowStore(path: folder.path()).close()
    try FileManager.default.setAttributes([.posixPermissions: 0o500], ofItemAtPath: folder.url.path)
    #expect(throws: StoreError.self) { try FlowStore(path: folder.path("new.db")) }
    #expect(throws: StoreError.self) { try FlowReader(path: folder.path()) }
  }

  @Test("a folder in which nobody can make files is an error that says so")
  func unwritableFolder() {
    do {
      _ = try FlowStore(path: "/proc/gatewatch.db")
      Issue.record("opened")
    } catch {
      #expect(error.description.hasPrefix("/proc/gatewatch.db.lock: cannot make the lock file beside the database: "))
    }
  }

  @Test("a folder that is not there is an error that says so")
  func noFolder() throws {
    let folder = try ScratchFolder()
    let path = folder.path("missing/flows.db")
    do {
      _ = try FlowStore(path: path)
      Issue.record("opened")
    } catch {
      #expect(error.description.contains("No such file or directory"))
      #expect(error.description.contains(path))
    }
  }
}
