/// What one thread counts.
struct RollupCounter {
  private let request: TallyRequest
  private let sourceGroups: FixedArray<Int32>?
  private let tables: VerdictTables
  private let verdicts: VerdictGroups
  private var groups = GroupBuffer()
  /// Of the groups of destinations before the present one.
  private var durations: [Histogram] = []
  /// Of the present one, from `begin` on; those behind are empty.
  private var open: [OpenHistogram] = []
  private(set) var timed = GroupTable()
  /// What the request's second query told of; nil without one.
  private(set) var totals: VerdictTotals?
  /// Where sources are collected and not told apart.
  let met: SourceSets?
  /// By verdict, and in it by source: the number of the group, if that is not before `begin`.
  private var slots: SlotTable
  private var lastVerdict: Int32 = -1
  private var lastSource: Int32 = -1
  private var lastSlot = -1
  /// The first number of the present group of destinations.
  private var begin = 0
  private var destination: Int64 = -1
  private var destinationClass: Int32 = -2
  private var group: Int32 = -1

  /// What is known of a class of sources under one outcome and kind.
  private struct Known {
    var stamp: UInt64 = 0
    /// With the kind.
    var number: Int = 0
    var verdict: Int32 = 0
  }
  /// By class of the source, from -1 on: what holds where its stamp is `stamp`.
  private var known: [Known]
  private var stamp: UInt64 = 0

  init(
    _ request: TallyRequest, _ sourceGroups: FixedArray<Int32>?, _ tables: VerdictTables, _ verdicts: VerdictGroups,
    _ totals: VerdictTotals?
  ) {
    self.totals = totals
    self.request = request
    self.sourceGroups = sourceGroups
    self.tables = tables
    self.verdicts = verdicts
    slots = SlotTable(columns: Int(max(request.sourceGroups?.max() ?? 0, 0)) + 1)
    met = SourceSets(request)
    known = [Known](repeating: Known(), count: tables.sourceClassCount + 1)
  }

  mutating func turn(to destination: Int64, _ group: Int32) {
    self.destination = destination
    destinationClass = tables.destinationClass(of: destination)
    if group != self.group {
      close()
      begin = groups.count
      self.group = group
    }
  }

  /// Nothing is added to the present group of destinations any more.
  private mutating func close() {
    guard request.measuresDurations else { return }
    for number in 0..<groups.count - begin { durations.append(open[number].take()) }
  }

  /// What was counted, group by group. Only once.
  mutating func take() -> (groups: GroupBuffer, durations: [Histogram]) {
    close()
    begin = groups.count
    return (groups, durations)
  }

  /// - Parameter histogram: nil where durations are not measured.
  mutating func add(_ other: Tally.Group, _ histogram: Histogram?) {
    let slot = lookUp(Int32(other.verdict), Int32(other.source))
    groups[slot].add(other)
    if let histogram { open[slot - begin].merge(histogram) }
  }

  @inline(__always)
  private mutating func slot(_ verdict: Int32, _ source: Int32) -> Int {
    var source = source
    if let met {
      met.add(source, max(group, 0))
      source = 0
    }
    // Entries come sorted, so that one often adds to what the one before did.
    if verdict == lastVerdict, source == lastSource, lastSlot >= begin { return lastSlot }
    (lastVerdict, lastSource) = (verdict, source)
    lastSlot = lookUp(verdict, source)
    return lastSlot
  }

  @inline(__always)
  private mutating func lookUp(_ verdict: Int32, _ source: Int32) -> Int {
    let known = slots[Int(verdict), Int(source)]
    if known >= begin { return known }
    let slot = groups.append(
      Tally.Group(key: Tally.Group.key(verdict: verdict, source: source, destination: max(group, 0))))
    slots[Int(verdict), Int(source)] = slot
    if request.measuresDurations, open.count <= slot - begin { open.append(OpenHistogram()) }
    return slot
  }

  /// False when there is more than one verdict on an entry, or the bytes make no sense.
  ///
  /// - Parameter isSteady: no verdict of the run depends on when in its time a flow began.
  mutating func count(_ block: UnsafeRawBufferPointer, _ scale: RollupScale, isSteady: Bool) -> Bool {
    var reader = RollupCountReader(block, scale)
    var outcome: Int64 = -1
    var kind: UInt8 = 0
    var outcomeClass: Int32 = 0
    stamp &+= 1
    while reader.next() {
      let entry = reader.entry
      var source: Int32 = 0
      if let sourceGroups {
        guard let group = sourceGroups.element(at: entry.source), group >= 0 else { continue }
        source = group
      }
      if entry.outcome != outcome || entry.kind != kind {
        (outcome, kind) = (entry.outcome, entry.kind)
        outcomeClass = tables.outcomeClass(of: outcome)
        stamp &+= 1
      }
      let sourceClass = tables.sourceClass(of: entry.source)
      guard sourceClass > -2 else { continue }
      var (number, verdict) = (known[Int(sourceClass) + 1].number, known[Int(sourceClass) + 1].verdict)
      if known[Int(sourceClass) + 1].stamp != stamp {
        number = tables.verdict(
          sourceClass: sourceClass, destinationClass: destinationClass, outcomeClass: outcomeClass, from: entry.firstMs,
          through: entry.lastMs)
        if number == VerdictTables.divided { return false }
        if number < 0 { continue }
        // Whether a flow skipped its sidecar depends on when it ended.
        guard let settled = tables.settled(Int(kind), number, source: entry.source, nil) else { return false }
        number = number * JourneyPlaces.kinds + settled
        verdict = self.verdict(number, entry.example)
        if isSteady, Int(kind) & JourneyPlaces.beforeMask != JourneyPlaces.unaccounted {
          known[Int(sourceClass) + 1] = Known(stamp: stamp, number: number, verdict: verdict)
        }
      }
      totals?.add(entry.flows, number, entry.example)
      guard verdict >= 0 else { continue }
      let slot = slot(verdict, source)
      groups[slot].add(entry)
    }
    return !reader.isBroken
  }

  // MARK: Flows without rows

  /// Counts or measures flows of which nothing but this is known; false when the bytes make no sense. Of those on both
  /// sides of a limit of time, at most an hour, all are counted.
  mutating func addTallied(_ block: UnsafeRawBufferPointer, _ scale: RollupScale) -> Bool {
    guard request.measuresDurations else {
      var reader = RollupCountReader(block, scale)
      while reader.next() {
        let entry = reader.entry
        guard let (verdict, source) = place(entry.source, entry.outcome, entry.firstMs, entry.lastMs, entry.flows)
        else { continue }
        if request.tellsTimes {
          addTimed(entry, verdict, source)
          continue
        }
        let slot = slot(verdict, source)
        groups[slot].add(entry)
      }
      return !reader.isBroken
    }
    var reader = RollupDurationReader(block, scale)
    while reader.next() {
      let entry = reader.entry
      guard
        let (verdict, source) = place(
          entry.source, entry.outcome, entry.firstMs, entry.lastMs, Int64(clamping: reader.count))
      else {
        guard reader.skip() else { return false }
        continue
      }
      let slot = slot(verdict, source)
      groups[slot].add(flows: Int64(clamping: reader.count), firstMs: entry.firstMs, lastMs: entry.lastMs)
      guard reader.add(to: &open[slot - begin]) else { return false }
    }
    return !reader.isBroken
  }

  /// Their hour is known, and of their ends that they are not before their starts.
  private mutating func addTimed(_ entry: RollupCount, _ verdict: Int32, _ source: Int32) {
    var sum = Tally.Group(
      key: request.stepMs.map { Tally.Group.key(verdict: verdict, step: FlowTimes.step(of: entry.firstMs, $0)) }
        ?? Tally.Group.key(verdict: verdict, source: source, destination: max(group, 0)))
    sum.add(entry)
    timed.add(sum)
    if request.measuresEnds { timed.note(end: entry.lastMs, timed.slot(of: sum.key)) }
  }

  /// Under which verdict and source flows without rows are counted; nil where the request leaves them out.
  private mutating func place(
    _ source: Int64, _ outcome: Int64, _ firstMs: Int64, _ lastMs: Int64, _ flows: Int64
  ) -> (verdict: Int32, source: Int32)? {
    guard lastMs >= request.sinceMs ?? .min, request.untilMs == nil || firstMs < request.untilMs! else { return nil }
    var group: Int32 = 0
    if let sourceGroups {
      guard let known = sourceGroups.element(at: source), known >= 0 else { return nil }
      group = known
    }
    let number = tables.strictest(
      sourceClass: tables.sourceClass(of: source), destinationClass: destinationClass,
      outcomeClass: tables.outcomeClass(of: outcome), from: firstMs, through: lastMs)
    guard number >= 0 else { return nil }
    // Their hops are joined with none.
    let place = number * JourneyPlaces.kinds
    let example = TalliedExample(source: source, destination: destination, outcome: outcome, startedAtMs: firstMs)
    totals?.add(flows, place, example)
    var verdict = verdicts.groups[place]
    if verdict == VerdictGroups.unknown { verdict = verdicts.ask(place, example) }
    return verdict >= 0 ? (verdict, group) : nil
  }

  @inline(__always)
  private func verdict(_ number: Int, _ example: Int64) -> Int32 {
    let verdict = verdicts.groups[number]
    return verdict == VerdictGroups.unknown ? verdicts.ask(number, example) : verdict
  }

  /// As `count`. Sources that are summed up together must all lead to the same words.
  mutating func measure(_ block: UnsafeRawBufferPointer, _ scale: RollupScale, _ kinds: SourceKinds) -> Bool {
    var reader = RollupDurationReader(block, scale)
    while reader.next() {
      let entry = reader.entry
      var source: Int32 = 0
      var isLeftOut = false
      if let sourceGroups {
        source = sourceGroups.element(at: entry.source) ?? -1
        isLeftOut = source < 0
      }
      let kind = kinds[entry.source]
      guard kind != SourceKinds.none else { return false }
      var verdict: Int32 = -1
      if !isLeftOut {
        let found =
          kind == SourceKinds.several
          ? common(entry, kinds.all(of: entry.source)) : settled(entry, kind, isOnly: true)
        guard let found else { return false }
        verdict = found
      }
      if verdict >= 0 {
        let slot = slot(verdict, source)
        groups[slot].add(flows: Int64(clamping: reader.count), firstMs: entry.firstMs, lastMs: entry.lastMs)
        guard reader.add(to: &open[slot - begin]) else { return false }
      } else {
        guard reader.skip() else { return false }
      }
    }
    return !reader.isBroken
  }

  /// What holds for sources of several classes; nil where that is not the same for all of them.
  private func common(_ entry: RollupDurations, _ kinds: [Int32]) -> Int32? {
    var common: Int32?
    for kind in kinds {
      guard let found = settled(entry, kind, isOnly: false), common ?? found == found else { return nil }
      common = found
    }
    return common
  }

  /// What holds for sources of one class, -1 where that is nothing; nil where it depends on the flow.
  @inline(__always)
  private func settled(_ entry: RollupDurations, _ sourceClass: Int32, isOnly: Bool) -> Int32? {
    let number = tables.verdict(
      sourceClass: sourceClass, destinationClass: destinationClass,
      outcomeClass: tables.outcomeClass(of: entry.outcome), from: entry.firstMs, through: entry.lastMs)
    if number == VerdictTables.divided { return nil }
    guard number >= 0 else { return -1 }
    // The sources may have different logs of their own, and each of them its time.
    guard Int(entry.kind) & JourneyPlaces.beforeMask != JourneyPlaces.unaccounted else { return nil }
    let place =
      number * JourneyPlaces.kinds + (tables.settled(Int(entry.kind), number, source: entry.source, nil) ?? 0)
    // Where verdicts are several, the example may be of another one.
    if !isOnly, verdicts.groups[place] == VerdictGroups.unknown { return nil }
    return max(verdict(place, entry.example), -1)
  }
}

/// The classes of the sources of a run whose durations are summed up together, by the one that stands for them.
struct SourceKinds: Sendable {
  static let none: Int32 = -3
  static let several: Int32 = -4

  /// By row id.
  private let kinds: FixedArray<Int32>
  private var all: [Int64: [Int32]] = [:]

  init(_ run: RollupRun, _ tables: VerdictTables) {
    var kinds = [Int32](repeating: SourceKinds.none, count: tables.sourceClasses.count)
    for (member, group) in run.sources where kinds.indices.contains(Int(clamping: group)) {
      let kind = tables.sourceClass(of: member)
      let known = kinds[Int(group)]
      if known == SourceKinds.none {
        kinds[Int(group)] = kind
      } else if known != kind {
        if known != SourceKinds.several { all[group] = [known] }
        kinds[Int(group)] = SourceKinds.several
        if !all[group, default: []].contains(kind) { all[group, default: []].append(kind) }
      }
    }
    self.kinds = FixedArray(kinds)
  }

  /// A class, `several` or `none`.
  @inline(__always)
  subscript(source: Int64) -> Int32 { kinds.element(at: source) ?? SourceKinds.none }

  func all(of source: Int64) -> [Int32] { all[source] ?? [] }
}

/// Numbers by verdict and source, -1 where there is none: arrays of arrays without the looks at who else may hold them. Memory
/// is taken for the verdicts that are met.
private struct SlotTable {
  private final class Rows {
    var rows: UnsafeMutableBufferPointer<UnsafeMutablePointer<Int32>?> = .allocate(capacity: 0)

    deinit {
      for case let row? in rows { row.deallocate() }
      rows.deallocate()
    }
  }

  private let columns: Int
  private let owner = Rows()
  private var rows: UnsafeMutableBufferPointer<UnsafeMutablePointer<Int32>?>

  init(columns: Int) {
    self.columns = columns
    rows = owner.rows
  }

  @inline(__always)
  subscript(verdict: Int, source: Int) -> Int {
    get {
      precondition(verdict >= 0 && source >= 0 && source < columns)
      guard verdict < rows.count, let row = rows[verdict] else { return -1 }
      return Int(row[source])
    }
    set {
      precondition(verdict >= 0 && source >= 0 && source < columns)
      if verdict >= rows.count || rows[verdict] == nil { add(verdict) }
      rows[verdict].unsafelyUnwrapped[source] = Int32(newValue)
    }
  }

  @inline(never)
  private mutating func add(_ verdict: Int) {
    if verdict >= rows.count {
      let wider = UnsafeMutableBufferPointer<UnsafeMutablePointer<Int32>?>.allocate(
        capacity: max(verdict + 1, 2 * rows.count))
      let next = wider.moveInitialize(fromContentsOf: rows)
      wider[next...].initialize(repeating: nil)
      rows.deallocate()
      owner.rows = wider
      rows = wider
    }
    let row = UnsafeMutablePointer<Int32>.allocate(capacity: columns)
    row.initialize(repeating: -1, count: columns)
    rows[verdict] = row
  }
}
