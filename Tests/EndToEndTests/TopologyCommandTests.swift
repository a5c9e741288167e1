import Foundation
import Testing

/// `gatewatch topology` and what it changes in reports, as built.
@Suite struct TopologyCommandTests: MinuteByMinute {
  static let step = 5
  private static let fill = "gatewatch ingest SampleLogs/demo > ingest.txt\n"
  private static let clusters = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Clusters")

  private func session() throws -> Session {
    let session = try Session()
    try FileManager.default.copyItem(at: Self.clusters, to: session.folder.appending(path: "clusters"))
    return session
  }

  @Test("after an import, reports speak of workloads, and the gateway is no assumption any more")
  func importing() throws {
    let session = try session()
    defer { session.remove() }
    let before = try session.run(Self.fill + "gatewatch report unproven --format ndjson")
    #expect(before.contains("10.80.3.232 is taken for an egress gateway"))
    let output = try session.run("gatewatch topology import clusters/demo.json; echo \"exit code $?\"")
    #expect(
      output.hasPrefix(
        "clusters/demo.json: 2026-11-02T09:15:00Z (the newest time in it): 8 Pod, 6 Service, 2 Namespace, 2 ServiceEntry,"
      ))
    #expect(output.hasSuffix("1 of no use here; 25 new\nexit code 0\n"))
    let after = try session.run("gatewatch report unproven --format ndjson")
    #expect(!after.contains("10.80.3.232"))
    let bypass = try session.run("gatewatch report bypass --format ndjson")
    #expect(bypass.contains("\"source\":\"shop/crawler\""))
    // what left, left: no name takes a finding away; and the cluster says who has no sidecar
    let reasons = try bypass.split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
    #expect(reasons.count { $0["reason"] is NSNull } == 4)
    let proven = reasons.filter { !($0["reason"] is NSNull) }
    #expect(proven.allSatisfy { $0["source"] as? String == "batch/nightly" })
    #expect(proven.compactMap { $0["bypass"] as? String } == ["sni-proxy-direct", "squid-direct"])
    let explained = try session.run("gatewatch explain squid-direct:batch/nightly:map.baidu.com:443")
    #expect(explained.contains("reason        client-has-no-sidecar"), "\(explained)")
    #expect(explained.contains("shown by      the imported topology: 10.80.2.81 is pod batch/nightly"), "\(explained)")
  }

  @Test("explain says what the cluster says of the flow's addresses")
  func explaining() throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(
      Self.fill + "gatewatch topology import clusters/demo.json > t.txt; gatewatch explain 3")
    #expect(
      output.contains("topology      10.80.3.12 is pod shop/checkout-66b7d8f9c4-9kzlm, with a sidecar\n"), "\(output)")
    #expect(output.contains("10.80.3.232 is pod istio-system/istio-egressgateway-6f8d5c9b7-tq8vn, an egress gateway\n"))
  }

  @Test("logs first or topology first, gzipped or not, in one run or two: the answers are the same")
  func orderOfCommands() throws {
    let session = try session()
    defer { session.remove() }
    let ask = """
      for r in bypass unproven sources hosts opted-out assumptions; do gatewatch report $r --format ndjson; done
      gatewatch flows --format ndjson
      """
    let expected = try session.run(Self.fill + "gatewatch topology import clusters/demo.json > t.txt\n" + ask)
    let other = try session.run(
      """
      export GATEWATCH_DB=other.db
      gzip -k clusters/demo.json
      gatewatch topology import clusters/demo.json.gz > t.txt
      cat clusters/demo.json | gatewatch topology import - | grep -q 'known already' || echo unknown
      gatewatch ingest SampleLogs/demo > ingest.txt
      \(ask)
      """)
    #expect(!expected.isEmpty && other == expected)
  }

  @Test("a workload is asked for by the name that the reports give it")
  func bySource() throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(
      Self.fill + """
        gatewatch topology import clusters/demo.json > t.txt
        name=$(gatewatch report sources --format csv | cut -d, -f1 | grep / | head -n 1); echo "$name"
        gatewatch report sources --source "$name" --format csv | cut -d, -f1 | tail -n +2 | sort -u | tr -d '\\r'
        gatewatch report sources --source "${name%/*}/*" --format csv | cut -d, -f1 | grep -cxF "$name"
        """)
    let lines = output.split(whereSeparator: \.isNewline)
    #expect(lines.count == 3 && lines[0].contains("/") && lines[0] == lines[1] && lines[2] == "1", "\(output)")
  }

  @Test("pods that opted out are findings of their own, with what they do")
  func optedOut() throws {
    let session = try session()
    defer { session.remove() }
    let rows = try session.run(
      Self.fill + "gatewatch topology import clusters/demo.json > t.txt; gatewatch report opted-out --format csv"
    ).split(whereSeparator: \.isNewline).dropFirst().map { $0.split(separator: ",").prefix(2).joined(separator: " ") }
    #expect(rows == ["warning shop/crawler", "warning batch/nightly", "info kube-system/node-exporter"])
    // Explained by the name of the report, also before an alert told of it.
    let how = try session.run(
      "gatewatch query --format csv -e \"select how from opted_out_pod where workload = 'shop/crawler'\" | tail -1 | tr -d '\\r\\n\"'"
    )
    let named = try session.run("gatewatch explain 'opted-out:shop/crawler:\(how)'")
    #expect(named.hasPrefix("finding opted-out from shop/crawler to \(how)\n"), "\(named)")
    #expect(try session.run("gatewatch explain opted-out:shop/nobody:x 2>&1 || true").contains("no finding"))
    // Told once, and explained.
    let alert = try session.run("gatewatch alert; gatewatch alert --format json")
    #expect(
      alert.contains("warning  opted-out  ") && alert.contains("seen in the topology from shop/crawler"), "\(alert)")
    #expect(alert.contains("\"findings\": []"), "\(alert)")
    let finding = try session.run(
      "gatewatch explain finding:$(gatewatch query --format csv -e \"select id from finding where kind = 'opted-out' order by id limit 1\" | tail -1 | tr -d '\\r')"
    )
    #expect(finding.contains("the imported topology shows that traffic of this workload can leave"), "\(finding)")
  }

  @Test("an address of a ServiceEntry that is none is named when it is imported, and every time")
  func unreadAddresses() throws {
    let session = try session()
    defer { session.remove() }
    try session.write(
      #"{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"db","namespace":"shop"},"spec":{"hosts":["db.example"],"addresses":["10.50.9.0/33","10.50.9.9","a=b"]}}"#,
      to: "entry.json")
    let note = "entry.json: ServiceEntry shop/db: left out, for it is no address: 10.50.9.0/33, a=b\n"
    for _ in 1...2 {
      let text = try session.run("gatewatch topology import --at 2026-11-02 entry.json")
      #expect(text.contains(note), "\(text)")
    }
  }

  @Test("where NetworkPolicies were imported, namespaces of the mesh without one for all pods' egress are named")
  func networkPolicies() throws {
    let session = try session()
    defer { session.remove() }
    func pod(_ namespace: String) -> String {
      #"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"\#(namespace)","annotations":{"sidecar.istio.io/status":"{}"}},"spec":{"containers":[{"name":"app"},{"name":"istio-proxy","image":"proxyv2","args":["proxy","sidecar"]}]},"status":{"podIP":"10.1.0.1"}}"#
    }
    func policy(_ namespace: String, _ spec: String, _ name: String = "n", _ pods: String = "") -> String {
      #"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"\#(name)","namespace":"\#(namespace)"},"spec":\#(spec.replacing("PODS", with: pods))}"#
    }
    let items = [
      pod("closed"), policy("closed", #"{"podSelector":{},"policyTypes":["Egress"]}"#),
      pod("open"), policy("open", #"{"podSelector":{},"policyTypes":["Ingress"]}"#),
      pod("leaky"), policy("leaky", #"{"podSelector":{},"policyTypes":["Egress"],"egress":[{}]}"#),
      pod("partly"), policy("partly", #"{"podSelector":{"matchLabels":{"a":"b"}},"egress":[{"ports":[{"port":53}]}]}"#),
      // What one policy of a pod allows, it may send, whatever the others limit.
      pod("added"), policy("added", #"{"podSelector":{},"policyTypes":["Egress"]}"#),
      policy("added", Self.all, "all", #"{}"#),
      pod("some"), policy("some", #"{"podSelector":{},"policyTypes":["Egress"]}"#),
      policy("some", Self.all, "all", #"{"matchLabels":{"a":"b"}}"#),
      pod("useless"), policy("useless", Self.all, "all", #"{"matchLabels":{"a":"b"}}"#),
      pod("port"), policy("port", #"{"podSelector":{},"policyTypes":["Egress"],"egress":[{"ports":[{"port":443}]}]}"#),
    ]
    try session.write(#"{"apiVersion":"v1","kind":"List","items":[\#(items.joined(separator: ","))]}"#, to: "c.json")
    let rows = try session.run(
      "gatewatch topology import c.json --at 2026-11-02 > t.txt; gatewatch report opted-out --format csv"
    ).split(whereSeparator: \.isNewline).dropFirst().map { $0.split(separator: ",").prefix(3).joined(separator: " ") }
    #expect(
      rows == [
        "info added/* no-egress-policy", "info leaky/* no-egress-policy", "info open/* no-egress-policy",
        "info partly/* egress-policy-for-some", "info port/* no-egress-policy", "info some/* egress-policy-for-some",
        "info useless/* no-egress-policy",
      ])
    // A policy that is gone limits nothing, and one that has come does.
    let later = items.map {
      $0.replacing(
        #""namespace":"closed"},"spec":{"podSelector":{},"policyTypes":["Egress"]}"#,
        with: #""namespace":"closed"},"spec":{"podSelector":{},"policyTypes":["Ingress"]}"#
      ).replacing(
        #""namespace":"open"},"spec":{"podSelector":{},"policyTypes":["Ingress"]}"#,
        with: #""namespace":"open"},"spec":{"podSelector":{},"policyTypes":["Egress"]}"#)
    }
    try session.write(#"{"apiVersion":"v1","kind":"List","items":[\#(later.joined(separator: ","))]}"#, to: "c.json")
    let changed = try session.run(
      "gatewatch topology import c.json --at 2026-11-03 > t.txt; gatewatch report opted-out --format csv")
    #expect(changed.contains("closed/*,no-egress-policy") && !changed.contains("open/*,"), "\(changed)")
  }

  @Test(
    "when the last NetworkPolicy is gone, a list of the same kinds without any opens the namespace; one of fewer does not"
  )
  func lastNetworkPolicy() throws {
    let session = try session()
    defer { session.remove() }
    let pod =
      #"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"shop"},"spec":{"containers":[{"name":"istio-proxy","args":["proxy","sidecar"]}]},"status":{"podIP":"10.1.0.1"}}"#
    let service = #"{"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"shop"},"spec":{}}"#
    let policy =
      #"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"n","namespace":"shop"},"spec":{"podSelector":{},"policyTypes":["Egress"]}}"#
    func opened(_ file: String, after earlier: String) throws -> String {
      try session.write(earlier, to: "1.json")
      try session.write(file, to: "2.json")
      return try session.run(
        """
        rm -f o.db*; export GATEWATCH_DB=o.db
        gatewatch topology import --at 2026-11-02 1.json > t.txt
        gatewatch topology import --at 2026-11-03 2.json > t.txt
        gatewatch report opted-out --format csv | tail -n +2 | cut -d, -f2,3 | tr -d '\r'
        """)
    }
    func list(_ items: String...) -> String {
      #"{"apiVersion":"v1","kind":"List","items":[\#(items.joined(separator: ","))]}"#
    }
    let open = "shop/*,no-egress-policy\n"
    #expect(try opened(list(pod, service), after: list(pod, service, policy)) == open)
    #expect(try opened(list(pod), after: list(pod, service, policy)).isEmpty)
    #expect(try opened(list(pod, service, policy), after: list(pod, service, policy)).isEmpty)
    // Each kind in a file of its own: a list of pods is no look at policies, and an empty one of these is.
    #expect(try opened(list(pod), after: list(policy)).isEmpty)
    let none = #"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicyList","metadata":{},"items":[]}"#
    #expect(try opened(none, after: list(pod, service, policy)) == open)
    // One pod that somebody looks at is no list.
    #expect(try opened(pod, after: list(pod, policy)).isEmpty)
  }

  /// Every address, for the pods that are named.
  private static let all =
    #"{"podSelector":PODS,"policyTypes":["Egress"],"egress":[{"to":[{"ipBlock":{"cidr":"0.0.0.0/0"}}]}]}"#

  @Test("a pod on its node's network is a finding where its namespace is of the mesh, and none elsewhere")
  func hostNetwork() throws {
    let session = try session()
    defer { session.remove() }
    func pod(_ namespace: String) -> String {
      #"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"leak-1","namespace":"\#(namespace)"},"spec":{"nodeName":"n1","hostNetwork":true,"containers":[{"name":"leak"}]},"status":{"podIP":"10.0.0.11"}}"#
    }
    let shop =
      #"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","labels":{"istio-injection":"enabled"}}}"#
    let items = [shop, pod("shop"), pod("kube-system")].joined(separator: ",")
    try session.write(#"{"apiVersion":"v1","kind":"List","items":[\#(items)]}"#, to: "c.json")
    let output = try session.run(
      Self.fill + """
        gatewatch alert > first.txt
        gatewatch topology import c.json --at 2026-11-02T09:15:00Z > t.txt
        gatewatch report opted-out --format csv | tail -n +2 | cut -d, -f1-3
        gatewatch alert; echo "exit code $?"
        """)
    #expect(output.contains("warning,shop/leak-1,host-network"), "\(output)")
    #expect(output.contains("info,kube-system/leak-1,host-network"), "\(output)")
    #expect(output.contains("warning  opted-out  ") && output.contains("exit code 1\n"), "\(output)")
    #expect(!output.contains("from kube-system/leak-1"), "\(output)")
  }

  @Test(
    "a Telemetry that keeps lines of what pods send out of their log stands against an all-clear, and is told",
    arguments: [
      (#"{"match":{"mode":"SERVER"},"providers":[{"name":"envoy"}]}"#, "shop", "telemetry-server-only"),
      (#"{"match":{"mode":"CLIENT"},"disabled":true}"#, "shop", "telemetry-disabled"),
      (#"{"filter":{"expression":"xds.cluster_name != 'PassthroughCluster'"}}"#, "istio-system", "telemetry-filter"),
      (#"{"providers":[{"name":"envoy"}]}"#, "istio-system", nil), (#"{"disabled":true}"#, "other", nil),
    ] as [(String, String, String?)])
  func telemetries(entry: String, namespace: String, how: String?) throws {
    let session = try session()
    defer { session.remove() }
    let pod =
      #"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a-1","namespace":"shop"},"spec":{"containers":[{"name":"istio-proxy","args":["proxy","sidecar"]}]},"status":{"podIP":"10.80.3.11"}}"#
    let telemetry =
      #"{"apiVersion":"telemetry.istio.io/v1","kind":"Telemetry","metadata":{"name":"t","namespace":"\#(namespace)"},"spec":{"accessLogging":[\#(entry)]}}"#
    try session.write(Self.policy, to: "egress.yaml")
    try session.write(sidecar("10.80.3.11", 0...120), to: "a.log")
    try session.write(#"{"apiVersion":"v1","kind":"List","items":[\#(pod),\#(telemetry)]}"#, to: "c.json")
    let output = try session.run(
      """
      gatewatch topology import --at 2026-11-02T09:00:00Z c.json
      gatewatch ingest --policy egress.yaml a.log > i.txt
      gatewatch report bypass
      gatewatch report bypass --require-coverage sidecars=read 2>&1; echo "exit code $?"
      gatewatch report opted-out --format csv | tail -n +2 | cut -d, -f1-3
      gatewatch alert; gatewatch explain 'opted-out:*:telemetry-filter=istio-system/t' 2>&1 || true
      """)
    #expect(output.contains("1 Pod, 1 Telemetry; 2 new"), "\(output)")
    #expect(output.contains("no bypass found in what was read") == (how == nil), "\(output)")
    #expect(output.contains("exit code 0\n") == (how == nil), "\(output)")
    guard let how else { return #expect(!output.contains("warning"), "\(output)") }
    let sentence = "the Telemetry \(namespace)/t keeps lines of what pods send out of their logs"
    #expect(output.contains("no all-clear: \(sentence) (see: gatewatch report opted-out)"), "\(output)")
    #expect(output.contains("coverage: \(sentence)") && output.contains("exit code 3\n"), "\(output)")
    let pods = namespace == "shop" ? "shop/*" : "*"
    #expect(output.contains("warning,\(pods),\(how)=\(namespace)/t"), "\(output)")
    #expect(output.contains("warning  opted-out  \(how)=\(namespace)/t"), "\(output)")
    #expect(output.contains("shows a Telemetry that keeps lines") == (how == "telemetry-filter"), "\(output)")
  }

  @Test("what a Telemetry for all pods switches on is on, whatever one of a namespace says of what these receive")
  func telemetryOfTheMesh() throws {
    let session = try session()
    defer { session.remove() }
    func items(_ namespace: String, _ name: String, _ entry: String) -> String {
      #"{"apiVersion":"telemetry.istio.io/v1","kind":"Telemetry","metadata":{"name":"\#(name)","namespace":"\#(namespace)"},"spec":{"selector":{"matchLabels":{\#(name == "one" ? #""app":"web""# : "")}},"accessLogging":[\#(entry)]}}"#
    }
    func rows(_ telemetries: String...) throws -> String {
      try session.write(
        #"{"apiVersion":"v1","kind":"List","items":[\#(telemetries.joined(separator: ","))]}"#, to: "c.json")
      return try session.run(
        """
        rm -f o.db*; export GATEWATCH_DB=o.db; gatewatch topology import --at 2026-11-02 c.json > t.txt
        gatewatch report opted-out --format csv | tail -n +2 | tr -d '\r'
        """)
    }
    let server = #"{"match":{"mode":"SERVER"},"providers":[{"name":"envoy"}]}"#
    #expect(try rows(items("shop", "one", server), items("istio-system", "all", "{}")).isEmpty)
    let alone = try rows(items("shop", "one", server), items("istio-system", "one", "{}"))
    #expect(
      alone.contains("shop/*,telemetry-server-only=shop/one") && alone.contains("for pods with app=web"), "\(alone)")
  }

  @Test("show finds by kind, name and address")
  func show() throws {
    let session = try session()
    defer { session.remove() }
    let output = try session.run(
      """
      gatewatch topology import --at 2026-11-02T10:00:00Z clusters/demo.json > t.txt
      gatewatch topology show --kind pod --address 10.80.3.12 --format ndjson
      gatewatch topology show --name 'istio-egress*' --kind service --format ndjson
      gatewatch topology show --address 10.9.9.9
      """)
    #expect(output.contains("\"name\":\"checkout-66b7d8f9c4-9kzlm\",\"workload\":\"checkout\""))
    #expect(output.contains("\"first_seen\":\"2026-11-02T10:00:00.000Z\""))
    #expect(output.contains("\"addresses\":\"10.96.4.7\""))
    #expect(output.contains("nothing imported matches"))
  }

  @Test("who had an address at a time is shown as verdicts have it, also between two snapshots")
  func showAt() throws {
    let session = try Session()
    defer { session.remove() }
    func pod(_ name: String, started: String) -> String {
      #"{"kind":"List","items":[{"kind":"Pod","apiVersion":"v1","metadata":{"name":"\#(name)","namespace":"shop","creationTimestamp":"\#(started)"},"spec":{"containers":[{"name":"app"}]},"status":{"phase":"Running","startTime":"\#(started)","podIP":"10.80.3.72"}}]}"#
    }
    try session.write(pod("one", started: "2026-11-02T08:00:00Z"), to: "one.json")
    try session.write(pod("two", started: "2026-11-02T09:05:00Z"), to: "two.json")
    _ = try session.run(
      """
      gatewatch topology import --at 2026-11-02T09:00:00Z one.json > t.txt
      gatewatch topology import --at 2026-11-02T09:10:00Z two.json > t.txt
      """)
    for (time, name) in [
      ("07:59:59", nil), ("08:30:00", "one"), ("09:01:00", "one"), ("09:04:59", "one"), ("09:05:00", "two"),
      ("11:00:00", "two"),
    ] {
      let output = try session.run(
        "gatewatch topology show --address 10.80.3.72 --at 2026-11-02T\(time)Z --format csv | cut -d, -f3 | tail -n +2")
      #expect(output.split(whereSeparator: \.isNewline).map(String.init) == (name.map { [$0] } ?? []), "\(time)")
    }
  }

  @Test("a file that cannot be read is named with line and path, and the others are stored")
  func badFiles() throws {
    let session = try session()
    defer { session.remove() }
    try session.write(
      #"{"kind":"List","items":[{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"status":{"podIP":{}}}]}"#,
      to: "bad.json")
    try session.write("apiVersion: v1\n", to: "pods.yaml")
    let output = try session.run(
      """
      gatewatch topology import bad.json pods.yaml missing.json clusters/demo.json 2>&1; echo "exit code $?"
      head -c 700 clusters/demo.json | gzip | gatewatch topology import - 2>&1; echo "exit code $?"
      gzip -c clusters/demo.json | head -c 900 | gatewatch topology import - 2>&1; echo "exit code $?"
      """)
    #expect(output.contains("gatewatch: bad.json:1: items[0].status.podIP: a text is expected here\n"))
    #expect(output.contains("gatewatch: pods.yaml:1: no JSON value begins here\n"))
    #expect(output.contains("gatewatch: missing.json: cannot open: no such file or directory\n"))
    #expect(output.contains("25 new\nexit code 1\n"))
    #expect(output.contains("gatewatch: -: the gzip data ends too early\nexit code 1\n"))
  }

  @Test("names that would steer a terminal are shown and do nothing")
  func hostileNames() throws {
    let session = try session()
    defer { session.remove() }
    try session.write(
      #"""
      {"kind":"Pod\u001b[2J","apiVersion":"v1","metadata":{"name":"a"}}
      {"kind":"Pod","apiVersion":"v1","metadata":{"name":"x\u001b]0;owned\u0007","namespace":"n\u202e<script>",
       "labels":{"sidecar.istio.io/inject":"false"}},"spec":{"containers":[{"name":"a"}]},
       "status":{"podIP":"10.80.2.81","startTime":"2026-11-01T00:00:00Z"}}
      """#, to: "evil.json")
    let output = try session.run(
      Self.fill
        + """
        gatewatch topology import evil.json
        gatewatch topology show
        gatewatch report opted-out
        gatewatch report sources
        """)
    #expect(output.contains("owned"))
    for scalar in output.unicodeScalars where scalar != "\n" {
      #expect(scalar.value >= 0x20 && scalar.value != 0x7F && scalar != "\u{202E}")
    }
  }
}
