internal import Dispatch
internal import Flows
internal import FlowStore
internal import Journeys

/// Reads and joins stretches of time on several threads, each with one of its own at a time.
///
/// What is found of a stretch does not depend on any other, so the hands meet only where their finds are taken, in the order
/// of the stretches.
struct HopCrew {
  /// What joining has found of a stretch.
  struct Found: Sendable {
    var joined: [JoinedHop]
    var decided: [ClosedRange<Int64>]
    var clocks: ClockSkews
    var clockMinutes: [ClockMinutes.Entry]
  }

  /// As many as the reading of logs has.
  static let handCount = 2

  private let hands: [Hand]

  /// - Parameter noted: logs of whose clocks something was noted before.
  init(
    _ joiner: JourneyJoiner, _ traits: HopTraits, noted: Set<Int64>, _ store: FlowStore, _ pages: HopPages?
  ) {
    let alone = DispatchSemaphore(value: 1)
    let clockMinutes = ClockMinutes(traits, noted: noted)
    hands = (0..<HopCrew.handCount).map { _ in Hand(joiner, traits, clockMinutes, store, pages, alone) }
  }

  /// What was noted of the logs of sidecars in all stretches so far.
  var ends: LineEnds {
    var ends = hands[0].ends
    for hand in hands.dropFirst() { ends.add(hand.ends) }
    return ends
  }

  /// Joins all stretches, and hands what was found to `take` on the caller's thread, one after the other.
  func join(
    _ stretches: [JoinHops.Stretch], _ take: (Found) throws(StoreError) -> Void
  ) throws(StoreError) {
    let group = DispatchGroup()
    let queue = DispatchQueue(label: "gatewatch.joiner", attributes: .concurrent)
    // A hand is one stretch ahead of what was taken of it.
    let finds = hands.map { _ in HandOver<Result<Found, StoreError>>(capacity: 1) }
    for (number, hand) in hands.enumerated() {
      let own = stride(from: number, to: stretches.count, by: hands.count).map { stretches[$0] }
      let finds = finds[number]
      queue.async(group: group) {
        for stretch in own {
          let found: Result<Found, StoreError>
          do throws(StoreError) { found = .success(try hand.join(stretch)) } catch { found = .failure(error) }
          guard finds.send(found) else { return }
        }
      }
    }
    defer {
      for finds in finds { finds.close() }
      group.wait()
    }
    for index in stretches.indices {
      switch finds[index % hands.count].receive() {
      case .success(let found): try take(found)
      case .failure(let error): throw error
      case nil: preconditionFailure("a hand closed what only the caller closes")
      }
    }
  }
}

/// One thread's share of the work, with its memory.
///
/// `@unchecked Sendable`: a hand is touched by its thread alone until the crew has waited for all of them.
private final class Hand: @unchecked Sendable {
  private let joiner: JourneyJoiner
  private let traits: HopTraits
  private let store: FlowStore
  private let pages: HopPages?
  /// Held by the one hand that has more in memory than is its share.
  private let alone: DispatchSemaphore
  private var stretch = HopStretch()
  private(set) var ends: LineEnds
  private var clockMinutes: ClockMinutes

  init(
    _ joiner: JourneyJoiner, _ traits: HopTraits, _ clockMinutes: ClockMinutes, _ store: FlowStore, _ pages: HopPages?,
    _ alone: DispatchSemaphore
  ) {
    self.joiner = joiner
    self.traits = traits
    self.store = store
    self.pages = pages
    self.alone = alone
    ends = LineEnds(traits)
    self.clockMinutes = clockMinutes
  }

  func join(_ stretch: JoinHops.Stretch) throws(StoreError) -> HopCrew.Found {
    guard stretch.flows > JoinHops.mostInMemory else { return try join(stretch, parts: 1) }
    alone.wait()
    defer {
      self.stretch = HopStretch()
      alone.signal()
    }
    return try join(stretch, parts: HopCrew.handCount)
  }

  /// - Parameter parts: threads that share the work.
  private func join(_ stretch: JoinHops.Stretch, parts: Int) throws(StoreError) -> HopCrew.Found {
    let request = try stretch.request(traits, store)
    try read(request, flows: Int(stretch.flows))
    let hops = self.stretch.hops
    let links = parts == 1 ? joiner.links(hops) : sharedLinks(hops, parts)
    let (from, until) = (request.decidesFrom, request.decidesUntil)
    let joined = joiner.joined(hops, links, from: from, until: until)
    ends.note(hops)
    clockMinutes.note(hops, links, from: from, until: until)
    defer { clockMinutes.removeAll() }
    return HopCrew.Found(
      joined: joined, decided: self.stretch.decided, clocks: links.clocks(from: from, until: until),
      clockMinutes: clockMinutes.entries)
  }

  private func sharedLinks(_ hops: [Hop], _ parts: Int) -> JoinLinks {
    let found = HandOver<JoinLinks>(capacity: parts)
    DispatchQueue.concurrentPerform(iterations: parts) { [joiner] in
      _ = found.send(joiner.links(hops, part: $0, of: parts))
    }
    return JoinLinks((0..<parts).compactMap { _ in found.receive() })
  }

  /// - Parameter flows: at most so many are there.
  private func read(_ request: HopRequest, flows: Int) throws(StoreError) {
    stretch.reset(expecting: flows)
    if let pages {
      do throws(HopPages.Unusable) { return try pages.read(request, into: &stretch) } catch {}
      stretch.reset(expecting: flows)
    }
    try store.read(request, into: &stretch)
  }
}
