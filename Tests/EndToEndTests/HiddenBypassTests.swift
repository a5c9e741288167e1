import Foundation
import Testing

/// Ways in which a bypass could hide from the program as built, by who is who and by what was asked: each was an all-clear once.
@Suite struct HiddenBypassTests: HiddenBypass {
  let sandbox: Sandbox

  init() throws {
    sandbox = try Sandbox()
    try prepare()
  }

  @Test("the baseline is an all-clear")
  func baseline() throws { #expect(try report("ok.log").contains("no bypass found in what was read")) }

  @Test(
    "a JSON line that calls the upstream by another name is judged by its cluster", arguments: ["upstreamHost", "peer"])
  func otherKey(key: String) throws {
    let line = """
      {"start_time":"2026-11-02T09:05:00.000Z","method":"GET","path":"/","protocol":"HTTP/1.1","response_code":200,\
      "response_flags":"-","response_code_details":"via_upstream","bytes_received":0,"bytes_sent":2381,"duration":12,\
      "authority":"evil.example","\(key)":"203.0.113.66:80","upstream_cluster":"PassthroughCluster",\
      "upstream_local_address":"10.80.3.11:51002","downstream_local_address":"203.0.113.66:80",\
      "downstream_remote_address":"10.80.3.11:51003","route_name":"allow_any"}

      """
    try sandbox.write(line, to: "json.log")
    #expect(try report("ok.log json.log").contains("1 flow left around the egress gateway"))
  }

  @Test(
    "a gateway's line of an undeclared pod makes it no egress gateway where these are declared",
    arguments: [true, false])
  func ingressGateway(isDeclaredWithoutSidecar: Bool) throws {
    try sandbox.write(
      "10.80.3.50 [02/Nov/2026:09:05:42 +0000] TCP [evil.example]200 182597 26800000 0.682\n", to: "sni.log")
    try sandbox.write(
      "[2026-11-02T09:04:00.000Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 2381 12 12 \"198.51.100.99\" \"curl/8\" \"-\" \"shop.example\" \"10.80.3.11:8080\" outbound|80||shop.default.svc.cluster.local 10.80.3.50:40000 10.80.3.50:8080 198.51.100.99:50000 - -\n",
      to: "ingress.log")
    try sandbox.write(
      policy(
        pods: isDeclaredWithoutSidecar ? "pods: [{ name: ingress, addresses: [10.80.3.50], sidecar: false }]" : ""),
      to: "egress.yaml")
    for logs in ["ok.log sni.log", "ok.log sni.log ingress.log"] {
      let text = try report(logs)
      #expect(
        isDeclaredWithoutSidecar
          ? text.contains("critical  sni-proxy-direct")
          : text.contains("no all-clear: 1 flow at a proxy whose client no other log accounts for"), "\(text)")
    }
    // Of a policy that names no address, the sidecars' lines show which pods are the gateways; without these that is open. With a
    // role, somebody said so.
    try sandbox.write(policy().replacing(", addresses: [10.80.3.232]", with: ""), to: "hosts.yaml")
    #expect(try report("ok.log sni.log ingress.log", policy: "hosts.yaml").contains("no other log accounts for"))
    #expect(try !report("sni.log ingress.log", policy: "hosts.yaml").contains("no other log accounts for"))
    let byRole = try sandbox.shell(
      "rm gatewatch.db; $GATEWATCH ingest --role gateway ingress.log; $GATEWATCH ingest --policy egress.yaml ok.log sni.log; $GATEWATCH report bypass"
    ).out
    #expect(!byRole.contains("no other log accounts for"), "\(byRole)")
  }

  @Test("who comes from outside the mesh to the gateway and on to a declared proxy is on the way out")
  func outsider() throws {
    for proxy in ["10.80.2.87:3128", "10.80.3.233:443"] {
      try sandbox.write(
        "[2026-11-02T09:05:00.000Z] \"- - -\" 0 - - - \"-\" 901 4875 618 - \"-\" \"-\" \"-\" \"-\" \"\(proxy)\" outbound|443||proxy.example 10.80.3.232:41000 10.80.3.232:8443 192.168.5.5:50000 evil.example -\n",
        to: "gateway.log")
      let text = try report("ok.log gateway.log")
      #expect(text.contains("1 flow at a proxy whose client no other log accounts for"), "\(text)")
    }
  }

  @Test("a host is found by the name of its cluster and by its address, whatever name the client wrote")
  func otherName() throws {
    try sandbox.write(
      "[2026-11-02T09:05:00.000Z] \"- - -\" 0 - - - \"-\" 901 4875 618 - \"-\" \"-\" \"-\" \"-\" \"203.0.113.66:443\" outbound|443||www.example.com 10.80.3.11:51000 240.240.0.7:443 10.80.3.11:51001 decoy.example -\n",
      to: "sni.log")
    for host in ["www.example.com", "'*.example.com'", "203.0.113.66", "decoy.example"] {
      let text = try report("ok.log sni.log", options: "--host \(host)")
      #expect(text.contains("1 flow left around the egress gateway"), "\(host): \(text)")
      #expect(text.contains("decoy.example"))
    }
    let other = try report("ok.log sni.log", options: "--host www.example.org")
    #expect(other.contains("no flow that was read is of the host asked about"), "\(other)")
  }

  @Test("an all-clear names lines without an end, and flows that began before the time asked about")
  func said() throws {
    try sandbox.append(String(sidecar("09:20:00").dropLast()), to: "ok.log")
    let text = try report("ok.log")
    #expect(text.contains("no bypass found") && text.contains("bytes of last lines without an end yet"), "\(text)")
    let later = try report("ok.log", options: "--since 2026-11-02T09:05")
    #expect(later.contains("what began before the time asked about, and went on in it, is not looked at"), "\(later)")
  }

  @Test("a log without any access line stands against an all-clear")
  func mute() throws {
    try sandbox.write(
      String(repeating: "2026-11-02T09:05:00.000000Z\tinfo\txdsproxy\tconnected to upstream\n", count: 20),
      to: "agent.log")
    let text = try report("ok.log agent.log")
    #expect(text.contains("no all-clear: 1 log holds no access line at all"), "\(text)")
    // What prepares the pod writes none.
    try sandbox.shell("mkdir -p pods/shop_a-1_0f-1/istio-init; mv agent.log pods/shop_a-1_0f-1/istio-init/0.log")
    let prepared = try report("ok.log pods")
    #expect(prepared.contains("no bypass found in what was read: 2 logs"), "\(prepared)")
  }

  @Test("a policy that declares most of the Internet to be the mesh gives no all-clear")
  func sweeping() throws {
    try sandbox.write("mesh: { internal: [0.0.0.0/0] }\n", to: "all.yaml")
    let text = try report("ok.log", policy: "all.yaml")
    #expect(
      text.contains("the policy declares 0.0.0.0/0 to be inside the mesh") && !text.contains("no bypass found"),
      "\(text)")
  }

  private static let gatewayHost = "istio-egressgateway.istio-system.svc.cluster.local"

  @Test("who has a gateway's name alone is none: a public address, and a pod that is known to have no sidecar")
  func namedGateways() throws {
    let host = Self.gatewayHost
    try gateways(
      "{ name: egress, hosts: [\(host)] }", "pods: [{ name: rogue, addresses: [10.80.3.99], sidecar: false }]")
    try sandbox.write(
      sidecar("09:05:00", upstream: "203.0.113.66:443", cluster: "outbound|443||\(host)"), to: "public.log")
    #expect(
      try report("ok.log public.log", policy: "other.yaml").contains(
        "no all-clear: 1 flow whose path rests on an assumption"))
    try sandbox.write(
      sidecar("09:05:00", upstream: "10.80.3.99:443", cluster: "outbound|443||\(host)"), to: "taught.log")
    try sandbox.write(
      "1793610300.000   5000 10.80.3.99 TCP_TUNNEL/200 5000 CONNECT evil.example:443 - HIER_DIRECT/203.0.113.14 -\n",
      to: "squid.log")
    #expect(
      try report("ok.log taught.log squid.log", policy: "other.yaml").contains("1 flow left around the egress gateway"))
    // Patterns that match the hosts of many owners are doubts by themselves.
    for pattern in ["*.*", "*e*", "*.com"] {
      try gateways("{ name: egress, hosts: [\"\(pattern)\"] }")
      #expect(try report("ok.log", policy: "other.yaml").contains("no all-clear"), "\(pattern)")
    }
    try gateways("{ name: egress, hosts: [\(host)] }", "pods: [{ name: all, addresses: [0.0.0.0/0] }]")
    #expect(try report("ok.log", policy: "other.yaml").contains("no all-clear"))
    try gateways(
      "{ name: egress, hosts: [\(host)] }",
      "exceptions: [{ name: all, addresses: [0.0.0.0/0], owner: a, reason: b }]")
    #expect(try report("ok.log", policy: "other.yaml").contains("no all-clear"))
    // A private range was meant, perhaps.
    try gateways("{ name: egress, hosts: [\(host)], addresses: [172.0.0.0/8] }")
    #expect(try report("ok.log", policy: "other.yaml").contains("no all-clear"))
  }

  @Test("a sidecar that sends straight to the SNI proxy is no all-clear, also where the proxy's log was not read")
  func pastTheGateway() throws {
    try sandbox.write(
      sidecar("09:05:00", upstream: "10.80.3.233:443", cluster: "outbound|443||sni.example"), to: "past.log")
    #expect(try report("ok.log past.log").contains("no all-clear: 1 flow whose path rests on an assumption"))
  }

  @Test("between two entries of the policy for the gateway, a bypass is a warning all the same")
  func gatewayGap() throws {
    try gateways("{ name: old, addresses: [10.80.3.232], until: 2026-11-02T09:04:00Z }")
    try sandbox.write(
      sidecar("09:05:00", upstream: "203.0.113.66:443", cluster: "outbound|443||evil.example"), to: "gap.log")
    #expect(try report("gap.log", policy: "other.yaml").contains("warning   direct-service-entry"))
  }

  @Test("what was pruned to nothing is no all-clear, and an alert cannot tell")
  func prunedToNothing() throws {
    _ = try report("ok.log")
    let pruned = try sandbox.shell(
      "$GATEWATCH alert > a.txt; $GATEWATCH db prune --before 2026-11-20; $GATEWATCH report bypass"
    ).out
    #expect(pruned.contains("no all-clear: all flows that were stored were pruned"), "\(pruned)")
    #expect(try sandbox.gatewatch("alert").status == 3)
  }

  @Test("lines that only a sidecar writes are a doubt where their folder was read with the role of a gateway")
  func declaredRole() throws {
    try sandbox.write(
      sidecar(
        "09:05:00", upstream: "203.0.113.66:443", cluster: "PassthroughCluster", local: "10.80.3.11:50000"),
      to: "side.log")
    let found = try sandbox.shell(
      "rm -f gatewatch.db; $GATEWATCH ingest --policy egress.yaml --role gateway ok.log side.log > i.txt; $GATEWATCH report bypass"
    ).out
    #expect(found.contains("no all-clear"), "\(found)")
  }

  @Test("a public address that only a listener for what comes in had a connection to is no certain pod")
  func inboundPassthrough() throws {
    func line(_ upstream: String, _ local: String, _ cluster: String, _ client: String) -> String {
      "[2026-11-02T09:05:00.000Z] \"- - -\" 0 - - - \"-\" 901 4875 618 - \"-\" \"-\" \"-\" \"-\" \"\(upstream)\" \(cluster) \(local) \(upstream) \(client) - -\n"
    }
    try sandbox.write(
      line("203.0.113.66:443", "127.0.0.6:40000", "InboundPassthroughCluster", "10.80.3.50:40000"), to: "in.log")
    #expect(try report("ok.log in.log").contains("no all-clear"))
    try sandbox.write(
      line("[2606:4700::66]:443", "[::6]:40000", "InboundPassthroughCluster", "[fd00:80::50]:40000"), to: "in.log")
    try sandbox.write(
      line("[2606:4700::66]:443", "[fd00:80::11]:40000", "PassthroughCluster", "[fd00:80::11]:40001"), to: "out.log")
    #expect(try report("ok.log in.log out.log").contains("no all-clear"))
  }

  @Test("--host finds a flow by each name that its client wrote, and --source by the pod in a log without names")
  func filters() throws {
    try sandbox.write(
      "1793610300.000   5000 10.80.3.99 TCP_TUNNEL/200 5000 CONNECT evil.example:443 - HIER_DIRECT/203.0.113.14 -\n",
      to: "squid.log")
    try gateways(
      "{ name: egress, addresses: [10.80.3.232] }", "pods: [{ name: p, addresses: [10.80.3.99], sidecar: false }]")
    #expect(
      try report("ok.log squid.log", policy: "other.yaml", options: "--host evil.example").contains("1 flow left"))
    try sandbox.shell("mkdir -p pods/shop_web-1_0a1b/istio-proxy")
    let inner = sidecar("09:00:00")
    try sandbox.write(
      "2026-11-02T09:00:00.100000000Z stdout F " + inner, to: "pods/shop_web-1_0a1b/istio-proxy/0.log")
    try sandbox.write(
      sidecar("09:05:00", upstream: "203.0.113.66:443", cluster: "PassthroughCluster"), to: "export.log")
    #expect(try report("pods export.log", options: "--source shop/web-1").contains("1 flow left"))
  }

  @Test("no object of the cluster makes a public IPv6 address part of the mesh but a pod")
  func publicEntries() throws {
    let bad = sidecar(
      "09:05:00", upstream: "[2606:4700::77]:443", cluster: "PassthroughCluster", local: "10.80.3.11:50000")
    try sandbox.write(bad, to: "six.log")
    for spec in [
      #""kind":"ServiceEntry","spec":{"hosts":["a.example"],"location":"MESH_INTERNAL","resolution":"STATIC","endpoints":[{"address":"2606:4700::77"}]}"#,
      #""kind":"WorkloadEntry","spec":{"address":"2606:4700::77"}"#,
    ] {
      try sandbox.write(
        #"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"networking.istio.io/v1","metadata":{"name":"a","namespace":"shop"},\#(spec)}]}"#,
        to: "topology.json")
      let text = try sandbox.shell(
        "rm -f gatewatch.db; $GATEWATCH topology import --at 2026-11-02T09:00 topology.json; $GATEWATCH ingest --policy egress.yaml ok.log six.log > i.txt; $GATEWATCH report bypass"
      ).out
      #expect(text.contains("1 flow left around the egress gateway"), "\(text)")
    }
  }

  @Test("what a pod sends to a node's address past all services is no proof of staying in the mesh")
  func nodeAddress() throws {
    try sandbox.write(
      #"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}}]}"#,
      to: "topology.json")
    for (cluster, isDoubt) in [("PassthroughCluster", true), ("outbound|10250||kubelet.kube-system.svc", false)] {
      try sandbox.write(sidecar("09:05:00", upstream: "10.0.0.1:3129", cluster: cluster), to: "node.log")
      let text = try sandbox.shell(
        "rm -f gatewatch.db; $GATEWATCH topology import --at 2026-11-02T09:00 topology.json; $GATEWATCH ingest --policy egress.yaml ok.log node.log > i.txt; $GATEWATCH report bypass"
      ).out
      #expect(text.contains("1 flow whose path rests on an assumption") == isDoubt, "\(text)")
      #expect(text.contains("no bypass found in what was read") == !isDoubt, "\(text)")
    }
  }

  @Test("a node's address that a ServiceEntry calls outside is not known to be inside")
  func contradictedNode() throws {
    try sandbox.write(
      #"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}},{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"a","namespace":"shop"},"spec":{"hosts":["relay.example"],"location":"MESH_EXTERNAL","resolution":"STATIC","endpoints":[{"address":"10.0.0.1"}]}}]}"#,
      to: "topology.json")
    try sandbox.write(
      sidecar("09:05:00", upstream: "10.0.0.1:443", cluster: "outbound|443||relay.example"), to: "node.log")
    let text = try sandbox.shell(
      "rm -f gatewatch.db; $GATEWATCH topology import --at 2026-11-02T09:00 topology.json; $GATEWATCH ingest --policy egress.yaml ok.log node.log > i.txt; $GATEWATCH report bypass"
    ).out
    #expect(text.contains("1 flow on an unknown path"), "\(text)")
  }

  @Test("a public IPv6 address behind a listener for what comes in is the pod's own only where its sidecar wrote lines")
  func inboundIPv6() throws {
    let inbound = sidecar(
      "09:05:00", upstream: "[2606:4700::77]:443", cluster: "InboundPassthroughCluster", local: "[::6]:1000"
    ).replacing("198.51.100.20:80 10.80.3.11:50001", with: "[2606:4700::77]:443 [fd00:10::13]:41002")
    try sandbox.write(inbound, to: "in.log")
    #expect(try report("ok.log in.log").contains("1 flow whose path rests on an assumption"))
    try sandbox.write(policy().replacing("10.80.0.0/16,", with: "10.80.0.0/16, \"2606:4700::/32\","), to: "six.yaml")
    #expect(try report("ok.log in.log", policy: "six.yaml").contains("no bypass found in what was read"))
  }

  @Test("no sidecar's log covers a time that lies between two of them")
  func betweenLogs() throws {
    try sandbox.write(sidecar("17:00:00") + sidecar("17:10:00"), to: "late.log")
    try sandbox.write(
      (8...18).map { "10.80.3.50 [02/Nov/2026:\($0 < 10 ? "0" : "")\($0):05:42 +0000] TCP [a.example]200 1 2 0.682\n" }
        .joined(),
      to: "sni.log")
    let text = try report("ok.log late.log sni.log", options: "--since 2026-11-02T11:00 --until 2026-11-02T13:00")
    #expect(text.contains("no log of a sidecar was read for the time asked about"), "\(text)")
  }
}
