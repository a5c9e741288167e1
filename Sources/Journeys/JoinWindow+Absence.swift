internal import Flows

/// Later hops without an earlier one: whether a line of the client's own sidecar could be it after all.
///
/// A flow that no sidecar's line accounts for is about to be called a bypass, so every line that might account for it is
/// a doubt, also one that the rules of joining refuse: an ambiguous one, one with other bytes, one to another address.
struct Absence {
  /// Hops that a proxy received and that were joined with no earlier hop, by their place in the window's `hops`, which a
  /// line of the client may account for.
  private var isDoubtful: [Bool]
  /// Those of them that came over a connection which the client's own sidecar logged, whichever of its lines they belong to:
  /// while it lives, nobody else in the pod can have its addresses and ports.
  private var isOnKnownConnection: [Bool]
  /// Requests that were joined with no earlier hop, by the client's address and port.
  private var requests = KeyIndex([])
  /// Lines of sidecars that were joined with no later hop, by address and port: those that one of the requests may ask for.
  private var openLines: [UInt64: [Dialling]] = [:]
  /// Lines of sidecars that were joined with their next hop, by address: what a client reaches where. Asked for by lines that
  /// name no port; empty where there are none.
  private var reached: [Int32: [Dialling]] = [:]

  /// When something began, and at which end of a proxy.
  private struct Dialling {
    var startedAtMs: Int64
    /// The address and port that were dialled.
    var endpoint: UInt64
    /// The log of the hop that was reached, and the proxy that wrote it; 0 for none. A proxy can have more than one log, and
    /// two proxies that log no address of their own are not told apart.
    var log: Int64 = 0
    var proxy: ProxyKind?
    var own: Int32 = 0
  }

  private let window: JoinWindow
  /// Without the port, a proxy's line is held against all of the client's connections.
  private var byKey: KeyIndex
  private var clients: [Bool]

  init(_ window: JoinWindow) {
    self.window = window
    isDoubtful = Array(repeating: false, count: window.hops.count)
    isOnKnownConnection = isDoubtful
    clients = []
    let lone = window.ins.map(\.hop).filter {
      (window.earlier[Int($0)] < 0 || window.marks[Int($0)].contains(.isClaimed))
        && Absence.isAtProxy(window.hops[Int($0)], window)
    }
    byKey = KeyIndex([])
    guard !lone.isEmpty else { return }
    let hasLines = Absence.addressesWithLines(window)
    var entries: [KeyIndex.Entry] = []
    var requests: [KeyIndex.Entry] = []
    var connections = KeyFilter(count: lone.count)
    var asksWhatIsReached = false
    clients = Array(repeating: false, count: Int(lone.map { window.source(window.hops[Int($0)]).client }.max()!) + 1)
    for index in lone {
      let hop = window.hops[Int(index)]
      clients[Int(window.source(hop).client)] = true
      isDoubtful[Int(index)] = Absence.cannotTell(hop, window)
      let client = window.source(hop).client
      if hop.sourcePort == 0 {
        asksWhatIsReached = true
      } else {
        let key = Absence.key(1, client, UInt64(hop.sourcePort))
        connections.add(key)
        if window.destination(hop).isHTTP { requests.append(KeyIndex.Entry(key: key, hop: index)) }
      }
      // Nothing will be held against what comes from where no line tells of.
      guard client > 0, Int(client) < hasLines.count, hasLines[Int(client)] else { continue }
      Absence.forEachKey(of: hop, client, window) { entries.append(KeyIndex.Entry(key: $0, hop: index)) }
    }
    self.requests = KeyIndex(requests)
    byKey = KeyIndex(entries)
    guard !entries.isEmpty else { return }
    for out in window.outs {
      let (index, address) = (out.hop, out.address)
      let hop = window.hops[Int(index)]
      guard address > 0, Int(address) < clients.count, clients[Int(address)] else { continue }
      let later = window.later[Int(index)]
      if later >= 0 && !asksWhatIsReached { continue }
      var dialling = Dialling(startedAtMs: hop.startedAtMs, endpoint: Absence.upstream(hop, window))
      if later >= 0 {
        guard !window.marks[Int(later)].contains(.isClaimed) else { continue }
        let source = window.source(window.hops[Int(later)])
        (dialling.log, dialling.proxy, dialling.own) = (source.log, source.proxy, source.own)
        reached[address, default: []].append(dialling)
      } else if case let key = Absence.key(1, address, UInt64(hop.localPort)), connections.mayHold(key) {
        openLines[key, default: []].append(dialling)
      }
    }
    for out in window.outs { weigh(out.hop, out.address) }
    // The last attempt of a request can have failed before it had a connection: its line stands for earlier ones.
    for end in window.ins where window.source(window.hops[Int(end.hop)]).isUnsent { weigh(end.hop, end.address) }
  }

  /// No proxy's line waits for an earlier hop.
  var isEmpty: Bool { clients.isEmpty }

  /// The addresses whose own lines may account for something.
  private static func addressesWithLines(_ window: JoinWindow) -> [Bool] {
    var hasLines: [Bool] = []
    func note(_ address: Int32) {
      guard address > 0 else { return }
      if Int(address) >= hasLines.count {
        hasLines += repeatElement(false, count: Int(address) + 1 - hasLines.count)
      }
      hasLines[Int(address)] = true
    }
    for out in window.outs { note(out.address) }
    for end in window.ins where window.source(window.hops[Int(end.hop)]).isUnsent { note(end.address) }
    return hasLines
  }

  /// No line that was read could be the hop before.
  ///
  /// Of several requests on one connection that cannot be said: to a sidecar that does not know the protocol they are one
  /// connection, and of that it writes nothing before it ends.
  func isUnaccounted(_ index: Int) -> Bool {
    let hop = window.hops[index]
    guard window.earlier[index] < 0, Absence.isAtProxy(hop, window), !isDoubtful[index] else { return false }
    let endpoint = Absence.dialled(hop, window)
    return countRequests(near: hop, within: JoinLimits.absenceReachMs) { Absence.dialled($0, window) == endpoint } < 2
  }

  /// Requests from the client's address and port that wait for an earlier hop as `hop` does.
  private func countRequests(near hop: Hop, within reachMs: Int64, where holds: (Hop) -> Bool = { _ in true }) -> Int {
    let key = Absence.key(1, window.source(hop).client, UInt64(hop.sourcePort))
    var count = 0
    requests.ask { requests in
      requests.forEach(from: requests.chain(of: key)) { index in
        let other = window.hops[Int(index)]
        if abs(other.startedAtMs &- hop.startedAtMs) <= reachMs, holds(other) { count += 1 }
      }
    }
    return count
  }

  private static func dialled(_ hop: Hop, _ window: JoinWindow) -> UInt64 {
    let destination = window.destination(hop)
    return UInt64(UInt32(bitPattern: destination.dialled)) << 16 | UInt64(destination.dialledPort)
  }

  private static func upstream(_ hop: Hop, _ window: JoinWindow) -> UInt64 {
    let destination = window.destination(hop)
    return UInt64(UInt32(bitPattern: destination.upstream)) << 16 | UInt64(destination.upstreamPort)
  }

  /// Joined with no earlier hop, and yet the connection shows that the client's sidecar sent it.
  func isFromSidecar(_ index: Int) -> Bool { isOnKnownConnection[index] }

  private static func isAtProxy(_ hop: Hop, _ window: JoinWindow) -> Bool {
    window.traits.outcomes[Int(hop.outcome)].isHop && window.source(hop).isAtProxy
  }

  /// One connection of the client carries several such lines, and its own line may begin hours before and be written
  /// hours later; and what a sidecar mirrors it does not log.
  private static func cannotTell(_ hop: Hop, _ window: JoinWindow) -> Bool {
    let destination = window.destination(hop)
    switch window.source(hop).proxy {
    case .envoy: return destination.isHTTP && !destination.kind.isDisjoint(with: [.hasForeignSNI, .isShadow])
    case .nginxStream: return false
    case .squid, .nginxHTTP: return !window.traits.outcomes[Int(hop.outcome)].isConnect
    }
  }

  /// The answers after which a sidecar may try again over another connection.
  private static func mayBeRepeated(_ hop: Hop, _ window: JoinWindow) -> Bool {
    let outcome = window.traits.outcomes[Int(hop.outcome)]
    return outcome.isFlagged || !(200..<300).contains(outcome.status) && !(400..<409).contains(outcome.status)
  }

  private static func forEachKey(of hop: Hop, _ address: Int32, _ window: JoinWindow, _ take: (UInt64) -> Void) {
    take(key(1, address, UInt64(hop.sourcePort)))
    guard window.destination(hop).isHTTP else { return }
    if hop.requestHash != 0 { take(key(2, address, hop.requestHash)) }
    if mayBeRepeated(hop, window) { take(key(3, address, request(hop, window))) }
  }

  private static func key(_ kind: UInt64, _ address: Int32, _ value: UInt64) -> UInt64 {
    var mixer = Mixer()
    mixer.add(kind)
    mixer.add(address)
    mixer.add(value)
    return mixer.value
  }

  private static func request(_ hop: Hop, _ window: JoinWindow) -> UInt64 {
    var mixer = Mixer()
    mixer.add(window.destination(hop).authority)
    mixer.add(hop.pathTemplate)
    mixer.add(window.traits.outcomes[Int(hop.outcome)].method)
    return mixer.value
  }

  /// Holds one line of a client against what it may account for.
  private mutating func weigh(_ index: Int32, _ address: Int32) {
    guard address > 0, Int(address) < clients.count, clients[Int(address)] else { return }
    let hop = window.hops[Int(index)]
    if isOpen(index) {
      doubt(index, Absence.key(1, address, UInt64(hop.localPort)), comparing: hop.localPort == 0)
      if hop.localPort != 0 { doubt(index, Absence.key(1, address, 0), comparing: true) }
    }
    guard window.destination(hop).isHTTP else { return }
    if hop.requestHash != 0 { doubt(index, Absence.key(2, address, hop.requestHash), comparing: false) }
    doubt(index, Absence.key(3, address, Absence.request(hop, window)), comparing: false)
  }

  /// More may have come by this line's connection: it has no later hop, or it is a connection of which the later hop tells
  /// request by request.
  private func isOpen(_ index: Int32) -> Bool {
    let later = window.later[Int(index)]
    guard later >= 0 else { return true }
    return !window.destination(window.hops[Int(index)]).isHTTP && window.destination(window.hops[Int(later)]).isHTTP
  }

  /// - Parameter comparing: the key alone says little: what the lines show must allow it too.
  private mutating func doubt(_ index: Int32, _ key: UInt64, comparing: Bool) {
    var found: [Int32] = []
    let hop = window.hops[Int(index)]
    byKey.ask { byKey in
      byKey.forEach(from: byKey.chain(of: key)) { other in
        guard other != index, !isOnKnownConnection[Int(other)] else { return }
        let later = window.hops[Int(other)]
        if isTimely(hop, later), !comparing || mayBe(hop, later) { found.append(other) }
      }
    }
    for other in found {
      isDoubtful[Int(other)] = true
      if isSameConnection(hop, window.hops[Int(other)]) { isOnKnownConnection[Int(other)] = true }
    }
  }

  /// The later hop began while the earlier one lived, as far as clocks can say.
  private func isTimely(_ earlier: Hop, _ later: Hop) -> Bool {
    let skew = window.skew(earlier, later).ms
    let slack =
      (skew == Skew.none ? JoinLimits.unknownSkewMs : JoinLimits.knownSkewMs)
      + (skew == Skew.none || window.source(later).proxy == .nginxStream ? JoinLimits.wholeSecondMs : 0)
    let life = max(earlier.durationMs < 0 ? 2 * JoinLimits.slotMs : earlier.durationMs, JoinLimits.connectMs)
    let difference = later.startedAtMs &- earlier.startedAtMs &- (skew == Skew.none ? 0 : Int64(skew))
    return -slack <= difference && difference <= min(life &+ slack, JoinLimits.absenceReachMs)
  }

  /// The two are beyond doubt one connection, whichever of its lines they are: both say where it led, for one port may have
  /// connections to two addresses; and it lived when the later hop began, not only perhaps. Clocks that are not known must allow nothing else, however far apart they may be: ports come back within
  /// seconds.
  ///
  /// Of several requests that wait for an earlier hop on a connection, each needs a line of its own; repeated attempts of
  /// one share it, and so do all where the sidecar saw a connection only.
  private func isSameConnection(_ earlier: Hop, _ later: Hop) -> Bool {
    guard earlier.localPort != 0, earlier.localPort == later.sourcePort,
      window.local(earlier) == window.source(later).client, !window.source(earlier).isGateway,
      window.isSameLoggedEndpoint(earlier, later), window.isSamePodOnLoopback(earlier, later),
      isAlive(earlier, whenBegan: later)
    else { return false }
    guard window.destination(earlier).isHTTP else {
      let names = (window.destination(earlier).sni, window.destination(later).sni)
      return window.destination(later).isHTTP || names.0 == 0 || names.1 == 0 || names.0 == names.1
    }
    if earlier.requestHash != 0, earlier.requestHash == later.requestHash { return true }
    let key = Absence.key(1, window.source(later).client, UInt64(later.sourcePort))
    let open = openLines[key]?.count { abs($0.startedAtMs &- later.startedAtMs) <= JoinLimits.slotMs } ?? 0
    return countRequests(near: later, within: JoinLimits.slotMs) <= open
  }

  private func isAlive(_ earlier: Hop, whenBegan later: Hop) -> Bool {
    guard earlier.durationMs >= 0 else { return false }
    let skew = window.skew(earlier, later)
    let known = skew.ms != Skew.none ? skew.ms : skew.hint
    let began = later.startedAtMs &- earlier.startedAtMs
    guard known != Skew.none else {
      return JoinLimits.unknownSkewMs <= began && began <= earlier.durationMs &- JoinLimits.unknownSkewMs
    }
    let difference = began &- Int64(known)
    return -JoinLimits.knownSkewMs <= difference && difference <= earlier.durationMs &+ JoinLimits.knownSkewMs
  }

  /// Whether two lines that cannot be told apart by ports may be one connection. Where the proxy listens is no help by
  /// itself, since the client may have dialled an address that was translated on the way; but where it is reached, the
  /// client's other lines of that time show, each joined with its next hop.
  private func mayBe(_ earlier: Hop, _ later: Hop) -> Bool {
    guard later.sourcePort != 0 || !isKnownToLeadElsewhere(earlier, from: later) else { return false }
    let (from, to) = (window.destination(earlier), window.destination(later))
    let (first, second) = (window.traits.outcomes[Int(earlier.outcome)], window.traits.outcomes[Int(later.outcome)])
    switch window.source(later).proxy {
    case .envoy:
      return true
    case .nginxStream:
      // The sidecar made TLS of a request, under the name that was asked for; or it passed a connection on.
      guard !from.isHTTP else { return from.authority == 0 || to.sni == 0 || from.authority == to.sni }
      guard from.sni == 0 || to.sni == 0 || from.sni == to.sni else { return false }
      return first.isFlagged || second.status != 200 || earlier.received <= 0 || later.received <= 0
        || earlier.received == later.received
    case .squid, .nginxHTTP:
      // A challenge may have gone before, on the same connection.
      guard !from.isHTTP else { return first.isConnect }
      return first.isFlagged || earlier.received < 0 || later.received < 0 || earlier.received >= later.received
    }
  }

  /// What the client sent there came to another proxy, or what came to this one it sent elsewhere.
  private func isKnownToLeadElsewhere(_ earlier: Hop, from later: Hop) -> Bool {
    let source = window.source(later)
    guard let others = reached[source.client] else { return false }
    let endpoint = Absence.upstream(earlier, window)
    var isElsewhere = false
    for other in others where abs(other.startedAtMs &- later.startedAtMs) <= JoinLimits.absenceReachMs {
      if other.endpoint == endpoint, other.proxy == source.proxy, other.own == source.own { return false }
      if other.endpoint == endpoint || other.log == source.log { isElsewhere = true }
    }
    return isElsewhere
  }
}

extension JoinWindow {
  /// Says of the hops that a proxy received, and that have no earlier hop, whether a line could be it.
  func markAbsence() {
    let absence = Absence(self)
    guard !absence.isEmpty else { return }
    for end in ins {
      if absence.isUnaccounted(Int(end.hop)) { marks[Int(end.hop)].insert(.isUnaccounted) }
      if absence.isFromSidecar(Int(end.hop)) { marks[Int(end.hop)].insert(.isFromSidecar) }
    }
  }
}
