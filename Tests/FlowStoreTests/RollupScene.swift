import Flows
import Testing

@testable import FlowStore

/// A store with flows of every sort, judged in several ways, with rollups of a few hundred flows.
final class RollupScene {
  let folder: ScratchFolder
  let store: FlowStore
  private var log = LogRecord(path: "/var/log/sidecar.log")
  private var random = RandomNumbers(seed: 1)
  private var isDescribed = false

  init() throws {
    folder = try ScratchFolder()
    store = try FlowStore(path: folder.path())
    store.rollupSizes = RollupSizes(threshold: 800, margin: 368, slice: 256, slices: 3, stackBits: 3)
  }

  func reader() throws -> FlowReader { try FlowReader(path: store.path) }

  /// - Parameter begin: they begin within 20,000 seconds from here on.
  func append(_ flows: Int, from begin: Int64 = noon) throws {
    let batch = FlowBatch(capacity: flows)
    if !isDescribed {
      batch.newSources = (0..<16).map {
        Source(log: 0, proxy: .envoy, shape: .outbound, clientIP: "10.80.3.\($0)", proxyIP: "10.80.3.\($0)")
      }
      batch.newDestinations = (0..<60).map {
        Destination(
          host: $0 == 7 ? nil : "host-\($0 / 2)", hostOrigin: .authority, port: [0, 80, 443][$0 % 3],
          traffic: $0 % 4 == 0 ? .tcp : .http, upstream: Endpoint(ip: "203.0.113.\($0)", port: 443))
      }
      batch.newOutcomes = (0..<14).map { Outcome(protocol: "HTTP/\($0 % 3)", method: "GET", status: 200 + $0) }
      isDescribed = true
    } else {
      (batch.firstNewSource, batch.firstNewDestination, batch.firstNewOutcome) = (16, 60, 14)
    }
    for index in 0..<flows {
      var row = FlowRow()
      row.startedAtMs = begin + Int64(random.next(20_000_000))
      row.durationMs = random.next(10) == 0 ? -1 : Int64(random.next(random.next(8) == 0 ? 4_000_000 : 900))
      row.sent = random.next(7) == 0 ? -1 : [0, 1, 200, 40_000, 9_000_000, 5_000_000_000][random.next(6)]
      row.received = random.next(9) == 0 ? -1 : Int64(random.next(100_000))
      row.line = log.lines + Int64(index + 1)
      row.source = Int32(random.next(16))
      row.destination = Int32(min(random.next(60), random.next(60)))
      row.outcome = Int32(min(random.next(14), random.next(14)))
      row.pathTemplate = -1
      batch.rows[index] = row
    }
    batch.count = flows
    batch.storedByFormat = ["istio-1.8": flows]
    (batch.firstMs, batch.lastMs) = (begin, begin + 20_000_000)
    try store.store(batch, into: &log)
    try store.commit()
  }

  /// - Returns: the flows that runs stand for.
  func rollUp() throws -> Int64 {
    try store.rollUp()
    return try runs().reduce(0) { $0 + $1.flows }
  }

  func runs() throws -> [RollupRun] { try store.access { db throws(StoreError) in try RollupRun.all(db) } }

  func prune(before startedAtMs: Int64) throws {
    _ = try store.prune(before: startedAtMs)
    try store.commit()
    isDescribed = false
  }

  func execute(_ sql: String) throws {
    try store.access { db throws(StoreError) in try db.run(sql) }
    store.settle()
  }

  /// Moves what no reader needs any more from the write-ahead log into the file.
  func checkpoint() throws {
    try store.access { db throws(StoreError) in try db.run("pragma wal_checkpoint(passive)") }
  }

  func join(_ flows: [Int64]) throws {
    try store.write(
      joined: flows.map {
        JoinedHop(flow: $0, journey: UInt64($0 / 2), place: JourneyPlace(rawValue: UInt8($0 % 128)))
      },
      of: flows.map { $0...$0 })
    try store.commit()
  }

  func anyPart(_ random: inout RandomNumbers) throws -> (Int64, [UInt8]) {
    let pick = random.next(1000)
    return try store.access { db throws(StoreError) in
      let row = try db.statement(
        "select id, content from rollup_part order by id limit 1 offset \(pick) % (select count(*) from rollup_part)")
      guard try row.step() else { return (0, []) }
      return (row.int(0), row.blob(1) ?? [])
    }
  }

  func write(part id: Int64, _ bytes: [UInt8]) throws {
    try store.write("part") { db throws(StoreError) in
      try db.statement("update rollup_part set content = ? where id = ?").run(.blob(bytes), .integer(id))
    }
    try store.commit()
    store.settle()
  }

  // MARK: Judgements

  /// Judges by one of several policies: other classes, times, next hops and exceptions.
  func judge(_ variant: Int) throws {
    let facts = try store.facts()
    var judgement = Judgement()
    judgement.policyHash = "variant \(variant)"
    let borders = [noon + 4_000_000 + Int64(variant % 3) * 100_000, noon + 12_000_000]
    judgement.intervals = [
      PolicyInterval(id: 0, fromMs: .min, untilMs: borders[0]),
      PolicyInterval(id: 1, fromMs: borders[0], untilMs: borders[1]),
      // In some, nothing is said of the time behind it.
      PolicyInterval(id: 2, fromMs: borders[1], untilMs: variant % 4 == 3 ? noon + 18_000_000 : .max),
    ]
    judgement.sourceClasses = facts.sources.map { ($0.id, Int($0.id) % (2 + variant % 3), nil) }
    judgement.destinationClasses = facts.destinations.dropLast(variant % 2).map {
      ($0.id, Int($0.id + Int64(variant)) % 6)
    }
    for interval in 0..<3 {
      for source in 0..<5 {
        for destination in 0..<6 {
          judgement.routes.append(
            .init(
              interval: interval, sourceClass: source, destinationClass: destination,
              verdict: route(variant, interval, source, destination)))
        }
      }
    }
    for outcome in facts.outcomes {
      for context in variant % 2 == 0 ? OutcomeContext.allCases : [.egress] {
        judgement.endings.append(.init(context: context, outcome: outcome.id, verdict: ending(outcome.id)))
      }
    }
    judgement.exceptions = [(label: "vendor", owner: "payments", reason: "", expiresMs: nil)]
    try store.apply(judgement)
    try store.commit()
    store.settle()
  }

  private func route(_ variant: Int, _ interval: Int, _ source: Int, _ destination: Int) -> RouteVerdict {
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
        nextHopFromMs: noon + 3_000_000 + Int64(variant) * 50_000, nextHopUntilMs: noon + 9_000_000,
        nextHopHoles: source == 0
          ? [] : [noon + 4_000_000...noon + 4_500_123, noon + 5_000_000...noon + 5_000_000 + Int64(variant) * 70_000])
    case 4: RouteVerdict(role: .gateway, path: .gateway, context: .blackHole, rule: "guess", assumption: "a guess")
    default:
      RouteVerdict(role: .forwardProxy, path: .proxy, context: .mesh, rule: "declared", warnings: ["source-unproven"])
    }
  }

  private func ending(_ outcome: Int64) -> OutcomeVerdict {
    switch outcome % 7 {
    case 0, 1, 2: OutcomeVerdict(outcome: .ok)
    case 3: OutcomeVerdict(outcome: .blocked, reason: "registry-only-http", left: false)
    case 4: OutcomeVerdict(outcome: .timeout, reason: "upstream-timeout")
    case 5: OutcomeVerdict(outcome: .ok, isDuplicateView: true)
    default: OutcomeVerdict(outcome: .ok, neverClears: true)
    }
  }

  // MARK: Twins

  static let words = """
    select f.role, f.path, f.outcome, f.bypass, f.exception_id, f.severity, f.counted, f.verdict_warnings, o.protocol
    from judged_flow f
    left join outcome o on o.id = f.outcome_id
    where f.id = :example and f.outcome <> 'failed'
    order by f.id
    """

  /// Asks all sorts of tallies, from rollups and from rows.
  func compare(_ title: String) throws {
    store.settle()
    let reader = try reader()
    defer { reader.close() }
    for number in 0..<12 {
      var request = TallyRequest()
      request.measuresDurations = number % 3 == 2
      if number % 2 == 1 {
        request.destinationGroups = (0...61).map { $0 % 5 == 4 ? -1 : Int32($0 % (number == 5 ? 2 : 23)) }
      }
      if number % 4 > 1 { request.sourceGroups = (0...16).map { number == 7 ? 0 : $0 % 6 == 5 ? -1 : Int32($0 / 2) } }
      if number > 8 { request.sinceMs = noon + Int64(number - 9) * 4_000_123 }
      if number > 9 { request.untilMs = noon + 17_000_000 }
      let rows = try reader.tally(request, words: Self.words, arguments: [:], usingRollups: false)
      let runs = try reader.tally(request, words: Self.words, arguments: [:], usingRollups: true)
      let expected = described(try #require(rows))
      #expect(!expected.isEmpty || number > 8)
      #expect(described(try #require(runs)) == expected, "\(title), request \(number)")
      guard request.sourceGroups != nil, let destinations = request.destinationGroups else { continue }
      request.collectsSources = true
      let apart = try #require(rows)
      for usesRollups in [false, true] {
        let collected = try #require(
          try reader.tally(request, words: Self.words, arguments: [:], usingRollups: usesRollups))
        #expect(collected.groups.allSatisfy { $0.source == 0 })
        #expect(counts(collected) == counts(apart), "\(title), request \(number)")
        let sets = try #require(collected.sources)
        for destination in 0...Int(destinations.max()!) {
          let met = Set(apart.groups.filter { $0.destination == destination }.map(\.source))
          #expect(
            Set((0..<sets[destination].count * 64).filter { sets[destination][$0 / 64] >> UInt64($0 % 64) & 1 == 1 })
              == met)
        }
      }
    }
  }

  /// Flows by verdict and destination.
  private func counts(_ tally: Tally) -> [String: Int64] {
    var counts: [String: Int64] = [:]
    for group in tally.groups {
      counts["\(tally.verdicts[group.verdict]) \(group.destination)", default: 0] += group.flows
    }
    return counts
  }

  private func described(_ tally: Tally) -> [String] {
    tally.groups.enumerated().map { index, group in
      let bytes =
        tally.durations.isEmpty ? "\(String(describing: group.sent)) \(String(describing: group.received))" : ""
      let durations = index < tally.durations.count ? "\(tally.durations[index].encoded)" : ""
      return
        "\(tally.verdicts[group.verdict]) \(group.source) \(group.destination) \(group.flows) \(group.firstMs) \(group.lastMs) \(bytes) \(durations)"
    }.sorted()
  }
}
