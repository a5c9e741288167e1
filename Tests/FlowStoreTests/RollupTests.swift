import Flows
import Foundation
import Testing

@testable import FlowStore

/// Rollups are a faster way to what the rows say: whatever happens to rows, places or verdicts, the answers stay the same.
@Suite("Rollups")
struct RollupTests {
  @Test("a tally from rollups is that of the rows, whatever is asked, and so by any later judgement")
  func twins() throws {
    let scene = try RollupScene()
    try scene.append(6000)
    try scene.judge(1)
    #expect(try scene.rollUp() == 5632)
    try scene.compare("first")
    for variant in 2...6 {
      try scene.judge(variant)
      try scene.compare("judgement \(variant)")
    }
  }

  @Test(
    "rollups of many small runs become few, and say the same, also while classes of sources change all the time",
    arguments: [false, true])
  func appends(areReclassified: Bool) throws {
    let scene = try RollupScene()
    for turn in 0..<24 {
      try scene.append(900)
      // Every third policy has the same classes of sources.
      try scene.judge(areReclassified ? turn : 3 * turn)
      _ = try scene.rollUp()
    }
    let runs = try scene.runs()
    #expect(runs.count < 10)
    // What could not be joined is dropped, and stays so while it is less than what runs are made for.
    #expect(areReclassified || zip(runs, runs.dropFirst()).allSatisfy { $0.lastFlow + 1 == $1.firstFlow })
    #expect(runs.reduce(0) { $0 + $1.flows } >= 24 * 900 - 2000)
    try scene.compare("after 24 runs")
  }

  @Test("runs become one, the newest apart, and none has more flows than one may have")
  func sizes() throws {
    let scene = try RollupScene()
    scene.store.rollupSizes.most = 3000
    try scene.append(9000)
    try scene.judge(1)
    _ = try scene.rollUp()
    #expect(try scene.runs().map(\.flows) == [2304, 2304, 2304, 1536, 184])
    try scene.compare("first")
    scene.store.rollupSizes.most = 20_000
    try scene.append(1200)
    _ = try scene.rollUp()
    #expect(try scene.runs().map(\.flows) == [9400, 432])
    try scene.compare("then")
  }

  @Test("of a run that a time cuts through, only the rows near that time are looked at")
  func rowsInTime() throws {
    let scene = try RollupScene()
    try scene.append(2000)
    try scene.append(3000, from: noon + 40_000_000)
    try scene.append(1000, from: noon + 80_000_000)
    try scene.judge(1)
    _ = try scene.rollUp()
    let all: [ClosedRange<Int64>] = [.min...2500, 2600 ... .max]
    func rows(_ since: Int64?, _ until: Int64?) throws -> [ClosedRange<Int64>] {
      var request = TallyRequest()
      request.sinceMs = since
      request.untilMs = until
      return try scene.reader().access { try request.rows(in: all, $0) }
    }
    #expect(try rows(nil, nil) == all)
    #expect(try rows(noon + 40_000_000, nil) == [2001...2500, 2600...6000])
    #expect(try rows(noon + 70_000_000, nil) == [5001...6000])
    #expect(try rows(nil, noon + 30_000_000) == [1...2000])
    #expect(try rows(noon + 25_000_000, noon + 35_000_000) == [])
    try scene.compare("in three times")
  }

  @Test("other classes of sources drop no run: policies come and go")
  func reclassified() throws {
    let scene = try RollupScene()
    try scene.append(6000)
    try scene.judge(2)
    _ = try scene.rollUp()
    let before = try scene.runs().map(\.id)
    try scene.judge(6)
    _ = try scene.rollUp()
    try scene.judge(4)
    _ = try scene.rollUp()
    #expect(try scene.runs().map(\.id) == before)
    try scene.compare("reclassified")
  }

  @Test("a run that holds a flow whose place changes is dropped, and made anew")
  func joins() throws {
    let scene = try RollupScene()
    try scene.append(9000)
    try scene.judge(3)
    _ = try scene.rollUp()
    let before = try scene.runs()
    try scene.join(stride(from: 2100, through: 2600, by: 3).map { $0 })
    try scene.compare("joined")
    let dropped = Set(before.map(\.id)).subtracting(try scene.runs().map(\.id))
    #expect(dropped == Set(before.filter { $0.firstFlow < 3000 && $0.lastFlow >= 2000 }.map(\.id)))
    #expect(!dropped.isEmpty && dropped.count < before.count)
    // The same again changes no place, and drops nothing.
    let kept = try scene.runs()
    try scene.join(stride(from: 2100, through: 2600, by: 3).map { $0 })
    #expect(try scene.runs().map(\.id) == kept.map(\.id))
    try scene.append(1200)
    try scene.judge(3)
    _ = try scene.rollUp()
    try scene.compare("made anew")
  }

  @Test("pruning drops what it removes from, also where later flows get the same numbers")
  func prunes() throws {
    let scene = try RollupScene()
    try scene.append(9000)
    try scene.judge(2)
    _ = try scene.rollUp()
    try scene.prune(before: noon + 6_000_000)
    try scene.append(3000)
    try scene.judge(2)
    _ = try scene.rollUp()
    try scene.compare("pruned")
    #expect(try scene.reader().check() == [])
  }

  @Test("a run that ends behind the last row left goes with a prune: its ids are given out again")
  func reusedIDs() throws {
    let scene = try RollupScene()
    try scene.append(300, from: noon + 60_000_000)
    try scene.append(3000)
    try scene.append(200, from: noon + 30_000_000)
    try scene.prune(before: noon + 25_000_000)
    try scene.judge(2)
    #expect(try scene.rollUp() == 300)
    try scene.prune(before: noon + 55_000_000)
    try scene.append(50, from: noon + 60_000_000)
    try scene.judge(2)
    try scene.compare("with new flows")
    #expect(try scene.reader().check() == [])
  }

  @Test("what lies behind a wide gap of ids, as pruning leaves it, is summed up, too")
  func gaps() throws {
    let scene = try RollupScene()
    try scene.append(300, from: noon + 60_000_000)
    try scene.append(3000)
    try scene.append(2000, from: noon + 30_000_000)
    try scene.prune(before: noon + 25_000_000)
    try scene.judge(2)
    #expect(try scene.rollUp() == 300 + 2000 - 368)
    try scene.compare("behind a gap")
  }

  @Test("killed at any write, all flows are there and all answers the same")
  func killed() throws {
    var stopAt = 0
    var isDone = false
    while !isDone {
      let scene = try RollupScene()
      try scene.append(4000)
      try scene.judge(1)
      var writes = 0
      scene.store.beforeWrite = { name throws(StoreError) in
        guard name.contains("rollup") || name == "commit" else { return }
        writes += 1
        if writes == stopAt + 1 { throw .sqlite(code: 13, message: "full", sql: nil) }
      }
      do {
        try scene.store.rollUp()
        isDone = true
      } catch {
        try scene.store.rollback()
      }
      scene.store.beforeWrite = nil
      try scene.compare("stopped at \(stopAt)")
      #expect(try scene.reader().check() == [])
      stopAt += 1
    }
    #expect(stopAt > 4)
  }

  @Test("the flows between two are found page by page as by SQL, and no more than asked for")
  func search() throws {
    let scene = try RollupScene()
    try scene.append(5000)
    try scene.judge(1)
    _ = try scene.rollUp()
    let reader = try scene.reader()
    // The last destinations are rare: most rollups have none of them.
    for pairs in [[(3, 60), (4, 59)], [(1, 1), (2, 3), (16, 40)], [(17, 1)], []]
      as [[(source: Int64, destination: Int64)]]
    {
      let condition = pairs.map { "source = \($0.source) and destination = \($0.destination)" }.joined(
        separator: " or ")
      let rows = try reader.rows("select id from flow where \(condition.isEmpty ? "0" : condition) order by id").rows
      #expect(try reader.flows(between: pairs, atMost: 1000) == rows.map { $0[0].integer ?? 0 })
    }
    #expect(try reader.flows(between: [(1, 1)], atMost: 0) == nil)
  }

  @Test("db check names a rollup that differs from its rows")
  func check() throws {
    let scene = try RollupScene()
    try scene.append(5000)
    try scene.judge(1)
    _ = try scene.rollUp()
    #expect(try scene.reader().check() == [])
    try scene.execute("update flow set sent = sent + 1 where id = 1000")
    #expect(try scene.reader().check().contains { $0.contains("rollup") && $0.contains("differs") })
  }

  @Test("damaged rollups never crash a tally")
  func damage() throws {
    let scene = try RollupScene()
    try scene.append(5000)
    try scene.judge(1)
    _ = try scene.rollUp()
    var random = RandomNumbers(seed: 11)
    for _ in 0..<150 {
      let (id, bytes) = try scene.anyPart(&random)
      var damaged = bytes
      for _ in 0..<(1 + random.next(4)) { damaged[random.next(damaged.count)] = UInt8(random.next(256)) }
      if random.next(4) == 0 { damaged.removeLast(random.next(damaged.count)) }
      try scene.write(part: id, damaged)
      for measures in [false, true] {
        var request = TallyRequest()
        request.measuresDurations = measures
        _ = try? scene.reader().tally(request, words: RollupScene.words)
      }
      _ = try scene.reader().check()
      try scene.write(part: id, bytes)
    }
    try scene.compare("as before")
  }

  @Test("sorted as the library sorts, and equal keys stay in order")
  func sorting() {
    var random = RandomNumbers(seed: 2)
    let sorter = RadixSorter(capacity: 8)
    for count in [0, 1, 2, 7, 24, 25, 100, 9000] {
      sorter.reserve(count)
      let keys = (0..<count).map { _ in UInt64(random.next(400)) << UInt64(random.next(3) * 20) }
      for (index, key) in keys.enumerated() { sorter.keys[index] = key }
      sorter.sort(count)
      let expected = keys.enumerated().sorted { ($0.element, $0.offset) < ($1.element, $1.offset) }
      #expect((0..<count).map { sorter.keys[$0] } == expected.map(\.element))
      #expect((0..<count).map { Int(sorter.places[$0]) } == expected.map(\.offset))
      for bits in [0, 1, 7, 21, 64] {
        let mask = bits == 64 ? UInt64.max : 1 << UInt64(bits) - 1
        for (index, key) in keys.enumerated() {
          (sorter.keys[index], sorter.places[index]) = (key & mask, UInt32(index))
        }
        sorter.sort(count, bits: bits)
        let expected = keys.map { $0 & mask }.enumerated().sorted { ($0.element, $0.offset) < ($1.element, $1.offset) }
        #expect((0..<count).map { sorter.keys[$0] } == expected.map(\.element))
        #expect((0..<count).map { Int(sorter.places[$0]) } == expected.map(\.offset))
      }
    }
  }

  @Test("counts and durations read as written, also at the ends of their ranges")
  func codes() {
    let scale = RollupScale(firstMs: -5, lastMs: 1 << 50, firstFlow: 7, lastFlow: 1 << 40)
    var random = RandomNumbers(seed: 4)
    var writer = RollupCountWriter(scale)
    writer.begin()
    let sums: [Int64] = [0, 1, 255, 256, 1 << 40 - 1, 1 << 48 - 1, 1 << 48, 1 << 56 - 1, 1 << 56, .max, -1, .min]
    var entries: [RollupCount] = []
    for number in 0..<300 {
      var entry = RollupCount()
      entry.outcome = Int64(number / 40)
      entry.kind = UInt8(number / 20 % 2)
      entry.source = Int64(number % 20 / 2 * 300)
      entry.hasSent = random.next(3) > 0
      entry.sent = entry.hasSent ? sums[random.next(sums.count)] : 0
      entry.hasReceived = random.next(3) > 0
      entry.received = entry.hasReceived ? sums[random.next(sums.count)] : 0
      entry.flows = [1, 2, 1 << 40][random.next(3)]
      entry.firstMs = -5 + Int64(random.next(1000)) << 30
      entry.lastMs = entry.flows == 1 ? entry.firstMs : 1 << 50
      entry.example = 7 + Int64(random.next(1000)) << 20
      entries.append(entry)
      writer.append(entry)
    }
    let bytes = writer.bytes.bytes + [UInt8](repeating: 0xFF, count: RollupCode.slack)
    bytes.withUnsafeBytes { all in
      var reader = RollupCountReader(
        UnsafeRawBufferPointer(rebasing: all[..<(bytes.count - RollupCode.slack)]), scale)
      for entry in entries {
        let isThere = reader.next()
        #expect(isThere)
        #expect("\(reader.entry)" == "\(entry)")
      }
      let goesOn = reader.next()
      #expect(!goesOn && !reader.isBroken)
    }
  }
}

struct RandomNumbers {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next(_ below: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int((state >> 33) % UInt64(below))
  }
}
