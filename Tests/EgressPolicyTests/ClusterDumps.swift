import Flows
import Testing

@testable import EgressPolicy

/// Dumps as `kubectl get -o json` writes them.
protocol ClusterDumps {}

extension ClusterDumps {
  static var present: Int64 { 1_793_611_500_000 }  // 2026-11-02T09:25:00Z

  func dump(_ json: String) throws -> ClusterDump {
    try ClusterDump(Array(json.utf8), file: "cluster.json", notAfterMs: Self.present)
  }

  func pod(metadata: String = "", spec: String = "", status: String = "") throws -> ClusterObject {
    let json = """
      {"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-1","namespace":"shop"\(metadata.isEmpty ? "" : ",")\(metadata)},
       "spec":{\(spec)},"status":{\(status)}}
      """
    return try #require(try dump(json).objects.first)
  }

  static var proxy: String { #"{"name":"istio-proxy","args":["proxy","sidecar","--domain","x"]}"# }
}
