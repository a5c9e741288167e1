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
    var clockMinutes: [ClockMinutes.Noted]
  }

  /// As many as the reading of logs has.
  static let handCount = 2

  private let hands: [Hand]
  private let traits: HopTraits
  private let store: FlowStore
  let clockMinutes: ClockMinutes

  /// - Parameter noted: logs of whose clocks something was noted before.
  init(
    _ joiner: JourneyJoiner, _ traits: HopTraits, noted: Set<Int64>, _ store: FlowStore, _ pages: HopPages?
  ) {
    let alone = DispatchSemaphore(value: 1)
    let clockMinutes = ClockMinutes(traits, noted: noted)
    (self.traits, self.store, self.clockMinutes) = (traits, store, clockMinutes)
    hands = (0..<HopCrew.handCount).map { _ in Hand(joiner, traits, clockMinutes, store, pages, alone) }
  }

  /// What was noted of the logs of sidecars in all stretches so far.
  var ends: LineEnds {
    var ends = hands[0].ends
    for hand in hands.dropFirst() { ends.add(hand.ends) }
    return ends
  }

  /// A stretch with what it asks for.
  private struct Asked: Sendable {
    var stretch: JoinHops.Stretch
    var request: HopRequest
  }

  /// Finds of each hand that wait to be taken, while what was found is committed or verdicts are written: as many as nobody
  /// should wait for where there is nothing to be taken, and three where all flows have a journey, of some 1.4 MB each.
  private static let waiting = 8
  /// Joined flows that weigh as much as a find without any.
  private static let joinedOfWeight = 16_384
  /// Stretches that each hand has been given at most, those that wait, too: a request waits for the store, and a hand should
  /// not.
  private static let ahead = waiting + 2

  /// Joins all stretches, and hands what was found to `take` on the caller's thread, one after the other.
  /// - Parameter meanwhile: what the caller's thread does before that, when the hands have begun.
  func join(
    _ stretches: [JoinHops.Stretch], meanwhile: () throws(StoreError) -> Void,
    _ take: (Found) throws(StoreError) -> Void
  ) throws(StoreError) {
    let group = DispatchGroup()
    let queue = DispatchQueue(label: "gatewatch.joiner", attributes: .concurrent)
    let asks = hands.map { _ in HandOver<Asked>(capacity: HopCrew.ahead) }
    let finds = hands.map { _ in HandOver<Result<Found, StoreError>>(capacity: HopCrew.waiting) }
    for (number, hand) in hands.enumerated() {
      let (asks, finds) = (asks[number], finds[number])
      queue.async(group: group) {
        while let next = asks.receive() {
          let found: Result<Found, StoreError>
          do throws(StoreError) { found = .success(try hand.join(next.stretch, next.request)) } catch {
            found = .failure(error)
          }
          let joined = (try? found.get())?.joined.count ?? 0
          guard finds.send(found, weight: 1 + joined / HopCrew.joinedOfWeight) else { return }
        }
      }
    }
    defer {
      for asks in asks { asks.close() }
      for finds in finds { finds.close() }
      group.wait()
    }
    var asked = 0
    for index in stretches.indices {
      while asked < min(stretches.count, index + HopCrew.ahead * hands.count) {
        let stretch = stretches[asked]
        // There is room: of its share, the hand has given back all but the last few.
        _ = asks[asked % hands.count].send(Asked(stretch: stretch, request: try stretch.request(traits, store)))
        asked += 1
      }
      if index == 0 { try meanwhile() }
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
    self.store = store
    self.pages = pages
    self.alone = alone
    ends = LineEnds(traits)
    self.clockMinutes = clockMinutes
  }

  func join(_ stretch: JoinHops.Stretch, _ request: HopRequest) throws(StoreError) -> HopCrew.Found {
    guard stretch.flows > JoinHops.mostInMemory else { return try join(stretch, request, parts: 1) }
    alone.wait()
    defer {
      self.stretch = HopStretch()
      alone.signal()
    }
    let parts = max(HopCrew.handCount, Int((stretch.flows - 1) / JoinHops.mostTogether) + 1)
    return try join(stretch, request, parts: parts)
  }

  /// - Parameter parts: threads that share the work.
  private func join(
    _ stretch: JoinHops.Stretch, _ request: HopRequest, parts: Int
  ) throws(StoreError) -> HopCrew.Found {
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
      clockMinutes: clockMinutes.noted)
  }

  /// A part is looked at by one thread; with more parts than threads, less is in memory at once.
  private func sharedLinks(_ hops: [Hop], _ parts: Int) -> JoinLinks {
    let shared = SharedLinks(parts)
    DispatchQueue.concurrentPerform(iterations: HopCrew.handCount) { [joiner] _ in
      while let part = shared.next() { shared.add(joiner.links(hops, part: part, of: parts)) }
    }
    return shared.links
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

/// What several threads have found of the parts of a stretch.
///
/// `@unchecked Sendable`: all but the last look happens under `lock`.
private final class SharedLinks: @unchecked Sendable {
  private let lock = DispatchSemaphore(value: 1)
  private var rest: Range<Int>
  private(set) var links = JoinLinks()

  init(_ parts: Int) { rest = 0..<parts }

  func next() -> Int? {
    lock.wait()
    defer { lock.signal() }
    return rest.popFirst()
  }

  func add(_ part: JoinLinks) {
    lock.wait()
    links.add(part)
    lock.signal()
  }
}
