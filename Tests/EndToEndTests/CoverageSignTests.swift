import Foundation
import Testing

/// What speaks against whole logs, and that every answer about bypass says so, as built.
@Suite struct CoverageSignTests {
  /// Lines of a sidecar that went to the declared gateway.
  private func sidecar(_ count: Int, status: Int = 200, from second: Int = 0) -> String {
    (second..<second + count).map { second in
      "[2026-11-02T09:\(String(format: "%02d:%02d", second / 60, second % 60)).000Z] \"GET / HTTP/1.1\" \(status) - via_upstream - \"-\" 0 20 5 5 \"-\" \"curl/8\" \"-\" \"a.example\" \"10.80.3.232:8080\" outbound|80||istio-egressgateway.istio-system.svc.cluster.local 10.80.3.11:\(40_000 + second) 203.0.113.7:80 10.80.3.11:\(50_000 + second) - -\n"
    }.joined()
  }

  private static let policy = """
    mesh:
      internal: [10.80.0.0/16]
    gateways:
      - { name: egress, hosts: [istio-egressgateway.istio-system.svc.cluster.local], addresses: [10.80.3.232] }

    """

  private func row(_ log: String, _ output: String) throws -> [String: Any] {
    let line = try #require(output.split(separator: "\n").first { $0.contains("\"log\":\"\(log)\"") }, "\(output)")
    return try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
  }

  @Test(
    "a log of which nobody knows who wrote it is no sidecar's",
    arguments: [
      "192.0.2.7 - - [02/Nov/2026:10:10:00 +0000] \"-\" 400 0 \"-\" \"-\"\n",
      "[2026-11-02T10:10:00.000Z] \"GET /.env HTTP/1.1\" 404 NR route_not_found - \"-\" 0 0 0 - \"-\" \"zgrab\" \"-\" \"192.0.2.9\" \"-\" - - 10.80.4.9:8080 198.18.0.7:50001 - -\n",
    ])
  func unknownRole(line: String) throws {
    let session = try Session()
    defer { session.remove() }
    try session.write(Self.policy, to: "egress.yaml")
    try session.write(line, to: "server.log")
    try session.write(sidecar(20), to: "sidecar.log")
    let alone = try session.run(
      "gatewatch ingest --db a.db --policy egress.yaml server.log > i.txt; gatewatch report bypass --db a.db")
    #expect(alone.contains("no all-clear: no log of a sidecar was read"), "\(alone)")
    let later = try session.run(
      "gatewatch ingest --policy egress.yaml server.log sidecar.log > i.txt; gatewatch report bypass --since 2026-11-02T10:00:00Z --until 2026-11-02T10:20:00Z"
    )
    #expect(later.contains("no all-clear: no log of a sidecar was read for the time asked about"), "\(later)")
  }

  @Test("an all-clear is said of a whole log, and not of one that a filter may have left failures alone in")
  func filtered() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write(Self.policy, to: "egress.yaml")
    try session.write(sidecar(20), to: "whole.log")
    try session.write(sidecar(20, status: 503), to: "errors.log")
    let whole = try session.run(
      "gatewatch ingest --db a.db --policy egress.yaml whole.log > i.txt; gatewatch report bypass --db a.db")
    #expect(whole.contains("no bypass found in what was read: 1 log (1 sidecar), 20 lines read"), "\(whole)")
    let errors = try session.run("gatewatch ingest --policy egress.yaml errors.log > i.txt; gatewatch report bypass")
    #expect(
      errors.contains(
        "no bypass is proven, but this is no all-clear: 1 log tells of no success, perhaps by a filter (see: gatewatch report coverage)"
      ),
      "\(errors)")
    // One success later, it is a log as any other.
    try session.write(sidecar(20, status: 503) + sidecar(1, from: 30), to: "errors.log")
    let later = try session.run("gatewatch ingest errors.log > i.txt; gatewatch report bypass")
    #expect(later.contains("no bypass found in what was read: 1 log (1 sidecar), 21 lines read"), "\(later)")
  }

  @Test(
    "pods with a sidecar of which nothing was read are named, and stand against an all-clear for the time they were there"
  )
  func unreadSidecars() throws {
    let session = try Session()
    defer { session.remove() }
    let clusters = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Clusters")
    // Who started later could have sent nothing.
    var cluster = try String(contentsOf: clusters.appending(path: "demo.json"), encoding: .utf8)
    let catalog = try #require(cluster.range(of: "\"catalog-0\""))
    let start = try #require(cluster.range(of: "2026-11-01T08:00:12Z", range: catalog.upperBound..<cluster.endIndex))
    cluster.replaceSubrange(start, with: "2026-11-02T09:10:00Z")
    try session.write(cluster, to: "cluster.json")
    try session.write(Self.policy, to: "egress.yaml")
    try session.write(sidecar(20), to: "frontend.log")
    let fill = "gatewatch ingest --policy egress.yaml *.log > i.txt; "
    let unknown = try session.run(
      fill + "gatewatch report bypass --require-coverage sidecars=read 2>&1; echo \"exit code $?\"")
    #expect(
      unknown.contains("nothing tells which pods have a sidecar") && unknown.hasSuffix("exit code 3\n"), "\(unknown)")
    for report in ["unread", "opted-out"] {
      let empty = try session.run("gatewatch report \(report)")
      #expect(empty.contains("no topology with pods was imported, so this says nothing"), "\(empty)")
    }
    let ask = "gatewatch report bypass --require-coverage sidecars=read 2>&1; echo \"exit code $?\"; "
    let some = try session.run(
      "gatewatch topology import cluster.json > t.txt; " + ask + "gatewatch alert --status-line")
    #expect(
      some.contains("no all-clear: nothing was read of 2 pods with a sidecar (see: gatewatch report unread)"),
      "\(some)")
    #expect(some.contains("coverage: nothing was read of 1 pod of shop/checkout with a sidecar"), "\(some)")
    #expect(some.contains("exit code 3\n"), "\(some)")
    #expect(some.components(separatedBy: "nothing was read of 2 pods").count == 4, "\(some)")
    #expect(try !session.run("gatewatch report unread; gatewatch report opted-out").contains("no topology"))
    let rows = try session.run("gatewatch report unread --format csv").split(whereSeparator: \.isNewline)
    #expect(
      rows.dropFirst().map { $0.split(separator: ",").prefix(4).joined(separator: " ") } == [
        "shop/checkout 1 checkout-66b7d8f9c4-9kzlm 10.80.3.12", "shop/crawler 1 crawler-5c4b9d7f6-hh2wp 10.80.3.13",
      ], "\(rows)")
    // An empty file under the pod's name is no line of it.
    _ = try session.run(
      """
      mkdir -p pods/shop_checkout-66b7d8f9c4-9kzlm_1/istio-proxy; : > pods/shop_checkout-66b7d8f9c4-9kzlm_1/istio-proxy/0.log
      gatewatch ingest pods > i.txt
      """)
    #expect(try session.run(ask).contains("of 1 pod of shop/checkout"))
    // Nor is what a workload prints: it may look like anybody's line.
    try session.write(sidecar(20, from: 60).replacing("10.80.3.11:", with: "10.80.3.12:"), to: "printed.txt")
    let printed = try session.run(
      """
      mkdir -p pods/shop_crawler-5c4b9d7f6-hh2wp_1/crawler; mv printed.txt pods/shop_crawler-5c4b9d7f6-hh2wp_1/crawler/0.log
      gatewatch ingest pods > i.txt; \(ask)
      """)
    #expect(printed.contains("of 1 pod of shop/checkout") && printed.contains("of 1 pod of shop/crawler"), "\(printed)")
    // Neither are lines of another pod that had the address before.
    let others =
      sidecar(20).replacing("10.80.3.11:", with: "10.80.3.12:")
      + sidecar(20).replacing("10.80.3.11:", with: "10.80.3.13:")
    try session.write(others.replacing("2026-11-02T", with: "2026-10-02T"), to: "before.log")
    #expect(try session.run("gatewatch ingest before.log > i.txt; " + ask).contains("of 1 pod of shop/checkout"))
    try session.write(others, to: "others.log")
    let all = try session.run("gatewatch ingest others.log > i.txt; " + ask)
    #expect(all.contains("no bypass found in what was read") && all.hasSuffix("exit code 0\n"), "\(all)")
  }

  @Test(
    "pods that ztunnel carries are named as such, and stand against an all-clear, whatever a sidecar's log tells of them"
  )
  func ambientPods() throws {
    func pod(_ namespace: String, _ name: String, _ address: String, _ annotation: String, proxy: Bool = false)
      -> String
    {
      """
      {"kind":"Pod","metadata":{"namespace":"\(namespace)","name":"\(name)","labels":{"istio.io/dataplane-mode":"ambient"},\
      "annotations":{\(annotation)},"creationTimestamp":"2026-11-02T08:00:00Z"},\
      "spec":{"containers":[{"name":"app"}\(proxy ? #",{"name":"istio-proxy","args":["proxy","sidecar"]}"# : "")]},\
      "status":{"podIP":"\(address)","startTime":"2026-11-02T08:00:00Z","phase":"Running"}}
      """
    }
    let redirected = #""ambient.istio.io/redirection":"enabled""#
    // Where a pod has a sidecar, that intercepts its traffic.
    let injected = pod(
      "shop", "web-1", "10.80.3.11", #""sidecar.istio.io/status":"{}",\#(redirected)"#, proxy: true)
    let carried = pod("pay", "cart-1", "10.80.3.12", redirected)
    let session = try Session()
    defer { session.remove() }
    try session.write(Self.policy, to: "egress.yaml")
    try session.write(sidecar(20), to: "web.log")
    // Its address was a sidecar's when it still had one.
    try session.write(sidecar(20).replacing("10.80.3.11:", with: "10.80.3.12:"), to: "cart.log")
    for (name, pods) in [("sidecars", [injected]), ("both", [injected, carried])] {
      try session.write(
        #"{"kind":"List","apiVersion":"v1","items":[\#(pods.joined(separator: ","))]}"#, to: "\(name).json")
    }
    func ask(_ cluster: String) throws -> String {
      try session.run(
        """
        rm -f *.db; gatewatch ingest --policy egress.yaml *.log > i.txt
        gatewatch topology import --at 2026-11-02T09:00:00Z \(cluster).json > t.txt
        gatewatch report bypass --require-coverage sidecars=read 2>&1; echo "exit code $?"
        gatewatch alert --status-line
        """)
    }
    let sidecars = try ask("sidecars")
    #expect(sidecars.contains("no bypass found in what was read") && sidecars.contains("exit code 0\n"), "\(sidecars)")
    #expect(!sidecars.contains("ztunnel"), "\(sidecars)")
    let both = try ask("both")
    let carriedByZtunnel =
      "carried by ztunnel (ambient), whose log is not understood (see: gatewatch report unread)"
    #expect(both.contains("this is no all-clear: 1 pod is \(carriedByZtunnel)"), "\(both)")
    #expect(
      both.contains("coverage: 1 pod of pay/cart-1 is \(carriedByZtunnel)") && both.contains("exit code 3\n"), "\(both)"
    )
    // In the line of coverage above the report and below the alert, too.
    #expect(both.components(separatedBy: "1 pod is \(carriedByZtunnel)").count == 4, "\(both)")
    let rows = try session.run("gatewatch report unread --format csv").split(whereSeparator: \.isNewline)
    #expect(
      rows.dropFirst().map { $0.split(separator: ",", omittingEmptySubsequences: false) }.map { "\($0[0]) \($0[10])" }
        == ["pay/cart-1 ztunnel"], "\(rows)")
    // Of the time before it was there it says nothing.
    let before = try session.run("gatewatch report bypass --until 2026-11-02T07:00:00Z")
    #expect(!before.contains("ztunnel"), "\(before)")
  }

  @Test("without any sidecar's log there is no all-clear: the gateway does not see what went past it")
  func gatewayAlone() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write(
      Self.policy + "pods: [ { name: sleep, addresses: [10.80.3.11], sidecar: true } ]\n", to: "egress.yaml")
    let line =
      "[2026-11-02T09:00:00.000Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 20 5 5 \"-\" \"curl/8\" \"-\" \"a.example\" \"203.0.113.7:80\" outbound|80||a.example 10.80.3.232:40000 10.80.3.232:8080 10.80.3.11:50000 - -\n"
    try session.write(line, to: "gateway.log")
    let output = try session.run("gatewatch ingest --policy egress.yaml gateway.log > i.txt; gatewatch report bypass")
    #expect(output.contains("(1 gateway)") && output.contains("no all-clear"), "\(output)")
    #expect(output.contains("no log of a sidecar was read"), "\(output)")
  }

  @Test("an all-clear is not said of a time, a host or a source of which nothing was read")
  func nothingRead() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write(Self.policy, to: "egress.yaml")
    try session.write(sidecar(20), to: "sidecar.log")
    _ = try session.run("gatewatch ingest --policy egress.yaml sidecar.log > i.txt")
    func report(_ options: String, _ name: String = "bypass") throws -> String {
      try session.run("gatewatch report \(name) \(options)")
    }
    for name in ["bypass", "summary", "unproven"] {
      for (options, what) in [
        ("--since 2026-11-05", "time"), ("--until 2026-11-01", "time"),
        ("--since 2026-11-02T10:00:00Z --until 2026-11-02T11:00:00Z", "time"), ("--host mistyped.example", "host"),
        ("--source 10.80.3.99", "source"), ("--since 2026-11-02 --source 10.99.0.0/16", "time, source"),
      ] {
        let output = try report(options, name)
        #expect(
          output.contains(
            "no bypass is proven, but this is no all-clear: no flow that was read is of the \(what) asked about"),
          "\(name) \(options): \(output)")
      }
    }
    // What is limited to a way or an end is still an answer about all that was read.
    #expect(try report("--path passthrough").contains("no bypass found in what was read"))
    // A time that was read in part names the part that was not.
    let part = try report("--since 2026-11-02 --until 2026-11-02T09:00:10Z")
    #expect(
      part.contains("no line of any log is of the time from 2026-11-02T00:00:00.000Z until 2026-11-02T09:00:00.000Z;"),
      "\(part)")
    let behind = try report("--since 2026-11-02T09:00:00Z --until 2026-11-02")
    #expect(
      behind.contains(
        "no line of any log is of the time from 2026-11-02T09:00:19.005Z until 2026-11-03T00:00:00.000Z;"), "\(behind)")
  }

  @Test("where the sidecars' logs end before the others, each answer says so, and is no all-clear for the time behind")
  func sidecarsEndEarly() throws {
    let session = try Session()
    defer { session.remove() }
    try session.write(Self.policy, to: "egress.yaml")
    try session.write(sidecar(20), to: "sidecar.log")
    // Two hours later the gateway still writes what others send it.
    let gateway =
      "[2026-11-02T11:00:00.000Z] \"GET /healthz HTTP/1.1\" 200 - direct_response - \"-\" 0 0 0 - \"-\" \"probe\" \"-\" \"10.80.3.232:15021\" \"-\" - - 10.80.3.232:15021 10.80.0.1:50000 - -\n"
    try session.write(gateway, to: "gateway.log")
    let output = try session.run(
      "gatewatch ingest --policy egress.yaml sidecar.log > i.txt; gatewatch ingest --role gateway gateway.log > i.txt; gatewatch report bypass"
    )
    #expect(
      output.contains(
        "no line of a sidecar's log is of the time from 2026-11-02T09:00:19.005Z until 2026-11-02T11:00:00.000Z"),
      "\(output)")
    let later = try session.run("gatewatch report bypass --since 2026-11-02T10:00:00Z")
    #expect(
      later.contains(
        "this is no all-clear: no log of a sidecar was read for the time asked about: what pods send past the gateway stands in no other log"
      ), "\(later)")
  }

  @Test("the coverage line, with what speaks against a log, stands in every format and in the alert")
  func everywhere() throws {
    let session = try Session()
    defer { session.remove() }
    let passthrough =
      "[2026-11-02T10:00:00.000Z] \"- - -\" 0 UF - - \"-\" 0 0 5 - \"-\" \"-\" \"-\" \"-\" \"203.0.113.9:443\" PassthroughCluster 10.80.3.11:41000 203.0.113.9:443 10.80.3.11:51000 - -\n"
    try session.write(sidecar(9, status: 503) + passthrough, to: "sidecar.log")
    _ = try session.run("gatewatch ingest sidecar.log > i.txt")
    let sign = "tells of no success, perhaps by a filter"
    for format in ["table", "json", "markdown", "html"] {
      let output = try session.run("gatewatch report bypass --format \(format)")
      #expect(
        output.contains("10 lines read = 10 stored + 0 rejected + 0 skipped") && output.contains(sign), "\(output)")
      #expect(output.contains("looks like the last ten lines of each pod"), "\(output)")
    }
    for format in ["csv", "ndjson"] {
      let output = try session.run("gatewatch report bypass --format \(format) 2>&1 > out.txt")
      #expect(output.contains("read: 1 log (1 sidecar), 10 lines read") && output.contains(sign), "\(output)")
      #expect(output.split(separator: "\n").count { $0.contains("read: ") } == 1, "\(output)")
    }
    let text = try session.run("gatewatch alert")
    #expect(text.contains("  read: 1 log (1 sidecar), 10 lines read") && text.contains(sign), "\(text)")
    let json = try session.run("rm gatewatch.db; gatewatch alert --ingest sidecar.log --format json")
    #expect(json.contains("\"coverage\": \"1 log (1 sidecar), 10 lines read") && json.contains(sign), "\(json)")
  }

  @Test(
    "what was noted while reading is what looking at every flow shows",
    arguments: ["demo", "real-proxies/istio-1.23", "scenarios/walk-through"])
  func twins(samples: String) throws {
    let session = try Session()
    defer { session.remove() }
    try session.write(sidecar(15, status: 503), to: "errors.log")
    try session.write(sidecar(10), to: "tail.log")
    let noted = try session.run(
      """
      gatewatch ingest SampleLogs/\(samples)/*.log errors.log tail.log > i.txt
      gatewatch query --format csv -e "select l.path, l.roles, l.errors, l.tail from (
        select l.path, replace(g.roles, ',', ' ') as roles, g.has_success = 0 and l.stored >= 10 as errors, g.is_tail as tail
        from log l join log_sign g on g.log = l.id) l order by l.path"
      """)
    let looked = try session.run("gatewatch report coverage --format ndjson").split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
    // Behind the logs stand those that are missing.
    .filter { !($0["read"] is NSNull) }
    let rows = noted.split(whereSeparator: \.isNewline).dropFirst().map {
      $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
    #expect(rows.count == looked.count)
    for (row, look) in zip(rows, looked) {
      #expect(row[0] == look["log"] as? String)
      let signs = look["signs"] as? String ?? ""
      #expect((row[2] == "1") == signs.contains("errors-only"), "\(row) \(signs)")
      #expect((row[3] == "1") == signs.contains("ten-line-tail"), "\(row) \(signs)")
      let roles = (look["roles"] as? String ?? "").components(separatedBy: ", ").filter { $0 != "unknown" }
      #expect(Set(row[1].split(separator: " ").map(String.init)) == Set(roles.isEmpty ? ["unknown"] : roles), "\(row)")
    }
  }

  @Test("each pod's lines cut to ten are known without a prefix that names the pods")
  func tailOfSeveralPods() throws {
    let session = try Session()
    defer { session.remove() }
    let pods = ["10.80.3.11", "10.80.3.12", "10.80.3.13"].map { sidecar(10).replacing("10.80.3.11:", with: "\($0):") }
    try session.write(pods.joined(), to: "pods.log")
    let output = try session.run(
      "gatewatch ingest pods.log > i.txt; gatewatch report coverage --format ndjson; gatewatch report bypass")
    #expect(try row("pods.log", output)["signs"] as? String == "ten-line-tail")
    #expect(output.contains("1 log looks like the last ten lines of each pod"), "\(output)")
    // Another policy changes nothing about it, nor do other logs; lines of its own do.
    try session.write(sidecar(30), to: "whole.log")
    let policy = "SampleLogs/scenarios/no-sidecar-at-squid/policy.yaml"
    let later = try session.run(
      """
      gatewatch ingest whole.log > i.txt; gatewatch report coverage --policy \(policy) --format ndjson
      tail -n 1 pods.log >> pods.log; gatewatch ingest pods.log > i.txt; echo ---
      gatewatch report coverage --format ndjson
      """
    ).split(separator: "---\n").map(String.init)
    try #require(later.count == 2, "\(later)")
    #expect(try row("pods.log", later[0])["signs"] as? String == "ten-line-tail")
    #expect(try row("pods.log", later[1])["signs"] as? String != "ten-line-tail")
  }

  @Test(
    "a tail of several pods is known as one though its lines were read in parts, of times far apart, beside other logs")
  func tailInParts() throws {
    let session = try Session()
    defer { session.remove() }
    var (pods, whole) = ("", "")
    for (part, hour) in ["09", "07", "12"].enumerated() {
      let lines = sidecar([4, 3, 3][part]).replacing("2026-11-02T09", with: "2026-11-02T\(hour)")
      pods += ["10.80.3.11", "10.80.3.12", "10.80.3.13"].map { lines.replacing("10.80.3.11:", with: "\($0):") }.joined()
      whole += sidecar(30, from: 30 * part)
      try session.write(pods, to: "pods.log")
      try session.write(whole, to: "whole.log")
      let output = try session.run(
        "gatewatch ingest pods.log whole.log > i.txt; gatewatch report coverage --format ndjson")
      let signs = try row("pods.log", output)["signs"] as? String
      #expect((signs == "ten-line-tail") == (part == 2), "\(part): \(signs ?? "none")")
    }
  }

  @Test("a rotated part that was not read, and a container's log of before its restart, are named as missing")
  func missingParts() throws {
    let session = try Session()
    defer { session.remove() }
    let folder = "pods/default_sleep-7d4_0a1b/istio-proxy"
    _ = try session.run("mkdir -p \(folder) pods/default_web-1_0c/istio-proxy")
    try session.write(sidecar(3), to: "app.log")
    try session.write(sidecar(3, from: 10), to: "app.log.1")
    try session.write(sidecar(3, from: 20), to: "app.log.3")
    try session.write(sidecar(3, from: 30), to: "\(folder)/2.log")
    try session.write(sidecar(3, from: 40), to: "pods/default_web-1_0c/istio-proxy/0.log")
    try session.write(sidecar(3, from: 50), to: "pods/default_web-1_0c/istio-proxy/1.log")
    let output = try session.run("gatewatch ingest app.log* pods > i.txt; gatewatch report coverage --format ndjson")
    #expect(try row("app.log", output)["signs"] is NSNull)
    #expect(try row("app.log.1", output)["signs"] is NSNull)
    #expect(try row("app.log.3", output)["signs"] as? String == "rotated-log-missing")
    #expect(try row("\(folder)/2.log", output)["signs"] as? String == "earlier-run-missing")
    #expect(try row("pods/default_web-1_0c/istio-proxy/1.log", output)["signs"] is NSNull)
  }

  @Test("each log says which roles wrote it when")
  func roles() throws {
    let session = try Session()
    defer { session.remove() }
    let output = try session.run("gatewatch ingest SampleLogs/demo > i.txt; gatewatch report coverage --format ndjson")
    let row = try row("SampleLogs/demo/envoy-sidecars.log", output)
    let times = try #require(row["by_role"] as? String)
    #expect(
      times.wholeMatch(of: /inbound \d+, 2026-11-02T09:\S+ to 2026-11-02T09:\S+; sidecar \d+, \S+ to \S+/) != nil,
      "\(times)")
  }
}
