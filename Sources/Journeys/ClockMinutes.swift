public import Flows

/// What each minute shows of the clocks of sidecars, gateways and proxies: lines that are joined, and lines that should be.
///
/// A clock that is wrong by minutes puts lines where nobody looks for their other hops: some join a stranger, most join
/// none. So a join alone says little of a clock, and the lines beside it say much:
///
/// - a sidecar's line is joined when its next hop, at a gateway or a proxy, names the port it came from; it is lone when it
///   has none, though the proxy it was sent to logged something in that minute
/// - a proxy's line is joined when its hop before is a sidecar's; it is lone when nothing accounts for it, though its
///   client's sidecar logged something in that minute. Of each client one counts, for a single one may skip its sidecar
public struct ClockMinutes: Sendable {
  /// One clock in one minute.
  public struct Noted: Sendable {
    var minute: Int64
    /// Its number, by log and address.
    var clock: Int32
    var joined: Int32
    var lone: Int32

    /// In a byte each, as they are stored: beyond that, they keep their ratio.
    var fitting: (joined: UInt8, lone: UInt8) {
      var (joined, lone) = (joined, lone)
      while joined > 255 || lone > 255 { (joined, lone) = (joined >> 1, lone >> 1) }
      return (UInt8(joined), UInt8(lone))
    }
  }

  private struct Clock: Hashable {
    var log: Int64
    var own: Int32
  }
  /// What a minute was heard of: see `sign(_:_:_:)`.
  enum Sign: UInt64 {
    /// A proxy at an address logged something.
    case heard = 1
    /// A sidecar at an address did.
    case spoke
  }

  private let traits: HopTraits
  /// In the order of their logs, and of the addresses in a log.
  private var clocks: [(log: Int64, ip: String)] = []
  /// Of each clock, whether a minute that shows nothing of it is to be told: something may be noted of it from before.
  private var tellsAll: [Bool] = []
  /// Of each source, its clock; -1 for none.
  private var clockOfSource: [Int32]
  /// Runs of lines of one clock in one minute; several may be of one minute.
  private var runs: [Noted] = []
  /// Of each clock, its latest run; -1 for none. Most lines of a clock follow each other, whosever lines lie between.
  private var latest: [Int32]
  private struct LoneClient: Comparable {
    var clock: Int32
    var client: Int32
    var minute: Int64
    static func < (one: LoneClient, other: LoneClient) -> Bool {
      (one.clock, one.minute, one.client) < (other.clock, other.minute, other.client)
    }
  }
  /// Of proxies, what is lone; a client may be here more than once.
  private var loneClients: [LoneClient] = []

  /// - Parameter noted: logs of whose clocks something was noted before.
  public init(_ traits: HopTraits, noted: Set<Int64> = []) {
    self.traits = traits
    var known: Set<Clock> = []
    for source in traits.sources where ClockMinutes.hasClock(source) {
      known.insert(Clock(log: source.log, own: source.own))
    }
    let texts = traits.texts(of: Set(known.map(\.own)))
    let ordered = known.map { (clock: $0, ip: texts[$0.own] ?? "") }.sorted {
      ($0.clock.log, $0.ip) < ($1.clock.log, $1.ip)
    }
    var numbers: [Clock: Int32] = [:]
    for (clock, ip) in ordered {
      numbers[clock] = Int32(clocks.count)
      clocks.append((clock.log, ip))
      tellsAll.append(noted.contains(clock.log))
    }
    clockOfSource = traits.sources.map {
      ClockMinutes.hasClock($0) ? numbers[Clock(log: $0.log, own: $0.own)] ?? -1 : -1
    }
    latest = Array(repeating: -1, count: clocks.count)
  }

  private static func hasClock(_ source: HopTraits.SourceTraits) -> Bool {
    source.isAtProxy || (source.isSidecar && source.dialsOut)
  }

  /// Notes those of `hops` that began at `from..<until`, by what was decided of all.
  public mutating func note(_ hops: [Hop], _ links: JoinLinks, from: Int64, until: Int64) {
    guard !links.isEmpty else { return }
    WindowHops.with(hops, links, traits, asksNames: false) { decided in
      note(
        hops, numberedFrom: 0, decided, signs: links.signs, tellsOfClocks: links.tellsOfClocks, from: from, until: until
      )
    }
  }

  /// - Parameters:
  ///   - signs: of whom something was heard in which minute.
  ///   - tellsOfClocks: some hops may show how right a clock is.
  mutating func note(
    _ hops: [Hop], numberedFrom base: Int, _ decided: some DecidedHops, signs: KeySet, tellsOfClocks: Bool,
    from: Int64, until: Int64
  ) {
    guard tellsOfClocks || tellsAll.contains(true) else { return }
    traits.withTables { traits in
      clockOfSource.withUnsafeBufferPointer { clockOfSource in
        for (place, hop) in hops.enumerated() where traits.hold(hop) {
          let clock = clockOfSource[Int(hop.source)]
          guard clock >= 0, hop.startedAtMs >= from, hop.startedAtMs < until else { continue }
          let earlier = decided.earlier(than: base + place)
          let before = earlier >= 0 ? traits.sources[Int(decided.source(ofEarlier: earlier))] : nil
          note(clock, hop, decided.mark(of: base + place), before: before, traits, signs)
        }
      }
    }
  }

  @inline(__always)
  private mutating func note(
    _ clock: Int32, _ hop: Hop, _ mark: JoinWindow.Mark, before: HopTraits.SourceTraits?, _ traits: HopTraits.Tables,
    _ signs: KeySet
  ) {
    let source = traits.sources[Int(hop.source)]
    let minute = JoinWindow.minute(hop)
    var (isJoined, isLone) = (false, false)
    if source.isSidecar {
      isJoined = mark.contains(.provesClock)
      isLone =
        !isJoined && mark.isDisjoint(with: [.hasLater, .isAmbiguousEarlier])
        && !traits.outcomes[Int(hop.outcome)].isFlagged
        && signs.contains(ClockMinutes.sign(minute, traits.destinations[Int(hop.destination)].upstream, .heard))
    } else if let before {
      isJoined = !mark.contains(.isClaimed) && before.isSidecar
    } else if mark.contains(.isUnaccounted), signs.contains(ClockMinutes.sign(minute, source.client, .spoke)) {
      loneClients.append(LoneClient(clock: clock, client: source.client, minute: minute))
    }
    guard isJoined || isLone || tellsAll[Int(clock)] else { return }
    var run = Int(latest[Int(clock)])
    if run < 0 || runs[run].minute != minute {
      run = runs.count
      latest[Int(clock)] = Int32(truncatingIfNeeded: run)
      runs.append(Noted(minute: minute, clock: clock, joined: 0, lone: 0))
    }
    if isJoined { runs[run].joined += 1 }
    if isLone { runs[run].lone += 1 }
  }

  /// Notes what another has noted, of the same clocks and other hops.
  public mutating func add(_ other: ClockMinutes) {
    runs += other.runs
    loneClients += other.loneClients
    // Runs that were looked at last stand elsewhere now.
    for clock in latest.indices { latest[clock] = -1 }
  }

  public mutating func removeAll() {
    runs.removeAll(keepingCapacity: true)
    loneClients.removeAll(keepingCapacity: true)
    for clock in latest.indices { latest[clock] = -1 }
  }

  /// What was noted, by log, address and time, each minute once. A minute that shows nothing is told where something may be
  /// noted of the clock from before.
  public var noted: [Noted] {
    guard !runs.isEmpty || !loneClients.isEmpty else { return [] }
    var all = runs
    var last: LoneClient?
    for lone in loneClients.sorted() where lone != last {
      all.append(Noted(minute: lone.minute, clock: lone.clock, joined: 0, lone: 1))
      last = lone
    }
    var noted: [Noted] = []
    noted.reserveCapacity(all.count)
    for next in ordered(all, { $0.clock }, { $0.minute }) {
      if let last = noted.last, last.clock == next.clock, last.minute == next.minute {
        noted[noted.count - 1].joined += next.joined
        noted[noted.count - 1].lone += next.lone
      } else {
        noted.append(next)
      }
    }
    return noted
  }

  /// By log, address and time.
  @inline(__always)
  func ordered<Note>(_ notes: [Note], _ clock: (Note) -> Int32, _ minute: (Note) -> Int64) -> [Note] {
    // Side by side by clock, as they came: mostly in the order of time.
    var ends = [Int](repeating: 0, count: clocks.count + 1)
    for note in notes { ends[Int(clock(note)) + 1] += 1 }
    for clock in clocks.indices { ends[clock + 1] += ends[clock] }
    var ordered = notes
    for note in notes {
      ordered[ends[Int(clock(note))]] = note
      ends[Int(clock(note))] += 1
    }
    var first = 0
    for clock in clocks.indices {
      // Each end has moved to where the next one began.
      let own = first..<ends[clock]
      first = own.upperBound
      if zip(own, own.dropFirst()).contains(where: { minute(ordered[$0]) > minute(ordered[$1]) }) {
        ordered[own].sort { minute($0) < minute($1) }
      }
    }
    return ordered
  }

  func name(_ clock: Int32) -> (log: Int64, ip: String) { clocks[Int(clock)] }

  /// What was noted, hour by hour.
  public func hours(_ noted: [Noted]) -> [ClockHour] {
    var hours = ClockHours(self)
    for one in noted { hours.add(one.clock, one.minute, one.fitting.joined, one.fitting.lone) }
    hours.finish()
    return hours.finished
  }

  /// That something was heard of an address in a minute, as a number.
  @inline(__always) static func sign(_ minute: Int64, _ address: Int32, _ kind: Sign) -> UInt64 {
    var mixer = Mixer()
    mixer.add(minute)
    mixer.add(UInt64(UInt32(bitPattern: address)) << 2 | kind.rawValue)
    return mixer.value
  }
}

extension JoinWindow {
  /// Says of sidecars' lines whether their next hop shows that their clock is right: not by a request id alone, and not
  /// where no port was logged, since what comes at fixed times has equal bytes and lengths at any of them.
  func markClocks() {
    guard tellsOfClocks else { return }
    for out in outs {
      let next = later[Int(out.hop)]
      guard next >= 0, hops[Int(next)].sourcePort != 0, source(hops[Int(out.hop)]).isSidecar,
        source(hops[Int(next)]).isAtProxy, !marks[Int(next)].contains(.isClaimed)
      else { continue }
      marks[Int(out.hop)].insert(.provesClock)
    }
  }

  /// Of whom something was heard in which minute.
  func clockSigns() -> KeySet {
    var signs = KeySet()
    guard tellsOfClocks else { return signs }
    // Of each address, the minute that was heard last: most follow each other, whosever lines lie between.
    var latest = [Int64](repeating: .min, count: traits.numberCount + 1)
    for end in ins where end.port != 0 {
      let hop = hops[Int(end.hop)]
      let source = source(hop)
      guard source.isAtProxy else { continue }
      let dialled = destination(hop).dialled
      add(hop, dialled != 0 ? dialled : source.own, .heard, &latest, &signs)
    }
    // Who spoke is asked of lines alone that nothing accounts for.
    guard ins.contains(where: { marks[Int($0.hop)].contains(.isUnaccounted) }) else { return signs }
    for index in latest.indices { latest[index] = .min }
    for out in outs {
      let hop = hops[Int(out.hop)]
      let source = source(hop)
      if source.isSidecar { add(hop, source.local, .spoke, &latest, &signs) }
    }
    return signs
  }

  @inline(__always)
  private func add(
    _ hop: Hop, _ address: Int32, _ kind: ClockMinutes.Sign, _ latest: inout [Int64], _ signs: inout KeySet
  ) {
    let minute = JoinWindow.minute(hop)
    if latest[Int(address)] == minute { return }
    latest[Int(address)] = minute
    signs.insert(ClockMinutes.sign(minute, address, kind))
  }
}
