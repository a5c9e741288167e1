@testable import EgressPolicy
import Flows

/// Facts beside what snapshots of the cluster say.
protocol TopologyFacts {}

extension TopologyFacts {
  static var gatewayCluster: String { "outbound|443||istio-egressgateway.istio-system.svc.cluster.local" }

  /// Objects that stood in every snapshot from 1,000 s on; moments in seconds.
  func cluster(_ objects: [ClusterObject], seen: (Int64, Int64) = (1_000, 1_000), moments: [Int64] = [1_000])
    -> ClusterRecord
  {
    var record = ClusterRecord()
    record.add(objects, from: seen.0, until: seen.1)
    record.look(at: moments)
    return record
  }

  func facts(_ record: ClusterRecord, policy: String? = nil, log: (Int64, Int64) = (0, 10_000)) -> Facts {
    let facts = Facts(policy: policy)
    facts.topology = record
    facts.logs = (1...4).map { LogSpan(log: $0, firstMs: log.0 * 1000, lastMs: log.1 * 1000) }
    return facts
  }

  static func egressGateway(_ address: String = "10.80.3.232", started: Int64? = 0) -> [ClusterObject] {
    var pod = ClusterObject.pod("istio-egressgateway-1", in: "istio-system", address, proxy: .router, started: started)
    pod.workload = "istio-egressgateway"
    pod.labels = ["istio": "egressgateway", "app": "istio-egressgateway"]
    var gateway = ClusterObject(kind: .gateway, namespace: "istio-system", name: "g")
    gateway.labels = ["istio": "egressgateway"]
    var service = ClusterObject(kind: .service, namespace: "istio-system", name: "istio-egressgateway")
    service.labels = ["istio": "egressgateway"]
    service.traits = ["type=ClusterIP"]
    service.hosts = ["istio-egressgateway.istio-system.svc.cluster.local"]
    service.addresses = ["10.96.0.7"]
    return [pod, gateway, service]
  }

  func name(_ facts: Facts, _ line: Int) -> String? {
    let judgement = facts.judgement()
    return judgement.sourceClasses.first { $0.source == Int64(line + 1) }?.name
  }
}

extension ClusterObject {
  static func pod(
    _ name: String, in namespace: String, _ address: String, proxy: Proxy = .sidecar, started: Int64? = nil
  ) -> ClusterObject {
    var pod = ClusterObject(kind: .pod, namespace: namespace, name: name)
    pod.workload = name
    pod.addresses = [address]
    pod.proxy = proxy
    pod.startedMs = started.map { $0 * 1000 }
    return pod
  }
}

extension ClusterRecord {
  /// Seconds.
  mutating func add(_ added: [ClusterObject], from first: Int64, until last: Int64) {
    for object in added {
      sightings.append(Sighting(object: objects.count, firstMs: first * 1000, lastMs: last * 1000))
      objects.append(object)
    }
  }

  mutating func look(at seconds: [Int64]) {
    for kind in ClusterObject.Kind.allCases {
      let scope = ClusterScope(kind: kind, namespace: nil)
      moments[scope] = (moments[scope, default: []] + seconds.map { $0 * 1000 }).sorted()
    }
  }
}
