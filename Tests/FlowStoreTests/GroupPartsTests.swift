import Testing

@testable import FlowStore

/// Flows noted by several threads and added up part by part.
@Suite("Groups in parts")
struct GroupPartsTests {
  private struct Noted {
    var key: UInt64
    var startedAtMs: Int64
    var sent, received: Int64?
  }

  @Test(
    "many groups come to what one table adds up, while notes fit into memory and when they do not, by one thread or three",
    arguments: [1, 3], [nil, 1, 0])
  func sums(threads: Int, chunks: Int?) throws {
    var random = HistogramTests.Numbers(state: 7)
    // More notes than the fewest chunks hold. Without any, none is kept longer than its chunk lasts.
    let flows = (0..<300_000).map { _ in Self.flow(&random) }
    let parts = (0..<threads).map { _ in
      GroupParts(measuringDurations: false, hasManyGroups: chunks != 0, threads: threads, chunks: chunks)
    }
    var table = GroupTable()
    for (index, flow) in flows.enumerated() {
      Self.note(flow, in: parts[index % threads])
      table.add(
        startedAtMs: flow.startedAtMs, sent: flow.sent, received: flow.received, to: table.slot(of: flow.key))
    }
    for part in parts { #expect(part.close()) }
    let expected = table.entries.map(Self.words).sorted { $0.lexicographicallyPrecedes($1) }
    #expect(expected.count > 30_000)
    let found = GroupParts.joined(parts).groups.map(Self.words).sorted { $0.lexicographicallyPrecedes($1) }
    #expect(found == expected)
  }

  @Test("durations come to what one table measures, also those of weeks, by one thread or three", arguments: [1, 3])
  func durations(threads: Int) throws {
    var random = HistogramTests.Numbers(state: 9)
    let parts = (0..<threads).map { _ in GroupParts(measuringDurations: true, threads: threads) }
    var table = GroupTable()
    for index in 0..<120_000 {
      var flow = Self.flow(&random)
      flow.key = UInt64(index % 300)
      let duration = index % 1000 == 0 ? Int64(1) << Int64(index / 1000 % 45) : Int64(random.next() % 5000)
      parts[index % threads].note(
        flow.key, flow.startedAtMs, sent: duration, received: 0, hasSent: true, hasReceived: false)
      let slot = table.slot(of: flow.key)
      table.note(flow.startedAtMs, slot)
      table.measure(duration, slot)
    }
    for part in parts { #expect(part.close()) }
    let found = GroupParts.joined(parts)
    var durations: [UInt64: Histogram] = [:]
    for (group, histogram) in zip(found.groups, found.durations) { durations[group.key] = histogram }
    #expect(
      found.groups.map(Self.words).sorted { $0.lexicographicallyPrecedes($1) }
        == table.entries.map(Self.words).sorted { $0.lexicographicallyPrecedes($1) })
    for (group, histogram) in zip(table.entries, table.histograms) {
      #expect(durations[group.key]?.encoded == histogram.encoded)
    }
  }

  @Test("sums stay at the end of the range, wherever flows with so many bytes are noted")
  func overflow() throws {
    let parts = (0..<2).map { _ in GroupParts(measuringDurations: false, threads: 2) }
    for bytes in [Int64.max - 10, 7, 1 << 40, 5] {
      for part in parts {
        Self.note(Noted(key: 3, startedAtMs: 1000, sent: bytes, received: nil), in: part)
      }
    }
    let groups = GroupParts.joined(parts).groups
    #expect(groups.count == 1)
    #expect(groups.first?.flows == 8)
    #expect(groups.first?.sent == .max)
    #expect(groups.first?.received == nil)
  }

  @Test(
    "a buffer that outgrows its memory keeps what it holds, and several become one, with what belongs to each group",
    arguments: [[600_000, 0, 3], [70_000, 1, 150_000, 65_536], [0], [5]])
  func buffers(counts: [Int]) {
    let buffers = counts.map { count in
      var buffer = GroupBuffer()
      for number in 0..<count {
        let slot = buffer.append(Tally.Group(key: UInt64(number)))
        buffer[slot].add(flows: Int64(number), firstMs: noon, lastMs: noon)
      }
      return buffer
    }
    let groups = GroupBuffer.joined(buffers)
    let numbers = GroupBuffer.joined(counts.map { Array(0..<$0) })
    #expect(groups.count == counts.reduce(0, +))
    #expect(groups.count == numbers.count)
    #expect(zip(groups, numbers).allSatisfy { $0.key == UInt64($1) && $0.flows == Int64($1) })
    #expect(numbers.sorted() == counts.flatMap { 0..<$0 }.sorted())
  }

  @Test("no flow, no group")
  func none() {
    let parts = GroupParts(measuringDurations: false, threads: 1)
    #expect(parts.close())
    #expect(GroupParts.joined([parts]).groups.isEmpty)
    #expect(GroupParts.joined([]).groups.isEmpty)
  }

  /// Most as logs have them; some long ago or far ahead, with more bytes than a note has room for, or with none.
  private static func flow(_ random: inout HistogramTests.Numbers) -> Noted {
    func bytes() -> Int64? {
      switch random.next() % 40 {
      case 0: nil
      case 1: Int64(random.next() % (1 << 50))
      case 2: Int64(1) << 31 - Int64(random.next() % 3)
      default: Int64(random.next() % 100_000)
      }
    }
    let startedAtMs: Int64 =
      switch random.next() % 100 {
      case 0: -.max / 2
      case 1: .max / 2
      case 2: noon + 1 << 31
      default: noon + Int64(random.next() % 100_000_000)
      }
    let key = random.next() % 60_000
    return Noted(
      key: Tally.Group.key(verdict: Int32(key % 3), source: Int32(key / 150), destination: Int32(key % 12_000)),
      startedAtMs: startedAtMs, sent: bytes(), received: bytes())
  }

  private static func note(_ flow: Noted, in parts: GroupParts) {
    parts.note(
      flow.key, flow.startedAtMs, sent: flow.sent ?? 0, received: flow.received ?? 0, hasSent: flow.sent != nil,
      hasReceived: flow.received != nil)
  }

  /// Equal for equal groups only.
  private static func words(_ group: Tally.Group) -> [UInt64] {
    [
      group.key, UInt64(group.flows), UInt64(bitPattern: group.sent ?? -1), UInt64(bitPattern: group.received ?? -1),
      UInt64(bitPattern: group.firstMs), UInt64(bitPattern: group.lastMs),
    ]
  }
}
