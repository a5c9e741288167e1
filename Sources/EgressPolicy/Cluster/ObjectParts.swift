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
    let group = ObjectParts.group(of: apiVersion)
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

  /// Empty for the core of Kubernetes, which has `v1` alone.
  static func group(of apiVersion: String) -> String {
    apiVersion.lastIndex(of: "/").map { String(apiVersion[..<$0]) } ?? ""
  }

  /// The groups of the kinds that are read, but for Gateways: those of Istio and those of the Gateway API are both read.
  private static let groups = [
    "Pod": "", "Service": "", "Node": "", "Namespace": "", "Endpoints": "", "ConfigMap": "",
    "EndpointSlice": "discovery.k8s.io", "ServiceEntry": "networking.istio.io", "WorkloadEntry": "networking.istio.io",
    "DestinationRule": "networking.istio.io", "Sidecar": "networking.istio.io", "NetworkPolicy": "networking.k8s.io",
    "Telemetry": "telemetry.istio.io",
  ]

  /// What objects of a kind are counted as: those of a kind that is read under its word alone, its namesakes with their group, as
  /// `Service.serving.knative.dev`, and Gateways always.
  static func name(of kind: String, apiVersion: String) -> String {
    let group = group(of: apiVersion)
    guard !group.isEmpty, kind == "Gateway" || groups[kind, default: group] != group else { return kind }
    return "\(kind).\(group)"
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
    if endpoints.isEmpty, resolution == "NONE" {
      let isRange = { (text: String) in (try? AddressRange(around: text)) != nil }
      object.addresses = canonicalRanges(virtual)
      object.traits += virtual.filter { !isRange($0) }.map { "\(ClusterObject.unreadAddress)=" + bounded($0) }
    } else {
      object.addresses = canonical(endpoints)
    }
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

  /// Of a ServiceEntry, whose `addresses` may be ranges: `10.50.0.0/16`, and `10.50.9.9/32` is an address
  /// (istio.io/latest/docs/reference/config/networking/service-entry).
  private func canonicalRanges(_ texts: [String]) -> [String] {
    let ranges = Set(texts.compactMap { try? AddressRange(around: $0) })
    return bounded(ranges.map(\.description).sorted())
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
