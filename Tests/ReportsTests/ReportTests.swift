import FlowStore
import Flows
import Testing

@testable import Reports

@Suite("Reports")
struct ReportTests {
  private static let names = QueryCatalogue().reports.map(\.name)

  @Test("every report answers on an empty store", arguments: names)
  func empty(name: String) throws {
    let fixture = try StoreFixture([])
    let answer = try Answer(of: name, in: fixture.path)
    #expect(answer.rows.isEmpty || name == "coverage")
    #expect(!answer.notes.contains { $0.contains("no bypass found") })
  }

  @Test("every report is as its snapshot", arguments: names)
  func snapshot(name: String) throws {
    let fixture = try StoreFixture()
    fixture.verdicts.hasAssumption = true
    try fixture.judge()
    let reader = try FlowReader(path: fixture.path)
    let text = Text()
    let query = try QueryCatalogue().report(named: name)
    let standing = try Standing(of: reader, findings: Standing.isAsked(by: name))
    try Report(query, limit: query.name == "flows" ? 3 : nil).write(
      from: reader, with: OutputFormat.table.renderer(Appearance(), to: text.take), standing: standing)
    try expectSnapshot(text.text, "report-\(name).txt")
  }

  @Test("the parts of the summary add up to one number, and that is what hosts, sources and timeline count")
  func sums() throws {
    let fixture = try StoreFixture()
    let summary = try Answer(of: "summary", in: fixture.path)
    func part(_ name: String) -> Int64 {
      zip(summary.values("part"), summary.values("flows")).filter { $0.0.text == name }
        .compactMap { $0.1.integer }.reduce(0, +)
    }
    #expect(part("total") == 64)
    for name in ["path", "outcome", "role"] { #expect(part(name) == 64, "\(name)") }
    #expect(part("bypass") == 11)
    #expect(part("bypass allowed") == 5)
    for name in ["hosts", "sources", "timeline"] {
      #expect(try Answer(of: name, in: fixture.path).sum("flows") == 64, "\(name)")
    }
    #expect(try Answer(of: "bypass", in: fixture.path).sum("flows") == 16)
    #expect(try Answer(of: "blocked", in: fixture.path).sum("flows") == 6)
  }

  @Test(
    "a limit keeps the sums: what it cuts off stands in the line of the others",
    arguments: ["hosts", "sources", "bypass"])
  func others(name: String) throws {
    let fixture = try StoreFixture()
    let whole = try Answer(of: name, in: fixture.path)
    let cut = try Answer(of: name, limit: 1, in: fixture.path)
    #expect(cut.rows.count == 1)
    let others = try #require(cut.others)
    for column in ["flows", "sent", "received"] {
      let index = try #require(cut.columns.firstIndex(of: column))
      #expect(cut.sum(column) + (others[index].integer ?? 0) == whole.sum(column), "\(column)")
    }
  }

  @Test("blocked flows have path none and say the reason")
  func blocked() throws {
    let fixture = try StoreFixture()
    var filters = Filters()
    filters.outcomes = [.blocked]
    #expect(try Answer(of: "hosts", filters: filters, in: fixture.path).values("paths") == ["none"])
    #expect(try Answer(of: "blocked", in: fixture.path).values("reason") == ["registry-only-http"])
  }

  @Test("an allowed bypass stands below the findings, with its exception and owner")
  func allowed() throws {
    let fixture = try StoreFixture()
    let bypass = try Answer(of: "bypass", in: fixture.path)
    #expect(bypass.values("severity").map(\.text) == ["critical", "critical", "warning", "info"])
    #expect(bypass.values("allowed_by") == [nil, nil, nil, "*.example.org:80 (payments)"])
  }

  @Test("latency counts timeouts and gives percentiles within one percent")
  func latency() throws {
    let fixture = try StoreFixture()
    let latency = try Answer(of: "latency", in: fixture.path)
    let row = try #require(latency.values("host").firstIndex(of: "gateway.example.com"))
    #expect(latency.values("flows")[row] == 40)
    #expect(latency.values("timeouts")[row] == 4)
    #expect(latency.values("max")[row] == 400)
    // Durations are 10, 20, ... 400 ms.
    for (column, exact) in [("p50", 200.0), ("p90", 360), ("p95", 380), ("p99", 400)] {
      let value = try #require(latency.values(column)[row].real)
      #expect(abs(value - exact) <= exact * 0.01 + 0.5, "\(column): \(value)")
    }
  }

  @Test("the timeline knows days, hours and minutes, and refuses other steps")
  func timeline() throws {
    let fixture = try StoreFixture()
    #expect(try Answer(of: "timeline", parameters: ["by": "day"], in: fixture.path).rows.count == 1)
    #expect(try Answer(of: "timeline", in: fixture.path).rows.count == 2)
    #expect(try Answer(of: "timeline", parameters: ["by": "minute"], in: fixture.path).rows.count == 64)
    #expect(throws: ReportError.self) { try Answer(of: "timeline", parameters: ["by": "week"], in: fixture.path) }
  }

  // MARK: No false all-clear

  @Test("bypass is stated; what is unproven is stated with it")
  func statement() throws {
    let fixture = try StoreFixture()
    let notes = try Answer(of: "bypass", in: fixture.path).notes
    #expect(notes.first == "11 flows left around the egress gateway; and perhaps more: 2 flows on an unknown path")
    #expect(notes.contains("5 flows around the gateway allowed by exceptions of the policy"))
  }

  @Test("no bypass is only said with the coverage, and never while anything stands against it")
  func allClear() throws {
    let fixture = try StoreFixture([(0, .gateway, 0, 3)])
    func note() throws -> String { try Answer(of: "summary", in: fixture.path).notes.first ?? "" }
    #expect(
      try note()
        == "no bypass found in what was read: 1 log, 3 lines read = 3 stored + 0 rejected + 0 skipped; flows from "
        + "2026-11-01T12:01:00.000Z to 2026-11-01T12:03:00.000Z; what no log holds, no report can see")

    try fixture.reject(2)
    #expect(try note().hasPrefix("no bypass is proven, but this is no all-clear: 2 rejected lines"))

    fixture.verdicts.hasAssumption = true
    try fixture.judge()
    #expect(try note().contains("1 assumption"))

    try fixture.append([(0, .odd, 0, 1)])
    #expect(try note().contains("1 flow on an unknown path"))

    try fixture.append([(1, .gateway, 0, 1)], judges: false)
    #expect(try note().contains("lines were stored after the last judging"))
  }

  @Test("an empty store gives no all-clear")
  func emptyStore() throws {
    let fixture = try StoreFixture([])
    let notes = try Answer(of: "summary", in: fixture.path).notes
    #expect(
      notes.first?.hasPrefix("no bypass is proven, but this is no all-clear: no line of any log is stored") == true)
  }

  @Test("one pass over the flows counts what the views bypass_flow and unproven_flow count")
  func onePass() throws {
    let fixture = try StoreFixture()
    let reader = try FlowReader(path: fixture.path)
    var fast: [[Value]] = []
    try reader.query(
      "select what, sum(flows) from (\(Standing.findings)) where what is not null group by what order by what"
    ) { fast.append($0) }
    let gaps = try reader.rows(
      "select gap, sum(flows) from (\(Standing.findings)) where gap is not null group by gap order by gap"
    ).rows
    #expect(
      try gaps
        == reader.rows(
          "select next_hop_gap, count(*) from judged_flow where next_hop_gap is not null group by 1 order by 1"
        ).rows)
    var slow: [[Value]] = []
    try reader.query(
      """
      select what, count(*) as flows
      from (
        select case when allowed then 'allowed' else 'bypass' end as what from bypass_flow
        union all
        select why from unproven_flow
      )
      group by what
      order by what
      """
    ) { slow.append($0) }
    #expect(fast == slow)
    #expect(fast == [["allowed", 5], ["bypass", 11], ["path-unknown", 2]])
  }
}
