internal import Flows

/// Which addresses are the mesh, its gateways and its proxies, as far as the lines themselves show it.
///
/// What an address *did* is evidence: a pod that wrote sidecar lines is in the mesh. What an address or a service is
/// *called*, or which port it has, is a guess; guesses are kept apart, named in a sentence, made only where the policy
/// declares nothing of the kind, and never made for public addresses, so that none can hide traffic that left.
struct Topology: Sendable {
  /// Lines of two hops may carry clocks that differ, and starts and ends that are rounded to seconds.
  static let hopSlackMs: Int64 = 2_000
  /// Guesses that get a sentence of their own; beyond that they share one, so that hostile logs cannot multiply classes.
  static let namedGuesses = 32
  static let sharedGuess = 0

  /// A range of time, inclusive.
  struct Span: Hashable, Sendable {
    var fromMs: Int64
    var untilMs: Int64

    init(widening log: LogSpan) {
      let (from, isBefore) = log.firstMs.subtractingReportingOverflow(Topology.hopSlackMs)
      let (until, isAfter) = log.lastMs.addingReportingOverflow(Topology.hopSlackMs)
      fromMs = isBefore ? .min : from
      untilMs = isAfter ? .max : until
    }
  }

  /// What the lines of one log say about the proxies that wrote it.
  struct LogEvidence: Sendable {
    /// Pods whose sidecars wrote outbound lines into it.
    var sidecars: Set<IPAddress> = []
    var hasGatewayLines = false
    var hasSidecarLines = false
  }

  /// Pods whose sidecar wrote lines: a client that is one of them has a sidecar.
  private(set) var sidecarPods: Set<IPAddress> = []
  /// Addresses that wrote or received lines of a sidecar.
  private(set) var meshAddresses: Set<IPAddress> = []
  /// Addresses of which only a listener for what comes in says that they are in the mesh: what containers or machines in a pod
  /// send may come to that, too.
  private(set) var inboundAddresses: Set<IPAddress> = []
  /// Addresses that wrote gateway lines.
  private(set) var gatewayProxies: Set<IPAddress> = []
  /// Ports of those at which they had connections.
  private(set) var gatewayPorts: [IPAddress: Set<UInt16>] = [:]
  /// Ports of proxies that the policy knows, by what clusters of the registry lead to.
  private var proxyPorts: [IPAddress: Set<UInt16>] = [:]
  /// Those of them whose log was read with the role `gateway`: somebody said so, it is no guess.
  private(set) var declaredGateways: Set<IPAddress> = []
  /// Somebody else than a gateway sent something to a forward proxy.
  private(set) var isForwardProxyReachedBySidecars = false
  /// Addresses behind registry hosts that the policy names, with the entries that name them.
  private(set) var taughtGateways: [IPAddress: EntrySet] = [:]
  private(set) var taughtSNIProxies: [IPAddress: EntrySet] = [:]
  private(set) var taughtForwardProxies: [IPAddress: EntrySet] = [:]
  private(set) var logs: [Int64: LogEvidence] = [:]

  private(set) var guessedGateways: [IPAddress: Int] = [:]
  private(set) var guessedSNIProxies: [IPAddress: Int] = [:]
  private(set) var guessedForwardProxies: [ProxyPort: Int] = [:]
  /// Sentences by guess; the first one stands for all that found no place.
  private(set) var sentences = ["an address is taken for a gateway or a proxy by its lines, name or port"]

  /// More guesses were made than have a sentence.
  var usesSharedGuess: Bool {
    guessedGateways.values.contains(Topology.sharedGuess) || guessedSNIProxies.values.contains(Topology.sharedGuess)
      || guessedForwardProxies.values.contains(Topology.sharedGuess)
  }

  struct ProxyPort: Hashable, Sendable {
    var address: IPAddress
    var port: UInt16
  }

  private(set) var gatewayTimes: [IPAddress: ReadTime] = [:]
  /// Addresses whose server side wrote lines, and the time over which any did: one span for all, so that thousands of pods
  /// stay one class.
  private(set) var inboundProxies: Set<IPAddress> = []
  private(set) var inboundTime: ReadTime?
  /// By the address that the proxy writes of itself; nil for logs that have none.
  private(set) var sniProxySpans: [IPAddress?: [Span]] = [:]
  private(set) var forwardProxySpans: [IPAddress?: [Span]] = [:]
  /// More forward proxies were reached than logs without an address can be of, or more gateways hand on over loopback than logs of
  /// SNI proxies were read: nobody knows whose was read.
  private(set) var hasUnreadForwardProxies = false
  private(set) var hasUnreadSidecars = false

  /// - Parameters:
  ///   - destinations: of lines that proxies wrote.
  ///   - printed: of lines of other containers, which are perhaps a gateway's of somebody's own making.
  init(
    index: PolicyIndex, addresses: AddressReader, sources: [Judge.SourceFact], destinations: [Judge.DestinationFact],
    printed: [Judge.DestinationFact] = [], logs spans: [LogSpan]
  ) {
    learnProxies(destinations, index)
    learn(sources, index, addresses)
    learn(destinations)
    learnPorts(printed)
    guess(destinations, index)
    learnWayToForwardProxies(destinations, index)
    learnSpans(sources, destinations, spans, index, addresses)
  }

  private mutating func learn(_ sources: [Judge.SourceFact], _ index: PolicyIndex, _ addresses: AddressReader) {
    var certified: Set<IPAddress> = []
    // What these are is known once all sidecars are.
    var forwarded: [Judge.SourceFact] = []
    for fact in sources where fact.source.proxy == .envoy {
      let source = fact.source
      if source.isWorkloadsOutput, fact.declaredRole == nil { continue }
      let own = addresses.parse(source.proxyIP)
      switch source.effectiveShape {
      case .outbound, .outboundForwarded:
        guard fact.declaredRole ?? .sidecar == .sidecar else { continue }
        let pod =
          own ?? (source.shape == .outbound && !source.clientIsForwarded ? addresses.parse(source.clientIP) : nil)
        logs[source.log, default: LogEvidence()].hasSidecarLines = true
        guard let pod, AddressKind(pod) != .loopback else { continue }
        sidecarPods.insert(pod)
        learnMesh(pod)
        logs[source.log, default: LogEvidence()].sidecars.insert(pod)
      case .inbound:
        logs[source.log, default: LogEvidence()].hasSidecarLines = true
        if let own { learnInbound(own) }
        // a client of the server side is known to be in the mesh only when its certificate says so
        if source.peer != nil, !source.clientIsForwarded, let client = addresses.parse(source.clientIP),
          AddressKind(client) != .publicUse
        {
          learnMesh(client)
          certified.insert(client)
        }
      case .gateway, .gatewayToLoopback:
        guard fact.declaredRole ?? .gateway == .gateway else { continue }
        // with a loopback upstream, an own address that no pod has is the address somebody dialled through a sidecar
        if source.shape == .gatewayToLoopback, let own, !AddressKind(own).canListen { continue }
        if source.clientIsForwarded { forwarded.append(fact) } else { learnGateway(fact, own) }
      default:
        continue
      }
    }
    for fact in forwarded {
      let own = addresses.parse(fact.source.proxyIP)
      if let own, shape(of: fact, own: own, index) == .outboundForwarded {
        logs[fact.source.log, default: LogEvidence()].hasSidecarLines = true
        logs[fact.source.log, default: LogEvidence()].sidecars.insert(own)
      } else {
        learnGateway(fact, own)
      }
    }
    inboundAddresses.subtract(sidecarPods)
    inboundAddresses.subtract(certified)
    // a workload that calls itself writes lines that look like a gateway's
    gatewayProxies.subtract(sidecarPods)
    declaredGateways.subtract(sidecarPods)
  }

  private mutating func learnGateway(_ fact: Judge.SourceFact, _ own: IPAddress?) {
    logs[fact.source.log, default: LogEvidence()].hasGatewayLines = true
    guard let own, AddressKind(own) != .loopback else { return }
    gatewayProxies.insert(own)
    if fact.declaredRole == .gateway { declaredGateways.insert(own) }
  }

  /// The shape of the source's lines, as far as a single one shows it; but a workload that dials its own address (see `effectiveShape`)
  /// can also forge where it comes from. Where sidecars' lines show the proxy's address to be a pod's, and nobody calls it a
  /// gateway's, that client is no word for one.
  func shape(of fact: Judge.SourceFact, own: IPAddress?, _ index: PolicyIndex) -> HopShape {
    let shape = fact.source.effectiveShape
    guard shape == .gateway, fact.source.clientIsForwarded, [nil, .sidecar, .unknown].contains(fact.declaredRole),
      let own, sidecarPods.contains(own), guessedGateways[own] == nil, taughtGateways[own] == nil,
      index.gateways.addresses.entries(containing: own).isEmpty, !index.evidence.isGatewayAtAnyTime(own)
    else { return shape }
    return .outboundForwarded
  }

  /// A public IPv4 address is never learnt, whatever lines say: a pod that really has one belongs into the policy. IPv6
  /// clusters give their pods global addresses as a rule.
  private mutating func learnMesh(_ address: IPAddress) {
    switch AddressKind(address) {
    case .loopback, .metadata, .special: return
    case .publicUse where address.isIPv4: return
    default: meshAddresses.insert(address)
    }
  }

  private mutating func learnInbound(_ own: IPAddress) {
    if !meshAddresses.contains(own) { inboundAddresses.insert(own) }
    learnMesh(own)
  }

  private mutating func learn(_ destinations: [Judge.DestinationFact]) {
    for fact in destinations {
      if fact.cluster.kind == .inbound, let own = fact.dialled { learnInbound(own) }
      // A workload that dials a gateway by its address has that as both.
      if let own = fact.dialled, own != fact.upstream, gatewayProxies.contains(own) {
        gatewayPorts[own, default: []].insert(fact.dialledPort)
      }
    }
  }

  /// Of gateways of which no proxy's own line tells.
  private mutating func learnPorts(_ printed: [Judge.DestinationFact]) {
    let known = gatewayPorts
    for fact in printed {
      guard let own = fact.dialled, own != fact.upstream, gatewayProxies.contains(own), known[own] == nil else {
        continue
      }
      gatewayPorts[own, default: []].insert(fact.dialledPort)
    }
  }

  /// Which addresses have the names of gateways and proxies that the policy knows by those.
  private mutating func learnProxies(_ destinations: [Judge.DestinationFact], _ index: PolicyIndex) {
    for fact in destinations {
      guard let host = fact.cluster.registryHost, let upstream = fact.upstream,
        ![.publicUse, .loopback].contains(AddressKind(upstream))
      else { continue }
      Topology.teach(&taughtGateways, upstream, host, index, index.gateways)
      Topology.teach(&taughtSNIProxies, upstream, host, index, index.sniProxies)
      Topology.teach(&taughtForwardProxies, upstream, host, index, index.forwardProxies)
      if isProxy(upstream, index) { proxyPorts[upstream, default: []].insert(fact.upstreamPort) }
    }
  }

  private func isProxy(_ address: IPAddress, _ index: PolicyIndex) -> Bool {
    taughtSNIProxies[address] != nil || taughtForwardProxies[address] != nil
      || [index.sniProxies, index.forwardProxies].contains { proxies in
        !proxies.isEmpty && !proxies.addresses.entries(containing: address).isEmpty
      }
  }

  /// A gateway's own lines were read, or the registry has clusters of a proxy, and tell of other ports of its address alone: something
  /// else listens at this one, or nothing does that writes lines. What Istio's agent answers for every proxy is no traffic.
  func isForeignPort(_ port: UInt16, of address: IPAddress) -> Bool {
    guard port != 0, let known = gatewayPorts[address] ?? proxyPorts[address], !known.contains(0) else { return false }
    return !known.contains(port) && !Topology.agentPorts.contains(port)
  }

  /// Merged metrics, health and Envoy's metrics (istio.io/latest/docs/ops/deployment/application-requirements).
  private static let agentPorts: Set<UInt16> = [15020, 15021, 15090]

  private static func teach(
    _ taught: inout [IPAddress: EntrySet], _ upstream: IPAddress, _ host: String, _ index: PolicyIndex,
    _ proxies: ProxyIndex
  ) {
    guard !proxies.isEmpty else { return }
    let entries = proxies.hosts.entries(matching: host).intersection(proxies.withoutAddresses)
    guard !entries.isEmpty, taught[upstream]?.intersection(entries) != entries else { return }
    // Whoever is said to have no sidecar is a workload: one that got the name of a gateway is none.
    let pods = index.pods.entries(containing: upstream)
    guard !index.policy.pods.indices.contains(where: { pods.contains($0) && index.policy.pods[$0].hasSidecar == false })
    else { return }
    taught[upstream] = taught[upstream]?.union(entries) ?? entries
  }

  private mutating func guess(_ destinations: [Judge.DestinationFact], _ index: PolicyIndex) {
    var gateways: [IPAddress: String] = [:]
    var sniProxies: [IPAddress: String] = [:]
    var forwardProxies: [ProxyPort: String] = [:]
    func note<Key>(_ guesses: inout [Key: String], _ key: Key, _ sentence: String) {
      guesses[key] = guesses[key].map { min($0, sentence) } ?? sentence
    }
    for fact in destinations {
      guard let upstream = fact.upstream, ![.publicUse, .loopback, .metadata].contains(AddressKind(upstream)),
        [.outbound, .passthrough, .custom, .none].contains(fact.cluster.kind)
      else { continue }
      let host = fact.cluster.registryHost ?? ""
      if index.gateways.isEmpty, ClusterName.looksLikeGateway(host), !declaredGateways.contains(upstream),
        !index.evidence.isGatewayThroughout(upstream)
      {
        note(&gateways, upstream, "\(upstream) is taken for an egress gateway by the name of its service, \(host)")
      }
      if index.sniProxies.isEmpty, ClusterName.looksLikeSNIProxy(host) {
        note(&sniProxies, upstream, "\(upstream) is taken for an SNI proxy by the name of its service, \(host)")
      }
      guard index.forwardProxies.isEmpty else { continue }
      let proxyPort = ProxyPort(address: upstream, port: fact.upstreamPort)
      // Made only where it is needed: there may be hundreds of thousands of destinations.
      var place: String { "\(upstream) port \(fact.upstreamPort) is taken for a forward proxy" }
      if fact.upstreamPort == 3128 {
        note(&forwardProxies, proxyPort, "\(place) by its port")
      } else if [8080, 8888].contains(fact.upstreamPort), ClusterName.looksLikeForwardProxy(host),
        !isMesh(upstream, index)
      {
        // many services of a mesh have "proxy" in their name and listen on 8080
        note(&forwardProxies, proxyPort, "\(place) by its port and the name of its service, \(host)")
      }
    }
    if index.gateways.isEmpty {
      for address in gatewayProxies
      where !declaredGateways.contains(address) && !index.evidence.isGatewayThroughout(address)
        && !(address.isIPv4 && AddressKind(address) == .publicUse)
      {
        gateways[address] = "\(address) is taken for an egress gateway because it wrote lines as one"
      }
    }
    guessedGateways = name(gateways)
    guessedSNIProxies = name(sniProxies)
    guessedForwardProxies = name(forwardProxies)
  }

  private func isMesh(_ address: IPAddress, _ index: PolicyIndex) -> Bool {
    meshAddresses.contains(address) || !index.internalRanges.entries(containing: address).isEmpty
      || !index.pods.entries(containing: address).isEmpty
  }

  /// Gives the first sentences, by their text, a number each, and the rest the shared one.
  private mutating func name<Key>(_ guesses: [Key: String]) -> [Key: Int] {
    var result: [Key: Int] = [:]
    for (place, guess) in guesses.sorted(by: { $0.value < $1.value }).enumerated() {
      if place < Topology.namedGuesses {
        result[guess.key] = sentences.count
        sentences.append(guess.value)
      } else {
        result[guess.key] = Topology.sharedGuess
      }
    }
    return result
  }

  /// A gateway's line shows the gateway's own address as the one that was dialled.
  private mutating func learnWayToForwardProxies(_ destinations: [Judge.DestinationFact], _ index: PolicyIndex) {
    if guessedForwardProxies.isEmpty && taughtForwardProxies.isEmpty && index.forwardProxies.isEmpty { return }
    isForwardProxyReachedBySidecars = destinations.contains { fact in
      guard let dialled = fact.dialled, !gatewayProxies.contains(dialled) else { return false }
      return leadsToForwardProxy(fact, index)
    }
  }

  private func leadsToForwardProxy(_ fact: Judge.DestinationFact, _ index: PolicyIndex) -> Bool {
    guard let upstream = fact.upstream else { return false }
    let host = fact.cluster.registryHost
    return guessedForwardProxies[ProxyPort(address: upstream, port: fact.upstreamPort)] != nil
      || taughtForwardProxies[upstream] != nil
      || !index.forwardProxies.addresses.entries(containing: upstream).isEmpty
      || host.map({ !index.forwardProxies.hosts.entries(matching: $0).isEmpty }) ?? false
  }

  /// Addresses of forward proxies that lines lead to, and of which no log tells its own.
  private func reachedForwardProxies(_ destinations: [Judge.DestinationFact], _ index: PolicyIndex) -> Int {
    var seen: Set<IPAddress> = []
    var reached = 0
    for fact in destinations {
      guard let upstream = fact.upstream, forwardProxySpans[upstream] == nil, seen.insert(upstream).inserted,
        leadsToForwardProxy(fact, index)
      else { continue }
      reached += 1
    }
    return reached
  }

  private mutating func learnSpans(
    _ sources: [Judge.SourceFact], _ destinations: [Judge.DestinationFact], _ spans: [LogSpan], _ index: PolicyIndex,
    _ addresses: AddressReader
  ) {
    let byLog = Dictionary(
      spans.filter { $0.firstMs <= $0.lastMs }.map {
        ($0.log, Span(widening: $0))
      }, uniquingKeysWith: { first, _ in first })
    var gateways: [IPAddress: Set<Span>] = [:]
    // By lines of other containers than proxies', which count where no proxy's own do.
    var printed: [IPAddress: Set<Span>] = [:]
    var inbound: Set<Span> = []
    // A log has many sources.
    var (sniProxies, forwardProxies): ([IPAddress?: [Int64: Span]], [IPAddress?: [Int64: Span]]) = ([:], [:])
    var loopbackGateways: [IPAddress: Set<Span>] = [:]
    for fact in sources {
      guard let span = byLog[fact.source.log] else { continue }
      let own = addresses.parse(fact.source.proxyIP)
      switch fact.source.proxy {
      case .envoy:
        if fact.source.isWorkloadsOutput, fact.declaredRole == nil { continue }
        if let own, fact.source.effectiveShape == .inbound {
          inboundProxies.insert(own)
          inbound.insert(span)
          continue
        }
        guard let own, gatewayProxies.contains(own),
          [.gateway, .gatewayToLoopback].contains(fact.source.effectiveShape)
        else { continue }
        if Source.isWorkload(container: fact.source.container), fact.declaredRole != .gateway {
          printed[own, default: []].insert(span)
        } else {
          gateways[own, default: []].insert(span)
        }
        if fact.source.effectiveShape == .gatewayToLoopback { loopbackGateways[own, default: []].insert(span) }
      case .nginxStream where fact.declaredRole ?? .sniProxy == .sniProxy:
        sniProxies[own.flatMap { AddressKind($0) == .loopback ? nil : $0 }, default: [:]][fact.source.log] = span
      // What stands beside the access log does not show that that was read.
      case .squid where fact.source.shape != .sideLog && (fact.declaredRole ?? .forwardProxy) == .forwardProxy:
        forwardProxies[own.flatMap { AddressKind($0) == .loopback ? nil : $0 }, default: [:]][fact.source.log] = span
      default:
        continue
      }
    }
    gatewayTimes = gateways.merging(printed) { own, _ in own }.compactMapValues { ReadTime($0) }
    inboundTime = ReadTime(inbound)
    sniProxySpans = sniProxies.mapValues { Array($0.values) }
    forwardProxySpans = forwardProxies.mapValues { Array($0.values) }
    if let nameless = forwardProxySpans[nil] {
      hasUnreadForwardProxies = ReadTime.depth(nameless) < reachedForwardProxies(destinations, index)
    }
    hasUnreadSidecars =
      !sniProxySpans.isEmpty
      && ReadTime.depth(sniProxySpans.values.flatMap(\.self))
        < ReadTime.depth(loopbackGateways.values.compactMap { ReadTime($0)?.span })
  }

  /// When the log of the SNI proxy at an address was read: of logs that know their address it must be that one, a log that does not
  /// know it may be any. A loopback address may be any proxy in the same pod.
  func sniProxyTime(at address: IPAddress) -> ReadTime? {
    if AddressKind(address) == .loopback {
      return hasUnreadSidecars ? nil : ReadTime(sniProxySpans.values.flatMap(\.self))
    }
    return ReadTime((sniProxySpans[address] ?? []) + (sniProxySpans[nil] ?? []))
  }

  func forwardProxyTime(at address: IPAddress) -> ReadTime? {
    let any = hasUnreadForwardProxies && AddressKind(address) != .loopback ? [] : forwardProxySpans[nil] ?? []
    return ReadTime((forwardProxySpans[address] ?? []) + any)
  }
}
