import Foundation
import Testing

/// Whom reports, filters and alerts name as the source, where logs are named after pods.
@Suite struct SourceNameTests {
  private let sandbox: Sandbox
  private static let gateway = "pods/istio-system_egress-1_0c1d/istio-proxy/0.log"

  init() throws {
    sandbox = try Sandbox()
    try sandbox.write(
      """
      mesh: { internal: [10.80.0.0/16, "*.svc.cluster.local"] }
      gateways: [{ name: egress, addresses: [10.80.3.232] }]

      """, to: "egress.yaml")
  }

  private enum Hop { case sidecar, gateway }

  /// One hop of a request over the gateway, of the pod with this last number in its address.
  private func request(_ hop: Hop, pod: Int, at time: String, _ number: Int, host: String = "a.example") -> String {
    let (upstream, cluster, own, dialled, client) =
      hop == .sidecar
      ? (
        "10.80.3.232:8080", "outbound|80||istio-egressgateway.istio-system.svc.cluster.local",
        "10.80.3.\(pod):\(40_000 + number)", "203.0.113.10:80", 50_000 + number
      )
      : ("203.0.113.10:80", "outbound|80||\(host)", "10.80.3.232:51516", "10.80.3.232:8080", 40_000 + number)
    return
      "[2026-11-03T\(time)Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 1256 40 40 \"-\" \"curl/8\" \"\(String(format: "%08d", pod * 100 + number))-4382-4e2f-b088-e464943c2a9b\" \"\(host)\" \"\(upstream)\" \(cluster) \(own) \(dialled) 10.80.3.\(pod):\(client) - -\n"
  }

  private func sidecar(_ pod: Int, hour: Int) -> String {
    request(.sidecar, pod: pod, at: "\(hour):00:00.000", 0) + request(.sidecar, pod: pod, at: "\(hour):05:00.000", 1)
  }

  /// What the gateway has of a pod's two requests, and one more that no sidecar sent.
  private func egress(_ pod: Int, hour: Int) -> String {
    request(.gateway, pod: pod, at: "\(hour):00:00.003", 0)
      + request(.gateway, pod: pod, at: "\(hour):02:30.000", 9, host: "b.example")
      + request(.gateway, pod: pod, at: "\(hour):05:00.003", 1)
  }

  @Test("a gateway's client is named by its own address, also where the gateway's log is named after its pod")
  func clientOfNamedGateway() throws {
    try sandbox.write(sidecar(11, hour: 12), to: "pods/default_a_0a/istio-proxy/0.log")
    try sandbox.write(sidecar(12, hour: 13), to: "pods/shop_b_0b/istio-proxy/0.log")
    try sandbox.write(egress(11, hour: 12), to: Self.gateway)
    try sandbox.gatewatch("ingest", "--policy", "egress.yaml", "pods")
    for source in ["default/a", "a", "10.80.3.11", "10.80.3.8/29", "default/*"] {
      let report = try sandbox.gatewatch("report", "bypass", "--source", source, "--format", "csv").out
      #expect(report.contains("no-sidecar") && report.contains(",10.80.3.11,b.example,"), "\(source): \(report)")
    }
    let none = try sandbox.gatewatch("report", "bypass", "--source", "istio-system/egress-1").out
    #expect(none.contains("no flow that was read is of the source asked about"), "\(none)")
    let flows = try sandbox.gatewatch("flows", "--host", "b.example").rows()
    #expect(flows.count == 1 && flows[0]["source"] is NSNull && flows[0]["source_ip"] as? String == "10.80.3.11")
    let own = try sandbox.gatewatch("flows", "--source", "default/a", "--limit", "1").rows()
    #expect(own.first?["source"] as? String == "default/a")
    // Another pod does the same for the first time.
    let first = try sandbox.gatewatch("alert")
    #expect(first.status == 1 && first.out.contains("10.80.3.11"), "\(first.out)")
    try sandbox.append(egress(12, hour: 13), to: Self.gateway)
    let second = try sandbox.gatewatch("alert", "--ingest", "pods")
    #expect(second.status == 1 && second.out.contains("10.80.3.12"), "\(second.out)")
    #expect(try sandbox.gatewatch("alert").status == 0)
  }

  @Test("a gateway's client that the cluster names by its workload is found by its pod, too")
  func clientByWorkload() throws {
    try sandbox.write(sidecar(11, hour: 12), to: "pods/default_a-1_0a/istio-proxy/0.log")
    try sandbox.write(egress(11, hour: 12), to: Self.gateway)
    try sandbox.write(
      """
      {"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a-1", "namespace": "default", "creationTimestamp": "2026-11-01T08:00:00Z",
          "ownerReferences": [{"kind": "StatefulSet", "name": "a", "controller": true}],
          "annotations": {"sidecar.istio.io/status": "{\\"containers\\":[\\"istio-proxy\\"]}"}},
        "spec": {"containers": [{"name": "app", "image": "app"},
          {"name": "istio-proxy", "image": "proxyv2:1.24.0", "args": ["proxy", "sidecar"]}]},
        "status": {"phase": "Running", "podIP": "10.80.3.11", "podIPs": [{"ip": "10.80.3.11"}],
          "startTime": "2026-11-01T08:00:00Z"}}
      """, to: "pod.json")
    try sandbox.shell(
      "$GATEWATCH ingest --policy egress.yaml pods; $GATEWATCH topology import --at 2026-11-03T12:01:00Z pod.json")
    for source in ["default/a-1", "default/a"] {
      let report = try sandbox.gatewatch("report", "bypass", "--source", source, "--format", "csv").out
      #expect(report.contains(",default/a,b.example,"), "\(source): \(report)")
    }
  }

  @Test("a pod is found at every address that the cluster gives it, also in a log that does not know the pod")
  func addressesOfPods() throws {
    func pod(_ name: String, of owner: String, _ addresses: String...) -> String {
      let listed = addresses.map { #"{"ip": "\#($0)"}"# }.joined(separator: ", ")
      return
        #"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "\#(name)", "namespace": "shop", "creationTimestamp": "2026-11-01T08:00:00Z", "uid": "\#(name)\#(addresses[0])", "ownerReferences": [{"kind": "StatefulSet", "name": "\#(owner)", "controller": true}]}, "spec": {"containers": [{"name": "app"}, {"name": "istio-proxy", "image": "proxyv2:1.24.0", "args": ["proxy", "sidecar"]}]}, "status": {"phase": "Running", "podIP": "\#(addresses[0])", "podIPs": [\#(listed)], "startTime": "2026-11-01T08:00:00Z"}}"#
    }
    func bypass(_ own: String, to host: String) -> String {
      "[2026-11-03T12:03:00.000Z] \"- - -\" 0 - - - \"-\" 901 4875 618 - \"-\" \"-\" \"-\" \"-\" \"203.0.113.7:443\" PassthroughCluster \(own):59669 203.0.113.7:443 \(own):59653 \(host) -\n"
    }
    try sandbox.write(sidecar(11, hour: 12), to: "pods/shop_web-1_0a/istio-proxy/0.log")
    // The second address of a dual-stack pod, the one of before it was started anew, and that of another pod.
    try sandbox.write(
      bypass("[fd00:10::11]", to: "second.example") + bypass("10.80.3.21", to: "earlier.example")
        + bypass("10.80.3.12", to: "other.example"), to: "merged.log")
    for (time, address) in [("11:00", "10.80.3.21"), ("12:04", "10.80.3.11")] {
      try sandbox.write(
        #"{"apiVersion": "v1", "kind": "List", "items": [\#(pod("web-1", of: "web", address, "fd00:10::11")), \#(pod("cat-0", of: "cat", "10.80.3.12"))]}"#,
        to: "pods.json")
      try sandbox.shell("$GATEWATCH topology import --at 2026-11-03T\(time):00Z pods.json")
    }
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml pods merged.log")
    for source in ["shop/web-1", "web-1", "'shop/web-[0-9]'", "shop/web"] {
      let report = try sandbox.shell("$GATEWATCH report bypass --format csv --source \(source)").out
      #expect(report.contains("second.example") && report.contains("earlier.example"), "\(source): \(report)")
      #expect(!report.contains("other.example"), "\(source): \(report)")
    }
    let other = try sandbox.gatewatch("report", "bypass", "--source", "shop/cat-0", "--format", "csv").out
    #expect(other.contains("other.example") && !other.contains("earlier.example"), "\(other)")
  }

  @Test("the client of a proxy, and of a request that a gateway refused, is not the pod whose log it is")
  func otherProxies() throws {
    try sandbox.write(
      "10.80.3.11 [03/Nov/2026:12:00:00 +0000] TCP [evil.example]200 500 100 0.020\n",
      to: "pods/istio-system_sni-1_0a/sni-proxy/0.log")
    try sandbox.write(
      "1793707200.000 100 10.80.3.12 TCP_TUNNEL/200 1000 CONNECT evil.example:443 - HIER_DIRECT/198.51.100.9 -\n",
      to: "pods/istio-system_squid-1_0b/squid/0.log")
    let refused = request(.gateway, pod: 13, at: "12:01:00.000", 3).replacing("200 - via_upstream", with: "403 - rbac")
      .replacing("\"203.0.113.10:80\"", with: "\"-\"").replacing(" 10.80.3.232:51516 ", with: " - ")
    try sandbox.write(egress(11, hour: 12) + refused, to: Self.gateway)
    // What a sidecar refused, too, shows its client alone: that is its own pod.
    try sandbox.write(
      sidecar(14, hour: 12)
        + "[2026-11-03T12:02:00.000Z] \"- - -\" 0 UH - - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" BlackHoleCluster - 203.0.113.9:443 10.80.3.14:50077 - -\n",
      to: "pods/shop_c_0c/istio-proxy/0.log")
    // Who speaks over loopback is in the proxy's pod.
    try sandbox.write(
      "127.0.0.1 [03/Nov/2026:12:03:00 +0000] TCP [a.example]200 500 100 0.020\n",
      to: "pods/istio-system_egress-1_0c1d/sni-proxy/0.log")
    try sandbox.gatewatch("ingest", "--policy", "egress.yaml", "pods")
    let named = try sandbox.answer(
      "select distinct coalesce(source, source_ip) from flows where source is null or source not in ('10.80.3.14') order by 1"
    )
    #expect(named == "10.80.3.11\n10.80.3.12\n10.80.3.13\nistio-system/egress-1\nshop/c", "\(named)")
  }

  @Test("pods of one name in two namespaces are two sources, and what each did first is told")
  func oneNameTwice() throws {
    func bypass(_ address: String) -> String {
      "[2026-11-03T12:10:30.580Z] \"- - -\" 0 - - - \"-\" 901 4875 618 - \"-\" \"-\" \"-\" \"-\" \"203.0.113.10:443\" PassthroughCluster \(address):59660 203.0.113.10:443 \(address):59650 - -\n"
    }
    try sandbox.write(bypass("10.80.3.11"), to: "pods/shop_redis-0_0a/istio-proxy/0.log")
    try sandbox.write(bypass("10.80.7.22"), to: "pods/vault_redis-0_0c/istio-proxy/0.log")
    try sandbox.gatewatch("ingest", "--policy", "egress.yaml", "pods/shop_redis-0_0a")
    #expect(try sandbox.gatewatch("alert").status == 2)
    let second = try sandbox.gatewatch("alert", "--ingest", "pods/vault_redis-0_0c")
    #expect(second.status == 2 && second.out.contains("vault/redis-0"), "\(second.out)")
    let sources = try sandbox.gatewatch("report", "sources", "--format", "csv").out
    #expect(sources.contains("\nshop/redis-0,1,") && sources.contains("\nvault/redis-0,1,"), "\(sources)")
    for (source, count) in [("vault/redis-0", 1), ("redis-0", 2), ("redis-*", 2), ("vault/*", 1), ("10.80.7.22", 1)] {
      let flows = try sandbox.gatewatch("flows", "--source", source).rows()
      #expect(flows.count == count, "\(source)")
    }
    let explained = try sandbox.gatewatch("explain", "passthrough:vault/redis-0:203.0.113.10:443")
    #expect(explained.status == 0 && explained.out.contains("10.80.7.22"), "\(explained.out)")
  }

  @Test("who asks its sidecar as a proxy over loopback is the sidecar's pod")
  func listenerOnLoopback() throws {
    func line(_ pod: Int) -> String {
      "[2026-11-03T12:20:30.580Z] \"GET http://evil.example/x HTTP/1.1\" 200 - via_upstream - \"-\" 901 4875 61 60 \"-\" \"curl\" \"d6545b32-d6c2-440d-9327-5a320b7100\(pod)\" \"evil.example\" \"203.0.113.10:80\" PassthroughCluster 10.80.3.\(pod):59668 127.0.0.1:15002 127.0.0.1:59652 - allow_any\n"
    }
    try sandbox.write(sidecar(11, hour: 12) + line(11), to: "one.log")
    try sandbox.write(line(12), to: "two.log")
    try sandbox.gatewatch("ingest", "--policy", "egress.yaml", "one.log")
    let report = try sandbox.gatewatch("report", "bypass", "--source", "10.80.3.11", "--format", "csv").out
    #expect(report.contains("passthrough,gateway,10.80.3.11,evil.example,80,1,"), "\(report)")
    #expect(try sandbox.gatewatch("alert").status == 2)
    let second = try sandbox.gatewatch("alert", "--ingest", "two.log")
    #expect(second.status == 2 && second.out.contains("10.80.3.12"), "\(second.out)")
  }

  @Test("what earlier versions named after another's pod is told by the next alert")
  func olderDatabase() throws {
    try sandbox.write(sidecar(11, hour: 12), to: "pods/default_a_0a/istio-proxy/0.log")
    try sandbox.write(egress(11, hour: 12), to: Self.gateway)
    try sandbox.gatewatch("ingest", "--policy", "egress.yaml", "pods")
    #expect(try sandbox.gatewatch("alert").status == 1)
    // As an alert of then left it.
    try sandbox.shell(
      """
      for v in $(sqlite3 gatewatch.db "select name from sqlite_schema where type = 'view'"); do sqlite3 gatewatch.db "drop view $v"; done
      sqlite3 gatewatch.db "update finding set source = 'egress-1' where kind = 'no-sidecar'; alter table log drop column full_path;
        drop table weighed_log; drop table pod_life; drop table pod_address; drop table next_hop_hole;
        alter table route_verdict drop column next_hop_holes; delete from meta where key = 'views'; pragma user_version = 15"
      """)
    let told = try sandbox.gatewatch("alert", "--ingest", "pods")
    #expect(told.status == 1 && told.out.contains("10.80.3.11"), "\(told.out)\(told.errors)")
    #expect(
      try sandbox.answer("select source, state from finding where kind = 'no-sidecar' order by 1")
        == "10.80.3.11,open\negress-1,closed")
  }
}
