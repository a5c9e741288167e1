import Dispatch
import Flows
import Foundation
import GRDB
import Testing

@testable import FlowStore

/// A store that is filled for the first time has no write-ahead log.
@Suite("A new store that is being filled")
final class JournalTests {
  private let folder: ScratchFolder
  private let store: FlowStore
  private var maker = BatchMaker()
  private var log = LogRecord(path: "a.log")

  init() throws {
    folder = try ScratchFolder()
    store = try FlowStore(path: folder.path(), firstFill: .durable)
  }

  private func append(_ count: Int) throws { try store.store(maker.batch(count: count), into: &log) }

  /// Runs `body` while a query of the reader is in its middle.
  private func whileReading(_ reader: FlowReader, _ body: () throws -> Void) throws {
    var isFirst = true
    try reader.query("select id from flow order by id limit 10") { _ in
      guard isFirst else { return }
      isFirst = false
      try body()
    }
  }

  private func has(_ suffix: String) -> Bool {
    FileManager.default.fileExists(atPath: folder.path() + suffix)
  }

  @Test("has a journal until it is closed, and a write-ahead log when it is opened again")
  func modes() throws {
    #expect(try store.setting("journal_mode") == "truncate")
    #expect(try store.setting("synchronous") == "2", "full")
    try append(100)
    try store.commit()
    store.close()
    #expect(!has("-journal") && !has("-wal"))
    let again = try FlowStore(path: folder.path(), firstFill: .durable)
    #expect(try again.setting("journal_mode") == "wal")
    #expect(try again.setting("synchronous") == "1", "normal")
  }

  @Test("has a write-ahead log once everything is in the file")
  func settled() throws {
    try append(100)
    store.settle()
    #expect(try store.setting("journal_mode") == "truncate", "not in the middle of a transaction")
    try store.commit()
    store.settle()
    #expect(try store.setting("journal_mode") == "wal")
    #expect(!has("-journal"))
    try append(100)
    try store.commit()
    #expect(try FlowReader(path: folder.path()).value("select count(*) from flow") == 200)
  }

  @Test("has its hops read from pages while what is found of them is written and committed, and stays without a log")
  func hopsBeside() throws {
    try append(3000)
    let pages = try #require(try store.hopPages())
    #expect(try store.setting("journal_mode") == "truncate")
    let all = [Bool](repeating: true, count: 10_000)
    let request = HopRequest(
      spans: [1...3000], from: .min, until: .max, decidesFrom: .min, decidesUntil: .max, sources: all, outcomes: all)
    var bySQL = HopStretch()
    try store.read(request, into: &bySQL)
    #expect(bySQL.hops.count == 3000 && bySQL.decided == [1...3000])
    func check() throws {
      var byPages = HopStretch()
      try pages.read(request, into: &byPages)
      #expect(byPages.decided == bySQL.decided)
      #expect(byPages.hops.map { "\($0)" } == bySQL.hops.map { "\($0)" })
    }
    try check()
    let joined = bySQL.hops.map { JoinedHop(flow: $0.flow, journey: 7, place: .hasLater) }
    try store.write(joined: joined, of: [1...3000])
    try check()
    try store.commit()
    try check()
    // Of rows that were committed the journal keeps what they held.
    try store.write(joined: [], of: [1...1500])
    try check()
    try store.commit()
    try check()
  }

  @Test("is read as the last commit left it, by SQL and by pages, while the next one grows")
  func readBeside() throws {
    try append(3000)
    try store.apply(judgement(of: store.facts()))
    try store.commit()
    try append(500)
    // Pages that were there before are kept in the journal.
    try store.access { db throws(StoreError) in try db.run("update flow set sent = 1 where id < 100") }
    let reader = try FlowReader(path: folder.path())
    #expect(try reader.value("select count(*) from flow") == 3000)
    let words = "select 'any' from judged_flow f where f.id = :example order by f.id"
    let before = try #require(try reader.tally(TallyRequest(), words: words))
    #expect(before.groups.reduce(0) { $0 + $1.flows } == 3000)
    try store.commit()
    let after = try #require(try reader.tally(TallyRequest(), words: words))
    #expect(after.groups.reduce(0) { $0 + $1.flows } == 3500)
  }

  @Test("commits when a reader has done with it, and not before; nothing fails")
  func waits() throws {
    try append(100)
    try store.commit()
    let reader = try FlowReader(path: folder.path())
    let group = DispatchGroup()
    let done = Flag()
    try whileReading(reader) {
      try append(100)
      DispatchQueue.global().async(group: group) { [store] in
        try? store.commit()
        done.set()
      }
      // However long it had: it cannot be done while this query is.
      #expect(group.wait(timeout: .now() + .milliseconds(50)) == .timedOut)
    }
    group.wait()
    #expect(done.isSet && !store.isInTransaction)
    #expect(try reader.value("select count(*) from flow") == 200)
  }

  @Test("stays without a write-ahead log while somebody reads it")
  func busy() throws {
    try append(100)
    try store.commit()
    let reader = try FlowReader(path: folder.path())
    try whileReading(reader) {
      store.settle()
      let mode = try store.setting("journal_mode")
      #expect(mode == "truncate")
    }
    store.settle()
    #expect(try store.setting("journal_mode") == "wal")
  }

  @Test("is opened by the next writer as soon as whoever has it locked is done, and not refused")
  func opening() throws {
    try append(100)
    try store.commit()
    let copy = folder.path("copy.db")
    try FileManager.default.copyItem(atPath: folder.path(), toPath: copy)
    var configuration = Configuration()
    configuration.allowsUnsafeTransactions = true
    let holder = try DatabaseQueue(path: copy, configuration: configuration)
    try holder.unsafeReentrantWrite { try $0.execute(sql: "begin exclusive") }
    let group = DispatchGroup()
    let done = Flag()
    DispatchQueue.global().async(group: group) {
      if let next = try? FlowStore(path: copy), (try? next.logs().map(\.lines)) == [100] { done.set() }
    }
    #expect(group.wait(timeout: .now() + .milliseconds(50)) == .timedOut)
    try holder.close()
    group.wait()
    #expect(done.isSet)
  }

  @Test("is, after its writer was killed in the middle of a commit, read and filled as the commit before left it")
  func killed() throws {
    try append(3000)
    try store.commit()
    try store.access { db throws(StoreError) in try db.run("pragma cache_size = 10") }
    // More than the cache holds: pages of the file are written over before the commit.
    try store.access { db throws(StoreError) in
      try db.run("begin immediate")
      try db.run("update flow set sent = 1234567")
    }
    try append(20_000)
    for name in ["read.db", "filled.db"] {
      for suffix in ["", "-journal"] {
        try FileManager.default.copyItem(atPath: folder.path() + suffix, toPath: folder.path(name) + suffix)
      }
    }
    let bytes = try Data(contentsOf: URL(fileURLWithPath: folder.path("read.db")))
    #expect(bytes.count > 500_000, "nothing was written before the commit: the test shows nothing")
    let reader = try FlowReader(path: folder.path("read.db"))
    #expect(try reader.value("select count(*) from flow") == 3000)
    #expect(try reader.value("select count(*) from flow where sent = 1234567") == 0)
    #expect(try reader.check() == [])
    let filled = try FlowStore(path: folder.path("filled.db"), firstFill: .durable)
    #expect(try filled.setting("journal_mode") == "wal")
    #expect(try filled.logs().map(\.lines) == [3000])
  }
}

/// `@unchecked Sendable`: set before its group is left, and read behind that.
private final class Flag: @unchecked Sendable {
  private(set) var isSet = false
  func set() { isSet = true }
}
