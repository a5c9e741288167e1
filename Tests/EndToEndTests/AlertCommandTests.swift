import Foundation
import Testing

/// What `gatewatch alert` promises cron: silence when nothing is new, and never a 0 from a run that saw nothing.
@Suite struct AlertCommandTests {
  let sandbox: Sandbox

  init() throws { sandbox = try Sandbox() }

  private func passthrough(_ number: Int, to address: String) -> String {
    """
    [2020-09-08T05:00:0\(number % 10).000Z] "- - -" 0 - "-" "-" 906 100 10 - "-" "-" "-" "-" "\(address):443" \
    PassthroughCluster 10.80.3.9:40000 \(address):443 10.80.3.9:39999 - -

    """
  }

  @Test("what is new is told once with exit code 1 or 2; after that nothing is printed and the exit code is 0")
  func once() throws {
    try sandbox.copySamples("scenarios/walk-through")
    try sandbox.shell("$GATEWATCH ingest *.log")
    let first = try sandbox.gatewatch("alert")
    #expect(first.status == 1)
    #expect(first.out.hasPrefix("gatewatch WARNING: 2 new findings; first run\n"), "\(first.out)")
    #expect(first.out.contains("direct-service-entry  edition.cnn.com:443"))
    for _ in 0..<2 {
      let quiet = try sandbox.gatewatch("alert")
      #expect(quiet.status == 0)
      #expect(quiet.out.isEmpty && quiet.errors.isEmpty, "\(quiet.out)\(quiet.errors)")
    }
    let status = try sandbox.gatewatch("alert", "--status-line").out
    #expect(status.hasPrefix("GATEWATCH OK: nothing new; read: "), "\(status)")
    #expect(status.contains("|bypass=0 ") && !status.contains("no log of a sidecar"), "\(status)")

    try sandbox.append(passthrough(1, to: "203.0.113.77"), to: "sidecar.log")
    let critical = try sandbox.gatewatch("alert", "--ingest", "sidecar.log", "--format", "json")
    #expect(critical.status == 2, "\(critical.out)")
    let report = try critical.json()
    #expect(report["exit_code"] as? Int == 2)
    let finding = try #require((report["findings"] as? [[String: Any]])?.first)
    #expect(finding["kind"] as? String == "passthrough")
    #expect(finding["host"] as? String == "203.0.113.77")
    #expect(finding["new_flows"] as? Int == 1)
    // The cooldown: the same finding going on is not told again.
    try sandbox.append(passthrough(2, to: "203.0.113.77"), to: "sidecar.log")
    let ongoing = try sandbox.gatewatch("alert", "--ingest", "sidecar.log")
    #expect(ongoing.status == 0 && ongoing.out.isEmpty, "\(ongoing.out)")
    try sandbox.append(passthrough(3, to: "203.0.113.78"), to: "sidecar.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "sidecar.log").status == 2)
  }

  @Test("that nothing is new at a gateway alone is told with the remark that no sidecar was read")
  func silenceOfOneSide() throws {
    try sandbox.copySamples("demo")
    try sandbox.gatewatch("alert", "--ingest", "envoy-egressgateway.log")
    let status = try sandbox.gatewatch("alert", "--status-line")
    #expect(status.status == 0)
    #expect(status.out.hasPrefix("GATEWATCH OK: nothing new; read: 1 log (1 gateway), 50 lines"), "\(status.out)")
    #expect(status.out.contains("; no log of a sidecar was read"), "\(status.out)")
    let json = try sandbox.gatewatch("alert", "--format", "json").json()
    #expect((json["coverage"] as? String)?.contains("no log of a sidecar was read") == true, "\(json)")
  }

  @Test("refusals are told from the threshold on")
  func refusals() throws {
    try sandbox.write(Lines.squid((1...10).map { $0 * 17 }), to: "squid.log")
    try sandbox.gatewatch("ingest", "squid.log")
    try sandbox.shell("cp gatewatch.db other.db")
    #expect(try !sandbox.gatewatch("alert", "--db", "other.db").out.contains("blocked  "))
    let told = try sandbox.gatewatch("alert", "--blocked-threshold", "2")
    #expect(told.status == 1)
    #expect(told.out.contains("blocked  edition.cnn.com:443"), "\(told.out)")
  }

  @Test("no database, an empty one, and wrong usage are exit code 3, and no database is made")
  func couldNotTell() throws {
    let missing = try sandbox.gatewatch("alert", "--db", "missing.db")
    #expect(missing.status == 3)
    #expect(missing.out.contains("UNKNOWN: could not tell") && missing.out.contains("missing.db: no such database"))
    #expect(try sandbox.shell("ls -A").out.isEmpty)
    #expect(try sandbox.gatewatch("alert", "--bogus").status == 3)
    #expect(try sandbox.gatewatch("alert", "--blocked-threshold", "0").status == 3)

    try sandbox.write("", to: "empty.log")
    try sandbox.gatewatch("ingest", "empty.log")
    let empty = try sandbox.gatewatch("alert")
    #expect(empty.status == 3)
    #expect(empty.out.contains("the database is empty"), "\(empty.out)")
    // Still the first run afterwards: what an empty database saw is not taken for known.
    try sandbox.write(passthrough(1, to: "203.0.113.77"), to: "empty.log")
    let later = try sandbox.gatewatch("alert", "--ingest", "empty.log")
    #expect(later.status == 2)
    #expect(later.out.contains("first run"))
  }

  @Test("an input that cannot be read, or of which nothing was understood, is exit code 3, but findings outrank it")
  func inputs() throws {
    try sandbox.write(Lines.gateway(1...5), to: "gateway.log")
    try sandbox.gatewatch("alert", "--ingest", "gateway.log")
    let unreadable = try sandbox.gatewatch("alert", "--ingest", "gateway.log", "missing.log", "no*such")
    #expect(unreadable.status == 3)
    #expect(unreadable.out.contains("could not tell: missing.log: cannot open"), "\(unreadable.out)")
    #expect(unreadable.out.contains("could not tell: no*such: nothing matches"))
    try sandbox.write(passthrough(1, to: "203.0.113.77"), to: "sidecar.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "sidecar.log", "missing.log").status == 2)
    try sandbox.write("not a line of any proxy\n", to: "junk.log")
    let junk = try sandbox.gatewatch("alert", "--ingest", "junk.log")
    #expect(junk.status == 3)
    #expect(junk.out.contains("junk.log: 1 line read and none stored"), "\(junk.out)")
    let none = try sandbox.gatewatch("alert", "--ingest")
    #expect(none.status == 3)
  }

  @Test(
    "an alert cannot tell of a log of which most new flows are on an unknown path; a web server's own log is no such")
  func unknownPaths() throws {
    let format =
      #"[%START_TIME%] "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%" %RESPONSE_CODE% "%REQ(:AUTHORITY)%" %DURATION%"#
    func lines(_ minute: Int) -> String {
      (10..<30).map { "[2026-11-26T09:\(minute):\($0).000Z] \"GET / HTTP/1.1\" 200 \"a.example\" 5\n" }.joined()
    }
    func web(_ minute: Int) -> String {
      (10..<30).map {
        "10.80.3.11 - - [26/Nov/2026:09:\(minute):\($0) +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl/8\"\n"
      }.joined()
    }
    func alert() throws -> Sandbox.Outcome {
      try sandbox.gatewatch("alert", "--ingest", "custom.log", "web.log", "--log-format", format)
    }
    try sandbox.write(web(10), to: "web.log")
    try sandbox.write(lines(10), to: "custom.log")
    let problem = "could not tell: custom.log: 20 of 20 new flows on an unknown path (see: gatewatch report unproven)"
    let first = try alert()
    #expect(first.out.contains(problem) && !first.out.contains("web.log: "), "\(first.out)")
    // The host is new no more.
    try sandbox.write(lines(10) + lines(20), to: "custom.log")
    let second = try alert()
    #expect(second.status == 3 && second.out.contains(problem), "\(second.out)")
    try sandbox.write(web(10) + web(20), to: "web.log")
    let third = try alert()
    #expect(third.status == 0, "\(third.out)")
  }

  @Test("a log that the policy expects and that is silent is exit code 3")
  func silence() throws {
    try sandbox.write(Lines.gateway(1...5), to: "istio-egressgateway.log")
    try sandbox.write(
      """
      expected:
        - { log: "*egressgateway*", role: gateway, max_silence: 15m }
        - { log: "*squid*", role: forward-proxy, max_silence: 15m }

      """, to: "policy.yaml")
    let outcome = try sandbox.gatewatch("alert", "--ingest", "istio-egressgateway.log", "--policy", "policy.yaml")
    // The host is new, which outranks doubt; the doubt is told all the same.
    #expect(
      outcome.out.contains("expected log gateway *egressgateway*: silent since 2020-09-08T00:00:0"), "\(outcome.out)")
    #expect(outcome.out.contains("expected log forward-proxy *squid*: none was read"), "\(outcome.out)")
    let again = try sandbox.gatewatch("alert")
    #expect(again.status == 3, "the policy is kept: \(again.out)")
  }

  @Test(
    "a line that a sidecar wrote as a gateway would is none of the gateway's log that the policy expects",
    arguments: [false, true])
  func silenceOfGateway(isMixed: Bool) throws {
    func line(_ time: String, _ upstream: String, _ own: String, _ dialled: String, _ client: String) -> String {
      "[2020-09-08T\(time).000Z] \"- - -\" 0 - - - \"-\" 100 500 20 - \"-\" \"-\" \"-\" \"-\" \"\(upstream)\" outbound|443||x.example \(own):50000 \(dialled) \(client) - -\n"
    }
    let gateway = line("00:01:00", "203.0.113.9:443", "10.80.3.232", "10.80.3.232:8443", "10.80.3.11:40000")
    // A pod that calls itself, beside one that is as it should be.
    let sidecar =
      line("00:01:00", "10.80.3.232:8443", "10.80.3.11", "203.0.113.9:443", "10.80.3.11:31000")
      + line("02:00:00", "10.80.3.12:8080", "10.80.3.12", "10.80.3.12:443", "127.0.0.1:4000")
    try sandbox.write(isMixed ? gateway + sidecar : gateway, to: "gateway.log")
    if !isMixed { try sandbox.write(sidecar, to: "sidecar.log") }
    try sandbox.write(
      """
      gateways: [{ name: egress, addresses: [10.80.3.232] }]
      expected: [{ log: "*.log", role: gateway, max_silence: 15m }]

      """, to: "policy.yaml")
    let outcome = try sandbox.shell("$GATEWATCH alert --ingest *.log --policy policy.yaml; $GATEWATCH alert")
    #expect(outcome.status == 3)
    #expect(outcome.out.contains("silent since 2020-09-08T00:01:00"), "\(outcome.out)")
  }

  @Test("the logs that --ingest reads may have a format of their own")
  func ownFormat() throws {
    try sandbox.write("10.80.3.7|2026-11-01T10:00:00+00:00|GET /a HTTP/1.1|200|api.example.com\n", to: "own.log")
    let format = "$remote_addr|$time_iso8601|$request|$status|$host"
    let outcome = try sandbox.gatewatch("alert", "--ingest", "own.log", "--log-format", format)
    #expect(
      outcome.out.contains("1 line read = 1 stored") || outcome.out.contains("1 lines read = 1 stored"),
      "\(outcome.out)")
    #expect(try sandbox.gatewatch("alert", "--log-format", format).status == 3)
  }

  @Test("two alerts at once tell each finding once")
  func twoAtOnce() throws {
    try sandbox.write(passthrough(1, to: "203.0.113.77"), to: "sidecar.log")
    let outcome = try sandbox.shell(
      """
      $GATEWATCH alert --ingest sidecar.log > one.txt & one=$!
      $GATEWATCH alert --ingest sidecar.log > two.txt; second=$?
      wait $one; echo $? $second; cat one.txt two.txt
      """)
    #expect(["2 0", "0 2"].contains(outcome.lines.first), "\(outcome.out)\(outcome.errors)")
    #expect(outcome.lines.count { $0.contains("passthrough  203.0.113.77") } == 1)
    let held = try sandbox.shell("flock gatewatch.db.lock $GATEWATCH alert --wait 0; echo $?")
    #expect(held.out.hasSuffix("3\n"), "\(held.out)")
  }

  @Test("a finding that could not be printed is not taken for told")
  func notPrinted() throws {
    try sandbox.write(passthrough(1, to: "203.0.113.77"), to: "sidecar.log")
    let lost = try sandbox.shell("$GATEWATCH alert --ingest sidecar.log > /dev/full; echo $?")
    #expect(lost.out == "3\n")
    #expect(lost.errors.contains("cannot write the answer"))
    #expect(try sandbox.gatewatch("alert").status == 2)
  }

  @Test("an alert that is killed at any moment tells its finding in the next run")
  func killed() throws {
    var random = SeededGenerator(seed: 3)
    for round in 0..<10 {
      try sandbox.append(passthrough(round, to: "203.0.113.\(round + 1)"), to: "sidecar.log")
      let milliseconds = Int.random(in: 5...60, using: &random)
      let killed = try sandbox.shell(
        "timeout -s KILL 0.\(String(1000 + milliseconds).dropFirst()) $GATEWATCH alert --ingest sidecar.log")
      let next = try sandbox.gatewatch("alert", "--wait", "60", "--ingest", "sidecar.log")
      #expect((killed.out + next.out).contains("passthrough  203.0.113.\(round + 1):443"))
    }
    #expect(try sandbox.stored() == 10)
    #expect(try sandbox.gatewatch("alert").out.isEmpty)
  }

  @Test("what a changed policy makes a bypass is told, though its lines were stored long ago and their log is gone")
  func changedPolicy() throws {
    let exception = """
      exceptions:
        - { addresses: [203.0.113.0/24], port: 443, owner: payments, reason: "vendor cannot be proxied", expires: 2099-01-31 }

      """
    try sandbox.write(Lines.gateway(1...5), to: "gateway.log")
    try sandbox.write(passthrough(1, to: "203.0.113.77"), to: "sidecar.log")
    try sandbox.write(exception, to: "policy.yaml")
    let allowed = try sandbox.gatewatch("alert", "--ingest", "gateway.log", "sidecar.log", "--policy", "policy.yaml")
    #expect(!allowed.out.contains("passthrough"), "\(allowed.out)")
    let bypass = try sandbox.gatewatch("report", "bypass", "--format", "csv")
    #expect(bypass.out.contains("payments"), "an allowed bypass is listed with who allows it: \(bypass.out)")
    try sandbox.shell("rm *.log")
    try sandbox.write(exception.replacing("2099", with: "2020"), to: "policy.yaml")
    let expired = try sandbox.gatewatch("alert", "--policy", "policy.yaml")
    #expect(expired.status == 2, "\(expired.out)\(expired.errors)")
    #expect(expired.out.contains("passthrough  203.0.113.77:443"))
    #expect(try sandbox.gatewatch("alert").out.isEmpty)
  }
}
