internal import Dispatch
internal import GRDB
internal import Glibc

/// One look at all rows of some ranges: the leaves are shared out to the processors, and what each has counted is added
/// up.
///
/// `@unchecked Sendable`: what is written while several threads run is under `lock`.
final class FlowScan: @unchecked Sendable {
  private let request: TallyRequest
  /// nil where they cannot be read at the moment.
  private let pages: FlowPages?
  private let ranges: [ClosedRange<Int64>]
  private let stretches: [FlowPages.Stretch]
  private let tables: VerdictTables
  private let places: KnownVerdicts.Places
  private let journeys: JourneyPlaces
  private let relayed: RelayedFlows
  private let verdicts: VerdictGroups
  private let lock = DispatchSemaphore(value: 1)
  private var next = 0
  private var isUnusable = false
  private var total = GroupTable()
  private var parts: [GroupParts] = []
  /// What the request's second query told of; each thread begins with none of it.
  private(set) var totals: VerdictTotals?
  private let noTotals: VerdictTotals?
  /// Where sources are collected, what all threads met.
  private let sources: SourceSets?

  /// Verdicts, and groups of one kind, that a key has room for.
  private static let maxVerdicts = 1 << 22
  private static let maxGroups = Int32(Tally.Group.placeMask)
  /// More processors would wait for the file.
  static let maxThreads = 8
  /// Leaves handed to a thread at a time: enough that asking costs nothing, few enough that all end together.
  private static let leavesPerShare = 16

  static func hasRoom(for request: TallyRequest, _ tables: VerdictTables) -> Bool {
    tables.verdictCount <= maxVerdicts / JourneyPlaces.kinds && request.sourceGroups?.max() ?? 0 < maxGroups
      && request.destinationGroups?.max() ?? 0 < maxGroups
  }

  /// - Parameter ranges: of row ids, ascending, without overlap.
  init(
    _ request: TallyRequest, _ pages: FlowPages?, _ ranges: [ClosedRange<Int64>], _ tables: VerdictTables,
    _ journeys: JourneyPlaces, _ relayed: RelayedFlows, _ verdicts: VerdictGroups, _ totals: VerdictTotals?
  ) {
    self.request = request
    self.pages = pages
    self.ranges = ranges
    stretches =
      pages.map { pages in
        ranges.flatMap { pages.stretches(of: $0, leaves: FlowScan.leavesPerShare) }
      } ?? []
    self.tables = tables
    places = KnownVerdicts.Places(request, tables)
    self.journeys = journeys
    self.relayed = relayed
    self.verdicts = verdicts
    self.totals = totals
    noTotals = totals
    sources = SourceSets(request)
  }

  /// Told apart by destination, there may be more groups than fit a processor's cache.
  private var hasManyGroups: Bool { request.destinationGroups != nil && !request.tellsTimes }

  private var threads: Int { FlowScan.threads(for: stretches.count) }

  private var failure: StoreError? { verdicts.failure ?? totals?.failure }

  static func threads(for shares: Int) -> Int {
    max(1, min(maxThreads, shares, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
  }

  /// nil when a page is not as the store writes it.
  func run() throws -> GroupSums? {
    guard !stretches.isEmpty else { return adding(sources, to: GroupSums()) }
    DispatchQueue.concurrentPerform(iterations: threads) { _ in
      if hasManyGroups { noteShares() } else { countShares() }
    }
    if let failure { throw failure }
    return isUnusable ? nil : adding(sources, to: hasManyGroups ? GroupParts.joined(parts) : total.sums)
  }

  private func adding(_ sources: SourceSets?, to sums: GroupSums) -> GroupSums {
    var sums = sums
    sums.sources = sources
    return sums
  }

  /// The same through SQL, one row after the other: for stores that SQL alone cannot answer for.
  /// - Returns: nil when a time is beyond reckoning.
  func run(_ db: Database) throws(StoreError) -> GroupSums? {
    let row = try db.statement(
      """
      select id, started_at_ms, coalesce(duration_ms, -1), source, destination, outcome, sent, received
      from flow
      where id between ? and ?
      order by id
      """)
    var table = GroupTable()
    var times = FlowTimes(stepMs: request.stepMs)
    var known = knownVerdicts()
    defer { known.deallocate() }
    for range in ranges {
      row.bind(range.lowerBound, at: 1)
      row.bind(range.upperBound, at: 2)
      while try row.step() {
        var flow = FlowRecord()
        flow.id = row.int(0)
        flow.startedAtMs = row.int(1)
        flow.durationMs = row.int(2)
        (flow.source, flow.destination, flow.outcome) = (row.int(3), row.int(4), row.int(5))
        (flow.sent, flow.hasSent) = (row.int(6), row.optionalInt(6) != nil)
        (flow.received, flow.hasReceived) = (row.int(7), row.optionalInt(7) != nil)
        if let place = known.place(of: flow, &totals, sources) { count(flow, place, in: &table, &times) }
      }
    }
    known.tell(&totals)
    if let failure { throw failure }
    return times.isInRange ? adding(sources, to: table.sums) : nil
  }

  private func knownVerdicts() -> KnownVerdicts {
    KnownVerdicts(request, tables, places, journeys, relayed, verdicts)
  }

  private func nextShare() -> FlowPages.Stretch? {
    lock.wait()
    defer { lock.signal() }
    guard next < stretches.count, !isUnusable else { return nil }
    next += 1
    return stretches[next - 1]
  }

  private func countShares() {
    var table = GroupTable()
    var times = FlowTimes(stepMs: request.stepMs)
    var totals = noTotals
    let met = SourceSets(request)
    var known = knownVerdicts()
    defer { known.deallocate() }
    let isGood =
      forEach { flow in
        guard let place = known.place(of: flow, &totals, met) else { return }
        count(FlowRecord(flow), place, in: &table, &times)
      } && times.isInRange
    known.tell(&totals)
    lock.wait()
    if let met { sources?.add(met) }
    if isGood { total.add(table) } else { isUnusable = true }
    add(totals)
    lock.signal()
  }

  private func noteShares() {
    var totals = noTotals
    let met = SourceSets(request)
    let groups = GroupParts(
      measuringDurations: request.measuresDurations, hasManyGroups: request.sourceGroups != nil && met == nil,
      threads: threads)
    var known = knownVerdicts()
    defer { known.deallocate() }
    let isRead = forEach { flow in
      guard let (verdict, source, destination) = known.place(of: flow, &totals, met) else { return }
      groups.note(flow, Tally.Group.key(verdict: verdict, source: source, destination: destination))
    }
    known.tell(&totals)
    let isGood = groups.close() && isRead
    lock.wait()
    if let met { sources?.add(met) }
    if isGood { parts.append(groups) } else { isUnusable = true }
    add(totals)
    lock.signal()
  }

  /// Calls `body` for the rows of shares that no other thread has taken; false where a page cannot be read.
  @inline(__always)
  private func forEach(_ body: (PageRow) -> Void) -> Bool {
    guard let pages else { return false }
    let buffer = pages.makeBuffer()
    defer { buffer.deallocate() }
    while let share = nextShare() {
      guard pages.forEach(in: share, buffer, body) else { return false }
    }
    return true
  }

  /// - Parameter more: of one thread.
  private func add(_ more: VerdictTotals?) {
    if let more { totals = totals?.adding(more) }
  }

  @inline(__always)
  private func count(
    _ flow: FlowRecord, _ place: (verdict: Int32, source: Int32, destination: Int32), in table: inout GroupTable,
    _ times: inout FlowTimes
  ) {
    let slot = table.slot(
      of: request.stepMs == nil
        ? Tally.Group.key(verdict: place.verdict, source: place.source, destination: place.destination)
        : Tally.Group.key(verdict: place.verdict, step: times.step(of: flow.startedAtMs)))
    if request.measuresEnds { table.note(end: times.end(of: flow.startedAtMs, flow.durationMs), slot) }
    if request.measuresDurations {
      table.note(flow.startedAtMs, slot)
      table.measure(flow.durationMs, slot)
    } else {
      table.add(
        startedAtMs: flow.startedAtMs, sent: flow.hasSent ? flow.sent : nil,
        received: flow.hasReceived ? flow.received : nil, to: slot)
    }
  }
}
