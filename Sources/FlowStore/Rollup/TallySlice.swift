internal import Flows
internal import Glibc

/// Makes a run from flows that have no row. As `RollupSlice`, with each source, outcome and hour told apart, and with so
/// little kept of a flow that those of a run stay in the processor's cache while they are sorted.
final class TallySlice {
  /// Flows of a run: what comes between two commits, and a batch more.
  static let capacity = 1 << 17

  /// Of a flow, what its key does not say. What is too large for it gets a row.
  private struct Facts {
    /// Since the slice's first hour.
    var startedAfterMs: UInt32
    /// `none` when not logged.
    var durationMs, sent, received: UInt32

    static let none = UInt32.max
  }

  // Room for `capacity` each; `count` of them are in use. While a run is written, those in `sorted` stand as their keys do.
  private let facts: UnsafeMutablePointer<Facts>
  private let sorted: UnsafeMutablePointer<Facts>
  private let sorter = RadixSorter(capacity: capacity)
  // One thread at a time has the slice, and asks nothing while it takes a flow: no access can meet another.
  @exclusivity(unchecked) private(set) var count = 0
  /// Hours that flows can begin in.
  private(set) var hours: Range<Int64> = 0..<0
  @exclusivity(unchecked) private var beginMs: Int64 = 0
  /// Of outcomes by row id: which of the slice's it is, counted from 1, 0 for none; and the row ids of these.
  private let outcomeNumbers: UnsafeMutablePointer<Int32>
  private var outcomes: [Int64] = []
  /// Whether there are flows of a source, by row id; and the row ids of these.
  private let isSource: UnsafeMutablePointer<Bool>
  private var sources: [Int64] = []

  /// Outcomes with greater row ids are not taken.
  private static let mostOutcomes: Int64 = 1 << 20

  /// Memory that nothing is written to costs nothing.
  init() {
    facts = .allocate(capacity: TallySlice.capacity)
    sorted = .allocate(capacity: TallySlice.capacity)
    outcomeNumbers = TallySlice.zeros(Int(TallySlice.mostOutcomes))
    isSource = TallySlice.zeros(Int(Key.most(Key.sourceBits)))
  }

  /// Pages of zeros as the system gives them, and not touched before they are used.
  private static func zeros<Number>(_ count: Int) -> UnsafeMutablePointer<Number> {
    guard let memory = calloc(count, MemoryLayout<Number>.stride) else { fatalError("out of memory") }
    return memory.bindMemory(to: Number.self, capacity: count)
  }

  deinit {
    facts.deallocate()
    sorted.deallocate()
    free(outcomeNumbers)
    free(isSource)
  }

  /// A key, from the high bits down.
  private enum Key {
    static let destinationBits: UInt64 = 24
    static let outcomeBits: UInt64 = 11
    static let sourceBits: UInt64 = 20
    static let hourBits = UInt64(RollupGroups.segmentBits)
    static let sourceShift = hourBits
    static let outcomeShift = sourceShift + sourceBits
    static let destinationShift = outcomeShift + outcomeBits
    static func most(_ bits: UInt64) -> Int64 { 1 << Int64(bits) }
  }

  /// Lines may come this many hours out of order.
  private static let hoursBefore: Int64 = 12
  /// Beyond all calendars.
  private static let latestMs: Int64 = 1 << 60

  /// False where the flow is not taken: it is too large, or its ids or its time lie too far off.
  @inline(__always)
  func take(_ row: FlowRow, source: Int64, destination: Int64, outcome: Int64) -> Bool {
    if count == 0 { guard begin(at: row.startedAtMs) else { return false } }
    let after = row.startedAtMs &- beginMs
    guard count < TallySlice.capacity, after >= 0, after < RollupGroups.mostHours * RollupGroups.hourMs,
      row.durationMs < Int64(Facts.none), row.sent < Int64(Facts.none), row.received < Int64(Facts.none),
      source >= 0, source < Key.most(Key.sourceBits), destination >= 0, destination < Key.most(Key.destinationBits),
      let outcome = number(ofOutcome: outcome)
    else { return false }
    if !isSource[Int(source)] { note(source: source) }
    var key = UInt64(destination)
    key = key << Key.outcomeBits | UInt64(outcome)
    key = key << Key.sourceBits | UInt64(source)
    key = key << Key.hourBits | UInt64(after / RollupGroups.hourMs)
    sorter.keys[count] = key
    facts[count] = Facts(
      startedAfterMs: UInt32(after), durationMs: row.durationMs < 0 ? Facts.none : UInt32(row.durationMs),
      sent: row.sent < 0 ? Facts.none : UInt32(row.sent),
      received: row.received < 0 ? Facts.none : UInt32(row.received))
    count += 1
    return true
  }

  private func begin(at startedAtMs: Int64) -> Bool {
    guard abs(startedAtMs) < TallySlice.latestMs else { return false }
    let first = RollupGroups.hour(startedAtMs) - TallySlice.hoursBefore
    hours = first..<first + RollupGroups.mostHours
    beginMs = first * RollupGroups.hourMs
    return true
  }

  @inline(never)
  private func note(source: Int64) {
    isSource[Int(source)] = true
    sources.append(source)
  }

  /// nil where there is no room for one more.
  @inline(__always)
  private func number(ofOutcome id: Int64) -> Int32? {
    guard id >= 0, id < TallySlice.mostOutcomes else { return nil }
    let number = outcomeNumbers[Int(id)]
    return number > 0 ? number - 1 : newNumber(ofOutcome: id)
  }

  @inline(never)
  private func newNumber(ofOutcome id: Int64) -> Int32? {
    guard Int64(outcomes.count) < Key.most(Key.outcomeBits) else { return nil }
    outcomes.append(id)
    outcomeNumbers[Int(id)] = Int32(outcomes.count)
    return Int32(outcomes.count - 1)
  }

  /// The run of what was taken, if anything was; takes flows for the next one afterwards.
  func close() -> (run: RollupRun, content: RollupContent)? {
    guard count > 0 else { return nil }
    defer { removeAll() }
    var (first, last) = (UInt32.max, UInt32.min)
    for index in 0..<count {
      first = min(first, facts[index].startedAfterMs)
      last = max(last, facts[index].startedAfterMs)
    }
    var run = RollupRun(
      firstFlow: 0, lastFlow: 0, flows: Int64(count), firstMs: beginMs + Int64(first), lastMs: beginMs + Int64(last))
    run.shelf = .tally
    run.outcomes = outcomes.sorted().map { ($0, $0) }
    run.sources = sources.sorted().map { ($0, $0) }
    sorter.sort(count)
    // By itself: many look-ups in memory then overlap.
    let (facts, sorted, places) = (facts, sorted, sorter.places)
    for index in 0..<count { sorted[index] = facts[Int(places[index])] }
    return (run, content(run.scale))
  }

  func removeAll() {
    count = 0
    for outcome in outcomes { outcomeNumbers[Int(outcome)] = 0 }
    outcomes.removeAll(keepingCapacity: true)
    for source in sources { isSource[Int(source)] = false }
    sources.removeAll(keepingCapacity: true)
  }

  private func content(_ scale: RollupScale) -> RollupContent {
    var counts = RollupContent.Blocks()
    var durations = RollupContent.Blocks()
    var countWriter = RollupCountWriter(scale)
    var durationWriter = RollupDurationWriter(scale)
    var histogram = RollupHistogram()
    let (count, keys) = (count, sorter.keys)
    var index = 0
    while index < count {
      let destination = keys[index] >> Key.destinationShift
      countWriter.begin()
      durationWriter.begin()
      while index < count, keys[index] >> Key.destinationShift == destination {
        var end = index + 1
        while end < count, keys[end] == keys[index] { end += 1 }
        if end == index + 1 {
          write(single: index, &countWriter, &durationWriter)
        } else {
          write(index..<end, &countWriter, &durationWriter, &histogram)
        }
        index = end
      }
      counts.append(Int64(destination), countWriter.bytes)
      durations.append(Int64(destination), durationWriter.bytes)
    }
    counts.close()
    durations.close()
    return RollupContent(counts: counts.chunks, durations: durations.chunks)
  }

  @inline(__always)
  private func outcome(of key: UInt64) -> Int64 {
    outcomes[Int(key >> Key.outcomeShift & UInt64(Key.most(Key.outcomeBits) - 1))]
  }

  @inline(__always)
  private func source(of key: UInt64) -> Int64 {
    Int64(key >> Key.sourceShift & UInt64(Key.most(Key.sourceBits) - 1))
  }

  /// A flow that is alone with what it is summed up by, as most are: what `write` does, in fewer steps.
  @inline(__always)
  private func write(
    single index: Int, _ counts: inout RollupCountWriter, _ durations: inout RollupDurationWriter
  ) {
    let (flow, key) = (sorted[index], sorter.keys[index])
    var sum = RollupCount()
    (sum.outcome, sum.source, sum.flows) = (outcome(of: key), source(of: key), 1)
    sum.hasSent = flow.sent != Facts.none
    if sum.hasSent { sum.sent = Int64(flow.sent) }
    sum.hasReceived = flow.received != Facts.none
    if sum.hasReceived { sum.received = Int64(flow.received) }
    sum.firstMs = beginMs + Int64(flow.startedAfterMs)
    sum.lastMs = sum.firstMs
    counts.append(sum)
    guard flow.durationMs != Facts.none else { return }
    var measured = RollupDurations()
    (measured.outcome, measured.source) = (sum.outcome, sum.source)
    (measured.firstMs, measured.lastMs) = (sum.firstMs, sum.firstMs)
    durations.append(measured, single: Int64(flow.durationMs))
  }

  /// Flows that have all in common by which they are summed up.
  private func write(
    _ range: Range<Int>, _ counts: inout RollupCountWriter, _ durations: inout RollupDurationWriter,
    _ histogram: inout RollupHistogram
  ) {
    let (sorted, key) = (sorted, sorter.keys[range.lowerBound])
    var sum = RollupCount()
    sum.outcome = outcome(of: key)
    sum.source = source(of: key)
    sum.flows = Int64(range.count)
    var measured = RollupDurations()
    (measured.outcome, measured.source) = (sum.outcome, sum.source)
    var (first, last) = (UInt32.max, UInt32.min)
    var (firstMeasured, lastMeasured) = (UInt32.max, UInt32.min)
    histogram.removeAll()
    for index in range {
      let flow = sorted[index]
      first = min(first, flow.startedAfterMs)
      last = max(last, flow.startedAfterMs)
      if flow.sent != Facts.none {
        sum.sent = GroupTable.sum(sum.sent, Int64(flow.sent))
        sum.hasSent = true
      }
      if flow.received != Facts.none {
        sum.received = GroupTable.sum(sum.received, Int64(flow.received))
        sum.hasReceived = true
      }
      if flow.durationMs != Facts.none {
        histogram.add(Int64(flow.durationMs))
        firstMeasured = min(firstMeasured, flow.startedAfterMs)
        lastMeasured = max(lastMeasured, flow.startedAfterMs)
      }
    }
    (sum.firstMs, sum.lastMs) = (beginMs + Int64(first), beginMs + Int64(last))
    counts.append(sum)
    guard histogram.count > 0 else { return }
    (measured.firstMs, measured.lastMs) = (beginMs + Int64(firstMeasured), beginMs + Int64(lastMeasured))
    durations.append(measured, histogram)
  }
}
