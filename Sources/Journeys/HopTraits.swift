public import Flows

/// What joining needs of the sources, destinations and outcomes of a store, by row id, with texts as numbers.
public struct HopTraits: Sendable {
  /// Flags side by side, and digests apart: those who look at every hop need many of these in the processor's cache.
  struct SourceTraits {
    /// What a line of this source can be in a join.
    var dialsOut = false
    var receives = false
    /// A gateway wrote the line: the hop before an SNI proxy that proves its client.
    var isGateway = false
    /// The line names no upstream: an attempt that failed, or a request that was refused.
    var isUnsent = false
    /// A sidecar wrote the line, and it shows whose.
    var isSidecar = false
    /// Of these lines it is noted when the first and the last of them ended.
    var hasNotedEnds = false
    var isClientForwarded = false
    var isClientLoopback = false
    /// Some source of the store was reached from where this one dials out; and the other way round.
    var hasLater = false
    var hasEarlier = false
    var proxy = ProxyKind.envoy
    /// The address dialled out from (UL); 0 when unknown.
    var local: Int32 = 0
    var client: Int32 = 0
    /// The proxy's own address; 0 when not logged.
    var own: Int32 = 0
    var pod: Int32 = 0
    var log: Int64 = 0
    /// A gateway, an SNI proxy or a forward proxy wrote the line, and it shows who connected.
    var isAtProxy: Bool {
      receives && client != 0 && !isClientForwarded && (isGateway || proxy != .envoy)
    }
  }

  /// 24 bytes: a large store has tens of thousands, and most pairs look at two.
  struct DestinationTraits {
    var authority: Int32 = 0
    var sni: Int32 = 0
    var upstream: Int32 = 0
    var dialled: Int32 = 0
    var upstreamPort: UInt16 = 0
    var dialledPort: UInt16 = 0
    var kind: DestinationKind = []
    var isHTTP: Bool { kind.contains(.isHTTP) }
    var isUpstreamLoopback: Bool { kind.contains(.isUpstreamLoopback) }
  }

  /// What can be said in a bit; the kinds of all destinations lie side by side, too, for those who ask of every hop.
  struct DestinationKind: OptionSet {
    let rawValue: UInt8
    static let isHTTP = DestinationKind(rawValue: 1)
    static let hasUpstream = DestinationKind(rawValue: 2)
    static let isUpstreamLoopback = DestinationKind(rawValue: 4)
    /// The proxy ended TLS for a name outside of the mesh: the hop before saw a connection, not its requests.
    static let hasForeignSNI = DestinationKind(rawValue: 8)
    /// A copy that a mesh's proxy made of a request (Envoy's `request_mirror_policies`).
    static let isShadow = DestinationKind(rawValue: 16)
    /// An upstream of the registry was reached.
    static let isDeclared = DestinationKind(rawValue: 32)
  }

  struct OutcomeTraits {
    /// No second view of a flow that another line tells of, and no line of doubtful columns.
    var isHop = false
    var method: Int32 = 0
    var status: Int32 = -1
    /// The proxy says that something went wrong: then bytes may differ between two hops.
    var isFlagged = false
    var isConnect = false
  }

  private(set) var sources: [SourceTraits] = []
  private(set) var destinations: [DestinationTraits] = []
  private(set) var destinationKinds: [DestinationKind] = []
  /// The host of the cluster that the mesh declares, 0 for none: apart, for few ask, and only where a Squid wrote lines.
  private(set) var clusterHosts: [Int32] = []
  private(set) var outcomes: [OutcomeTraits] = []
  /// By row id: hashes of what sources and destinations are, the same in every store.
  private(set) var sourceDigests: [UInt64] = []
  private(set) var destinationDigests: [UInt64] = []
  /// By row id: flows of this source, and of this outcome, may have another hop. All others join nothing, unseen.
  public private(set) var joinableSources: [Bool] = []
  public private(set) var joinableOutcomes: [Bool] = []
  private var numbers: [String: Int32] = [:]
  private var hasProxies = false

  /// - Parameter secondViews: outcomes whose lines are second views of a flow; they join nothing.
  public init(
    sources: some Collection<(id: Int64, source: Source)>, destinations: [(id: Int64, destination: Destination)],
    outcomes: [(id: Int64, outcome: Outcome)], secondViews: Set<Int64> = []
  ) {
    // Row ids count from 1, so arrays by id are dense; what pruning has removed stays at its default and joins nothing.
    self.sources = Array(repeating: SourceTraits(), count: Int(sources.lazy.map(\.id).max() ?? 0) + 1)
    self.destinations = Array(repeating: DestinationTraits(), count: Int(destinations.lazy.map(\.id).max() ?? 0) + 1)
    self.outcomes = Array(repeating: OutcomeTraits(), count: Int(outcomes.map(\.id).max() ?? 0) + 1)
    sourceDigests = Array(repeating: 0, count: self.sources.count)
    destinationDigests = Array(repeating: 0, count: self.destinations.count)
    // By index, here and below: elements in a row would be copied, with all their texts.
    for place in destinations.indices {
      destinationDigests[Int(destinations[place].id)] = HopTraits.digest(of: destinations[place].destination)
    }
    for (id, source) in sources { sourceDigests[Int(id)] = HopTraits.digest(of: source) }
    // A gateway that feeds a proxy in its own pod dials from a loopback address that its source does not hold.
    for place in destinations.indices {
      self.destinations[Int(destinations[place].id)] = traits(of: destinations[place].destination)
    }
    destinationKinds = self.destinations.map(\.kind)
    for (id, source) in sources { self.sources[Int(id)] = traits(of: source) }
    clusterHosts = Array(repeating: 0, count: self.destinations.count)
    if self.sources.contains(where: { $0.proxy == .squid && $0.own == 0 }) {
      for (id, destination) in destinations {
        clusterHosts[Int(id)] = number(HopTraits.host(ofCluster: destination.cluster))
      }
    }
    for (id, outcome) in outcomes {
      // Columns that can be read in more than one way prove nothing about another line.
      let isClear = !outcome.warnings.contains(.ambiguousColumns)
      self.outcomes[Int(id)] = traits(of: outcome, isHop: isClear && !secondViews.contains(id))
    }
    excludeLonely()
  }

  /// The same as to have been made with these second views.
  public mutating func leaveOut(_ secondViews: Set<Int64>) {
    for id in secondViews where outcomes.indices.contains(Int(id)) {
      outcomes[Int(id)].isHop = false
      joinableOutcomes[Int(id)] = false
    }
  }

  /// All that joins needs one address at both ends: where the earlier hop dials out, the later one has its client.
  private mutating func excludeLonely() {
    let loopbacks = Set(destinations.lazy.filter(\.isUpstreamLoopback).map(\.upstream))
    let clients = Set(sources.lazy.filter { $0.receives && $0.client != 0 }.map(\.client))
    let locals = loopbacks.union(sources.lazy.filter { $0.dialsOut && $0.local != 0 }.map(\.local))
    let hasLoopback = !loopbacks.isDisjoint(with: clients)
    for index in sources.indices {
      let source = sources[index]
      sources[index].hasLater = source.dialsOut && (source.local == 0 ? hasLoopback : clients.contains(source.local))
      // That no line of the client's sidecar stands before a proxy's is to be said whoever the client is: its log may be
      // read later.
      sources[index].hasEarlier =
        source.receives && source.client != 0 && (locals.contains(source.client) || source.isAtProxy)
    }
    // Of every sidecar it is noted how far its log was read.
    joinableSources = sources.map { $0.hasLater || $0.hasEarlier || $0.hasNotedEnds }
    joinableOutcomes = outcomes.map(\.isHop)
    hasProxies = sources.contains { $0.hasEarlier && !Meetings.tellOf($0) }
  }

  /// The same for those who look at every hop, who check the ids of each first.
  struct Tables {
    let sources: UnsafeBufferPointer<SourceTraits>
    let destinations: UnsafeBufferPointer<DestinationTraits>
    let destinationKinds: UnsafeBufferPointer<DestinationKind>
    let clusterHosts: UnsafeBufferPointer<Int32>
    let outcomes: UnsafeBufferPointer<OutcomeTraits>
    /// How many texts have numbers, from 1 on.
    let numberCount: Int
    /// Some source may have an earlier hop and is no sidecar's.
    let hasProxies: Bool

    @inline(__always) func hold(_ hop: Hop) -> Bool {
      hop.source >= 0 && Int(hop.source) < sources.count && hop.destination >= 0
        && Int(hop.destination) < destinations.count && hop.outcome >= 0 && Int(hop.outcome) < outcomes.count
    }

    /// The source of a hop that may have another; nil for one that joins nothing.
    @inline(__always) func source(of hop: Hop) -> UnsafePointer<SourceTraits>? {
      hold(hop) && outcomes[Int(hop.outcome)].isHop ? sources.baseAddress! + Int(hop.source) : nil
    }

    /// The address a hop dialled out from; 0 when unknown.
    @inline(__always) func local(_ hop: Hop) -> Int32 {
      let local = sources[Int(hop.source)].local
      if local != 0 { return local }
      let destination = destinations[Int(hop.destination)]
      return destination.isUpstreamLoopback ? destination.upstream : 0
    }
  }

  /// Valid while `body` runs.
  func withTables<Result>(_ body: (Tables) -> Result) -> Result {
    sources.withUnsafeBufferPointer { sources in
      destinations.withUnsafeBufferPointer { destinations in
        destinationKinds.withUnsafeBufferPointer { destinationKinds in
          clusterHosts.withUnsafeBufferPointer { clusterHosts in
            outcomes.withUnsafeBufferPointer { outcomes in
              body(
                Tables(
                  sources: sources, destinations: destinations, destinationKinds: destinationKinds,
                  clusterHosts: clusterHosts, outcomes: outcomes, numberCount: numbers.count, hasProxies: hasProxies))
            }
          }
        }
      }
    }
  }

  /// The client is in the pod of the proxy that wrote the line.
  func isLoopback(_ hop: Hop) -> Bool { sources[Int(hop.source)].isClientLoopback }

  /// The texts of these numbers, where something is to be shown.
  func texts(of wanted: Set<Int32>) -> [Int32: String] {
    guard !wanted.isEmpty else { return [:] }
    return Dictionary(uniqueKeysWithValues: numbers.lazy.filter { wanted.contains($1) }.map { ($1, $0) })
  }

  private mutating func number(_ text: String?) -> Int32 {
    guard let text, !text.isEmpty else { return 0 }
    if let number = numbers[text] { return number }
    let number = Int32(numbers.count + 1)
    numbers[text] = number
    return number
  }

  private mutating func traits(of source: Source) -> SourceTraits {
    var traits = SourceTraits()
    traits.proxy = source.proxy
    let shape = source.effectiveShape
    switch shape {
    case .outbound, .outboundForwarded:
      traits.dialsOut = true
    case .gateway, .gatewayToLoopback, .other:
      traits.dialsOut = true
      traits.receives = true
      traits.isGateway = shape != .other
    case .inbound, .notSent, .server:
      traits.receives = true
    case .waypoint, .internalListener, .unaddressed, .sideLog:
      break
    }
    if source.isWorkloadsOutput { (traits.dialsOut, traits.receives) = (false, false) }
    traits.isUnsent = shape == .notSent && !source.isWorkloadsOutput
    traits.isSidecar =
      source.proxyIP != nil && [.outbound, .outboundForwarded, .inbound].contains(shape)
      && !source.isWorkloadsOutput
    // Squid writes this of a connection that it did not get.
    traits.own = ["0.0.0.0", "::"].contains(source.proxyIP) ? 0 : number(source.proxyIP)
    // Loopback: told by the destination, see `Tables.local(_:)`.
    traits.local = shape == .gatewayToLoopback ? 0 : traits.own
    traits.client = number(source.clientIP)
    traits.isClientForwarded = source.clientIsForwarded
    traits.isClientLoopback =
      !source.clientIsForwarded && source.clientIP.map { $0.hasPrefix("127.") || $0 == "::1" } ?? false
    // What was never sent is a line too, and who came to a proxy was there.
    traits.hasNotedEnds = traits.isSidecar || (traits.isUnsent && traits.client != 0) || traits.isAtProxy
    traits.pod = number(source.pod.map { "\(source.namespace ?? "")/\($0)" })
    traits.log = source.log
    return traits
  }

  private static func digest(of source: Source) -> UInt64 {
    var digest = Mixer()
    digest.add(source.proxy.rawValue)
    digest.add(source.shape.rawValue)
    for text in [source.clientIP, source.proxyIP, source.namespace, source.pod, source.container] { digest.add(text) }
    return digest.value
  }

  private mutating func traits(of destination: Destination) -> DestinationTraits {
    var traits = DestinationTraits()
    traits.authority = number(destination.authority)
    traits.sni = number(destination.sni)
    traits.upstream = number(destination.upstream?.ip)
    traits.upstreamPort = destination.upstream?.port ?? 0
    // Mostly the same: proxies pass on what was dialled.
    traits.dialled =
      destination.dialled?.ip == destination.upstream?.ip ? traits.upstream : number(destination.dialled?.ip)
    traits.dialledPort = destination.dialled?.port ?? 0
    func note(_ kind: DestinationKind, _ holds: Bool?) { if holds ?? false { traits.kind.insert(kind) } }
    note(.isHTTP, destination.traffic == .http)
    note(.hasUpstream, traits.upstream != 0)
    note(.isUpstreamLoopback, destination.upstream.map { $0.ip.hasPrefix("127.") || $0.ip == "::1" })
    note(.hasForeignSNI, destination.sni.map { !$0.hasPrefix("outbound_") })
    note(.isShadow, destination.authority?.hasSuffix("-shadow"))
    note(.isDeclared, destination.upstream != nil && destination.cluster?.hasPrefix("outbound|") ?? false)
    return traits
  }

  private static func host(ofCluster cluster: String?) -> String? {
    guard let cluster, cluster.hasPrefix("outbound|"), let bar = cluster.lastIndex(of: "|") else { return nil }
    return String(cluster[cluster.index(after: bar)...])
  }

  private static func digest(of destination: Destination) -> UInt64 {
    var digest = Mixer()
    digest.add(destination.traffic.rawValue)
    for text in [destination.authority, destination.sni, destination.cluster, destination.host] { digest.add(text) }
    for endpoint in [destination.upstream, destination.dialled] {
      digest.add(endpoint?.ip)
      digest.add(UInt64(endpoint?.port ?? 0))
    }
    return digest.value
  }

  private mutating func traits(of outcome: Outcome, isHop: Bool) -> OutcomeTraits {
    OutcomeTraits(
      isHop: isHop, method: number(outcome.method), status: Int32(clamping: outcome.status ?? -1),
      isFlagged: outcome.flags != nil, isConnect: outcome.method == "CONNECT")
  }
}

/// A 64-bit hash that is the same in every run: multiply and fold, word by word.
struct Mixer {
  private(set) var value: UInt64 = 0x9E37_79B9_7F4A_7C15

  @inline(__always) mutating func add(_ word: UInt64) {
    let product = (value ^ word).multipliedFullWidth(by: 0xA076_1D64_78BD_642F)
    value = (product.high ^ product.low) &+ 0xE703_7ED1_A0B4_28DB
  }

  @inline(__always) mutating func add(_ word: Int64) { add(UInt64(bitPattern: word)) }
  @inline(__always) mutating func add(_ number: Int32) { add(UInt64(UInt32(bitPattern: number))) }

  mutating func add(_ text: String?) {
    guard var text else {
      add(UInt64.max)
      return
    }
    text.withUTF8 { bytes in
      let whole = bytes.count & ~7
      for place in stride(from: 0, to: whole, by: 8) {
        add(UInt64(bigEndian: UnsafeRawBufferPointer(bytes).loadUnaligned(fromByteOffset: place, as: UInt64.self)))
      }
      add(bytes[whole...].reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
      add(UInt64(bytes.count))
    }
  }
}
