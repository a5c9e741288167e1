internal import Flows

/// A pod: its addresses, its workload, and what of its traffic the mesh intercepts.
extension ObjectParts {
  func pod() throws(Problem) -> ClusterObject {
    let metadata = try metadata()
    var object = ClusterObject(.pod, metadata)
    var spec = PodSpec()
    if var part = part("spec") { try spec.read(&part) }
    var status = PodStatus()
    if var part = part("status") { try status.read(&part) }
    object.node = spec.node.map(bounded)
    object.isHostNetwork = spec.isHostNetwork
    object.workload = bounded(workload(of: metadata, node: spec.node))
    // what a hostNetwork pod gives as its address is its node's
    object.addresses = canonical(status.addresses)
    object.startedMs = status.startedMs ?? metadata.createdMs
    object.endedMs = status.endedMs
    if status.isOver, status.endedMs == nil { object.traits = [ClusterObject.endUnknown] }
    object.proxy = proxy(of: metadata, spec)
    if [.router, .waypoint].contains(object.proxy) {
      object.labels = metadata.labels.filter { $0.key.utf8.count + $0.value.utf8.count < clusterTextLimit }
    }
    object.optOuts = optOuts(of: metadata, spec, object.proxy ?? .none)
    return object
  }

  private func proxy(of metadata: ObjectMetadata, _ spec: PodSpec) -> ClusterObject.Proxy {
    if let word = spec.proxyType {
      switch word {
      case "router": return .router
      case "waypoint": return .waypoint
      default: return .sidecar
      }
    }
    // What the injector leaves besides a container of that name: an annotation with the names of what it added, and an init
    // container. That is not a word against what the pod says of itself.
    let isInjected =
      metadata.annotations["sidecar.istio.io/status"] != nil || (spec.hasInit && !isInjectFalse(metadata))
    if spec.proxy != nil, isInjected { return .sidecar }
    // written by the node's agent once it redirects the pod's traffic to ztunnel
    if metadata.annotations["ambient.istio.io/redirection"] == "enabled" { return .ambient }
    return .none
  }

  /// Since Istio 1.10 a label decides over the annotation of the same name.
  private func isInjectFalse(_ metadata: ObjectMetadata) -> Bool {
    let inject = "sidecar.istio.io/inject"
    return (metadata.labels[inject] ?? metadata.annotations[inject])?.lowercased() == "false"
  }

  /// The annotations of istio.io "Resource Annotations" by which a pod's outgoing traffic avoids its proxy. What holds for the
  /// whole mesh stands in no annotation, but in what the injector has `istio-init` called with, and in the environment of
  /// `istio-proxy` (`injection-template.yaml`: a pod with the mode NONE has no `istio-init`).
  ///
  /// A pod's spec is what was done. Annotations, which anybody may change while it runs, are what Istio's CNI plugin goes by; so where
  /// the two differ, whichever keeps traffic away from the proxy counts.
  private func optOuts(
    of metadata: ObjectMetadata, _ spec: PodSpec, _ proxy: ClusterObject.Proxy
  ) -> [String] {
    guard proxy != .router, proxy != .waypoint else { return [] }
    var words: [String] = []
    if isInjectFalse(metadata) { words.append("inject-false") }
    if spec.isHostNetwork { words.append("host-network") }
    if metadata.labels["istio.io/dataplane-mode"] == "none" { words.append("dataplane-mode-none") }
    if proxy == .none { return words + (spec.proxy == nil ? [] : ["proxy-by-name-only"]) + ["no-proxy"] }
    func settings(_ name: String, _ flag: String) -> [String] {
      [spec.initArguments[flag], metadata.annotations[name]].compactMap { value in
        value.map { bounded(String($0.filter { $0 != " " })) }
      }
    }
    let prefix = "traffic.sidecar.istio.io/"
    for (name, flag, word) in [
      ("excludeOutboundIPRanges", "-x", "exclude-outbound-ip-ranges"),
      ("excludeOutboundPorts", "-o", "exclude-outbound-ports"), ("excludeInterfaces", "-c", "exclude-interfaces"),
    ] {
      if let value = settings(prefix + name, flag).first(where: { !$0.isEmpty }) { words.append("\(word)=\(value)") }
    }
    // "*" is everything; an empty list is nothing
    if let value = settings(prefix + "includeOutboundIPRanges", "-i").first(where: { $0 != "*" }) {
      words.append("include-outbound-ip-ranges=\(value)")
    }
    let modes = settings("sidecar.istio.io/interceptionMode", "-m") + (spec.interceptionMode.map { [$0] } ?? [])
    if modes.contains(where: { $0.uppercased() == "NONE" }) { words.append("interception-mode-none") }
    if proxy == .sidecar { words += spec.proxyIdentities.map(bounded) }
    return words
  }

  private func workload(of metadata: ObjectMetadata, node: String?) -> String {
    guard let owner = metadata.owner, !owner.name.isEmpty else { return metadata.name }
    switch owner.kind {
    case "ReplicaSet":
      if let hash = metadata.labels["pod-template-hash"], owner.name.hasSuffix("-" + hash) {
        return String(owner.name.dropLast(hash.count + 1))
      }
      return cut(owner.name) { (6...10).contains($0.count) && $0.allSatisfy { $0.isLetter || $0.isNumber } }
    // a CronJob names its jobs after the minute they are for
    case "Job": return cut(owner.name) { $0.count >= 8 && $0.allSatisfy(\.isNumber) }
    // what the kubelet runs from a file carries its node's name
    case "Node":
      let suffix = "-" + (node ?? owner.name)
      return metadata.name.hasSuffix(suffix) ? String(metadata.name.dropLast(suffix.count)) : metadata.name
    default: return owner.name
    }
  }

  /// Without its last part, where that is made by a controller.
  private func cut(_ name: String, isMade: (Substring) -> Bool) -> String {
    guard let dash = name.lastIndex(of: "-"), dash != name.startIndex, isMade(name[name.index(after: dash)...]) else {
      return name
    }
    return String(name[..<dash])
  }
}

private struct PodStatus {
  var addresses: [String] = []
  var startedMs: Int64?
  var isOver = false
  private var containers = ContainerEnds()

  /// Of a pod that ran to its end: its address is free from here on. nil where nobody tells when that was.
  var endedMs: Int64? { isOver && !containers.haveOpenEnd ? containers.latestMs : nil }

  mutating func read(_ reader: inout JSONReader) throws(JSONReader.Problem) {
    try reader.members { reader, key throws(JSONReader.Problem) in
      switch key {
      case "podIP": addresses.append(try reader.text())
      case "podIPs":
        try reader.elements { reader throws(JSONReader.Problem) in
          try reader.members { reader, key throws(JSONReader.Problem) in
            if key == "ip" { addresses.append(try reader.text()) } else { try reader.skip() }
          }
        }
      case "startTime": startedMs = PolicyTime.milliseconds(try reader.text(), endOfDay: false)
      case "phase": isOver = ["Succeeded", "Failed"].contains(try reader.text())
      case "containerStatuses", "initContainerStatuses": try containers.read(&reader)
      default: try reader.skip()
      }
    }
  }
}

/// When the containers of a pod ended, those for its start too: a native sidecar is one and ends last.
///
/// The kubelet gives one that it lost sight of, as in an eviction, the reason ContainerStatusUnknown and no time
/// (github.com/kubernetes/kubernetes, issue 122932), and whoever deletes the pods of a lost node sets their phase alone and leaves
/// the containers' state `running`. One that is `waiting` never ran, or ended before the others.
private struct ContainerEnds {
  private(set) var latestMs: Int64?
  /// One of them has ended at a time that is not told.
  private(set) var haveOpenEnd = false

  mutating func read(_ reader: inout JSONReader) throws(JSONReader.Problem) {
    try reader.elements { reader throws(JSONReader.Problem) in
      try reader.members { reader, key throws(JSONReader.Problem) in
        guard key == "state" else { return try reader.skip() }
        try reader.members { reader, key throws(JSONReader.Problem) in
          guard ["running", "terminated"].contains(key), try reader.kind() == .object else { return try reader.skip() }
          var finishedMs: Int64?
          try reader.members { reader, key throws(JSONReader.Problem) in
            guard key == "finishedAt" else { return try reader.skip() }
            finishedMs = PolicyTime.milliseconds(try reader.text(), endOfDay: false)
          }
          if let finishedMs { latestMs = max(latestMs ?? .min, finishedMs) } else { haveOpenEnd = true }
        }
      }
    }
  }
}
