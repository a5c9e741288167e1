public import FlowStore
internal import Flows
internal import Journeys

/// Joins the hops of a store into journeys, in the open transaction: those of the minutes with new flows, and those that
/// the new ones can change.
///
/// Works through time in stretches, so that memory is bounded by what begins in one; the result is that of joining the
/// whole store at once.
public enum JoinHops {
  /// Minutes around a flow that its coming can change, and that have to be seen to decide a flow.
  static let influence = JoinLimits.influenceMs / 60_000
  /// Hops in memory at once, at some 120 bytes each, unless a single minute and what lies within its influence hold more.
  static let stretch: Int64 = 300_000
  /// A minute with more around it is left unjoined: at some 120 bytes each, the limit of memory.
  static let mostHops: Int64 = 3_000_000

  /// - Returns: the minutes that hold too many flows to be joined.
  @discardableResult
  public static func run(store: FlowStore) throws(StoreError) -> Int {
    let open = try store.openMinutes()
    guard !open.isEmpty else { return 0 }
    let facts = try store.facts()
    let traits = HopTraits(
      sources: facts.sources.map { ($0.id, $0.source) }, destinations: facts.destinations, outcomes: facts.outcomes,
      secondViews: try store.secondViews())
    let joiner = JourneyJoiner(traits)
    var ends = LineEnds(traits)
    var tooDense = 0
    for (from, until) in reach(of: open) {
      var first = from
      while first <= until {
        let last = try end(of: first, until, store)
        if try store.flowCount(minutes: first - influence, last + influence) > mostHops {
          tooDense += 1
        } else {
          try join(first, last, joiner, &ends, store)
        }
        first = last + 1
      }
    }
    try store.note(
      ends.entries.map {
        SourceLines(
          source: Int64($0.source), firstEndMs: $0.firstMs, lastEndMs: $0.lastMs, logsSuccess: $0.hasSuccess,
          joinedMs: $0.firstJoinedMs <= $0.lastJoinedMs ? $0.firstJoinedMs...$0.lastJoinedMs : nil)
      })
    try store.closeMinutes()
    return tooDense
  }

  /// The minutes in which something may change, as stretches.
  static func reach(of open: [Int64]) -> [(Int64, Int64)] {
    var stretches: [(Int64, Int64)] = []
    for minute in open {
      if let last = stretches.last, minute - influence <= last.1 + 1 {
        stretches[stretches.count - 1].1 = minute + influence
      } else {
        stretches.append((minute - influence, minute + influence))
      }
    }
    return stretches
  }

  /// The last minute of the longest stretch from `first` on that fits into memory with what lies around it.
  private static func end(of first: Int64, _ until: Int64, _ store: FlowStore) throws(StoreError) -> Int64 {
    if try store.flowCount(minutes: first - influence, until + influence) <= stretch { return until }
    var (fits, tooLong) = (first, until)
    while tooLong - fits > 1 {
      let middle = fits + (tooLong - fits) / 2
      if try store.flowCount(minutes: first - influence, middle + influence) <= stretch {
        fits = middle
      } else {
        tooLong = middle
      }
    }
    return fits
  }

  private static func join(
    _ first: Int64, _ last: Int64, _ joiner: JourneyJoiner, _ ends: inout LineEnds, _ store: FlowStore
  ) throws(StoreError) {
    var hops: [Hop] = []
    var flows: [Int64] = []
    let (from, until) = (first * 60_000, (last + 1) * 60_000)
    try store.hops(minutes: first - influence, last + influence) { hop in
      hops.append(hop)
      ends.note(hop)
      if hop.startedAtMs >= from, hop.startedAtMs < until { flows.append(hop.flow) }
    }
    let joined = joiner.join(hops, from: from, until: until)
    // In the order of the hops.
    var next = joined.startIndex
    for hop in hops where next < joined.endIndex && joined[next].flow == hop.flow {
      if joined[next].place.contains(.hasLater) { ends.noteJoined(hop) }
      next += 1
    }
    try store.write(joined: joined, of: flows)
  }
}
