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
  /// The times of those that have many beside them: by address and port, and by what was dialled as well.
  private lazy var crowds = Crowds(requests, window)
  /// When lines of sidecars began that were joined with no later hop, by address and port: of those that one of the requests
  /// may ask for.
  private var openLines = Moments([])
  /// Whether a request's connection has an open line for each of those that wait; nil where nobody has asked.
  private var hasLineForEach: [Int32: Bool] = [:]
  /// What a client reaches where, by its lines that were joined with their next hop. Asked for by lines that name no port;
  /// empty where there are none.
  private var reached = ReachedPlaces()

  private let window: JoinWindow
  private var waiting: WaitingHops
  /// Without the port, a proxy's line is held against all of the client's connections: the proxies that wrote such lines of a
  /// client, each by its `ReachedPlaces.Proxy.key`.
  private var portless: [Int32: [UInt64]] = [:]
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
    waiting = WaitingHops([])
    guard !lone.isEmpty else { return }
    let hasLines = Absence.addressesWithLines(window)
    var entries: [WaitingHops.Entry] = []
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
      let run = Absence.run(of: hop, window)
      Absence.forEachKey(of: hop, client, window) {
        entries.append(WaitingHops.Entry(key: $0, run: run, startedAtMs: hop.startedAtMs, hop: index))
      }
      guard hop.sourcePort == 0 else { continue }
      let proxy = Absence.proxy(of: hop, window).key
      if portless[client]?.contains(proxy) != true { portless[client, default: []].append(proxy) }
    }
    self.requests = KeyIndex(requests)
    guard !entries.isEmpty else { return }
    waiting = WaitingHops(entries)
    var openLines: [Moments.Entry] = []
    for out in window.outs {
      let (index, address) = (out.hop, out.address)
      let hop = window.hops[Int(index)]
      guard address > 0, Int(address) < clients.count, clients[Int(address)] else { continue }
      let later = window.later[Int(index)]
      if later >= 0 && !asksWhatIsReached { continue }
      if later >= 0 {
        guard !window.marks[Int(later)].contains(.isClaimed) else { continue }
        reached.add(
          address, Absence.upstream(hop, window), Absence.proxy(of: window.hops[Int(later)], window),
          at: hop.startedAtMs)
      } else if case let key = Absence.key(1, address, UInt64(hop.localPort)), connections.mayHold(key) {
        openLines.append(Moments.Entry(key: key, ms: hop.startedAtMs))
      }
    }
    self.openLines = Moments(openLines)
    reached.close()
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
  mutating func isUnaccounted(_ index: Int) -> Bool {
    let hop = window.hops[index]
    guard window.earlier[index] < 0, Absence.isAtProxy(hop, window), !isDoubtful[index] else { return false }
    return countRequests(near: hop, within: JoinLimits.absenceReachMs, alsoDialled: true) < 2
  }

  /// Requests from the client's address and port that wait for an earlier hop as `hop` does.
  /// - Parameter alsoDialled: only those that dialled what `hop` did.
  private mutating func countRequests(near hop: Hop, within reachMs: Int64, alsoDialled: Bool) -> Int {
    let key = Absence.key(1, window.source(hop).client, UInt64(hop.sourcePort))
    let endpoint = Absence.dialled(hop, window)
    let few: Int? = requests.ask { requests in
      let chain = requests.chain(of: key)
      if requests.isLonger(chain, than: Crowds.least) { return nil }
      var count = 0
      requests.forEach(from: chain) { index in
        let other = window.hops[Int(index)]
        if abs(other.startedAtMs &- hop.startedAtMs) <= reachMs,
          !alsoDialled || Absence.dialled(other, window) == endpoint
        {
          count += 1
        }
      }
      return count
    }
    return few ?? crowds.count(key, alsoDialled ? endpoint : nil, near: hop.startedAtMs, within: reachMs)
  }

  /// Where one connection carries many requests, each has to be asked about all others.
  private struct Crowds {
    static let least = 16
    private let all: Moments
    private let byEndpoint: Moments

    init(_ requests: KeyIndex, _ window: JoinWindow) {
      let crowded = requests.ask { $0.entries(ofMoreThan: Crowds.least) }
      all = Moments(crowded.map { Moments.Entry(key: $0.key, ms: window.hops[Int($0.hop)].startedAtMs) })
      byEndpoint = Moments(
        crowded.map {
          let hop = window.hops[Int($0.hop)]
          return Moments.Entry(key: Crowds.key($0.key, Absence.dialled(hop, window)), ms: hop.startedAtMs)
        })
    }

    private static func key(_ key: UInt64, _ endpoint: UInt64) -> UInt64 {
      var mixer = Mixer()
      mixer.add(key)
      mixer.add(endpoint)
      return mixer.value
    }

    func count(_ key: UInt64, _ endpoint: UInt64?, near ms: Int64, within reachMs: Int64) -> Int {
      let (from, through) = (ms.plus(-reachMs), ms.plus(reachMs))
      guard let endpoint else { return all.count(key, from: from, through: through) }
      return byEndpoint.count(Crowds.key(key, endpoint), from: from, through: through)
    }
  }

  private static func proxy(of hop: Hop, _ window: JoinWindow) -> ReachedPlaces.Proxy {
    let source = window.source(hop)
    return ReachedPlaces.Proxy(log: source.log, kind: source.proxy, own: source.own)
  }

  /// Lines of which the clock, the proxy and where it was reached are the same.
  private static func run(of hop: Hop, _ window: JoinWindow) -> UInt64 {
    var mixer = Mixer()
    mixer.add(proxy(of: hop, window).key)
    mixer.add(window.source(hop).pod)
    mixer.add(window.source(hop).proxy == .envoy ? dialled(hop, window) : 0)
    return mixer.value
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
    take(hop.sourcePort == 0 ? key(4, address, proxy(of: hop, window).key) : key(1, address, UInt64(hop.sourcePort)))
    guard window.destination(hop).isHTTP else { return }
    if hop.requestHash != 0 {
      take(key(2, address, hop.requestHash))
      if hop.sourcePort != 0 { take(key(5, address, sameRequest(hop.requestHash, hop.sourcePort))) }
    }
    if mayBeRepeated(hop, window) { take(key(3, address, request(hop, window))) }
  }

  private static func key(_ kind: UInt64, _ address: Int32, _ value: UInt64) -> UInt64 {
    var mixer = Mixer()
    mixer.add(kind)
    mixer.add(address)
    mixer.add(value)
    return mixer.value
  }

  private static func sameRequest(_ requestHash: UInt64, _ port: UInt16) -> UInt64 {
    var mixer = Mixer()
    mixer.add(requestHash)
    mixer.add(UInt64(port))
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
      if hop.localPort != 0 { doubt(index, Absence.key(1, address, UInt64(hop.localPort)), .connection) }
      if !portless.isEmpty, let proxies = portless[address] {
        for proxy in proxies { doubt(index, Absence.key(4, address, proxy), .looks) }
      }
    }
    guard window.destination(hop).isHTTP else { return }
    if hop.requestHash != 0 {
      doubt(index, Absence.key(2, address, hop.requestHash), .request)
      if hop.localPort != 0 {
        doubt(index, Absence.key(5, address, Absence.sameRequest(hop.requestHash, hop.localPort)), .all)
      }
    }
    doubt(index, Absence.key(3, address, Absence.request(hop, window)), .request)
  }

  /// More may have come by this line's connection: it has no later hop, or it is a connection of which the later hop tells
  /// request by request.
  private func isOpen(_ index: Int32) -> Bool {
    let later = window.later[Int(index)]
    guard later >= 0 else { return true }
    return !window.destination(window.hops[Int(index)]).isHTTP && window.destination(window.hops[Int(later)]).isHTTP
  }

  /// What a line has in common with those that it may account for.
  private enum Likeness {
    case connection, request
    /// The request's id and the connection's port: it is the same request, or is made to look so, and its clock was wrong for a while.
    case all
    /// The client, which says little: what the lines show must allow it too.
    case looks
  }

  private mutating func doubt(_ index: Int32, _ key: UInt64, _ likeness: Likeness) {
    var place = waiting.first(of: key)
    guard place >= 0 else { return }
    while place < waiting.entries.count, waiting.entries[place].key == key {
      let run = waiting.run(at: place)
      doubt(index, run, likeness)
      place = run.upperBound
    }
  }

  private mutating func doubt(_ index: Int32, _ run: Range<Int>, _ likeness: Likeness) {
    let hop = window.hops[Int(index)]
    // What a run has in common, its first has.
    let first = window.hops[Int(waiting.entries[run.lowerBound].hop)]
    let stretch = waiting.stretch(
      in: run, likeness == .all ? Absence.timesOfWrongClocks(hop) : times(of: hop, before: first))
    guard !stretch.isEmpty else { return }
    let isCrowd = stretch.count > JoinLimits.doubtCrowd
    if likeness == .looks, isCrowd, leadsElsewhere(hop, stretch) { return }
    var place = waiting.next(stretch.lowerBound, stillToBe: .doubted)
    while place < stretch.upperBound {
      let other = Int(waiting.entries[place].hop)
      // A crowd is doubtful without a look.
      if !isDoubtful[other], other != Int(index), likeness != .looks || isCrowd || mayBe(hop, window.hops[other]) {
        isDoubtful[other] = true
      }
      if isDoubtful[other] { waiting.settle(place, .doubted) }
      place = waiting.next(place + 1, stillToBe: .doubted)
    }
    if likeness == .connection || likeness == .request, isOneConnection(hop, first),
      let alive = timesAlive(hop, before: first)
    {
      know(index, waiting.stretch(in: stretch, alive), likeness)
    }
  }

  /// Notes which of those that began while this line's connection lived came over it.
  private mutating func know(_ index: Int32, _ stretch: Range<Int>, _ likeness: Likeness) {
    let hop = window.hops[Int(index)]
    // Whether a connection has a line for each of its requests is the same for all of them; one of equal id has the id in
    // common, too.
    let isForEach = likeness == .connection && window.destination(hop).isHTTP
    guard likeness == .connection || stretch.count <= JoinLimits.doubtCrowd else { return }
    let question = isForEach ? WaitingHops.Question.hasLine : .known
    var place = waiting.next(stretch.lowerBound, stillToBe: question)
    while place < stretch.upperBound {
      let other = waiting.entries[place].hop
      if other != index {
        if !isOnKnownConnection[Int(other)], isSameConnection(hop, other) { isOnKnownConnection[Int(other)] = true }
        if isForEach || isOnKnownConnection[Int(other)] { waiting.settle(place, question) }
      }
      place = waiting.next(place + 1, stillToBe: question)
    }
  }

  /// When a later hop began if it began while the earlier one lived, as far as clocks can say.
  private func times(of earlier: Hop, before later: Hop) -> ClosedRange<Int64> {
    let slack = clockSlack(earlier, later)
    let start = earlier.startedAtMs.plus(shift(from: earlier, to: later))
    let life = Absence.life(earlier)
    return start.plus(-slack)...start.plus(min(life.plus(slack), JoinLimits.absenceReachMs))
  }

  /// How much later the later hop's clock shows the same moment; 0 when unknown.
  private func shift(from earlier: Hop, to later: Hop) -> Int64 {
    let skew = window.skew(earlier, later).ms
    return skew == Skew.none ? 0 : Int64(skew)
  }

  /// By how much the times of two hops may differ beside that.
  private func clockSlack(_ earlier: Hop, _ later: Hop) -> Int64 {
    let isUnknown = window.skew(earlier, later).ms == Skew.none
    return (isUnknown ? JoinLimits.unknownSkewMs : JoinLimits.knownSkewMs)
      + (isUnknown || window.source(later).proxy == .nginxStream ? JoinLimits.wholeSecondMs : 0)
  }

  /// As far as windows reach: what else is known of the earlier hop does not matter.
  private static func timesOfWrongClocks(_ earlier: Hop) -> ClosedRange<Int64> {
    let reach = JoinLimits.influenceMs - JoinLimits.slotMs
    return earlier.startedAtMs.plus(-reach)...earlier.startedAtMs.plus(reach)
  }

  private static func life(_ earlier: Hop) -> Int64 {
    max(earlier.durationMs < 0 ? 2 * JoinLimits.slotMs : earlier.durationMs, JoinLimits.connectMs)
  }

  /// The same beyond doubt, whichever of its lines they are: the connection lived then, not only perhaps. Clocks that are not known
  /// must allow nothing else, however far apart they may be: ports come back within seconds.
  private func timesAlive(_ earlier: Hop, before later: Hop) -> ClosedRange<Int64>? {
    guard earlier.durationMs >= 0 else { return nil }
    let skew = window.skew(earlier, later)
    let known = skew.ms != Skew.none ? skew.ms : skew.hint
    let start = earlier.startedAtMs.plus(known == Skew.none ? 0 : Int64(known))
    let slack = known == Skew.none ? -JoinLimits.unknownSkewMs : JoinLimits.knownSkewMs
    let (from, through) = (start.plus(-slack), start.plus(earlier.durationMs).plus(slack))
    return from <= through ? from...through : nil
  }

  /// The line tells of a connection to where the later hop was reached: both say where that is, for one port may have
  /// connections to two addresses. At an SNI proxy the line of a sidecar is no proof of a way, but the contrary: there it is
  /// enough that neither says something else.
  private func isOneConnection(_ earlier: Hop, _ later: Hop) -> Bool {
    earlier.localPort != 0 && window.local(earlier) == window.source(later).client && !window.source(earlier).isGateway
      && (window.source(later).proxy == .nginxStream
        ? window.isSameEndpoint(earlier, later) : window.isSameLoggedEndpoint(earlier, later))
      && window.isSamePodOnLoopback(earlier, later)
  }

  /// The two are one connection, which `isOneConnection` and their times allow.
  ///
  /// Of several requests that wait for an earlier hop on a connection, each needs a line of its own; repeated attempts of
  /// one share it, and so do all where the sidecar saw a connection only.
  private mutating func isSameConnection(_ earlier: Hop, _ other: Int32) -> Bool {
    let later = window.hops[Int(other)]
    guard earlier.localPort == later.sourcePort else { return false }
    guard window.destination(earlier).isHTTP else {
      let names = (window.destination(earlier).sni, window.destination(later).sni)
      return window.destination(later).isHTTP || names.0 == 0 || names.1 == 0 || names.0 == names.1
    }
    if earlier.requestHash != 0, earlier.requestHash == later.requestHash { return true }
    if let known = hasLineForEach[other] { return known }
    let key = Absence.key(1, window.source(later).client, UInt64(later.sourcePort))
    let (from, through) = (later.startedAtMs.plus(-JoinLimits.slotMs), later.startedAtMs.plus(JoinLimits.slotMs))
    let hasLines =
      countRequests(near: later, within: JoinLimits.slotMs, alsoDialled: false)
      <= openLines.count(key, from: from, through: through)
    hasLineForEach[other] = hasLines
    return hasLines
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
      if first.isFlagged || second.status != 200 || earlier.received <= 0 || later.received <= 0 { return true }
      // A sidecar that reached the SNI proxy went past the gateway itself: its line excuses nobody, and has to be the one.
      return earlier.received == later.received
        || window.source(earlier).isGateway && earlier.received < later.received
    case .squid, .nginxHTTP:
      // A challenge may have gone before, on the same connection.
      guard !from.isHTTP else { return first.isConnect }
      return first.isFlagged || earlier.received < 0 || later.received < 0 || earlier.received >= later.received
        || endsInTime(later, of: earlier)
    }
  }

  /// Whether a connection on which the client has received less than its proxy sent may be the one.
  ///
  /// What a proxy counts as sent, its socket took (Squid's `%<st`: `TunnelStateData::Connection::dataSent` in its
  /// src/tunnel.cc): of that, a client that leaves early has not read all. And where the sidecar itself asks for the tunnel
  /// (`tunnel` of a DestinationRule), it keeps the head of the answer, which Squid counts, too (`tunnelConnectedWriteDone`).
  /// But a tunnel ends with its connection: one that lived on after that is another's. The connection may live on, since a
  /// slow client still reads what both proxies have sent.
  private func endsInTime(_ later: Hop, of earlier: Hop) -> Bool {
    guard earlier.durationMs >= 0, later.durationMs >= 0 else { return true }
    let end = earlier.startedAtMs.plus(earlier.durationMs).plus(shift(from: earlier, to: later))
    // The end, too, has to be heard of: a lost packet is sent again.
    let slack = clockSlack(earlier, later) + JoinLimits.lifeSlackMs
    return later.startedAtMs.plus(later.durationMs) <= end.plus(slack)
  }

  /// What the client sent there came to another proxy, or what came to this one it sent elsewhere.
  private func isKnownToLeadElsewhere(_ earlier: Hop, from later: Hop) -> Bool {
    guard !reached.isEmpty else { return false }
    return reached.isElsewhere(
      window.source(later).client, Absence.upstream(earlier, window), than: Absence.proxy(of: later, window),
      at: later.startedAtMs...later.startedAtMs)
  }

  /// The same for all lines of one proxy and one client in a stretch; false where that depends on the line.
  private func leadsElsewhere(_ earlier: Hop, _ stretch: Range<Int>) -> Bool {
    guard !reached.isEmpty else { return false }
    let (first, last) = (waiting.entries[stretch.lowerBound], waiting.entries[stretch.upperBound - 1])
    let later = window.hops[Int(first.hop)]
    return reached.isElsewhere(
      window.source(later).client, Absence.upstream(earlier, window), than: Absence.proxy(of: later, window),
      at: first.startedAtMs...last.startedAtMs)
  }
}

extension JoinWindow {
  /// Says of the hops that a proxy received, and that have no earlier hop, whether a line could be it.
  func markAbsence() {
    var absence = Absence(self)
    guard !absence.isEmpty else { return }
    for end in ins {
      if absence.isUnaccounted(Int(end.hop)) { marks[Int(end.hop)].insert(.isUnaccounted) }
      if absence.isFromSidecar(Int(end.hop)) { marks[Int(end.hop)].insert(.isFromSidecar) }
    }
  }
}
