internal import Flows

/// All that a verdict needs to know of a source. Sources with equal traits share a class; what a shape of line does not
/// need is left at its default, so that a thousand pods make a handful of classes.
struct SourceTraits: Hashable, Sendable {
  /// Who connected to a gateway or a proxy.
  struct Client: Hashable, Sendable {
    var kind: AddressKind?
    /// A sidecar wrote lines for this address.
    var hasSidecarLines = false
    /// The address wrote gateway lines.
    var wroteGatewayLines = false
    /// Its log was read with the role gateway.
    var isGatewayByRole = false
    /// By its lines, name or port the address may be a gateway or a proxy.
    var isGuessedProxy = false
    /// The client's certificate names a workload.
    var hasIdentity = false
    /// A sidecar wrote outbound lines for this address into this very log.
    var isSidecarOfLog = false
    var entries: AddressEntries
  }

  /// What kinds of lines the log holds, for lines that do not show their role.
  struct Log: Hashable, Sendable {
    var hasGatewayLines = false
    var hasSidecarLines = false
  }

  var proxy: ProxyKind
  var shape: HopShape
  var declaredRole: Role?
  var client: Client?
  /// The proxy's own address, where it may be a gateway's.
  var own: Own?
  var log = Log()
  /// Exceptions whose `source` this is.
  var exceptions: EntrySet

  struct Own: Hashable, Sendable {
    var kind: AddressKind
    var gateways: EntrySet
    var forwardProxies: EntrySet
    var sniProxies: EntrySet
    /// Number of the guess by which it is a gateway.
    var guess: Int?
    var isMesh = false
    var cluster: EntrySet
  }
}

/// The entries of each list of the policy that an address matches, by its number or by what lines taught of it.
struct AddressEntries: Hashable, Sendable {
  var internals: EntrySet
  var pods: EntrySet
  var gateways: EntrySet
  var sniProxies: EntrySet
  var forwardProxies: EntrySet
  /// Entries of the imported topology.
  var cluster: EntrySet
}

extension AddressKind {
  /// Something in the cluster can listen here. Public addresses and those that Istio invents for ServiceEntries are dialled.
  var canListen: Bool { self != .publicUse && self != .reserved }
}

extension Topology {
  func entries(of address: IPAddress, _ index: PolicyIndex) -> AddressEntries {
    func all(_ proxies: ProxyIndex, _ taught: [IPAddress: EntrySet]) -> EntrySet {
      let named = proxies.addresses.entries(containing: address)
      return taught[address].map { $0.union(named) } ?? named
    }
    return AddressEntries(
      internals: index.internalRanges.entries(containing: address), pods: index.pods.entries(containing: address),
      gateways: all(index.gateways, taughtGateways), sniProxies: all(index.sniProxies, taughtSNIProxies),
      forwardProxies: all(index.forwardProxies, taughtForwardProxies), cluster: index.evidence.entries(of: address))
  }

  func traits(of fact: Judge.SourceFact, _ index: PolicyIndex, _ addresses: AddressReader) -> SourceTraits {
    let source = fact.source
    let own = addresses.parse(source.proxyIP)
    let shape = shape(of: fact, own: own, index)
    let sends = [.outbound, .outboundForwarded].contains(shape)
    // an address taken from a header is whatever the client wrote
    let connected = source.clientIsForwarded ? nil : addresses.parse(source.clientIP)
    let pod = sends ? own ?? connected : connected
    var traits = SourceTraits(
      proxy: source.proxy, shape: shape, declaredRole: fact.declaredRole,
      exceptions: index.exceptions.source(pod))
    if shape == .inbound || (sends && fact.declaredRole ?? .sidecar == .sidecar) { return traits }

    let evidence = logs[source.log]
    traits.client = client(connected, of: source, evidence, index)
    if source.proxy == .envoy, ![.gateway, .gatewayToLoopback].contains(shape) {
      traits.log = SourceTraits.Log(
        hasGatewayLines: evidence?.hasGatewayLines ?? false, hasSidecarLines: evidence?.hasSidecarLines ?? false)
    }
    traits.own = own.map { own in
      let entries = entries(of: own, index)
      return SourceTraits.Own(
        kind: AddressKind(own), gateways: entries.gateways, forwardProxies: entries.forwardProxies,
        sniProxies: entries.sniProxies, guess: guessedGateways[own], isMesh: sidecarPods.contains(own),
        cluster: entries.cluster)
    }
    return traits
  }

  private func client(
    _ address: IPAddress?, of source: Source, _ evidence: LogEvidence?, _ index: PolicyIndex
  ) -> SourceTraits.Client? {
    guard let address else { return nil }
    return SourceTraits.Client(
      kind: AddressKind(address), hasSidecarLines: sidecarPods.contains(address),
      wroteGatewayLines: gatewayProxies.contains(address),
      isGatewayByRole: declaredGateways.contains(address), isGuessedProxy: isGuessedProxy(address),
      hasIdentity: source.peer != nil,
      isSidecarOfLog: source.shape == .notSent && evidence?.sidecars.contains(address) ?? false,
      entries: clientEntries(of: address, index))
  }

  /// Of a client's pods only counts what is said of them: two that differ in name alone are one class.
  private func clientEntries(of address: IPAddress, _ index: PolicyIndex) -> AddressEntries {
    var entries = entries(of: address, index)
    let pods = entries.pods.members
    if pods.count == 1, index.podLikeness[pods[0]] != pods[0] {
      entries.pods = EntrySet(of: index.pods.count)
      entries.pods.insert(index.podLikeness[pods[0]])
    }
    return entries
  }

  private func isGuessedProxy(_ address: IPAddress) -> Bool {
    guessedGateways[address] != nil || guessedSNIProxies[address] != nil
      || guessedForwardProxies.keys.contains { $0.address == address }
  }
}
