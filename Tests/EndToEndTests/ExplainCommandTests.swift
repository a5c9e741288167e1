import Foundation
import Testing

/// `gatewatch explain`, as built.
@Suite struct ExplainCommandTests {
  private static let policy = """
    mesh:
      internal: [10.80.0.0/16]
    gateways:
      - { name: egress, addresses: [10.80.3.232] }
    exceptions:
      - { name: ended, addresses: [203.0.113.0/24], owner: o, reason: r, expires: 2020-01-31 }
      - { name: search, host: api.search.example, source: 10.80.3.14, owner: web, reason: r, expires: 2099-01-31 }
    """
  private static let fill = "gatewatch ingest SampleLogs/demo --policy egress.yaml > ingest.txt\n"

  private func session() throws -> Session {
    let session = try Session()
    try session.write(Self.policy + "\n", to: "egress.yaml")
    return session
  }

  private func json(_ session: Session, _ command: String) throws -> [String: Any] {
    let output = try session.run(command)
    return try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any], "\(output)")
  }

  @Test("a bypass is explained with verdict, rule, exceptions held against it, remedy and raw line")
  func bypass() throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(
      Self.fill + "gatewatch explain passthrough:10.80.3.14:telemetry.vendor.example:80")
    #expect(output.hasPrefix("finding passthrough from 10.80.3.14 to telemetry.vendor.example:80\n  flows         2\n"))
    for part in [
      "bypass passthrough (critical); path passthrough; outcome ok; written by the sidecar",
      "passthrough-external: a sidecar sent to a public address that no ServiceEntry declares",
      "egress.yaml:6: ended, owner o, expires 2020-02-01T00:00:00Z: does not apply: it had ended by then",
      "outboundTrafficPolicy REGISTRY_ONLY", "addresses: [203.0.113.140]",
      "SampleLogs/demo/envoy-sidecars.log:24\n",
      "                [2026-11-02T09:07:02.709Z] \"GET /collect HTTP/1.1\" 204 - via_upstream",
      "SampleLogs/demo/envoy-sidecars.log:66\n",
    ] {
      #expect(output.contains(part), "\(part)\n--- in\n\(output)")
    }
  }

  @Test("a finding that the reports name without a port is found without one")
  func findingWithoutPort() throws {
    let session = try Session()
    defer { session.remove() }
    let scenario = "SampleLogs/scenarios/no-sidecar-at-sni-proxy"
    _ = try session.run("gatewatch ingest \(scenario)/*.log --policy \(scenario)/policy.yaml > ingest.txt")
    for port in ["", ":", ":0"] {
      let output = try session.run("gatewatch explain sni-proxy-direct:legacy:www.wild.example\(port)")
      #expect(output.hasPrefix("finding sni-proxy-direct from legacy to www.wild.example\n"), "\(output)")
    }
  }

  @Test("a finding that the reports name without a host is found without one, and by the dash of a table")
  func findingWithoutHost() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write("pods: [{ name: legacy, addresses: [10.80.3.55], sidecar: false }]\n", to: "policy.yaml")
    try session.write("10.80.3.55 [02/Nov/2026:09:05:47 +0000] TCP [-]200 4875 901 0.601\n", to: "nginx.log")
    _ = try session.run("gatewatch ingest nginx.log --policy policy.yaml > ingest.txt")
    for host in ["", "-", ":", "-:0"] {
      let output = try session.run("gatewatch explain sni-proxy-direct:legacy:\(host)")
      #expect(output.hasPrefix("finding sni-proxy-direct from legacy to -\n"), "\(output)")
    }
  }

  @Test("the policy's entry behind a verdict is named by file and line, and the exception that allows a bypass")
  func policyEntries() throws {
    let session = try session()
    defer { session.remove() }
    let answer = try json(
      session, Self.fill + "gatewatch explain SampleLogs/demo/envoy-egressgateway.log:1 --format json")
    let flow = try #require((answer["flows"] as? [[String: Any]])?.first)
    let entry = try #require((flow["policy_entries"] as? [[String: Any]])?.first)
    #expect(answer["policy"] as? String == "egress.yaml")
    #expect(entry["section"] as? String == "gateways" && entry["line"] as? Int == 4)
    #expect((flow["verdict"] as? [String: Any])?["rule"] as? String == "gateway-line")

    let allowed = try session.run("gatewatch explain SampleLogs/demo/envoy-sidecars.log:13")
    #expect(allowed.contains("allowed by exception search"), "\(allowed)")
    #expect(allowed.contains("egress.yaml:7: search, owner web, expires 2099-02-01T00:00:00Z: allows it"), "\(allowed)")
  }

  @Test("a finding whose flows an exception allows is explained, with that exception")
  func allowedFinding() throws {
    let session = try session()
    defer { session.remove() }
    let finding = "direct-service-entry:10.80.3.14:api.search.example:443"
    let text = try session.run(Self.fill + "gatewatch explain \(finding)")
    #expect(
      text.hasPrefix(
        "finding direct-service-entry from 10.80.3.14 to api.search.example:443\n  flows         6, allowed by exception search (web)\n  seen          2026-"
      ), "\(text)")
    for part in [
      "allowed by exception search\n", "egress.yaml:7: search, owner web, expires 2099-02-01T00:00:00Z: allows it",
      "SampleLogs/demo/envoy-sidecars.log:13\n",
    ] {
      #expect(text.contains(part), "\(part)\n--- in\n\(text)")
    }
    let answer = try json(session, "gatewatch explain \(finding) --format json")
    let found = try #require(answer["finding"] as? [String: Any])
    #expect(found["flows"] as? Int == 0 && found["allowed"] as? Int == 6)
    #expect(found["allowed_by"] as? [String] == ["search (web)"])
    // One that holds for some of the flows leaves the others what they are.
    let part = try session.run(
      """
      sed 's/expires: 2099-01-31/expires: 2026-11-02T09:08:00Z/' egress.yaml > part.yaml
      gatewatch report bypass --policy part.yaml > r.txt 2> w.txt; gatewatch explain \(finding)
      """)
    #expect(part.contains(" more that are allowed by exception search (web)\n"), "\(part)")
    let unknown = try session.run("gatewatch explain passthrough:10.80.3.99:x.example:443 2>&1 || true")
    #expect(unknown.contains("no finding"), "\(unknown)")
  }

  @Test("the line is found when its log was renamed, compressed, or moved to a folder that is named")
  func movedLogs() throws {
    let session = try session()
    defer { session.remove() }
    let explain = "gatewatch explain envoy-sidecars.log:24"
    _ = try session.run(Self.fill + "cd SampleLogs/demo; mv envoy-sidecars.log older")
    #expect(try session.run(explain).contains("envoy-sidecars.log:24, now SampleLogs/demo/older:24\n"))
    _ = try session.run("cd SampleLogs/demo; mv older envoy-sidecars.log.1; gzip envoy-sidecars.log.1")
    #expect(try session.run(explain).contains("now SampleLogs/demo/envoy-sidecars.log.1.gz:24\n"))
    _ = try session.run("mkdir archive; mv SampleLogs/demo/envoy-sidecars.log.1.gz archive/a.gz")
    #expect(try session.run(explain).contains("envoy-sidecars.log:24: log gone: "))
    #expect(try session.run(explain + " --logs archive").contains("now archive/a.gz:24\n"))
  }

  @Test("a line that says something else now is no evidence")
  func changedLogs() throws {
    let session = try session()
    defer { session.remove() }
    let log = "SampleLogs/demo/envoy-sidecars.log"
    _ = try session.run(Self.fill + "sed -i '24s/ 204 / 403 /' \(log)")
    let changed = try session.run("gatewatch explain \(log):24")
    #expect(changed.contains("\(log):24: log changed: "), "\(changed)")
    #expect(!changed.contains("GET /collect HTTP/1.1"))
    #expect(try session.run("gatewatch explain \(log):25").contains("\(log):25\n"))
    // Another file under the old name, whose line happens to be the same, is another file.
    _ = try session.run("tail -n +2 \(log) > other; mv other \(log)")
    #expect(try session.run("gatewatch explain \(log):66").contains("begins otherwise than the log did"))
  }

  @Test("query strings stay hidden, and what could move a cursor is shown as its code")
  func hostileText() throws {
    let session = try session()
    defer { session.remove() }
    let line =
      #"[2026-11-02T09:07:02.709Z] "GET /pay?card=4111&token=abc&page=2 HTTP/1.1" 204 - via_upstream - "-" 0 0 31 30 "-" "\#u{1B}[2Jevil\#u{202E}" "d2f88c8b-56fc-4b5b-adc3-24cb0c38cebc" "t.example" "203.0.113.140:80" PassthroughCluster 10.80.3.14:33150 203.0.113.140:80 10.80.3.14:42216 - allow_any"#
    try session.write(line + "\n", to: "x.log")
    let output = try session.run("gatewatch ingest x.log > ingest.txt; gatewatch explain x.log:1 --columns")
    #expect(output.contains("\"GET /pay?[redacted] HTTP/1.1\" 204"), "\(output)")
    #expect(!output.contains("4111") && !output.contains("\u{1B}") && !output.contains("\u{202E}"))
    #expect(output.contains(#"\x1b[2Jevil\u{202e}"#))
    #expect(output.contains("%RESPONSE_CODE%"))
    let shown = try session.run("gatewatch explain x.log:1 --show-queries")
    #expect(shown.contains("GET /pay?card=4111&token=[redacted]&page=2 HTTP/1.1"), "\(shown)")
  }

  @Test("a record that its wrapper cut in parts is shown with all its parts")
  func partialRecords() throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(
      "gatewatch ingest SampleLogs/wrappers/cri-partial.log > ingest.txt; gatewatch flows --format ndjson > flows; "
        + "gatewatch explain 1; gatewatch explain 2 --format json")
    #expect(!output.contains("log changed") && !output.contains("\"changed\""), "\(output)")
    #expect(output.contains(" P ") && output.contains(" F "), "\(output)")
  }

  @Test("the line of a clock without a day is shown again when its log has grown for days")
  func clockWithoutDay() throws {
    let session = try session()
    defer { session.remove() }
    try session.write(
      "[%START_TIME(%H:%M:%S%z)%] %DURATION% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%\n",
      to: "format.txt")
    func line(_ clock: String) -> String {
      "[\(clock)+0000] 7200000 203.0.113.9:443 PassthroughCluster 203.0.113.9:443 10.80.3.14:50001\n"
    }
    try session.write(line("22:30:00") + line("23:00:00"), to: "bare.log")
    let explain = "gatewatch explain 1 --log-format @format.txt"
    let read =
      "touch -d 2026-11-03T01:00:00Z bare.log; gatewatch ingest --policy egress.yaml --log-format @format.txt bare.log > i.txt; "
    let first = try session.run(read + explain)
    #expect(first.contains("\(line("22:30:00"))") && first.contains("2026-11-02T22:30:00"), "\(first)")
    try session.write(line("22:30:00") + line("23:00:00") + line("03:00:00"), to: "bare.log")
    let later = try session.run(
      "touch -d 2026-11-06T05:00:00Z bare.log; gatewatch ingest --log-format @format.txt bare.log > i.txt; " + explain)
    #expect(later == first)
    // At another time of day it is another line.
    try session.write(line("22:31:00") + line("23:00:00") + line("03:00:00"), to: "bare.log")
    let other = try session.run(explain)
    #expect(!other.contains("[22:3"), "\(other)")
  }

  @Test(
    "what is not there is said, with what to do instead",
    arguments: [
      ("4711", "there is no flow 4711; ids go up to 169"), ("squid.log:99", "only 12 lines were read"),
      ("nothing.log:1", "no log \"nothing.log\" was read"), ("what", "is neither a flow nor a finding"),
      ("finding:1", "there is no finding 1"), ("blocked:a:b:1", "no finding blocked:a:b:1"),
    ])
  func refusals(target: String, message: String) throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(Self.fill + "gatewatch explain '\(target)' 2>&1; echo \"exit code $?\"")
    #expect(output.contains(message), "\(output)")
    #expect(output.hasSuffix("exit code 1\n"))
  }

  @Test("every flow of the sample logs is explained with its own line")
  func everyFlow() throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(
      Self.fill
        + "for id in $(seq 1 40 169); do gatewatch explain $id --format json; done | grep -c '\"state\":\"found\"'")
    #expect(output == "5\n")
  }

  @Test("what alert told keeps its first and last lines, redacted, when the log has gone")
  func keptEvidence() throws {
    let session = try session()
    defer { session.remove() }
    let finding = "direct-service-entry:10.80.3.14:api.search.example:443"
    _ = try session.run(
      """
      gatewatch ingest SampleLogs/demo > ingest.txt
      gatewatch explain \(finding) > before.txt
      gatewatch alert > alert.txt
      rm SampleLogs/demo/envoy-sidecars.log
      """)
    let before = try session.run("grep -c '^                \\[2026' before.txt")
    let after = try session.run("gatewatch explain \(finding)")
    #expect(before == "6\n")
    #expect(after.components(separatedBy: "as kept in the database (log gone").count == 7, "\(after)")
    #expect(after.components(separatedBy: "\n                [2026").count == 7)
    // A flow that is no evidence was not kept.
    #expect(try session.run("gatewatch explain envoy-sidecars.log:20").contains("log gone"))
    // What is pruned is gone with its evidence.
    _ = try session.run("gatewatch db prune --before 2026-11-02T09:10:00Z")
    #expect(
      try session.run(
        "gatewatch query -e 'select count(*) as n, min(started_at_ms) > 1793610600000 as late from evidence' --format csv"
      )
      .contains(",1"))
  }

  @Test("an alert with nothing new keeps nothing and says nothing")
  func silentAlert() throws {
    let session = try session()
    defer { session.remove() }
    let count = "gatewatch query -e 'select count(*) as n from evidence' --format ndjson"
    let output = try session.run(
      "gatewatch ingest SampleLogs/demo > i.txt; gatewatch alert > a.txt; \(count); gatewatch alert; echo $?; \(count)")
    let lines = output.split(separator: "\n")
    #expect(lines.count == 3 && lines[0] == lines[2] && lines[0] != "{\"n\":0}" && lines[1] == "0", "\(output)")
  }

  @Test("a finding of a kind that only the user's own alert query knows is explained by its flows")
  func findingOfOtherKind() throws {
    let session = try session()
    defer { session.remove() }
    _ = try session.run("mkdir -p mine/Alerts")
    try session.write(
      """
      -- title: Odd hosts
      -- about: As a test has it.
      -- column: kind text what it is
      select 'odd-host' as kind, 'warning' as severity, s.client_ip as source, d.host, d.port, count(*) as flows,
        min(f.started_at_ms) as first_seen, max(f.started_at_ms) as last_seen
      from flow f join source s on s.id = f.source join destination d on d.id = f.destination
      where d.host = 'telemetry.vendor.example'
      group by s.client_ip, d.host, d.port
      order by d.host;

      """, to: "mine/Alerts/odd.sql")
    let output = try session.run(
      Self.fill
        + "gatewatch alert --queries mine > a.txt; gatewatch explain odd-host:10.80.3.14:telemetry.vendor.example:80")
    #expect(output.hasPrefix("finding odd-host from 10.80.3.14 to telemetry.vendor.example:80\n"), "\(output)")
    #expect(output.contains("warning, open, told 1 time") && output.contains("envoy-sidecars.log:24\n"))
  }
}
