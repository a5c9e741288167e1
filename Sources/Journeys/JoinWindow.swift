internal import Flows

/// A pair that may be two hops of one way.
struct JoinEdge {
  var earlier: Int32
  var later: Int32
  /// The number of its clocks' cell, once it is taken.
  var clocks: Int32 = -1
}

/// The pairs that one rule allows, and the hops of which it allows too many to look at.
struct Candidates {
  var edges: [JoinEdge] = []
  var crowdedEarlier: [Int32] = []
  var crowdedLater: [Int32] = []
}

/// The working memory of one stretch of time.
struct JoinWindow {
  /// What has been decided of a hop.
  struct Mark: OptionSet {
    let rawValue: UInt8
    static let hasLater = Mark(rawValue: 1)
    static let isAmbiguousEarlier = Mark(rawValue: 2)
    static let isAmbiguousLater = Mark(rawValue: 4)
    static let isRepeated = Mark(rawValue: 8)
    static let isClaimed = Mark(rawValue: 16)
    /// See `JourneyPlace`: without an earlier hop, and no line could be it; without one, but over a known connection.
    static let isUnaccounted = Mark(rawValue: 32)
    static let isFromSidecar = Mark(rawValue: 64)
    /// The line's next hop shows that its proxy's clock is right.
    static let provesClock = Mark(rawValue: 128)
  }

  let hops: [Hop]
  let traits: HopTraits
  /// Of each hop, the one before it; -1 for none.
  var earlier: [Int32]
  /// Of each hop, the one after it that gave the answer; -1 for none.
  var later: [Int32]
  var marks: [Mark]
  var cells = ClockCells()
  /// Hops that dialled out, and hops that were dialled, by their place in `hops`, as far as any could have another hop.
  var outs: [Int32] = []
  var ins: [Int32] = []
  /// Pairs of each hop, up to 2: all zero but inside `onlyPairs`.
  private var earlierCounts: [UInt8]
  private var laterCounts: [UInt8]

  /// - Parameters:
  ///   - part: which of the addresses are looked at, where `parts` share the work. All that joins needs one address at
  ///     both ends, so no pair and no clock is seen by two of them.
  init(_ hops: [Hop], _ traits: HopTraits, part: Int, of parts: Int) {
    self.hops = hops
    self.traits = traits
    for index in hops.indices where traits.outcomes[Int(hops[index].outcome)].isHop {
      let source = traits.sources[Int(hops[index].source)]
      if source.hasEarlier, JoinWindow.part(of: source.client, parts) == part {
        ins.append(Int32(truncatingIfNeeded: index))
      }
    }
    // Nothing can be joined then, and nothing is asked of the rest.
    let count = ins.isEmpty ? 0 : hops.count
    earlier = Array(repeating: -1, count: count)
    later = Array(repeating: -1, count: count)
    marks = Array(repeating: [], count: count)
    earlierCounts = Array(repeating: 0, count: count)
    laterCounts = Array(repeating: 0, count: count)
    guard count > 0 else { return }
    let meetings = Meetings(ins, hops, traits)
    for index in hops.indices where traits.outcomes[Int(hops[index].outcome)].isHop {
      let hop = hops[index]
      guard traits.sources[Int(hop.source)].hasLater, traits.destinations[Int(hop.destination)].upstream != 0
      else { continue }
      let address = local(hop)
      if JoinWindow.part(of: address, parts) == part, meetings?.mayHold(hop, address) ?? true {
        outs.append(Int32(truncatingIfNeeded: index))
      }
    }
  }

  /// Numbers of addresses follow each other; the product's high bits depend on all of theirs.
  @inline(__always) private static func part(of address: Int32, _ parts: Int) -> Int {
    parts == 1
      ? 0 : Int(truncatingIfNeeded: UInt64(UInt32(bitPattern: address)) &* 0x9E37_79B9_7F4A_7C15 >> 40) % parts
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

  /// All pairs with equal keys in neighbouring slots that `fit`; key 0 stands for none, and of earlier hops only some
  /// may be asked.
  ///
  /// Where a crowd has one key in one slot, no pair is made of it. The keys of the later hops are looked at first, so that
  /// of the earlier ones only those are kept that one of them may ask for.
  @inline(__always)
  func candidates(
    earlier outs: [Int32], where mayBeEarlier: (Int32) -> Bool = { _ in true }, _ keyOfEarlier: (Hop) -> UInt64,
    later ins: [Int32], _ keyOfLater: (Hop) -> UInt64,
    fit: (Hop, Hop) -> Bool
  ) -> Candidates {
    var found = Candidates()
    var laterKeys: [(hop: Int32, key: UInt64)] = []
    laterKeys.reserveCapacity(ins.count)
    var filter = KeyFilter(count: ins.count)
    for hop in ins {
      let key = keyOfLater(hops[Int(hop)])
      if key == 0 { continue }
      laterKeys.append((hop, key))
      filter.add(key)
    }
    guard !laterKeys.isEmpty else { return found }
    var index = KeyIndex(reserving: min(outs.count, 2 * laterKeys.count))
    for hop in outs where mayBeEarlier(hop) {
      let key = keyOfEarlier(hops[Int(hop)])
      if key != 0, filter.mayHold(key) { index.add(hop, key) }
    }
    guard !index.isEmpty else { return found }
    index.seal()
    found.edges.reserveCapacity(laterKeys.count)
    var slotted: KeyIndex?
    var crowded: Set<UInt64> = []
    for (hop, key) in laterKeys {
      let chain = index.chain(of: key)
      if chain < 0 { continue }
      let candidate = hops[Int(hop)]
      let slot = JoinWindow.slot(candidate)
      if !index.isLonger(chain, than: JoinWindow.longChain) {
        index.forEach(from: chain) { other in
          let earlier = hops[Int(other)]
          if other != hop, isBeside(JoinWindow.slot(earlier), slot), fit(earlier, candidate) {
            found.edges.append(JoinEdge(earlier: other, later: hop))
          }
        }
        continue
      }
      let bySlot = slotted ?? slottedIndex(index)
      slotted = bySlot
      for beside in slot - 1...slot + 1 {
        let key = JoinWindow.slotted(key, beside)
        let chain = bySlot.chain(of: key)
        if chain < 0 { continue }
        if bySlot.isLonger(chain, than: JoinLimits.crowd) {
          found.crowdedLater.append(hop)
          crowded.insert(key)
          continue
        }
        bySlot.forEach(from: chain) { other in
          if other != hop, fit(hops[Int(other)], candidate) { found.edges.append(JoinEdge(earlier: other, later: hop)) }
        }
      }
    }
    if let slotted {
      for key in crowded { slotted.forEach(from: slotted.chain(of: key)) { found.crowdedEarlier.append($0) } }
    }
    return found
  }

  /// A key that more hops have than this is looked up slot by slot.
  private static let longChain = 16

  @inline(__always) private func isBeside(_ one: Int64, _ other: Int64) -> Bool { abs(one &- other) <= 1 }

  /// The hops of long chains by key and slot.
  private func slottedIndex(_ index: KeyIndex) -> KeyIndex {
    var slotted = KeyIndex(reserving: 0)
    index.forEachEntry(ofMoreThan: JoinWindow.longChain) { hop, key in
      slotted.add(hop, JoinWindow.slotted(key, JoinWindow.slot(hops[Int(hop)])))
    }
    slotted.seal()
    return slotted
  }

  @inline(__always) private static func slotted(_ key: UInt64, _ slot: Int64) -> UInt64 {
    var mixer = Mixer()
    mixer.add(key)
    mixer.add(slot)
    return mixer.value
  }

  /// Marks the crowds; the pairs beside them, each with its clocks.
  mutating func take(_ found: consuming Candidates) -> [JoinEdge] {
    for hop in found.crowdedEarlier { marks[Int(hop)].insert(.isAmbiguousEarlier) }
    for hop in found.crowdedLater { marks[Int(hop)].insert(.isAmbiguousLater) }
    var edges: [JoinEdge] = []
    // In place: a copy would be a second one.
    swap(&edges, &found.edges)
    for index in edges.indices {
      let key = clocks(hops[Int(edges[index].earlier)], hops[Int(edges[index].later)])
      edges[index].clocks = cells.number(of: key)
    }
    return edges
  }

  // MARK: - Decisions

  /// Joins the pairs whose hops are each other's only candidate; then, if clocks may decide, those of the rest that are
  /// near each other in time, by the same rule. Whoever has candidates and no partner is ambiguous.
  mutating func settle(_ edges: [JoinEdge], byClocks: Bool) {
    var open = edges.filter { isOpen($0) }
    acceptOnlyPairs(open)
    open = open.filter { isOpen($0) }
    guard !open.isEmpty else { return }
    if byClocks { acceptOnlyPairs(open.filter { isNear($0) }) }
    for edge in open {
      if later[Int(edge.earlier)] < 0 { marks[Int(edge.earlier)].insert(.isAmbiguousEarlier) }
      if earlier[Int(edge.later)] < 0 { marks[Int(edge.later)].insert(.isAmbiguousLater) }
    }
  }

  @inline(__always) func isOpen(_ edge: JoinEdge) -> Bool { isOpenEarlier(edge.earlier) && isOpenLater(edge.later) }
  @inline(__always) func isOpenEarlier(_ hop: Int32) -> Bool {
    later[Int(hop)] < 0 && !marks[Int(hop)].contains(.isAmbiguousEarlier)
  }
  @inline(__always) func isOpenLater(_ hop: Int32) -> Bool {
    earlier[Int(hop)] < 0 && !marks[Int(hop)].contains(.isAmbiguousLater)
  }

  mutating func acceptOnlyPairs(_ edges: [JoinEdge]) {
    for edge in onlyPairs(edges) { accept(edge) }
  }

  mutating func accept(_ edge: JoinEdge) {
    later[Int(edge.earlier)] = edge.later
    earlier[Int(edge.later)] = edge.earlier
    marks[Int(edge.earlier)].insert(.hasLater)
  }

  /// The pairs whose hops are in no other pair.
  mutating func onlyPairs(_ edges: [JoinEdge]) -> [JoinEdge] {
    guard !edges.isEmpty else { return [] }
    for edge in edges {
      if earlierCounts[Int(edge.earlier)] < 2 { earlierCounts[Int(edge.earlier)] += 1 }
      if laterCounts[Int(edge.later)] < 2 { laterCounts[Int(edge.later)] += 1 }
    }
    let only = edges.filter { earlierCounts[Int($0.earlier)] == 1 && laterCounts[Int($0.later)] == 1 }
    for edge in edges {
      earlierCounts[Int(edge.earlier)] = 0
      laterCounts[Int(edge.later)] = 0
    }
    return only
  }
}
