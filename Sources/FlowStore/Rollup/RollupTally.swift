internal import Dispatch
internal import GRDB

/// A tally of what runs tell, destination by destination: the groups of one destination are complete before the next one,
/// so that they need no table of all groups.
///
/// `@unchecked Sendable`: what is written while several threads run is under `lock`.
final class RollupTally: @unchecked Sendable {
  private let request: TallyRequest
  private let sourceGroups: FixedArray<Int32>?
  private let runs: [Loaded]
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
    /// By number.
    var chunks: [RollupChunk?]
    /// The blocks of each, for look-ups.
    var blocks: FixedArray<UnsafeMutablePointer<UnsafeRawBufferPointer?>?>
    /// No verdict depends on when in the run's time a flow began.
    var isSteady: Bool
    /// Classes of the sources whose durations are summed up together, by the one that stands for them.
    var sourceClasses: [Int64: [Int32]] = [:]
  }

  /// What each destination asks of each run: without references, for counting them takes longer than the answer, above all
  /// where two threads do.
  private struct Look {
    /// By number of the chunk; as long as the run is loaded.
    var chunks: UnsafePointer<UnsafeMutablePointer<UnsafeRawBufferPointer?>?>
    var count: Int
    var isTally: Bool
    var scale: RollupScale

    init(_ loaded: Loaded) {
      (chunks, count) = (loaded.blocks.start, loaded.blocks.count)
      isTally = loaded.run.shelf == .tally
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

  private static let cacheKiB = 1024
  /// More destinations than there are row ids.
  private static let mostChunks: Int64 = 1 << 22
  /// Destinations handed to a thread at a time.
  private static let share = 64

  /// nil when no run has anything to tell.
  init?(
    _ request: TallyRequest, _ runs: [RollupRun], _ tables: VerdictTables, _ verdicts: VerdictGroups,
    _ totals: VerdictTotals?, _ db: Database
  ) throws(StoreError) {
    let telling = runs.filter { !$0.isOutside(request) }
    guard !telling.isEmpty else { return nil }
    self.request = request
    sourceGroups = request.sourceGroups.map { FixedArray($0) }
    sources = SourceSets(request)
    self.tables = tables
    self.verdicts = verdicts
    self.totals = totals
    noTotals = totals
    // The bytes pass through SQLite's cache once: a small one stays in the processor's.
    let cache = try db.statement("pragma cache_size")
    let cacheSize = try cache.step() ? cache.int(0) : 0
    cache.reset()
    try db.run("pragma cache_size = -\(RollupTally.cacheKiB)")
    defer { try? db.execute(sql: "pragma cache_size = \(cacheSize)") }
    var loaded: [Loaded] = []
    for run in telling {
      let part = try db.statement(
        "select id, content from \(run.shelf.rawValue)_part where id between ? and ? order by id")
      var chunks: [RollupChunk?] = []
      let kind = request.measuresDurations ? 1 : 0
      part.bind(run.part(kind, 0), at: 1)
      part.bind(run.part(kind, 1 << 31 - 1), at: 2)
      while try part.step() {
        let number = part.int(0) & (1 << 31 - 1)
        if number < RollupTally.mostChunks, let chunk = part.withBlob(1, { RollupChunk(number, $0) }) {
          while chunks.count <= number { chunks.append(nil) }
          chunks[Int(number)] = chunk
        } else if run.shelf == .tally {
          damaged = run.id
        } else {
          divided.insert(run.id)
        }
      }
      var classes: [Int64: [Int32]] = [:]
      if request.measuresDurations, run.shelf == .rollup {
        for (member, group) in run.sources {
          let kind = member >= 0 && member < tables.sourceClasses.count ? tables.sourceClasses[Int(member)] : -2
          if !classes[group, default: []].contains(kind) { classes[group, default: []].append(kind) }
        }
      }
      loaded.append(
        Loaded(
          run: run, chunks: chunks, blocks: FixedArray(chunks.map { $0?.blocks }),
          isSteady: tables.isSteady(from: run.firstMs, through: run.lastMs), sourceClasses: classes))
    }
    self.runs = loaded
    looks = FixedArray(loaded.map { Look($0) })
    arrange()
  }

  private func arrange() {
    var destinations: Set<Int64> = []
    for run in runs { for case let chunk? in run.chunks { destinations.formUnion(chunk.destinations) } }
    for destination in destinations {
      guard let groups = request.destinationGroups else {
        order.append((destination, 0))
        continue
      }
      guard destination < groups.count, groups[Int(destination)] >= 0 else { continue }
      order.append((destination, groups[Int(destination)]))
    }
    order.sort { $0.group != $1.group ? $0.group < $1.group : $0.destination < $1.destination }
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
    if request.tellsTimes {
      timed.add(rows)
      return timed.sums
    }
    // Places that only rows tell of.
    var counter = RollupCounter(request, sourceGroups, tables, verdicts, nil)
    let told = Set(order.lazy.map(\.group))
    for group in scanned.places where !told.contains(group) {
      counter.turn(to: -1, group)
      scanned.add(group, to: &counter)
    }
    counted.append(counter.take())
    // Where durations are measured, each group has some.
    var sums = GroupSums(durations: counted.flatMap(\.durations))
    var buffers = counted.map(\.groups)
    counted.removeAll()
    sums.groups = GroupBuffer.joined(&buffers)
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
          let run = runs[number]
          let isGood =
            request.measuresDurations
            ? counter.measure(block, looks[number].scale, run.sourceClasses)
            : counter.count(block, looks[number].scale, isSteady: run.isSteady)
          if !isGood {
            lock.wait()
            divided.insert(run.run.id)
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
  /// Numbers of the groups, those of one group side by side.
  private var order: [Int32] = []
  private var ranges: [Int32: Range<Int>] = [:]

  init(_ rows: GroupSums) {
    self.rows = rows
    order = rows.groups.indices.map { Int32($0) }
    order.sort { rows.groups[Int($0)].destination < rows.groups[Int($1)].destination }
    var begin = 0
    while begin < order.count {
      let destination = rows.groups[Int(order[begin])].destination
      var end = begin + 1
      while end < order.count, rows.groups[Int(order[end])].destination == destination { end += 1 }
      ranges[Int32(destination)] = begin..<end
      begin = end
    }
  }

  var places: some Sequence<Int32> { ranges.keys }

  func add(_ group: Int32, to counter: inout RollupCounter) {
    guard let range = ranges[group] else { return }
    for index in range {
      let number = Int(order[index])
      counter.add(rows.groups[number], number < rows.durations.count ? rows.durations[number] : nil)
    }
  }
}
