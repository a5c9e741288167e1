import Flows
import Testing

@testable import FlowStore

@Suite("hops by pages")
struct HopPagesTests {
  private static func request(_ spans: [ClosedRange<Int64>]) -> HopRequest {
    HopRequest(
      spans: spans, from: noon + 10, until: noon + 8_000, decidesFrom: noon + 100, decidesUntil: noon + 7_000,
      sources: [false, true, false, true, true], outcomes: [false, true, true])
  }

  private static func rows(_ stretch: HopStretch) -> [String] {
    stretch.hops.map { "\($0)" } + stretch.decided.map { "\($0)" }
  }

  /// 30,000 flows, and numbers of every length.
  private static func store(in folder: ScratchFolder) throws -> FlowStore {
    let store = try FlowStore(path: folder.path())
    var log = LogRecord(path: "a.log")
    var maker = BatchMaker()
    for number in 0..<3 {
      let batch = maker.batch(count: 10_000, sources: 4, destinations: 10)
      for index in 0..<10_000 {
        let row = batch.rows + index
        let wide = Int64(1) << (index % 63)
        if index % 5 == 0 { (row.pointee.durationMs, row.pointee.sent, row.pointee.received) = (-1, -1, -1) }
        if index % 5 == 1 { (row.pointee.durationMs, row.pointee.sent, row.pointee.received) = (wide, wide - 1, wide) }
        if index % 7 == number { row.pointee.requestHash = UInt64(bitPattern: -wide) }
        if index % 11 == 0 { row.pointee.startedAtMs = [.min, -1, 0, .max][index / 11 % 4] }
      }
      try store.store(batch, into: &log)
    }
    try store.commit()
    return store
  }

  @Test("pages and SQL give the same hops, and the same flows to decide")
  func twins() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder)
    let pages = try #require(try store.hopPages())
    for spans in [[1...30_000], [5...5, 7...9, 4_000...15_000], [29_000...40_000], [1...1], []]
      as [[ClosedRange<Int64>]]
    {
      let request = Self.request(spans)
      var (bySQL, byPages) = (HopStretch(), HopStretch())
      try store.read(request, into: &bySQL)
      try pages.read(request, into: &byPages)
      #expect(Self.rows(byPages) == Self.rows(bySQL))
      var shared = HopStretch()
      for share in request.shares(3) {
        var part = HopStretch()
        try pages.read(share, into: &part)
        shared.append(part)
      }
      #expect(Self.rows(shared) == Self.rows(bySQL))
      #expect(spans.count < 2 || bySQL.hops.count > 100)
    }
  }

  @Test("beside a reader that needs an older state, what it holds back is read from the write-ahead log")
  func beside() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder)
    let reader = try FlowReader(path: folder.path())
    try reader.access { db in
      // Holds an older state, which keeps what is committed after it in the WAL.
      try db.run("begin")
      _ = try db.statement("select count(*) from flow").step()
      try store.access { db throws(StoreError) in
        try db.run("update flow set duration_ms = coalesce(duration_ms, 0) + 7 where id % 3 = 0")
      }
      let pages = try #require(try store.hopPages())
      #expect(store.isInTransaction)
      let request = Self.request([1...30_000])
      var (bySQL, byPages) = (HopStretch(), HopStretch())
      try store.read(request, into: &bySQL)
      try pages.read(request, into: &byPages)
      #expect(Self.rows(byPages) == Self.rows(bySQL))
      try db.run("rollback")
    }
  }

  @Test("what is known of two clocks is of the minute with most samples, and spans all of them")
  func clocks() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    func skew(_ ms: Int64, _ samples: Int64, at minute: Int64) -> ClockSkew {
      ClockSkew(
        earlierLog: 1, earlierIP: "10.80.3.11", laterLog: 2, laterIP: "10.80.3.232", skewMs: ms, samples: samples,
        leastMs: ms, mostMs: ms, firstMs: minute, lastMs: minute)
    }
    for minutes in [[skew(1_800, 9, at: 120_000)], [skew(1_795, 30, at: 60_000)], [skew(1_801, 5, at: 240_000)]] {
      try store.write(clocks: minutes)
      try store.commit()
    }
    let rows = try FlowReader(path: folder.path()).rows(
      "select skew_ms, samples, least_ms, most_ms, first_ms, last_ms from clock_skew order by earlier_log"
    ).rows
    #expect(rows == [[1_795, 30, 1_795, 1_801, 60_000, 240_000]])
  }
}
