import Foundation
import Testing

/// `ingest --keep exceptions`, beside a database that keeps all.
@Suite struct KeepCommandTests {
  let sandbox: Sandbox
  private static let reports = ["summary", "bypass", "blocked", "latency", "hosts", "sources", "timeline", "unproven"]

  init() throws { sandbox = try Sandbox() }

  private func expectSameReports(_ more: String = "", _ comment: Comment? = nil) throws {
    for name in Self.reports {
      let whole = try sandbox.shell("$GATEWATCH report \(name) --db whole.db \(more) --format csv")
      let kept = try sandbox.shell("$GATEWATCH report \(name) --db kept.db \(more) --format csv")
      #expect(whole.status == 0 && kept.status == 0, "\(kept.errors)")
      #expect(kept.out == whole.out, "\(name) \(more)")
    }
    let check = try sandbox.shell("$GATEWATCH db check --db kept.db")
    #expect(check.status == 0, "\(check.errors)")
  }

  @Test("the reports of the sample logs are the same, and what has no row is said where it would be looked for")
  func sampleLogs() throws {
    try sandbox.copySamples("demo")
    let logs = "*.log"
    #expect(try sandbox.shell("$GATEWATCH ingest --no-join-hops --db whole.db \(logs)").status == 0)
    #expect(try sandbox.shell("$GATEWATCH ingest --keep exceptions --db kept.db \(logs)").status == 0)
    try expectSameReports()
    let flows = try sandbox.shell("$GATEWATCH flows --db kept.db --format csv")
    #expect(flows.errors.contains("without a row of their own"), "\(flows.errors)")
    #expect(try sandbox.shell("$GATEWATCH report --db kept.db bypass").out.contains("kept as sums alone"))
    #expect(try sandbox.shell("$GATEWATCH db info --db kept.db").out.contains("flows without a row"))
    let whatIf = try sandbox.shell("$GATEWATCH whatif --registry-only --db kept.db")
    #expect(whatIf.out.contains("flows kept as sums alone"), "\(whatIf.out)\(whatIf.errors)")
    // A line whose flow is counted and was not kept.
    let rows = try sandbox.shell(
      "$GATEWATCH query --db whole.db -e \"select line from flows where log glob '*sidecars.log'\" --format csv"
    ).lines
    let kept = try sandbox.shell(
      "$GATEWATCH query --db kept.db -e \"select line from flows where log glob '*sidecars.log'\" --format csv"
    ).lines
    let line = try #require(Set(rows).subtracting(kept).sorted().first)
    let explain = try sandbox.shell("$GATEWATCH explain --db kept.db envoy-sidecars.log:\(line)")
    #expect(explain.status != 0)
    #expect(explain.errors.contains("is counted, and its flow was not kept"), "\(explain.errors)")
  }

  @Test("another policy judges flows without rows, too")
  func anotherPolicy() throws {
    try sandbox.copySamples("demo")
    let logs = "*.log"
    try sandbox.shell("$GATEWATCH ingest --no-join-hops --db whole.db \(logs)")
    try sandbox.shell("$GATEWATCH ingest --keep exceptions --db kept.db \(logs)")
    try sandbox.write(
      """
      gateways: [ { name: elsewhere, addresses: [10.80.9.9] } ]
      mesh: { internal: [10.90.0.0/16] }
      """, to: "policy.yaml")
    let before = try sandbox.shell("$GATEWATCH report summary --db kept.db --format csv").out
    try expectSameReports("--policy policy.yaml")
    #expect(try sandbox.shell("$GATEWATCH report summary --db kept.db --format csv").out != before)
  }

  @Test("an alert tells what an alert of all flows tells")
  func alerts() throws {
    try sandbox.copySamples("demo")
    let logs = "*.log"
    try sandbox.shell("$GATEWATCH ingest --no-join-hops --db whole.db \(logs)")
    try sandbox.shell("$GATEWATCH ingest --keep exceptions --db kept.db \(logs)")
    let whole = try sandbox.shell("$GATEWATCH alert --db whole.db")
    let kept = try sandbox.shell("$GATEWATCH alert --db kept.db")
    #expect(kept.status == whole.status)
    // But for what was read, and how it was kept.
    #expect(kept.lines.filter { !$0.hasPrefix("  read:") } == whole.lines.filter { !$0.hasPrefix("  read:") })
    #expect(try sandbox.shell("$GATEWATCH alert --db kept.db").status == 0)
  }

  @Test("killed at any moment while its logs grow, and run again: every line once, every report the same")
  func killed() throws {
    var random = SeededGenerator(seed: 4)
    var killed = 0
    var pace = 0.0
    for round in 0..<8 {
      let numbers = round * 4000..<(round + 1) * 4000
      // Sent to the gateway, most of them.
      let sidecar = Lines.sidecar(numbers).replacing(
        "\"151.101.1.67:80\" outbound|80||", with: "\"10.80.3.232:8080\" outbound|80|egress|istio-egressgateway.")
      try sandbox.append(sidecar, to: "sidecar.log")
      try sandbox.append(Lines.squid(numbers), to: "squid.log")
      if round == 0 { pace = try sandbox.seconds(of: "$GATEWATCH ingest --keep exceptions --db pace.db *.log") }
      let outcome = try sandbox.shell(
        "$GATEWATCH ingest --keep exceptions --db kept.db *.log", killedAt: .random(in: 0.02...1, using: &random),
        of: pace)
      if outcome.status == 137 { killed += 1 }
    }
    #expect(killed > 1, "nothing was interrupted")
    // The last one that was killed may hold its lock until the disk lets it go.
    let last = try sandbox.shell("$GATEWATCH ingest --wait 60 --keep exceptions --db kept.db *.log")
    #expect(last.status == 0, "\(last.errors)")
    #expect(try sandbox.shell("$GATEWATCH ingest --no-join-hops --db whole.db *.log").status == 0)
    try expectSameReports()
    let tallied = try sandbox.shell(
      "$GATEWATCH query --db kept.db -e 'select sum(tallied) > 20000 as many from log' --format csv")
    #expect(tallied.lines.last == "1", "\(tallied.out)")
  }

  @Test("the two options are checked")
  func options() throws {
    try sandbox.write(Lines.squid(1...3), to: "squid.log")
    #expect(try sandbox.shell("$GATEWATCH ingest squid.log --slow 5").status == 64)
    #expect(try sandbox.shell("$GATEWATCH ingest squid.log --keep exceptions --slow 0").status == 64)
    #expect(try sandbox.shell("$GATEWATCH ingest squid.log --keep nothing").status == 64)
    #expect(try sandbox.shell("$GATEWATCH ingest squid.log --keep exceptions --slow 5").status == 0)
  }
}
