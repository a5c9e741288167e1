import Foundation
import Testing

/// A sidecar's log, of which something is not read or is not there any more.
protocol LostInput {
  var sandbox: Sandbox { get }
}

extension LostInput {
  /// Writes the policy and the log.
  func prepare() throws {
    try sandbox.write(Self.policy, to: "egress.yaml")
    try sandbox.write(sidecar(20), to: "whole.log")
  }

  static var policy: String {
    """
    mesh:
      internal: [10.80.0.0/16]
    gateways:
      - { name: egress, hosts: [istio-egressgateway.istio-system.svc.cluster.local], addresses: [10.80.3.232] }

    """
  }

  /// Lines of a sidecar that went to the declared gateway, or around it.
  func sidecar(_ count: Int, from second: Int = 0, isBypass: Bool = false) -> String {
    (second..<second + count).map { second in
      let time = "2026-11-02T09:\(String(format: "%02d:%02d", second / 60, second % 60)).000Z"
      let (upstream, cluster) =
        isBypass
        ? ("203.0.113.7:80", "PassthroughCluster")
        : ("10.80.3.232:8080", "outbound|80||istio-egressgateway.istio-system.svc.cluster.local")
      return
        "[\(time)] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 20 5 5 \"-\" \"curl/8\" \"-\" \"a.example\" \"\(upstream)\" \(cluster) 10.80.3.11:\(40_000 + second) 203.0.113.7:80 10.80.3.11:\(50_000 + second) - -\n"
    }.joined()
  }

  func report(_ options: String = "") throws -> String {
    let outcome = try sandbox.shell("$GATEWATCH report bypass \(options)")
    return outcome.out + outcome.errors
  }

  /// Reads the whole log, and has the alert of a first run behind it.
  func begin() throws {
    #expect(try sandbox.gatewatch("alert", "--ingest", "whole.log", "--policy", "egress.yaml").status == 1)
    #expect(try sandbox.gatewatch("alert").status == 0)
    #expect(try report().contains("no bypass found in what was read"))
  }
}
