internal import Dispatch
internal import FlowStore
internal import Flows
internal import Journeys

/// Joins a stretch of which not all hops fit into memory.
///
///     rows -> blocks -> parts on the disk -> links of each part -> table of links -> blocks again -> what is told
///
/// All that joins needs one address at both ends, so the hops are shared out by their addresses, and each part is joined by
/// itself. What is found is kept by the numbers of the hops, 20 bytes each, and told when they are read once more. It is the same
/// that is found where all are in memory.
struct DenseStretch: Sendable {
  let joiner: JourneyJoiner
  let traits: HopTraits
  let hands: [HopHand]
  let request: HopRequest
  /// That stand in its time; the rows it names may be more.
  let flows: Int64
  /// Path of the database.
  let database: String
  let sizes: JoinSizes

  /// - Parameter take: false when nothing more is wanted.
  func join(_ take: (HopCrew.Found) -> Bool) throws(StoreError) {
    FreedMemory.isReturned()
    let rows = request.spans.reduce(0) { $0 + Int64($1.count) }
    let blocks = request.shares(Int(rows / sizes.blockRows) + 1).filter { !$0.spans.isEmpty }
    let meetings = HopParts.asksFirst(traits) ? try meetings(blocks) : nil
    if meetings?.isEmpty ?? false {
      try tell(blocks, nil, take)
    } else {
      let parts = HopParts(traits, count: Int(flows / sizes.partHops) + 1, meetings)
      let spill = try HopSpill(beside: database, parts, blocks: blocks.count)
      try shareOut(blocks, spill)
      let table = LinkTable(traits, parts, count: spill.number())
      FreedMemory.giveBack()
      try joinParts(parts.count, spill, table)
      FreedMemory.giveBack()
      try tell(blocks, (table, spill), take)
    }
    FreedMemory.giveBack()
  }

  private func meetings(_ blocks: [HopRequest]) throws(StoreError) -> NotedMeetings {
    let none = DenseStretch.noMeetings(traits, among: Int(flows))
    let notes = Apart(hands.count, none)
    try share(blocks.count) { hand, number throws(StoreError) in
      try hands[hand].read(blocks[number])
      notes[hand].note(hands[hand].stretch.hops)
    }
    var meetings = none
    for one in notes.all { meetings.add(one) }
    return meetings
  }

  private func shareOut(_ blocks: [HopRequest], _ spill: HopSpill) throws(StoreError) {
    let scratch = Apart(hands.count, HopSpill.Scratch())
    try share(blocks.count) { hand, number throws(StoreError) in
      try hands[hand].read(blocks[number])
      try spill.write(hands[hand].stretch.hops, block: number, &scratch[hand])
    }
    for hand in hands { hand.rest() }
  }

  // MARK: - Parts

  private func joinParts(_ count: Int, _ spill: HopSpill, _ table: LinkTable) throws(StoreError) {
    let memory = Apart(hands.count, PartMemory())
    let learning = DispatchSemaphore(value: 1)
    // The largest first, so that in the end no hand works at one alone.
    let parts = (0..<count).map { (part: $0, hops: spill.count(of: $0)) }.filter { $0.hops > 0 }.sorted {
      $0.hops > $1.hops
    }
    try share(parts.count) { hand, place throws(StoreError) in
      let (part, hops) = parts[place]
      func join(most: Int, from: Int64, until: Int64, _ needed: NeededHops? = nil) throws(StoreError) {
        try memory[hand].read(
          part, spill, needed, most: most, from: from &- JoinLimits.influenceMs,
          until: until &+ JoinLimits.influenceMs)
        let links = joiner.links(memory[hand].hops, part: part, of: count)
        table.add(links, of: memory[hand].hops, part: part, from: from, until: until)
        learning.wait()
        table.learn(links, from: from, until: until)
        learning.signal()
      }
      guard hops > sizes.mostOfPart else {
        return try join(most: hops, from: request.from, until: request.until)
      }
      let needed = try NeededHops(of: part, spill, traits, expecting: hops, &memory[hand].buffer)
      for stretch in try stretches(of: part, spill, needed, &memory[hand].buffer) {
        try join(most: Int(stretch.flows), from: stretch.first * 60_000, until: (stretch.last + 1) * 60_000, needed)
      }
      // A single minute may have needed much.
      memory[hand].hops = []
    }
  }

  private struct PartMemory {
    var hops: [Hop] = []
    var buffer: [Hop] = []

    /// - Parameters:
    ///   - needed: nil for all hops.
    ///   - most: hops that may come.
    mutating func read(
      _ part: Int, _ spill: HopSpill, _ needed: NeededHops?, most: Int, from: Int64, until: Int64
    ) throws(StoreError) {
      var hops: [Hop] = []
      swap(&hops, &self.hops)
      hops.removeAll(keepingCapacity: true)
      // No more than that: what grows takes up to twice the memory.
      hops.reserveCapacity(most)
      try spill.forEach(of: part, from: from, until: until, &buffer) { read in
        let inTime = read.lazy.filter { $0.startedAtMs >= from && $0.startedAtMs < until }
        if let needed { needed.forEach(of: inTime) { hops.append($0) } } else { hops += inTime }
      }
      self.hops = hops
    }
  }

  /// Which hops of a part with very many have to be in memory: those of a gateway's address need not where hardly anybody
  /// behind it writes lines.
  private struct NeededHops {
    private let part: Int
    private let parts: HopParts
    private var meetings: NotedMeetings

    /// - Parameter expected: hops of the part.
    init(
      of part: Int, _ spill: HopSpill, _ traits: HopTraits, expecting expected: Int, _ buffer: inout [Hop]
    ) throws(StoreError) {
      (self.part, parts) = (part, spill.parts)
      var meetings = DenseStretch.noMeetings(traits, among: expected)
      try spill.forEach(of: part, from: .min, until: .max, &buffer) { meetings.note($0) }
      self.meetings = meetings
    }

    func forEach(of hops: some Sequence<Hop>, _ body: (Hop) -> Void) {
      parts.forEachNeeded(of: hops, in: part, meetings, body)
    }
  }

  /// Where more of these hops may have an earlier one than this expects, more of the others are looked at in vain.
  private static func noMeetings(_ traits: HopTraits, among hops: Int) -> NotedMeetings {
    NotedMeetings(traits, expecting: hops / 16 + 1024)
  }

  /// The minutes of the request, as few at a time as a part with many hops in them allows.
  private func stretches(
    of part: Int, _ spill: HopSpill, _ needed: NeededHops, _ buffer: inout [Hop]
  ) throws(StoreError) -> [JoinHops.Stretch] {
    let first = request.from / 60_000
    var counts = [Int64](repeating: 0, count: Int((request.until - request.from) / 60_000))
    try spill.forEach(of: part, from: request.from, until: request.until, &buffer) { hops in
      needed.forEach(of: hops) { counts[Int(($0.startedAtMs - request.from) / 60_000)] += 1 }
    }
    return JoinHops.stretches(
      first, first + Int64(counts.count) - 1,
      counts.enumerated().filter { $0.element > 0 }.map { (first + Int64($0.offset), $0.element) },
      most: sizes.mostOfStretch, mostOfFew: sizes.mostOfStretch
    ) {
      // It has no more than all parts together, which were few enough.
    }
  }

  // MARK: - Telling

  /// Tells block by block what was found; of clocks in the end, since each minute is told once.
  private func tell(
    _ blocks: [HopRequest], _ found: (table: LinkTable, spill: HopSpill)?, _ take: (HopCrew.Found) -> Bool
  ) throws(StoreError) {
    let (from, until) = (request.decidesFrom, request.decidesUntil)
    var begin = 0
    while begin < blocks.count {
      let round = begin..<min(begin + hands.count, blocks.count)
      let told = Apart(round.count, HopCrew.Found(isLast: false))
      try share(round.count) { hand, number throws(StoreError) in
        let hand = hands[hand]
        try hand.read(blocks[begin + number])
        hand.noteEnds()
        told[number].decided = hand.stretch.decided
        guard let (table, spill) = found else { return }
        let first = spill.base(of: begin + number)
        told[number].joined = table.joined(hand.stretch.hops, numberedFrom: first, from: from, until: until)
        table.note(hand.stretch.hops, numberedFrom: first, in: &hand.clockMinutes, from: from, until: until)
      }
      for one in told.all { guard take(one) else { return } }
      begin = round.upperBound
    }
    var last = HopCrew.Found(isLast: true)
    if let table = found?.table {
      last.clocks = table.clocks(from: from, until: until)
      for hand in hands.dropFirst() {
        hands[0].clockMinutes.add(hand.clockMinutes)
        hand.clockMinutes.removeAll()
      }
      last.clockMinutes = hands[0].clockMinutes.noted
      hands[0].clockMinutes.removeAll()
    }
    for hand in hands { hand.rest() }
    _ = take(last)
  }

  // MARK: - Threads

  /// Does the work of each number with one of the hands, on as many threads.
  private func share(_ count: Int, _ work: (_ hand: Int, _ number: Int) throws(StoreError) -> Void) throws(StoreError) {
    let turn = Turn(count)
    withoutActuallyEscaping(work) { work in
      nonisolated(unsafe) let work = work
      DispatchQueue.concurrentPerform(iterations: hands.count) { hand in
        while let number = turn.next() {
          do throws(StoreError) { try work(hand, number) } catch { turn.fail(error) }
        }
      }
    }
    if let failure = turn.failure { throw failure }
  }
}

extension HopHand {
  fileprivate func read(_ request: HopRequest) throws(StoreError) {
    try read(request, flows: request.spans.reduce(0) { $0 + $1.count })
  }
}

/// The next number for whoever asks, until one has failed.
///
/// `@unchecked Sendable`: all is touched under `lock`, but for a last look when all are done.
private final class Turn: @unchecked Sendable {
  private let lock = DispatchSemaphore(value: 1)
  private var rest: Range<Int>
  private(set) var failure: StoreError?

  init(_ count: Int) { rest = 0..<count }

  func next() -> Int? {
    lock.wait()
    defer { lock.signal() }
    return failure == nil ? rest.popFirst() : nil
  }

  func fail(_ error: StoreError) {
    lock.wait()
    if failure == nil { failure = error }
    lock.signal()
  }
}

/// What each hand, or whoever has a number, has for itself.
///
/// `@unchecked Sendable`: each touches its own, and others look when all are done.
private final class Apart<Own>: @unchecked Sendable {
  private let owned: UnsafeMutableBufferPointer<Own>

  init(_ count: Int, _ own: Own) {
    owned = .allocate(capacity: count)
    owned.initialize(repeating: own)
  }

  deinit {
    owned.deinitialize()
    owned.deallocate()
  }

  subscript(number: Int) -> Own {
    get { owned[number] }
    _modify { yield &owned[number] }
  }

  var all: [Own] { Array(owned) }
}
