import Foundation
import Testing

/// What is said of clients that came around the hop before a gateway or a proxy, as built.
@Suite struct ClaimCommandTests {
  private func session(_ scenario: String) throws -> (Session, String) {
    let session = try Session()
    let folder = "SampleLogs/scenarios/\(scenario)"
    _ = try session.run("gatewatch ingest \(folder)/*.log --policy \(folder)/policy.yaml > ingest.txt")
    return (session, folder)
  }

  private func json(_ session: Session, _ command: String) throws -> [[String: Any]] {
    let output = try session.run(command)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any], "\(output)")
    return try #require((object["flows"] ?? object["findings"]) as? [[String: Any]], "\(output)")
  }

  private func expect(_ output: String, has parts: [String]) {
    for part in parts { #expect(output.contains(part), "\(part)\n--- in\n\(output)") }
  }

  @Test(
    "a client without a sidecar is explained with the policy's word for it; report and alert say what it went around")
  func inventory() throws {
    let (session, folder) = try session("no-sidecar-at-gateway")
    defer { session.remove() }
    expect(
      try session.run("gatewatch explain no-sidecar:legacy:a.example:80"),
      has: [
        "bypass no-sidecar around the sidecar (warning); path gateway",
        "rule          gateway-line: the addresses of the line are those of a gateway",
        "reason        client-has-no-sidecar: an inventory says that the client carries no sidecar",
        "shown by      \(folder)/policy.yaml:4: pods, legacy, sidecar: false",
        "\(folder)/policy.yaml:4: pods, legacy, sidecar: false", "exceptions    the policy has none",
        "would change  the log of a sidecar at 10.80.3.40", "an exception of the policy for host a.example",
      ])
    let flow = try #require(try json(session, "gatewatch explain \(folder)/gateway.log:2 --format json").first)
    let verdict = try #require(flow["verdict"] as? [String: Any])
    #expect(verdict["bypass_reason"] as? String == "client-has-no-sidecar" && verdict["around"] as? String == "sidecar")
    #expect(verdict["shown_by"] as? [String] == ["\(folder)/policy.yaml:4: pods, legacy, sidecar: false"])
    #expect((flow["policy_entries"] as? [[String: Any]])?.contains { $0["section"] as? String == "pods" } == true)

    let report = try session.run("gatewatch report bypass --format csv")
    expect(
      report,
      has: [
        "severity,bypass,around,source,", "warning,no-sidecar,sidecar,legacy,a.example,80,2,",
        ",client-has-no-sidecar,",
      ])
    expect(
      try session.run("gatewatch alert --format json || true"),
      has: [#""around":["sidecar"],"reasons":["client-has-no-sidecar"]"#])
  }

  @Test("a client that skipped its sidecar is explained with the log that was read, and from when until when")
  func ownLog() throws {
    let (session, folder) = try session("skipped-sidecar")
    defer { session.remove() }
    expect(
      try session.run("gatewatch explain \(folder)/gateway.log:2"),
      has: [
        "bypass no-sidecar around the sidecar (warning)",
        "reason        client-skipped-its-sidecar: the client's own sidecar logged no such flow",
        "shown by      10.80.3.11's own sidecar log was read from 2026-11-03T12:00:00.040Z until 2026-11-03T12:05:00.041Z, and holds no line that could be the hop before",
        "a log of that sidecar: \(folder)/sidecar.log",
        "would change  a line of that sidecar that could be the hop before",
      ])
    let joined = try session.run("gatewatch explain \(folder)/gateway.log:1")
    #expect(!joined.contains("reason  ") && !joined.contains("the source would be proven"), "\(joined)")
  }

  @Test("a sidecar before the SNI proxy, where the gateway should be, is explained by that line")
  func gateway() throws {
    let (session, folder) = try session("skipped-gateway-at-sni-proxy")
    defer { session.remove() }
    expect(
      try session.run("gatewatch explain \(folder)/sni-proxy.log:1"),
      has: [
        "bypass sni-proxy-direct around the gateway (critical)", "client-skipped-the-gateway: the hop before is the",
        "shown by      the line before this one in the journey", "\(folder)/sidecar.log:1",
        "would change  a VirtualService that routes www.wild.example to the egress gateway",
      ])
  }

  /// A sidecar's connection to Squid, and Squid's line of it; one in the middle has none of the sidecar's.
  private func squidScene(_ session: Session, ports: Bool) throws {
    var sidecar = ""
    var squid = ""
    for minute in 0...8 {
      let port = 36_000 + minute
      if minute != 4 {
        sidecar +=
          "[2026-11-02T09:0\(minute):00.000Z] \"- - -\" 0 - - - \"-\" 898 \(5000 + minute) 354 - \"-\" \"-\" \"-\" \"-\" \"10.80.2.87:3128\" outbound|3128||my-company-proxy.com 10.80.3.11:\(port) 10.80.2.87:3128 10.80.3.11:\(port + 9000) - -\n"
      }
      let ends = 1_793_610_000 + 60 * minute
      squid +=
        ports
        ? "\(ends).350    346 10.80.3.11:\(port) 10.80.2.87:41822 TCP_TUNNEL/200 \(5000 + minute) 898 CONNECT a.example:443 a.example splice -/- - HIER_DIRECT/203.0.113.10:443 - \"curl/8\"\n"
        : "\(ends).350    346 10.80.3.11 TCP_TUNNEL/200 \(5000 + minute) CONNECT a.example:443 - HIER_DIRECT/203.0.113.10 -\n"
    }
    try session.write(
      "mesh: { internal: [10.80.0.0/16] }\nforward_proxies: [ { name: squid, addresses: [10.80.2.87] } ]\n",
      to: "p.yaml")
    try session.write(sidecar, to: "sidecar.log")
    try session.write(squid, to: "squid.log")
    let format = ports ? " --log-format @SampleLogs/squid/custom-with-ports.format" : ""
    _ = try session.run("gatewatch ingest --policy p.yaml\(format) *.log > ingest.txt")
  }

  @Test(
    "without the client's port in the proxy's log, a sidecar's own log never proves that it was skipped; with it, it does"
  )
  func portless() throws {
    for (ports, wanted) in [
      (false, "squid.log,5,,source-unproven"), (true, "squid.log,5,squid-direct,client-skipped-its-sidecar"),
    ] {
      let session = try Session()
      defer { session.remove() }
      try squidScene(session, ports: ports)
      let found = try session.run(
        """
        gatewatch query --format csv -e "select log, line, bypass, coalesce(reason, warnings) from flows
          where role = 'forward-proxy' and (bypass is not null or warnings is not null) order by line"
        """)
      #expect(found.split(whereSeparator: \.isNewline).dropFirst().map(String.init) == [wanted], "\(ports)")
      guard !ports else { continue }
      expect(
        try session.run("gatewatch report unproven --format csv"),
        has: ["log the client's port at the proxy: its own sidecar log was read"])
    }
  }

  @Test("what lines of a later run prove to be a bypass is told then, and closed when the hop before turns up")
  func provenLater() throws {
    let session = try Session()
    defer { session.remove() }
    func time(_ second: Int) -> String { String(format: "2026-11-02T%02d:%02d:%02d", 9, second / 60, second % 60) }
    func sidecar(_ second: Int) -> String {
      "[\(time(second)).000Z] \"GET /\(second) HTTP/1.1\" 200 - via_upstream - \"-\" 0 \(second) 9 8 \"-\" \"curl/8\" \"0b1f6d1e-8f0e-4a77-9d55-3f0f6f0\(100_000 + second)\" \"a.example\" \"10.80.3.232:8080\" outbound|80||istio-egressgateway.istio-system.svc.cluster.local 10.80.3.11:\(20_000 + second) 203.0.113.7:80 10.80.3.11:\(40_000 + second) - -\n"
    }
    func gateway(_ second: Int) -> String {
      "[\(time(second)).002Z] \"GET /\(second) HTTP/1.1\" 200 - via_upstream - \"-\" 0 \(second) 6 5 \"10.80.3.11\" \"curl/8\" \"0b1f6d1e-8f0e-4a77-9d55-3f0f6f0\(100_000 + second)\" \"a.example\" \"203.0.113.7:80\" outbound|80||a.example 10.80.3.232:\(30_000 + second) 10.80.3.232:8080 10.80.3.11:\(20_000 + second) - -\n"
    }
    try session.write(
      "mesh: { internal: [10.80.0.0/16] }\ngateways: [ { name: egress, addresses: [10.80.3.232] } ]\n",
      to: "egress.yaml")
    let seconds = Array(stride(from: 0, through: 600, by: 20))
    // The gateway's line of 305 came around the sidecar, whose log is read until then only.
    try session.write((seconds + [305]).sorted().map(gateway).joined(), to: "gateway.log")
    try session.write(seconds.filter { $0 < 310 }.map(sidecar).joined(), to: "sidecar.log")
    try session.write(seconds.filter { $0 > 310 }.map(sidecar).joined(), to: "rest")
    try session.write(sidecar(305), to: "lost")
    let findings =
      "gatewatch query --format csv -e \"select state from finding where kind = 'no-sidecar'\" | tail -n +2 | tr -d '\\r'"
    let first = try session.run(
      "gatewatch ingest --policy egress.yaml gateway.log sidecar.log > i.txt; gatewatch alert > told.txt; \(findings)")
    #expect(first == "", "\(first)")
    let second = try session.run(
      """
      cat rest >> sidecar.log; gatewatch alert --ingest sidecar.log; echo "exit code $?"
      gatewatch alert; echo "exit code $?"; \(findings)
      """)
    #expect(second.hasPrefix("gatewatch WARNING: 1 new finding\n  warning  no-sidecar  a.example:80\n"), "\(second)")
    #expect(second.hasSuffix("exit code 1\nexit code 0\nopen\n"), "\(second)")
    let third = try session.run(
      "cat lost >> sidecar.log; gatewatch alert --ingest sidecar.log; echo \"exit code $?\"; \(findings)")
    #expect(third == "exit code 0\nclosed\n", "\(third)")
  }

  @Test("what is unproven says which log, until when, or which entry would prove it")
  func proof() throws {
    for (scenario, proofs) in [
      (
        "skipped-sidecar-log-missing",
        [
          "read the sidecar log of 10.80.3.11 past 2026-11-03T12:03:31Z, or, if it has none, say so in the policy (pods, sidecar: false)",
          "read the sidecar log of 10.80.3.11 past 2026-11-03T12:06:01Z, or, if it has none, say so in the policy (pods, sidecar: false)",
        ]
      ),
      (
        "no-sidecar-at-squid",
        [
          "read the log of the proxy at 10.80.3.12 past 2026-11-03T12:01:02Z, or say in the policy what it is: a gateway, or a pod with sidecar: false"
        ]
      ),
      (
        "skipped-sidecar-forged",
        [
          "its sidecar log was read, and leaves a doubt; if 10.80.3.11 has none, say so in the policy (pods, sidecar: false)",
          "log in a format whose columns read in one way only: JSON",
        ]
      ),
    ] {
      let (session, _) = try session(scenario)
      defer { session.remove() }
      let rows = try session.run("gatewatch report unproven --format ndjson").split(separator: "\n").map {
        try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
      }
      #expect(Set(rows.compactMap { $0["proof"] as? String }) == Set(proofs), "\(scenario): \(rows)")
    }
  }

  @Test("where what was read of a sidecar's log begins too late, the proof is from when on to read it")
  func proofOfTheBeginning() throws {
    let session = try Session()
    defer { session.remove() }
    let folder = "SampleLogs/scenarios/skipped-sidecar"
    let proofs = try session.run(
      """
      tail -n +2 \(folder)/sidecar.log > sidecar.log
      gatewatch ingest sidecar.log \(folder)/gateway.log --policy \(folder)/policy.yaml > ingest.txt
      gatewatch report unproven --format ndjson
      """)
    expect(
      proofs,
      has: [
        "read the sidecar log of 10.80.3.11 from before 2026-11-03T11:59:00Z on, or, if it has none, say so in the policy",
        "read the sidecar log of 10.80.3.11 from before 2026-11-03T12:01:30Z on, or, if it has none, say so in the policy",
      ])
    #expect(!proofs.contains(" past "), "\(proofs)")
  }
}
