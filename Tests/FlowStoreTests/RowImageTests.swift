import Flows
import Testing

@testable import FlowStore

/// `RowImage` against its slow twin, the virtual table that SQLite asks value by value.
@Suite("rows that SQLite copies as they are")
struct RowImageTests {
  /// Values at both ends of every length that SQLite stores numbers in.
  private static let edges: [Int64] =
    [0, 1, 2, .min, .max]
    + [7, 15, 23, 31, 47, 55, 62].flatMap { bits in
      let edge: Int64 = 1 << Int64(bits)
      return [edge - 2, edge - 1, edge, edge + 1, -edge - 1, -edge, -edge + 1]
    }

  /// Stores the same batches in two ways, and expects the same rows, kinds of values, and bytes in the table's pages.
  private func compare(_ fill: (FlowStore) throws -> Void) throws {
    var answers: [[[Value]]] = []
    for copies in [true, false] {
      let folder = try ScratchFolder()
      let store = try FlowStore(path: folder.path())
      store.writer.copiesRecords = copies
      try fill(store)
      try store.commit()
      store.close()
      let reader = try FlowReader(path: folder.path())
      #expect(try reader.rows("pragma integrity_check").rows == [["ok"]])
      let columns = ["id"] + BatchTable.columns
      let all = columns + columns.map { "typeof(\($0))" }
      answers.append(try reader.rows("select \(all.joined(separator: ", ")) from flow order by id").rows)
      answers[answers.count - 1] += try reader.rows(
        "select count(*), sum(payload), sum(unused) from dbstat where name = 'flow'"
      ).rows
    }
    #expect(answers[0] == answers[1])
    #expect(answers[0].count > RowImage.leastRows)
  }

  private func scatter(_ batch: FlowBatch, seed: UInt64) {
    var state = seed
    func pick() -> Int64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return RowImageTests.edges[Int(state >> 33) % RowImageTests.edges.count]
    }
    for index in 0..<batch.count {
      batch.rows[index].startedAtMs = max(pick(), .min + 1)
      batch.rows[index].durationMs = max(pick(), -1)
      batch.rows[index].sent = max(pick(), -1)
      batch.rows[index].received = max(pick(), -1)
      batch.rows[index].requestHash = UInt64(bitPattern: pick())
      batch.rows[index].line = pick()
      batch.rows[index].sourcePort = UInt16(truncatingIfNeeded: pick())
      batch.rows[index].localPort = UInt16(truncatingIfNeeded: pick())
    }
  }

  @Test("numbers of every length, and what was not logged, come out as from the plain insert")
  func values() throws {
    try compare { store in
      var maker = BatchMaker()
      var log = LogRecord(path: "a.log")
      for (number, count) in [RowImage.leastRows, 8192, 1, 1000].enumerated() {
        let batch = maker.batch(count: count, sources: 300, destinations: 70_000)
        scatter(batch, seed: UInt64(number))
        try store.store(batch, into: &log)
      }
    }
  }

  @Test("a transaction of more batches than the image has room for is stored whole")
  func manyBatches() throws {
    try compare { store in
      var maker = BatchMaker()
      var log = LogRecord(path: "a.log")
      for number in 0..<3 * RowImage.tableCount {
        try store.store(maker.batch(count: RowImage.leastRows + number), into: &log)
        if number == 2 * RowImage.tableCount { try store.commit() }
      }
    }
  }

  @Test("after a rollback the same rows get the same ids")
  func rollback() throws {
    try compare { store in
      var maker = BatchMaker()
      var log = LogRecord(path: "a.log")
      try store.store(maker.batch(count: 500), into: &log)
      try store.commit()
      let committed = log
      try store.store(maker.batch(count: 700), into: &log)
      try store.rollback()
      log = committed
      maker = BatchMaker()
      maker.line = log.lines + 1
      for count in [600, 300, 700] {
        try store.store(maker.batch(count: count), into: &log)
        try store.commit()
      }
    }
  }

  @Test("a statement that still reads the image keeps what it reads from being written over")
  func readAcrossCommit() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: 1000), into: &log)
    var reading: Statement? = try store.access { db throws(StoreError) in
      let rows = try db.statement("select line from \(RowImage.schema).rows_0")
      _ = try rows.step()
      return rows
    }
    for _ in 0..<3 {
      try store.commit()
      try store.store(maker.batch(count: 1000), into: &log)
    }
    #expect(reading?.int(0) == 1)
    reading = nil
    try store.commit()
    try store.store(maker.batch(count: 1000), into: &log)
    try store.commit()
    let reader = try FlowReader(path: folder.path())
    #expect(
      try reader.rows("select count(*), count(distinct line), max(line), max(id) from flow").rows
        == [[5000, 5000, 5000, 5000]])
  }

  @Test("SQLite takes the shortcut: no record is taken apart and made anew")
  func shortcut() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    let opcodes = try store.access { db throws(StoreError) in
      let row = try db.statement("explain insert into main.flow select * from \(RowImage.schema).rows_0")
      var opcodes: Set<String> = []
      while try row.step() { opcodes.insert(row.text(1) ?? "") }
      return opcodes
    }
    #expect(opcodes.contains("Insert"))
    #expect(opcodes.isDisjoint(with: ["MakeRecord", "Column", "VColumn"]))
  }
}
