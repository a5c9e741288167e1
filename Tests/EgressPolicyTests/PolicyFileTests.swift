import Flows
import Foundation
import Testing

@testable import EgressPolicy

/// Each `Policies/NAME.yaml` with its golden `NAME.expected`: the error, or the warnings, as `policy check` prints them.
@Suite struct PolicyFileTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Policies")

  static let names: [String] = try! FileManager.default.contentsOfDirectory(atPath: folder.path)
    .filter { $0.hasSuffix(".yaml") }.map { String($0.dropLast(5)) }.sorted()

  static func text(_ name: String) throws -> String {
    try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
  }

  @Test("a policy file says what is wrong, where, and what to write", arguments: names)
  func goldens(name: String) throws {
    var actual: String
    do {
      let policy = try Policy.load(yaml: PolicyFileTests.text("\(name).yaml"), file: "\(name).yaml")
      actual = policy.warnings.isEmpty ? "ok" : policy.warnings.map(\.description).joined(separator: "\n")
    } catch let error as PolicyError {
      actual = error.description
    }
    actual += "\n"
    let golden = PolicyFileTests.folder.appendingPathComponent("\(name).expected")
    guard let expected = try? String(contentsOf: golden, encoding: .utf8) else {
      try actual.write(to: golden, atomically: true, encoding: .utf8)
      Issue.record("recorded a new golden: \(name).expected")
      return
    }
    #expect(actual == expected)
  }

  @Test("every section and key is read")
  func complete() throws {
    let policy = try Policy.load(yaml: PolicyFileTests.text("complete.yaml"), file: "complete.yaml")
    #expect(
      policy.internal.map { $0.host?.pattern } == [nil, "*.svc.cluster.local", nil, "cafe.de", nil, nil, "*.corp"])
    #expect(policy.internal.filter { $0.range != nil }.count == 4)
    #expect(policy.internal[4].validity.fromMs == 1_767_225_600_000)
    #expect(policy.internal[4].validity.untilMs == 1_767_225_600_000 + 181 * 86_400_000)
    #expect(policy.pods.map(\.hasSidecar) == [true, false])
    #expect(policy.pods[1].addresses.count == 1)
    #expect(policy.gateways[0].hosts.map(\.pattern) == ["istio-egressgateway.istio-system.svc.cluster.local"])
    #expect(policy.sniProxies[0].addresses.count == 2)
    #expect(policy.exceptions[0].ports == [443])
    #expect(policy.exceptions[0].reason == "vendor cannot be proxied")
    #expect(policy.exceptions[0].expiresMs == 1_801_440_000_000)
    #expect(policy.expected[0].maxSilenceMs == 900_000)
    #expect(policy.expected[0].role == .gateway)
    #expect(policy.expected[1].role == nil)
  }

  @Test("an empty file is an empty policy", arguments: ["empty", "comment-only", "empty-sections"])
  func empty(name: String) throws {
    let policy = try Policy.load(yaml: PolicyFileTests.text("\(name).yaml"), file: name)
    #expect(policy.gateways.isEmpty && policy.internal.isEmpty && policy.exceptions.isEmpty)
  }

  @Test("the hash is that of the text, the same on every machine")
  func hash() throws {
    #expect(Policy().hash == "cbf29ce484222325")
    #expect(Policy.hash(of: "a") == "af63dc4c8601ec8c")
    #expect(try policy("mesh: {}").hash != policy("mesh: { }").hash)
  }

  @Test(
    "dates and times are ISO 8601, UTC unless they name an offset",
    arguments: [
      ("1970-01-01", false, 0), ("1970-01-01", true, 86_400_000), ("2024-02-29", false, 1_709_164_800_000),
      ("2027-01-31T12:00:00Z", true, 1_801_396_800_000), ("2027-01-31T12:00", false, 1_801_396_800_000),
      ("2027-01-31 12:00:00.25", false, 1_801_396_800_250), ("2027-01-31T14:00:00+02:00", false, 1_801_396_800_000),
      ("2027-01-31T07:30:00-0430", false, 1_801_396_800_000), ("1969-12-31T23:59:59Z", false, -1_000),
      ("2023-02-29", false, nil), ("2026-13-01", false, nil), ("2026-1-1", false, nil),
      ("2026-01-01T24:00", false, nil),
      ("2026-01-01T10:00:00Zz", false, nil), ("2026-01-01T10:00:00.", false, nil), ("soon", false, nil),
      ("", false, nil),
    ] as [(String, Bool, Int64?)])
  func times(text: String, endOfDay: Bool, ms: Int64?) {
    #expect(PolicyTime.milliseconds(text, endOfDay: endOfDay) == ms)
  }

  @Test(
    "lengths of time",
    arguments: [
      ("90s", 90_000), ("15m", 900_000), ("1h30m", 5_400_000), ("2d", 172_800_000), ("15", nil), ("m", nil), ("", nil),
      ("0s", nil), ("-1m", nil), ("99999999999999999999s", nil), ("999999999999d", nil), ("1w", nil),
    ] as [(String, Int64?)])
  func durations(text: String, ms: Int64?) {
    #expect(PolicyTime.durationMs(text) == ms)
  }

  @Test("no text makes the reader crash", arguments: 0..<200)
  func garbage(seed: UInt64) throws {
    var generator = SplitMix(state: seed)
    let whole = Array(try PolicyFileTests.text("complete.yaml").unicodeScalars)
    var text = whole
    for _ in 0..<Int.random(in: 1...8, using: &generator) {
      let place = Int.random(in: 0..<text.count, using: &generator)
      if Bool.random(using: &generator) {
        text.remove(at: place)
      } else {
        text[place] = whole.randomElement(using: &generator)!
      }
    }
    var view = String.UnicodeScalarView()
    view.append(contentsOf: text)
    do {
      _ = try Policy.load(yaml: String(view), file: "garbage.yaml")
    } catch {
      #expect(error.line >= 1 && error.column >= 1)
    }
  }

  @Test("a key that is a list, a mapping or an alias is refused before it is compared with others")
  func unusualKeys() {
    // Of nine in nine in nine: what the key stands for has a hundred million parts.
    let levels = (1...8).map { level in
      "a\(level): &b\(level) [\(Array(repeating: "*b\(level - 1)", count: 9).joined(separator: ", "))]\n"
    }
    let bomb = "a0: &b0 [x, x]\n" + levels.joined() + "? *b8\n: 1\n? *b8\n: 2\n"
    #expect(throws: PolicyError.self) { try Policy.load(yaml: bomb, file: "p.yaml") }
    #expect(YAMLKeys.unusual(in: bomb).map { [$0.line, $0.column] } == [10, 3])
    #expect(YAMLKeys.unusual(in: "mesh: { [a, b]: 1 }").map { [$0.line, $0.column] } == [1, 9])
    for usual in [
      "", "mesh: { internal: [a, &x b, *x] }\n\"*.c\": { d: [{ e: f }] }\n", "- a\n- b: { c: d }\n", "a: [",
      "<<: 1\na: 2",
    ] {
      #expect(YAMLKeys.unusual(in: usual) == nil, "\(usual)")
    }
  }
}
