internal import Dispatch
internal import Flows
internal import FlowStore
internal import Journeys

/// Reads and joins stretches of time on several threads, each with one of its own at a time.
///
/// What is found of a stretch does not depend on any other, so the hands meet only where their finds are taken, in the order
/// of the stretches.
struct HopCrew {
  /// What joining has found of a stretch, or of some of its flows.
  struct Found: Sendable {
    var joined: [JoinedHop] = []
    var decided: [ClosedRange<Int64>] = []
    var clocks = ClockSkews()
    var clockMinutes: [ClockMinutes.Noted] = []
    /// The stretch has no more.
    var isLast = true
  }

  /// As many as the reading of logs has.
  static let handCount = 2

  private let hands: [HopHand]
  private let joiner: JourneyJoiner
  private let traits: HopTraits
  private let store: FlowStore
  private let sizes: JoinSizes
  let clockMinutes: ClockMinutes

  /// - Parameter noted: logs of whose clocks something was noted before.
  init(
    _ joiner: JourneyJoiner, _ traits: HopTraits, noted: Set<Int64>, _ store: FlowStore, _ pages: HopPages?,
    _ sizes: JoinSizes
  ) {
    let clockMinutes = ClockMinutes(traits, noted: noted)
    (self.joiner, self.traits, self.store, self.clockMinutes) = (joiner, traits, store, clockMinutes)
    self.sizes = sizes
    hands = (0..<HopCrew.handCount).map { _ in HopHand(joiner, traits, clockMinutes, store, pages) }
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
    var isFirst = true
    func meanwhileOnce() throws(StoreError) {
      if isFirst { try meanwhile() }
      isFirst = false
    }
    var rest = stretches[...]
    while let next = rest.first {
      if next.isDense {
        rest.removeFirst()
        try joinInParts(next, meanwhileOnce, take)
      } else {
        let alike = rest.prefix { !$0.isDense }
        rest = rest.dropFirst(alike.count)
        try joinSideBySide(Array(alike), meanwhileOnce, take)
        // One in parts needs the memory.
        if !rest.isEmpty { for hand in hands { hand.rest() } }
      }
    }
  }

  /// Each stretch by one hand.
  private func joinSideBySide(
    _ stretches: [JoinHops.Stretch], _ meanwhile: () throws(StoreError) -> Void,
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
          do throws(StoreError) {
            found = .success(try hand.join(next.request, flows: Int(next.stretch.flows)))
          } catch { found = .failure(error) }
          guard finds.send(found, weight: HopCrew.weight(of: found)) else { return }
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

  /// One stretch by all hands.
  private func joinInParts(
    _ stretch: JoinHops.Stretch, _ meanwhile: () throws(StoreError) -> Void, _ take: (Found) throws(StoreError) -> Void
  ) throws(StoreError) {
    let dense = DenseStretch(
      joiner: joiner, traits: traits, hands: hands, request: try stretch.request(traits, store),
      flows: stretch.flows, database: store.path, sizes: sizes)
    let group = DispatchGroup()
    let finds = HandOver<Result<Found, StoreError>>(capacity: HopCrew.waiting)
    DispatchQueue.global(qos: .userInitiated).async(group: group) {
      do throws(StoreError) {
        try dense.join { found in
          let found = Result<Found, StoreError>.success(found)
          return finds.send(found, weight: HopCrew.weight(of: found))
        }
      } catch { _ = finds.send(.failure(error)) }
    }
    defer {
      finds.close()
      group.wait()
    }
    try meanwhile()
    var isLast = false
    while !isLast {
      switch finds.receive() {
      case .success(let found):
        try take(found)
        isLast = found.isLast
      case .failure(let error): throw error
      case nil: preconditionFailure("somebody closed what only the caller closes")
      }
    }
  }

  private static func weight(of found: Result<Found, StoreError>) -> Int {
    1 + ((try? found.get())?.joined.count ?? 0) / joinedOfWeight
  }
}
