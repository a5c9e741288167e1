internal import Flows

/// The parts of one object of the Kubernetes API, read once its kind is known.
struct ObjectParts {
  private let reader: JSONReader
  private let places: [String: Int]
  private let notAfterMs: Int64

  init(_ reader: JSONReader, places: [String: Int], notAfterMs: Int64) {
    self.reader = reader
    self.places = places
    self.notAfterMs = notAfterMs
  }

  typealias Problem = JSONReader.Problem

  func part(_ name: String) -> JSONReader? { places[name].map { reader.at($0, member: name) } }

  /// Reads the members of a part, when the object has it.
  func members(of name: String, _ body: (inout JSONReader, String) throws(Problem) -> Void) throws(Problem) {
    guard var part = part(name) else { return }
    try part.members(body)
  }

  func metadata() throws(Problem) -> ObjectMetadata {
    guard var part = part("metadata") else { throw reader.problem("the object has no metadata") }
    let metadata = try ObjectMetadata(&part)
    guard !metadata.name.isEmpty else { throw part.problem("the object has no name") }
    return metadata
  }

  /// nil for kinds that say nothing about addresses.
  func object(kind: String, apiVersion: String) throws(Problem) -> ClusterObject? {
    let group = apiVersion.split(separator: "/", omittingEmptySubsequences: false).first.map(String.init) ?? ""
    let isCore = !apiVersion.contains("/")
    switch kind {
    case "Pod" where isCore: return try pod()
    case "Service" where isCore: return try service()
    case "Node" where isCore: return try node()
    case "Namespace" where isCore: return try namespace()
    case "Endpoints" where isCore: return try endpoints()
    case "ConfigMap" where isCore: return try configMap()
    case "EndpointSlice" where group == "discovery.k8s.io": return try endpointSlice()
    case "ServiceEntry" where group == "networking.istio.io": return try serviceEntry()
    case "WorkloadEntry" where group == "networking.istio.io": return try workloadEntry()
    case "DestinationRule" where group == "networking.istio.io": return try destinationRule()
    case "Sidecar" where group == "networking.istio.io": return try sidecar()
    // the same word is a kind of Istio's and one of the Gateway API's
    case "Gateway" where group == "networking.istio.io": return try istioGateway()
    case "Gateway" where group == "gateway.networking.k8s.io": return try gatewayAPI()
    case "NetworkPolicy" where group == "networking.k8s.io": return try networkPolicy()
    case "Telemetry" where group == "telemetry.istio.io": return try telemetry()
    default: return nil
    }
  }

  // MARK: - Times

  private static let timeKeys: Set<String> = [
    "creationTimestamp", "time", "startTime", "startedAt", "finishedAt", "lastTransitionTime", "lastHeartbeatTime",
    "lastUpdateTime",
  ]

  /// The newest moment that the cluster itself wrote: in `metadata` without what users write, and in `status`.
  /// (`deletionTimestamp` lies in the future.)
  func newestMs() throws(Problem) -> Int64? {
    var newest: Int64?
    if var part = part("metadata") {
      try part.members { reader, key throws(Problem) in
        if key == "creationTimestamp" || key == "managedFields" {
          try note(&reader, key, &newest)
        } else {
          try reader.skip()
        }
      }
    }
    if var part = part("status") { try note(&part, "status", &newest) }
    return newest
  }

  private func note(_ reader: inout JSONReader, _ key: String, _ newest: inout Int64?) throws(Problem) {
    switch try reader.kind() {
    case .object:
      // what fields a manager owns is a tree of names without times
      if key == "fieldsV1" { return try reader.skip() }
      try reader.members { reader, key throws(Problem) in try note(&reader, key, &newest) }
    case .array: try reader.elements { reader throws(Problem) in try note(&reader, key, &newest) }
    case .string where ObjectParts.timeKeys.contains(key):
      if let ms = PolicyTime.milliseconds(try reader.text(), endOfDay: false), ms <= notAfterMs, ms > newest ?? .min {
        newest = ms
      }
    default: try reader.skip()
    }
  }

  // MARK: - Core

  private func service() throws(Problem) -> ClusterObject {
    let metadata = try metadata()
    var object = ClusterObject(.service, metadata)
    object.hosts = ["\(metadata.name).\(metadata.namespace).svc.cluster.local"]
    var type = "ClusterIP"
    var addresses: [String] = []
    try members(of: "spec") { reader, key throws(Problem) in
      switch key {
      case "clusterIP": addresses.append(try reader.text())
      case "clusterIPs": addresses += try reader.texts()
      case "selector": object.labels = try reader.textsByName()
      case "type": type = bounded(try reader.text())
      case "externalName": object.traits.append("external-name=" + bounded(try reader.text()))
      default: try reader.skip()
      }
    }
    if type == "ExternalName" { addresses = [] }
    object.addresses = canonical(addresses)
    object.traits.append("type=" + type)
    object.traits.sort()
    return object
  }

  /// Whether it limits what pods send, whether it is for all pods of its namespace, and whether its rules allow everything.
  private func networkPolicy() throws(Problem) -> ClusterObject {
    var object = ClusterObject(.networkPolicy, try metadata())
    var types: [String] = []
    var hasRules = false
    var opensAll = false
    var ranges: [AddressRange] = []
    var selectsAll = true
    try members(of: "spec") { reader, key throws(Problem) in
      switch key {
      case "policyTypes": types = try reader.texts()
      case "podSelector":
        guard try reader.kind() == .object else { return try reader.skip() }
        try reader.members { reader, key throws(Problem) in
          // An empty list or map of requirements is none.
          var holds = false
          switch try reader.kind() {
          case .object:
            try reader.members { reader, _ throws(Problem) in
              holds = true
              try reader.skip()
            }
          case .array:
            try reader.elements { reader throws(Problem) in
              holds = true
              try reader.skip()
            }
          default: try reader.skip()
          }
          if holds { selectsAll = false }
        }
      case "egress":
        guard try reader.kind() == .array else { return try reader.skip() }
        try reader.elements { reader throws(Problem) in
          hasRules = true
          if try allowsAll(&reader, &ranges) { opensAll = true }
        }
      default: try reader.skip()
      }
    }
    if opensAll || AddressRange.coverEverything(ranges) { object.traits.append("allows-all-egress") }
    // Without policyTypes, rules for egress make it one of egress, too.
    if types.isEmpty ? hasRules : types.contains("Egress") { object.traits.append("limits-egress") }
    if selectsAll { object.traits.append("selects-all") }
    return object
  }

  /// Whether a rule for egress lets everything out: it names no peers, and no ports, or all. Of one with all ports that does name
  /// peers, their ranges are added: together they may be every address of IPv4 or IPv6, as `0.0.0.0/1` and `128.0.0.0/1` are.
  ///
  /// Source: kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1 (NetworkPolicyEgressRule: an empty
  /// or missing `to`, or `ports`, is all of them; the peers of one rule add up, and so do the rules).
  private func allowsAll(_ reader: inout JSONReader, _ ranges: inout [AddressRange]) throws(Problem) -> Bool {
    guard try reader.kind() == .object else {
      try reader.skip()
      return false
    }
    var hasPeers = false
    var peers: [AddressRange] = []
    var (hasPorts, hasAllPorts) = (false, false)
    try reader.members { reader, key throws(Problem) in
      guard try reader.kind() == .array, key == "to" || key == "ports" else { return try reader.skip() }
      try reader.elements { reader throws(Problem) in
        if key == "ports" {
          hasPorts = true
          if try holdsAllPorts(&reader) { hasAllPorts = true }
          return
        }
        hasPeers = true
        if let range = try wholeRange(&reader) { peers.append(range) }
      }
    }
    guard !hasPorts || hasAllPorts else { return false }
    ranges += peers
    return !hasPeers
  }

  /// Of an entry of `ports`: every port of TCP, which is what leaves over a proxy.
  private func holdsAllPorts(_ reader: inout JSONReader) throws(Problem) -> Bool {
    guard try reader.kind() == .object else {
      try reader.skip()
      return false
    }
    var (isTCP, port, end): (Bool, String?, String?) = (true, nil, nil)
    try reader.members { reader, key throws(Problem) in
      switch key {
      case "protocol": isTCP = try reader.text() == "TCP"
      case "port": port = try reader.text()
      case "endPort": end = try reader.text()
      default: try reader.skip()
      }
    }
    return isTCP && (port == nil || port == "1" && end == "65535")
  }

  /// Of a peer: its range, if nothing is excepted from it.
  private func wholeRange(_ reader: inout JSONReader) throws(Problem) -> AddressRange? {
    guard try reader.kind() == .object else {
      try reader.skip()
      return nil
    }
    var (range, hasExceptions): (AddressRange?, Bool) = (nil, false)
    try reader.members { reader, key throws(Problem) in
      guard key == "ipBlock", try reader.kind() == .object else { return try reader.skip() }
      try reader.members { reader, key throws(Problem) in
        let kind = try reader.kind()
        switch (key, kind) {
        case ("cidr", .string):
          let text = try reader.text()
          range = try? AddressRange(around: text)
        case ("except", .array):
          try reader.elements { reader throws(Problem) in
            hasExceptions = true
            try reader.skip()
          }
        default: try reader.skip()
        }
      }
    }
    return hasExceptions ? nil : range
  }

  private func node() throws(Problem) -> ClusterObject {
    var object = ClusterObject(.node, try metadata())
    var addresses: [String] = []
    try members(of: "status") { reader, key throws(Problem) in
      guard key == "addresses" else { return try reader.skip() }
      try reader.elements { reader throws(Problem) in
        try reader.members { reader, key throws(Problem) in
          if key == "address" { addresses.append(try reader.text()) } else { try reader.skip() }
        }
      }
    }
    object.addresses = canonical(addresses)
    return object
  }

  private func namespace() throws(Problem) -> ClusterObject {
    let metadata = try metadata()
    var object = ClusterObject(.namespace, metadata)
    object.namespace = ""
    // the labels by which namespaces join a mesh (istio.io, "Installing the Sidecar", "Add workloads to a mesh")
    for label in ["istio-injection", "istio.io/rev", "istio.io/dataplane-mode"] {
      if let value = metadata.labels[label] { object.labels[label] = bounded(value) }
    }
    return object
  }

  private func endpoints() throws(Problem) -> ClusterObject {
    var object = ClusterObject(.endpoints, try metadata())
    var addresses: [String] = []
    guard var part = part("subsets") else { return object }
    try part.elements { reader throws(Problem) in
      try reader.members { reader, key throws(Problem) in
        guard key == "addresses" || key == "notReadyAddresses" else { return try reader.skip() }
        try reader.elements { reader throws(Problem) in
          var (ip, isObject) = ("", false)
          try reader.members { reader, key throws(Problem) in
            switch key {
            case "ip": ip = try reader.text()
            case "targetRef":
              isObject = try reader.kind() == .object
              try reader.skip()
            default: try reader.skip()
            }
          }
          // what belongs to a pod or a node is known from there
          if !isObject { addresses.append(ip) }
        }
      }
    }
    object.addresses = canonical(addresses)
    return object
  }

  private func endpointSlice() throws(Problem) -> ClusterObject {
    let metadata = try metadata()
    var object = ClusterObject(.endpoints, metadata)
    if let service = metadata.labels["kubernetes.io/service-name"] { object.workload = bounded(service) }
    var addresses: [String] = []
    guard var part = part("endpoints") else { return object }
    try part.elements { reader throws(Problem) in
      var (own, isObject): ([String], Bool) = ([], false)
      try reader.members { reader, key throws(Problem) in
        switch key {
        case "addresses": own = try reader.texts()
        case "targetRef":
          isObject = try reader.kind() == .object
          try reader.skip()
        default: try reader.skip()
        }
      }
      if !isObject { addresses += own }
    }
    object.addresses = canonical(addresses)
    return object
  }

  /// Istio's mesh configuration lies in the ConfigMaps `istio` and `istio-REVISION`, as YAML under `mesh`.
  private func configMap() throws(Problem) -> ClusterObject? {
    let metadata = try metadata()
    guard metadata.name == "istio" || metadata.name.hasPrefix("istio-") else { return nil }
    var mesh: String?
    try members(of: "data") { reader, key throws(Problem) in
      if key == "mesh" { mesh = try reader.text() } else { try reader.skip() }
    }
    guard let mesh else { return nil }
    var object = ClusterObject(.meshConfig, metadata)
    object.traits = ["outbound-traffic-policy=\(MeshConfig.outboundTrafficPolicy(in: mesh))"]
    return object
  }

  // MARK: - Istio and the Gateway API

  private func serviceEntry() throws(Problem) -> ClusterObject {
    var object = ClusterObject(.serviceEntry, try metadata())
    var (location, resolution) = ("MESH_EXTERNAL", "NONE")
    var virtual: [String] = []
    var endpoints: [String] = []
    try members(of: "spec") { reader, key throws(Problem) in
      switch key {
      case "hosts": object.hosts = bounded(try reader.texts().map(HostGlob.canonical)).sorted()
      case "addresses": virtual = try reader.texts()
      case "location": location = bounded(try reader.text())
      case "resolution": resolution = bounded(try reader.text())
      case "workloadSelector":
        try reader.members { reader, key throws(Problem) in
          if key == "labels" { object.labels = try reader.textsByName() } else { try reader.skip() }
        }
      case "endpoints":
        try reader.elements { reader throws(Problem) in
          try reader.members { reader, key throws(Problem) in
            if key == "address" { endpoints.append(try reader.text()) } else { try reader.skip() }
          }
        }
      case "ports":
        try reader.elements { reader throws(Problem) in
          try reader.members { reader, key throws(Problem) in
            if key == "number" { object.traits.append("port=" + bounded(try reader.text())) } else { try reader.skip() }
          }
        }
      default: try reader.skip()
      }
    }
    // without endpoints and without a look-up, traffic goes to the addresses themselves
    object.addresses = canonical(endpoints.isEmpty && resolution == "NONE" ? virtual : endpoints)
    object.traits += ["location=\(location)", "resolution=\(resolution)"]
    object.traits = bounded(Array(Set(object.traits)).sorted())
    return object
  }

  private func workloadEntry() throws(Problem) -> ClusterObject {
    let metadata = try metadata()
    var object = ClusterObject(.workloadEntry, metadata)
    object.labels = metadata.labels
    try members(of: "spec") { reader, key throws(Problem) in
      switch key {
      case "address": object.addresses = canonical([try reader.text()])
      case "labels": object.labels.merge(try reader.textsByName()) { $1 }
      default: try reader.skip()
      }
    }
    return object
  }

  private func destinationRule() throws(Problem) -> ClusterObject {
    var object = ClusterObject(.destinationRule, try metadata())
    try members(of: "spec") { reader, key throws(Problem) in
      switch key {
      case "host": object.hosts = bounded([HostGlob.canonical(try reader.text())])
      case "trafficPolicy", "subsets":
        if try setsPassthrough(&reader, depth: 0) { object.traits = ["load-balancer=PASSTHROUGH"] }
      default: try reader.skip()
      }
    }
    return object
  }

  /// Whether a load balancer in a traffic policy, in one of its ports or of a subset, is `PASSTHROUGH`: connections go to the
  /// address that the caller asked for (Istio, LoadBalancerSettings.SimpleLB).
  private func setsPassthrough(_ reader: inout JSONReader, depth: Int) throws(Problem) -> Bool {
    var isSet = false
    // subsets[].trafficPolicy.portLevelSettings[].loadBalancer.simple
    guard depth < 8 else {
      try reader.skip()
      return false
    }
    switch try reader.kind() {
    case .array:
      try reader.elements { reader throws(Problem) in
        if try setsPassthrough(&reader, depth: depth + 1) { isSet = true }
      }
    case .object:
      try reader.members { reader, key throws(Problem) in
        if key == "simple" {
          if try reader.text() == "PASSTHROUGH" { isSet = true }
        } else if try setsPassthrough(&reader, depth: depth + 1) {
          isSet = true
        }
      }
    default: try reader.skip()
    }
    return isSet
  }

  private func sidecar() throws(Problem) -> ClusterObject {
    var object = ClusterObject(.sidecar, try metadata())
    try members(of: "spec") { reader, key throws(Problem) in
      guard key == "outboundTrafficPolicy" else { return try reader.skip() }
      try reader.members { reader, key throws(Problem) in
        guard key == "mode" else { return try reader.skip() }
        object.traits = ["outbound-traffic-policy=" + bounded(try reader.text())]
      }
    }
    return object
  }

  private func istioGateway() throws(Problem) -> ClusterObject {
    var object = ClusterObject(.gateway, try metadata())
    try members(of: "spec") { reader, key throws(Problem) in
      switch key {
      case "selector": object.labels = try reader.textsByName()
      case "servers":
        try reader.elements { reader throws(Problem) in
          try reader.members { reader, key throws(Problem) in
            if key == "hosts" { object.hosts += try reader.texts() } else { try reader.skip() }
          }
        }
      default: try reader.skip()
      }
    }
    object.hosts = bounded(Array(Set(object.hosts)).sorted())
    return object
  }

  private func gatewayAPI() throws(Problem) -> ClusterObject {
    var object = ClusterObject(.gatewayAPI, try metadata())
    try members(of: "spec") { reader, key throws(Problem) in
      guard key == "gatewayClassName" else { return try reader.skip() }
      object.traits = ["class=" + bounded(try reader.text())]
    }
    return object
  }

  func canonical(_ texts: [String]) -> [String] {
    let addresses = Set(texts.compactMap { IPAddress($0) })
    return bounded(addresses.map(\.description).sorted())
  }
}

extension ClusterObject {
  init(_ kind: Kind, _ metadata: ObjectMetadata) {
    self.init(kind: kind, namespace: metadata.namespace, name: metadata.name)
  }
}
