internal import Dispatch
public import FlowStore
internal import Flows
internal import Journeys

/// Joins the hops of a store into journeys, in the open transaction: those of the minutes with new flows, and those that
/// the new ones can change.
///
/// Works through time in stretches, so that memory is bounded by what begins in one; the result is that of joining the
/// whole store at once. Much is read from the pages of the file, little by SQL.
public enum JoinHops {
  /// Minutes around a flow that its coming can change, and that have to be seen to decide a flow.
  static let influence = JoinLimits.influenceMs / 60_000
  /// To join a flow in parts takes as long as to look at it twice, as happens where a stretch is about as long as what lies
  /// around it.
  static let fewMinutes = 2 * influence - 1
  /// A minute with more around it is left unjoined: if they all have one address, they are in memory together.
  static let mostHops: Int64 = 3_000_000
  /// So many stretches before the end, minutes of clocks are written while others still join: behind it nobody works beside.
  static let lastStretches = 8

  /// What some minutes ask for; `flows` is how many stand in all of them.
  struct Stretch: Sendable {
    var first: Int64
    var last: Int64
    var flows: Int64
    /// Not all of them should be in memory at once.
    var isDense: Bool
  }

  /// - Returns: the minutes that hold too many flows to be joined.
  @discardableResult
  public static func run(store: FlowStore, sizes: JoinSizes = JoinSizes()) throws(StoreError) -> Int {
    try run(store: store, traits: nil, sizes: sizes)
  }

  /// - Parameter traits: those of the store's facts, where they are being made already.
  static func run(
    store: FlowStore, traits: ComingTraits?, sizes: JoinSizes = JoinSizes()
  ) throws(StoreError) -> Int {
    let secondViews = try store.secondViews()
    return try run(
      store: store,
      traits: { () throws(StoreError) in if let traits { traits } else { ComingTraits(try store.facts()) } },
      secondViews: { secondViews }, sizes: sizes
    ) { () throws(StoreError) in }
  }

  /// The same, of a store that is being judged: what was read is committed meanwhile, and the verdicts are written while others
  /// are being joined. A run that dies in between leaves what one leaves that dies while it reads: rows, and a store that says
  /// that it is not judged.
  ///
  /// - Parameters:
  ///   - write: writes the verdicts, and whatever else is to be done that does not need the journeys; called once.
  static func run(
    store: FlowStore, beside verdicts: Verdicts, sizes: JoinSizes, write: (Judgement) throws(StoreError) -> Void
  ) throws(StoreError) -> Int {
    var isWritten = false
    func writeOnce() throws(StoreError) {
      if isWritten { return }
      isWritten = true
      try write(verdicts.judgement)
    }
    let tooDense = try run(
      store: store,
      traits: { () throws(StoreError) in
        if let facts = verdicts.takeFacts() { ComingTraits(facts) } else { ComingTraits(try store.facts()) }
      }, secondViews: { verdicts.judgement.secondViews }, sizes: sizes, meanwhile: writeOnce)
    // Where there is nothing to join.
    try writeOnce()
    return tooDense
  }

  /// - Parameters:
  ///   - traits: asked for where there is something to join.
  ///   - secondViews: asked for after what was read was committed.
  ///   - meanwhile: called while others are joining, before anything that they find is written.
  private static func run(
    store: FlowStore, traits coming: () throws(StoreError) -> ComingTraits, secondViews: () -> Set<Int64>,
    sizes: JoinSizes, meanwhile: () throws(StoreError) -> Void
  ) throws(StoreError) -> Int {
    let open = try store.openMinutes()
    guard !open.isEmpty else { return 0 }
    let parts = apart(from: try store.talliedMinutes(), reach(of: open))
    guard !parts.isEmpty else {
      // Near flows without rows nothing is joined.
      try store.closeMinutes()
      return 0
    }
    // Made while the store brings what was read into its file.
    let made = try coming()
    var tooDense = 0
    var stretches: [Stretch] = []
    for (from, until) in parts {
      let counts = try store.flowCounts(minutes: from - influence, until + influence)
      stretches += self.stretches(from, until, counts, most: sizes.mostInMemory, mostOfFew: sizes.mostInParts) {
        tooDense += 1
      }
    }
    let flows = stretches.reduce(0) { $0 + $1.flows }
    let pages = flows >= sizes.worthPages ? try store.hopPages() : nil
    var traits = made.wait()
    traits.leaveOut(secondViews())
    if flows >= sizes.worthPages {
      // What reading the logs has left behind goes back to the system before joining takes as much; no other thread runs, which
      // would have to be told of each page.
      store.releaseMemory()
      FreedMemory.giveBack()
    }
    if pages == nil {
      try join(stretches, traits, store, nil, sizes, meanwhile)
    } else {
      // What is written is not read again.
      try store.withSmallCache { () throws(StoreError) in try join(stretches, traits, store, pages, sizes, meanwhile) }
    }
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

  /// The parts of some stretches that lie further from each of some minutes than a flow can have influence: near them, the
  /// hop that belongs to a flow may be one that has no row, and another that looks like it would be joined in its place.
  static func apart(from minutes: [Int64], _ stretches: [(Int64, Int64)]) -> [(Int64, Int64)] {
    var parts: [(Int64, Int64)] = []
    var next = 0
    for (from, until) in stretches {
      var first = from
      while next < minutes.count, minutes[next] + influence < from { next += 1 }
      var place = next
      while place < minutes.count, minutes[place] - influence <= until {
        if minutes[place] - influence > first { parts.append((first, minutes[place] - influence - 1)) }
        first = max(first, minutes[place] + influence + 1)
        place += 1
      }
      if first <= until { parts.append((first, until)) }
    }
    return parts
  }

  /// Cuts the minutes `from...until` into the longest stretches that hold no more than is wanted with what lies around them.
  /// - Parameters:
  ///   - counts: flows of each minute that has some, from before `from` to behind `until`.
  ///   - most: flows of a stretch, unless `fewMinutes` have more.
  ///   - mostOfFew: flows of one that is shorter, unless a minute has more.
  static func stretches(
    _ from: Int64, _ until: Int64, _ counts: [(minute: Int64, flows: Int64)], most: Int64, mostOfFew: Int64,
    tooDense: () -> Void
  ) -> [Stretch] {
    var sums: [Int64] = [0]
    for count in counts { sums.append(sums[sums.count - 1] + count.flows) }
    // Flows of the minutes first...last, by two walks through `counts` that never go back.
    func place(_ minute: Int64, from place: Int) -> Int {
      var place = place
      while place < counts.count, counts[place].minute < minute { place += 1 }
      return place
    }
    var stretches: [Stretch] = []
    var (low, high) = (0, 0)
    var first = from
    while first <= until {
      low = place(first - influence, from: low)
      high = place(first + influence + 1, from: max(low, high))
      var last = first
      var flows = sums[high] - sums[low]
      var limit = most
      while last < until {
        // Empty minutes cost nothing: the next one that matters comes into sight, or the end is reached.
        let next = high < counts.count ? min(max(counts[high].minute - influence, last + 1), until) : until
        let more = place(next + influence + 1, from: high)
        // Once a stretch has to be joined in parts, it may as well be long.
        if next - first < fewMinutes, sums[more] - sums[low] > most { limit = mostOfFew }
        guard sums[more] - sums[low] <= limit else {
          // Up to where it comes into sight.
          last = max(last, next - 1)
          break
        }
        (last, high, flows) = (next, more, sums[more] - sums[low])
      }
      if flows > mostHops {
        tooDense()
      } else if flows > 0 {
        stretches.append(Stretch(first: first, last: last, flows: flows, isDense: flows > most))
      }
      first = last + 1
    }
    return stretches
  }

  private static func join(
    _ stretches: [Stretch], _ traits: HopTraits, _ store: FlowStore, _ pages: HopPages?, _ sizes: JoinSizes,
    _ meanwhile: () throws(StoreError) -> Void
  ) throws(StoreError) {
    let joiner = JourneyJoiner(traits)
    let crew = HopCrew(joiner, traits, noted: try store.logsWithClockMinutes(), store, pages, sizes)
    let writer = try JoinedWriter(store)
    var clocks = ClockSkews()
    var minutes = ClockMinuteBuffer(crew.clockMinutes)
    func noteMinutes() throws(StoreError) {
      try minutes.removeAll { hours throws(StoreError) in try store.note(hours) }
    }
    var undone: Int64 = 0
    var left = stretches.count
    try crew.join(stretches, meanwhile: meanwhile) { found throws(StoreError) in
      try writer.write(found.joined, of: found.decided)
      clocks.add(found.clocks)
      if !minutes.add(found.clockMinutes) {
        try noteMinutes()
        if !minutes.add(found.clockMinutes) { try store.note(crew.clockMinutes.hours(found.clockMinutes)) }
      }
      if found.isLast { left -= 1 }
      if minutes.count >= sizes.mostClockMinutes || (found.isLast && left == JoinHops.lastStretches) {
        try noteMinutes()
      }
      // The rows themselves are committed where pages can be read, and their minutes stay open until the end, so that this
      // is no more than what a run that ends here has done.
      undone += found.decided.reduce(0) { $0 + Int64($1.count) }
      if pages != nil, undone >= sizes.flowsPerCommit {
        try store.commit()
        undone = 0
      }
    }
    try noteMinutes()
    try store.write(clocks: joiner.named(clocks))
    try store.note(
      crew.ends.entries.map {
        SourceLines(
          source: Int64($0.source), firstEndMs: $0.firstMs, lastEndMs: $0.lastMs, logsSuccess: $0.hasSuccess)
      })
  }
}

/// What joining needs of a store's facts, made by a thread of its own.
struct ComingTraits {
  private let made = HandOver<HopTraits>(capacity: 1)

  init(_ facts: consuming StoredFacts) {
    let (sources, destinations, outcomes) = (facts.sources, facts.destinations, facts.outcomes)
    let made = made
    DispatchQueue.global(qos: .userInitiated).async {
      _ = made.send(
        HopTraits(
          sources: sources.lazy.map { ($0.id, $0.source) }, destinations: destinations, outcomes: outcomes))
    }
  }

  /// Asked for once.
  func wait() -> HopTraits {
    guard let traits = made.receive() else { preconditionFailure("nobody closes what traits come through") }
    return traits
  }
}

extension JoinHops.Stretch {
  /// The flows of these minutes, and those that can change what is said of them.
  func request(_ traits: HopTraits, _ store: FlowStore) throws(StoreError) -> HopRequest {
    let (from, until) = (first - JoinHops.influence, last + JoinHops.influence)
    return HopRequest(
      spans: try store.spans(minutes: from, until), from: from * 60_000, until: (until + 1) * 60_000,
      decidesFrom: first * 60_000, decidesUntil: (last + 1) * 60_000, sources: traits.joinableSources,
      outcomes: traits.joinableOutcomes)
  }
}
