internal import Flows
internal import GRDB

/// The judgement in arrays, so that a flow's verdict is two look-ups; the same joins as in the view `judged_flow`.
struct VerdictTables {
  private struct Interval {
    var fromMs, untilMs: Int64
    /// Where the interval's routes begin.
    var base: Int
  }
  private struct Route {
    var contextBase: Int
    var nextHopFromMs, nextHopUntilMs: Int64
    var hasNextHop: Bool
  }
  private struct Ending {
    var isDuplicateView: Bool
    /// No later hop stands for it: nothing left, or the line does not prove where to.
    var standsAlone: Bool
  }

  private var intervals: [Interval] = []
  /// Classes by row id; -1 for rows that have none yet, -2 for ids without a row.
  private var sourceClasses: [Int32] = []
  private var destinationClasses: [Int32] = []
  private var destinationClassCount = 0
  /// Indexes into `routes` and `endings`, 0 for none.
  private var routeIndex: [Int32] = []
  private var endingIndex: [Int32] = []
  private var outcomeCount = 0
  private var routes: [Route] = [Route(contextBase: -1, nextHopFromMs: 0, nextHopUntilMs: -1, hasNextHop: false)]
  private var endings: [Ending] = [Ending(isDuplicateView: false, standsAlone: false)]

  /// Entries an array may have; a store with more is left to SQL.
  private static let maxEntries = 1 << 23

  /// nil when the tables are larger than arrays should be.
  init?(_ db: Database) throws(StoreError) {
    guard let sources = try VerdictTables.classes("source", on: db),
      let destinations = try VerdictTables.classes("destination", on: db)
    else { return nil }
    (sourceClasses, destinationClasses) = (sources, destinations)
    let sourceClassCount = Int(sources.max() ?? -1) + 1
    destinationClassCount = max(Int(destinations.max() ?? -1) + 1, 0)
    let perInterval = max(sourceClassCount, 0) * destinationClassCount

    var ids: [Int64: Int] = [:]
    let interval = try db.statement("select id, from_ms, until_ms from policy_interval order by from_ms")
    while try interval.step() {
      ids[interval.int(0)] = intervals.count
      intervals.append(
        Interval(fromMs: interval.int(1), untilMs: interval.int(2), base: intervals.count * perInterval))
    }
    let maxOutcome = try db.statement("select coalesce(max(outcome), 0) from outcome_verdict")
    guard try maxOutcome.step() else { return nil }
    outcomeCount = Int(clamping: maxOutcome.int(0)) + 1
    let contexts = OutcomeContext.allCases.count
    guard perInterval * max(intervals.count, 1) <= VerdictTables.maxEntries,
      outcomeCount <= VerdictTables.maxEntries / contexts
    else { return nil }
    routeIndex = [Int32](repeating: 0, count: perInterval * intervals.count)
    endingIndex = [Int32](repeating: 0, count: contexts * outcomeCount)

    let route = try db.statement(
      "select key, context_key, next_hop_from_ms, next_hop_until_ms from route_verdict order by key")
    while try route.step() {
      let key = route.int(0)
      let (source, destination) = (Int(key >> 20 & 0xFFFFF), Int(key & 0xFFFFF))
      // A class that no row has: nothing asks for this verdict.
      guard let interval = ids[key >> 40], source < sourceClassCount, destination < destinationClassCount else {
        continue
      }
      let context = Int(clamping: route.int(1) >> 40)
      routeIndex[interval * perInterval + source * destinationClassCount + destination] = Int32(routes.count)
      let from = route.optionalInt(2)
      routes.append(
        Route(
          contextBase: context >= 0 && context < contexts ? context * outcomeCount : -1, nextHopFromMs: from ?? 0,
          // Without an end nothing lies between.
          nextHopUntilMs: route.optionalInt(3) ?? .min, hasNextHop: from != nil))
    }
    let ending = try db.statement(
      "select key, left_hop, duplicate_view, never_clears from outcome_verdict order by key")
    while try ending.step() {
      let context = Int(clamping: ending.int(0) >> 40)
      let outcome = Int(ending.int(0) & (1 << 40 - 1))
      guard context >= 0, context < contexts, outcome < outcomeCount else { continue }
      endingIndex[context * outcomeCount + outcome] = Int32(endings.count)
      endings.append(
        Ending(isDuplicateView: ending.int(2) == 1, standsAlone: ending.int(1) == 0 || ending.int(3) == 1))
    }
  }

  private static func classes(_ table: String, on db: Database) throws(StoreError) -> [Int32]? {
    let last = try db.statement("select coalesce(max(id), 0), coalesce(min(id), 0) from \(table)")
    guard try last.step(), last.int(0) < maxEntries, last.int(1) >= 0 else { return nil }
    var classes = [Int32](repeating: -2, count: Int(last.int(0)) + 1)
    let row = try db.statement("select id, class from \(table) order by id")
    while try row.step() { classes[Int(row.int(0))] = row.optionalInt(1).map { Int32(clamping: $0) } ?? -1 }
    return classes
  }

  /// Numbers of verdicts: each flow has one below this.
  var verdictCount: Int { routes.count * endings.count * 2 }

  /// Two flows with the same number have all words of the verdict in common; nil for a flow that no view shows, because
  /// its source or destination is missing.
  @inline(__always)
  func verdict(of flow: FlowRecord) -> Int? {
    guard flow.source >= 0, flow.source < sourceClasses.count, flow.destination >= 0,
      flow.destination < destinationClasses.count
    else { return nil }
    let source = sourceClasses[Int(flow.source)]
    let destination = destinationClasses[Int(flow.destination)]
    guard source > -2, destination > -2 else { return nil }
    var route = 0
    if source >= 0, destination >= 0 {
      for interval in intervals where interval.fromMs <= flow.startedAtMs && flow.startedAtMs < interval.untilMs {
        route = Int(routeIndex[interval.base + Int(source) * destinationClassCount + Int(destination)])
      }
    }
    let way = routes[route]
    var ending = 0
    if way.contextBase >= 0, flow.outcome >= 0, flow.outcome < outcomeCount {
      ending = Int(endingIndex[way.contextBase + Int(flow.outcome)])
    }
    let end = endings[ending]
    let isCounted =
      !end.isDuplicateView
      && (end.standsAlone || !way.hasNextHop
        || !(way.nextHopFromMs <= flow.startedAtMs && flow.startedAtMs <= way.nextHopUntilMs))
    return (route * endings.count + ending) * 2 + (isCounted ? 1 : 0)
  }
}
