internal import Flows
internal import GRDB

/// The judgement in arrays, so that a flow's verdict is two look-ups; the same joins as in the view `judged_flow`.
struct VerdictTables {
  private struct Interval: BitwiseCopyable {
    var fromMs, untilMs: Int64
    /// Where the interval's routes begin.
    var base: Int
  }
  private struct Route: BitwiseCopyable {
    var contextBase: Int
    var nextHopFromMs, nextHopUntilMs: Int64
    var hasNextHop: Bool
    /// In `holes`: within that time, what was not read of the next hop's log.
    var firstHole = 0
    var holeCount = 0
    /// No inventory proves the claim on its flows, but the client's own log can, or a sidecar as the hop before.
    var hasOpenClaim = false
    var needsGateway = false
    /// A bypass that no exception allows, as far as the route alone can tell.
    var isBypass = false
  }
  private struct Hole: BitwiseCopyable {
    /// Both inclusive.
    var fromMs, untilMs: Int64
  }
  private struct Ending: Hashable, BitwiseCopyable {
    var isThere = false
    var isDuplicateView = false
    /// No later hop stands for it: nothing left, or the line does not prove where to.
    var standsAlone = false

    static let none = Ending()
  }

  private let ownLogs: OwnLogTable
  private var intervals: [Interval] = []
  /// Classes by row id; -1 for rows that have none yet, -2 for ids without a row.
  private(set) var sourceClasses: [Int32] = []
  private(set) var destinationClasses: [Int32] = []
  private var destinationClassCount = 0
  /// Indexes into `routes`, 0 for none. Routes whose words are the same have one index.
  private var routeIndex: [Int32] = []
  private var holes: [Hole] = []
  private var routes: [Route] = [Route(contextBase: -1, nextHopFromMs: 0, nextHopUntilMs: -1, hasNextHop: false)]
  /// Of outcomes by row id, those that end alike in every context and have the protocol in common: 0 is that of outcomes
  /// without a row or an ending.
  private(set) var outcomeClasses: [Int32] = []
  private(set) var outcomeClassCount = 1
  /// By context and class of outcomes.
  private var endings: [Ending] = []

  /// The same arrays for look-ups.
  private struct Fixed {
    var sourceClasses = FixedArray<Int32>([])
    var destinationClasses = FixedArray<Int32>([])
    var outcomeClasses = FixedArray<Int32>([])
    var routeIndex = FixedArray<Int32>([])
    var intervals = FixedArray<Interval>([])
    var routes = FixedArray<Route>([])
    var holes = FixedArray<Hole>([])
    var endings = FixedArray<Ending>([])
  }
  private var fixed = Fixed()

  /// The moments at which a verdict may become another, ascending: what begins before one and what begins at it may
  /// differ.
  private(set) var borders: [Int64] = []

  /// Entries an array may have; a store with more is left to SQL.
  private static let maxEntries = 1 << 23

  /// nil when the tables are larger than arrays should be.
  init?(_ db: Database) throws(StoreError) {
    ownLogs = try OwnLogTable(db)
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
    guard perInterval * max(intervals.count, 1) <= VerdictTables.maxEntries,
      let outcomes = try Outcomes(db)
    else { return nil }
    routeIndex = [Int32](repeating: 0, count: perInterval * intervals.count)
    (outcomeClasses, outcomeClassCount, endings) = (outcomes.classes, outcomes.count, outcomes.endings)

    let route = try db.statement(
      """
      select key, context_key, next_hop_from_ms, next_hop_until_ms, role, path, bypass, severity, rule, assumption, \
      exception, warnings, next_hop, claim, claim_severity, claim_around, claim_reason, claim_needs_gateway, \
      next_hop_holes
      from route_verdict
      order by key
      """)
    let holesOfLists = try readHoles(db)
    var known: [[Value]: Int32] = [:]
    while try route.step() {
      let key = RouteKey(stored: route.int(0))
      let (source, destination) = (key.sourceClass, key.destinationClass)
      // A class that no row has: nothing asks for this verdict.
      guard let interval = ids[Int64(key.interval)], source < sourceClassCount, destination < destinationClassCount
      else {
        continue
      }
      var index = Int32(routes.count)
      // Comparing takes longer than it saves where there are very many.
      if routes.count < VerdictTables.mostCompared {
        let words = (1..<route.columnCount).map { route.value($0) }
        index = known[words] ?? index
        known[words] = index
      }
      routeIndex[interval * perInterval + source * destinationClassCount + destination] = index
      guard index == routes.count else { continue }
      let context = EndingKey(stored: route.int(1)).context
      let from = route.optionalInt(2)
      let own = route.optionalInt(18).flatMap { holesOfLists[$0] } ?? 0..<0
      routes.append(
        Route(
          contextBase: OutcomeContext.allCases.indices.contains(context) ? context * outcomeClassCount : -1,
          nextHopFromMs: from ?? 0,
          // Without an end nothing lies between.
          nextHopUntilMs: route.optionalInt(3) ?? .min, hasNextHop: from != nil,
          firstHole: own.lowerBound, holeCount: own.count,
          hasOpenClaim: route.text(13) != nil && route.optionalInt(16) == nil, needsGateway: route.optionalInt(17) == 1,
          isBypass: route.optionalInt(10) == nil && (route.text(6) != nil || route.optionalInt(16) != nil))
      )
    }
    borders = borderMoments()
    fixed = Fixed(
      sourceClasses: FixedArray(sourceClasses), destinationClasses: FixedArray(destinationClasses),
      outcomeClasses: FixedArray(outcomeClasses), routeIndex: FixedArray(routeIndex), intervals: FixedArray(intervals),
      routes: FixedArray(routes), holes: FixedArray(holes), endings: FixedArray(endings))
  }

  /// Routes that are compared with one another.
  private static let mostCompared = 1 << 13

  /// The half of the tables that tells of outcomes alone.
  private struct Outcomes {
    var classes: [Int32] = []
    var count = 1
    var endings: [Ending] = []

    /// nil when there are more outcomes than an array should have.
    init?(_ db: Database) throws(StoreError) {
      let contexts = OutcomeContext.allCases.count
      let row = try db.statement(
        """
        select v.key, v.left_hop, v.duplicate_view, v.never_clears, v.result, v.reason, o.protocol, v.is_unconnected
        from ending v
        left join outcome o on o.id = \(EndingKey.outcome(of: "v.key"))
        order by \(EndingKey.outcome(of: "v.key")), v.key
        """)
      struct Signature: Hashable {
        /// Of the protocol, and of each context with what it makes of the outcome.
        var words: [Value] = []
        var endings: [Ending] = []
      }
      var known: [Signature: Int32] = [:]
      var kinds: [[Ending]] = [[Ending](repeating: .none, count: contexts)]
      var present: Int64 = -1
      var signature = Signature()
      func close() {
        guard present >= 0 else { return }
        let kind = known[signature] ?? Int32(kinds.count)
        if known.updateValue(kind, forKey: signature) == nil { kinds.append(signature.endings) }
        classes += repeatElement(0, count: Int(present) - classes.count)
        classes.append(kind)
      }
      while try row.step() {
        let key = EndingKey(stored: row.int(0))
        let (context, outcome) = (key.context, key.outcome)
        guard outcome < VerdictTables.maxEntries else { return nil }
        guard context >= 0, context < contexts else { continue }
        if outcome != present {
          close()
          present = outcome
          signature = Signature(words: [row.value(6)], endings: [Ending](repeating: .none, count: contexts))
        }
        signature.words += [Value(context), row.value(1), row.value(2), row.value(3), row.value(4), row.value(5)]
        signature.endings[context] = Ending(
          isThere: true, isDuplicateView: row.int(2) == 1,
          standsAlone: row.int(1) == 0 || row.int(3) == 1 || row.int(7) == 1)
      }
      close()
      count = kinds.count
      endings = (0..<contexts).flatMap { context in kinds.map { $0[context] } }
    }
  }

  /// `outcomeClasses`, for those who need no more.
  static func outcomeClasses(_ db: Database) throws(StoreError) -> [Int32]? { try Outcomes(db)?.classes }

  private static func classes(_ table: String, on db: Database) throws(StoreError) -> [Int32]? {
    // Each by itself is a look-up; both together would be a look at every row.
    let last = try db.statement(
      "select coalesce((select max(id) from \(table)), 0), coalesce((select min(id) from \(table)), 0)")
    guard try last.step(), last.int(0) < maxEntries, last.int(1) >= 0 else { return nil }
    var classes = [Int32](repeating: -2, count: Int(last.int(0)) + 1)
    let row = try db.statement("select id, class from \(table) order by id")
    while try row.step() {
      guard let id = Int(exactly: row.int(0)), classes.indices.contains(id) else { throw StoreError.disordered(table) }
      classes[id] = row.optionalInt(1).map { Int32(clamping: $0) } ?? -1
    }
    return classes
  }

  /// Numbers of verdicts: each flow has one below this.
  var verdictCount: Int { routes.count * outcomeClassCount * 2 }

  /// Two flows with the same number have all words of the verdict, and the protocol, in common; nil for a flow that no
  /// view shows, because its source or destination is missing.
  @inline(__always)
  func verdict(of flow: FlowRecord) -> Int? {
    let verdict = verdict(
      source: flow.source, destination: flow.destination, outcome: flow.outcome, from: flow.startedAtMs,
      through: flow.startedAtMs)
    return verdict >= 0 ? verdict : nil
  }

  /// No view shows it.
  static let hidden = -1
  /// Not all of the time has one verdict.
  static let divided = -2

  /// The verdict on what began within a time, both ends inclusive; `hidden` or `divided` where there is none.
  @inline(__always)
  func verdict(source: Int64, destination: Int64, outcome: Int64, from: Int64, through: Int64) -> Int {
    guard let sourceClass = fixed.sourceClasses.element(at: source),
      let destinationClass = fixed.destinationClasses.element(at: destination)
    else { return VerdictTables.hidden }
    return verdict(
      sourceClass: sourceClass, destinationClass: destinationClass, outcomeClass: outcomeClass(of: outcome), from: from,
      through: through)
  }

  /// The classes of row ids: -2 for ids without a row.
  @inline(__always)
  func sourceClass(of id: Int64) -> Int32 { fixed.sourceClasses.element(at: id) ?? -2 }
  @inline(__always)
  func destinationClass(of id: Int64) -> Int32 { fixed.destinationClasses.element(at: id) ?? -2 }
  @inline(__always)
  func outcomeClass(of id: Int64) -> Int32 { fixed.outcomeClasses.element(at: id) ?? 0 }
  var sourceClassCount: Int { Int(sourceClasses.max() ?? -1) + 1 }

  /// - Parameter sourceClass: as `sourceClasses` has them, and the others alike.
  @inline(__always)
  func verdict(
    sourceClass: Int32, destinationClass: Int32, outcomeClass: Int32, from: Int64, through: Int64
  ) -> Int {
    guard sourceClass > -2, destinationClass > -2 else { return VerdictTables.hidden }
    var route = 0
    if sourceClass >= 0, destinationClass >= 0 {
      let place = Int(sourceClass) * destinationClassCount + Int(destinationClass)
      for index in 0..<fixed.intervals.count {
        let interval = fixed.intervals[index]
        if interval.fromMs <= from, from < interval.untilMs { route = Int(fixed.routeIndex[interval.base + place]) }
        if VerdictTables.divides(interval.fromMs, from, through)
          || VerdictTables.divides(interval.untilMs, from, through)
        {
          return VerdictTables.divided
        }
      }
    }
    let way = fixed.routes[route]
    let ending = way.contextBase >= 0 ? fixed.endings[way.contextBase + Int(outcomeClass)] : .none
    var isCounted = true
    if ending.isDuplicateView {
      isCounted = false
    } else if !ending.standsAlone, way.hasNextHop {
      isCounted = !(way.nextHopFromMs <= from && from <= way.nextHopUntilMs)
      if isCounted != !(way.nextHopFromMs <= through && through <= way.nextHopUntilMs)
        || isCounted && from < way.nextHopFromMs && way.nextHopUntilMs < through
      {
        return VerdictTables.divided
      }
      for place in way.firstHole..<(way.firstHole + way.holeCount) where !isCounted {
        let hole = fixed.holes[place]
        if VerdictTables.divides(hole.fromMs, from, through) || VerdictTables.divides(hole.untilMs + 1, from, through) {
          return VerdictTables.divided
        }
        isCounted = hole.fromMs <= from && from <= hole.untilMs
      }
    }
    return (route * outcomeClassCount + Int(outcomeClass)) * 2 + (isCounted ? 1 : 0)
  }

  /// Whether nothing that begins within a time, both ends inclusive, can have another verdict because it begins at another
  /// moment of it.
  func isSteady(from: Int64, through: Int64) -> Bool {
    !borders.contains { VerdictTables.divides($0, from, through) }
  }

  /// The verdict on flows that nobody can look at one by one. Where a border divides their time, it is the one that stands
  /// against them: a bypass rather than none, and a flow that counts rather than one that is counted elsewhere.
  func strictest(sourceClass: Int32, destinationClass: Int32, outcomeClass: Int32, from: Int64, through: Int64) -> Int {
    let whole = verdict(
      sourceClass: sourceClass, destinationClass: destinationClass, outcomeClass: outcomeClass, from: from,
      through: through)
    guard whole == VerdictTables.divided else { return whole }
    var strictest = VerdictTables.hidden
    var rank = -1
    for moment in [from] + borders.filter({ from < $0 && $0 <= through }) {
      let number = verdict(
        sourceClass: sourceClass, destinationClass: destinationClass, outcomeClass: outcomeClass, from: moment,
        through: moment)
      guard number >= 0 else { continue }
      let present = (routes[number / 2 / outcomeClassCount].isBypass ? 2 : 0) + (number & 1)
      if present > rank { (strictest, rank) = (number, present) }
    }
    return strictest
  }

  /// What a kind of `JourneyPlaces` comes to under a verdict, by number: where nothing is claimed, the hop before is no
  /// matter, and a hop that is only claimed to be one proves nothing.
  ///
  /// - Parameter flow: nil where many are asked about at once.
  /// - Returns: nil where that depends on the single flow.
  @inline(__always)
  func settled(_ kind: Int, _ verdict: Int, source: Int64, _ flow: FlowRecord?) -> Int? {
    if let settled = settled(kind, verdict) { return settled }
    guard ownLogs.mayProveAbsence(of: source) else { return kind & ~JourneyPlaces.beforeMask }
    guard let flow else { return nil }
    return ownLogs.provesAbsence(flow) ? kind : kind & ~JourneyPlaces.beforeMask
  }

  /// The same for all sources and flows; nil where it depends on them.
  @inline(__always)
  func settled(_ kind: Int, _ verdict: Int) -> Int? {
    let before = kind & JourneyPlaces.beforeMask
    if before == 0 || before == JourneyPlaces.proven { return kind }
    let way = fixed.routes[verdict / 2 / outcomeClassCount]
    let without = kind & ~JourneyPlaces.beforeMask
    if before == JourneyPlaces.claimed { return way.hasOpenClaim && way.needsGateway ? kind : without }
    return way.hasOpenClaim ? nil : without
  }

  // MARK: Step by step

  var routeCount: Int { routes.count }

  /// Where the routes begin that hold at a moment; nil where none does.
  func routeBase(at ms: Int64) -> Int? {
    intervals.last { $0.fromMs <= ms && ms < $0.untilMs }?.base
  }

  /// Routes of one class of sources, those of one class of destinations apart.
  var routeStride: Int { destinationClassCount }

  /// - Parameters:
  ///   - base: as `routeBase` gives it.
  ///   - source: the class of the source times `routeStride`.
  @inline(__always)
  func route(_ base: Int, source: Int32, destinationClass: Int32) -> Int {
    Int(fixed.routeIndex[base &+ Int(source) &+ Int(destinationClass)])
  }

  /// Whether something that begins at `border` lies between the two ends.
  @inline(__always)
  private static func divides(_ border: Int64, _ from: Int64, _ through: Int64) -> Bool {
    from < border && border <= through
  }

  /// - Returns: where each list of holes stands in `holes`.
  private mutating func readHoles(_ db: Database) throws(StoreError) -> [Int64: Range<Int>] {
    var lists: [Int64: Range<Int>] = [:]
    let hole = try db.statement("select id, from_ms, until_ms from next_hop_hole order by id")
    while try hole.step() {
      let list = hole.int(0) / Int64(RouteVerdict.mostHoles)
      let first = lists[list]?.lowerBound ?? holes.count
      holes.append(Hole(fromMs: hole.int(1), untilMs: min(hole.int(2), .max - 1)))
      lists[list] = first..<holes.count
    }
    return lists
  }

  private func borderMoments() -> [Int64] {
    var borders: Set<Int64> = []
    for interval in intervals { borders.formUnion([interval.fromMs, interval.untilMs]) }
    for route in routes where route.hasNextHop && route.nextHopFromMs <= route.nextHopUntilMs {
      borders.insert(route.nextHopFromMs)
      if route.nextHopUntilMs < .max { borders.insert(route.nextHopUntilMs + 1) }
    }
    for hole in holes { borders.formUnion([hole.fromMs, hole.untilMs + 1]) }
    return borders.sorted()
  }
}
