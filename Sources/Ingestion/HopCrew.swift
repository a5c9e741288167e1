internal import Dispatch
internal import Flows
internal import FlowStore
internal import Journeys

/// Reads and joins one stretch of time after another, on several threads, keeping their memory.
struct HopCrew {
  /// What joining has found of a stretch.
  struct Found {
    var joined: [JoinedHop]
    var decided: [ClosedRange<Int64>]
    var clocks: ClockSkews
  }

  /// As many as the reading of logs has.
  static let handCount = 2

  /// One thread's share of the work.
  ///
  /// `@unchecked Sendable`: a hand is touched by its thread alone until the crew has waited for all of them.
  private final class Hand: @unchecked Sendable {
    var stretch = HopStretch()
    var isUnread = false
    var links = JoinLinks()
    var joined: [JoinedHop] = []
    var ends: LineEnds
    var clockMinutes: ClockMinutes

    init(_ ends: LineEnds, _ clockMinutes: ClockMinutes) { (self.ends, self.clockMinutes) = (ends, clockMinutes) }

    func read(_ request: HopRequest, _ pages: HopPages) {
      do throws(HopPages.Unusable) { try pages.read(request, into: &stretch) } catch { isUnread = true }
    }
  }

  private let joiner: JourneyJoiner
  private let pages: HopPages?
  private let hands: [Hand]
  private let queue = DispatchQueue(label: "gatewatch.joiner", attributes: .concurrent)

  init(_ joiner: JourneyJoiner, _ pages: HopPages?, _ traits: HopTraits) {
    self.joiner = joiner
    self.pages = pages
    hands = (0..<HopCrew.handCount).map { _ in Hand(LineEnds(traits), ClockMinutes(traits)) }
  }

  /// What was noted of the logs of sidecars in all stretches so far.
  var ends: LineEnds {
    var ends = hands[0].ends
    for hand in hands.dropFirst() { ends.add(hand.ends) }
    return ends
  }

  /// Minutes of clocks that were noted and not taken.
  var clockMinuteCount: Int { hands.reduce(0) { $0 + $1.clockMinutes.count } }

  /// What was noted of clocks since it was last taken.
  func takeClockMinutes() -> [ClockMinutes.Entry] {
    for hand in hands.dropFirst() {
      hands[0].clockMinutes.add(hand.clockMinutes)
      hand.clockMinutes.removeAll()
    }
    defer { hands[0].clockMinutes.removeAll() }
    return hands[0].clockMinutes.entries
  }

  /// Reads the hops of a stretch, while `meanwhile` runs on the caller's thread.
  /// - Parameter flows: at most so many are there.
  func read(
    _ request: HopRequest, flows: Int, _ store: FlowStore, meanwhile: () throws(StoreError) -> Void
  ) throws(StoreError) {
    hands[0].stretch.reset(reserving: flows)
    guard let pages else {
      try meanwhile()
      return try store.read(request, into: &hands[0].stretch)
    }
    let group = DispatchGroup()
    for (hand, share) in zip(hands, request.shares(HopCrew.handCount)) {
      hand.isUnread = false
      queue.async(group: group) { hand.read(share, pages) }
    }
    let failure: StoreError?
    do throws(StoreError) {
      try meanwhile()
      failure = nil
    } catch {
      failure = error
    }
    group.wait()
    if let failure { throw failure }
    if hands.contains(where: \.isUnread) {
      for hand in hands { hand.stretch = HopStretch() }
      return try store.read(request, into: &hands[0].stretch)
    }
    for hand in hands.dropFirst() {
      hands[0].stretch.append(hand.stretch)
      hand.stretch = HopStretch()
    }
  }

  /// Joins what was read.
  func join(_ request: HopRequest) -> Found {
    let hops = hands[0].stretch.hops
    let (from, until) = (request.decidesFrom, request.decidesUntil)
    DispatchQueue.concurrentPerform(iterations: HopCrew.handCount) {
      hands[$0].links = joiner.links(hops, part: $0, of: HopCrew.handCount)
    }
    let links = JoinLinks(hands.map(\.links))
    for hand in hands { hand.links = JoinLinks() }
    let cuts = (0...HopCrew.handCount).map { hops.count * $0 / HopCrew.handCount }
    DispatchQueue.concurrentPerform(iterations: HopCrew.handCount) {
      let indices = cuts[$0]..<cuts[$0 + 1]
      hands[$0].joined = joiner.joined(hops, links, indices: indices, from: from, until: until)
      hands[$0].ends.note(hops[indices])
      hands[$0].clockMinutes.note(hops, links, indices: indices, from: from, until: until)
    }
    defer { for hand in hands { hand.joined = [] } }
    return Found(
      joined: hands.flatMap(\.joined), decided: hands[0].stretch.decided, clocks: links.clocks(from: from, until: until)
    )
  }
}
