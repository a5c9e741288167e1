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
  /// Flows in the memory of a thread at once, at some 300 bytes each. With fewer, more of them are looked at twice; with
  /// more, they leave the processor's cache.
  static let mostInMemory: Int64 = 60_000
  /// As many, by all threads together, where fewer would not be enough to decide `fewMinutes` at once; more only where a
  /// single minute and what lies within its influence hold more.
  static let mostTogether: Int64 = 200_000
  /// Twice the minutes around them that are looked at once more.
  static let fewMinutes = 4 * influence
  /// A minute with more around it is left unjoined: at some 170 bytes each, the limit of memory.
  static let mostHops: Int64 = 3_000_000
  /// Minutes of clocks that wait to be written, at 8 bytes each: every hour of a clock is a row, which is best written once.
  public static let mostClockMinutes = 400_000
  /// So many stretches before the end, minutes of clocks are written while others still join: behind it nobody works beside.
  static let lastStretches = 8
  /// Flows of which the places are committed, and brought into the file, while others are still being joined. About 9 bytes
  /// each.
  public static let flowsPerCommit: Int64 = 2_000_000
  /// Flows from which on it is worth to bring everything into the file, where pages can be read.
  public static let worthPages: Int64 = 50_000

  /// What some minutes ask for; `flows` is how many stand in all of them.
  struct Stretch: Sendable {
    var first: Int64
    var last: Int64
    var flows: Int64
  }

  /// - Parameters:
  ///   - known: the store's facts, where they were just read; they are let go as soon as they have been used.
  ///   - worthPages: another limit, for tests of either way, as the next two.
  /// - Returns: the minutes that hold too many flows to be joined.
  @discardableResult
  public static func run(
    store: FlowStore, known: consuming StoredFacts? = nil, worthPages: Int64 = JoinHops.worthPages,
    flowsPerCommit: Int64 = JoinHops.flowsPerCommit, mostClockMinutes: Int = JoinHops.mostClockMinutes
  ) throws(StoreError) -> Int {
    let secondViews = try store.secondViews()
    return try run(
      store: store, known: known.take(), secondViews: { secondViews }, worthPages: worthPages,
      flowsPerCommit: flowsPerCommit,
      mostClockMinutes: mostClockMinutes
    ) { () throws(StoreError) in }
  }

  /// The same, of a store that is being judged: what was read is committed meanwhile, and the verdicts are written while others
  /// are being joined. A run that dies in between leaves what one leaves that dies while it reads: rows, and a store that says
  /// that it is not judged.
  ///
  /// - Parameters:
  ///   - write: writes the verdicts, and whatever else is to be done that does not need the journeys; called once.
  static func run(
    store: FlowStore, beside verdicts: Verdicts, worthPages: Int64 = JoinHops.worthPages,
    write: (Judgement) throws(StoreError) -> Void
  ) throws(StoreError) -> Int {
    var isWritten = false
    func writeOnce() throws(StoreError) {
      if isWritten { return }
      isWritten = true
      try write(verdicts.judgement)
    }
    let tooDense = try run(
      store: store, known: verdicts.takeFacts(), secondViews: { verdicts.judgement.secondViews },
      worthPages: worthPages,
      flowsPerCommit: JoinHops.flowsPerCommit, mostClockMinutes: JoinHops.mostClockMinutes, meanwhile: writeOnce)
    // Where there is nothing to join.
    try writeOnce()
    return tooDense
  }

  /// - Parameters:
  ///   - secondViews: asked for after what was read was committed.
  ///   - meanwhile: called while others are joining, before anything that they find is written.
  private static func run(
    store: FlowStore, known: consuming StoredFacts?, secondViews: () -> Set<Int64>, worthPages: Int64,
    flowsPerCommit: Int64,
    mostClockMinutes: Int, meanwhile: () throws(StoreError) -> Void
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
    let made = HandOver<HopTraits>(capacity: 1)
    if let known { make(made, of: known) } else { make(made, of: try store.facts()) }
    var tooDense = 0
    var stretches: [Stretch] = []
    for (from, until) in parts {
      stretches += self.stretches(from, until, try store.flowCounts(minutes: from - influence, until + influence)) {
        tooDense += 1
      }
    }
    let flows = stretches.reduce(0) { $0 + $1.flows }
    let pages = flows >= worthPages ? try store.hopPages() : nil
    guard var traits = made.receive() else { preconditionFailure("only the caller closes what traits come through") }
    traits.leaveOut(secondViews())
    if flows >= worthPages {
      // What reading the logs has left behind goes back to the system before joining takes as much; no other thread runs, which
      // would have to be told of each page.
      store.releaseMemory()
      FreedMemory.giveBack()
    }
    let steps = Steps(
      flowsPerCommit: pages == nil ? .max : flowsPerCommit, mostClockMinutes: mostClockMinutes)
    if pages == nil {
      try join(stretches, traits, store, nil, steps, meanwhile)
    } else {
      // What is written is not read again.
      try store.withSmallCache { () throws(StoreError) in try join(stretches, traits, store, pages, steps, meanwhile) }
    }
    try store.closeMinutes()
    return tooDense
  }

  private static func make(_ made: HandOver<HopTraits>, of facts: consuming StoredFacts) {
    let (sources, destinations, outcomes) = (facts.sources, facts.destinations, facts.outcomes)
    DispatchQueue.global(qos: .userInitiated).async {
      _ = made.send(
        HopTraits(
          sources: sources.map { ($0.id, $0.source) }, destinations: destinations, outcomes: outcomes))
    }
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

  /// Cuts the minutes `from...until` into the longest stretches that fit into memory with what lies around them.
  /// - Parameter counts: flows of each minute that has some, from before `from` to behind `until`.
  static func stretches(
    _ from: Int64, _ until: Int64, _ counts: [(minute: Int64, flows: Int64)], tooDense: () -> Void
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
      while last < until {
        // Empty minutes cost nothing: the next one that matters comes into sight, or the end is reached.
        let next = high < counts.count ? min(max(counts[high].minute - influence, last + 1), until) : until
        let more = place(next + influence + 1, from: high)
        let most = next - first < fewMinutes ? mostTogether : mostInMemory
        guard sums[more] - sums[low] <= most else {
          // Up to where it comes into sight.
          last = max(last, next - 1)
          break
        }
        (last, high, flows) = (next, more, sums[more] - sums[low])
      }
      if flows > mostHops {
        tooDense()
      } else if flows > 0 {
        stretches.append(Stretch(first: first, last: last, flows: flows))
      }
      first = last + 1
    }
    return stretches
  }

  private struct Steps {
    var flowsPerCommit: Int64
    var mostClockMinutes: Int
  }

  private static func join(
    _ stretches: [Stretch], _ traits: HopTraits, _ store: FlowStore, _ pages: HopPages?, _ steps: Steps,
    _ meanwhile: () throws(StoreError) -> Void
  ) throws(StoreError) {
    let joiner = JourneyJoiner(traits)
    let crew = HopCrew(joiner, traits, noted: try store.logsWithClockMinutes(), store, pages)
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
      left -= 1
      if minutes.count >= steps.mostClockMinutes || left == JoinHops.lastStretches { try noteMinutes() }
      // The rows themselves are committed where pages can be read, and their minutes stay open until the end, so that this
      // is no more than what a run that ends here has done.
      undone += found.decided.reduce(0) { $0 + Int64($1.count) }
      if undone >= steps.flowsPerCommit {
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
