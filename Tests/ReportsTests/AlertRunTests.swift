import FlowStore
import Flows
import Testing

@testable import Reports

@Suite("A run of the alert")
struct AlertRunTests {
  @discardableResult
  private func alert(
    _ fixture: StoreFixture, hours: Int64 = 24, threshold: Int64 = 100, expected: [ExpectedLog] = [],
    problems: [String] = [], tell: (AlertReport) throws -> Void = { _ in }
  ) throws -> AlertReport {
    var rules = AlertLedger.Rules(now: noon + hours * hour)
    rules.blockedThreshold = threshold
    return try AlertRun(
      queries: QueryCatalogue().alerts, rules: rules, expected: expected, inputProblems: problems
    ).run(in: fixture.store, tell: tell)
  }

  @Test("the first run tells everything in one block, hosts as a number; the second is silent")
  func firstRun() throws {
    let fixture = try StoreFixture()
    let first = try alert(fixture)
    #expect(first.exitCode == 2)
    #expect(first.groups.map(\.host) == ["shadow.example.net", StoreFixture.hostileHost])
    #expect(first.groups[0].sources == ["10.80.3.12", "sleep"])
    #expect(first.groups[0].newFlows == 10)
    #expect(first.firstHosts == 5)
    try expectSnapshot(first.text, "alert-first.txt")
    try expectSnapshot(first.json, "alert-first.json")
    try expectSnapshot(first.statusLine(), "alert-first.status.txt")
    let second = try alert(fixture)
    #expect(second.exitCode == 0)
    #expect(second.text == "")
  }

  @Test("a host met later is told by its name")
  func newHost() throws {
    let fixture = try StoreFixture([(0, .gateway, 0, 1)])
    try alert(fixture)
    try fixture.append([(0, .odd, 0, 1)])
    let report = try alert(fixture)
    #expect(report.groups.map(\.kind) == ["new-host"])
    #expect(report.groups.map(\.host) == ["odd.example.com"])
    #expect(report.exitCode == 1)
  }

  @Test("traffic inside the mesh makes no new external host")
  func inMesh() throws {
    let fixture = try StoreFixture([(0, .gateway, 0, 1)])
    try alert(fixture)
    try fixture.append([(0, .inMesh, 0, 1)])
    #expect(try alert(fixture).exitCode == 0)
  }

  @Test("lines that arrive late are told: what counts is when they were stored")
  func late() throws {
    let fixture = try StoreFixture([(0, .gateway, 0, 1)])
    try alert(fixture)
    try fixture.append([(0, .shadow, 0, 2)], from: noon - 1000 * hour)
    #expect(try alert(fixture).groups.map(\.kind) == ["passthrough"])
  }

  @Test("another policy is told about without new lines, in both directions")
  func policyChange() throws {
    let fixture = try StoreFixture()
    fixture.verdicts.shadowIsAllowed = true
    fixture.verdicts.policyHash = "allows"
    try fixture.judge()
    #expect(!(try alert(fixture)).groups.contains { $0.host == "shadow.example.net" })
    fixture.verdicts.shadowIsAllowed = false
    fixture.verdicts.policyHash = "refuses"
    try fixture.judge()
    #expect(try alert(fixture).groups.map(\.host) == ["shadow.example.net"])
    fixture.verdicts.shadowIsAllowed = true
    fixture.verdicts.policyHash = "allows"
    try fixture.judge()
    #expect(try alert(fixture).exitCode == 0)
    fixture.verdicts.shadowIsAllowed = false
    try fixture.judge()
    let again = try alert(fixture)
    #expect(again.groups.map(\.cause) == [.reopened])
  }

  @Test("refusals are told above the threshold only")
  func refusals() throws {
    let fixture = try StoreFixture([(1, .refused, 1, 6)])
    #expect(!(try alert(fixture, threshold: 7)).groups.contains { $0.kind == "blocked" })
    try fixture.append([(1, .refused, 1, 6)])
    #expect(try alert(fixture, threshold: 6).groups.map(\.kind) == ["blocked"])
  }

  @Test(
    "what came since the last run is told as much as it is, whatever was pruned in between", arguments: [false, true])
  func prune(isPruned: Bool) throws {
    let fixture = try StoreFixture([(0, .shadow, 0, 1), (1, .refused, 1, 300), (0, .gateway, 0, 5)])
    #expect(try alert(fixture).groups.map(\.kind).sorted() == ["blocked", "passthrough"])
    // The newest row is of the oldest flow: what comes next gets its id.
    try fixture.append([(0, .shadow, 0, 1)], from: noon - 1000 * hour)
    #expect(try alert(fixture).exitCode == 0)
    if isPruned {
      #expect(try fixture.store.prune(before: noon + 200 * hour) == 307)
      try fixture.store.commit()
    }
    try fixture.append([(0, .shadow, 0, 50), (1, .refused, 1, 150)], from: noon + 300 * hour)
    let report = try alert(fixture, hours: 400)
    #expect(
      Dictionary(uniqueKeysWithValues: report.groups.map { ($0.kind, $0.newFlows) }) == [
        // One more was not told in its cooldown, unless it is gone.
        "passthrough": isPruned ? 50 : 51, "blocked": 150,
      ])
    #expect(try alert(fixture, hours: 401).exitCode == 0)
  }

  @Test("what went on within its pause is told once that is over, though nothing of it comes any more")
  func pauseIsOver() throws {
    let fixture = try StoreFixture([(0, .shadow, 0, 1), (0, .gateway, 0, 5)])
    #expect(try alert(fixture).groups.map(\.kind) == ["passthrough"])
    try fixture.append([(0, .shadow, 0, 20)], from: noon + hour)
    for hours in [25, 47] as [Int64] { #expect(try alert(fixture, hours: hours).exitCode == 0, "\(hours)") }
    // Something else comes.
    try fixture.append([(0, .gateway, 0, 1)], from: noon + 2 * hour)
    let report = try alert(fixture, hours: 48)
    #expect(report.groups.map(\.cause) == [.ongoing] && report.groups.map(\.newFlows) == [20])
    #expect(try alert(fixture, hours: 49).exitCode == 0)
    // The second pause is of two days; and what was told is not due any more.
    try fixture.append([(0, .shadow, 0, 3)], from: noon + 50 * hour)
    for hours in [90, 95] as [Int64] { #expect(try alert(fixture, hours: hours).exitCode == 0, "\(hours)") }
    #expect(try alert(fixture, hours: 97).groups.map(\.newFlows) == [3])
    for hours in [98, 999] as [Int64] { #expect(try alert(fixture, hours: hours).exitCode == 0, "\(hours)") }
  }

  @Test("a run that dies while printing tells the same again")
  func diesWhilePrinting() throws {
    struct Died: Error {}
    let fixture = try StoreFixture()
    #expect(throws: Died.self) { try alert(fixture) { _ in throw Died() } }
    #expect(try alert(fixture).groups.count == 2)
  }

  @Test("an empty store is no silence: exit 3, and no first run")
  func empty() throws {
    let fixture = try StoreFixture([])
    let report = try alert(fixture)
    #expect(report.exitCode == 3)
    #expect(report.text.hasPrefix("gatewatch UNKNOWN: could not tell\n  could not tell: the database is empty"))
    try fixture.append([(0, .gateway, 0, 2)])
    let first = try alert(fixture)
    #expect(first.isFirstRun)
    #expect(first.firstHosts == 1)
  }

  @Test("findings outrank what could not be told, which is still printed")
  func outranked() throws {
    let fixture = try StoreFixture()
    let report = try alert(fixture, problems: ["a.log: permission denied"])
    #expect(report.exitCode == 2)
    #expect(report.text.contains("could not tell: a.log: permission denied"))
    #expect(try alert(fixture, problems: ["a.log: permission denied"]).exitCode == 3)
  }

  @Test("an expected log that is silent for too long, or was never read, gives exit 3")
  func silence() throws {
    let fixture = try StoreFixture([(0, .gateway, 0, 2)])
    try alert(fixture)
    let sidecar = ExpectedLog(log: "*Sidecar*", role: .sidecar, maxSilenceMs: 15 * 60_000)
    #expect(try alert(fixture, hours: 0, expected: [sidecar]).exitCode == 0)
    let late = try alert(fixture, hours: 1, expected: [sidecar])
    #expect(late.exitCode == 3)
    #expect(
      late.problems == [
        "expected log sidecar *Sidecar*: silent since 2026-11-01T12:02:00Z, for 58 m 00 s (at most 15 m 00 s)"
      ])
    let gateway = ExpectedLog(log: "*EgressGateway*", role: .gateway, maxSilenceMs: nil)
    #expect(try alert(fixture, expected: [gateway]).problems == ["expected log gateway *EgressGateway*: none was read"])
  }

  @Test("a log with lines of which none was stored gives exit 3")
  func nothingStored() throws {
    let fixture = try StoreFixture([(0, .gateway, 0, 2)])
    var mute = LogRecord(path: "/var/log/mute.log")
    mute.id = try fixture.store.insert(log: mute)
    mute.read = 5
    mute.rejected = 5
    try fixture.store.update(log: mute)
    try fixture.store.commit()
    try alert(fixture)
    let report = try alert(fixture)
    #expect(report.exitCode == 3)
    #expect(report.problems.first?.hasPrefix("/var/log/mute.log: 5 lines read and none stored") == true)
  }

  @Test("lines that were never judged give neither an alert nor an all-clear")
  func notJudged() throws {
    let fixture = try StoreFixture([(0, .gateway, 0, 2)])
    try alert(fixture)
    try fixture.append([(1, .shadow, 0, 2)], judges: false)
    #expect(try alert(fixture).exitCode == 3)
    try fixture.judge()
    #expect(try alert(fixture).exitCode == 2)
  }

  @Test("nothing but the program opens performance data")
  func perfdata() {
    #expect(AlertReport.beforePerfdata("a|b|\u{301}c") == "a/b/\u{301}c")
  }

  @Test("nothing hostile reaches the terminal")
  func hostile() throws {
    let report = try alert(try StoreFixture())
    for scalar in (report.text + report.json + report.statusLine()).unicodeScalars where scalar != "\n" {
      #expect(!TerminalText.isDangerous(scalar))
    }
  }

  @Test("a compressed file that was cut is told in the first run after it could still have been growing")
  func cutBetweenDays() throws {
    let fixture = try StoreFixture([(0, .gateway, 0, 2)])
    var cut = LogRecord(path: "/var/log/pod.log.gz")
    cut.id = try fixture.store.insert(log: cut)
    cut.unread = .cut
    cut.modifiedNs = (noon - 60_000) * 1_000_000
    cut.lastReadAtMs = noon
    try fixture.store.update(log: cut)
    try fixture.store.commit()
    try alert(fixture, hours: 0)
    #expect(try [0, 24, 48].map { try alert(fixture, hours: $0).exitCode } == [0, 3, 0])
  }
}
