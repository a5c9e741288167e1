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

  // Room for `capacity` each; `count` of them are in use. Once sorted, those in `sorted` stand as their keys do.
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
  /// How keys stand in the sorter.
  private var packing = Packing.none

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

  /// A part of keys whose low bits alone differ: in packed keys these stand side by side with those of the other parts, so that
  /// sorting has half as many bits to look at.
  private struct Field {
    private let shift: UInt64
    private let packedShift: UInt64
    private let mask: UInt64
    private let rest: UInt64
    let bits: UInt64

    /// - Parameters:
    ///   - key: one of the keys.
    ///   - differing: the bits that not all keys have in common.
    init(_ shift: UInt64, _ most: UInt64, behind packedShift: UInt64, of key: UInt64, _ differing: UInt64) {
      self.shift = shift
      self.packedShift = packedShift
      let all = (UInt64(1) << most) - 1
      bits = UInt64(64 - (differing >> shift & all).leadingZeroBitCount)
      mask = (UInt64(1) << bits) - 1
      rest = key >> shift & all & ~mask
    }

    @inline(__always)
    func pack(_ key: UInt64) -> UInt64 { (key >> shift & mask) << packedShift }
    @inline(__always)
    func number(of packed: UInt64) -> Int { Int(packed >> packedShift & mask | rest) }
  }

  private struct Packing {
    let hour, source, outcome, destination: Field
    let bits: Int

    static let none = Packing(of: 0, 0)

    init(of key: UInt64, _ differing: UInt64) {
      hour = Field(0, Key.hourBits, behind: 0, of: key, differing)
      var bits = hour.bits
      source = Field(Key.sourceShift, Key.sourceBits, behind: bits, of: key, differing)
      bits += source.bits
      outcome = Field(Key.outcomeShift, Key.outcomeBits, behind: bits, of: key, differing)
      bits += outcome.bits
      destination = Field(Key.destinationShift, Key.destinationBits, behind: bits, of: key, differing)
      self.bits = Int(bits + destination.bits)
    }

    @inline(__always)
    func pack(_ key: UInt64) -> UInt64 {
      hour.pack(key) | source.pack(key) | outcome.pack(key) | destination.pack(key)
    }
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

  /// Sorts what was taken, if anything was, and says what is known of it as a whole. Afterwards `forEachChunk` tells the rest;
  /// then `removeAll` makes room for other flows.
  func sort() -> RollupRun? {
    guard count > 0 else { return nil }
    let (facts, sorted, keys) = (facts, sorted, sorter.keys)
    var (first, last) = (UInt32.max, UInt32.min)
    var differing: UInt64 = 0
    for index in 0..<count {
      first = min(first, facts[index].startedAfterMs)
      last = max(last, facts[index].startedAfterMs)
      differing |= keys[index] ^ keys[0]
    }
    packing = Packing(of: keys[0], differing)
    let (packing, unsorted) = (packing, sorter.places)
    for index in 0..<count {
      keys[index] = packing.pack(keys[index])
      unsorted[index] = UInt32(truncatingIfNeeded: index)
    }
    sorter.sort(count, bits: packing.bits)
    // By itself: many look-ups in memory then overlap.
    let places = sorter.places
    for index in 0..<count { sorted[index] = facts[Int(places[index])] }
    var run = RollupRun(
      firstFlow: 0, lastFlow: 0, flows: Int64(count), firstMs: beginMs + Int64(first), lastMs: beginMs + Int64(last))
    run.shelf = .tally
    run.outcomes = outcomes.sorted().map { ($0, $0) }
    run.sources = sources.sorted().map { ($0, $0) }
    return run
  }

  func removeAll() {
    count = 0
    for outcome in outcomes { outcomeNumbers[Int(outcome)] = 0 }
    outcomes.removeAll(keepingCapacity: true)
    for source in sources { isSource[Int(source)] = false }
    sources.removeAll(keepingCapacity: true)
  }

  /// Calls `body` with the bytes of each chunk, in ascending order, of what `sort` has left sorted.
  func forEachChunk(
    ofDurations: Bool, _ scale: RollupScale, _ body: (_ chunk: Int64, RollupBytes) throws(StoreError) -> Void
  ) throws(StoreError) {
    // Of its own, as long as chunks are made.
    let outcomes = UnsafeMutablePointer<Int64>.allocate(capacity: max(self.outcomes.count, 1))
    defer { outcomes.deallocate() }
    for (number, outcome) in self.outcomes.enumerated() { outcomes[number] = outcome }
    let flows = Flows(keys: sorter.keys, facts: sorted, outcomes: outcomes, packing: packing, beginMs: beginMs)
    let count = count
    var chunk = Chunk()
    var index = 0
    if ofDurations {
      var writer = RollupDurationWriter(scale)
      var histogram = RollupHistogram()
      while index < count {
        let destination = flows.destination(index)
        writer.begin()
        repeat {
          let end = flows.end(from: index, count)
          flows.writeDurations(index..<end, &writer, &histogram)
          index = end
        } while index < count && flows.destination(index) == destination
        try chunk.append(Int64(destination), writer.bytes, body)
      }
    } else {
      var writer = RollupCountWriter(scale)
      while index < count {
        let destination = flows.destination(index)
        writer.begin()
        repeat {
          let end = flows.end(from: index, count)
          flows.writeCount(index..<end, &writer)
          index = end
        } while index < count && flows.destination(index) == destination
        try chunk.append(Int64(destination), writer.bytes, body)
      }
    }
    try chunk.close(body)
  }

  /// As `RollupContent.Blocks`, but that the bytes of each chunk are handed on, and their memory used for the next one.
  private struct Chunk {
    private var number: Int64 = -1
    private var before: Int64 = 0
    private var bytes = RollupBytes()

    mutating func append(
      _ destination: Int64, _ block: RollupBytes, _ body: (Int64, RollupBytes) throws(StoreError) -> Void
    ) throws(StoreError) {
      guard block.count > 0 else { return }
      if destination >> RollupCode.chunkBits != number {
        try close(body)
        number = destination >> RollupCode.chunkBits
        before = number << RollupCode.chunkBits
      }
      bytes.varint(destination - before)
      before = destination
      bytes.varint(UInt64(block.count))
      bytes.append(block)
    }

    mutating func close(_ body: (Int64, RollupBytes) throws(StoreError) -> Void) throws(StoreError) {
      if bytes.count > 0 { try body(number, bytes) }
      bytes.removeAll()
    }
  }

  /// What was sorted. Those of a range have all in common by which they are summed up; mostly it is one.
  private struct Flows {
    let keys: UnsafeMutablePointer<UInt64>
    let facts: UnsafeMutablePointer<Facts>
    /// By number.
    let outcomes: UnsafeMutablePointer<Int64>
    let packing: Packing
    let beginMs: Int64

    @inline(__always)
    func destination(_ index: Int) -> Int { packing.destination.number(of: keys[index]) }

    @inline(__always)
    func end(from index: Int, _ count: Int) -> Int {
      var end = index + 1
      while end < count, keys[end] == keys[index] { end += 1 }
      return end
    }

    // In bounds: keys are made of the numbers of the slice's outcomes.
    @inline(__always)
    private func outcome(_ index: Int) -> Int64 { outcomes[packing.outcome.number(of: keys[index])] }
    @inline(__always)
    private func source(_ index: Int) -> Int64 { Int64(packing.source.number(of: keys[index])) }

    @inline(__always)
    func writeCount(_ range: Range<Int>, _ writer: inout RollupCountWriter) {
      let begin = range.lowerBound
      var sum = RollupCount()
      (sum.outcome, sum.source, sum.flows) = (outcome(begin), source(begin), Int64(range.count))
      let flow = facts[begin]
      var (first, last) = (flow.startedAfterMs, flow.startedAfterMs)
      sum.hasSent = flow.sent != Facts.none
      if sum.hasSent { sum.sent = Int64(flow.sent) }
      sum.hasReceived = flow.received != Facts.none
      if sum.hasReceived { sum.received = Int64(flow.received) }
      var index = begin + 1
      while index < range.upperBound {
        let flow = facts[index]
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
        index += 1
      }
      (sum.firstMs, sum.lastMs) = (beginMs + Int64(first), beginMs + Int64(last))
      writer.append(sum)
    }

    @inline(__always)
    func writeDurations(
      _ range: Range<Int>, _ writer: inout RollupDurationWriter, _ histogram: inout RollupHistogram
    ) {
      let begin = range.lowerBound
      var measured = RollupDurations()
      (measured.outcome, measured.source) = (outcome(begin), source(begin))
      guard range.count == 1 else { return write(range, measured, &writer, &histogram) }
      let flow = facts[begin]
      guard flow.durationMs != Facts.none else { return }
      measured.firstMs = beginMs + Int64(flow.startedAfterMs)
      measured.lastMs = measured.firstMs
      writer.append(measured, single: Int64(flow.durationMs))
    }

    private func write(
      _ range: Range<Int>, _ measured: RollupDurations, _ writer: inout RollupDurationWriter,
      _ histogram: inout RollupHistogram
    ) {
      var measured = measured
      var (first, last) = (UInt32.max, UInt32.min)
      histogram.removeAll()
      for index in range where facts[index].durationMs != Facts.none {
        histogram.add(Int64(facts[index].durationMs))
        first = min(first, facts[index].startedAfterMs)
        last = max(last, facts[index].startedAfterMs)
      }
      guard histogram.count > 0 else { return }
      (measured.firstMs, measured.lastMs) = (beginMs + Int64(first), beginMs + Int64(last))
      writer.append(measured, histogram)
    }
  }
}
