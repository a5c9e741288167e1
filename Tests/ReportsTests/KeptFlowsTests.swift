import Flows
import Testing

@testable import FlowStore
@testable import Reports

/// Takes rows from flows without regard to what they are: what reports count must not depend on it.
private final class RandomSieve: FlowSieve {
  private var random = Numbers(seed: 9)
  private let share: Int

  /// - Parameter share: of eight flows, those that get no row.
  init(share: Int) { self.share = share }

  func learn(
    sources: [(id: Int64, source: Source)], destinations: [(id: Int64, destination: Destination)],
    outcomes: [(id: Int64, outcome: Outcome)], of log: LogRecord
  ) {}

  func isOrdinary(source: Int64, destination: Int64, outcome: Int64, durationMs: Int64) -> Bool {
    random.next(8) < share
  }
}

@Suite("Reports of flows without rows")
struct KeptFlowsTests {
  /// Times are whole hours, which is what is known of flows without rows.
  static let filters: [(name: String, set: @Sendable (inout Filters) throws -> Void)] = [
    ("none", { _ in }), ("since", { $0.sinceMs = noon + 3_600_000 }), ("until", { $0.untilMs = noon + 7_200_000 }),
    ("host", { $0.host = "host-1*" }), ("source", { $0.source = try SourcePattern("10.80.3.0/29") }),
    ("path", { $0.paths = [.passthrough, .none] }), ("outcome", { $0.outcomes = [.ok, .blocked, .timeout] }),
  ]

  private static let reports = [
    "summary", "bypass", "blocked", "failed", "latency", "hosts", "sources", "timeline", "unlogged",
  ]

  @Test(
    "reports and alerts say the same whether each flow has a row, a part of them, or none that can do without",
    arguments: [3, 8], [false, true])
  func sameAnswers(share: Int, hasRollups: Bool) throws {
    let whole = try RandomStore(flows: 12_000, isWhollyJudged: true, isByHours: true)
    let kept = try RandomStore(
      flows: 12_000, isWhollyJudged: true, isByHours: true, sieve: RandomSieve(share: share))
    let (reader, other) = (try FlowReader(path: whole.path), try FlowReader(path: kept.path))
    #expect(try kept.tallied(by: other) > 2_000)
    #expect(try other.value("select count(*) from flow")?.integer == 12_000 - kept.tallied(by: other))
    // Pages that cannot be read are asked of SQL, row by row.
    other.usesRollups = hasRollups
    for name in Self.reports {
      let query = try QueryCatalogue().report(named: name)
      for (title, set) in Self.filters {
        var filters = Filters()
        try set(&filters)
        guard query.takes("path") || filters.paths.isEmpty && filters.outcomes.isEmpty else { continue }
        let expected = try rows(query, filters, nil, tallied: true, reader)
        let found = try rows(query, filters, nil, tallied: true, other)
        #expect(found.columns == expected.columns)
        #expect(found.rows == expected.rows, "\(name), filter \(title)")
        let (standing, otherStanding) = (
          try Standing(of: reader, filters: filters, findings: true),
          try Standing(of: other, filters: filters, findings: true)
        )
        #expect(otherStanding.bypassed == standing.bypassed, "filter \(title)")
        #expect(otherStanding.doubts == standing.doubts, "filter \(title)")
      }
    }
    for query in QueryCatalogue().alerts where query.takes("after") && query.name != "suspicious" {
      func seen(_ reader: FlowReader) throws -> [StoredFinding] {
        let run = AlertRun(queries: [query], rules: .init(now: noon))
        let seen = try run.observations(in: reader, after: nil)
        return AlertLedger.step(known: [], seen: seen, complete: .all, rules: .init(now: noon)).changed
          .sorted { ($0.key.source, $0.key.host, $0.key.port) < ($1.key.source, $1.key.host, $1.key.port) }
      }
      #expect(try seen(other) == seen(reader), "\(query.name)")
    }
    #expect(try other.check() == reader.check())
  }

  @Test("where pages cannot be read, rows are asked of SQL, and flows without rows are counted beside them")
  func withoutPages() throws {
    let kept = try RandomStore(flows: 4_000, isWhollyJudged: true, isByHours: true, sieve: RandomSieve(share: 4))
    let reader = try FlowReader(path: kept.path)
    let words = "select f.path, f.outcome from judged_flow f where f.id = :example order by f.id"
    func summed(_ tally: Tally?) throws -> [[Value]: [Int64]] {
      let tally = try #require(tally)
      var sums: [[Value]: [Int64]] = [:]
      for group in tally.groups {
        let key = tally.verdicts[group.verdict]
        let sum = sums[key] ?? [0, 0, 0]
        sums[key] = [sum[0] + group.flows, sum[1] &+ (group.sent ?? 0), max(sum[2], group.lastMs)]
      }
      return sums
    }
    let expected = try summed(try reader.tally(TallyRequest(), words: words))
    let found = try reader.access { db in
      try db.run("begin")
      defer { try? db.run("rollback") }
      return try summed(
        try reader.tally(TallyRequest(), words, [:], nil, [], try RollupRun.tallies(db), db) { runs, kind in
          try ChunkReading.chunks(of: runs, kind, db)
        })
    }
    #expect(found == expected)
    #expect(expected.values.reduce(0) { $0 + $1[0] } == 4_000)
  }

  @Test("another judgement judges flows without rows anew")
  func judgedAnew() throws {
    let whole = try RandomStore(flows: 6_000, isWhollyJudged: true, isByHours: true)
    let kept = try RandomStore(flows: 6_000, isWhollyJudged: true, isByHours: true, sieve: RandomSieve(share: 8))
    for path in [whole.path, kept.path] {
      let store = try FlowStore(path: path)
      var judgement = RandomStore.judgement(try store.facts(), true, .hours)
      judgement.policyHash = "another"
      // Each source and each destination changes places with another class.
      judgement.sourceClasses = judgement.sourceClasses.map {
        ($0.source, ($0.class + Int($0.source % 2)) % 3, $0.name)
      }
      judgement.destinationClasses = judgement.destinationClasses.map { ($0.destination, 7 - $0.class) }
      try store.apply(judgement)
      try store.commit()
      store.close()
    }
    let (reader, other) = (try FlowReader(path: whole.path), try FlowReader(path: kept.path))
    for name in Self.reports {
      let query = try QueryCatalogue().report(named: name)
      #expect(
        try rows(query, Filters(), nil, tallied: true, other).rows
          == rows(query, Filters(), nil, tallied: true, reader).rows, "\(name)")
    }
  }

  @Test("an hour that a policy's time cuts is judged by the worse side, and no flow is lost or counted twice")
  func cutHours() throws {
    let whole = try RandomStore(flows: 6_000, isWhollyJudged: true)
    let kept = try RandomStore(flows: 6_000, isWhollyJudged: true, isByHours: true, sieve: RandomSieve(share: 8))
    let store = try FlowStore(path: kept.path)
    try store.apply(RandomStore.judgement(try store.facts(), true, .anywhere))
    try store.commit()
    store.close()
    let (reader, other) = (try FlowReader(path: whole.path), try FlowReader(path: kept.path))
    func flows(_ part: String, _ reader: FlowReader) throws -> Int64 {
      let summary = try rows(try QueryCatalogue().report(named: "summary"), Filters(), nil, tallied: true, reader)
      return summary.rows.filter { $0[0].text == part }.reduce(0) { $0 + ($1[2].integer ?? 0) }
    }
    #expect(try flows("total", other) + flows("not counted", other) == 6_000)
    #expect(try flows("bypass", other) > 0)
    let bypass = try Standing(of: other, findings: true).bypassed
    let exact = try Standing(of: reader, findings: true).bypassed
    #expect(try #require(bypass).flows + #require(bypass).allowed > 0)
    #expect(try #require(exact).flows > 0)
  }

  @Test("what is made of single flows alone says how many it does not see; times that cut an hour are said, too")
  func saysWhatIsMissing() throws {
    let kept = try RandomStore(flows: 2_000, isWhollyJudged: true, isByHours: true, sieve: RandomSieve(share: 8))
    let reader = try FlowReader(path: kept.path)
    let tallied = try kept.tallied(by: reader)
    for name in ["flows", "journeys", "suspicious"] {
      let report = Report(try QueryCatalogue().report(named: name))
      #expect(try report.noteOfUnseen(in: reader)?.hasPrefix(Quantities.grouped(tallied)) == true, "\(name)")
    }
    let bypass = try QueryCatalogue().report(named: "bypass")
    #expect(try Report(bypass).noteOfUnseen(in: reader, isTallied: true) == nil)
    var filters = Filters()
    filters.sinceMs = noon + 60_000
    #expect(
      try Report(bypass, filters: filters).noteOfUnseen(in: reader, isTallied: true)?.contains("whole hours") == true)
    #expect(try Standing(of: reader, findings: false).coverage.contains("kept as sums alone"))
    let whole = try RandomStore(flows: 100)
    #expect(try Report(bypass).noteOfUnseen(in: FlowReader(path: whole.path)) == nil)
  }

  @Test("flows without rows are pruned by whole hours, and what is left is whole")
  func pruned() throws {
    let kept = try RandomStore(flows: 6_000, isWhollyJudged: true, isByHours: true, sieve: RandomSieve(share: 8))
    let whole = try RandomStore(flows: 6_000, isWhollyJudged: true, isByHours: true)
    for path in [kept.path, whole.path] {
      let store = try FlowStore(path: path)
      _ = try store.prune(before: noon + 7_200_000)
      try store.apply(RandomStore.judgement(try store.facts(), true, .hours))
      try store.commit()
      store.close()
    }
    let (reader, other) = (try FlowReader(path: whole.path), try FlowReader(path: kept.path))
    #expect(try other.check() == reader.check())
    for name in ["timeline", "hosts"] {
      let query = try QueryCatalogue().report(named: name)
      let (expected, found) = (
        try rows(query, Filters(), nil, tallied: true, reader), try rows(query, Filters(), nil, tallied: true, other)
      )
      // Classes go by row ids, which are others now: only what does not depend on verdicts can be compared.
      #expect(found.rows.first?.first == expected.rows.first?.first, "\(name)")
    }
    #expect(try other.info().flows == reader.info().flows)
  }
}

extension RandomStore {
  func tallied(by reader: FlowReader) throws -> Int64 { try reader.talliedFlows() }
}
