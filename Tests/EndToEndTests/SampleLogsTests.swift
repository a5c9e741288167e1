import AccessLogs
import EgressPolicy
import FlowStore
import Flows
import Foundation
import Ingestion
import Testing

/// Reads every case of `SampleLogs/` into an empty database and compares the flows with the ones written by hand beside it.
@Suite("sample logs become the flows written beside them")
struct SampleLogsTests {
  @Test("a case", arguments: SampleCase.all)
  func flows(of sample: SampleCase) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "gatewatch-sample-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let database = folder.appending(path: "case.db").path

    let store = try FlowStore(path: database, wait: .zero)
    var options = IngestOptions(nowMs: { 1_767_225_600_000 }, seconds: { 0 })
    if let format = try sample.format() { options.formats = format + FormatPlan.builtIn }
    let policy = try sample.policy.map { try Policy.load(yaml: String(contentsOf: $0, encoding: .utf8), file: $0.path) }
    let summary = try IngestPipeline(store: store, options: options).run(paths: sample.logs.map(\.path), policy: policy)
    store.close()
    #expect(summary.problems.filter { $0.kind == .error } == [])

    let expected = try sample.expectation()
    for (name, count) in [
      ("read", summary.lines.read), ("stored", summary.lines.stored), ("rejected", summary.lines.rejected),
      ("skipped", summary.lines.skipped),
    ] {
      if let wanted = expected.sums[name] as? Int { #expect(count == wanted, "\(sample): \(name)") }
    }
    if let reasons = expected.sums["rejected_reasons"] as? [String: Int] {
      for (reason, count) in reasons {
        #expect(summary.rejected[reason] == count, "\(sample): reasons \(summary.rejectedPlaces)")
      }
    }
    if let kinds = expected.sums["skipped_kinds"] as? [String: Int] {
      for (kind, count) in kinds { #expect(summary.skipped[kind] == count, "\(sample): \(kind)") }
    }

    let reader = try FlowReader(path: database)
    defer { reader.close() }
    let (columns, rows) = try reader.rows("select * from flows order by log, line, id")
    let flows = rows.map { Dictionary(uniqueKeysWithValues: zip(columns, $0)) }
    var journeys = JourneyLabels()
    for log in Set(expected.flows.map { $0["log"] as? String ?? "" }).sorted() {
      let wanted = expected.flows.filter { ($0["log"] as? String ?? "") == log }
      let found = flows.filter { log.isEmpty || ($0["log"]?.text ?? "").hasSuffix("/" + log) }
      #expect(found.count == wanted.count, "\(sample) \(log): flows")
      for (want, have) in zip(wanted, found) {
        let differences = SampleCase.differences(want, have)
        #expect(differences == [], "\(sample) \(log) line \(have["line"]?.integer ?? 0)")
        if let label = want["journey"] {
          let answer = journeys.note(label as? String, have["journey"]?.text)
          #expect(answer == nil, "\(sample) \(log) line \(have["line"]?.integer ?? 0)")
        }
      }
    }
  }

  @Test("a call within the mesh is counted once, at the server's side, without any joining")
  func inMeshCallsCountOnce() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "gatewatch-sample-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let database = folder.appending(path: "demo.db").path
    let store = try FlowStore(path: database, wait: .zero)
    var options = IngestOptions(nowMs: { 1_767_225_600_000 }, seconds: { 0 })
    options.joinsHops = false
    _ = try IngestPipeline(store: store, options: options)
      .run(paths: [SampleCase.root.appending(path: "demo").path], policy: nil)
    store.close()
    let reader = try FlowReader(path: database)
    defer { reader.close() }
    let counted = try reader.rows(
      "select role, count(*) from judged_flow where path = 'internal' and counted = 1 group by role order by role")
    #expect(counted.rows == [[.text("inbound"), .integer(10)]])
  }

  @Test("every case has its flows, and every format a case") func coversFormats() throws {
    #expect(SampleCase.all.count > 60)
    for sample in SampleCase.all { #expect(!sample.logs.isEmpty, "\(sample)") }
  }
}

/// Journeys by the labels of an expectation: one label, one journey, and no two labels for one.
struct JourneyLabels {
  private var journeys: [String: String] = [:]
  private var labels: [String: String] = [:]

  /// What is wrong with a flow's journey; nil when nothing is.
  mutating func note(_ label: String?, _ journey: String?) -> String? {
    guard let label else { return journey.map { "joined to journey \($0), wanted none" } }
    guard let journey else { return "not joined, wanted journey \(label)" }
    if let known = journeys[label], known != journey { return "journey \(label) is split" }
    if let known = labels[journey], known != label { return "journeys \(known) and \(label) are one" }
    journeys[label] = journey
    labels[journey] = label
    return nil
  }
}

/// One case of `SampleLogs/`; its layout is described in `SampleLogs/README.md`.
struct SampleCase: CustomTestStringConvertible, CustomStringConvertible, Sendable {
  var name: String
  var logs: [URL]
  var expectedFlows: URL
  var policy: URL?
  var formatFile: URL?

  var testDescription: String { name }
  var description: String { name }

  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "SampleLogs")

  static let all: [SampleCase] = {
    let manager = FileManager.default
    var cases: [SampleCase] = []
    let names = (manager.enumerator(atPath: root.path)?.allObjects as? [String] ?? []).sorted()
    func existing(_ path: String) -> URL? {
      let url = root.appending(path: path)
      return manager.fileExists(atPath: url.path) ? url : nil
    }
    for name in names where name.hasSuffix(".flows.ndjson") {
      let base = String(name.dropLast(".flows.ndjson".count))
      if base.hasSuffix("/expected") || base == "expected" {
        let folder = String(base.dropLast("/expected".count))
        let logs = names.filter { $0.hasPrefix(folder + "/") && $0.hasSuffix(".log") }.map { root.appending(path: $0) }
        cases.append(
          SampleCase(
            name: folder, logs: logs, expectedFlows: root.appending(path: name),
            policy: existing(folder + "/policy.yaml")))
      } else {
        let single = existing(base + ".log").map { [$0] }
        let many = names.filter { $0.hasPrefix(base + "/") && $0.hasSuffix(".log") }.map { root.appending(path: $0) }
        cases.append(
          SampleCase(
            name: base, logs: single ?? many, expectedFlows: root.appending(path: name),
            policy: existing(base + ".policy.yaml"), formatFile: existing(base + ".format") ?? existing(base + ".conf"))
        )
      }
    }
    return cases
  }()

  func format() throws -> [FormatPlan]? {
    guard let formatFile else { return nil }
    if formatFile.pathExtension == "conf" { return try FormatArgument.plans("@" + formatFile.path) }
    var text = try String(contentsOf: formatFile, encoding: .utf8)
    if text.hasSuffix("\n") { text.removeLast() }
    return try FormatArgument.plans(text)
  }

  func expectation() throws -> (sums: [String: Any], flows: [[String: Any]]) {
    let lines = try String(contentsOf: expectedFlows, encoding: .utf8).split(separator: "\n")
    let objects = try lines.map { line in
      try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(name): \(line)")
    }
    return (objects.first?["case"] as? [String: Any] ?? [:], Array(objects.dropFirst()))
  }

  /// What a flow has otherwise than expected, as `column: wanted ..., found ...`.
  static func differences(_ wanted: [String: Any], _ found: [String: Value]) -> [String] {
    let warnings = Set((found["warnings"]?.text ?? "").split(separator: ",").map(String.init))
    let mayBeAmbiguous = wanted["or_ambiguous"] as? Bool == true && warnings.contains("ambiguous-columns")
    func words(_ value: Any?) -> [String] {
      (value as? [String]) ?? (value as? String)?.split(separator: ",").map(String.init) ?? []
    }
    var differences: [String] = []
    for (column, value) in wanted.sorted(by: { $0.key < $1.key }) {
      switch column {
      case "log", "or_ambiguous", "journey": continue
      case "warnings":
        if mayBeAmbiguous { continue }
        for word in words(value) where !warnings.contains(word) {
          differences.append("warnings: \(word) missing in \(warnings.sorted())")
        }
      case "lacks_warnings":
        if mayBeAmbiguous { continue }
        for word in words(value) where warnings.contains(word) { differences.append("warnings: \(word) is there") }
      default:
        if mayBeAmbiguous, column != "line", column != "proxy" { continue }
        guard let have = found[column] else {
          differences.append("\(column): no such column")
          continue
        }
        let isEqual: Bool
        switch (value, have) {
        case (is NSNull, .null): isEqual = true
        case (let number as NSNumber, .integer(let integer)): isEqual = number.int64Value == integer
        case (let text as String, .text(let other)): isEqual = text == other
        default: isEqual = false
        }
        if !isEqual { differences.append("\(column): wanted \(value), found \(have)") }
      }
    }
    return differences
  }
}
