import FlowStore
import Flows
import Foundation

@testable import Reports

/// A folder of its own for each test, gone with it.
final class ScratchFolder {
  let url: URL
  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "gatewatch-reports-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(at: url) }
  func path(_ name: String = "flows.db") -> String { url.appending(path: name).path }
}

/// 1 November 2026, noon, UTC, in Unix milliseconds.
let noon: Int64 = 1_793_534_400_000
let hour: Int64 = 3_600_000

/// A store with a few flows of every sort, judged by hand: what is tested is the asking, not the judging.
///
/// | flows | source | host | verdict |
/// |---|---|---|---|
/// | 40 | sleep | gateway.example.com:443 | gateway, ok; every 10th a timeout |
/// | 7 | sleep | shadow.example.net:443 | passthrough, critical |
/// | 3 | 10.80.3.12 | shadow.example.net:443 | passthrough, critical |
/// | 5 | sleep | vendor.example.org:80 | direct-service-entry, allowed by an exception |
/// | 6 | 10.80.3.12 | refused.example.com:443 | blocked |
/// | 2 | sleep | odd.example.com:443 | unknown |
/// | 1 | sleep | =cmd\u{202e}\u{1b}[2J.evil:443 | passthrough, warning |
final class StoreFixture {
  let folder: ScratchFolder
  let store: FlowStore
  var path: String { store.path }
  private var line: Int64 = 1
  private var log: LogRecord
  var verdicts = Verdicts()

  struct Verdicts {
    var shadowSeverity = Severity.critical
    var shadowIsAllowed = false
    var hasAssumption = false
    var leavesNothingUnknown = false
    var policyHash = "fixture"
  }

  enum Destinations: Int32, CaseIterable { case gateway, shadow, vendor, refused, odd, hostile, inMesh }

  init(_ rows: [(source: Int32, destination: Destinations, outcome: Int32, count: Int)] = StoreFixture.usual) throws {
    folder = try ScratchFolder()
    store = try FlowStore(path: folder.path())
    log = LogRecord(path: "/var/log/sidecar.log")
    log.id = try store.insert(log: log)
    log.formats = ["istio-1.24"]
    if rows.isEmpty { try store.commit() } else { try append(rows) }
  }

  static let usual: [(source: Int32, destination: Destinations, outcome: Int32, count: Int)] = [
    (0, .gateway, 0, 36), (0, .gateway, 2, 4), (0, .shadow, 0, 7), (1, .shadow, 0, 3), (0, .vendor, 0, 5),
    (1, .refused, 1, 6), (0, .odd, 0, 2), (0, .hostile, 0, 1),
  ]

  static let hostileHost = "=cmd\u{202e}\u{1b}[2J.evil|x"

  /// Adds flows, one per minute, and judges.
  func append(
    _ rows: [(source: Int32, destination: Destinations, outcome: Int32, count: Int)], from start: Int64? = nil,
    judges: Bool = true
  ) throws {
    let batch = FlowBatch()
    batch.newSources = [
      Source(
        log: 0, proxy: .envoy, shape: .outbound, clientIP: "10.80.3.11", proxyIP: "10.80.3.11", pod: "sleep-7d4-x2"),
      Source(log: 0, proxy: .envoy, shape: .outbound, clientIP: "10.80.3.12", proxyIP: "10.80.3.12"),
    ]
    let hosts = [
      "gateway.example.com", "shadow.example.net", "vendor.example.org", "refused.example.com", "odd.example.com",
      StoreFixture.hostileHost, "ratings.default.svc.cluster.local",
    ]
    batch.newDestinations = hosts.map {
      Destination(
        host: $0, hostOrigin: .authority, port: $0 == "vendor.example.org" ? 80 : 443, traffic: .http, authority: $0,
        upstream: Endpoint(ip: "203.0.113.7", port: 443))
    }
    batch.newOutcomes = [
      Outcome(protocol: "HTTP/1.1", method: "GET", status: 200),
      Outcome(protocol: "HTTP/1.1", method: "GET", status: 502, details: "direct_response"),
      Outcome(protocol: "HTTP/1.1", method: "GET", status: 504, flags: "UT"),
    ]
    batch.newPathTemplates = ["/items/*"]
    var minute: Int64 = line
    for row in rows {
      for _ in 0..<row.count {
        var flow = FlowRow()
        flow.startedAtMs = (start ?? noon) + minute * 60_000
        flow.durationMs = minute * 10
        flow.sent = 100
        flow.received = 2000
        flow.requestHash = UInt64(line)
        flow.line = line
        flow.source = row.source
        flow.destination = row.destination.rawValue
        flow.outcome = row.outcome
        flow.pathTemplate = 0
        batch.rows[batch.count] = flow
        batch.count += 1
        minute += 1
        line += 1
        log.firstMs = min(log.firstMs ?? flow.startedAtMs, flow.startedAtMs)
        log.lastMs = max(log.lastMs ?? flow.startedAtMs, flow.startedAtMs)
      }
    }
    let first = line - Int64(batch.count)
    try store.append(batch, log: log.id, firstLine: first, position: 0)
    log.lines += Int64(batch.count)
    log.read += Int64(batch.count)
    log.stored += Int64(batch.count)
    try store.update(log: log)
    if judges { try judge() }
    try store.commit()
  }

  /// Lines that nothing understood.
  func reject(_ count: Int64) throws {
    log.read += count
    log.rejected += count
    try store.update(log: log)
    try store.commit()
  }

  func judge() throws {
    var judgement = Judgement()
    judgement.policyHash = verdicts.policyHash
    let facts = try store.facts()
    for source in facts.sources {
      judgement.sourceClasses.append((source.id, 0, source.source.pod == nil ? nil : "sleep"))
    }
    for entry in facts.destinations {
      judgement.destinationClasses.append((entry.id, verdictClass(of: entry.destination)))
    }
    for destination in Destinations.allCases {
      judgement.routes.append(
        .init(
          interval: 0, sourceClass: 0, destinationClass: Int(destination.rawValue), verdict: verdict(destination)))
    }
    for entry in facts.outcomes {
      let verdict =
        switch entry.outcome.status {
        case 502: OutcomeVerdict(outcome: .blocked, reason: "registry-only-http", left: false)
        case 504: OutcomeVerdict(outcome: .timeout, reason: "upstream-timeout")
        default: OutcomeVerdict(outcome: .ok)
        }
      judgement.endings.append(.init(context: .egress, outcome: entry.id, verdict: verdict))
    }
    judgement.exceptions = [(label: "*.example.org:80", owner: "payments", reason: "vendor", expiresMs: nil)]
    if verdicts.hasAssumption { judgement.assumptions = ["10.80.3.232 is taken for an egress gateway"] }
    try store.apply(judgement)
    try store.commit()
  }

  private func verdictClass(of destination: Destination) -> Int {
    switch destination.host {
    case "gateway.example.com": 0
    case "shadow.example.net": 1
    case "vendor.example.org": 2
    case "refused.example.com": 3
    case "odd.example.com": 4
    case "ratings.default.svc.cluster.local": 6
    default: 5
    }
  }

  private func verdict(_ destination: Destinations) -> RouteVerdict {
    switch destination {
    case .gateway, .refused: RouteVerdict(role: .sidecar, path: .gateway, context: .egress, rule: "cluster-is-gateway")
    case .shadow:
      RouteVerdict(
        role: .sidecar, path: .passthrough, bypass: .passthrough, severity: verdicts.shadowSeverity, context: .egress,
        rule: "passthrough-external", exception: verdicts.shadowIsAllowed ? 0 : nil)
    case .hostile:
      RouteVerdict(
        role: .sidecar, path: .passthrough, bypass: .passthrough, severity: .warning, context: .egress,
        rule: "passthrough-external")
    case .vendor:
      RouteVerdict(
        role: .sidecar, path: .direct, bypass: .directServiceEntry, severity: .warning, context: .egress,
        rule: "service-entry", exception: 0)
    case .odd:
      RouteVerdict(
        role: .sidecar, path: verdicts.leavesNothingUnknown ? .gateway : .unknown, context: .egress, rule: "private")
    case .inMesh: RouteVerdict(role: .sidecar, path: .internal, context: .egress, rule: "mesh-declared")
    }
  }
}

/// The answer of a report as text.
final class Text {
  var text = ""
  func take(_ more: OutputText) { text += more.string }
}
