public import Flows

extension Judge {
  /// The rule behind a verdict as a sentence; nil for a word that is no rule.
  public static func explanation(ofRule rule: String) -> String? {
    Rule(rawValue: rule)?.sentence
  }

  /// What a proxy's client did, and by what proof, as a sentence.
  public static func explanation(of reason: BypassReason) -> String {
    switch reason {
    case .clientHasNoSidecar:
      "an inventory says that the client carries no sidecar, or is outside of the mesh, and no line of a sidecar's shows the connection"
    case .clientSkippedItsSidecar:
      "the client's own sidecar logged no such flow, though its log was read without a gap around this time"
    case .clientSkippedTheGateway:
      "the hop before is the client's sidecar, where the egress gateway should stand"
    }
  }
}

extension Rule {
  var sentence: String {
    switch self {
    case .serverSide: "the sidecar on the server's side wrote the line: nothing left here"
    case .proxyOwnTraffic: "the proxy's own traffic, to its control plane or for its metrics"
    case .nothingSent: "the line names no upstream address: nothing was sent"
    case .gatewayAddress: "the upstream address is a gateway by the policy or by its log's declared role"
    case .sniProxyAddress: "the upstream address is listed in the policy's sni_proxies"
    case .forwardProxyAddress: "the upstream address is listed in the policy's forward_proxies"
    case .gatewayHost: "the cluster's registry host is listed in the policy's gateways"
    case .sniProxyHost: "the cluster's registry host is listed in the policy's sni_proxies"
    case .forwardProxyHost: "the cluster's registry host is listed in the policy's forward_proxies"
    case .gatewayTopology: "the upstream address is an egress gateway's in the imported topology"
    case .gatewayGuess: "the upstream address is taken for an egress gateway"
    case .sniProxyGuess: "the upstream address is taken for an SNI proxy"
    case .forwardProxyGuess: "the upstream address is taken for a forward proxy"
    case .meshDeclared: "the upstream address is listed in the policy's mesh.internal or pods"
    case .meshTopology: "the upstream address is a pod's, a Service's or a node's in the imported topology"
    case .meshObserved: "the upstream address wrote or received lines of a sidecar"
    case .ownPod: "the upstream is a process in the workload's own pod"
    case .cloudMetadata: "the upstream is the cloud's metadata service"
    case .meshHost: "the upstream address is private and the cluster's registry host matches mesh.internal"
    case .privateUnknown: "the upstream address is private, and neither the policy nor any line knows it"
    case .outsideTopology:
      "the upstream address is private, and a ServiceEntry or a Service of the imported topology leads outside with it"
    case .passthroughExternal: "a sidecar sent to a public address that no ServiceEntry declares"
    case .serviceEntryExternal: "a sidecar sent straight to a public address that a ServiceEntry declares"
    case .externalNoCluster: "a sidecar sent straight to a public address; the format logs no cluster"
    case .upstreamNotLogged: "the format logs no upstream address, so the cluster's name is all there is"
    case .upstreamIsName: "the upstream is logged as a name or a path"
    case .ingress: "traffic that came to a gateway from outside and went into the mesh"
    case .gatewayLine: "the addresses of the line are those of a gateway"
    case .waypoint: "a waypoint wrote the line"
    case .sniProxyLine: "an SNI proxy wrote the line"
    case .forwardProxyLine: "a forward proxy wrote the line"
    case .webServerLine: "nginx wrote the line, and it does not show a forward proxy's request"
    case .roleUnknown: "the line does not show which proxy wrote it"
    }
  }
}
