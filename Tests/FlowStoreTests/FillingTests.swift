import Dispatch
import Foundation
import GRDB
import Testing

@testable import FlowStore

/// A store whose lines can be read again is filled without waiting for the disk; where the machine stops meanwhile, nobody
/// believes what is left.
@Suite("A new store that is filled without waiting for the disk")
final class FillingTests {
  private let folder: ScratchFolder
  private var maker = BatchMaker()
  private var log = LogRecord(path: "a.log")

  init() throws { folder = try ScratchFolder() }

  private func open(
    _ name: String = "flows.db", _ firstFill: FirstFill? = .repeatable, in run: String? = "this run"
  ) throws -> FlowStore {
    try FlowStore(path: folder.path(name), firstFill: firstFill, run: run)
  }

  private func append(_ count: Int, to store: FlowStore) throws {
    try store.store(maker.batch(count: count), into: &log)
    try store.commit()
  }

  /// The files of a store as another program, or another start of the machine, would find them now.
  private func copy(to name: String) throws {
    for suffix in ["", "-journal", "-wal"] {
      let from = folder.path() + suffix
      guard FileManager.default.fileExists(atPath: from) else { continue }
      try FileManager.default.copyItem(atPath: from, toPath: folder.path(name) + suffix)
    }
  }

  private func isMarked(_ name: String = "flows.db") throws -> Bool {
    try #require(try FileHeader(path: folder.path(name))).isFilling
  }

  @Test("waits for no disk, says so in its header, and does neither any more once it is durable")
  func durable() throws {
    let store = try open()
    #expect(try store.setting("synchronous") == "0" && isMarked())
    try append(100, to: store)
    #expect(try isMarked())
    try store.makeDurable()
    #expect(try store.setting("synchronous") == "2" && !isMarked())
    #expect(try store.setting("journal_mode") == "truncate")
    try append(100, to: store)
    try store.makeDurable()
    store.close()
    let left = try DatabaseQueue(path: folder.path()).read {
      try Int.fetchOne($0, sql: "select count(*) from meta where key = 'filling'")
    }
    #expect(left == 0)
    #expect(try open(in: "another run").logs().map(\.lines) == [200])
  }

  @Test("is durable when it is closed or gets a write-ahead log, not in the middle of a transaction")
  func closed() throws {
    var store = try open()
    try store.store(maker.batch(count: 10), into: &log)
    try store.makeDurable()
    store.settle()
    #expect(try isMarked())
    try store.commit()
    store.settle()
    #expect(try !isMarked() && store.setting("journal_mode") == "wal")
    store.close()
    (maker, log) = (BatchMaker(), LogRecord(path: "b.log"))
    store = try open("b.db")
    try append(10, to: store)
    store.close()
    #expect(try !isMarked("b.db"))
  }

  @Test(
    "is synced like any other where its lines come once, where no run of the machine is known, and where it is not new")
  func others() throws {
    #expect(try open("a.db", .durable).setting("synchronous") == "2" && !isMarked("a.db"))
    #expect(try open("b.db", in: nil).setting("synchronous") == "2" && !isMarked("b.db"))
    #expect(try open("c.db", nil).setting("synchronous") == "1" && !isMarked("c.db"))
    #expect(try open("c.db").setting("journal_mode") == "wal" && !isMarked("c.db"))
  }

  @Test("waits for the disk from a certain size on")
  func large() throws {
    let store = try open()
    try append(10, to: store)
    store.mostUnsynced = Int64(try Data(contentsOf: URL(fileURLWithPath: folder.path())).count + 300_000)
    try append(10, to: store)
    #expect(try isMarked())
    try append(20_000, to: store)
    #expect(try !isMarked() && store.setting("synchronous") == "2" && store.setting("journal_mode") == "truncate")
  }

  /// Nobody who reads or writes believes the store.
  private func expectRefusal(_ name: String, in run: String? = "another run") {
    let refusal = StoreError.interrupted(path: folder.path(name))
    #expect(throws: refusal) { try FlowReader(path: self.folder.path(name)) }
    for firstFill in [FirstFill?.none, .durable, .repeatable] {
      #expect(throws: refusal) { try self.open(name, firstFill, in: run) }
    }
  }

  @Test("is read while it is filled, and when its writer was killed, in the same run of the machine")
  func read() throws {
    let store = try open(in: Filling.machineRun())
    try append(3000, to: store)
    try store.store(maker.batch(count: 10), into: &log)
    #expect(try isMarked() && FlowReader(path: folder.path()).value("select count(*) from flow") == 3000)
    try copy(to: "killed.db")
    #expect(try FlowReader(path: folder.path("killed.db")).value("select count(*) from flow") == 3000)
    #expect(try isMarked("killed.db"))
    let next = try open("killed.db", in: Filling.machineRun())
    #expect(try next.logs().map(\.lines) == [3000] && !isMarked("killed.db"))
    #expect(try next.setting("journal_mode") == "wal")
  }

  @Test("is gone on with beside somebody who reads it")
  func goneOnWith() throws {
    let store = try open(in: Filling.machineRun())
    try append(3000, to: store)
    try copy(to: "killed.db")
    let reader = try FlowReader(path: folder.path("killed.db"))
    let group = DispatchGroup()
    let path = folder.path("killed.db")
    var isFirst = true
    try reader.query("select id from flow order by id limit 10") { _ in
      guard isFirst else { return }
      isFirst = false
      DispatchQueue.global().async(group: group) {
        _ = try? FlowStore(path: path, firstFill: .repeatable, run: Filling.machineRun())
      }
      #expect(group.wait(timeout: .now() + .milliseconds(50)) == .timedOut)
    }
    group.wait()
    #expect(try !isMarked("killed.db") && reader.value("select count(*) from flow") == 3000)
  }

  @Test("is believed by nobody after the machine stopped, and stays as it is")
  func stopped() throws {
    let store = try open()
    try append(3000, to: store)
    try copy(to: "stopped.db")
    let bytes = try Data(contentsOf: URL(fileURLWithPath: folder.path("stopped.db")))
    expectRefusal("stopped.db")
    expectRefusal("stopped.db", in: nil)
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder.path("stopped.db"))) == bytes)
    // Removed by hand, what lies beside it is nobody's.
    try FileManager.default.removeItem(atPath: folder.path("stopped.db"))
    #expect(try open("stopped.db", in: "another run").logs().isEmpty)
  }

  @Test("is believed by nobody where half of it never came to the disk, whatever run of the machine it is")
  func cut() throws {
    let store = try open()
    try append(3000, to: store)
    try append(20_000, to: store)
    for (name, bytes) in [("short.db", 1_200_000), ("header.db", 16_384)] {
      try copy(to: name)
      let file = try FileHandle(forUpdating: URL(fileURLWithPath: folder.path(name)))
      try file.truncate(atOffset: UInt64(bytes))
      try file.close()
      expectRefusal(name)
      expectRefusal(name, in: "this run")
    }
    // As long as it should be, with a page that is not what it should be.
    try copy(to: "torn.db")
    let file = try FileHandle(forUpdating: URL(fileURLWithPath: folder.path("torn.db")))
    try file.seek(toOffset: try file.seekToEnd() - 3 * 16_384)
    try file.write(contentsOf: Data(count: 16_384))
    try file.close()
    #expect(throws: StoreError.interrupted(path: folder.path("torn.db"))) { try self.open("torn.db") }
  }

  @Test("has its mark again where the machine stopped while that was taken away")
  func stoppedAtTheEnd() throws {
    let store = try open()
    try append(3000, to: store)
    // What the last transaction leaves before it counts: its journal, and the file with all that it writes.
    try store.access { db throws(StoreError) in
      try db.run("begin immediate")
      try db.run("pragma application_id = \(FileHeader.ours)")
      try db.run("delete from meta where key = 'filling'")
    }
    let journal = try Data(contentsOf: URL(fileURLWithPath: folder.path() + "-journal"))
    try store.commit()
    try copy(to: "end.db")
    for name in ["end.db", "read.db"] {
      try? FileManager.default.copyItem(atPath: folder.path(), toPath: folder.path(name))
      try journal.write(to: URL(fileURLWithPath: folder.path(name) + "-journal"))
      #expect(try !isMarked(name))
    }
    #expect(throws: StoreError.interrupted(path: folder.path("read.db"))) {
      try FlowReader(path: self.folder.path("read.db"))
    }
    expectRefusal("end.db")
  }

  @Test(
    "is believed by nobody after the disk refused it once, though it takes it the next time",
    arguments: ["sync", "durable"])
  func failingDisk(at place: String) throws {
    let store = try open(in: Filling.machineRun())
    let failure = Filling.refused
    var count = 0
    store.beforeWrite = { name throws(StoreError) in
      guard name == place else { return }
      count += 1
      if count == 1 { throw failure }
    }
    #expect(throws: failure) {
      try self.append(100, to: store)
      try store.makeDurable()
    }
    // As a kill right then would leave it.
    try copy(to: "killed.db")
    expectRefusal("killed.db", in: Filling.machineRun())
    #expect(throws: failure) { try store.makeDurable() }
    store.close()
    #expect(count == 1)
    expectRefusal("flows.db", in: Filling.machineRun())
  }

  @Test("keeps its mark, and loses nothing, where there was no room to take it away")
  func full() throws {
    let store = try open(in: Filling.machineRun())
    try append(100, to: store)
    let failure = StoreError.sqlite(code: 13, message: "database or disk is full", sql: nil)
    store.beforeWrite = { name throws(StoreError) in if name == "durable" { throw failure } }
    #expect(throws: failure) { try store.makeDurable() }
    #expect(try isMarked() && FlowReader(path: folder.path()).value("select count(*) from flow") == 100)
    store.beforeWrite = nil
    try store.makeDurable()
    #expect(try !isMarked())
  }

  @Test("gives copies that do not have its mark")
  func snapshot() throws {
    let store = try open(in: Filling.machineRun())
    try append(100, to: store)
    try FlowReader(path: folder.path()).snapshot(to: folder.path("copy.db"))
    #expect(try isMarked() && !isMarked("copy.db"))
    #expect(try open("copy.db", in: "another run").logs().map(\.lines) == [100])
  }
}
