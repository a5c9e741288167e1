import FlowStore
import Flows
import Testing

@testable import Reports

@Suite("What an alert tells")
struct AlertLedgerTests {
  private static let day: Int64 = 86_400_000

  private func seen(
    _ flows: Int64, _ severity: Severity = .warning, kind: String = "passthrough", source: String = "sleep",
    last: Int64 = noon
  ) -> Observation {
    Observation(
      key: .init(kind: kind, source: source, host: "h.example.com", port: 443), severity: severity, flows: flows,
      firstSeenMs: noon, lastSeenMs: last)
  }

  /// Runs steps one after the other over one memory; answers the causes told in each.
  private func run(
    _ steps: [(hours: Int64, seen: [Observation], isComplete: Bool)], threshold: Int64 = 100
  ) -> [[AlertLedger.Cause]] {
    var known: [StoredFinding.Key: StoredFinding] = [:]
    return steps.map { step in
      var rules = AlertLedger.Rules(now: noon + step.hours * hour)
      rules.blockedThreshold = threshold
      let result = AlertLedger.step(
        known: Array(known.values), seen: step.seen, complete: step.isComplete ? .all : .newFlows, rules: rules)
      for finding in result.changed { known[finding.key] = finding }
      return result.told.map(\.cause)
    }
  }

  @Test("a finding is told once, and again when it goes on after 24 h, then 48 h")
  func cooldown() {
    let more = seen(1)
    #expect(
      run([
        (0, [more], false), (1, [more], false), (23, [more], false), (24, [more], false), (48, [more], false),
        (71, [more], false), (72, [more], false), (73, [], false), (300, [], false),
      ]) == [[.new], [], [], [.ongoing], [], [], [.ongoing], [], []])
  }

  @Test(
    "of claims all flows are looked at, of other kinds the new ones: counts of both are right, and what was refuted is closed"
  )
  func claims() {
    let claim = seen(3, kind: "no-sidecar")
    let first = AlertLedger.step(known: [], seen: [claim, seen(5)], complete: .all, rules: .init(now: noon))
    let second = AlertLedger.step(
      known: first.changed, seen: [seen(4, kind: "no-sidecar"), seen(4, kind: "squid-direct"), seen(2)],
      complete: .claimsAndNewFlows, rules: .init(now: noon + hour))
    #expect(second.told.map { second.changed[$0.place].key.kind } == ["squid-direct"])
    #expect(
      second.changed.map { "\($0.key.kind) \($0.count)" } == ["no-sidecar 4", "passthrough 7", "squid-direct 4"])
    let third = AlertLedger.step(
      known: second.changed, seen: [seen(4, kind: "squid-direct")], complete: .claimsAndNewFlows,
      rules: .init(now: noon + 2 * hour))
    #expect(third.told.isEmpty)
    #expect(third.changed.map { "\($0.key.kind) \($0.state)" } == ["no-sidecar closed"])
  }

  @Test("what goes on is told though fewer flows of it are stored than were told: pruned, or no findings any more")
  func fewerThanTold() {
    func look(_ flows: Int64, _ hours: Int64) -> Observation { seen(flows, last: noon + hours * hour) }
    #expect(
      run([
        (0, [look(700, 0)], true),
        // A hundred a day come, and go by pruning.
        (25, [look(400, 25)], true), (30, [look(400, 30)], true), (80, [look(400, 80)], true),
        // Nothing more came.
        (300, [look(300, 80)], true),
        // Dropped and gone on while it was silent, told by new flows alone.
        (301, [look(100, 301)], true), (302, [look(60, 302)], false), (700, [look(1, 700)], false),
      ]) == [[.new], [.ongoing], [], [.ongoing], [], [.ongoing], [], [.ongoing]])
  }

  @Test("where flows were pruned, what was stored since is counted by itself, not by what is left of all")
  func pruned() {
    func look(_ flows: Int64, new: Int64, kind: String, known: [StoredFinding] = [], hours: Int64) -> AlertLedger.Step {
      let observation = seen(flows, kind: kind, last: noon + hours * hour)
      return AlertLedger.step(
        known: known, seen: [observation], complete: .all, new: [observation.key: new],
        rules: .init(now: noon + hours * hour))
    }
    for kind in ["passthrough", AlertLedger.blocked] {
      let first = look(600, new: 600, kind: kind, hours: 0)
      #expect(first.told.map(\.newFlows) == [600])
      // All of those are gone, and others have come.
      #expect(look(500, new: 500, kind: kind, known: first.changed, hours: 25).told.map(\.newFlows) == [500])
      #expect(look(700, new: 150, kind: kind, known: first.changed, hours: 25).told.map(\.newFlows) == [150])
      // As many as are left were told, and nothing more came.
      #expect(
        look(400, new: 0, kind: kind, known: first.changed, hours: 0).told == []
          && look(0, new: 0, kind: kind, known: first.changed, hours: 0).told == [])
    }
    // Below the threshold, as many as went make no new ones.
    let few = look(60, new: 60, kind: AlertLedger.blocked, hours: 0)
    #expect(look(60, new: 60, kind: AlertLedger.blocked, known: few.changed, hours: 1).told == [])
    #expect(look(100, new: 100, kind: AlertLedger.blocked, known: few.changed, hours: 1).told.map(\.newFlows) == [100])
    // Another policy made refusals of older flows at the same time.
    #expect(look(130, new: 60, kind: AlertLedger.blocked, known: few.changed, hours: 1).told == [])
    #expect(look(170, new: 60, kind: AlertLedger.blocked, known: few.changed, hours: 1).told.count == 1)
  }

  @Test("looking at everything again without more flows tells nothing")
  func lookingAgain() {
    #expect(run([(0, [seen(5)], true), (48, [seen(5)], true), (49, [seen(6)], true)]) == [[.new], [], [.ongoing]])
  }

  @Test("a verdict that becomes alertable is told, whenever its rows were stored")
  func becomesAlertable() {
    #expect(run([(0, [seen(5, .info)], true), (1, [seen(5, .warning)], true)]) == [[], [.new]])
    #expect(run([(0, [], true), (1, [seen(5)], true)]) == [[], [.new]])
  }

  @Test("what a policy allowed and no longer allows is told again, within the cooldown too")
  func reopened() {
    #expect(
      run([(0, [seen(5)], true), (1, [], true), (2, [seen(5)], true), (3, [seen(6)], true)])
        == [[.new], [], [.reopened], []])
  }

  @Test("a severity that rises is told at once; one that is seen less severe in part of the flows stays")
  func raised() {
    #expect(
      run([(0, [seen(1, .warning)], false), (1, [seen(1, .critical)], false), (2, [seen(1, .warning)], false)])
        == [[.new], [.raised], []])
  }

  @Test("refusals are told from the threshold on, summed over the sources of a host since the last run")
  func threshold() {
    func refused(_ flows: Int64, _ source: String) -> Observation { seen(flows, kind: "blocked", source: source) }
    #expect(
      run([
        (0, [refused(60, "a")], false), (1, [refused(60, "a")], false),
        (2, [refused(60, "a"), refused(40, "b")], false),
      ]) == [[], [], [.new, .new]])
    // Looking at everything again is no new refusal.
    #expect(
      run([(0, [refused(60, "a")], true), (1, [refused(61, "a")], true), (2, [refused(161, "a")], true)]) == [
        [], [], [.new],
      ])
  }

  @Test("a host is new once, however it is looked at")
  func newHost() {
    let host = seen(1, kind: "new-host", source: "")
    #expect(
      run([(0, [host], true), (1, [], true), (2, [host], true), (999, [host], false)]) == [[.new], [], [], []])
  }

  @Test("a clock that was set back does not silence a finding for longer than its pause")
  func clockSetBack() {
    #expect(run([(500, [seen(1)], false), (0, [seen(1)], false)]) == [[.new], [.ongoing]])
  }

  @Test("counts of forged size stay within bounds")
  func overflow() {
    #expect(run([(0, [seen(.max)], false), (48, [seen(.max)], false)]) == [[.new], []])
  }

  @Test("a finding of which all flows were pruned is no news when it comes again, and what a policy took back is")
  func prunedToNothing() {
    let first = AlertLedger.step(known: [], seen: [seen(3)], complete: .all, rules: .init(now: noon))
    for isOnlyPruned in [true, false] {
      let gone = AlertLedger.step(
        known: first.changed, seen: [], complete: .all, isOnlyPruned: isOnlyPruned, rules: .init(now: noon + hour))
      func told(_ hours: Int64) -> [AlertLedger.Cause] {
        AlertLedger.step(
          known: gone.changed, seen: [seen(2)], complete: .newFlows, rules: .init(now: noon + hours * hour)
        ).told.map(\.cause)
      }
      #expect(told(2) == (isOnlyPruned ? [] : [.reopened]))
      #expect(told(25) == (isOnlyPruned ? [.ongoing] : [.reopened]))
    }
  }
}
