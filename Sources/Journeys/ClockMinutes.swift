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
  public struct Entry: Sendable {
    public var log: Int64
    /// The proxy's own address; empty where it logs none.
    public var ip: String
    /// Unix time in minutes.
    public var minute: Int64
    public var joined: Int
    public var lone: Int
  }

  private struct Clock: Hashable {
    var log: Int64
    var own: Int32
  }
  private struct Place: Hashable {
    var clock: Int32
    var minute: Int64
  }
  private struct LoneClient: Hashable {
    var place: Place
    var client: Int32
  }
  /// What a minute was heard of: see `sign(_:_:_:)`.
  enum Sign: UInt64 {
    /// A proxy at an address logged something.
    case heard = 1
    /// A sidecar at an address did.
    case spoke
  }

  private let traits: HopTraits
  private var clocks: [Clock] = []
  /// Of each source, its clock; -1 for none.
  private var clockOfSource: [Int32]
  /// A run of lines of one clock in one minute; several runs may be of one place.
  private struct Run {
    var place: Place
    var joined: Int32 = 0
    var lone: Int32 = 0
  }
  private var runs: [Run] = []
  /// Of each clock, its latest run; -1 for none. Most lines of a clock follow each other, whosever lines lie between.
  private var latest: [Int32]
  /// Of proxies, what is lone.
  private var loneClients: Set<LoneClient> = []

  public init(_ traits: HopTraits) {
    self.traits = traits
    clockOfSource = Array(repeating: -1, count: traits.sources.count)
    var numbers: [Clock: Int32] = [:]
    for (index, source) in traits.sources.enumerated()
    where source.isAtProxy || (source.isSidecar && source.dialsOut) {
      let clock = Clock(log: source.log, own: source.own)
      if numbers[clock] == nil {
        numbers[clock] = Int32(clocks.count)
        clocks.append(clock)
      }
      clockOfSource[index] = numbers[clock] ?? -1
    }
    latest = Array(repeating: -1, count: clocks.count)
  }

  /// About as many minutes of clocks are known of.
  public var count: Int { runs.count }

  /// Notes those of `hops[indices]` that began at `from..<until`, by what was decided of all.
  public mutating func note(_ hops: [Hop], _ links: JoinLinks, indices: Range<Int>, from: Int64, until: Int64) {
    guard !links.isEmpty else { return }
    for index in indices {
      let hop = hops[index]
      let clock = clockOfSource[Int(hop.source)]
      guard clock >= 0, hop.startedAtMs >= from, hop.startedAtMs < until else { continue }
      let minute = JoinWindow.minute(hop)
      let run = run(clock, minute)
      let mark = links.marks[index]
      let source = traits.sources[Int(hop.source)]
      if source.isSidecar {
        if mark.contains(.provesClock) {
          runs[run].joined += 1
        } else if mark.isDisjoint(with: [.hasLater, .isAmbiguousEarlier]),
          !traits.outcomes[Int(hop.outcome)].isFlagged,
          links.signs.contains(ClockMinutes.sign(minute, traits.destinations[Int(hop.destination)].upstream, .heard))
        {
          runs[run].lone += 1
        }
      } else if links.earlier[index] >= 0 {
        let before = hops[Int(links.earlier[index])]
        if !mark.contains(.isClaimed), traits.sources[Int(before.source)].isSidecar { runs[run].joined += 1 }
      } else if mark.contains(.isUnaccounted),
        links.signs.contains(ClockMinutes.sign(minute, source.client, .spoke))
      {
        loneClients.insert(LoneClient(place: runs[run].place, client: source.client))
      }
    }
  }

  @inline(__always) private mutating func run(_ clock: Int32, _ minute: Int64) -> Int {
    let run = Int(latest[Int(clock)])
    if run >= 0, runs[run].place.minute == minute { return run }
    latest[Int(clock)] = Int32(runs.count)
    runs.append(Run(place: Place(clock: clock, minute: minute)))
    return runs.count - 1
  }

  /// Notes what another has noted of other hops.
  public mutating func add(_ other: ClockMinutes) {
    runs += other.runs
    loneClients.formUnion(other.loneClients)
  }

  public mutating func removeAll() {
    runs.removeAll(keepingCapacity: true)
    loneClients.removeAll(keepingCapacity: true)
    for clock in latest.indices { latest[clock] = -1 }
  }

  /// What was noted, in no order.
  public var entries: [Entry] {
    let texts = traits.texts()
    var all: [Place: (joined: Int, lone: Int)] = [:]
    for run in runs {
      all[run.place, default: (0, 0)].joined += Int(run.joined)
      all[run.place, default: (0, 0)].lone += Int(run.lone)
    }
    for lone in loneClients { all[lone.place, default: (0, 0)].lone += 1 }
    return all.map { place, count in
      let clock = clocks[Int(place.clock)]
      return Entry(
        log: clock.log, ip: texts[clock.own] ?? "", minute: place.minute, joined: count.joined, lone: count.lone)
    }
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
  mutating func markClocks() {
    for index in outs {
      let next = later[Int(index)]
      guard next >= 0, hops[Int(next)].sourcePort != 0, source(hops[Int(index)]).isSidecar,
        source(hops[Int(next)]).isAtProxy, !marks[Int(next)].contains(.isClaimed)
      else { continue }
      marks[Int(index)].insert(.provesClock)
    }
  }

  /// Of whom something was heard in which minute.
  func clockSigns() -> Set<UInt64> {
    var signs: Set<UInt64> = []
    // Of each address, the minute that was heard last: most follow each other, whosever lines lie between.
    var heard = [Int64](repeating: .min, count: traits.numberCount + 1)
    var spoke = heard
    func add(_ hop: Hop, _ address: Int32, _ kind: ClockMinutes.Sign, _ latest: inout [Int64]) {
      let minute = JoinWindow.minute(hop)
      if latest[Int(address)] == minute { return }
      latest[Int(address)] = minute
      signs.insert(ClockMinutes.sign(minute, address, kind))
    }
    for index in ins {
      let hop = hops[Int(index)]
      let source = source(hop)
      guard hop.sourcePort != 0, source.isAtProxy else { continue }
      let dialled = destination(hop).dialled
      add(hop, dialled != 0 ? dialled : source.own, .heard, &heard)
    }
    for index in outs {
      let source = source(hops[Int(index)])
      if source.isSidecar { add(hops[Int(index)], source.local, .spoke, &spoke) }
    }
    return signs
  }
}
