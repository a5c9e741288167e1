import Flows
import Foundation

@testable import FlowStore

/// A folder of its own for each test, gone with it.
final class ScratchFolder {
  let url: URL
  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "gatewatch-store-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }
  deinit {
    try? FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: url.path)
    try? FileManager.default.removeItem(at: url)
  }
  func path(_ name: String = "flows.db") -> String { url.appending(path: name).path }
}

/// 1 November 2026, noon, UTC, in Unix milliseconds.
let noon: Int64 = 1_793_534_400_000

/// Fills batches as a parser does, with local ids from 0.
struct BatchMaker {
  var sources: [Source] = []
  var destinations: [Destination] = []
  var outcomes: [Outcome] = []
  var paths: [String] = []
  var line: Int64 = 1

  /// `count` flows over the given numbers of distinct sources and destinations.
  mutating func batch(count: Int, sources: Int = 2, destinations: Int = 3, log: Int64 = 0) -> FlowBatch {
    let batch = FlowBatch(capacity: max(count, 1))
    batch.firstNewSource = Int32(self.sources.count)
    batch.firstNewDestination = Int32(self.destinations.count)
    batch.firstNewOutcome = Int32(self.outcomes.count)
    batch.firstNewPathTemplate = Int32(self.paths.count)
    for number in self.sources.count..<max(sources, self.sources.count) {
      batch.newSources.append(
        Source(
          log: log, proxy: .envoy, shape: .outbound, clientIP: "10.80.3.\(number)", proxyIP: "10.80.3.\(number)",
          pod: "sleep-\(number)"))
    }
    for number in self.destinations.count..<max(destinations, self.destinations.count) {
      batch.newDestinations.append(
        Destination(
          host: "host-\(number).example.com", hostOrigin: .authority, port: 443,
          traffic: number % 2 == 0 ? .http : .tcp,
          authority: "host-\(number).example.com", cluster: "PassthroughCluster",
          upstream: Endpoint(ip: "203.0.113.\(number)", port: 443),
          dialled: Endpoint(ip: "203.0.113.\(number)", port: 443)))
    }
    if self.outcomes.isEmpty {
      batch.newOutcomes = [
        Outcome(protocol: "HTTP/1.1", method: "GET", status: 200),
        Outcome(protocol: "HTTP/1.1", method: "GET", status: 502, flags: "UF", warnings: [.truncated, .xffSource]),
      ]
    }
    if self.paths.isEmpty { batch.newPathTemplates = ["/", "/items/*"] }
    self.sources += batch.newSources
    self.destinations += batch.newDestinations
    self.outcomes += batch.newOutcomes
    self.paths += batch.newPathTemplates
    for index in 0..<count {
      var row = FlowRow()
      row.startedAtMs = noon + Int64(index)
      row.durationMs = Int64(index % 100)
      row.sent = 10
      row.received = Int64(index)
      row.requestHash = index % 3 == 0 ? 0 : 0xFEDC_BA98_0000_0000 + UInt64(index)
      row.line = line + Int64(index)
      row.source = Int32(index % self.sources.count)
      row.destination = Int32(index % self.destinations.count)
      row.outcome = Int32(index % self.outcomes.count)
      row.pathTemplate = Int32(index % 3) - 1
      row.sourcePort = 50_000
      row.localPort = index % 2 == 0 ? 0 : 65_535
      batch.rows[index] = row
    }
    line += Int64(count)
    batch.count = count
    batch.storedByFormat = count > 0 ? ["istio-1.8": count] : [:]
    batch.firstMs = noon
    batch.lastMs = noon + Int64(count)
    return batch
  }
}

extension FlowStore {
  /// One log of so many flows, one per millisecond from noon, judged; in the open transaction.
  static func judged(flows: Int, in folder: ScratchFolder) throws -> FlowStore {
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: flows), into: &log)
    try store.apply(judgement(of: store.facts()))
    return store
  }

  func setting(_ pragma: String) throws -> String? {
    try access { db throws(StoreError) in
      let row = try db.statement("pragma \(pragma)")
      return try row.step() ? row.text(0) : nil
    }
  }

  /// Stores one batch of a log and its checkpoint, as ingestion does.
  func store(_ batch: FlowBatch, into log: inout LogRecord, parser: Int = 0) throws {
    if log.id == 0 { log.id = try insert(log: log) }
    try append(batch, log: log.id, firstLine: log.lines + 1, position: log.position, parser: parser)
    log.lines += Int64(batch.linesRead)
    log.position += Int64(batch.linesRead) * 100
    log.read += Int64(batch.linesRead)
    log.stored += Int64(batch.count)
    log.rejected += Int64(batch.rejectedCount)
    log.skipped += Int64(batch.skippedCount)
    if batch.count > 0 {
      log.firstMs = min(log.firstMs ?? .max, batch.firstMs)
      log.lastMs = max(log.lastMs ?? .min, batch.lastMs)
    }
    try update(log: log)
  }
}

/// Passthrough for all flows, except where a test says otherwise.
func judgement(
  of facts: StoredFacts, route: RouteVerdict? = nil,
  ending: (Outcome) -> OutcomeVerdict = { _ in OutcomeVerdict(outcome: .ok) }
) -> Judgement {
  var judgement = Judgement()
  judgement.policyHash = "cafe"
  judgement.sourceClasses = facts.sources.map { ($0.id, 0, $0.source.pod.map { "workload-of-" + $0 }) }
  judgement.destinationClasses = facts.destinations.map { ($0.id, 0) }
  judgement.routes = [
    Judgement.Route(
      interval: 0, sourceClass: 0, destinationClass: 0,
      verdict: route
        ?? RouteVerdict(
          role: .sidecar, path: .passthrough, bypass: .passthrough, severity: .critical, context: .egress,
          rule: "passthrough-external"))
  ]
  judgement.endings = facts.outcomes.map {
    Judgement.Ending(context: .egress, outcome: $0.id, verdict: ending($0.outcome))
  }
  return judgement
}
