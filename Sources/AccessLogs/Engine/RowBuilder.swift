internal import CLanes
internal import Flows
internal import Glibc

/// Turns the columns of a line into a row of a batch: the numbers of the line and the ids of what repeats.
///
/// Per line there are four dictionary look-ups (source, destination, outcome, path template) whose keys are bytes of the line
/// itself, hashed for a group of lines before they are looked up; what the bytes mean (canonical addresses, host precedence, warnings) is worked out once per distinct key, in
/// `EnvoyFacts`, `NginxFacts` and `SquidFacts`.
final class RowBuilder {
  enum Answer {
    case stored
    /// A column does not hold what its place demands: the split cannot be right.
    case notUnderstood
    case noTime
  }

  // Behind pointers, because access to a stored property of a class is checked at run time for exclusivity.
  private let sources: UnsafeMutablePointer<LaneDictionary>
  private let destinations: UnsafeMutablePointer<LaneDictionary>
  private let outcomes: UnsafeMutablePointer<LaneDictionary>
  private let templates: UnsafeMutablePointer<LaneDictionary>
  private let secrets = KeySecrets()
  private let pathTemplate = PathTemplate()
  /// By line of a group.
  let hasPath: UnsafeMutablePointer<Bool>
  /// Warnings that belong to every line of a source or destination, by id.
  private let sourceWarnings = RowBuilder.boxed(WarningList())
  private let destinationWarnings = RowBuilder.boxed(WarningList())
  /// Where a new key is put together.
  private let scratch: UnsafeMutablePointer<UInt8>
  /// Columns do not overlap, but two parts of a key may come from the same one.
  static let scratchBytes = 2 * LineParser.maxLine + (1 << 16)

  /// Distinct path templates per parser; the paths beyond share `otherPaths`. Clients choose paths, so the number needs an end.
  static let maxTemplates = 200_000
  static let otherPaths = "/**"

  var log: Int64 = 0
  var namespace: String?
  var pod: String?
  var container: String? {
    didSet { state.pointee.isOfWorkload = Source.isWorkload(container: container) }
  }

  /// What every line touches.
  struct State {
    /// Of the batch being filled, which learns of it in `close`.
    var rows: UnsafeMutablePointer<FlowRow>?
    /// Searches in steps as wide as this processor's.
    var kernels = LineParser.kernels.last!
    /// The template that stands for those beyond the bound, once there is one.
    var otherPaths: Int32 = -1
    var count = 0
    var firstMs = Int64.max
    var lastMs = Int64.min
    /// A dictionary is at its bound: it starts anew with the next batch (ids must not change meaning inside one).
    var wantsRestart = false
    /// Number of the pod that wrote the line at hand when the wrapper names it line by line; 0 for the log's own.
    var writer: UInt32 = 0
    /// Another container than a proxy's wrote the line at hand.
    var isOfWorkload = false
    /// When the wrapper says the line was written; `Numbers.missing` when it does not.
    var writtenAtMs = Numbers.missing
    /// That time has no zone (syslog, RFC 3164 section 4.1.2).
    var isWrittenWithoutZone = false
    /// After this no line of the log was written.
    var endedAtMs: Int64 = 0
    /// For lines without a usable time.
    var lastTimeMs = Numbers.missing
    /// What that was when the lines at hand were begun, and whether a line may have made use of it.
    var earlierTimeMs = Numbers.missing
    var leansOnTime = false
  }
  let state = RowBuilder.boxed(State())

  /// - Parameter slices: those of the lines of a group.
  init(_ slices: LaneSlices) {
    // Pages of it that no key reaches are never touched.
    scratch = .allocate(capacity: Self.scratchBytes + KeyWriter.slack)
    hasPath = .allocate(capacity: LineParser.group)
    hasPath.initialize(repeating: false, count: LineParser.group)
    sources = Self.boxed(LaneDictionary(Interner(capacity: 1 << 10), slices, secrets))
    destinations = Self.boxed(LaneDictionary(Interner(capacity: 1 << 12), slices, secrets))
    outcomes = Self.boxed(LaneDictionary(Interner(capacity: 1 << 10), slices, secrets))
    templates = Self.boxed(
      LaneDictionary(
        Interner(capacity: 1 << 12, maxCount: RowBuilder.maxTemplates, maxArena: 16 << 20), slices, secrets))
  }

  private static func boxed<Value: ~Copyable>(_ value: consuming Value) -> UnsafeMutablePointer<Value> {
    let box = UnsafeMutablePointer<Value>.allocate(capacity: 1)
    box.initialize(to: value)
    return box
  }

  deinit {
    for known in [sources, destinations, outcomes, templates] { known.deinitialize(count: 1).deallocate() }
    for warnings in [sourceWarnings, destinationWarnings] { warnings.deinitialize(count: 1).deallocate() }
    scratch.deallocate()
    hasPath.deallocate()
    state.deallocate()
  }

  /// A new log: its sources are new, whatever the addresses.
  func restartSources() {
    sources.pointee.restart()
    sourceWarnings.pointee.removeAll()
  }

  /// All entries are new again.
  func forgetEntries() {
    restartSources()
    restartDestinations()
    outcomes.pointee.restart()
    templates.pointee.restart()
    state.pointee.otherPaths = -1
  }

  private func restartDestinations() {
    destinations.pointee.restart()
    destinationWarnings.pointee.removeAll()
  }

  // MARK: - Dictionary keys

  /// What the keys of a line say beside their columns; its path's template goes into its slot, if it has a path.
  @inline(__always)
  func begin(_ fields: borrowing Fields, lane: Int, source: UInt64, destination: UInt64, path: Slice) {
    sources.pointee.tags[lane] = source
    destinations.pointee.tags[lane] = destination
    outcomes.pointee.tags[lane] = 0
    hasPath[lane] = !path.isMissing
    fields[.template] = path.isMissing ? .absent : pathTemplate.template(of: path, lane: lane)
  }

  /// Looks up the keys of the first `count` lines of a group, but for the outcomes: what these are depends on the others.
  @inline(__always) func find(_ count: Int, _ layout: RowLayout) {
    let kernels = state.pointee.kernels
    // The largest dictionary first and last.
    destinations.pointee.hash(layout.destinationRuns, count, kernels)
    templates.pointee.hash(layout.templateRuns, count, kernels)
    sources.pointee.hash(layout.sourceRuns, count, kernels)
    outcomes.pointee.hash(layout.outcomeRuns, count, kernels)
    destinations.pointee.expect(count)
    templates.pointee.expect(count)
    sources.pointee.expect(count)
    sources.pointee.find(0..<count, kernels)
    templates.pointee.find(0..<count, kernels)
    destinations.pointee.find(0..<count, kernels)
  }

  /// The id of a line's source; `make` is asked when it is new, and may refuse.
  @inline(__always)
  func sourceID(
    _ fields: borrowing Fields, lane: Int, _ layout: RowLayout, _ batch: FlowBatch, make: (inout Warnings) -> Source?
  ) -> Int32 {
    let known = sources.pointee.ids[lane]
    if known >= 0 { return known }
    return newID(sources, fields, lane, layout.sourceRuns) { isFull in
      var warnings: Warnings = []
      guard let source = make(&warnings) else { return false }
      if isFull { state.pointee.wantsRestart = true }
      batch.newSources.append(source)
      sourceWarnings.pointee.append(warnings)
      return true
    }
  }

  @inline(__always)
  func destinationID(
    _ fields: borrowing Fields, lane: Int, _ layout: RowLayout, _ batch: FlowBatch,
    make: (inout Destination, inout Warnings) -> Bool
  ) -> Int32 {
    let known = destinations.pointee.ids[lane]
    if known >= 0 { return known }
    return newID(destinations, fields, lane, layout.destinationRuns) { isFull in
      var warnings: Warnings = []
      // In place: to move it would copy it, with a reference counted for each of its texts.
      batch.newDestinations.append(Destination())
      let isMade = batch.newDestinations.withUnsafeMutableBufferPointer { make(&$0[$0.count - 1], &warnings) }
      guard isMade else {
        batch.newDestinations.removeLast()
        return false
      }
      if isFull { state.pointee.wantsRestart = true }
      destinationWarnings.pointee.append(warnings)
      return true
    }
  }

  @inline(__always)
  func outcomeID(
    _ fields: borrowing Fields, lane: Int, tag: UInt64, _ layout: RowLayout, _ batch: FlowBatch, make: () -> Outcome?
  ) -> Int32 {
    outcomes.pointee.tags[lane] = tag
    outcomes.pointee.find(lane..<lane &+ 1, state.pointee.kernels)
    let known = outcomes.pointee.ids[lane]
    if known >= 0 { return known }
    return newID(outcomes, fields, lane, layout.outcomeRuns) { isFull in
      guard let outcome = make() else { return false }
      if isFull { state.pointee.wantsRestart = true }
      batch.newOutcomes.append(outcome)
      return true
    }
  }

  /// The id of the path's template; `begin` was given that path.
  @inline(__always)
  func templateID(
    _ fields: borrowing Fields, lane: Int, _ layout: RowLayout, _ escaping: FormatField.Escaping, _ batch: FlowBatch
  ) -> Int32 {
    let known = templates.pointee.ids[lane]
    if known >= 0 { return known }
    var isOther = false
    let id = newID(templates, fields, lane, layout.templateRuns) { isFull in
      isOther = isFull
      // No restart: it would let a client who invents paths clear the dictionary over and over.
      if isFull, state.pointee.otherPaths >= 0 { return false }
      batch.newPathTemplates.append(isFull ? Self.otherPaths : Unescape.string(fields[.template], escaping))
      return true
    }
    if isOther, id >= 0 { state.pointee.otherPaths = id }
    return id >= 0 ? id : state.pointee.otherPaths
  }

  /// A key that was not known when its group was looked up; -1 when `add` refuses.
  @inline(never)
  private func newID(
    _ known: UnsafeMutablePointer<LaneDictionary>, _ fields: borrowing Fields, _ lane: Int, _ runs: KeyRuns,
    add: (_ isFull: Bool) -> Bool
  ) -> Int32 {
    var writer = KeyWriter(at: scratch, limit: scratch + Self.scratchBytes, tag: known.pointee.tags[lane])
    writer.add(runs, fields)
    let (hash, key) = (known.pointee.hashes[lane], writer.slice)
    // A line before it in the group may have had it.
    let id = known.pointee.interner.find(hash, key)
    if id >= 0 { return id }
    return add(known.pointee.interner.isFull(for: key)) ? known.pointee.add(hash, key) : -1
  }

  /// Call before a batch is filled: dictionaries that reached their bound start anew, and the batch learns from where.
  func open(_ batch: FlowBatch) {
    state.pointee.rows = batch.rows
    state.pointee.count = batch.count
    state.pointee.firstMs = batch.firstMs
    state.pointee.lastMs = batch.lastMs
    // Ids of a batch in use must stay what they are; until it is handed over, the parser reads no further line.
    guard batch.isEmpty else { return }
    if state.pointee.wantsRestart {
      state.pointee.wantsRestart = false
      if sources.pointee.interner.isAlmostFull { restartSources() }
      if destinations.pointee.interner.isAlmostFull { restartDestinations() }
      if outcomes.pointee.interner.isAlmostFull { outcomes.pointee.restart() }
    }
    // An empty batch may hold entries all the same: of rows that were not stored after all. They stay, as ids are given
    // once, unless they belong to a dictionary that has started anew since.
    if Int(batch.firstNewSource) + batch.newSources.count != sources.pointee.interner.count {
      batch.newSources.removeAll(keepingCapacity: true)
      batch.firstNewSource = Int32(sources.pointee.interner.count)
    }
    if Int(batch.firstNewDestination) + batch.newDestinations.count != destinations.pointee.interner.count {
      batch.newDestinations.removeAll(keepingCapacity: true)
      batch.firstNewDestination = Int32(destinations.pointee.interner.count)
    }
    if Int(batch.firstNewOutcome) + batch.newOutcomes.count != outcomes.pointee.interner.count {
      batch.newOutcomes.removeAll(keepingCapacity: true)
      batch.firstNewOutcome = Int32(outcomes.pointee.interner.count)
    }
    if Int(batch.firstNewPathTemplate) + batch.newPathTemplates.count != templates.pointee.interner.count {
      batch.newPathTemplates.removeAll(keepingCapacity: true)
      batch.firstNewPathTemplate = Int32(templates.pointee.interner.count)
    }
  }

  /// The batch learns what was written into it.
  func close(_ batch: FlowBatch) {
    batch.count = state.pointee.count
    batch.firstMs = state.pointee.firstMs
    batch.lastMs = state.pointee.lastMs
    state.pointee.rows = nil
  }

  @inline(__always) func warnings(ofSource id: Int32) -> Warnings { sourceWarnings.pointee[id] }
  @inline(__always) func warnings(ofDestination id: Int32) -> Warnings { destinationWarnings.pointee[id] }

  // MARK: - Rows

  /// Writes the row. The batch has room: the parser asks before each line.
  @inline(__always) func store(_ row: FlowRow) {
    state.pointee.rows![state.pointee.count] = row
    state.pointee.count &+= 1
    if row.startedAtMs < state.pointee.firstMs { state.pointee.firstMs = row.startedAtMs }
    var end = row.startedAtMs
    if row.durationMs > 0 {
      let (sum, isTooLarge) = end.addingReportingOverflow(row.durationMs)
      end = isTooLarge ? .max : sum
    }
    if end > state.pointee.lastMs { state.pointee.lastMs = end }
    state.pointee.lastTimeMs = row.startedAtMs
  }

  /// Start of the flow in Unix milliseconds: as logged, or the logged end less the duration, or the wrapper's time, or the time
  /// of the line before; nil when there is nothing to go by.
  @inline(__always) func startTime(_ fields: borrowing Fields, _ durationMs: Int64, _ warnings: inout Warnings)
    -> Int64?
  {
    let start = fields.number(.startTime)
    if RowBuilder.isInCalendar(start) { return start }
    return otherTime(fields, durationMs, &warnings)
  }

  /// Not missing, and no further from 1970 than `longest`: what reckons with a time need not be on its guard.
  @inline(__always) private static func isInCalendar(_ ms: Int64) -> Bool { ms > -longest && ms < longest }

  private func otherTime(_ fields: borrowing Fields, _ durationMs: Int64, _ warnings: inout Warnings) -> Int64? {
    let fraction = fields.number(.endTimeFraction)
    let end = fields.number(.endTime)
    if fields.number(.startTime) != Numbers.missing { warnings.insert(.numberInvalid) }
    if RowBuilder.isInCalendar(end) {
      var precise = end
      if fraction >= 0, fraction < 1000, end % 1000 == 0 {
        precise &+= fraction
      } else if fraction != Numbers.missing, fraction < 0 || fraction >= 1000 {
        warnings.insert(.numberInvalid)
      }
      return durationMs > 0 ? precise &- durationMs : precise
    }
    if end != Numbers.missing { warnings.insert(.numberInvalid) }
    warnings.insert(.timeAssumed)
    let writtenAtMs = state.pointee.writtenAtMs
    if writtenAtMs != Numbers.missing { return durationMs > 0 ? writtenAtMs &- durationMs : writtenAtMs }
    if state.pointee.lastTimeMs == state.pointee.earlierTimeMs { state.pointee.leansOnTime = true }
    return state.pointee.lastTimeMs == Numbers.missing ? nil : state.pointee.lastTimeMs
  }

  /// Bytes as the row keeps them: -1 for none, and for more than a proxy ever sent, of which SQL could not add up a few.
  @inline(__always) static func bytes(_ value: Int64, _ warnings: inout Warnings) -> Int64 {
    amount(value, upTo: mostBytes, &warnings)
  }

  @inline(__always) private static func amount(_ value: Int64, upTo most: Int64, _ warnings: inout Warnings) -> Int64 {
    if value > most {
      warnings.insert(.numberInvalid)
      return -1
    }
    return value < 0 ? -1 : value
  }

  /// Milliseconds as the row keeps them: what is longer than any calendar is no duration, and what reckons with its end need not
  /// be on its guard.
  @inline(__always) static func duration(_ value: Int64, _ warnings: inout Warnings) -> Int64 {
    amount(value, upTo: longest, &warnings)
  }

  /// Some 35,000 years.
  private static let longest: Int64 = 1 << 50
  /// 64 pebibytes: a hundred of these can be added.
  private static let mostBytes: Int64 = 1 << 56

  /// The start of a row, once what its format leaves open has been put right or said.
  @inline(__always) func settledStart(
    _ row: borrowing FlowRow, _ fields: borrowing Fields, _ layout: RowLayout, _ warnings: inout Warnings
  ) -> Int64 {
    layout.hasVagueTimes ? settledStart(row.startedAtMs, row.durationMs, fields, layout, &warnings) : row.startedAtMs
  }

  @inline(never) private func settledStart(
    _ start: Int64, _ durationMs: Int64, _ fields: borrowing Fields, _ layout: RowLayout, _ warnings: inout Warnings
  ) -> Int64 {
    // Neither the format nor the line says how far the clock is from UTC.
    let lacksZone = layout.lacksZone || layout.hasZoneNames && hasForeignZone(fields, layout)
    if lacksZone { warnings.insert(.zoneAssumed) }
    let isLoggedStart = RowBuilder.isInCalendar(fields.number(.startTime))
    guard isLoggedStart || RowBuilder.isInCalendar(fields.number(.endTime)) else { return start }
    let vagueness = isLoggedStart ? layout.startVagueness : layout.endVagueness
    guard vagueness.isSome else { return start }
    let writtenAtMs = state.pointee.writtenAtMs
    let isWritten = writtenAtMs != Numbers.missing
    let isExact = isWritten && !state.pointee.isWrittenWithoutZone
    if !vagueness.lacksDate || vagueness.lacksHour || !isExact { warnings.insert(.dayAssumed) }
    guard vagueness.lacksDate else { return start }
    // A line is written once what it tells of has ended. Where one of two clocks may be hours off, it is the closest day that counts.
    let slack =
      if !isWritten { TimeFields.fileSlackMs } else if lacksZone || !isExact { TimeFields.dayMs / 2 } else {
        TimeFields.clockSlackMs
      }
    let end = (isWritten ? writtenAtMs : state.pointee.endedAtMs) &- max(durationMs, 0)
    return TimeFields.latest(like: start, upTo: end &+ slack)
  }

  /// A name other than UTC's: which offset it means hangs on who gave it (`IST`), and on the day.
  @inline(never) private func hasForeignZone(_ fields: borrowing Fields, _ layout: RowLayout) -> Bool {
    layout.zoneNames.contains { TimeReader.hasForeignZone($0.parts, fields[$0.role]) }
  }

  /// `warnings` with `truncated` when a column has exactly the length at which the proxy cuts.
  @inline(never) func cutWarnings(_ layout: RowLayout, _ fields: borrowing Fields) -> Warnings {
    layout.cuts.contains { fields[$0.role].count == $0.length } ? .truncated : []
  }
}

/// Warnings by the id of what they belong to, in memory without a reference count: each line reads two of them.
struct WarningList: ~Copyable {
  private var memory = UnsafeMutablePointer<Warnings>.allocate(capacity: 1 << 10)
  private var capacity = 1 << 10
  private var count = 0

  deinit { memory.deallocate() }

  /// In bounds: ids are given in the order in which warnings are added.
  @inline(__always) subscript(id: Int32) -> Warnings { memory[Int(id)] }

  mutating func append(_ warnings: Warnings) {
    if count == capacity {
      let larger = UnsafeMutablePointer<Warnings>.allocate(capacity: capacity * 2)
      larger.moveInitialize(from: memory, count: count)
      memory.deallocate()
      memory = larger
      capacity *= 2
    }
    (memory + count).initialize(to: warnings)
    count += 1
  }

  mutating func removeAll() { count = 0 }
}
