import Flows
import Foundation
import Glibc
import Testing

@testable import FlowStore

@Suite("what survives")
struct DurabilityTests {
  /// Everything that is in a store, as text, in a fixed order.
  private static func contents(_ path: String) throws -> [String] {
    let reader = try FlowReader(path: path)
    defer { reader.close() }
    var lines: [String] = []
    let tables = try reader.rows("select name from sqlite_schema where type = 'table' order by name").rows
    for table in tables.compactMap({ $0[0].text }) {
      let columns = try reader.rows("select name from pragma_table_info('\(table)') order by cid").rows
      let list = columns.compactMap { $0[0].text }.joined(separator: ", ")
      try reader.query("select \(list) from \(table) order by \(list)") { row in
        // The seed and what follows from it differ from store to store.
        if table == "dictionary_key" {
          lines.append("\(table): \(row[0]) \(row[2])")
        } else if row[0] != "hash_seed" {
          lines.append("\(table): \(row)")
        }
      }
    }
    return lines.sorted()
  }

  /// One whole piece of work: batches, checkpoints, a judgement, one transaction.
  private static func work(on store: FlowStore) throws {
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: 5), into: &log)
    let second = maker.batch(count: 3, sources: 3, destinations: 4)
    second.rejected = [RejectedLine(reason: "unrecognised", line: 9, text: [0x41])]
    second.rejectedCount = 1
    second.rejectedByReason = ["unrecognised": 1]
    try store.store(second, into: &log)
    try store.setPolicy(text: "p", file: "f")
    try store.apply(judgement(of: store.facts()))
    try store.commit()
  }

  @Test("a failure at any write leaves the state of the last commit, and the retry gives the whole")
  func everyWriteFails() throws {
    let whole = try {
      let folder = try ScratchFolder()
      try Self.work(on: FlowStore(path: folder.path()))
      return try Self.contents(folder.path())
    }()
    let folder = try ScratchFolder()
    let empty = try {
      try FlowStore(path: folder.path()).close()
      return try Self.contents(folder.path())
    }()
    #expect(whole.count > empty.count)
    let noSpace = StoreError.sqlite(code: 13, message: "database or disk is full", sql: nil)
    for failing in 1... {
      for suffix in ["", "-wal", "-shm"] { unlink(folder.path() + suffix) }
      let store = try FlowStore(path: folder.path())
      var count = 0
      store.beforeWrite = { _ throws(StoreError) in
        count += 1
        if count == failing { throw noSpace }
      }
      do {
        try Self.work(on: store)
        #expect(failing > 20, "the work has many writes")
        break
      } catch {
        #expect(error as? StoreError == noSpace)
      }
      store.beforeWrite = nil
      try store.rollback()
      #expect(try Self.contents(folder.path()) == empty, "after write \(failing) failed")
      try Self.work(on: store)
      store.close()
      #expect(try Self.contents(folder.path()) == whole, "after write \(failing) failed and a retry")
      #expect(try FlowReader(path: folder.path()).check() == [])
    }
  }

  @Test("a process killed between two commits leaves the first, whole")
  func killed() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: 100), into: &log)
    try store.commit()
    let committed = try Self.contents(folder.path())
    // Larger than the page cache would keep from the WAL if it spilled; then the files as a kill would leave them.
    try store.store(maker.batch(count: 50_000, destinations: 200), into: &log)
    for suffix in ["", "-wal"] {
      try FileManager.default.copyItem(atPath: folder.path() + suffix, toPath: folder.path("killed.db") + suffix)
    }
    // A reader comes first: it must find the commit in the WAL, and may not empty it.
    #expect(try Self.contents(folder.path("killed.db")) == committed)
    #expect(FileManager.default.fileExists(atPath: folder.path("killed.db-wal")))
    let reopened = try FlowStore(path: folder.path("killed.db"))
    #expect(try reopened.logs().map(\.position) == [10_000])
    reopened.close()
    #expect(try Self.contents(folder.path("killed.db")) == committed)
    #expect(try FlowReader(path: folder.path("killed.db")).check() == [])
  }

  @Test("closing drops what was not committed and leaves one file with no WAL")
  func close() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: 10), into: &log)
    try store.commit()
    try store.store(maker.batch(count: 10), into: &log)
    #expect(store.isInTransaction)
    store.close()
    store.close()
    #expect(!FileManager.default.fileExists(atPath: folder.path() + "-wal"))
    #expect(try FlowReader(path: folder.path()).value("select count(*) from flow") == 10)
    #expect(throws: StoreError.self) { try store.commit() }
    #expect(throws: StoreError.self) { try store.logs() }
    #expect(!store.isJudged)
  }

  @Test("a full disk fails the write, keeps the last commit, and the store goes on when there is room")
  func diskFull() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: 10), into: &log)
    try store.commit()
    let before = try Self.contents(folder.path())
    try store.access { db throws(StoreError) in
      let pages = try db.statement("pragma page_count")
      _ = try pages.step()
      try db.run("pragma max_page_count = \(pages.int(0) + 3)")
    }
    var failed = log
    do {
      try store.store(maker.batch(count: 20_000), into: &failed)
      Issue.record("three pages cannot hold 20,000 flows")
    } catch let error as StoreError {
      #expect(error.isFull)
    }
    try store.rollback()
    #expect(try Self.contents(folder.path()) == before)
    try store.access { db throws(StoreError) in try db.run("pragma max_page_count = 100000") }
    // The parser starts its dictionary anew after a rollback.
    var restarted = BatchMaker()
    restarted.line = 11
    try store.store(restarted.batch(count: 20_000), into: &log)
    try store.commit()
    #expect(try FlowReader(path: folder.path()).value("select count(*) from flow") == 20_010)
    #expect(try FlowReader(path: folder.path()).check() == [])
  }

  @Test("wherever the disk becomes full, whole commits remain, the file is sound, and the retry completes it")
  func diskFullAnywhere() throws {
    let batches = 3
    let rows = 1_500
    for room in 0... {
      let folder = try ScratchFolder()
      let store = try FlowStore(path: folder.path())
      let pages = try #require(Int(store.setting("page_count") ?? ""))
      func limit(_ pages: Int) throws {
        try store.access { db throws(StoreError) in try db.run("pragma max_page_count = \(pages)") }
      }
      try limit(pages + room)
      var maker = BatchMaker()
      var log = LogRecord(path: "a.log")
      var committed = 0
      do {
        for _ in 0..<batches {
          try store.store(maker.batch(count: rows, destinations: 40 * (committed + 1)), into: &log)
          try store.commit()
          committed += 1
        }
      } catch let error as StoreError {
        #expect(error.isFull, "\(error)")
        try store.rollback()
      }
      let reader = try FlowReader(path: folder.path())
      #expect(try reader.value("select count(*) from flow") == .integer(Int64(committed * rows)))
      #expect(try reader.check() == [], "with room for \(room) pages")
      if committed == batches {
        #expect(room > 5, "the work needs pages")
        break
      }
      try limit(10_000)
      log = try store.logs().first ?? LogRecord(path: "a.log")
      var restarted = BatchMaker()
      restarted.line = log.lines + 1
      for number in committed..<batches {
        try store.store(restarted.batch(count: rows, destinations: 40 * (number + 1)), into: &log)
        try store.commit()
      }
      #expect(try reader.value("select count(*) from flow") == .integer(Int64(batches * rows)))
      #expect(try reader.value("select count(distinct host) from destination") == .integer(Int64(40 * batches)))
      #expect(try reader.check() == [])
    }
  }

  @Test("after a rollback, a batch that relies on forgotten entries is refused")
  func forgotten() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: 10), into: &log)
    try store.rollback()
    #expect(try store.logs().isEmpty)
    log = LogRecord(path: "a.log")
    #expect(throws: StoreError.unknownEntry(kind: "source", id: 0)) {
      try store.store(maker.batch(count: 10), into: &log)
    }
    log.id = 0
    #expect(throws: StoreError.unknownEntry(kind: "destination", id: 0)) {
      maker.sources = []
      try store.store(maker.batch(count: 1, destinations: 9), into: &log)
    }
  }

  @Test("a WAL that grew large is emptied into the file at a commit, also while a reader is open")
  func checkpoint() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    let reader = try FlowReader(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    var largest = 0
    for _ in 0..<8 {
      try store.store(maker.batch(count: 400_000), into: &log)
      try store.commit()
      largest = max(largest, try FileManager.default.attributesOfItem(atPath: folder.path() + "-wal")[.size] as! Int)
    }
    #expect(try reader.value("select count(*) from flow") == 3_200_000)
    // Eight commits of some 17 MB: without checkpoints the WAL would hold them all.
    #expect(largest < Int(FlowStore.walLimit) + 40_000_000)
    #expect(try FileManager.default.attributesOfItem(atPath: folder.path())[.size] as! Int > Int(FlowStore.walLimit))
  }

  @Test("a backup put back in place is an earlier state, and reading goes on from there")
  func restoredBackup() throws {
    let folder = try ScratchFolder()
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    do {
      let store = try FlowStore(path: folder.path())
      try store.store(maker.batch(count: 10), into: &log)
      try store.commit()
      store.close()
    }
    try FlowReader(path: folder.path()).snapshot(to: folder.path("backup.db"))
    do {
      let store = try FlowStore(path: folder.path())
      var second = BatchMaker()
      second.line = 11
      try store.store(second.batch(count: 10), into: &log)
      try store.commit()
      store.close()
    }
    unlink(folder.path())
    try FileManager.default.moveItem(atPath: folder.path("backup.db"), toPath: folder.path())
    let store = try FlowStore(path: folder.path())
    #expect(try store.logs().map(\.lines) == [10])
    log = try store.logs()[0]
    var again = BatchMaker()
    again.line = 11
    try store.store(again.batch(count: 10), into: &log)
    try store.commit()
    let reader = try FlowReader(path: folder.path())
    #expect(try reader.value("select count(*) from flow") == 20)
    #expect(try store.setting("journal_mode") == "wal")
    #expect(try reader.check() == [])
  }
}
