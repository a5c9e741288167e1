internal import Flows

/// A pair that may be two hops of one way, with what the clocks are asked.
struct JoinEdge {
  var earlier: Int32
  var later: Int32
  /// The number of its clocks' cell, once it is taken.
  var clocks: Int32 = -1
  /// Within some eight seconds: the hops of a pair lie in neighbouring slots.
  var differenceMs: Int32 = 0
  /// A request's last attempt may begin long after the first; a connection is made at once, and has no delay.
  var delayMs: Int32 = 0
  var isHTTP = false
  /// nginx may write whole seconds: then its starts scatter over one.
  var isWholeSecond = false
  /// Neither hop is in another pair of those that `JoinWindow.noteOnly` looked at.
  var isOnly = false
}

/// A hop as one end of a pair: what most keys are made of, side by side for those who look at all hops.
struct HopEnd {
  var requestHash: UInt64
  var hop: Int32
  /// Of an earlier hop, where it dialled out from; of a later one, the client's. 0 when unknown.
  var address: Int32
  /// The port there; 0 when not logged.
  var port: UInt16
  var isHTTP: Bool
  /// The client's address is another's word.
  var isForwarded: Bool
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
    let rawValue: UInt16
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
    /// See `JourneyPlace.leadsByLooks`.
    static let leadsByLooks = Mark(rawValue: 256)
  }

  /// Both are the caller's, who keeps them until the window is gone. A hop whose ids the traits do not hold joins nothing.
  let hops: UnsafeBufferPointer<Hop>
  let traits: HopTraits.Tables
  /// Of each hop, the one before it; -1 for none. The window's own, as the next four, until `deallocate()`.
  let earlier: UnsafeMutableBufferPointer<Int32>
  /// Of each hop, the one after it that gave the answer; -1 for none.
  let later: UnsafeMutableBufferPointer<Int32>
  let marks: UnsafeMutableBufferPointer<Mark>
  /// Pairs of each hop, up to 2: all zero but inside `noteOnly`.
  private let earlierCounts: UnsafeMutableBufferPointer<UInt8>
  private let laterCounts: UnsafeMutableBufferPointer<UInt8>
  /// What grows. Behind a pointer, so that a copy of the window, of which the rules' closures make many, counts no
  /// references.
  private let contents: UnsafeMutablePointer<Contents>

  private struct Contents {
    var cells = ClockCells()
    var outs: [HopEnd] = []
    var ins: [HopEnd] = []
    var tellsOfClocks = false
  }

  var cells: ClockCells { _read { yield contents.pointee.cells } }
  @inline(__always) func learn(_ body: (UnsafeMutableBufferPointer<Skew>) -> Void) {
    contents.pointee.cells.withSkews(body)
  }
  /// Hops that dialled out, and hops that were dialled, in their order, as far as any could have another hop.
  var outs: [HopEnd] { contents.pointee.outs }
  var ins: [HopEnd] { contents.pointee.ins }
  /// Some of the later hops may show how right a clock is.
  var tellsOfClocks: Bool { contents.pointee.tellsOfClocks }

  /// - Parameters:
  ///   - part: which of the addresses are looked at, where `parts` share the work. All that joins needs one address at
  ///     both ends, so no pair and no clock is seen by two of them.
  init(_ hops: UnsafeBufferPointer<Hop>, _ traits: HopTraits.Tables, part: Int, of parts: Int) {
    self.hops = hops
    self.traits = traits
    contents = .allocate(capacity: 1)
    contents.initialize(to: Contents())
    var (ins, outs): ([HopEnd], [HopEnd]) = ([], [])
    // Where no hop before a proxy's line is asked for, later hops are few, and tell which earlier ones may belong to them.
    let takesBoth = traits.hasProxies
    if takesBoth {
      // About half of them each, where two proxies logged the same.
      ins.reserveCapacity(hops.count / 2)
      outs.reserveCapacity(hops.count / 2)
    }
    for index in hops.indices {
      guard let source = traits.source(of: hops[index]) else { continue }
      if source.pointee.hasEarlier, JoinWindow.part(of: source.pointee.client, parts) == part {
        ins.append(JoinWindow.in(hops[index], index, source, traits))
      }
      if takesBoth, let out = JoinWindow.out(hops[index], index, source, traits),
        JoinWindow.part(of: out.address, parts) == part
      {
        outs.append(out)
      }
    }
    // Nothing can be joined then, and nothing is asked of the rest.
    let count = ins.isEmpty ? 0 : hops.count
    earlier = .allocate(capacity: count)
    earlier.initialize(repeating: -1)
    later = .allocate(capacity: count)
    later.initialize(repeating: -1)
    marks = .allocate(capacity: count)
    marks.initialize(repeating: [])
    earlierCounts = .allocate(capacity: count)
    earlierCounts.initialize(repeating: 0)
    laterCounts = .allocate(capacity: count)
    laterCounts.initialize(repeating: 0)
    guard count > 0 else { return }
    let meetings = Meetings(ins, hops, traits)
    contents.pointee.tellsOfClocks = meetings.tellsOfClocks
    if takesBoth {
      outs.removeAll { !meetings.mayHold($0) }
    } else {
      for index in hops.indices {
        guard let source = traits.source(of: hops[index]),
          let out = JoinWindow.out(hops[index], index, source, traits),
          JoinWindow.part(of: out.address, parts) == part, meetings.mayHold(out)
        else { continue }
        outs.append(out)
      }
    }
    (contents.pointee.ins, contents.pointee.outs) = (ins, outs)
  }

  /// A hop as one that was dialled; `source` says that it may have been.
  @inline(__always)
  static func `in`(
    _ hop: Hop, _ index: Int, _ source: UnsafePointer<HopTraits.SourceTraits>, _ traits: HopTraits.Tables
  ) -> HopEnd {
    HopEnd(
      requestHash: hop.requestHash, hop: Int32(truncatingIfNeeded: index), address: source.pointee.client,
      port: hop.sourcePort, isHTTP: traits.destinationKinds[Int(hop.destination)].contains(.isHTTP),
      isForwarded: source.pointee.isClientForwarded)
  }

  /// A hop as one that dialled out, where it did.
  @inline(__always)
  static func out(
    _ hop: Hop, _ index: Int, _ source: UnsafePointer<HopTraits.SourceTraits>, _ traits: HopTraits.Tables
  ) -> HopEnd? {
    guard source.pointee.hasLater else { return nil }
    let kind = traits.destinationKinds[Int(hop.destination)]
    guard kind.contains(.hasUpstream) else { return nil }
    return HopEnd(
      requestHash: hop.requestHash, hop: Int32(truncatingIfNeeded: index), address: traits.local(hop),
      port: hop.localPort, isHTTP: kind.contains(.isHTTP), isForwarded: false)
  }

  func deallocate() {
    contents.deinitialize(count: 1)
    contents.deallocate()
    for numbers in [earlier, later] { numbers.deallocate() }
    marks.deallocate()
    for counts in [earlierCounts, laterCounts] { counts.deallocate() }
  }

  /// Numbers of addresses follow each other; the product's high bits depend on all of theirs.
  @inline(__always) static func part(of address: Int32, _ parts: Int) -> Int {
    parts == 1
      ? 0 : Int(truncatingIfNeeded: (UInt64(UInt32(bitPattern: address)) &* 0x9E37_79B9_7F4A_7C15) >> 40) % parts
  }

  @inline(__always) func source(_ hop: Hop) -> HopTraits.SourceTraits { traits.sources[Int(hop.source)] }
  @inline(__always) func destination(_ hop: Hop) -> HopTraits.DestinationTraits {
    traits.destinations[Int(hop.destination)]
  }

  @inline(__always) func local(_ hop: Hop) -> Int32 { traits.local(hop) }

  @inline(__always) static func slot(_ hop: Hop) -> Int64 { hop.startedAtMs >> JoinLimits.slotBits }

  // MARK: - Candidates

  /// All pairs with equal keys in neighbouring slots that `fit`; key 0 stands for none.
  ///
  /// Where a crowd has one key in one slot, no pair is made of it. The keys of the later hops are looked at first, so that
  /// of the earlier ones only those are kept that one of them may ask for.
  @inline(__always)
  func candidates(
    earlier outs: [HopEnd], _ keyOfEarlier: (HopEnd) -> UInt64, later ins: [HopEnd], _ keyOfLater: (HopEnd) -> UInt64,
    fit: (Hop, Hop) -> Bool
  ) -> Candidates {
    var found = Candidates()
    var filter = KeyFilter(count: ins.count)
    let laterKeys = entries(ins) { end in
      let key = keyOfLater(end)
      if key != 0 { filter.add(key) }
      return key
    }
    guard !laterKeys.isEmpty else { return found }
    let index = KeyIndex(
      entries(outs) { end in
        let key = keyOfEarlier(end)
        return key != 0 && filter.mayHold(key) ? key : 0
      })
    guard !index.isEmpty else { return found }
    found.edges.reserveCapacity(laterKeys.count)
    var longChains: [KeyIndex.Entry] = []
    index.ask { index in
      for later in laterKeys {
        let chain = index.chain(of: later.key)
        if chain < 0 { continue }
        if index.isLonger(chain, than: JoinWindow.longChain) {
          longChains.append(later)
          continue
        }
        let candidate = hops[Int(later.hop)]
        let slot = JoinWindow.slot(candidate)
        index.forEach(from: chain) { other in
          let earlier = hops[Int(other)]
          if other != later.hop, abs(JoinWindow.slot(earlier) &- slot) <= 1, fit(earlier, candidate) {
            found.edges.append(edge(other, earlier, later.hop, candidate))
          }
        }
      }
    }
    if !longChains.isEmpty { addSlotBySlot(longChains, index, fit, &found) }
    return found
  }

  /// Those ends of hops that have a key other than 0, with it.
  @inline(__always)
  private func entries(_ ends: [HopEnd], _ key: (HopEnd) -> UInt64) -> [KeyIndex.Entry] {
    [KeyIndex.Entry](unsafeUninitializedCapacity: ends.count) { entries, count in
      for end in ends {
        let key = key(end)
        if key == 0 { continue }
        // In bounds: at most one of each end.
        (entries.baseAddress! + count).initialize(to: KeyIndex.Entry(key: key, hop: end.hop))
        count &+= 1
      }
    }
  }

  /// The pairs of later hops whose keys many earlier ones have.
  private func addSlotBySlot(
    _ laterKeys: [KeyIndex.Entry], _ index: KeyIndex, _ fit: (Hop, Hop) -> Bool, _ found: inout Candidates
  ) {
    let slotted = KeyIndex(
      index.ask { index in
        index.entries(ofMoreThan: JoinWindow.longChain).map {
          KeyIndex.Entry(key: JoinWindow.slotted($0.key, JoinWindow.slot(hops[Int($0.hop)])), hop: $0.hop)
        }
      })
    slotted.ask { slotted in
      var crowded: Set<UInt64> = []
      for later in laterKeys {
        let candidate = hops[Int(later.hop)]
        let slot = JoinWindow.slot(candidate)
        for beside in slot - 1...slot + 1 {
          let key = JoinWindow.slotted(later.key, beside)
          let chain = slotted.chain(of: key)
          if chain < 0 { continue }
          if slotted.isLonger(chain, than: JoinLimits.crowd) {
            found.crowdedLater.append(later.hop)
            crowded.insert(key)
            continue
          }
          slotted.forEach(from: chain) { other in
            let earlier = hops[Int(other)]
            if other != later.hop, fit(earlier, candidate) {
              found.edges.append(edge(other, earlier, later.hop, candidate))
            }
          }
        }
      }
      for key in crowded { slotted.forEach(from: slotted.chain(of: key)) { found.crowdedEarlier.append($0) } }
    }
  }

  @inline(__always) private func edge(_ from: Int32, _ earlier: Hop, _ to: Int32, _ later: Hop) -> JoinEdge {
    let isHTTP = destination(earlier).isHTTP
    return JoinEdge(
      earlier: from, later: to,
      differenceMs: Int32(truncatingIfNeeded: later.startedAtMs &- earlier.startedAtMs),
      delayMs: isHTTP ? Int32(truncatingIfNeeded: min(max(earlier.durationMs, 0), 2 * JoinLimits.slotMs)) : 0,
      isHTTP: isHTTP, isWholeSecond: source(later).proxy == .nginxStream)
  }

  /// A key that more hops have than this is looked up slot by slot.
  private static let longChain = 16

  @inline(__always) private static func slotted(_ key: UInt64, _ slot: Int64) -> UInt64 {
    var mixer = Mixer()
    mixer.add(key)
    mixer.add(slot)
    return mixer.value
  }

  /// Marks the crowds; the pairs beside them, each with its clocks.
  func take(_ found: consuming Candidates) -> [JoinEdge] {
    for hop in found.crowdedEarlier { marks[Int(hop)].insert(.isAmbiguousEarlier) }
    for hop in found.crowdedLater { marks[Int(hop)].insert(.isAmbiguousLater) }
    var edges: [JoinEdge] = []
    // In place: a copy would be a second one.
    swap(&edges, &found.edges)
    contents.pointee.cells.number(&edges) { JoinWindow.clocks(hops[Int($0.earlier)], hops[Int($0.later)], traits) }
    return edges
  }

  // MARK: - Decisions

  /// Joins the pairs whose hops are each other's only candidate; then, if clocks may decide, those of the rest that are
  /// near each other in time, by the same rule. Whoever has candidates and no partner is ambiguous.
  func settle(_ edges: [JoinEdge], byClocks: Bool) {
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

  func acceptOnlyPairs(_ edges: [JoinEdge]) {
    for edge in onlyPairs(edges) { accept(edge) }
  }

  func accept(_ edge: JoinEdge) {
    later[Int(edge.earlier)] = edge.later
    earlier[Int(edge.later)] = edge.earlier
    marks[Int(edge.earlier)].insert(.hasLater)
  }

  /// The pairs whose hops are in no other pair.
  func onlyPairs(_ edges: [JoinEdge]) -> [JoinEdge] {
    var edges = edges
    noteOnly(&edges)
    return edges.filter(\.isOnly)
  }

  /// Says of each pair whether its hops are in another.
  func noteOnly(_ edges: inout [JoinEdge]) {
    edges.withUnsafeMutableBufferPointer { edges in
      for edge in edges {
        if earlierCounts[Int(edge.earlier)] < 2 { earlierCounts[Int(edge.earlier)] += 1 }
        if laterCounts[Int(edge.later)] < 2 { laterCounts[Int(edge.later)] += 1 }
      }
      for index in edges.indices {
        edges[index].isOnly =
          earlierCounts[Int(edges[index].earlier)] == 1 && laterCounts[Int(edges[index].later)] == 1
      }
      for edge in edges {
        earlierCounts[Int(edge.earlier)] = 0
        laterCounts[Int(edge.later)] = 0
      }
    }
  }
}
