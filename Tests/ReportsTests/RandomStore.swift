import Flows
import Foundation
import Testing

@testable import FlowStore

/// A closed store with flows of every sort in no order: with and without durations and bytes, several policy intervals,
/// sources without a name and hosts without one, next hops read for a part of the time, second views, doubtful lines.
final class RandomStore {
  let folder: ScratchFolder
  var path: String { folder.path() }

  /// - Parameters:
  ///   - logs: that hold as many flows each; all but the first have silences.
  ///   - isByHours: verdicts change at whole hours, and no hops are joined: what flows without rows can tell.
  ///   - hasRelays: some sources are SNI proxies that gateways in their pods speak to.
  ///   - isSettled: no minute waits for being joined.
  ///   - sieve: says which flows get no row.
  init(
    flows: Int, logs: Int = 1, isWhollyJudged: Bool = false, hasRollups: Bool = false, isByHours: Bool = false,
    hasRelays: Bool = false, isSettled: Bool = false, sieve: (any FlowSieve)? = nil
  ) throws {
    folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    for number in 0..<logs {
      var log = LogRecord(path: "/var/log/sidecar\(number > 0 ? "-\(number)" : "").log")
      log.id = try store.insert(log: log)
      let batch = RandomStore.batch(flows / logs)
      if hasRelays { RandomStore.addRelays(to: batch) }
      if number > 0 { RandomStore.addSilences(to: batch, number) }
      try store.append(batch, log: log, firstLine: 1, position: 0, parser: number, sieve: sieve)
      log.lines = Int64(flows / logs)
      log.read = Int64(flows / logs)
      log.stored = Int64(flows / logs)
      (log.firstMs, log.lastMs) = (noon, noon + 20_000_000)
      try store.update(log: log)
    }
    try store.apply(RandomStore.judgement(try store.facts(), isWhollyJudged, isByHours ? .hours : .anywhere))
    if !isByHours { try RandomStore.join(flows, hasRelays, store) }
    if isSettled { try store.access { db throws(StoreError) in try db.run("delete from open_minute") } }
    try store.commit()
    if hasRollups {
      store.rollupSizes = RollupSizes(threshold: 800, margin: 300, slice: 512, slices: 3)
      try store.rollUp()
      let rolledUp = try FlowReader(path: store.path).info().rolledUpFlows
      precondition(rolledUp > Int64(flows) - 1000)
    }
    store.close()
  }

  private static func join(_ flows: Int, _ hasRelays: Bool, _ store: FlowStore) throws {
    // Every place that a flow can have in a journey, and two flows of three in none. Some have a sender of their own.
    try store.write(
      joined: stride(from: 3, through: Int64(flows), by: 3).map {
        JoinedHop(
          flow: $0, journey: UInt64($0 / 2), place: JourneyPlace(rawValue: UInt8($0 / 3 % 128)),
          sender: hasRelays && $0 % 4 != 0 ? Int32($0 / 12 % 14 + 1) : 0)
      }, of: [1...Int64(flows)])
    // Some clients' own logs are whole, for a part of the time, and in some minutes lines may have come since.
    try store.access { db throws(StoreError) in
      try db.run(
        "insert into own_log values ('10.80.3.1', \(noon), \(noon + 15_000_000)), ('10.80.3.2', \(noon), \(noon + 900_000)), ('10.80.3.2', \(noon + 5_000_000), \(noon + 19_000_000)), ('10.80.3.5', \(noon + 4_000_000), \(noon + 25_000_000))"
      )
      try db.run("delete from open_minute")
      try db.run("insert into open_minute values (\((noon + 8_000_000) / 60_000))")
    }
  }

  static func batch(_ flows: Int) -> FlowBatch {
    var random = Numbers(seed: 1)
    let batch = FlowBatch(capacity: flows)
    batch.newSources = (0..<16).map { number in
      Source(
        log: 0, proxy: .envoy, shape: .outbound, clientIP: "10.80.3.\(number / 2)", clientIsForwarded: number % 2 == 1,
        proxyIP: number % 3 == 0 || number >= 6 ? nil : "10.80.3.\(number / 2)",
        pod: number % 5 == 0 ? "sleep-\(number / 10)" : nil)
    }
    batch.newDestinations = (0..<60).map { number in
      Destination(
        host: number == 7 || number == 8 ? nil : "host-\(number / 2).example.\(number % 7 == 0 ? "org" : "com")",
        hostOrigin: .authority, port: [0, 80, 443][number % 3], traffic: number % 4 == 0 ? .tcp : .http,
        // Where there is no host, the address is that of another destination, or there is none either.
        upstream: number == 8 ? nil : Endpoint(ip: "203.0.113.\(number == 7 ? 20 : number)", port: 443))
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

  private static func addRelays(to batch: FlowBatch) {
    for number in [3, 8] {
      batch.newSources[number] = Source(
        log: 0, proxy: .nginxStream, shape: .server, clientIP: number == 3 ? "127.0.0.1" : "::1")
    }
  }

  /// Leaves quarters of an hour with lines, ever further apart.
  private static func addSilences(to batch: FlowBatch, _ number: Int) {
    let distance = 5_000_000 * Int64(number)
    for index in 0..<batch.count {
      let passed = batch.rows[index].startedAtMs - noon
      batch.rows[index].startedAtMs = noon + passed / distance * distance + passed % 900_000
      batch.rows[index].durationMs = min(batch.rows[index].durationMs, 3_000)
    }
  }

  /// When verdicts change, in milliseconds after noon: borders of the policy, and from when until when the log of the next hop
  /// was read.
  struct Moments {
    var first, second, end, nextHop, nextHopEnd: Int64
    /// Holes of whole hours, and of the same number of them.
    var leastHole: Int64?
    static let anywhere = Moments(
      first: 4_000_000, second: 12_000_000, end: 18_000_000, nextHop: 3_000_000, nextHopEnd: 9_000_000)
    static let hours = Moments(
      first: 3_600_000, second: 10_800_000, end: 18_000_000, nextHop: 3_600_000, nextHopEnd: 10_799_999,
      leastHole: 3_600_000)

    /// Times between two logs of the next hop.
    func holes(_ source: Int) -> [ClosedRange<Int64>] {
      let length = leastHole ?? 1_000_123
      let from = noon + nextHop + Int64(source) * (leastHole ?? 222_222)
      return source == 1 ? [from...from + length - 1] : [from...from + length / 3, from + length...from + 2 * length]
    }
  }

  static func judgement(_ facts: StoredFacts, _ isWhollyJudged: Bool, _ moments: Moments) -> Judgement {
    var judgement = Judgement()
    judgement.policyHash = "random"
    judgement.intervals = [
      PolicyInterval(id: 0, fromMs: .min, untilMs: noon + moments.first),
      PolicyInterval(id: 1, fromMs: noon + moments.first, untilMs: noon + moments.second),
      // Nothing is said of the time behind it.
      PolicyInterval(id: 2, fromMs: noon + moments.second, untilMs: isWhollyJudged ? .max : noon + moments.end),
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
              verdict: route(interval, source, destination, moments)))
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

  private static func route(_ interval: Int, _ source: Int, _ destination: Int, _ moments: Moments) -> RouteVerdict {
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
        nextHopFromMs: noon + moments.nextHop, nextHopUntilMs: noon + moments.nextHopEnd,
        nextHopHoles: source == 0 || source == 2 && moments.leastHole != nil ? [] : moments.holes(source))
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

/// The same numbers in every run.
struct Numbers {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next(_ below: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int((state >> 33) % UInt64(below))
  }
}
