import Foundation
import Testing

/// `gatewatch whatif`, and the parts of `gatewatch policy` that ask the database, as built.
@Suite struct WhatIfCommandTests {
  private static let present = """
    mesh: { internal: [10.80.0.0/16] }
    gateways: [ { name: egress, addresses: [10.80.3.232] } ]
    exceptions:
      - { name: net, addresses: [203.0.113.0/24], port: 443, owner: payments, reason: r, expires: 2099-01-31 }
      - { name: nobody, host: nobody.example, owner: payments, reason: r, expires: 2099-01-31 }
    """
  private static let other = """
    mesh: { internal: [10.80.0.0/16] }
    gateways: [ { name: egress, addresses: [10.80.3.232] } ]
    forward_proxies: [ { name: squid, addresses: [10.80.2.87] } ]
    exceptions:
      - { name: search, host: api.search.example, owner: web, reason: r, expires: 2099-01-31 }
    """
  private static let fill = "gatewatch ingest SampleLogs/demo --policy egress.yaml > ingest.txt\n"

  private func session() throws -> Session {
    let session = try Session()
    try session.write(Self.present + "\n", to: "egress.yaml")
    try session.write(Self.other + "\n", to: "other.yaml")
    return session
  }

  private func rows(_ output: String) throws -> [String] {
    try output.split(separator: "\n").map { line in
      let row = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
      return [row["change"], row["source"], row["host"], row["port"], row["flows"]].map { "\($0 ?? "-")" }
        .joined(separator: " ")
    }
  }

  @Test("an exception that allows on an assumption is told from one that allows for certain")
  func assumedException() throws {
    let session = try session()
    defer { session.remove() }
    func after(_ policy: String) throws -> String {
      try session.run("gatewatch whatif --policy \(policy) --format ndjson | grep api.search.example")
    }
    _ = try session.run(Self.fill)
    #expect(try after("other.yaml").contains("direct (bypass, allowed on an assumption)"))
    try session.write(
      Self.other.replacing("host: api.search.example", with: "host: api.search.example, addresses: [198.51.100.130]")
        + "\n", to: "certain.yaml")
    let certain = try after("certain.yaml")
    #expect(certain.contains("direct (allowed bypass)"), "\(certain)")
  }

  @Test("another policy: what would become bypass, what an exception would allow, what would be proven")
  func otherPolicy() throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(Self.fill + "gatewatch whatif --policy other.yaml --format ndjson")
    #expect(
      try rows(output) == [
        "bypass 10.80.3.13 203.0.113.77 443 4", "bypass 10.80.3.13 203.0.113.78 443 1",
        "allowed 10.80.3.14 api.search.example 443 6", "proven 10.80.3.13 my-company-proxy.com 3128 10",
      ])
  }

  @Test("REGISTRY_ONLY: all that sidecars passed through would have been blocked, also what is allowed today")
  func registryOnly() throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(Self.fill + "gatewatch whatif --registry-only --format ndjson")
    #expect(
      try rows(output) == [
        "blocked 10.80.3.13 203.0.113.77 443 4", "blocked 10.80.3.14 telemetry.vendor.example 80 2",
        "blocked 10.80.3.13 203.0.113.78 443 1",
      ])
    let filtered = try session.run("gatewatch whatif --registry-only --host 'telemetry.*' --since 2026-11-02T09:10:00Z")
    #expect(filtered.contains("1 flow would have been blocked\n"), "\(filtered)")
  }

  @Test("REGISTRY_ONLY refuses what no registry declares also where a declared proxy gets it, or a name is looked up")
  func registryOnlyByRoute() throws {
    let session = try session()
    defer { session.remove() }
    func line(_ host: String, _ upstream: String, _ cluster: String, _ route: String) -> String {
      "[2026-11-02T03:04:05.678Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 2381 12 12 \"-\" \"curl\" \"-\" \"\(host)\" \"\(upstream)\" \(cluster) 10.80.3.11:47908 203.0.113.5:80 10.80.3.11:47906 - \(route)\n"
    }
    let gateway = "outbound|80||istio-egressgateway.istio-system.svc.cluster.local"
    try session.write(
      line("declared.example", "10.80.3.232:8080", gateway, "default")
        + line("unknown.example", "10.80.3.232:8080", gateway, "allow_any")
        + line("dynamic.example", "203.0.113.6:80", "outbound|80||*.example", "allow_any_dynamic_dns")
        + line("plain.example", "203.0.113.7:80", "PassthroughCluster", "-"), to: "sidecar.log")
    let output = try session.run(
      "gatewatch ingest sidecar.log --policy egress.yaml > i.txt; gatewatch whatif --registry-only --format ndjson")
    #expect(
      try rows(output) == [
        "blocked 10.80.3.11 dynamic.example 80 1", "blocked 10.80.3.11 plain.example 80 1",
        "blocked 10.80.3.11 unknown.example 80 1",
      ])
  }

  @Test("the supposition is what the policy says once it is in use, and the database stays as it is to the byte")
  func changesNothing() throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(
      Self.fill + """
        sha256sum gatewatch.db > before
        gatewatch whatif --policy other.yaml > one; gatewatch whatif --policy other.yaml --registry-only > two
        gatewatch policy init > three; gatewatch policy check other.yaml > four
        sha256sum gatewatch.db | cmp - before && echo untouched
        gatewatch report bypass --format csv > now
        gatewatch report bypass --policy other.yaml --format ndjson 2> warnings.txt
        gatewatch whatif --policy other.yaml | tail -n 1
        """)
    #expect(output.hasPrefix("untouched\n"))
    let bypasses = output.split(separator: "\n").filter {
      $0.contains("\"bypass\":") && $0.contains("\"allowed_by\":null")
    }
    #expect(bypasses.count == 3, "\(output)")
    #expect(output.hasSuffix("no verdict on the stored flows would be another one\n"), "\(output)")
  }

  @Test(
    "each format carries the same rows", arguments: [("csv", 5), ("ndjson", 4), ("markdown", 4), ("json", 4)])
  func formats(format: String, lines: Int) throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(Self.fill + "gatewatch whatif --policy other.yaml --format \(format)")
    let rows = output.split(whereSeparator: \.isNewline).filter {
      $0.contains("10.80.3.1") || format == "csv" && $0.hasPrefix("change,")
    }
    #expect(rows.count == lines, "\(output)")
  }

  @Test("of a time or a source of which nothing was read, nothing is said; an exception is named only where it allows")
  func nothingRead() throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(
      Self.fill + """
        gatewatch whatif --registry-only --since 2026-11-20 | tail -n 1
        gatewatch whatif --registry-only --source 10.99.0.1 | tail -n 1
        gatewatch whatif --registry-only --source 10.80.3.12 | tail -n 1
        """)
    #expect(
      output == """
        nothing can be said: no flow that was read is of the time asked about
        nothing can be said: no flow that was read is of the source asked about
        no verdict on the stored flows would be another one

        """, "\(output)")
    try session.write(
      Self.other.replacingOccurrences(of: "10.80.3.232", with: "10.80.3.231")
        + "\n  - { name: any, host: \"*\", owner: o, reason: r, expires: 2099-01-31 }\n", to: "any.yaml")
    let rows = try session.run("gatewatch whatif --policy any.yaml --format ndjson").split(separator: "\n")
    #expect(rows.contains { $0.contains("\"change\":\"allowed\"") && !$0.contains("\"allowed_by\":null") })
    #expect(rows.allSatisfy { $0.contains("\"change\":\"allowed\"") || $0.contains("\"allowed_by\":null") })
  }

  @Test("without another policy there is nothing to suppose, and without a database nothing to ask")
  func refusals() throws {
    let session = try session()
    defer { session.remove() }
    #expect(try session.run("gatewatch whatif 2>&1; echo $?").contains("give --policy FILE, --registry-only, or both"))
    let missing = try session.run("gatewatch whatif --registry-only 2>&1; echo \"exit code $?\"; ls")
    #expect(
      missing.contains("no such database") && missing.contains("exit code 1") && !missing.contains("gatewatch.db\n"))
  }

  @Test("policy check counts the flows that each exception allows, and names those never used")
  func exceptionUse() throws {
    let session = try session()
    defer { session.remove() }
    let without = try session.run("gatewatch policy check egress.yaml")
    #expect(without.contains("no database gatewatch.db: which exceptions are used is not known\n"), "\(without)")
    let output = try session.run(
      Self.fill + "gatewatch policy check egress.yaml --format ndjson; gatewatch policy check egress.yaml | tail -n 1")
    func used(_ name: String) -> Bool? {
      output.split(separator: "\n").first { $0.contains("\"name\":\"\(name)\"") }?.contains("\"used\":0}")
    }
    #expect(used("net") == false && used("nobody") == true, "\(output)")
    #expect(output.hasSuffix("1 exception was never used by the flows in gatewatch.db\n"))
    #expect(
      try session.run("gatewatch policy check egress.yaml --db no.db 2>&1").contains("no.db: no such database"))
  }

  @Test("the draft lists what went around the gateway, and with its marks removed it is a policy that allows it")
  func draftedExceptions() throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(
      """
      gatewatch ingest SampleLogs/demo > ingest.txt
      gatewatch policy init > draft.yaml
      grep -c '^  # - ' draft.yaml
      sed 's/^\\( *\\)# - /\\1- /' draft.yaml > holds.yaml
      gatewatch policy check holds.yaml --format ndjson > check.txt; echo "exit code $?"
      gatewatch report bypass --policy holds.yaml --format ndjson 2> warnings.txt | grep -c '"allowed_by":null'
      grep egressgateway draft.yaml
      """)
    #expect(output.contains("exit code 0\n0\n"), "\(output)")
    #expect(output.contains("# - { log: \"*envoy-egressgateway.log\", role: gateway, max_silence: 15m }"), "\(output)")
  }
}
