import Foundation
import Testing

/// Logs of a mesh with a gateway, an SNI proxy and a forward proxy, in which a bypass could hide.
protocol HiddenBypass {
  var sandbox: Sandbox { get }
}

extension HiddenBypass {
  /// Writes the policy and the log.
  func prepare() throws {
    try sandbox.write(policy(), to: "egress.yaml")
    try sandbox.write([sidecar("09:00:00"), sidecar("09:10:00")].joined(), to: "ok.log")
  }

  func policy(pods: String = "") -> String {
    """
    mesh: { internal: [10.80.0.0/16, "*.svc.cluster.local"] }
    gateways:
      - { name: egress, hosts: [istio-egressgateway.istio-system.svc.cluster.local], addresses: [10.80.3.232] }
    sni_proxies: [{ name: sni, addresses: [10.80.3.233] }]
    forward_proxies: [{ name: squid, addresses: [10.80.2.87] }]
    \(pods)

    """
  }

  /// A request, by default one that goes to the gateway.
  func sidecar(
    _ time: String, ending: String = "200 - via_upstream", upstream: String = "10.80.3.232:8080",
    cluster: String = "outbound|80||istio-egressgateway.istio-system.svc.cluster.local",
    local: String = "10.80.3.11:50000",
    authority: String = "www.example.com"
  ) -> String {
    "[2026-11-02T\(time).000Z] \"POST /up HTTP/1.1\" \(ending) - \"-\" 300000 11 12 12 \"-\" \"curl/8\" \"-\" \"\(authority)\" \"\(upstream)\" \(cluster) \(local) 198.51.100.20:80 10.80.3.11:50001 - -\n"
  }

  func report(_ logs: String, policy: String = "egress.yaml", options: String = "") throws -> String {
    let outcome = try sandbox.shell(
      "rm -f gatewatch.db; $GATEWATCH ingest --policy \(policy) \(logs) > i.txt; $GATEWATCH report bypass \(options)")
    #expect(outcome.status == 0)
    return outcome.out
  }

  /// A policy with other gateways, and whatever else.
  func gateways(_ entries: String, _ more: String = "") throws {
    try sandbox.write(
      """
      mesh: { internal: [10.80.0.0/16, "*.svc.cluster.local"] }
      gateways: [\(entries)]
      sni_proxies: [{ name: sni, addresses: [10.80.3.233] }]
      forward_proxies: [{ name: squid, addresses: [10.80.2.87] }]
      \(more)

      """, to: "other.yaml")
  }
}
