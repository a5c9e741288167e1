import Flows
import Testing

@testable import FlowStore

@Suite("what joining says, in blocks")
struct HopBlockTests {
  /// 2,100 flows, one per millisecond from noon; every seventh has an earlier hop, and a journey of its own number.
  private static func store(in folder: ScratchFolder) throws -> FlowStore {
    let store = try FlowStore.judged(flows: 2_100, in: folder)
    try store.write(joined: joined(1...2_100), of: [1...2_100])
    try store.commit()
    return store
  }

  private static func joined(_ flows: ClosedRange<Int64>) -> [JoinedHop] {
    flows.filter { $0 % 7 == 0 }.map { JoinedHop(flow: $0, journey: UInt64($0) << 40 | 0xFF, place: .hasEarlier) }
  }

  private static func joins(_ folder: ScratchFolder) throws -> [[Value]] {
    try FlowReader(path: folder.path()).rows(
      "select id, hex(journey), journey_place from judged_flow where journey is not null or journey_place > 0 order by id"
    ).rows
  }

  private static func rows(_ joined: [JoinedHop]) -> [[Value]] {
    joined.map { hop in
      let digits = String(hop.journey, radix: 16, uppercase: true)
      return [
        .integer(hop.flow), .text(String(repeating: "0", count: 16 - digits.count) + digits),
        .integer(Int64(hop.place.rawValue)),
      ]
    }
  }

  @Test("each flow has its journey and place in plain SQL, over the borders of blocks")
  func views() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder)
    #expect(try Self.joins(folder) == Self.rows(Self.joined(1...2_100)))
    // Some are joined otherwise, some no more, and the rest stays.
    let all: JourneyPlace = [.hasEarlier, .hasLater, .isRepeated, .hasClaimedEarlier]
    let again = [JoinedHop(flow: 1_000, journey: .max, place: all)]
    try store.write(joined: again, of: [990...1_010])
    try store.commit()
    #expect(
      try Self.joins(folder)
        == Self.rows(Self.joined(1...989)) + Self.rows(again) + Self.rows(Self.joined(1_011...2_100)))
    let flow = try FlowReader(path: folder.path()).rows("select journey from flows where id in (999, 1000) order by id")
    #expect(flow.rows == [[nil], ["ffffffffffffffff"]])
    try store.write(joined: [], of: [1...2_100])
    try store.commit()
    #expect(try FlowReader(path: folder.path()).value("select count(*) from hop_place") == 0)
    #expect(try FlowReader(path: folder.path()).value("select count(*) from hop_journey") == 0)
  }

  @Test("flows that take the ids of pruned ones are joined with nothing")
  func pruning() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder)
    // The last flows are the oldest: their ids are given out again.
    var log = LogRecord(path: "b.log")
    var maker = BatchMaker()
    let old = maker.batch(count: 900)
    for index in 0..<900 { old.rows[index].startedAtMs = noon - 1 }
    try store.store(old, into: &log)
    try store.write(
      joined: (2_101...3_000).map { JoinedHop(flow: $0, journey: 5, place: .hasLater) }, of: [2_101...3_000])
    #expect(try store.prune(before: noon + 500) == 1_400)
    var young = LogRecord(path: "c.log")
    var other = BatchMaker()
    try store.store(other.batch(count: 900), into: &young)
    try store.apply(judgement(of: store.facts()))
    try store.commit()
    #expect(try FlowReader(path: folder.path()).value("select max(id) from flow") == 3_000)
    #expect(try Self.joins(folder) == Self.rows(Self.joined(501...2_100)))
    #expect(try FlowReader(path: folder.path()).check() == [])
  }

  @Test("written span by span, blocks hold what they hold written flow by flow")
  func spans() throws {
    let (one, other) = (try ScratchFolder(), try ScratchFolder())
    let (bySpan, byFlow) = (try Self.store(in: one), try Self.store(in: other))
    var random = HistogramTests.Numbers()
    for _ in 0..<20 {
      let first = Int64.random(in: 1...2_000, using: &random)
      let span = first...Int64.random(in: first...2_100, using: &random)
      let isSparse = Bool.random(using: &random)
      let joined = span.filter { _ in Int.random(in: 0..<(isSparse ? 400 : 2), using: &random) == 0 }.map {
        JoinedHop(
          flow: $0, journey: UInt64.random(in: 0...2, using: &random),
          place: JourneyPlace(rawValue: UInt8.random(in: 0...3, using: &random)))
      }
      try bySpan.write(joined: joined, of: [span])
      try byFlow.access { db throws(StoreError) in
        let writer = try HopBlockWriter(db)
        for flow in span {
          let hop = joined.first { $0.flow == flow }
          try writer.set(flow, place: hop?.place.rawValue ?? 0, journey: hop?.journey ?? 0)
        }
        try writer.finish()
      }
    }
    try bySpan.commit()
    try byFlow.commit()
    for table in ["hop_place", "hop_journey"] {
      #expect(
        try FlowReader(path: one.path()).rows("select * from \(table) order by 1").rows
          == FlowReader(path: other.path()).rows("select * from \(table) order by 1").rows)
    }
  }

  @Test("a store that kept a row per joined flow says the same afterwards")
  func takingOver() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder)
    try store.access { db throws(StoreError) in
      for sql in [
        "create table flow_hop (flow integer primary key, journey, place)",
        "insert into flow_hop values (7, \(Int64(bitPattern: 0x8000_0000_0000_0001)), 1), (1000, 3, 14), (2100, -1, 2)",
        "drop table hop_place", "drop table hop_journey", "drop table clock_skew", "drop table rollup_run",
        "drop table rollup_part", "drop table log_sign", "drop table bypass_reason",
        "drop table own_log", "drop table tally_run", "drop table tally_part", "drop table line_print",
        "drop table tallied_minute", "drop table met_destination", "drop table clock_hour", "drop table doubtful_clock",
        "drop table relayed_flow", "drop table weighed_log", "drop table pod_life", "drop table pod_address",
        "drop table next_hop_hole",
        "pragma user_version = 4",
      ] { try db.run(sql) }
      for (table, columns) in [
        (
          "route_verdict",
          ["claim", "claim_severity", "claim_around", "claim_reason", "claim_needs_gateway", "next_hop_holes"]
        ),
        ("log", ["tallied", "kept", "unread", "full_path"]),
        (
          "source",
          [
            "first_end_ms", "last_end_ms", "logs_success", "first_joined_ms", "last_joined_ms", "received_as", "sender",
          ]
        ),
      ] {
        // Views stand in the way of taking columns out; they are made anew.
        let views = try db.statement("select name from sqlite_schema where type = 'view'")
        var names: [String] = []
        while try views.step() { names.append(views.text(0) ?? "") }
        for view in names { try db.run("drop view \(view)") }
        for column in columns { try db.run("alter table \(table) drop column \(column)") }
      }
      try db.run("delete from meta where key = 'views'")
    }
    store.close()
    try FlowStore(path: folder.path()).close()
    #expect(
      try Self.joins(folder)
        == Self.rows([
          JoinedHop(flow: 7, journey: 0x8000_0000_0000_0001, place: .hasEarlier),
          JoinedHop(flow: 1_000, journey: 3, place: [.hasLater, .isRepeated, .hasClaimedEarlier]),
          JoinedHop(flow: 2_100, journey: .max, place: .hasLater),
        ]))
    #expect(
      try FlowReader(path: folder.path()).rows("select name from sqlite_schema where name = 'flow_hop'").rows.isEmpty)
  }
}
