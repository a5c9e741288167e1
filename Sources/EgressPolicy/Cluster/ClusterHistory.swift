internal import Flows

/// What all imported snapshots together say of addresses: whose they were and when, and which of them are gateways.
struct ClusterHistory: Sendable {
  /// Why a pod is taken for an egress gateway.
  enum Gateway: Hashable, Sendable {
    /// An Istio Gateway selects it, and it carries the label or lies behind the Service of an egress gateway.
    case certain
    /// It is a gateway that no Service exposes to the outside, or is only called an egress gateway.
    case guessed
  }

  let objects: [ClusterObject]
  /// ServiceEntries that a look at all namespaces found, by place in `objects`: others of their hosts would stand beside them.
  let entriesAmongAll: Set<Int>
  private(set) var holders: [IPAddress: [PodLives.Hold]] = [:]
  /// Names by address; pods with `hostNetwork` have no address of their own, only their node's.
  private(set) var nodes: [IPAddress: String] = [:]
  /// Cluster addresses of Services with pods behind them.
  private(set) var services: [IPAddress: String] = [:]
  /// Addresses of what the cluster itself calls outside: endpoints of MESH_EXTERNAL ServiceEntries, Services without
  /// selector that lead to no pod.
  private(set) var outside: Set<IPAddress> = []
  /// Ranges of MESH_EXTERNAL ServiceEntries of which the cluster itself has no address.
  private var outsideRanges: [AddressRange] = []
  /// Addresses that one object puts inside and another outside.
  private(set) var contradicted: Set<IPAddress> = []
  private(set) var workloadEntries: Set<IPAddress> = []
  /// By place in `objects`.
  private(set) var gateways: [Int: Gateway] = [:]
  /// Registry hosts of the Services in front of egress gateways.
  private(set) var gatewayHosts: Set<String> = []
  /// Cluster addresses of those Services.
  private(set) var gatewayServices: [IPAddress: Gateway] = [:]
  /// How long the pods of egress gateways lived, by how sure it is that they are some.
  private(set) var gatewayLives: [Gateway: [PodLives.Span]] = [:]
  /// Addresses of nodes that egress gateways with `hostNetwork` share with whatever else runs there, and when.
  private(set) var gatewayNodes: [IPAddress: [PodLives.Span]] = [:]
  /// Pods by `namespace/name`, for logs that say which pod wrote them.
  private(set) var workloads: [String: String] = [:]

  /// Objects that were gone before the first line say nothing of any.
  private let isGone: [Bool]

  /// - Parameter beginMs: of the stored lines; nil where there is none.
  init(_ record: ClusterRecord, from beginMs: Int64?) {
    objects = record.objects
    isGone = ClusterHistory.isGone(record, before: beginMs ?? .min)
    let looks = record.moments[ClusterScope(kind: .serviceEntry, namespace: nil)] ?? []
    entriesAmongAll = Set(
      record.sightings.lazy.filter { sighting in
        record.objects[sighting.object].kind == .serviceEntry
          && looks.contains { sighting.firstMs <= $0 && $0 <= sighting.lastMs }
      }.map(\.object))
    let lives = PodLives(record)
    learnPods(record, lives)
    learnPlaces()
    learnGateways()
    learnGatewayLives(lives)
  }

  /// By the first look after the last sighting that would have shown them. Pods have lives of their own; and what was outside is
  /// outside still.
  private static func isGone(_ record: ClusterRecord, before beginMs: Int64) -> [Bool] {
    var lastMs = [Int64?](repeating: nil, count: record.objects.count)
    for sighting in record.sightings {
      lastMs[sighting.object] = max(lastMs[sighting.object] ?? .min, sighting.lastMs)
    }
    return record.objects.indices.map { place in
      let object = record.objects[place]
      guard object.kind != .pod, let lastMs = lastMs[place] else { return false }
      let goneMs = record.momentAfter(lastMs, kind: object.kind, namespace: object.namespace)
      return goneMs.map { $0 <= beginMs } ?? false
    }
  }

  // MARK: - Pods

  private mutating func learnPods(_ record: ClusterRecord, _ lives: PodLives) {
    for sighting in record.sightings {
      let pod = objects[sighting.object]
      guard pod.kind == .pod else { continue }
      workloads["\(pod.namespace)/\(pod.name)"] = ClusterHistory.name(of: pod)
    }
    holders = lives.holds.filter { ClusterHistory.isKept($0.key) }
  }

  /// A public IPv4 address proves that traffic left, whoever says it is a pod's; IPv6 clusters use global addresses.
  static func isKept(_ address: IPAddress) -> Bool {
    switch AddressKind(address) {
    case .loopback, .metadata, .special: false
    case .publicUse: !address.isIPv4
    case .linkLocal, .privateUse, .sharedSpace, .reserved: true
    }
  }

  /// `namespace/workload`, as reports show it.
  static func name(of pod: ClusterObject) -> String {
    "\(pod.namespace)/\(pod.workload ?? pod.name)"
  }

  /// Registry hosts of Services that lead to pods, or to the API server.
  var serviceHosts: Set<String> {
    Set(objects.filter(ClusterHistory.leadsInside).flatMap(\.hosts))
  }

  /// The API server's Service has no selector, its endpoints are the control plane.
  private static func leadsInside(_ service: ClusterObject) -> Bool {
    service.kind == .service
      && (!service.labels.isEmpty || service.namespace == "default" && service.name == "kubernetes")
  }

  /// Who had the address at any moment from `fromMs` to `untilMs`, both included, the latest last.
  func holders(of address: IPAddress, from fromMs: Int64, until untilMs: Int64) -> [PodLives.Hold] {
    (holders[address] ?? []).filter { $0.span.fromMs <= untilMs && $0.span.untilMs > fromMs }
  }

  // MARK: - Places

  private mutating func learnPlaces() {
    var externalNames: Set<String> = []
    var selectorless: [String: [IPAddress]] = [:]
    var selecting: [String: [IPAddress]] = [:]
    var insideRanges: [AddressRange] = []
    for (place, object) in objects.enumerated() {
      let isGone = isGone[place]
      let addresses = object.addresses.compactMap { IPAddress($0) }.filter(ClusterHistory.isKept)
      switch object.kind {
      case .node where !isGone:
        // a public address of a node, IPv6 too, is as good as any other outside
        for address in addresses where AddressKind(address) != .publicUse { nodes[address] = object.name }
      case .service:
        let place = "\(object.namespace)/\(object.name)"
        if ClusterHistory.leadsInside(object) {
          if !isGone { for address in addresses { services[address] = place } }
          if !isGone, !object.labels.isEmpty { selecting[place] = addresses }
        } else if object.trait("external-name") != nil {
          externalNames.insert(place)
        } else {
          selectorless[place, default: []] += addresses
        }
      case .serviceEntry where object.isExternal:
        outside.formUnion(addresses)
        outsideRanges += object.ranges
      case .workloadEntry where selects(object) { $0.isExternal }:
        outside.formUnion(addresses)
        // One entry calls the machine outside, another a part of the mesh.
        if !isGone, selects(object, { !$0.isExternal }) { workloadEntries.formUnion(addresses) }
      case .serviceEntry where !isGone, .workloadEntry where !isGone:
        insideRanges += object.ranges
        // Who may write an entry can name any address in it; no pod has those, IPv6 too.
        workloadEntries.formUnion(addresses.filter { AddressKind($0) != .publicUse })
      default: break
      }
    }
    for (index, object) in objects.enumerated() where object.kind == .endpoints {
      let place = "\(object.namespace)/\(object.workload ?? object.name)"
      let endpoints = object.addresses.compactMap { IPAddress($0) }
      let strangers = endpoints.filter { holders[$0] == nil && nodes[$0] == nil }
      guard !strangers.isEmpty else { continue }
      // traffic to the Service's own address ends up at its endpoints
      if let virtual = selectorless[place] {
        outside.formUnion(virtual)
        outside.formUnion(endpoints.filter { ClusterHistory.isKept($0) })
      } else if let virtual = selecting[place], !isGone[index] {
        // Somebody added these to the pods that are selected: it may end up at either.
        outside.formUnion(virtual)
        outside.formUnion(strangers.filter { ClusterHistory.isKept($0) })
      }
    }
    // where one says inside and another outside, nobody knows
    for address in Array(outside)
    where holders[address] != nil || nodes[address] != nil || services[address] != nil
      || workloadEntries.contains(address)
    {
      outside.remove(address)
      contradicted.insert(address)
      services[address] = nil
      workloadEntries.remove(address)
    }
    keepRangesWithoutMesh(insideRanges)
  }

  /// Of a range in which the cluster has an address, or part of which another entry calls inside, nobody knows what else is in it; nor
  /// of any where no pod is known.
  private mutating func keepRangesWithoutMesh(_ insideRanges: [AddressRange]) {
    guard !outsideRanges.isEmpty else { return }
    let known = Set(holders.keys).union(nodes.keys).union(services.keys).union(workloadEntries).union(contradicted)
    outsideRanges = Array(Set(outsideRanges)).filter { range in
      !holders.isEmpty && !insideRanges.contains { $0.contains(range) || range.contains($0) }
        && !known.contains { range.contains($0) }
    }
  }

  /// Whether the cluster itself calls an address outside of which it knows nothing else.
  func isOutside(_ address: IPAddress) -> Bool {
    outside.contains(address)
      || (ClusterHistory.isKept(address) && outsideRanges.contains { $0.contains(address) })
  }

  /// Whether such a ServiceEntry selects the machine (`workloadSelector`, which selects in its own namespace).
  private func selects(_ machine: ClusterObject, _ isOne: (ClusterObject) -> Bool) -> Bool {
    objects.contains {
      $0.kind == .serviceEntry && $0.namespace == machine.namespace && machine.isSelected(by: $0.labels) && isOne($0)
    }
  }

  // MARK: - Gateways

  /// Pods that run as a gateway, by what selects and exposes them.
  private mutating func learnGateways() {
    let there = zip(objects, isGone).filter { !$0.1 }.map(\.0)
    let selectors = there.filter { $0.kind == .gateway && !$0.labels.isEmpty }
    let selecting = there.filter { $0.kind == .service && !$0.labels.isEmpty }
    var serviceHosts: Set<String> = []
    for (place, pod) in objects.enumerated() where pod.kind == .pod && pod.proxy == .router {
      let ahead = selecting.filter { $0.namespace == pod.namespace && pod.isSelected(by: $0.labels) }
      // an Istio Gateway selects in all namespaces, unless istiod is told otherwise
      let isSelected = selectors.contains { pod.isSelected(by: $0.labels) }
      let isLabelled = pod.labels["istio"] == "egressgateway"
      let isNamed =
        ([pod.workload ?? pod.name, pod.labels["app"] ?? "", pod.labels["istio"] ?? ""]
        + ahead.map(\.name)).contains(where: ClusterHistory.isCalledEgress)
      let isExposed = ahead.contains { $0.trait("type") != "ClusterIP" }
      let isIngress = (pod.labels["istio"] ?? "").contains("ingress")
      let hasAPI = pod.labels["gateway.networking.k8s.io/gateway-name"] != nil
      if isSelected, isLabelled || (isNamed && !isExposed) {
        gateways[place] = .certain
      } else if isNamed || (!isIngress && !isExposed && !ahead.isEmpty && (isSelected || hasAPI)) {
        gateways[place] = .guessed
      } else {
        continue
      }
      for service in ahead {
        serviceHosts.formUnion(service.hosts)
        for address in service.addresses.compactMap({ IPAddress($0) }) where services[address] != nil {
          // as certain as the least certain of its pods
          gatewayServices[address] = gatewayServices[address] == .guessed ? .guessed : gateways[place]
        }
      }
    }
    gatewayHosts = serviceHosts
  }

  private mutating func learnGatewayLives(_ lives: PodLives) {
    for life in lives.all {
      let states = life.objects.filter { gateways[$0] != nil }
      guard !states.isEmpty else { continue }
      let isCertain = states.contains { gateways[$0] == .certain }
      gatewayLives[isCertain ? .certain : .guessed, default: []].append(life.span)
      for address in Set(states.flatMap { nodeAddresses(of: objects[$0]) }) {
        gatewayNodes[address, default: []].append(life.span)
      }
    }
  }

  /// Those of a pod with `hostNetwork`. What the cluster calls outside, or a public address, stays what it is.
  private func nodeAddresses(of pod: ClusterObject) -> [IPAddress] {
    guard pod.isHostNetwork else { return [] }
    return pod.addresses.compactMap { IPAddress($0) }.filter {
      ClusterHistory.isKept($0) && AddressKind($0) != .publicUse && !outside.contains($0) && !contradicted.contains($0)
    }
  }

  private static func isCalledEgress(_ name: String) -> Bool {
    ClusterName.looksLikeGateway(name) || name.hasPrefix("egress") || name.hasSuffix("egress")
  }
}

extension ClusterObject {
  /// Of a ServiceEntry: where it leaves its `location` out, it is `MESH_EXTERNAL`.
  fileprivate var isExternal: Bool { trait("location") != "MESH_INTERNAL" }

  /// Of its addresses, those that are more than one.
  fileprivate var ranges: [AddressRange] {
    addresses.filter { $0.utf8.contains(UInt8(ascii: "/")) }.compactMap { try? AddressRange(parsing: $0) }
  }

  func isSelected(by selector: [String: String]) -> Bool {
    !selector.isEmpty && selector.allSatisfy { labels[$0.key] == $0.value }
  }
}
