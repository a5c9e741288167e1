/// Makes a run from rows: takes them in, sorts them by what is summed up, and writes sums.
///
/// Made once per thread and used for slice after slice, for its memory is most of the cost.
final class RollupSlice {
  /// Rows at a time: 7 MB of them, and what sorting needs stays in the processor's cache.
  static let rows = 1 << 17

  private struct Row {
    var startedAtMs, durationMs, sent, received, id: Int64
    var source, destination, outcome: Int32
    var kind: UInt8
    var hasSent, hasReceived: Bool
  }

  // Room for `rows` each; `count` of them are in use.
  private let taken: UnsafeMutablePointer<Row>
  private let sorter = RadixSorter(capacity: rows)
  private(set) var count = 0
  private var isUnfit = false
  private let groups: RollupGroups
  /// Positions among the groups, by row id of the outcome that stands for one.
  private var outcomeRank: [Int32] = []
  private var outcomeOfRank: [Int64] = []
  private var histogram = RollupHistogram()

  init(_ groups: RollupGroups) {
    self.groups = groups
    taken = .allocate(capacity: RollupSlice.rows)
  }

  deinit { taken.deallocate() }

  @inline(__always)
  func take(_ flow: FlowRecord, kind: Int) {
    // More rows than ids in the slice cannot be.
    guard count < RollupSlice.rows, flow.source >= 0, flow.source < Key.most(Key.sourceBits), flow.destination >= 0,
      flow.destination < Key.most(Key.destinationBits), flow.outcome >= 0, flow.outcome <= Int64(Int32.max)
    else {
      isUnfit = true
      return
    }
    taken[count] = Row(
      startedAtMs: flow.startedAtMs, durationMs: flow.durationMs, sent: flow.sent, received: flow.received, id: flow.id,
      source: Int32(truncatingIfNeeded: flow.source), destination: Int32(truncatingIfNeeded: flow.destination),
      outcome: Int32(truncatingIfNeeded: flow.outcome), kind: UInt8(truncatingIfNeeded: kind), hasSent: flow.hasSent,
      hasReceived: flow.hasReceived)
    count += 1
  }

  /// What a row is sorted by, from the high bits down.
  private enum Key {
    static let destinationBits = 24
    static let outcomeBits = 11
    static let kindBits = 3
    static let sourceBits = 20
    static func most(_ bits: Int) -> Int64 { 1 << Int64(bits) }
    static let segmentBits = RollupGroups.segmentBits
  }

  /// The run of the rows taken, which are all of `ids`; nil when there are none, or when they cannot be summed up (ids
  /// beyond what a key has room for). Takes rows for the next slice afterwards.
  func close(ids: ClosedRange<Int64>) -> (run: RollupRun, content: RollupContent)? {
    defer {
      count = 0
      isUnfit = false
    }
    guard count > 0, !isUnfit else { return nil }
    var run = RollupRun(
      firstFlow: ids.lowerBound, lastFlow: ids.upperBound, flows: Int64(count), firstMs: .max, lastMs: .min)
    var outcomes = Marks()
    var sources = Marks()
    for index in 0..<count {
      let row = taken + index
      run.firstMs = min(run.firstMs, row.pointee.startedAtMs)
      run.lastMs = max(run.lastMs, row.pointee.startedAtMs)
      outcomes.insert(row.pointee.outcome)
      sources.insert(row.pointee.source)
    }
    run.outcomes = outcomes.numbers.map { ($0, groups.outcome($0)) }
    run.sources = sources.numbers.map { ($0, groups.source($0)) }
    guard rankOutcomes(run) else { return nil }
    let borders = groups.borders(from: run.firstMs, through: run.lastMs)
    let (taken, keys, outcomeRank) = (taken, sorter.keys, outcomeRank)
    for index in 0..<count {
      let row = taken[index]
      let rank = outcomeRank[Int(row.outcome)]
      var key = UInt64(row.destination)
      key = key << UInt64(Key.outcomeBits) | UInt64(rank)
      key = key << UInt64(Key.kindBits) | UInt64(row.kind)
      key = key << UInt64(Key.sourceBits) | UInt64(row.source)
      key = key << UInt64(Key.segmentBits)
      if !borders.isEmpty { key |= UInt64(RollupGroups.segment(row.startedAtMs, borders)) }
      keys[index] = key
    }
    sorter.sort(count)
    return (run, content(run.scale, borders))
  }

  private func rankOutcomes(_ run: RollupRun) -> Bool {
    outcomeOfRank = Set(run.outcomes.map(\.group)).sorted()
    guard outcomeOfRank.count < Key.most(Key.outcomeBits), let last = run.outcomes.last?.member else { return false }
    var ranks: [Int64: Int32] = [:]
    for (rank, group) in outcomeOfRank.enumerated() { ranks[group] = Int32(rank) }
    outcomeRank = [Int32](repeating: 0, count: Int(last) + 1)
    for (member, group) in run.outcomes { outcomeRank[Int(member)] = ranks[group]! }
    return true
  }

  private func content(_ scale: RollupScale, _ borders: [Int64]) -> RollupContent {
    var counts = RollupContent.Blocks()
    var durations = RollupContent.Blocks()
    var countWriter = RollupCountWriter(scale)
    var durationWriter = RollupDurationWriter(scale)
    var begin = 0
    let destinationShift = UInt64(Key.outcomeBits + Key.kindBits + Key.sourceBits + Key.segmentBits)
    let outcomeShift = UInt64(Key.sourceBits + Key.segmentBits)
    let (count, keys) = (count, sorter.keys)
    while begin < count {
      let destination = keys[begin] >> destinationShift
      countWriter.begin()
      durationWriter.begin()
      while begin < count, keys[begin] >> destinationShift == destination {
        let part = keys[begin] >> outcomeShift
        var end = begin + 1
        while end < count, keys[end] >> outcomeShift == part { end += 1 }
        write(counts: begin..<end, &countWriter)
        write(durations: begin..<end, borders, &durationWriter)
        begin = end
      }
      counts.append(Int64(destination), countWriter.bytes)
      durations.append(Int64(destination), durationWriter.bytes)
    }
    counts.close()
    durations.close()
    return RollupContent(counts: counts.chunks, durations: durations.chunks)
  }

  private func write(counts range: Range<Int>, _ writer: inout RollupCountWriter) {
    // Once, and not checked for each row.
    let (taken, keys, places) = (taken, sorter.keys, sorter.places)
    var index = range.lowerBound
    while index < range.upperBound {
      let key = keys[index]
      let first = taken[Int(places[index])]
      var entry = RollupCount()
      entry.outcome = outcomeOfRank[Int(outcomeRank[Int(first.outcome)])]
      entry.source = Int64(first.source)
      entry.kind = first.kind
      entry.example = first.id
      entry.firstMs = first.startedAtMs
      entry.lastMs = first.startedAtMs
      while index < range.upperBound, keys[index] == key {
        let row = taken[Int(places[index])]
        entry.flows += 1
        if row.hasSent {
          entry.sent = GroupTable.sum(entry.sent, row.sent)
          entry.hasSent = true
        }
        if row.hasReceived {
          entry.received = GroupTable.sum(entry.received, row.received)
          entry.hasReceived = true
        }
        entry.firstMs = min(entry.firstMs, row.startedAtMs)
        entry.lastMs = max(entry.lastMs, row.startedAtMs)
        index += 1
      }
      writer.append(entry)
    }
  }

  /// Groups of sources are few: each is looked for on its own.
  private func write(durations range: Range<Int>, _ borders: [Int64], _ writer: inout RollupDurationWriter) {
    let (taken, keys, places) = (taken, sorter.keys, sorter.places)
    var done: [UInt64] = []
    var next = range.lowerBound
    while next < range.upperBound {
      let first = taken[Int(places[next])]
      let source = groups.source(Int64(first.source))
      let segment = borders.isEmpty ? 0 : keys[next] & (1 << UInt64(Key.segmentBits) - 1)
      let mark = UInt64(source) << UInt64(Key.segmentBits) | segment
      guard first.durationMs >= 0, !done.contains(mark) else {
        next += 1
        continue
      }
      done.append(mark)
      var entry = RollupDurations()
      entry.outcome = outcomeOfRank[Int(outcomeRank[Int(first.outcome)])]
      entry.source = source
      entry.kind = first.kind
      entry.example = first.id
      entry.firstMs = first.startedAtMs
      entry.lastMs = first.startedAtMs
      histogram.removeAll()
      for index in next..<range.upperBound {
        let row = taken[Int(places[index])]
        guard row.durationMs >= 0, groups.source(Int64(row.source)) == source,
          borders.isEmpty || keys[index] & (1 << UInt64(Key.segmentBits) - 1) == segment
        else { continue }
        histogram.add(row.durationMs)
        entry.firstMs = min(entry.firstMs, row.startedAtMs)
        entry.lastMs = max(entry.lastMs, row.startedAtMs)
      }
      writer.append(entry, histogram)
    }
  }
}

/// A set of small numbers.
private struct Marks {
  private var isMarked: [Bool] = []

  @inline(__always)
  mutating func insert(_ number: Int32) {
    let index = Int(number)
    if index >= isMarked.count { isMarked += repeatElement(false, count: index + 1 - isMarked.count) }
    isMarked[index] = true
  }

  /// Ascending.
  var numbers: [Int64] { isMarked.indices.filter { isMarked[$0] }.map { Int64($0) } }
}
