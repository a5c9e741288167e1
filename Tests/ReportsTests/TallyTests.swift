import Flows
import Foundation
import Testing

@testable import FlowStore
@testable import Reports

/// The built-in reports have two ways to their answer: their SQL, and a tally of the pages of the file.
@Suite("Tallies")
struct TallyTests {
  /// Filters by the name that a failure shows.
  static let filters: [(name: String, set: @Sendable (inout Filters) throws -> Void)] = [
    ("none", { _ in }),
    ("since", { $0.sinceMs = noon + 2_000_123 }),
    ("until", { $0.untilMs = noon + 9_000_001 }),
    ("a day that saw nothing", { $0.sinceMs = noon + 1_000_000_000 }),
    ("host", { $0.host = "host-1*" }),
    ("no such host", { $0.host = "nobody" }),
    ("source", { $0.source = try SourcePattern("10.80.3.0/29") }),
    ("no such source", { $0.source = try SourcePattern("192.0.2.0/24") }),
    ("path", { $0.paths = [.passthrough, .none] }),
    ("outcome", { $0.outcomes = [.ok, .blocked, .timeout] }),
    (
      "all of them",
      {
        $0.sinceMs = noon + 1_000_000
        $0.untilMs = noon + 15_000_000
        $0.host = "*.example.com"
        $0.source = try SourcePattern("10.80.0.0/16")
        $0.paths = [.direct, .passthrough, .gateway]
        $0.outcomes = [.ok, .timeout]
      }
    ),
  ]

  @Test(
    "a report says the same from a tally as from its SQL, with any filter, whole or cut off, with rollups or without",
    arguments: [false, true])
  func twins(hasRollups: Bool) throws {
    let store = try RandomStore(flows: 12_000, hasRollups: hasRollups)
    let reader = try FlowReader(path: store.path)
    for name in ["summary", "bypass", "blocked", "failed", "latency", "sources", "unproven", "unlogged"] {
      let query = try QueryCatalogue().report(named: name)
      for (title, set) in Self.filters {
        var filters = Filters()
        try set(&filters)
        // Not every report takes all of them.
        guard query.takes("path") || filters.paths.isEmpty && filters.outcomes.isEmpty else { continue }
        for limit in [nil, 7] {
          let slow = try rows(query, filters, limit, tallied: false, reader)
          let fast = try rows(query, filters, limit, tallied: true, reader)
          #expect(fast.columns == slow.columns)
          #expect(fast.rows == slow.rows, "\(name), filter \(title), limit \(limit ?? 0)")
          #expect(fast.others == slow.others, "\(name), filter \(title), limit \(limit ?? 0)")
        }
        let arguments = try filters.arguments(for: query, in: reader)
        #expect(try TalliedAnswer(query, arguments: arguments, limit: nil, in: reader) != nil, "not tallied: \(name)")
        #expect(
          try Standing(of: reader, filters: filters, findings: true, usesTallies: true)
            == Standing(of: reader, filters: filters, findings: true, usesTallies: false), "filter \(title)")
      }
    }
  }

  @Test(
    "a report counts findings in its own pass as they are counted by themselves, whichever thread comes first",
    arguments: [(false, false), (true, false), (true, true)])
  func findingsOnTheWay(hasRollups: Bool, hasRelays: Bool) throws {
    let store = try RandomStore(flows: 12_000, hasRollups: hasRollups, hasRelays: hasRelays)
    let reader = try FlowReader(path: store.path)
    for name in ["summary", "bypass", "unproven"] {
      let query = try QueryCatalogue().report(named: name)
      for (title, set) in Self.filters {
        var filters = Filters()
        try set(&filters)
        let expected = try Standing(of: reader, filters: filters, findings: true, usesTallies: false)
        let arguments = try filters.arguments(for: query, in: reader)
        for _ in 0..<10 {
          var standing = try Standing.awaited(of: reader, filters: filters, by: query)
          let answer = try TalliedAnswer(query, arguments: arguments, limit: 7, findings: true, in: reader)
          let found = try #require(answer).findings
          // Who sent what is counted is not who came to the proxy that tells of a finding.
          #expect(found != nil || name == "summary" && hasRelays && filters.source != nil)
          try standing.complete(with: found, in: reader)
          #expect(standing == expected, "\(name), filter \(title)")
        }
        var alone = try Standing.awaited(of: reader, filters: filters, by: query)
        try alone.complete(with: nil, in: reader)
        #expect(alone == expected, "\(name), filter \(title)")
      }
    }
  }

  @Test(
    "hosts are counted alike where every flow has an ending; only the order in lists of words is another",
    arguments: [false, true], [false, true])
  func hosts(hasRollups: Bool, hasRelays: Bool) throws {
    let store = try RandomStore(
      flows: 12_000, isWhollyJudged: true, hasRollups: hasRollups, hasRelays: hasRelays)
    let reader = try FlowReader(path: store.path)
    let query = try QueryCatalogue().report(named: "hosts")
    for (title, set) in Self.filters {
      var filters = Filters()
      try set(&filters)
      let arguments = try filters.arguments(for: query, in: reader)
      #expect(try TalliedAnswer(query, arguments: arguments, limit: nil, in: reader) != nil)
      let slow = try rows(query, filters, nil, tallied: false, reader)
      let fast = try rows(query, filters, nil, tallied: true, reader)
      #expect(fast.columns == slow.columns)
      let lists = ["protocols", "ports", "paths"].compactMap { slow.columns.firstIndex(of: $0) }
      func sorted(_ row: [Value]) -> [Value] {
        var row = row
        for index in lists {
          guard let text = row[index].text else { continue }
          row[index] = .text(text.split(separator: ",").sorted().joined(separator: ","))
        }
        return row
      }
      #expect(fast.rows.map(sorted) == slow.rows.map(sorted), "filter \(title)")
    }
  }

  @Test(
    "what was handed on and not read is told alike from a tally and from SQL, and examples are the first flows",
    arguments: [false, true])
  func missingHops(hasRollups: Bool) throws {
    let store = try RandomStore(flows: 12_000, hasRollups: hasRollups, isSettled: true)
    let reader = try FlowReader(path: store.path)
    let query = try QueryCatalogue().report(named: "missing-hops")
    for (title, set) in Self.filters {
      var filters = Filters()
      try set(&filters)
      let arguments = try filters.arguments(for: query, in: reader)
      #expect(try TalliedAnswer(query, arguments: arguments, limit: nil, in: reader) != nil, "filter \(title)")
      let slow = try rows(query, filters, nil, tallied: false, reader)
      let fast = try rows(query, filters, nil, tallied: true, reader)
      #expect(fast.columns == slow.columns)
      #expect(fast.rows == slow.rows, "filter \(title)")
      if title == "none" { #expect(slow.rows.count > 20) }
    }
  }

  @Test(
    "who sent what one proxy handed on to another is told alike from a tally and from SQL", arguments: [false, true])
  func relays(hasRollups: Bool) throws {
    let store = try RandomStore(flows: 12_000, hasRollups: hasRollups, hasRelays: true)
    let reader = try FlowReader(path: store.path)
    #expect(try reader.value("select count(*) > 2000 and count(distinct source) > 100 from relayed_flow") == 1)
    #expect(try reader.check() == [])
    for name in [
      "summary", "bypass", "blocked", "failed", "latency", "sources", "unproven", "unlogged", "timeline",
    ] {
      let query = try QueryCatalogue().report(named: name)
      for (title, set) in Self.filters {
        var filters = Filters()
        try set(&filters)
        guard query.takes("path") || filters.paths.isEmpty && filters.outcomes.isEmpty else { continue }
        for limit in [nil, 7] {
          let slow = try rows(query, filters, limit, tallied: false, reader)
          let fast = try rows(query, filters, limit, tallied: true, reader)
          #expect(fast.columns == slow.columns)
          #expect(fast.rows == slow.rows, "\(name), filter \(title), limit \(limit ?? 0)")
          #expect(fast.others == slow.others, "\(name), filter \(title), limit \(limit ?? 0)")
        }
      }
    }
  }

  @Test("summary counts the flows of a source as hosts, sources and timeline do: under who sent them")
  func senders() throws {
    let store = try RandomStore(flows: 12_000, isWhollyJudged: true, hasRelays: true)
    let reader = try FlowReader(path: store.path)
    for source in ["10.80.3.0/29", "10.80.3.1", "127.0.0.1", "::1"] {
      var filters = Filters()
      filters.source = try SourcePattern(source)
      // Traffic inside the mesh is left out of some unless it is asked for.
      filters.paths = Path.allCases
      func flows(_ name: String, by column: String = "flows") throws -> Int64 {
        let report = try rows(try QueryCatalogue().report(named: name), filters, nil, tallied: false, reader)
        let place = try #require(report.columns.firstIndex(of: column))
        return report.rows.filter { name != "summary" || $0[0].text == "total" }.reduce(0) {
          $0 + ($1[place].integer ?? 0)
        }
      }
      let summary = try flows("summary")
      #expect(summary > 0)
      for name in ["hosts", "sources", "timeline"] { #expect(try flows(name) == summary, "\(name) of \(source)") }
    }
  }

  @Test("an alert sees the same in all flows from a tally as from its SQL", arguments: [false, true])
  func alerts(hasRollups: Bool) throws {
    let store = try RandomStore(flows: 12_000, hasRollups: hasRollups, hasRelays: true)
    let reader = try FlowReader(path: store.path)
    // What the topology alone shows is no matter of flows.
    let ofFlows = QueryCatalogue().alerts.filter { $0.takes("after") }
    #expect(ofFlows.map(\.name) == ["blocked", "bypass", "new-host", "suspicious"])
    // Signs of spoofing belong to few destinations, with several kinds each: they are left to SQL.
    for query in ofFlows where query.name == "suspicious" {
      #expect(try TalliedAlerts.observations(of: query, in: reader) == nil)
    }
    for query in ofFlows where query.name != "suspicious" {
      #expect(try TalliedAlerts.observations(of: query, in: reader)?.isEmpty == false, "\(query.name)")
      func changed(usingTallies: Bool) throws -> [StoredFinding] {
        var run = AlertRun(queries: [query], rules: .init(now: noon))
        run.usesTallies = usingTallies
        let seen = try run.observations(in: reader, after: nil)
        let step = AlertLedger.step(known: [], seen: seen, complete: .all, rules: .init(now: noon))
        senders.append(step.told.map { "\(step.changed[$0.place].key) \($0.senders.sorted())" })
        return step.changed
      }
      var senders: [[String]] = []
      #expect(try changed(usingTallies: true) == changed(usingTallies: false), "\(query.name)")
      #expect(senders[0] == senders[1])
    }
  }

  @Test("proofs of every sort are among the bypasses, and what was bypassed and why is told by report and alert")
  func claims() throws {
    let store = try RandomStore(flows: 12_000)
    let reader = try FlowReader(path: store.path)
    var ways: Set<[String]> = []
    try reader.query("select bypass, around, bypass_reason from bypass_flow where bypass_reason is not null") { row in
      ways.insert(row.map { $0.text ?? "" })
    }
    let told: Set<[String]> = [
      ["no-sidecar", "sidecar", "client-has-no-sidecar"], ["no-sidecar", "sidecar", "client-skipped-its-sidecar"],
      ["sni-proxy-direct", "gateway", "client-skipped-the-gateway"],
      ["sni-proxy-direct", "gateway", "client-skipped-its-sidecar"],
      ["squid-direct", "gateway", "client-skipped-its-sidecar"],
      ["squid-direct", "sidecar", "client-skipped-its-sidecar"],
    ]
    #expect(ways == told)
    for tallied in [false, true] {
      let report = try rows(try QueryCatalogue().report(named: "bypass"), Filters(), nil, tallied: tallied, reader)
      let places = ["bypass", "around", "reason"].compactMap { report.columns.firstIndex(of: $0) }
      let shown = report.rows.map { row in places.map { row[$0].text ?? "" } }.filter { $0.last != "" }
      #expect(Set(shown) == told)
      var run = AlertRun(queries: QueryCatalogue().alerts, rules: .init(now: noon))
      run.usesTallies = tallied
      var alert = AlertReport()
      let seen = try run.observations(in: reader, after: nil)
      alert.add(
        AlertLedger.step(known: [], seen: seen, complete: .all, rules: .init(now: noon)), isFirstRun: true)
      let kinds = alert.groups.flatMap { group in group.ways.map { [group.kind, $0.around, $0.reason] } }
      #expect(Set(kinds.filter { $0.last != "" }) == told)
      #expect(alert.text.contains("\n      around the sidecar: client-has-no-sidecar\n"))
      #expect(alert.json.contains(#""around":["gateway"],"reasons":["client-skipped-its-sidecar""#))
    }
  }

  @Test("a damaged file never crashes the counting: it is counted as far as its pages make sense, or left to SQL")
  func damage() throws {
    let store = try RandomStore(flows: 3000)
    let whole = try Data(contentsOf: URL(filePath: store.path))
    var random = Numbers(seed: 3)
    for turn in 0..<60 {
      var bytes = whole
      // The header and the schema stay, or SQLite itself would refuse the file.
      for _ in 0..<(turn % 2 == 0 ? 3 : 200) {
        let place = 16_384 * 2 + random.next(bytes.count - 16_384 * 2)
        bytes[place] = UInt8(random.next(256))
      }
      let copy = store.folder.path("damaged-\(turn).db")
      try bytes.write(to: URL(filePath: copy))
      guard let reader = try? FlowReader(path: copy) else { continue }
      for name in ["bypass", "latency", "sources"] {
        let query = try QueryCatalogue().report(named: name)
        _ = try? TalliedAnswer(query, arguments: [:], limit: 25, in: reader)
      }
    }
  }

  @Test("the answers compared are not empty ones")
  func isWorthComparing() throws {
    let store = try RandomStore(flows: 12_000)
    let reader = try FlowReader(path: store.path)
    for (name, least) in [
      ("summary", 15), ("bypass", 200), ("blocked", 50), ("latency", 40), ("sources", 8), ("unproven", 100),
      ("unlogged", 3),
    ] {
      let query = try QueryCatalogue().report(named: name)
      #expect(try rows(query, Filters(), nil, tallied: true, reader).rows.count >= least, "\(name)")
    }
  }

  @Test("while a writer's rows are in its write-ahead log, the tally is that of SQL")
  func besideAWriter() throws {
    let fixture = try StoreFixture()
    let reader = try FlowReader(path: fixture.path)
    let query = try QueryCatalogue().report(named: "bypass")
    #expect(try TalliedAnswer(query, arguments: [:], limit: nil, in: reader) != nil)
    let before = try rows(query, Filters(), nil, tallied: false, reader).rows
    #expect(try rows(query, Filters(), nil, tallied: true, reader).rows == before && !before.isEmpty)
    fixture.store.close()
    #expect(try rows(query, Filters(), nil, tallied: true, try FlowReader(path: fixture.path)).rows == before)
  }

  @Test("a user's query that takes the name of a built-in one is asked as it stands")
  func usersOwn() throws {
    let store = try RandomStore(flows: 10)
    var query = try QueryCatalogue().report(named: "bypass")
    query.isBuiltIn = false
    #expect(try TalliedAnswer(query, arguments: [:], limit: nil, in: try FlowReader(path: store.path)) == nil)
  }

  @Test("the first rows of many are those of the whole in order")
  func firstOfMany() {
    var random = Numbers(seed: 5)
    let numbers = (0..<500).map { _ in random.next(100) }
    for limit in [0, 1, 25, 499, 500, 600] {
      var rest: [Int] = []
      let shown = TalliedAnswer.first(limit, of: numbers, by: <) { rest.append($0) }
      #expect(shown == Array(numbers.sorted().prefix(limit)))
      #expect((shown + rest).sorted() == numbers.sorted())
    }
  }
}
