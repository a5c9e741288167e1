import Flows
import Testing

@testable import FlowStore

/// A slice sorts by packed keys; what it writes is what each flow says.
@Suite("Sums of flows without rows")
struct TallySliceTests {
  private struct Place: Hashable {
    var destination, outcome, source, hour: Int64
  }
  private struct Sum: Equatable {
    var flows: Int64 = 0
    var sent: Int64?
    var received: Int64?
    var firstMs = Int64.max
    var lastMs = Int64.min
    var durations: [Int64] = []
  }

  @Test(
    "hold every flow once, under what it is summed up by, wherever ids and hours lie",
    arguments: [
      (ids: 1, hours: 1, destinations: [1]), (ids: 40, hours: 3, destinations: [1, 1_023, 1_024, 5_000]),
      (ids: 1 << 20, hours: 50, destinations: [0, 1 << 20, 1 << 24 - 1]),
    ] as [(ids: Int, hours: Int, destinations: [Int64])])
  func everyFlow(ids: Int, hours: Int, destinations: [Int64]) throws {
    var random = RandomNumbers(seed: UInt64(ids + hours))
    let slice = TallySlice()
    // Used again and again: nothing of one run is left in the next.
    for count in [1, 30, 5_000, 7] {
      var expected: [Place: Sum] = [:]
      for number in 0..<count {
        var row = FlowRow()
        // The first one says which hours there is room for.
        let hour = number == 0 ? min(10, hours - 1) : random.next(hours)
        row.startedAtMs = 1_700_000_000_000 + Int64(hour) * 3_600_000 + Int64(random.next(1_000))
        row.durationMs = Int64(random.next(4)) - 1
        row.sent = Int64(random.next(500)) - 1
        row.received = Int64(random.next(2)) * 1_000 - 1
        let place = Place(
          destination: destinations[random.next(destinations.count)],
          outcome: Int64(1 + random.next(min(ids, 300)) * 3),
          source: Int64(random.next(ids)), hour: RollupGroups.hour(row.startedAtMs))
        #expect(
          slice.take(row, source: place.source, destination: place.destination, outcome: place.outcome))
        var sum = expected[place] ?? Sum()
        sum.flows += 1
        if row.sent >= 0 { sum.sent = (sum.sent ?? 0) + row.sent }
        if row.received >= 0 { sum.received = (sum.received ?? 0) + row.received }
        (sum.firstMs, sum.lastMs) = (min(sum.firstMs, row.startedAtMs), max(sum.lastMs, row.startedAtMs))
        if row.durationMs >= 0 { sum.durations.append(row.durationMs) }
        expected[place] = sum
      }
      let run = try #require(slice.sort())
      #expect(run.flows == Int64(count))
      #expect(run.firstMs == expected.values.map(\.firstMs).min() && run.lastMs == expected.values.map(\.lastMs).max())
      #expect(run.sources.map(\.member) == Set(expected.keys.map(\.source)).sorted())
      #expect(run.outcomes.map(\.member) == Set(expected.keys.map(\.outcome)).sorted())
      let found = try read(slice, run.scale)
      #expect(found.mapValues(\.flows) == expected.mapValues(\.flows))
      for (place, sum) in expected where found[place] != sum {
        var sorted = sum
        sorted.durations.sort()
        var other = try #require(found[place])
        other.durations.sort()
        // Beyond eight they are told by buckets, which are exact here.
        #expect(other == sorted)
      }
      slice.removeAll()
    }
    #expect(slice.sort() == nil)
  }

  private func read(_ slice: TallySlice, _ scale: RollupScale) throws -> [Place: Sum] {
    var found: [Place: Sum] = [:]
    var last: Int64 = -1
    try slice.forEachChunk(ofDurations: false, scale) { number, bytes in
      #expect(number > last)
      last = number
      guard let chunk = bytes.withBytes({ RollupChunk(number, $0) }) else {
        Issue.record("chunk \(number) cannot be read")
        return
      }
      for destination in chunk.destinations {
        var reader = RollupCountReader(chunk.block(of: destination)!, scale)
        while reader.next() {
          let entry = reader.entry
          let place = Place(
            destination: destination, outcome: entry.outcome, source: entry.source,
            hour: RollupGroups.hour(entry.firstMs))
          #expect(found[place] == nil)
          found[place] = Sum(
            flows: entry.flows, sent: entry.hasSent ? entry.sent : nil,
            received: entry.hasReceived ? entry.received : nil, firstMs: entry.firstMs, lastMs: entry.lastMs)
        }
        #expect(!reader.isBroken)
      }
    }
    try slice.forEachChunk(ofDurations: true, scale) { number, bytes in
      guard let chunk = bytes.withBytes({ RollupChunk(number, $0) }) else {
        Issue.record("chunk \(number) cannot be read")
        return
      }
      for destination in chunk.destinations {
        var reader = RollupDurationReader(chunk.block(of: destination)!, scale)
        while reader.next() {
          let entry = reader.entry
          let place = Place(
            destination: destination, outcome: entry.outcome, source: entry.source,
            hour: RollupGroups.hour(entry.firstMs))
          var values: [Int64] = []
          let isGood = reader.forEach(
            value: { values.append($0) },
            buckets: { _, _, _, next in
              // As far as here buckets are as wide as one number.
              while let (bucket, count) = next() { values += repeatElement(Int64(bucket), count: Int(count)) }
            })
          #expect(isGood)
          found[place]?.durations = values
        }
        #expect(!reader.isBroken)
      }
    }
    return found
  }
}
