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
  /// Starts of requests that were joined with no earlier hop, by their connection.
  private var requests: [UInt64: [Int64]] = [:]
  /// Starts of lines of sidecars that were joined with no later hop, by their connection.
  private var openLines: [UInt64: [Int64]] = [:]

  private let window: JoinWindow
  /// Without the port, a proxy's line is held against all of the client's connections.
  private var byKey: KeyIndex
  private var clients: [Bool]

  init(_ window: JoinWindow) {
    self.window = window
    isDoubtful = Array(repeating: false, count: window.hops.count)
    isOnKnownConnection = isDoubtful
    clients = []
    let lone = window.ins.filter {
      (window.earlier[Int($0)] < 0 || window.marks[Int($0)].contains(.isClaimed))
        && Absence.isAtProxy(window.hops[Int($0)], window)
    }
    byKey = KeyIndex(reserving: lone.count * 3)
    guard !lone.isEmpty else { return }
    clients = Array(repeating: false, count: Int(lone.map { window.source(window.hops[Int($0)]).client }.max()!) + 1)
    for index in lone {
      let hop = window.hops[Int(index)]
      clients[Int(window.source(hop).client)] = true
      isDoubtful[Int(index)] = Absence.cannotTell(hop, window)
      if window.destination(hop).isHTTP, hop.sourcePort != 0 {
        requests[Absence.key(1, window.source(hop).client, UInt64(hop.sourcePort)), default: []].append(
          hop.startedAtMs)
      }
      for key in Absence.keys(of: hop, window.source(hop).client, window) { byKey.add(index, key) }
    }
    byKey.seal()
    for index in window.outs where window.later[Int(index)] < 0 && window.hops[Int(index)].localPort != 0 {
      let address = window.local(window.hops[Int(index)])
      guard address > 0, Int(address) < clients.count, clients[Int(address)] else { continue }
      openLines[Absence.key(1, address, UInt64(window.hops[Int(index)].localPort)), default: []].append(
        window.hops[Int(index)].startedAtMs)
    }
    for index in window.outs { weigh(index, window.local(window.hops[Int(index)])) }
    // The last attempt of a request can have failed before it had a connection: its line stands for earlier ones.
    for index in window.ins where window.source(window.hops[Int(index)]).isUnsent {
      weigh(index, window.source(window.hops[Int(index)]).client)
    }
  }

  /// No line that was read could be the hop before.
  ///
  /// Of several requests on one connection that cannot be said: to a sidecar that does not know the protocol they are one
  /// connection, and of that it writes nothing before it ends.
  func isUnaccounted(_ index: Int) -> Bool {
    let hop = window.hops[index]
    guard window.earlier[index] < 0, Absence.isAtProxy(hop, window), !isDoubtful[index] else { return false }
    return count(
      requests, Absence.key(1, window.source(hop).client, UInt64(hop.sourcePort)), near: hop, JoinLimits.absenceReachMs)
      < 2
  }

  private func count(_ starts: [UInt64: [Int64]], _ key: UInt64, near hop: Hop, _ reachMs: Int64) -> Int {
    starts[key]?.count { abs($0 &- hop.startedAtMs) <= reachMs } ?? 0
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
    case .envoy: return destination.isHTTP && (destination.hasForeignSNI || destination.isShadow)
    case .nginxStream: return false
    case .squid, .nginxHTTP: return !window.traits.outcomes[Int(hop.outcome)].isConnect
    }
  }

  /// The answers after which a sidecar may try again over another connection.
  private static func mayBeRepeated(_ hop: Hop, _ window: JoinWindow) -> Bool {
    let outcome = window.traits.outcomes[Int(hop.outcome)]
    return outcome.isFlagged || !(200..<300).contains(outcome.status) && !(400..<409).contains(outcome.status)
  }

  private static func keys(of hop: Hop, _ address: Int32, _ window: JoinWindow) -> [UInt64] {
    var keys = [key(1, address, UInt64(hop.sourcePort))]
    guard window.destination(hop).isHTTP else { return keys }
    if hop.requestHash != 0 { keys.append(key(2, address, hop.requestHash)) }
    if mayBeRepeated(hop, window) { keys.append(key(3, address, request(hop, window))) }
    return keys
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
    byKey.forEach(from: byKey.chain(of: key).first) { other in
      guard other != index, !isOnKnownConnection[Int(other)] else { return }
      let later = window.hops[Int(other)]
      if isTimely(hop, later), !comparing || mayBe(hop, later) { found.append(other) }
    }
    for other in found {
      isDoubtful[Int(other)] = true
      if isSameConnection(hop, window.hops[Int(other)]) { isOnKnownConnection[Int(other)] = true }
    }
  }

  /// The later hop began while the earlier one lived, as far as clocks can say.
  private func isTimely(_ earlier: Hop, _ later: Hop) -> Bool {
    let slack = JoinLimits.unknownSkewMs + JoinLimits.wholeSecondMs
    let life = max(earlier.durationMs < 0 ? 2 * JoinLimits.slotMs : earlier.durationMs, JoinLimits.connectMs)
    let difference = later.startedAtMs &- earlier.startedAtMs
    return -slack <= difference && difference <= min(life &+ slack, JoinLimits.absenceReachMs)
  }

  /// Of several requests that wait for an earlier hop on a connection, each needs a line of its own; repeated attempts of
  /// one share it, and so do all where the sidecar saw a connection only.
  private func isSameConnection(_ earlier: Hop, _ later: Hop) -> Bool {
    let key = Absence.key(1, window.source(later).client, UInt64(later.sourcePort))
    guard
      !window.destination(earlier).isHTTP || (earlier.requestHash != 0 && earlier.requestHash == later.requestHash)
        || count(requests, key, near: later, JoinLimits.slotMs) <= count(openLines, key, near: later, JoinLimits.slotMs)
    else { return false }
    return earlier.localPort != 0 && earlier.localPort == later.sourcePort
      && window.local(earlier) == window.source(later).client
      && window.isSameEndpoint(earlier, later) && window.isSamePodOnLoopback(earlier, later)
      && !window.source(earlier).isGateway
  }

  /// Whether two lines that cannot be told apart by ports may be one connection. Where the proxy listens is no help: the
  /// client may have dialled an address that was translated on the way.
  private func mayBe(_ earlier: Hop, _ later: Hop) -> Bool {
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
}

extension JoinWindow {
  /// Says of the hops that a proxy received, and that have no earlier hop, whether a line could be it.
  mutating func markAbsence() {
    let absence = Absence(self)
    let found = ins.compactMap { index -> (Int32, Mark)? in
      var mark: Mark = []
      if absence.isUnaccounted(Int(index)) { mark.insert(.isUnaccounted) }
      if absence.isFromSidecar(Int(index)) { mark.insert(.isFromSidecar) }
      return mark.isEmpty ? nil : (index, mark)
    }
    for (index, mark) in found { marks[Int(index)].formUnion(mark) }
  }
}
