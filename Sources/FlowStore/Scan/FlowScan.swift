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
  private let places: JourneyPlaces
  private let verdicts: VerdictGroups
  private let lock = DispatchSemaphore(value: 1)
  private var next = 0
  private var isUnusable = false
  private var total = GroupTable()

  /// Verdicts, and groups of one kind, that a key has room for.
  private static let maxVerdicts = 1 << 22
  private static let maxGroups = Int32(Tally.Group.placeMask)
  /// More processors would wait for the file.
  private static let maxThreads = 8
  /// Leaves handed to a thread at a time: enough that asking costs nothing, few enough that all end together.
  private static let leavesPerShare = 16

  static func hasRoom(for request: TallyRequest, _ tables: VerdictTables) -> Bool {
    tables.verdictCount <= maxVerdicts / JourneyPlaces.kinds && request.sourceGroups?.max() ?? 0 < maxGroups
      && request.destinationGroups?.max() ?? 0 < maxGroups
  }

  /// - Parameter ranges: of row ids, ascending, without overlap.
  init(
    _ request: TallyRequest, _ pages: FlowPages?, _ ranges: [ClosedRange<Int64>], _ tables: VerdictTables,
    _ places: JourneyPlaces, _ verdicts: VerdictGroups
  ) {
    self.request = request
    self.pages = pages
    self.ranges = ranges
    stretches =
      pages.map { pages in
        ranges.flatMap { pages.stretches(of: $0, leaves: FlowScan.leavesPerShare) }
      } ?? []
    self.tables = tables
    self.places = places
    self.verdicts = verdicts
  }

  static func threads(for shares: Int) -> Int {
    max(1, min(maxThreads, shares, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
  }

  /// nil when a page is not as the store writes it.
  func run() throws -> GroupTable? {
    guard !stretches.isEmpty else { return total }
    DispatchQueue.concurrentPerform(iterations: FlowScan.threads(for: stretches.count)) { _ in countShares() }
    if let failure = verdicts.failure { throw failure }
    return isUnusable ? nil : total
  }

  /// The same through SQL, one row after the other: for stores that SQL alone cannot answer for.
  /// - Returns: nil when a time is beyond reckoning.
  func run(_ db: Database) throws(StoreError) -> GroupTable? {
    let row = try db.statement(
      """
      select id, started_at_ms, coalesce(duration_ms, -1), source, destination, outcome, sent, received
      from flow
      where id between ? and ?
      order by id
      """)
    var table = GroupTable()
    var times = FlowTimes(stepMs: request.stepMs)
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
        count(flow, into: &table, &times)
      }
    }
    if let failure = verdicts.failure { throw failure }
    return times.isInRange ? table : nil
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
    guard let pages else { return }
    let buffer = pages.makeBuffer()
    defer { buffer.deallocate() }
    var isGood = true
    var times = FlowTimes(stepMs: request.stepMs)
    while isGood, let share = nextShare() {
      isGood = pages.forEach(in: share, buffer) { count($0, into: &table, &times) } && times.isInRange
    }
    lock.wait()
    if isGood { total.add(table) } else { isUnusable = true }
    lock.signal()
  }

  @inline(__always)
  private func count(_ flow: FlowRecord, into table: inout GroupTable, _ times: inout FlowTimes) {
    guard flow.startedAtMs >= request.sinceMs ?? .min,
      request.untilMs == nil || flow.startedAtMs < request.untilMs.unsafelyUnwrapped
    else { return }
    let measures = request.measuresDurations
    if measures && flow.durationMs < 0 { return }
    var source: Int32 = 0
    if let groups = request.sourceGroups {
      guard flow.source >= 0, flow.source < groups.count else { return }
      source = groups[Int(flow.source)]
      if source < 0 { return }
    }
    var destination: Int32 = 0
    if let groups = request.destinationGroups {
      guard flow.destination >= 0, flow.destination < groups.count else { return }
      destination = groups[Int(flow.destination)]
      if destination < 0 { return }
    }
    guard let verdictNumber = tables.verdict(of: flow) else { return }
    guard let kind = tables.settled(places.kind(of: flow.id), verdictNumber, source: flow.source, flow) else { return }
    let number = verdictNumber * JourneyPlaces.kinds + kind
    var verdict = verdicts.groups[number]
    if verdict == VerdictGroups.unknown { verdict = verdicts.ask(number, flow.id) }
    guard verdict >= 0 else { return }
    let slot = table.slot(
      of: request.stepMs == nil
        ? Tally.Group.key(verdict: verdict, source: source, destination: destination)
        : Tally.Group.key(verdict: verdict, step: times.step(of: flow.startedAtMs)))
    if request.measuresEnds { table.note(end: times.end(of: flow.startedAtMs, flow.durationMs), slot) }
    if measures {
      table.note(flow.startedAtMs, slot)
      table.measure(flow.durationMs, slot)
    } else {
      table.add(flow, to: slot)
    }
  }
}
