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
    for name in ["summary", "bypass", "blocked", "latency", "sources"] {
      let query = try QueryCatalogue().report(named: name)
      for (title, set) in Self.filters {
        var filters = Filters()
        try set(&filters)
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
    "hosts are counted alike where every flow has an ending; only the order in lists of words is another",
    arguments: [false, true])
  func hosts(hasRollups: Bool) throws {
    let store = try RandomStore(flows: 12_000, isWhollyJudged: true, hasRollups: hasRollups)
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

  @Test("an alert sees the same in all flows from a tally as from its SQL", arguments: [false, true])
  func alerts(hasRollups: Bool) throws {
    let store = try RandomStore(flows: 12_000, hasRollups: hasRollups)
    let reader = try FlowReader(path: store.path)
    // What the topology alone shows is no matter of flows.
    let ofFlows = try QueryCatalogue().alerts.filter { $0.takes("after") }
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
        return AlertLedger.step(known: [], seen: seen, isComplete: true, rules: .init(now: noon)).changed
      }
      #expect(try changed(usingTallies: true) == changed(usingTallies: false), "\(query.name)")
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
      var run = AlertRun(queries: try QueryCatalogue().alerts, rules: .init(now: noon))
      run.usesTallies = tallied
      var alert = AlertReport()
      let seen = try run.observations(in: reader, after: nil)
      alert.add(
        AlertLedger.step(known: [], seen: seen, isComplete: true, rules: .init(now: noon)).told, isFirstRun: true)
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
    for (name, least) in [("summary", 15), ("bypass", 200), ("blocked", 50), ("latency", 40), ("sources", 8)] {
      let query = try QueryCatalogue().report(named: name)
      #expect(try rows(query, Filters(), nil, tallied: true, reader).rows.count >= least, "\(name)")
    }
  }

  @Test("while a writer's rows are not in the file yet, SQL answers")
  func besideAWriter() throws {
    let fixture = try StoreFixture()
    let reader = try FlowReader(path: fixture.path)
    let query = try QueryCatalogue().report(named: "bypass")
    #expect(try TalliedAnswer(query, arguments: [:], limit: nil, in: reader) == nil)
    let before = try rows(query, Filters(), nil, tallied: true, reader).rows
    fixture.store.close()
    let settled = try FlowReader(path: fixture.path)
    #expect(try TalliedAnswer(query, arguments: [:], limit: nil, in: settled) != nil)
    #expect(try rows(query, Filters(), nil, tallied: true, settled).rows == before)
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
      let (shown, rest) = TalliedAnswer.first(limit, of: numbers, by: <)
      #expect(shown == Array(numbers.sorted().prefix(limit)))
      #expect((shown + rest).sorted() == numbers.sorted())
    }
  }

  private struct Rows {
    var columns: [String] = []
    var rows: [[Value]] = []
    var others: [Value]?
  }

  private final class Collector: Renderer {
    var rows = Rows()
    func begin(_ heading: Heading) throws { rows.columns = heading.columns.map(\.name) }
    func row(_ values: [Value]) throws { rows.rows.append(values) }
    func end(_ footing: Footing) throws {
      rows.others = footing.others.map { $0.values + [.integer(Int64($0.rows))] }
    }
  }

  private func rows(
    _ query: Query, _ filters: Filters, _ limit: Int?, tallied: Bool, _ reader: FlowReader
  ) throws -> Rows {
    let collector = Collector()
    var report = Report(query, filters: filters, limit: limit)
    report.usesTallies = tallied
    try report.write(from: reader, with: collector)
    var rows = collector.rows
    // In which order the words of a list stand is left open by SQL.
    rows.rows = rows.rows.map { row in
      row.map { value in
        guard case .text(let text) = value, text.contains(",") else { return value }
        return .text(text.split(separator: ",").sorted().joined(separator: ","))
      }
    }
    return rows
  }
}

/// The same numbers in every run.
struct Numbers {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next(_ below: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int((state >> 33) % UInt64(below))
  }
}

/// A closed store with flows of every sort in no order: with and without durations and bytes, several policy intervals,
/// sources without a name and hosts without one, next hops read for a part of the time, second views, doubtful lines.
private final class RandomStore {
  let folder: ScratchFolder
  var path: String { folder.path() }

  init(flows: Int, isWhollyJudged: Bool = false, hasRollups: Bool = false) throws {
    folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var log = LogRecord(path: "/var/log/sidecar.log")
    log.id = try store.insert(log: log)
    try store.append(RandomStore.batch(flows), log: log.id, firstLine: 1, position: 0)
    log.lines = Int64(flows)
    log.read = Int64(flows)
    log.stored = Int64(flows)
    (log.firstMs, log.lastMs) = (noon, noon + 20_000_000)
    try store.update(log: log)
    try store.apply(RandomStore.judgement(try store.facts(), isWhollyJudged))
    // Every place that a flow can have in a journey, and two flows of three in none.
    try store.write(
      joined: stride(from: 3, through: Int64(flows), by: 3).map {
        JoinedHop(flow: $0, journey: UInt64($0 / 2), place: JourneyPlace(rawValue: UInt8($0 / 3 % 64)))
      }, of: [1...Int64(flows)])
    // Some clients' own logs are whole, for a part of the time, and in some minutes lines may have come since.
    try store.access { db throws(StoreError) in
      try db.run(
        "insert into own_log values ('10.80.3.1', \(noon), \(noon + 15_000_000)), ('10.80.3.2', \(noon), \(noon + 900_000)), ('10.80.3.2', \(noon + 5_000_000), \(noon + 19_000_000)), ('10.80.3.5', \(noon + 4_000_000), \(noon + 25_000_000))"
      )
      try db.run("delete from open_minute")
      try db.run("insert into open_minute values (\((noon + 8_000_000) / 60_000))")
    }
    try store.commit()
    if hasRollups {
      store.rollupSizes = RollupSizes(threshold: 800, margin: 300, slice: 512, slices: 3, fanIn: 3)
      try store.rollUp()
      let rolledUp = try FlowReader(path: store.path).info().rolledUpFlows
      precondition(rolledUp > Int64(flows) - 1000)
    }
    store.close()
  }

  private static func batch(_ flows: Int) -> FlowBatch {
    var random = Numbers(seed: 1)
    let batch = FlowBatch(capacity: flows)
    batch.newSources = (0..<16).map { number in
      Source(
        log: 0, proxy: .envoy, shape: .outbound, clientIP: "10.80.3.\(number / 2)", clientIsForwarded: number % 2 == 1,
        proxyIP: number % 3 == 0 ? nil : "10.80.3.\(number / 2)", pod: number % 5 == 0 ? "sleep-\(number / 10)" : nil)
    }
    batch.newDestinations = (0..<60).map { number in
      Destination(
        host: number == 7 ? nil : "host-\(number / 2).example.\(number % 7 == 0 ? "org" : "com")",
        hostOrigin: .authority, port: [0, 80, 443][number % 3], traffic: number % 4 == 0 ? .tcp : .http,
        upstream: Endpoint(ip: "203.0.113.\(number)", port: 443))
    }
    batch.newOutcomes = (0..<9).map { Outcome(protocol: "HTTP/\($0 % 3)", method: "GET", status: 200 + $0) }
    batch.newPathTemplates = ["/"]
    for index in 0..<flows {
      var row = FlowRow()
      row.startedAtMs = noon + Int64(random.next(20_000_000))
      row.durationMs = random.next(10) == 0 ? -1 : Int64(random.next(random.next(8) == 0 ? 4_000_000 : 900))
      row.sent = random.next(7) == 0 ? -1 : [0, 1, 200, 40_000, 9_000_000, 5_000_000_000][random.next(6)]
      row.received = random.next(9) == 0 ? -1 : Int64(random.next(100_000))
      row.requestHash = random.next(3) == 0 ? 0 : UInt64(random.next(1 << 30)) << 20
      row.line = Int64(index + 1)
      row.source = Int32(random.next(16))
      row.destination = Int32(min(random.next(60), random.next(60)))
      row.outcome = Int32(min(random.next(9), random.next(9)))
      row.pathTemplate = Int32(random.next(2)) - 1
      row.sourcePort = UInt16(random.next(65_536))
      batch.rows[index] = row
    }
    batch.count = flows
    return batch
  }

  private static func judgement(_ facts: StoredFacts, _ isWhollyJudged: Bool) -> Judgement {
    var judgement = Judgement()
    judgement.policyHash = "random"
    judgement.intervals = [
      PolicyInterval(id: 0, fromMs: .min, untilMs: noon + 4_000_000),
      PolicyInterval(id: 1, fromMs: noon + 4_000_000, untilMs: noon + 12_000_000),
      // Nothing is said of the time behind it.
      PolicyInterval(id: 2, fromMs: noon + 12_000_000, untilMs: isWhollyJudged ? .max : noon + 18_000_000),
    ]
    judgement.sourceClasses = facts.sources.map { ($0.id, Int($0.id % 3), $0.id % 4 == 0 ? "workload" : nil) }
    // The last destination has no class.
    judgement.destinationClasses = facts.destinations.dropLast(isWhollyJudged ? 0 : 1).map { ($0.id, Int($0.id % 8)) }
    for interval in 0..<3 {
      for source in 0..<3 {
        // Nor is anything said of the last class of destinations from the last one of sources.
        for destination in 0..<(source == 2 && !isWhollyJudged ? 7 : 8) {
          judgement.routes.append(
            .init(
              interval: interval, sourceClass: source, destinationClass: destination,
              verdict: route(interval, source, destination)))
        }
      }
    }
    for outcome in facts.outcomes {
      for context in isWhollyJudged ? OutcomeContext.allCases : [.egress, .blackHole] {
        judgement.endings.append(.init(context: context, outcome: outcome.id, verdict: ending(outcome.id)))
      }
    }
    judgement.exceptions = [(label: "*.example.org:80", owner: "payments", reason: "vendor", expiresMs: nil)]
    return judgement
  }

  private static func route(_ interval: Int, _ source: Int, _ destination: Int) -> RouteVerdict {
    switch destination {
    case 0: RouteVerdict(role: .sidecar, path: .gateway, context: .egress, rule: "cluster-is-gateway")
    case 1:
      RouteVerdict(
        role: .sidecar, path: .passthrough, bypass: .passthrough, severity: interval == 0 ? .warning : .critical,
        context: .egress, rule: "passthrough-external")
    case 2:
      RouteVerdict(
        role: .sidecar, path: .direct, bypass: .directServiceEntry, severity: .info, context: .egress,
        rule: "service-entry", exception: source == 1 ? 0 : nil)
    case 3:
      RouteVerdict(
        role: .sidecar, path: .gateway, context: .egress, rule: "cluster-is-gateway", nextHop: .gateway,
        nextHopFromMs: noon + 3_000_000, nextHopUntilMs: noon + 9_000_000)
    case 4:
      RouteVerdict(
        role: .gateway, path: .gateway, severity: .info, context: .blackHole, rule: "gateway-line",
        exception: source == 2 ? 0 : nil, warnings: ["source-unproven"],
        claim: BypassClaim(
          bypass: .noSidecar, severity: .warning, around: .sidecar, reason: interval == 0 ? .clientHasNoSidecar : nil))
    case 5:
      RouteVerdict(role: .gateway, path: .gateway, context: .egress, rule: "guess", assumption: "a guess \(source)")
    case 6:
      RouteVerdict(
        role: .sniProxy, path: source == 0 ? .unknown : .sniProxy, context: .egress, rule: "sni-proxy-line",
        warnings: ["source-unproven"],
        claim: source == 0
          ? nil
          : BypassClaim(bypass: .sniProxyDirect, severity: .critical, around: .gateway, needsGateway: source == 1))
    default:
      RouteVerdict(
        role: .forwardProxy, path: .proxy, context: interval == 2 ? .mesh : .egress, rule: "declared",
        warnings: ["source-unproven"],
        claim: BypassClaim(
          bypass: .squidDirect, severity: interval == 1 ? .critical : .warning,
          around: interval == 1 ? .gateway : .sidecar))
    }
  }

  private static func ending(_ outcome: Int64) -> OutcomeVerdict {
    switch outcome % 9 {
    case 0, 1, 2: OutcomeVerdict(outcome: .ok)
    case 3: OutcomeVerdict(outcome: .blocked, reason: "registry-only-http", left: false)
    case 4: OutcomeVerdict(outcome: .blocked, reason: "rbac-http")
    case 5: OutcomeVerdict(outcome: .timeout, reason: "upstream-timeout")
    case 6: OutcomeVerdict(outcome: .ok, isDuplicateView: true)
    case 7: OutcomeVerdict(outcome: .ok, neverClears: true)
    default: OutcomeVerdict(outcome: .failed, reason: "connection-refused")
    }
  }
}
