internal import FlowStore
internal import Flows
internal import Journeys

/// One thread's share of the work of joining, with its memory.
///
/// `@unchecked Sendable`: a hand is touched by one thread at a time, and by others once the crew has waited for all of them.
final class HopHand: @unchecked Sendable {
  private let joiner: JourneyJoiner
  private let store: FlowStore
  private let pages: HopPages?
  /// What was read last.
  private(set) var stretch = HopStretch()
  private(set) var ends: LineEnds
  var clockMinutes: ClockMinutes

  init(
    _ joiner: JourneyJoiner, _ traits: HopTraits, _ clockMinutes: ClockMinutes, _ store: FlowStore, _ pages: HopPages?
  ) {
    self.joiner = joiner
    self.store = store
    self.pages = pages
    ends = LineEnds(traits)
    self.clockMinutes = clockMinutes
  }

  /// Joins what a stretch holds, all in memory.
  func join(_ request: HopRequest, flows: Int) throws(StoreError) -> HopCrew.Found {
    try read(request, flows: flows)
    let hops = stretch.hops
    let links = joiner.links(hops)
    let (from, until) = (request.decidesFrom, request.decidesUntil)
    let joined = joiner.joined(hops, links, from: from, until: until)
    ends.note(hops)
    clockMinutes.note(hops, links, from: from, until: until)
    defer { clockMinutes.removeAll() }
    return HopCrew.Found(
      joined: joined, decided: stretch.decided, clocks: links.clocks(from: from, until: until),
      clockMinutes: clockMinutes.noted)
  }

  /// Reads what is asked for into `stretch`.
  /// - Parameter flows: at most so many are there.
  func read(_ request: HopRequest, flows: Int) throws(StoreError) {
    stretch.reset(expecting: flows)
    if let pages {
      do throws(HopPages.Unusable) { return try pages.read(request, into: &stretch) } catch {}
      stretch.reset(expecting: flows)
    }
    try store.read(request, into: &stretch)
  }

  /// Notes of what was read how far the logs go.
  func noteEnds() { ends.note(stretch.hops) }

  /// Gives its memory back.
  func rest() { stretch = HopStretch() }
}
