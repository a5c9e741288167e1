public import Flows

/// Joins hops into journeys: a pure function of the hops of a stretch of time.
///
/// A wrong join is worse than none: two hops are joined when, among all hops whose clocks could allow it, each is the
/// other's only candidate. The rules run from the strongest to the weakest, and what stays ambiguous under one is not
/// offered to the next:
///
/// 1. the connection (UL = DR, UH = DL) with equal bytes, and for HTTP the request id, authority, method and path;
/// 2. the connection and everything a request shows, where the gateway gave it another id or none is logged;
/// 3. repeated attempts of a request, by its id and the client's address;
/// 4. for proxies that log no client port: client address, server name (or CONNECT), bytes, and the end of both;
/// 5. at Squid, plain requests by the same, and failed tunnels by the end of both alone.
public struct JourneyJoiner: Sendable {
  private let traits: HopTraits

  public init(_ traits: HopTraits) { self.traits = traits }

  /// The hops among `hops` that began at `from..<until` and belong to a journey.
  ///
  /// Right for all of them when `hops` holds everything within `JoinLimits.influenceMs` of that stretch.
  public func join(_ hops: [Hop], from: Int64, until: Int64) -> [JoinedHop] {
    guard !hops.isEmpty else { return [] }
    precondition(hops.count < Int(Int32.max) / 4, "a window has too many hops")
    var window = JoinWindow(hops, traits)
    window.joinByConnection()
    window.joinBySignature()
    window.joinRepeated()
    window.joinWithoutPorts()
    window.joinAtSquid()
    return window.journeys(from: from, until: until)
  }
}

/// A pair that may be two hops of one way.
struct JoinEdge {
  var earlier: Int32
  var later: Int32
}

/// The pairs that one rule allows, and the hops of which it allows too many to look at.
struct Candidates {
  var edges: [JoinEdge] = []
  var crowdedEarlier: [Int32] = []
  var crowdedLater: [Int32] = []
}

/// The working memory of one stretch of time.
struct JoinWindow {
  struct Skew {
    /// The later log's clock minus the earlier's, transit included.
    var ms: Int64?
    /// As `ms`, by fewer pairs, which agree: enough to choose between candidates, not enough to refuse one.
    var hint: Int64?
    /// Requests were joined by their ids: this gateway keeps them.
    var keepsIDs = false
  }

  /// What has been decided of a hop.
  struct Mark: OptionSet {
    let rawValue: UInt8
    static let hasLater = Mark(rawValue: 1)
    static let isAmbiguousEarlier = Mark(rawValue: 2)
    static let isAmbiguousLater = Mark(rawValue: 4)
    static let isRepeated = Mark(rawValue: 8)
    static let isClaimed = Mark(rawValue: 16)
  }

  let hops: [Hop]
  let traits: HopTraits
  /// Of each hop, the one before it; -1 for none.
  var earlier: [Int32]
  /// Of each hop, the one after it that gave the answer; -1 for none.
  var later: [Int32]
  var marks: [Mark]
  var skews: [UInt64: Skew] = [:]
  /// Hops that dialled out, and hops that were dialled, by their place in `hops`.
  var outs: [Int32] = []
  var ins: [Int32] = []

  init(_ hops: [Hop], _ traits: HopTraits) {
    self.hops = hops
    self.traits = traits
    earlier = Array(repeating: -1, count: hops.count)
    later = Array(repeating: -1, count: hops.count)
    marks = Array(repeating: [], count: hops.count)
    for index in hops.indices {
      let hop = hops[index]
      guard traits.outcomes[Int(hop.outcome)].isHop else { continue }
      let source = traits.sources[Int(hop.source)]
      if source.dialsOut, traits.destinations[Int(hop.destination)].upstream != 0 { outs.append(Int32(index)) }
      if source.receives, source.client != 0 { ins.append(Int32(index)) }
    }
  }

  @inline(__always) func source(_ hop: Hop) -> HopTraits.SourceTraits { traits.sources[Int(hop.source)] }
  @inline(__always) func destination(_ hop: Hop) -> HopTraits.DestinationTraits {
    traits.destinations[Int(hop.destination)]
  }

  /// The address a hop dialled out from; 0 when unknown.
  @inline(__always) func local(_ hop: Hop) -> Int32 {
    let local = source(hop).local
    if local != 0 { return local }
    let destination = destination(hop)
    return destination.isUpstreamLoopback ? destination.upstream : 0
  }

  @inline(__always) static func slot(_ hop: Hop) -> Int64 { hop.startedAtMs >> JoinLimits.slotBits }

  // MARK: - Candidates

  /// All pairs with equal keys in neighbouring slots that `fit`; key 0 stands for none.
  ///
  /// Where a crowd has one key, no pair is made of it.
  func candidates(
    earlier outs: [Int32], _ keyOfEarlier: (Hop) -> UInt64, later ins: [Int32], _ keyOfLater: (Hop) -> UInt64,
    fit: (Hop, Hop) -> Bool
  ) -> Candidates {
    var laterKeys: [(hop: Int32, key: UInt64)] = []
    laterKeys.reserveCapacity(ins.count)
    for hop in ins {
      let key = keyOfLater(hops[Int(hop)])
      if key != 0 { laterKeys.append((hop, key)) }
    }
    var found = Candidates()
    guard !laterKeys.isEmpty else { return found }
    var index = KeyIndex(count: outs.count)
    var crowded: Set<UInt64> = []
    for hop in outs {
      let key = keyOfEarlier(hops[Int(hop)])
      if key != 0 { index.add(hop, JoinWindow.slotted(key, JoinWindow.slot(hops[Int(hop)]))) }
    }
    found.edges.reserveCapacity(min(laterKeys.count, outs.count))
    for (hop, key) in laterKeys {
      let candidate = hops[Int(hop)]
      let slot = JoinWindow.slot(candidate)
      for beside in slot - 1...slot + 1 {
        let key = JoinWindow.slotted(key, beside)
        let count = index.count(of: key)
        if count == 0 { continue }
        if count > JoinLimits.crowd {
          found.crowdedLater.append(hop)
          crowded.insert(key)
          continue
        }
        index.forEach(key) { other in
          if other != hop, fit(hops[Int(other)], candidate) { found.edges.append(JoinEdge(earlier: other, later: hop)) }
        }
      }
    }
    for key in crowded { index.forEach(key) { found.crowdedEarlier.append($0) } }
    return found
  }

  /// Marks the crowds; the pairs beside them.
  mutating func take(_ found: Candidates) -> [JoinEdge] {
    for hop in found.crowdedEarlier { marks[Int(hop)].insert(.isAmbiguousEarlier) }
    for hop in found.crowdedLater { marks[Int(hop)].insert(.isAmbiguousLater) }
    return found.edges
  }

  @inline(__always) private static func slotted(_ key: UInt64, _ slot: Int64) -> UInt64 {
    var mixer = Mixer()
    mixer.add(key)
    mixer.add(slot)
    return mixer.value
  }

  // MARK: - Decisions

  /// Joins the pairs whose hops are each other's only candidate; then, if clocks may decide, those of the rest that are
  /// near each other in time, by the same rule. Whoever has candidates and no partner is ambiguous.
  mutating func settle(_ edges: [JoinEdge], byClocks: Bool) {
    var open = edges.filter(isOpen)
    acceptOnlyPairs(open)
    open = open.filter(isOpen)
    guard !open.isEmpty else { return }
    if byClocks { acceptOnlyPairs(open.filter(isNear)) }
    for edge in open {
      if later[Int(edge.earlier)] < 0 { marks[Int(edge.earlier)].insert(.isAmbiguousEarlier) }
      if earlier[Int(edge.later)] < 0 { marks[Int(edge.later)].insert(.isAmbiguousLater) }
    }
  }

  func isOpen(_ edge: JoinEdge) -> Bool { isOpenEarlier(edge.earlier) && isOpenLater(edge.later) }
  func isOpenEarlier(_ hop: Int32) -> Bool {
    later[Int(hop)] < 0 && !marks[Int(hop)].contains(.isAmbiguousEarlier)
  }
  func isOpenLater(_ hop: Int32) -> Bool {
    earlier[Int(hop)] < 0 && !marks[Int(hop)].contains(.isAmbiguousLater)
  }

  private mutating func acceptOnlyPairs(_ edges: [JoinEdge]) {
    for edge in onlyPairs(edges) {
      later[Int(edge.earlier)] = edge.later
      earlier[Int(edge.later)] = edge.earlier
      marks[Int(edge.earlier)].insert(.hasLater)
    }
  }

  /// The pairs whose hops are in no other pair.
  func onlyPairs(_ edges: [JoinEdge]) -> [JoinEdge] {
    guard !edges.isEmpty else { return [] }
    var earlierCounts = [UInt8](repeating: 0, count: hops.count)
    var laterCounts = [UInt8](repeating: 0, count: hops.count)
    for edge in edges {
      if earlierCounts[Int(edge.earlier)] < 2 { earlierCounts[Int(edge.earlier)] += 1 }
      if laterCounts[Int(edge.later)] < 2 { laterCounts[Int(edge.later)] += 1 }
    }
    return edges.filter { earlierCounts[Int($0.earlier)] == 1 && laterCounts[Int($0.later)] == 1 }
  }

  // MARK: - Clocks

  @inline(__always) func difference(_ edge: JoinEdge) -> Int64 {
    hops[Int(edge.later)].startedAtMs &- hops[Int(edge.earlier)].startedAtMs
  }

  /// The two clocks and the stretch of time: a merged log holds lines of many clocks, one per address.
  func clocks(_ earlier: Hop, _ later: Hop) -> UInt64 {
    var mixer = Mixer()
    mixer.add(source(earlier).log)
    mixer.add(local(earlier))
    mixer.add(source(later).log)
    mixer.add(source(later).own)
    mixer.add(
      earlier.startedAtMs >= 0
        ? earlier.startedAtMs / JoinLimits.skewCellMs
        : (earlier.startedAtMs &- JoinLimits.skewCellMs &+ 1) / JoinLimits.skewCellMs)
    return mixer.value
  }

  func skew(_ earlier: Hop, _ later: Hop) -> Skew { skews[clocks(earlier, later)] ?? Skew() }

  /// Learns the skew of clocks from pairs that are beyond doubt, where it is not known already.
  mutating func learnSkew(from edges: [JoinEdge]) {
    var samples: [UInt64: [Int64]] = [:]
    for edge in onlyPairs(edges) {
      let clocks = clocks(hops[Int(edge.earlier)], hops[Int(edge.later)])
      if skews[clocks]?.ms == nil { samples[clocks, default: []].append(difference(edge)) }
    }
    for (clocks, var differences) in samples {
      differences.sort()
      if differences.count >= JoinLimits.skewSamples {
        skews[clocks, default: Skew()].ms = differences[differences.count / 2]
      } else if let first = differences.first, let last = differences.last, last - first <= JoinLimits.narrowMs {
        skews[clocks, default: Skew()].hint = first
      }
    }
  }

  /// The clocks allow that the pair is one way.
  func isTimely(_ edge: JoinEdge) -> Bool {
    let earlier = hops[Int(edge.earlier)]
    let later = hops[Int(edge.later)]
    // A request's last attempt may begin long after the first; a connection is made at once.
    let delay = destination(earlier).isHTTP ? min(max(earlier.durationMs, 0), 2 * JoinLimits.slotMs) : 0
    let difference = difference(edge)
    guard let skew = skew(earlier, later).ms else {
      return -JoinLimits.unknownSkewMs <= difference && difference - delay <= JoinLimits.unknownSkewMs
    }
    let late = destination(earlier).isHTTP ? delay + JoinLimits.knownSkewMs : JoinLimits.connectMs
    return -JoinLimits.knownSkewMs <= difference - skew && difference - skew <= late
  }

  /// The clocks leave next to no difference; false where they are not known.
  func isNear(_ edge: JoinEdge) -> Bool {
    let skew = skew(hops[Int(edge.earlier)], hops[Int(edge.later)])
    guard let ms = skew.ms ?? skew.hint else { return false }
    return abs(difference(edge) - ms) <= JoinLimits.narrowMs
  }
}
