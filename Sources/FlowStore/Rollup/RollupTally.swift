internal import Dispatch
internal import GRDB

/// A tally of what runs tell, destination by destination: the groups of one destination are complete before the next one,
/// so that they need no table of all groups.
///
/// `@unchecked Sendable`: what is written while several threads run is under `lock`.
final class RollupTally: @unchecked Sendable {
  private let request: TallyRequest
  private let sourceGroups: FixedArray<Int32>?
  /// Until all is counted.
  private var runs: [Loaded]
  /// Of each of `runs`.
  private let looks: FixedArray<Look>
  private let tables: VerdictTables
  private let verdicts: VerdictGroups
  /// Destinations that a run tells of, those of one group side by side.
  private var order: [(destination: Int64, group: Int32)] = []
  private let lock = DispatchSemaphore(value: 1)
  private var next = 0
  /// What each thread counted.
  private var counted: [(groups: GroupBuffer, durations: [Histogram])] = []
  /// Where times tell groups apart, or are told of them.
  private var timed = GroupTable()
  /// Where sources are collected, what all threads met.
  private let sources: SourceSets?
  private var isWhole = true
  private var scanned = ScannedGroups(GroupSums())
  /// What the request's second query told of; each thread begins with none of it.
  private(set) var totals: VerdictTotals?
  private let noTotals: VerdictTotals?
  /// Runs that cannot answer after all.
  private(set) var divided: Set<Int64> = []
  /// A tally whose bytes make no sense: nothing else tells of its flows.
  private var damaged: Int64?

  private struct Loaded {
    var run: RollupRun
    /// By number; none where their bytes make no sense.
    var chunks: [RollupChunk?]
    /// The blocks of each, for look-ups.
    var blocks: FixedArray<UnsafeMutablePointer<UnsafeRawBufferPointer?>?>
    /// No verdict depends on when in the run's time a flow began.
    var isSteady: Bool
    /// Where durations are asked for.
    var kinds: SourceKinds?
  }

  /// What each destination asks of each run: without references, for counting them takes longer than the answer, above all
  /// where two threads do.
  private struct Look {
    /// By number of the chunk; as long as the run is loaded.
    var chunks: UnsafePointer<UnsafeMutablePointer<UnsafeRawBufferPointer?>?>
    var count: Int
    var isTally: Bool
    var isSteady: Bool
    var scale: RollupScale

    init(_ loaded: Loaded) {
      (chunks, count) = (loaded.blocks.start, loaded.blocks.count)
      isTally = loaded.run.shelf == .tally
      isSteady = loaded.isSteady
      scale = loaded.run.scale
    }

    @inline(__always)
    func block(of destination: Int64) -> UnsafeRawBufferPointer? {
      // In bounds: a chunk has a block, or none, for each destination.
      guard destination >= 0, destination >> RollupCode.chunkBits < count,
        let blocks = chunks[Int(destination >> RollupCode.chunkBits)]
      else { return nil }
      return blocks[Int(destination & (1 << RollupCode.chunkBits - 1))]
    }
  }

  /// Destinations handed to a thread at a time.
  private static let share = 64

  /// nil when no run has anything to tell.
  ///
  /// - Parameter chunks: brings those of runs and of a kind into memory, as `ChunkReading` does.
  init?<Failure>(
    _ request: TallyRequest, _ runs: [RollupRun], _ tables: VerdictTables, _ verdicts: VerdictGroups,
    _ totals: VerdictTotals?, chunks: (_ runs: [RollupRun], _ kind: Int) throws(Failure) -> [ChunkReading.Chunks]
  ) throws(Failure) {
    let telling = runs.filter { !$0.isOutside(request) }
    guard !telling.isEmpty else { return nil }
    self.request = request
    sourceGroups = request.sourceGroups.map { FixedArray($0) }
    sources = SourceSets(request)
    self.tables = tables
    self.verdicts = verdicts
    self.totals = totals
    noTotals = totals
    var loaded: [Loaded] = []
    for (run, chunks) in zip(telling, try chunks(telling, request.measuresDurations ? 1 : 0)) {
      if chunks == nil, run.shelf == .tally { damaged = run.id }
      if chunks == nil, run.shelf == .rollup { divided.insert(run.id) }
      let chunks = chunks ?? []
      loaded.append(
        Loaded(
          run: run, chunks: chunks, blocks: FixedArray(chunks.map { $0?.blocks }),
          isSteady: tables.isSteady(from: run.firstMs, through: run.lastMs),
          kinds: request.measuresDurations && run.shelf == .rollup ? SourceKinds(run, tables) : nil))
    }
    self.runs = loaded
    looks = FixedArray(loaded.map { Look($0) })
    arrange()
  }

  private func arrange() {
    var destinations: [Int64] = []
    var isTold = [Bool](repeating: false, count: RollupChunk.destinationCount)
    for number in 0..<(runs.map(\.chunks.count).max() ?? 0) {
      let first = Int64(number) << RollupCode.chunkBits
      var count = 0
      for run in runs where number < run.chunks.count {
        for destination in run.chunks[number]?.destinations ?? [] where !isTold[Int(destination - first)] {
          isTold[Int(destination - first)] = true
          count += 1
        }
      }
      guard count > 0 else { continue }
      for place in isTold.indices where isTold[place] {
        destinations.append(first + Int64(place))
        isTold[place] = false
      }
    }
    guard let groups = request.destinationGroups else {
      order = destinations.map { ($0, 0) }
      return
    }
    // Where each group begins, in the order of the groups.
    var begins = [Int](repeating: 0, count: Int(max(groups.max() ?? -1, -1)) + 2)
    destinations.removeAll { $0 >= groups.count || groups[Int($0)] < 0 }
    for destination in destinations { begins[Int(groups[Int(destination)]) + 1] += 1 }
    for group in begins.indices.dropFirst() { begins[group] += begins[group - 1] }
    order = Array(repeating: (0, 0), count: destinations.count)
    for destination in destinations {
      let group = groups[Int(destination)]
      order[begins[Int(group)]] = (destination, group)
      begins[Int(group)] += 1
    }
  }

  /// - Parameter rows: what was counted row by row.
  /// - Returns: nil when some runs, `divided`, cannot answer.
  func run(adding rows: GroupSums) throws(StoreError) -> GroupSums? {
    scanned = ScannedGroups(request.tellsTimes ? GroupSums() : rows)
    if divided.isEmpty {
      let shares = order.count / RollupTally.share + 1
      DispatchQueue.concurrentPerform(iterations: FlowScan.threads(for: shares)) { _ in countShares() }
    }
    if let failure = verdicts.failure ?? totals?.failure { throw failure }
    if let damaged {
      throw StoreError.sqlite(
        code: 11, message: "the tally \(damaged) of flows without rows cannot be read (see: gatewatch db check)",
        sql: nil)
    }
    guard divided.isEmpty else { return nil }
    // What they take is needed for what comes now.
    runs = []
    if request.tellsTimes {
      timed.add(rows)
      return timed.sums
    }
    // Places that only rows tell of.
    var counter = RollupCounter(request, sourceGroups, tables, verdicts, nil)
    var rest = Set(scanned.places)
    if !rest.isEmpty { for (_, group) in order { rest.remove(group) } }
    for group in rest {
      counter.turn(to: -1, group)
      scanned.add(group, to: &counter)
    }
    counted.append(counter.take())
    // Where durations are measured, each group has some.
    var sums = GroupSums(
      groups: GroupBuffer.joined(counted.map(\.groups)), durations: GroupBuffer.joined(counted.map(\.durations)))
    counted.removeAll()
    if !isWhole {
      var whole = GroupTable()
      whole.add(sums)
      sums = whole.sums
    }
    if let met = rows.sources { sources?.add(met) }
    sums.sources = sources
    return sums
  }

  /// Whole groups, unless one alone is larger than a share should be.
  private func nextShare() -> Range<Int>? {
    lock.wait()
    defer { lock.signal() }
    guard next < order.count, divided.isEmpty else { return nil }
    let begin = next
    next = min(begin + RollupTally.share, order.count)
    let limit = next + RollupTally.share
    while next < order.count, order[next].group == order[next - 1].group, next < limit { next += 1 }
    if next < order.count, order[next].group == order[next - 1].group { isWhole = false }
    return begin..<next
  }

  private func countShares() {
    var counter = RollupCounter(request, sourceGroups, tables, verdicts, noTotals)
    while let share = nextShare() {
      for index in share {
        let (destination, group) = order[index]
        counter.turn(to: destination, group)
        if index == 0 || order[index - 1].group != group { scanned.add(group, to: &counter) }
        for number in 0..<looks.count {
          guard let block = looks[number].block(of: destination) else { continue }
          if looks[number].isTally {
            if counter.addTallied(block, looks[number].scale) { continue }
            lock.wait()
            damaged = runs[number].run.id
            lock.signal()
            return
          }
          let isGood =
            if let kinds = runs[number].kinds {
              counter.measure(block, looks[number].scale, kinds)
            } else {
              counter.count(block, looks[number].scale, isSteady: looks[number].isSteady)
            }
          if !isGood {
            lock.wait()
            divided.insert(runs[number].run.id)
            lock.signal()
            return
          }
        }
      }
    }
    lock.wait()
    counted.append(counter.take())
    timed.add(counter.timed)
    if let more = counter.totals { totals = totals?.adding(more) }
    if let met = counter.met { sources?.add(met) }
    lock.signal()
  }
}

/// What was counted row by row, by group of destinations.
private struct ScannedGroups {
  private let rows: GroupSums
  /// Numbers of the groups, those of one group of destinations side by side.
  private var order: [Int32] = []
  /// Where in `order` each group of destinations begins, and the last one's end.
  private var begins: [Int32] = [0]

  init(_ rows: GroupSums) {
    self.rows = rows
    let places = (rows.groups.lazy.map { $0.destination }.max() ?? -1) + 1
    begins = Array(repeating: 0, count: places + 1)
    for group in rows.groups { begins[group.destination + 1] += 1 }
    for place in 0..<places { begins[place + 1] += begins[place] }
    order = Array(repeating: 0, count: rows.groups.count)
    var next = begins
    for index in rows.groups.indices {
      let place = rows.groups[index].destination
      order[Int(next[place])] = Int32(index)
      next[place] += 1
    }
  }

  var places: some Sequence<Int32> {
    (0..<Int32(begins.count - 1)).lazy.filter { begins[Int($0)] < begins[Int($0) + 1] }
  }

  func add(_ group: Int32, to counter: inout RollupCounter) {
    guard group + 1 < begins.count else { return }
    for index in begins[Int(group)]..<begins[Int(group) + 1] {
      let number = Int(order[Int(index)])
      counter.add(rows.groups[number], number < rows.durations.count ? rows.durations[number] : nil)
    }
  }
}
