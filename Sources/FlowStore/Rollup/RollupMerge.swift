internal import Dispatch

/// Makes one run of several that follow one another, chunk by chunk.
struct RollupMerge {
  /// What the runs become; `outcomes` and `sources` by the present judgement.
  let run: RollupRun
  private let inputs: [RollupRun]
  private let groups: RollupGroups
  private let borders: [Int64]

  /// nil where something was summed up together that is not alike any more: then the rows have to be looked at.
  init?(_ inputs: [RollupRun], _ groups: RollupGroups) {
    guard let first = inputs.first, let last = inputs.last,
      inputs.allSatisfy({ RollupMerge.isCurrent($0, groups) })
    else { return nil }
    var run = RollupRun(
      firstFlow: first.firstFlow, lastFlow: last.lastFlow, flows: inputs.reduce(0) { $0 + $1.flows },
      firstMs: inputs.map(\.firstMs).min()!, lastMs: inputs.map(\.lastMs).max()!)
    run.outcomes = Set(inputs.flatMap { $0.outcomes.map(\.member) }).sorted().map { ($0, groups.outcome($0)) }
    run.sources = Set(inputs.flatMap { $0.sources.map(\.member) }).sorted().map { ($0, groups.source($0)) }
    self.run = run
    self.inputs = inputs
    self.groups = groups
    borders = groups.borders(from: run.firstMs, through: run.lastMs)
  }

  static func isCurrent(_ run: RollupRun, _ groups: RollupGroups) -> Bool {
    hasCurrentOutcomes(run, groups.outcomes)
      && run.sources.allSatisfy { groups.source($0.member) == groups.source($0.group) }
  }

  /// - Parameter outcomes: groups by row id.
  static func hasCurrentOutcomes(_ run: RollupRun, _ outcomes: [Int32]) -> Bool {
    run.outcomes.allSatisfy {
      RollupGroups.group(of: $0.member, outcomes) == RollupGroups.group(of: $0.group, outcomes)
    }
  }

  private func segment(_ first: Int64, _ last: Int64) -> UInt64 {
    let segment = RollupGroups.segment(first, borders)
    return segment == RollupGroups.segment(last, borders) ? UInt64(segment) : RollupMerge.divided
  }

  /// Of an entry on both sides of a border, which is added to no other.
  private static let divided: UInt64 = 1 << UInt64(RollupGroups.segmentBits) - 1

  /// - Parameter chunks: of each input the bytes, with `RollupCode.slack` more behind them; nil where it has none.
  /// - Returns: nil where the bytes make no sense.
  func counts(_ chunk: Int64, _ chunks: [RollupChunk?]) -> RollupBytes? {
    var blocks = RollupContent.Blocks()
    var writer = RollupCountWriter(run.scale)
    let sorter = RadixSorter(capacity: 1024)
    var entries: [RollupCount] = []
    var isBroken = false
    for destination in RollupMerge.destinations(chunk, chunks) {
      entries.removeAll(keepingCapacity: true)
      for (input, chunk) in zip(inputs, chunks) {
        guard let block = chunk?.block(of: destination) else { continue }
        var reader = RollupCountReader(block, input.scale)
        while reader.next() {
          entries.append(reader.entry)
          entries[entries.count - 1].outcome = groups.outcome(reader.entry.outcome)
        }
        isBroken = isBroken || reader.isBroken
      }
      sorter.reserve(entries.count)
      for (index, entry) in entries.enumerated() {
        sorter.keys[index] = key(entry.outcome, entry.kind, entry.source, segment(entry.firstMs, entry.lastMs))
      }
      sorter.sort(entries.count)
      writer.begin()
      var index = 0
      while index < entries.count {
        let key = sorter.keys[index]
        var sum = entries[Int(sorter.places[index])]
        index += 1
        while index < entries.count, sorter.keys[index] == key, key & RollupMerge.divided != RollupMerge.divided {
          sum.add(entries[Int(sorter.places[index])])
          index += 1
        }
        writer.append(sum)
      }
      blocks.append(destination, writer.bytes)
    }
    blocks.close()
    return isBroken ? nil : blocks.chunks[chunk] ?? RollupBytes()
  }

  /// As `counts`.
  func durations(_ chunk: Int64, _ chunks: [RollupChunk?]) -> RollupBytes? {
    var blocks = RollupContent.Blocks()
    var writer = RollupDurationWriter(run.scale)
    let sorter = RadixSorter(capacity: 1024)
    var readers: [RollupDurationReader] = []
    var histogram = RollupHistogram()
    for destination in RollupMerge.destinations(chunk, chunks) {
      readers.removeAll(keepingCapacity: true)
      for (input, chunk) in zip(inputs, chunks) {
        guard let block = chunk?.block(of: destination) else { continue }
        var reader = RollupDurationReader(block, input.scale)
        while reader.next() {
          readers.append(reader)
          guard reader.skip() else { return nil }
        }
        if reader.isBroken { return nil }
      }
      sorter.reserve(readers.count)
      for (index, reader) in readers.enumerated() {
        let entry = reader.entry
        sorter.keys[index] = key(
          groups.outcome(entry.outcome), entry.kind, groups.source(entry.source),
          segment(entry.firstMs, entry.lastMs))
      }
      sorter.sort(readers.count)
      writer.begin()
      var index = 0
      while index < readers.count {
        let key = sorter.keys[index]
        var sum = readers[Int(sorter.places[index])].entry
        sum.outcome = groups.outcome(sum.outcome)
        sum.source = groups.source(sum.source)
        histogram.removeAll()
        repeat {
          let place = Int(sorter.places[index])
          sum.firstMs = min(sum.firstMs, readers[place].entry.firstMs)
          sum.lastMs = max(sum.lastMs, readers[place].entry.lastMs)
          guard histogram.add(&readers[place]) else { return nil }
          index += 1
        } while index < readers.count && sorter.keys[index] == key && key & RollupMerge.divided != RollupMerge.divided
        writer.append(sum, histogram)
      }
      blocks.append(destination, writer.bytes)
    }
    blocks.close()
    return blocks.chunks[chunk] ?? RollupBytes()
  }

  /// Those of a chunk that any of the inputs tells of, ascending.
  private static func destinations(_ chunk: Int64, _ chunks: [RollupChunk?]) -> [Int64] {
    let inputs = chunks.compactMap { $0 }
    return (0..<RollupChunk.destinationCount).compactMap { index in
      inputs.contains { $0.blocks[index] != nil } ? chunk << RollupCode.chunkBits + Int64(index) : nil
    }
  }

  /// In the order in which entries are written, and the segment below it.
  private func key(_ outcome: Int64, _ kind: UInt8, _ source: Int64, _ segment: UInt64) -> UInt64 {
    var key = UInt64(truncatingIfNeeded: outcome)
    key = key << UInt64(JourneyPlaces.bits) | UInt64(kind)
    key = key << 24 | UInt64(truncatingIfNeeded: source) & 0xFFFFFF
    return key << UInt64(RollupGroups.segmentBits) | segment
  }
}
