import Foundation
import Testing

/// What was pruned is never an all-clear, of no time that it was part of.
@Suite struct LostToPruningTests: LostInput {
  let sandbox: Sandbox

  init() throws {
    sandbox = try Sandbox()
    try prepare()
  }

  @Test("what was left unread is forgotten with all that was read at that time")
  func prunedRest() throws {
    try sandbox.shell(
      "(gzip -c whole.log; cat whole.log) > side.log.gz; $GATEWATCH ingest --policy egress.yaml side.log.gz")
    #expect(try report().contains("1 log was not read to the end"))
    try sandbox.shell("$GATEWATCH db prune --before 2026-11-02T09:00:10Z")
    #expect(try report().contains("1 log was not read to the end"))
    try sandbox.shell("$GATEWATCH db prune --before 2099-01-01T00:00:00Z")
    #expect(try !report().contains("not read to the end"))
  }

  @Test("an all-clear names the time from which on flows are kept, and is not said of what was before")
  func pruned() throws {
    try sandbox.write(sidecar(60, isBypass: true) + sidecar(60, from: 60), to: "side.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml side.log")
    #expect(try report().contains("60 flows left around the egress gateway"))
    try sandbox.shell("$GATEWATCH db prune --before 2026-11-02T09:01:00Z")
    let kept = try report()
    #expect(kept.contains("flows from 2026-11-02T09:01:00.000Z to"), "\(kept)")
    #expect(kept.contains("60 flows from before 2026-11-02T09:01:00.000Z were pruned"))
    #expect(try report("--since 2026-11-02T09:01").contains("no bypass found in what was read"))
    let before = try report("--since 2026-11-02T09:00 --until 2026-11-02T09:02")
    #expect(before.contains("no all-clear: 60 flows from before 2026-11-02T09:01:00.000Z were pruned"), "\(before)")
  }

  /// A request of another pod, as the server's own sidecar logs it.
  private func inbound(_ time: String) -> String {
    "[2026-11-02T\(time).000Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 20 5 5 \"-\" \"curl/8\" \"-\" \"catalog:9080\" \"10.80.3.14:9080\" inbound|9080|| 127.0.0.6:43383 10.80.3.14:9080 10.80.3.11:52377 outbound_.9080_._.catalog.shop.svc.cluster.local default\n"
  }

  @Test("a sidecar's log of which nothing is stored any more vouches for no time, by whatever policy")
  func prunedSidecar() throws {
    try sandbox.write(["09:40:00", "09:45:00", "09:50:00"].map(inbound).joined(), to: "server.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml whole.log server.log")
    try sandbox.shell("$GATEWATCH db prune --before 2026-11-02T09:30:00Z")
    try sandbox.write(Self.policy + "# Nothing else.\n", to: "other.yaml")
    for policy in ["", "--policy other.yaml", ""] {
      for limits in ["", "--since 2026-11-02T09:30"] {
        let text = try report("\(limits) \(policy)")
        #expect(
          text.contains("this is no all-clear: all flows of sidecars' logs were pruned: what pods send"), "\(text)")
      }
    }
    #expect(try sandbox.shell("$GATEWATCH report coverage --require-coverage role=sidecar").status == 0)
    // The log of another that goes on.
    try sandbox.write(sidecar(2, from: 2400) + sidecar(2, from: 3000), to: "next.log")
    try sandbox.gatewatch("ingest", "next.log")
    #expect(try report("--since 2026-11-02T09:30").contains("no bypass found in what was read"))
  }

  @Test("a connection of which the flow was pruned stands for no line of the time until it ended")
  func prunedLongFlow() throws {
    try sandbox.write(sidecar(1).replacing(" 0 20 5 5 ", with: " 0 20 3000000 5 "), to: "long.log")
    try sandbox.write(sidecar(1, from: 1860), to: "short.log")
    try sandbox.write(["09:31:00", "09:50:00"].map(inbound).joined(), to: "server.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml long.log short.log server.log")
    try sandbox.shell("$GATEWATCH db prune --before 2026-11-02T09:30:00Z")
    let text = try report("--since 2026-11-02T09:30")
    #expect(
      text.contains("no line of a sidecar's log is of the time from 2026-11-02T09:31:00.005Z until 2026-11-02T09:50"),
      "\(text)")
  }

  @Test("what a log told of successes and roles before its flows were pruned is not taken back by another policy")
  func prunedSigns() throws {
    try sandbox.write(sidecar(12), to: "old.log")
    let failed = sidecar(1, from: 2400).replacing("200 - via_upstream", with: "503 UF upstream_reset_before_response")
    try sandbox.write(sidecar(12, from: 60) + failed, to: "whole.log")
    try sandbox.write(sidecar(2, from: 3000), to: "new.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml old.log whole.log new.log")
    try sandbox.shell("$GATEWATCH db prune --before 2026-11-02T09:30:00Z")
    let signs = "$GATEWATCH query -e 'select log, roles, has_success from log_sign order by log' --format csv"
    let noted = try sandbox.shell(signs).out
    #expect(noted == "log,roles,has_success\r\n1,sidecar,1\r\n2,sidecar,1\r\n3,sidecar,1\r\n", "\(noted)")
    #expect(try report("--since 2026-11-02T09:30").contains("no bypass found in what was read"))
    try sandbox.write(Self.policy + "# Nothing else.\n", to: "other.yaml")
    let text = try report("--since 2026-11-02T09:30 --policy other.yaml")
    #expect(text.contains("no bypass found in what was read"), "\(text)")
    #expect(try sandbox.shell(signs).out == noted)
  }

  @Test("a rejected line of a log that was pruned to nothing says nothing of a time after its last reading")
  func prunedRejected() throws {
    try sandbox.append("[2026-11-02T09:10:00.000Z] another format\n", to: "whole.log")
    try sandbox.write(sidecar(20).replacing("[2026-", with: "[2126-"), to: "later.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml whole.log later.log")
    let later = "--since 2126-11-02T09:00"
    #expect(try report(later).contains("no all-clear: 1 rejected line"))
    try sandbox.shell("$GATEWATCH db prune --before 2026-11-03T00:00:00Z")
    let text = try report(later)
    #expect(text.contains("no bypass found in what was read"), "\(text)")
    for earlier in ["", "--since 2026-11-02T09:00"] {
      #expect(try report(earlier).contains("1 rejected line (see"), "\(earlier)")
    }
  }

  @Test("flows that are pruned before an alert looked at them are no silence, and are told of once")
  func prunedUnseen() throws {
    try begin()
    try sandbox.write(sidecar(5, from: 60, isBypass: true), to: "late.log")
    #expect(try sandbox.gatewatch("ingest", "late.log").status == 0)
    try sandbox.append(sidecar(5, from: 600), to: "whole.log")
    #expect(try sandbox.gatewatch("ingest", "whole.log").status == 0)
    #expect(try sandbox.gatewatch("db", "prune", "--before", "2026-11-02T09:05").status == 0)
    let outcome = try sandbox.gatewatch("alert")
    #expect(
      outcome.status == 3 && outcome.out.contains("5 flows were pruned before any alert had looked at them"),
      "\(outcome)")
    #expect(try sandbox.gatewatch("alert").status == 0)
  }

  @Test("flows that are pruned before the first alert of all are told of, too")
  func prunedBeforeFirst() throws {
    try sandbox.write(sidecar(5, from: 60, isBypass: true), to: "late.log")
    try sandbox.append(sidecar(5, from: 600), to: "late.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml late.log; $GATEWATCH db prune --before 2026-11-02T09:05")
    let outcome = try sandbox.gatewatch("alert")
    #expect(outcome.out.contains("5 flows were pruned before any alert had looked at them"), "\(outcome)")
    #expect(try sandbox.gatewatch("alert").status == 0)
  }

  /// What this policy calls the mesh is ordinary, and gets no rows.
  private static var lax: String {
    policy.replacing("[10.80.0.0/16]", with: "[10.80.0.0/16, 203.0.113.0/24]")
  }

  @Test("flows without rows that are pruned before an alert looked at them are told of as others are")
  func prunedSums() throws {
    try sandbox.write(Self.lax, to: "egress.yaml")
    try begin()
    for run in 0..<6 {
      try sandbox.append(sidecar(5, from: 60 + 10 * run, isBypass: true), to: "late.log")
      #expect(try sandbox.gatewatch("ingest", "--keep", "exceptions", "late.log").status == 0)
      if run == 4 { #expect(try sandbox.gatewatch("alert").status == 0) }
    }
    try sandbox.append(sidecar(5, from: 600).replacing("T09:", with: "T11:"), to: "whole.log")
    #expect(try sandbox.gatewatch("ingest", "whole.log").status == 0)
    #expect(try sandbox.gatewatch("db", "prune", "--before", "2026-11-02T10:00").status == 0)
    let outcome = try sandbox.gatewatch("alert")
    #expect(
      outcome.status == 3 && outcome.out.contains("5 flows were pruned before any alert had looked at them"),
      "\(outcome)")
    #expect(try sandbox.gatewatch("alert").status == 0)
  }

  @Test("what was left without rows by another policy than the last alert's is looked at by the next one")
  func sumsOfAnotherPolicy() throws {
    try begin()
    try sandbox.write(Self.lax, to: "lax.yaml")
    try sandbox.write(sidecar(10, from: 60, isBypass: true), to: "late.log")
    try sandbox.shell("$GATEWATCH ingest --keep exceptions --policy lax.yaml late.log")
    let outcome = try sandbox.shell("$GATEWATCH alert --policy egress.yaml --format json")
    #expect(outcome.status == 2 && outcome.out.contains("\"flows\":10,"), "\(outcome)")
  }
}
