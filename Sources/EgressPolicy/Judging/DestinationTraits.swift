internal import Flows

/// All that a verdict needs to know of a destination. Destinations with equal traits share a class.
struct DestinationTraits: Hashable, Sendable {
  enum Target: Hashable, Sendable {
    /// The format has no column for the upstream address.
    case notLogged
    /// The column is empty: nothing was sent.
    case nothing
    /// A path, an internal listener, a name.
    case name
    case address(Upstream)
  }

  struct Upstream: Hashable, Sendable {
    var kind: AddressKind
    var isPublicIPv4: Bool
    /// Only a listener for what comes in says that the address is in the mesh.
    var isMeshByInbound: Bool
    var entries: AddressEntries
    /// The address wrote or received lines of a sidecar.
    var isMesh: Bool
    /// Its log was read with the role `gateway`.
    var isGatewayByRole: Bool
    /// A gateway wrote lines at this address, or the registry leads to a proxy there, of other ports alone.
    var isForeignPort: Bool
    var gatewayGuess: Int?
    var sniProxyGuess: Int?
    var forwardProxyGuess: Int?
    /// Number of the sentence about a private address nothing is known of.
    var stranger: Int?
    /// When the log of the next hop at this address was read.
    var gatewayTime: ReadTime?
    var sniProxyTime: ReadTime?
    var forwardProxyTime: ReadTime?
    /// When the server side at this address may have written the line to count.
    var inboundTime: ReadTime?
  }

  /// What DL is, where nothing was sent or the upstream is not logged.
  struct Dialled: Hashable, Sendable {
    var kind: AddressKind
    var isMesh: Bool
    var isGateway: Bool
    var entries: AddressEntries
  }

  enum Route: Hashable, Sendable {
    case blockAll
    case other
  }

  var cluster: ClusterName.Kind
  var route: Route
  var target: Target
  var dialled: Dialled?
  var traffic: Destination.Traffic?
  /// Entries whose patterns match the registry host.
  var hosts: HostEntries?
  /// A registry host that is called like a gateway; only where the upstream address is not logged.
  var isNamedGateway = false
  /// Exceptions that allow it as declared by the registry, as undeclared, or as seen by a proxy that resolves names itself.
  var declaredExceptions: EntrySet
  /// Those that allow the registry host by its name alone, where the client may have chosen the address.
  var assumedExceptions: EntrySet
  var undeclaredExceptions: EntrySet
  var resolvedExceptions: EntrySet
  /// The host was the target of the request itself, as at a forward proxy.
  var isRequestTarget: Bool

  struct HostEntries: Hashable, Sendable {
    var internals: EntrySet
    var gateways: EntrySet
    var sniProxies: EntrySet
    var forwardProxies: EntrySet
    /// A Service in front of an egress gateway, by the imported topology.
    var isGatewayService = false
    /// Another Service with pods behind it, where that tells them apart from a gateway at the same address.
    var isOtherService = false
  }
}

/// Turns destinations into traits, each address and each host looked up once.
struct DestinationClassifier {
  /// What the traits of a destination come from, where no exception is to be matched; numbers instead of what they number.
  private struct Shape: Hashable {
    var cluster: ClusterName.Kind
    var isBlockAll: Bool
    var isRequestTarget: Bool
    var isNamedGateway: Bool
    var hasUpstream: Bool
    var logsUpstream: Bool
    var traffic: Destination.Traffic?
    /// -1 for none.
    var upstream, dialled, host: Int32

    /// What tells most shapes apart, in two words: each destination is looked up by its shape.
    func hash(into hasher: inout Hasher) {
      hasher.combine(UInt64(UInt32(bitPattern: upstream)) << 32 | UInt64(UInt32(bitPattern: dialled)))
      hasher.combine(
        UInt64(UInt32(bitPattern: host)) << 32 | UInt64(cluster.rawValue) << 8 | (isBlockAll ? 1 : 0)
          | (hasUpstream ? 2 : 0))
    }
  }

  private let index: PolicyIndex
  private let topology: Topology
  private let addresses: AddressReader
  private let strangers: [IPAddress: Int]
  private let resolved: ResolvedHosts
  /// The port matters only where a forward proxy was guessed by it, or where a gateway has none of its lines.
  private var upstreams: [Topology.ProxyPort: Int32] = [:]
  private var dialled: [IPAddress: Int32] = [:]
  private var hosts: [String: Int32] = [:]
  private var upstreamFacts = ClassNumbers<UpstreamFacts>()
  private var dialledFacts = ClassNumbers<DestinationTraits.Dialled>()
  private var hostFacts = ClassNumbers<HostFacts>()
  private var exceptionHosts: [String: EntrySet] = [:]
  private var shapes: [Shape: Int] = [:]
  /// The classes found so far.
  private(set) var classes = ClassNumbers<DestinationTraits>()

  private struct UpstreamFacts: Hashable {
    var facts: DestinationTraits.Upstream
    var exceptions: EntrySet
  }

  private struct HostFacts: Hashable {
    var entries: DestinationTraits.HostEntries
    var exceptions: EntrySet
  }

  /// - Parameter count: of destinations to come; each may have an address of its own.
  init(
    index: PolicyIndex, topology: Topology, addresses: AddressReader, strangers: [IPAddress: Int],
    resolved: ResolvedHosts, count: Int
  ) {
    self.index = index
    self.topology = topology
    self.addresses = addresses
    self.strangers = strangers
    self.resolved = resolved
    upstreams.reserveCapacity(min(count, DestinationClassifier.mostAddresses))
    dialled.reserveCapacity(min(count, DestinationClassifier.mostAddresses))
  }

  /// Addresses that are remembered: a scan has a new one in each line, and to look at one again costs little.
  private static let mostAddresses = 3 << 14

  /// The number of the destination's class.
  mutating func number(of fact: Judge.DestinationFact) -> Int {
    // Exceptions match by name, address and port together: then each destination is one of its own.
    guard index.exceptions.count == 0 else { return classes.number(of: traits(of: fact)) }
    let shape = Shape(
      cluster: fact.cluster.kind, isBlockAll: fact.isBlockAll, isRequestTarget: fact.isRequestTarget,
      isNamedGateway: isNamedGateway(fact), hasUpstream: fact.hasUpstream, logsUpstream: fact.logsUpstream,
      traffic: fact.traffic, upstream: upstreamNumber(of: fact),
      dialled: dialledNumber(of: fact), host: hostNumber(of: fact))
    if let number = shapes[shape] { return number }
    let number = classes.number(of: traits(of: fact))
    shapes[shape] = number
    return number
  }

  /// Asked only where no address says more.
  private func isNamedGateway(_ fact: Judge.DestinationFact) -> Bool {
    !fact.logsUpstream && index.gateways.isEmpty
      && fact.cluster.registryHost.map(ClusterName.looksLikeGateway) ?? false
  }

  mutating func traits(of fact: Judge.DestinationFact) -> DestinationTraits {
    let cluster = fact.cluster
    let none = index.exceptions.none
    var traits = DestinationTraits(
      cluster: cluster.kind, route: fact.isBlockAll ? .blockAll : .other,
      target: .nothing, declaredExceptions: none, assumedExceptions: none, undeclaredExceptions: none,
      resolvedExceptions: none, isRequestTarget: fact.isRequestTarget)
    let host = Self.member(hostNumber(of: fact), of: hostFacts)
    let upstream = Self.member(upstreamNumber(of: fact), of: upstreamFacts)
    if let facts = upstream {
      traits.target = .address(facts.facts)
      traits.hosts = host?.entries
      if index.exceptions.count > 0 {
        let ports = index.exceptions.ports(fact.upstreamPort != 0 ? fact.upstreamPort : fact.port, fact.provenPort)
        if cluster.kind == .passthrough || cluster.kind == .none {
          traits.undeclaredExceptions = index.exceptions.undeclared(
            name: fact.name.map { exceptionHost($0) }, address: facts.exceptions, ports: ports)
        }
        if cluster.kind != .passthrough {
          traits.declaredExceptions = index.exceptions.declared(
            host: host?.exceptions ?? index.exceptions.host(nil), address: facts.exceptions, ports: ports)
          if mayBeClientsAddress(fact) {
            traits.assumedExceptions = traits.declaredExceptions.intersection(index.exceptions.byHostAlone)
            traits.declaredExceptions = traits.declaredExceptions.subtracting(index.exceptions.byHostAlone)
          }
        }
      }
    } else if fact.hasUpstream {
      traits.target = .name
      traits.hosts = host?.entries
    } else if !fact.logsUpstream {
      traits.target = .notLogged
      traits.hosts = host?.entries
      traits.isNamedGateway = isNamedGateway(fact)
    } else {
      traits.traffic = fact.traffic
    }
    if cluster.kind == .none, index.exceptions.count > 0 {
      traits.resolvedExceptions = index.exceptions.declared(
        host: fact.resolvedName.map { exceptionHost($0) } ?? index.exceptions.host(nil),
        address: upstream?.exceptions ?? none, ports: index.exceptions.ports(fact.port, 0))
    }
    traits.dialled = Self.member(dialledNumber(of: fact), of: dialledFacts)
    if case .address = traits.target {
      // the upstream address decides; DL only helps to tell roles apart, and then its kind is enough
      traits.dialled = traits.dialled.map { self.roleOnly($0) }
    }
    return traits
  }

  /// A ServiceEntry with the resolution NONE sends to the address that the client dialled, and the client's `Host` or SNI chose
  /// the ServiceEntry: both are what it likes. Where proxies look the name up, the two addresses may be the same all the same.
  private func mayBeClientsAddress(_ fact: Judge.DestinationFact) -> Bool {
    guard let host = fact.cluster.registryHost, fact.dialled == nil || fact.dialled == fact.upstream else {
      return false
    }
    return !resolved.contains(host)
  }

  private static func member<Facts>(_ number: Int32, of all: ClassNumbers<Facts>) -> Facts? {
    number < 0 ? nil : all.members[Int(number)]
  }

  private mutating func upstreamNumber(of fact: Judge.DestinationFact) -> Int32 {
    guard let address = fact.upstream else { return -1 }
    let port = fact.upstreamPort
    let guess =
      topology.guessedForwardProxies.isEmpty
      ? nil : topology.guessedForwardProxies[Topology.ProxyPort(address: address, port: port)]
    let isForeignPort = topology.isForeignPort(port, of: address)
    let key = Topology.ProxyPort(address: address, port: guess == nil && !isForeignPort ? 0 : port)
    if let known = upstreams[key] { return known }
    var entries = topology.entries(of: address, index)
    entries.pods = entries.pods.intersection(index.places)
    let mayBeSNIProxy =
      AddressKind(address) == .loopback || !entries.sniProxies.isEmpty
      || topology.guessedSNIProxies[address] != nil
    let mayBeForwardProxy = guess != nil || !entries.forwardProxies.isEmpty || !index.forwardProxies.isEmpty
    let facts = DestinationTraits.Upstream(
      kind: AddressKind(address), isPublicIPv4: address.isIPv4 && AddressKind(address) == .publicUse,
      isMeshByInbound: topology.inboundAddresses.contains(address),
      entries: entries, isMesh: topology.meshAddresses.contains(address),
      isGatewayByRole: topology.declaredGateways.contains(address), isForeignPort: isForeignPort,
      gatewayGuess: topology.guessedGateways[address],
      sniProxyGuess: topology.guessedSNIProxies[address],
      forwardProxyGuess: guess, stranger: strangers[address], gatewayTime: topology.gatewayTimes[address],
      sniProxyTime: mayBeSNIProxy || !index.sniProxies.isEmpty ? topology.sniProxyTime(at: address) : nil,
      forwardProxyTime: mayBeForwardProxy ? topology.forwardProxyTime(at: address) : nil,
      inboundTime: topology.inboundProxies.contains(address) ? topology.inboundTime : nil)
    let number = Int32(
      upstreamFacts.number(of: UpstreamFacts(facts: facts, exceptions: index.exceptions.address(address))))
    if upstreams.count >= DestinationClassifier.mostAddresses { upstreams.removeAll(keepingCapacity: true) }
    upstreams[key] = number
    return number
  }

  private mutating func dialledNumber(of fact: Judge.DestinationFact) -> Int32 {
    guard let address = fact.dialled else { return -1 }
    if let known = dialled[address] { return known }
    var entries = topology.entries(of: address, index)
    entries.pods = entries.pods.intersection(index.places)
    let number = Int32(
      dialledFacts.number(
        of: DestinationTraits.Dialled(
          kind: AddressKind(address), isMesh: topology.meshAddresses.contains(address),
          isGateway: topology.gatewayProxies.contains(address), entries: entries)))
    if dialled.count >= DestinationClassifier.mostAddresses { dialled.removeAll(keepingCapacity: true) }
    dialled[address] = number
    return number
  }

  /// Without the policy's entries, which would multiply the classes: a sent line is not judged by what was dialled.
  private func roleOnly(_ facts: DestinationTraits.Dialled) -> DestinationTraits.Dialled {
    var facts = facts
    facts.entries.internals = EntrySet(of: index.internalRanges.count)
    facts.entries.pods = EntrySet(of: index.pods.count)
    facts.entries.sniProxies = EntrySet(of: index.sniProxies.count)
    facts.entries.forwardProxies = EntrySet(of: index.forwardProxies.count)
    facts.entries.cluster = EntrySet(of: index.evidence.entries.count)
    return facts
  }

  private mutating func hostNumber(of fact: Judge.DestinationFact) -> Int32 {
    guard let host = fact.cluster.registryHost else { return -1 }
    // Without a single pattern all hosts are one.
    let key = index.namesHosts ? host : ""
    if let known = hosts[key] { return known }
    let entries = DestinationTraits.HostEntries(
      internals: index.internalHosts.entries(matching: host), gateways: index.gateways.hosts.entries(matching: host),
      sniProxies: index.sniProxies.hosts.entries(matching: host),
      forwardProxies: index.forwardProxies.hosts.entries(matching: host),
      isGatewayService: index.evidence.gatewayHosts.contains(host),
      isOtherService: index.evidence.otherHosts.contains(host))
    let number = Int32(hostFacts.number(of: HostFacts(entries: entries, exceptions: index.exceptions.host(host))))
    hosts[key] = number
    return number
  }

  private mutating func exceptionHost(_ host: String) -> EntrySet {
    if let known = exceptionHosts[host] { return known }
    let entries = index.exceptions.host(host)
    exceptionHosts[host] = entries
    return entries
  }
}

extension Destination {
  /// The port that reports show is the one that was dialled, or the registry's, and not only the client's word for it. (On loopback
  /// it is a listener of the pod's own that was dialled.)
  var showsPort: Bool {
    guard port != 0 else { return false }
    if let dialled, dialled.port == port, let ip = IPAddress(dialled.ip), AddressKind(ip) != .loopback { return true }
    return ClusterName.registryPort(of: cluster) == port
  }

  /// The name the client gave, if the line has one. Who asks for an address may name what it likes in the TLS inside.
  var loggedName: String? {
    if let authority { return IPAddress(authority) == nil ? authority : nil }
    if let sni, !sni.hasPrefix("outbound_") { return sni }
    guard let host, hostOrigin != .cluster, IPAddress(host) == nil else { return nil }
    return host
  }
}
