internal import Flows

/// The policy's lists, ready to be asked: which entries does this address, this host match?
///
/// Time is left out here; the verdict intersects the answer with the entries that hold in its interval.
struct PolicyIndex: Sendable {
  /// With the pods of the topology after its own.
  let policy: Policy
  /// What the imported topology says beyond pods.
  let evidence: ClusterEvidence
  let internalRanges: RangeIndex
  /// The policy has ranges of the mesh, or what was imported of the cluster has addresses.
  let saysWhatIsMesh: Bool
  let internalHosts: HostIndex
  let pods: RangeIndex
  let gateways: ProxyIndex
  let sniProxies: ProxyIndex
  let forwardProxies: ProxyIndex
  let exceptions: ExceptionIndex
  /// The policy's own pods.
  let declaredPods: EntrySet
  /// All pods but the topology's turns without a sidecar, which matter to clients only: each address that has one is in
  /// an entry for all times as well.
  let places: EntrySet
  /// Something is said of some host.
  var namesHosts: Bool {
    internalHosts.count + gateways.count + sniProxies.count + forwardProxies.count + exceptions.count > 0
      || !evidence.gatewayHosts.isEmpty
  }
  /// Of each pod the first one of which the same is said: the same times, the same answer about a sidecar.
  let podLikeness: [Int]

  init(_ declared: Policy, evidence: ClusterEvidence = ClusterEvidence()) {
    var policy = declared
    policy.pods += evidence.pods
    self.policy = policy
    self.evidence = evidence
    var own = EntrySet(of: policy.pods.count)
    for entry in declared.pods.indices { own.insert(entry) }
    declaredPods = own
    for entry in declared.pods.count..<policy.pods.count where policy.pods[entry].hasSidecar != false {
      own.insert(entry)
    }
    places = own
    var likenesses: [PodLikeness: Int] = [:]
    podLikeness = policy.pods.enumerated().map { place, pod in
      let likeness = PodLikeness(
        hasSidecar: pod.hasSidecar, validity: pod.validity, isDeclared: place < declared.pods.count)
      if let first = likenesses[likeness] { return first }
      likenesses[likeness] = place
      return place
    }
    saysWhatIsMesh = policy.internal.contains { $0.range != nil } || !evidence.entries.isEmpty
    internalRanges = RangeIndex(policy.internal.map { $0.range.map { [$0] } ?? [] })
    internalHosts = HostIndex(policy.internal.map { $0.host.map { [$0] } ?? [] })
    pods = RangeIndex(policy.pods.map(\.addresses))
    gateways = ProxyIndex(policy.gateways)
    sniProxies = ProxyIndex(policy.sniProxies)
    forwardProxies = ProxyIndex(policy.forwardProxies)
    exceptions = ExceptionIndex(policy.exceptions)
  }
}

private struct PodLikeness: Hashable {
  var hasSidecar: Bool?
  var validity: Policy.Validity
  var isDeclared: Bool
}

struct ProxyIndex: Sendable {
  let addresses: RangeIndex
  let hosts: HostIndex
  /// The entries that give no addresses: for them the registry host alone decides.
  let withoutAddresses: EntrySet

  var count: Int { addresses.count }
  var isEmpty: Bool { count == 0 }

  init(_ proxies: [Policy.Proxy]) {
    addresses = RangeIndex(proxies.map(\.addresses))
    hosts = HostIndex(proxies.map(\.hosts))
    var without = EntrySet(of: proxies.count)
    for (entry, proxy) in proxies.enumerated() where proxy.addresses.isEmpty { without.insert(entry) }
    withoutAddresses = without
  }
}

struct ExceptionIndex: Sendable {
  private let addresses: RangeIndex
  private let hosts: HostIndex
  private let sources: RangeIndex
  private let anyHost: EntrySet
  private let anyAddress: EntrySet
  private let anySource: EntrySet
  private let anyPort: EntrySet
  /// Entries that name hosts and no addresses.
  let byHostAlone: EntrySet
  private var byPort: [UInt16: EntrySet] = [:]
  let count: Int

  init(_ exceptions: [Policy.Exception]) {
    count = exceptions.count
    addresses = RangeIndex(exceptions.map(\.addresses))
    hosts = HostIndex(exceptions.map(\.hosts))
    sources = RangeIndex(exceptions.map(\.sources))
    let none = EntrySet(of: exceptions.count)
    var (host, address, source, port) = (none, none, none, none)
    for (entry, exception) in exceptions.enumerated() {
      if exception.hosts.isEmpty { host.insert(entry) }
      if exception.addresses.isEmpty { address.insert(entry) }
      if exception.sources.isEmpty { source.insert(entry) }
      if exception.ports.isEmpty { port.insert(entry) }
      for number in exception.ports { byPort[number, default: none].insert(entry) }
    }
    (anyHost, anyAddress, anySource, anyPort) = (host, address, source, port)
    byHostAlone = address.subtracting(host)
  }

  var none: EntrySet { EntrySet(of: count) }

  func source(_ address: IPAddress?) -> EntrySet {
    guard let address else { return anySource }
    return anySource.union(sources.entries(containing: address))
  }

  /// Entries that allow traffic the registry declared: by registry host, upstream address and port.
  func declared(host: EntrySet, address: EntrySet, ports: EntrySet) -> EntrySet {
    ports.intersection(host).intersection(anyAddress.union(address))
  }

  /// Entries that allow traffic to an undeclared destination: they must name its address. A logged name can only
  /// narrow the match, because the client wrote it; without one the address is enough.
  func undeclared(name: EntrySet?, address: EntrySet, ports: EntrySet) -> EntrySet {
    let byAddress = ports.intersection(address)
    return name.map { byAddress.intersection($0) } ?? byAddress
  }

  func host(_ host: String?) -> EntrySet {
    guard let host else { return anyHost }
    return anyHost.union(hosts.entries(matching: host))
  }

  func address(_ address: IPAddress) -> EntrySet { addresses.entries(containing: address) }

  /// Entries for one of two ports, the one connected to and the one that reports show: a sidecar may be asked for port 80 and
  /// begin TLS at port 443 itself.
  func ports(_ one: UInt16, _ other: UInt16) -> EntrySet {
    let entries = byPort[one].map { $0.union(anyPort) } ?? anyPort
    return other == one ? entries : byPort[other].map { $0.union(entries) } ?? entries
  }
}

/// The entries that hold in one interval.
struct ActiveEntries: Sendable {
  let internals: EntrySet
  let pods: EntrySet
  let gateways: EntrySet
  let sniProxies: EntrySet
  let forwardProxies: EntrySet
  let exceptions: EntrySet
  /// Of the imported topology.
  let cluster: EntrySet

  init(_ index: PolicyIndex, at ms: Int64) {
    let policy = index.policy
    func holding(_ validities: [Policy.Validity]) -> EntrySet {
      var set = EntrySet(of: validities.count)
      for (entry, validity) in validities.enumerated() where validity.contains(ms) { set.insert(entry) }
      return set
    }
    internals = holding(policy.internal.map(\.validity))
    pods = holding(policy.pods.map(\.validity))
    gateways = holding(policy.gateways.map(\.validity))
    sniProxies = holding(policy.sniProxies.map(\.validity))
    forwardProxies = holding(policy.forwardProxies.map(\.validity))
    exceptions = holding(policy.exceptions.map(\.validity))
    cluster = index.evidence.active(at: ms)
  }
}

extension PolicyIndex {
  /// The moments at which an entry begins or ends, in order.
  var boundaries: [Int64] {
    let validities =
      policy.internal.map(\.validity) + policy.pods.map(\.validity) + policy.gateways.map(\.validity)
      + policy.sniProxies.map(\.validity) + policy.forwardProxies.map(\.validity) + policy.exceptions.map(\.validity)
      + evidence.boundaries
    let moments = validities.flatMap { [$0.fromMs, $0.untilMs] }.filter { $0 != .min && $0 != .max }
    return Set(moments).sorted()
  }
}
