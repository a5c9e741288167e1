internal import Dispatch
internal import GRDB

/// A tally of what runs tell, destination by destination: the groups of one destination are complete before the next one,
/// so that they need no table of all groups.
///
/// `@unchecked Sendable`: what is written while several threads run is under `lock`.
final class RollupTally: @unchecked Sendable {
  private let request: TallyRequest
  private let runs: [Loaded]
  private let tables: VerdictTables
  private let verdicts: VerdictGroups
  /// Destinations that a run tells of, those of one group side by side.
  private var order: [(destination: Int64, group: Int32)] = []
  private let lock = DispatchSemaphore(value: 1)
  private var next = 0
  private var groups: [Tally.Group] = []
  private var durations: [Histogram] = []
  private var isWhole = true
  private var scanned = ScannedGroups(GroupTable())
  /// Runs that cannot answer after all.
  private(set) var divided: Set<Int64> = []

  private struct Loaded {
    var run: RollupRun
    var chunks: [Int64: RollupChunk]
    /// Classes of the sources whose durations are summed up together, by the one that stands for them.
    var sourceClasses: [Int64: [Int32]] = [:]
  }

  private static let cacheKiB = 1024
  /// Destinations handed to a thread at a time.
  private static let share = 64

  /// nil when no run has anything to tell.
  init?(
    _ request: TallyRequest, _ runs: [RollupRun], _ tables: VerdictTables, _ verdicts: VerdictGroups, _ db: Database
  ) throws(StoreError) {
    let telling = runs.filter { !$0.isOutside(request) }
    guard !telling.isEmpty else { return nil }
    self.request = request
    self.tables = tables
    self.verdicts = verdicts
    // The bytes pass through SQLite's cache once: a small one stays in the processor's.
    let cache = try db.statement("pragma cache_size")
    let cacheSize = try cache.step() ? cache.int(0) : 0
    cache.reset()
    try db.run("pragma cache_size = -\(RollupTally.cacheKiB)")
    defer { try? db.execute(sql: "pragma cache_size = \(cacheSize)") }
    let part = try db.statement("select id, content from rollup_part where id between ? and ? order by id")
    var loaded: [Loaded] = []
    for run in telling {
      var chunks: [Int64: RollupChunk] = [:]
      let kind = request.measuresDurations ? 1 : 0
      part.bind(run.part(kind, 0), at: 1)
      part.bind(run.part(kind, 1 << 31 - 1), at: 2)
      while try part.step() {
        let number = part.int(0) & (1 << 31 - 1)
        if let chunk = part.withBlob(1, { RollupChunk(number, $0) }) {
          chunks[number] = chunk
        } else {
          divided.insert(run.id)
        }
      }
      var classes: [Int64: [Int32]] = [:]
      if request.measuresDurations {
        for (member, group) in run.sources {
          let kind = member >= 0 && member < tables.sourceClasses.count ? tables.sourceClasses[Int(member)] : -2
          if !classes[group, default: []].contains(kind) { classes[group, default: []].append(kind) }
        }
      }
      loaded.append(Loaded(run: run, chunks: chunks, sourceClasses: classes))
    }
    self.runs = loaded
    arrange()
  }

  private func arrange() {
    var destinations: Set<Int64> = []
    for run in runs { for chunk in run.chunks.values { destinations.formUnion(chunk.destinations) } }
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

  /// - Parameter table: what was counted row by row.
  /// - Returns: nil when some runs, `divided`, cannot answer.
  func run(adding table: GroupTable) throws -> (groups: [Tally.Group], durations: [Histogram])? {
    scanned = ScannedGroups(table)
    if divided.isEmpty {
      let shares = order.count / RollupTally.share + 1
      DispatchQueue.concurrentPerform(iterations: FlowScan.threads(for: shares)) { _ in countShares() }
    }
    if let failure = verdicts.failure { throw failure }
    guard divided.isEmpty else { return nil }
    // Places that only rows tell of.
    var counter = RollupCounter(request, tables, verdicts)
    let told = Set(order.lazy.map(\.group))
    for group in scanned.places where !told.contains(group) {
      counter.turn(to: -1, group)
      scanned.add(group, to: &counter)
    }
    groups += counter.groups
    durations += counter.durations
    if isWhole { return (groups, durations) }
    var whole = GroupTable()
    whole.add(groups, durations)
    return (whole.entries, whole.histograms)
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
    var counter = RollupCounter(request, tables, verdicts)
    while let share = nextShare() {
      for index in share {
        let (destination, group) = order[index]
        counter.turn(to: destination, group)
        if index == 0 || order[index - 1].group != group { scanned.add(group, to: &counter) }
        for run in runs {
          guard let block = run.chunks[destination >> RollupCode.chunkBits]?.block(of: destination) else { continue }
          let isGood =
            request.measuresDurations
            ? counter.measure(block, run.run.scale, run.sourceClasses) : counter.count(block, run.run.scale)
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
    groups += counter.groups
    durations += counter.durations
    lock.signal()
  }
}

/// What was counted row by row, by group of destinations.
private struct ScannedGroups {
  private let table: GroupTable
  /// Numbers of the table's entries, those of one group side by side.
  private var order: [Int32] = []
  private var ranges: [Int32: Range<Int>] = [:]

  init(_ table: GroupTable) {
    self.table = table
    order = table.entries.indices.map { Int32($0) }
    order.sort { table.entries[Int($0)].destination < table.entries[Int($1)].destination }
    var begin = 0
    while begin < order.count {
      let destination = table.entries[Int(order[begin])].destination
      var end = begin + 1
      while end < order.count, table.entries[Int(order[end])].destination == destination { end += 1 }
      ranges[Int32(destination)] = begin..<end
      begin = end
    }
  }

  var places: some Sequence<Int32> { ranges.keys }

  func add(_ group: Int32, to counter: inout RollupCounter) {
    guard let range = ranges[group] else { return }
    for index in range {
      let number = Int(order[index])
      counter.add(table.entries[number], number < table.histograms.count ? table.histograms[number] : nil)
    }
  }
}

/// What one thread counts.
private struct RollupCounter {
  private let request: TallyRequest
  private let tables: VerdictTables
  private let verdicts: VerdictGroups
  private(set) var groups: [Tally.Group] = []
  private(set) var durations: [Histogram] = []
  private let sourceCount: Int
  /// By verdict, and in it by source: the number in `groups`, if that is not before `begin`.
  private var slots: [[Int32]] = []
  private var lastVerdict: Int32 = -1
  private var lastSource: Int32 = -1
  private var lastSlot = -1
  /// Where the present group of destinations begins in `groups`.
  private var begin = 0
  private var destination: Int64 = -1
  private var destinationClass: Int32 = -2
  private var group: Int32 = -1

  init(_ request: TallyRequest, _ tables: VerdictTables, _ verdicts: VerdictGroups) {
    self.request = request
    self.tables = tables
    self.verdicts = verdicts
    sourceCount = Int(max(request.sourceGroups?.max() ?? 0, 0)) + 1
  }

  mutating func turn(to destination: Int64, _ group: Int32) {
    self.destination = destination
    let classes = tables.destinationClasses
    destinationClass = destination >= 0 && destination < classes.count ? classes[Int(destination)] : -2
    if group != self.group {
      begin = groups.count
      self.group = group
    }
  }

  /// - Parameter histogram: nil where durations are not measured.
  mutating func add(_ other: Tally.Group, _ histogram: Histogram?) {
    let slot = slot(Int32(other.verdict), Int32(other.source))
    groups[slot].add(other)
    guard let histogram else { return }
    while durations.count < groups.count { durations.append(Histogram()) }
    durations[slot].merge(histogram)
  }

  @inline(__always)
  private mutating func slot(_ verdict: Int32, _ source: Int32) -> Int {
    // Entries come sorted, so that one often adds to what the one before did.
    if verdict == lastVerdict, source == lastSource, lastSlot >= begin { return lastSlot }
    (lastVerdict, lastSource) = (verdict, source)
    lastSlot = lookUp(verdict, source)
    return lastSlot
  }

  @inline(__always)
  private mutating func lookUp(_ verdict: Int32, _ source: Int32) -> Int {
    while slots.count <= Int(verdict) { slots.append([]) }
    if slots[Int(verdict)].isEmpty { slots[Int(verdict)] = [Int32](repeating: -1, count: sourceCount) }
    let known = Int(slots[Int(verdict)][Int(source)])
    if known >= begin { return known }
    slots[Int(verdict)][Int(source)] = Int32(groups.count)
    groups.append(
      Tally.Group(key: Tally.Group.key(verdict: verdict, source: source, destination: max(group, 0))))
    return groups.count - 1
  }

  /// False when there is more than one verdict on an entry, or the bytes make no sense.
  mutating func count(_ block: UnsafeRawBufferPointer, _ scale: RollupScale) -> Bool {
    var reader = RollupCountReader(block, scale)
    let outcomeClasses = tables.outcomeClasses
    let sourceClasses = tables.sourceClasses
    let sourceGroups = request.sourceGroups
    while reader.next() {
      let entry = reader.entry
      var source: Int32 = 0
      if let sourceGroups {
        guard entry.source >= 0, entry.source < sourceGroups.count else { continue }
        source = sourceGroups[Int(entry.source)]
        if source < 0 { continue }
      }
      let number = tables.verdict(
        sourceClass: entry.source >= 0 && entry.source < sourceClasses.count ? sourceClasses[Int(entry.source)] : -2,
        destinationClass: destinationClass,
        outcomeClass: entry.outcome >= 0 && entry.outcome < outcomeClasses.count
          ? outcomeClasses[Int(entry.outcome)] : 0, from: entry.firstMs, through: entry.lastMs)
      if number == VerdictTables.divided { return false }
      if number < 0 { continue }
      // Whether a flow skipped its sidecar depends on when it ended.
      guard let kind = tables.settled(Int(entry.kind), number, source: entry.source, nil) else { return false }
      guard let verdict = verdict(number, kind, entry.example) else { continue }
      let slot = slot(verdict, source)
      groups[slot].add(flows: entry.flows, firstMs: entry.firstMs, lastMs: entry.lastMs)
      if entry.hasSent { groups[slot].addSent(entry.sent) }
      if entry.hasReceived { groups[slot].addReceived(entry.received) }
    }
    return !reader.isBroken
  }

  @inline(__always)
  private func verdict(_ number: Int, _ kind: Int, _ example: Int64) -> Int32? {
    let number = number * JourneyPlaces.kinds + kind
    var verdict = verdicts.groups[number]
    if verdict == VerdictGroups.unknown { verdict = verdicts.ask(number, example) }
    return verdict >= 0 ? verdict : nil
  }

  /// As `count`. Sources that are summed up together must all lead to the same words.
  mutating func measure(_ block: UnsafeRawBufferPointer, _ scale: RollupScale, _ classes: [Int64: [Int32]]) -> Bool {
    var reader = RollupDurationReader(block, scale)
    let outcomeClasses = tables.outcomeClasses
    while reader.next() {
      let entry = reader.entry
      let flows = Int64(clamping: reader.count)
      guard let kinds = classes[entry.source] else { return false }
      var source: Int32 = 0
      var isLeftOut = false
      if let sourceGroups = request.sourceGroups {
        source = entry.source >= 0 && entry.source < sourceGroups.count ? sourceGroups[Int(entry.source)] : -1
        isLeftOut = source < 0
      }
      var common: Int32??
      for kind in kinds where !isLeftOut {
        let number = tables.verdict(
          sourceClass: kind, destinationClass: destinationClass,
          outcomeClass: entry.outcome >= 0 && entry.outcome < outcomeClasses.count
            ? outcomeClasses[Int(entry.outcome)] : 0, from: entry.firstMs, through: entry.lastMs)
        if number == VerdictTables.divided { return false }
        // The sources may have different logs of their own, and each of them its time.
        let before = Int(entry.kind) & JourneyPlaces.beforeMask
        if number >= 0, before == JourneyPlaces.unaccounted { return false }
        let place =
          number >= 0 ? tables.settled(Int(entry.kind), number, source: entry.source, nil) ?? 0 : Int(entry.kind)
        // Where verdicts are several, the example may be of another one.
        if kinds.count > 1, number >= 0,
          verdicts.groups[number * JourneyPlaces.kinds + place] == VerdictGroups.unknown
        {
          return false
        }
        let found = number >= 0 ? verdict(number, place, entry.example) : nil
        if let known = common, known != found { return false }
        common = found
      }
      if !isLeftOut, let verdict = common ?? nil {
        let slot = slot(verdict, source)
        groups[slot].add(flows: flows, firstMs: entry.firstMs, lastMs: entry.lastMs)
        while durations.count < groups.count { durations.append(Histogram()) }
        guard reader.add(to: &durations[slot]) else { return false }
      } else {
        var none = Histogram()
        guard reader.add(to: &none) else { return false }
      }
    }
    return !reader.isBroken
  }
}
