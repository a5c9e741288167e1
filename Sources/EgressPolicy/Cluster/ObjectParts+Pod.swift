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
    // written by the injector, with the names of what it added
    if metadata.annotations["sidecar.istio.io/status"] != nil, spec.hasProxy { return .sidecar }
    // written by the node's agent once it redirects the pod's traffic to ztunnel
    if metadata.annotations["ambient.istio.io/redirection"] == "enabled" { return .ambient }
    return .none
  }

  /// The annotations of istio.io "Resource Annotations" by which a pod's outgoing traffic avoids its proxy. What holds for the
  /// whole mesh stands in no annotation, but in what the injector has `istio-init` called with, and in the environment of
  /// `istio-proxy` (`injection-template.yaml`: a pod with the mode NONE has no `istio-init`).
  private func optOuts(
    of metadata: ObjectMetadata, _ spec: PodSpec, _ proxy: ClusterObject.Proxy
  ) -> [String] {
    guard proxy != .router, proxy != .waypoint else { return [] }
    var words: [String] = []
    let inject = "sidecar.istio.io/inject"
    // since Istio 1.10 a label decides over the annotation of the same name
    if (metadata.labels[inject] ?? metadata.annotations[inject])?.lowercased() == "false" {
      words.append("inject-false")
    }
    if spec.isHostNetwork { words.append("host-network") }
    if metadata.labels["istio.io/dataplane-mode"] == "none" { words.append("dataplane-mode-none") }
    if proxy == .none { return words + ["no-proxy"] }
    func setting(_ name: String, _ flag: String) -> String? {
      (metadata.annotations[name] ?? spec.initArguments[flag]).map { bounded(String($0.filter { $0 != " " })) }
    }
    let prefix = "traffic.sidecar.istio.io/"
    for (name, flag, word) in [
      ("excludeOutboundIPRanges", "-x", "exclude-outbound-ip-ranges"),
      ("excludeOutboundPorts", "-o", "exclude-outbound-ports"), ("excludeInterfaces", "-c", "exclude-interfaces"),
    ] {
      if let value = setting(prefix + name, flag), !value.isEmpty { words.append("\(word)=\(value)") }
    }
    // "*" is everything; an empty list is nothing
    if let value = setting(prefix + "includeOutboundIPRanges", "-i"), value != "*" {
      words.append("include-outbound-ip-ranges=\(value)")
    }
    let mode = setting("sidecar.istio.io/interceptionMode", "-m") ?? spec.interceptionMode
    if mode?.uppercased() == "NONE" { words.append("interception-mode-none") }
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

private struct PodSpec {
  var node: String?
  var isHostNetwork = false
  var hasProxy = false
  /// The first word after `proxy` in the arguments of `istio-proxy`: `sidecar`, `router`, `waypoint`.
  var proxyType: String?
  /// What `istio-init` is called with, by the flag.
  var initArguments: [String: String] = [:]
  /// As `istio-proxy` is told of it.
  var interceptionMode: String?

  mutating func read(_ reader: inout JSONReader) throws(JSONReader.Problem) {
    try reader.members { reader, key throws(JSONReader.Problem) in
      switch key {
      case "nodeName": node = try reader.optionalText()
      case "hostNetwork": isHostNetwork = try reader.flag()
      case "containers": try readContainers(&reader, areForStart: false)
      case "initContainers": try readContainers(&reader, areForStart: true)
      default: try reader.skip()
      }
    }
  }

  private mutating func readContainers(
    _ reader: inout JSONReader, areForStart: Bool
  ) throws(JSONReader.Problem) {
    try reader.elements { reader throws(JSONReader.Problem) in
      var (name, restarts, words): (String, Bool, [String]) = ("", false, [])
      var mode: String?
      try reader.members { reader, key throws(JSONReader.Problem) in
        switch key {
        case "name": name = try reader.text()
        case "restartPolicy": restarts = try reader.text() == "Always"
        // Istio before 1.7 gives istio-init its flags as the command.
        case "args", "command": words += try reader.texts()
        case "env":
          try reader.elements { reader throws(JSONReader.Problem) in
            mode = try PodSpec.interceptionMode(&reader) ?? mode
          }
        default: try reader.skip()
        }
      }
      if areForStart, name == "istio-init" {
        for (flag, value) in zip(words, words.dropFirst()) where flag.hasPrefix("-") { initArguments[flag] = value }
      }
      // an init container that restarts always runs as long as the pod: a native sidecar
      guard name == "istio-proxy", !areForStart || restarts else { return }
      hasProxy = true
      interceptionMode = mode
      let type = words.firstIndex(of: "proxy").flatMap { words.dropFirst($0 + 1).first }
      proxyType = type.flatMap { $0.hasPrefix("-") ? nil : $0 } ?? "sidecar"
    }
  }
}

extension PodSpec {
  /// Of an entry of `env`: its value, if it is the one.
  private static func interceptionMode(_ reader: inout JSONReader) throws(JSONReader.Problem) -> String? {
    var (name, value): (String, String?) = ("", nil)
    try reader.members { reader, key throws(JSONReader.Problem) in
      switch key {
      case "name": name = try reader.text()
      case "value": value = try reader.optionalText()
      default: try reader.skip()
      }
    }
    return name == "ISTIO_META_INTERCEPTION_MODE" ? value : nil
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
