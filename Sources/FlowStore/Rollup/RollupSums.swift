/// Sums up stacks of rows, and writes the sums as blocks of destinations: one thread's share of a run.
///
/// Each row is looked at once: only keys are sorted, and rows copied a few at a time, so that many look-ups in memory overlap.
///
/// Made once per thread and used for run after run: the system clears memory that is asked for anew.
final class RollupSums {
  /// What is the same for all stacks of a run.
  struct Plan {
    let keys: RollupKeys
    let groups: RollupGroups
    let scale: RollupScale
    /// What ids in rows are counted from.
    let firstID: Int64
    let borders: [Int64]
    /// Below a key, where times have to be told apart.
    fileprivate let segmentBits: UInt64

    /// - Parameter run: with the times of all its rows.
    init(_ run: RollupRun, from firstID: Int64, _ keys: RollupKeys, _ groups: RollupGroups) {
      (self.keys, self.groups, self.firstID, scale) = (keys, groups, firstID, run.scale)
      borders = groups.borders(from: run.firstMs, through: run.lastMs)
      segmentBits = borders.isEmpty ? 0 : UInt64(RollupGroups.segmentBits)
    }
  }

  /// What became of the rows of a stack, of the counts or of the durations: blocks as in a chunk, but that the first one's
  /// distance is left out.
  struct Blocks {
    var first: Int64
    var last: Int64
    var bytes: Range<Int>
  }

  /// Counts and durations, which `Blocks` are ranges of.
  private(set) var bytes = [RollupBytes(), RollupBytes()]
  private var blocks: [Blocks?] = [nil, nil]
  private let rows: RollupRows
  private let sorter = RadixSorter(capacity: RollupSums.usual)
  /// Rows in the order of their keys.
  private let window: UnsafeMutablePointer<RollupRow>
  @exclusivity(unchecked) private var windowBegin = 0
  private var durations = RollupHistogram()
  private var measured: [Measured] = []

  /// Rows of a stack without more memory.
  private static let usual = 1 << 14
  private static let windowRows = 256

  /// Where the durations stand that belong to an entry of the counts.
  private struct Measured {
    /// Source, as it is summed up, and segment.
    var mark: UInt64
    var begin, end: Int
    var firstMs, lastMs, example: Int64
  }

  init(_ rows: RollupRows) {
    self.rows = rows
    window = .allocate(capacity: RollupSums.windowRows)
  }

  deinit { window.deallocate() }

  func begin() { for kind in bytes.indices { bytes[kind].removeAll() } }

  /// Sums up one stack of all piles.
  func add(_ stack: Int, _ piles: [RollupPile], _ plan: Plan) -> [Blocks?] {
    blocks = [nil, nil]
    let count = piles.reduce(0) { $0 + $1.count(ofStack: stack) }
    guard count > 0 else { return blocks }
    sorter.reserve(count)
    let (keys, places) = (sorter.keys, sorter.places)
    var next = 0
    for pile in piles {
      pile.forEachBlock(ofStack: stack) { blockKeys, place in
        for index in blockKeys.indices {
          keys[next] = blockKeys[index]
          places[next] = place &+ UInt32(truncatingIfNeeded: index)
          next += 1
        }
      }
    }
    if plan.segmentBits > 0 {
      for index in 0..<count {
        let segment = RollupGroups.segment(rows.row(places[index]).startedAtMs, plan.borders)
        keys[index] = keys[index] << plan.segmentBits | UInt64(segment)
      }
    }
    sorter.sort(count, bits: plan.keys.bits + Int(plan.segmentBits))
    write(stack, plan, count)
    return blocks
  }

  private func write(_ stack: Int, _ plan: Plan, _ count: Int) {
    let keys = sorter.keys
    let partShift = plan.keys.kindShift + plan.segmentBits
    let destinationShift = plan.keys.destinationShift + plan.segmentBits
    var counts = RollupCountWriter(plan.scale)
    var durations = RollupDurationWriter(plan.scale)
    windowBegin = -RollupSums.windowRows
    var index = 0
    while index < count {
      let destination = keys[index] >> destinationShift
      counts.begin()
      durations.begin()
      while index < count, keys[index] >> destinationShift == destination {
        // Of one outcome and kind.
        let (key, part) = (keys[index] >> plan.segmentBits, keys[index] >> partShift)
        measured.removeAll(keepingCapacity: true)
        repeat {
          writeCount(from: &index, plan, count, &counts)
        } while index < count && keys[index] >> partShift == part
        writeDurations(of: key, plan, &durations)
      }
      let id = Int64(stack) << Int64(plan.keys.destinationBits) | Int64(destination)
      append(0, id, counts.bytes)
      append(1, id, durations.bytes)
    }
  }

  /// The row that stands at `index` by its key.
  @inline(__always)
  private func row(_ index: Int, _ count: Int) -> RollupRow {
    if index - windowBegin >= RollupSums.windowRows { fillWindow(index, count) }
    return window[index - windowBegin]
  }

  @inline(never)
  private func fillWindow(_ index: Int, _ count: Int) {
    let (rows, window, places) = (rows, window, sorter.places + index)
    windowBegin = index
    for offset in 0..<min(RollupSums.windowRows, count - index) { window[offset] = rows.row(places[offset]) }
  }

  /// Writes the entry of the counts that begins at `index`, and notes its durations in place of the keys.
  @inline(__always)
  private func writeCount(from index: inout Int, _ plan: Plan, _ count: Int, _ writer: inout RollupCountWriter) {
    let keys = sorter.keys
    let (begin, sorted) = (index, keys[index])
    let key = sorted >> plan.segmentBits
    var entry = RollupCount()
    entry.outcome = plan.keys.outcome(of: key)
    entry.source = plan.keys.source(of: key)
    entry.kind = plan.keys.kind(of: key)
    (entry.firstMs, entry.lastMs, entry.example) = (.max, .min, .max)
    var durations = Measured(mark: 0, begin: begin, end: begin, firstMs: .max, lastMs: .min, example: .max)
    repeat {
      let row = row(index, count)
      if row.sent != RollupRow.none {
        entry.sent = GroupTable.sum(entry.sent, row.sent)
        entry.hasSent = true
      }
      if row.received != RollupRow.none {
        entry.received = GroupTable.sum(entry.received, row.received)
        entry.hasReceived = true
      }
      entry.firstMs = min(entry.firstMs, row.startedAtMs)
      entry.lastMs = max(entry.lastMs, row.startedAtMs)
      entry.example = min(entry.example, row.id)
      let duration = row.measured >> RollupRow.idBits
      if duration > 0 {
        durations.firstMs = min(durations.firstMs, row.startedAtMs)
        durations.lastMs = max(durations.lastMs, row.startedAtMs)
        durations.example = min(durations.example, row.id)
        keys[durations.end] = duration - 1
        durations.end += 1
      }
      index += 1
    } while index < count && keys[index] == sorted
    entry.flows = Int64(index - begin)
    entry.example += plan.firstID
    writer.append(entry)
    guard durations.end > begin else { return }
    let segment = sorted & (1 << plan.segmentBits - 1)
    durations.mark = UInt64(plan.groups.source(entry.source)) << UInt64(RollupGroups.segmentBits) | segment
    measured.append(durations)
  }

  /// Writes the durations noted last: those of one destination, outcome and kind.
  private func writeDurations(of key: UInt64, _ plan: Plan, _ writer: inout RollupDurationWriter) {
    let keys = sorter.keys
    if zip(measured, measured.dropFirst()).contains(where: { $0.mark > $1.mark }) {
      measured.sort { ($0.mark, $0.begin) < ($1.mark, $1.begin) }
    }
    var next = 0
    while next < measured.count {
      let mark = measured[next].mark
      var entry = RollupDurations()
      entry.outcome = plan.keys.outcome(of: key)
      entry.source = Int64(mark >> UInt64(RollupGroups.segmentBits))
      entry.kind = plan.keys.kind(of: key)
      (entry.firstMs, entry.lastMs, entry.example) = (.max, .min, .max)
      durations.removeAll()
      while next < measured.count, measured[next].mark == mark {
        let part = measured[next]
        entry.firstMs = min(entry.firstMs, part.firstMs)
        entry.lastMs = max(entry.lastMs, part.lastMs)
        entry.example = min(entry.example, part.example)
        for index in part.begin..<part.end { durations.add(Int64(keys[index])) }
        next += 1
      }
      entry.example += plan.firstID
      writer.append(entry, durations)
    }
  }

  private func append(_ kind: Int, _ destination: Int64, _ block: RollupBytes) {
    guard block.count > 0 else { return }
    if let last = blocks[kind]?.last {
      bytes[kind].varint(destination - last)
    } else {
      blocks[kind] = Blocks(first: destination, last: destination, bytes: bytes[kind].count..<bytes[kind].count)
    }
    bytes[kind].varint(UInt64(block.count))
    bytes[kind].append(block)
    blocks[kind]!.last = destination
    blocks[kind]!.bytes = blocks[kind]!.bytes.lowerBound..<bytes[kind].count
  }
}
