internal import Flows
internal import Glibc

/// Turns the columns of a line into a row of a batch: the numbers of the line and the ids of what repeats.
///
/// Per line there are four dictionary look-ups (source, destination, outcome, path template) whose keys are bytes of the line
/// itself; what the bytes mean (canonical addresses, host precedence, warnings) is worked out once per distinct key, in
/// `EnvoyFacts`, `NginxFacts` and `SquidFacts`.
final class RowBuilder {
  enum Answer {
    case stored
    /// A column does not hold what its place demands: the split cannot be right.
    case notUnderstood
    case noTime
  }

  // Behind pointers, because access to a stored property of a class is checked at run time for exclusivity.
  private let sources = RowBuilder.boxed(Interner(capacity: 1 << 10))
  private let destinations = RowBuilder.boxed(Interner(capacity: 1 << 14))
  private let outcomes = RowBuilder.boxed(Interner(capacity: 1 << 10))
  private let templates = RowBuilder.boxed(
    Interner(capacity: 1 << 14, maxCount: RowBuilder.maxTemplates, maxArena: 16 << 20))
  private let pathTemplate = PathTemplate()
  /// Warnings that belong to every line of a source or destination, by id.
  private let sourceWarnings = RowBuilder.boxed(ContiguousArray<Warnings>())
  private let destinationWarnings = RowBuilder.boxed(ContiguousArray<Warnings>())
  /// Where the key of a look-up is put together, and where those of a group of lines, which are looked up later.
  private let scratch: UnsafeMutablePointer<UInt8>
  private let aheadScratch: UnsafeMutablePointer<UInt8>
  /// Columns do not overlap, but two parts of a key may come from the same one.
  static let scratchBytes = 2 * LineParser.maxLine + (1 << 16)
  let hash = KeyHash()

  /// Distinct path templates per parser; the paths beyond share `otherPaths`. Clients choose paths, so the number needs an end.
  static let maxTemplates = 200_000
  nonisolated(unsafe) static let otherPaths: Slice = {
    let text: StaticString = "/**"
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: text.utf8CodeUnitCount + LineParser.slack)
    memory.initialize(repeating: 0, count: text.utf8CodeUnitCount + LineParser.slack)
    memory.update(from: text.utf8Start, count: text.utf8CodeUnitCount)
    return Slice(UnsafePointer(memory), UnsafePointer(memory) + text.utf8CodeUnitCount)
  }()

  var log: Int64 = 0
  var namespace: String?
  var pod: String?
  var container: String?

  /// What every line touches.
  struct State {
    /// Of the batch being filled, which learns of it in `close`.
    var rows: UnsafeMutablePointer<FlowRow>?
    var count = 0
    var firstMs = Int64.max
    var lastMs = Int64.min
    /// A dictionary is at its bound: it starts anew with the next batch (ids must not change meaning inside one).
    var wantsRestart = false
    /// Number of the pod that wrote the line at hand when the wrapper names it line by line; 0 for the log's own.
    var writer: UInt32 = 0
    /// When the wrapper says the line was written; `Numbers.missing` when it does not.
    var writtenAtMs = Numbers.missing
    /// For lines without a usable time.
    var lastTimeMs = Numbers.missing
    /// What that was when the lines at hand were begun, and whether a line may have made use of it.
    var earlierTimeMs = Numbers.missing
    var leansOnTime = false
  }
  let state = RowBuilder.boxed(State())

  init() {
    // Pages of it that no key reaches are never touched.
    scratch = .allocate(capacity: Self.scratchBytes + KeyWriter.slack)
    aheadScratch = .allocate(capacity: Self.scratchBytes + KeyWriter.slack)
  }

  private static func boxed<Value: ~Copyable>(_ value: consuming Value) -> UnsafeMutablePointer<Value> {
    let box = UnsafeMutablePointer<Value>.allocate(capacity: 1)
    box.initialize(to: value)
    return box
  }

  deinit {
    for interner in [sources, destinations, outcomes, templates] { interner.deinitialize(count: 1).deallocate() }
    for warnings in [sourceWarnings, destinationWarnings] { warnings.deinitialize(count: 1).deallocate() }
    scratch.deallocate()
    aheadScratch.deallocate()
    state.deallocate()
  }

  /// A new log: its sources are new, whatever the addresses.
  func restartSources() {
    sources.pointee.restart()
    sourceWarnings.pointee.removeAll(keepingCapacity: true)
  }

  /// All entries are new again.
  func forgetEntries() {
    restartSources()
    restartDestinations()
    outcomes.pointee.restart()
    templates.pointee.restart()
  }

  private func restartDestinations() {
    destinations.pointee.restart()
    destinationWarnings.pointee.removeAll(keepingCapacity: true)
  }

  // MARK: - Dictionary keys

  /// A key that is looked up before the next one is begun.
  @inline(__always) func beginKey(_ tag: UInt64) -> KeyWriter {
    KeyWriter(at: scratch, limit: scratch + Self.scratchBytes, tag: tag)
  }

  /// The id of a source; `make` is asked when it is new, and may refuse.
  @inline(__always)
  func sourceID(_ h: UInt64, _ key: Slice, _ batch: FlowBatch, make: () -> (Source, Warnings)?) -> Int32 {
    let known = sources.pointee.find(h, key)
    if known >= 0 { return known }
    guard let (source, warnings) = make() else { return -1 }
    if sources.pointee.isFull(for: key) { state.pointee.wantsRestart = true }
    batch.newSources.append(source)
    sourceWarnings.pointee.append(warnings)
    return sources.pointee.add(h, key)
  }

  @inline(__always)
  func destinationID(
    _ h: UInt64, _ key: Slice, _ batch: FlowBatch, make: () -> (Destination, Warnings)?
  ) -> Int32 {
    let known = destinations.pointee.find(h, key)
    if known >= 0 { return known }
    guard let (destination, warnings) = make() else { return -1 }
    if destinations.pointee.isFull(for: key) { state.pointee.wantsRestart = true }
    batch.newDestinations.append(destination)
    destinationWarnings.pointee.append(warnings)
    return destinations.pointee.add(h, key)
  }

  @inline(__always)
  func outcomeID(_ key: Slice, _ batch: FlowBatch, make: () -> Outcome) -> Int32 {
    let h = hash(key)
    let known = outcomes.pointee.find(h, key)
    if known >= 0 { return known }
    if outcomes.pointee.isFull(for: key) { state.pointee.wantsRestart = true }
    batch.newOutcomes.append(make())
    return outcomes.pointee.add(h, key)
  }

  /// The id of the path's template; -1 for a missing path.
  @inline(__always) func templateID(_ path: Slice, _ escaping: FormatField.Escaping, _ batch: FlowBatch) -> Int32 {
    if path.isMissing { return -1 }
    let template = pathTemplate.template(of: path, lane: 0)
    return templateID(hash(template), template, escaping, batch)
  }

  @inline(__always)
  func templateID(_ h: UInt64, _ template: Slice, _ escaping: FormatField.Escaping, _ batch: FlowBatch) -> Int32 {
    let known = templates.pointee.find(h, template)
    return known >= 0 ? known : newTemplate(h, template, escaping, batch)
  }

  // MARK: Looking ahead

  /// A key that is looked up when the lines around it are ready; it lies behind the one begun before for the same group.
  @inline(__always) func beginAhead(_ tag: UInt64, behind former: Slice?) -> KeyWriter {
    let start = former.map { UnsafeMutablePointer(mutating: $0.end) } ?? aheadScratch
    return KeyWriter(at: start, limit: aheadScratch + Self.scratchBytes, tag: tag)
  }

  @inline(__always) func expectSource(_ key: Slice) -> UInt64 {
    let h = hash(key)
    sources.pointee.expect(h)
    return h
  }

  @inline(__always) func expectDestination(_ key: Slice) -> UInt64 {
    let h = hash(key)
    destinations.pointee.expect(h)
    return h
  }

  /// The template of a path and its hash.
  @inline(__always) func expectTemplate(_ path: Slice, lane: Int) -> (Slice, UInt64) {
    let template = pathTemplate.template(of: path, lane: lane)
    let h = hash(template)
    templates.pointee.expect(h)
    return (template, h)
  }

  @inline(__always) func expectKeys(source: UInt64, destination: UInt64, template: UInt64) {
    // As long as most keys are.
    sources.pointee.expectKey(source, 64)
    destinations.pointee.expectKey(destination, 192)
    templates.pointee.expectKey(template, 64)
  }

  @inline(never)
  private func newTemplate(
    _ h: UInt64, _ template: Slice, _ escaping: FormatField.Escaping, _ batch: FlowBatch
  ) -> Int32 {
    if templates.pointee.isFull(for: template) {
      // No restart: it would let a client who invents paths clear the dictionary over and over.
      let others = Self.otherPaths
      let known = templates.pointee.find(hash(others), others)
      if known >= 0 { return known }
      batch.newPathTemplates.append(others.string)
      return templates.pointee.add(hash(others), others)
    }
    batch.newPathTemplates.append(Unescape.string(template, escaping))
    return templates.pointee.add(h, template)
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
      if sources.pointee.isAlmostFull { restartSources() }
      if destinations.pointee.isAlmostFull { restartDestinations() }
      if outcomes.pointee.isAlmostFull { outcomes.pointee.restart() }
    }
    // An empty batch may hold entries all the same: of rows that were not stored after all. They stay, as ids are given
    // once, unless they belong to a dictionary that has started anew since.
    if Int(batch.firstNewSource) + batch.newSources.count != sources.pointee.count {
      batch.newSources.removeAll(keepingCapacity: true)
      batch.firstNewSource = Int32(sources.pointee.count)
    }
    if Int(batch.firstNewDestination) + batch.newDestinations.count != destinations.pointee.count {
      batch.newDestinations.removeAll(keepingCapacity: true)
      batch.firstNewDestination = Int32(destinations.pointee.count)
    }
    if Int(batch.firstNewOutcome) + batch.newOutcomes.count != outcomes.pointee.count {
      batch.newOutcomes.removeAll(keepingCapacity: true)
      batch.firstNewOutcome = Int32(outcomes.pointee.count)
    }
    if Int(batch.firstNewPathTemplate) + batch.newPathTemplates.count != templates.pointee.count {
      batch.newPathTemplates.removeAll(keepingCapacity: true)
      batch.firstNewPathTemplate = Int32(templates.pointee.count)
    }
  }

  /// The batch learns what was written into it.
  func close(_ batch: FlowBatch) {
    batch.count = state.pointee.count
    batch.firstMs = state.pointee.firstMs
    batch.lastMs = state.pointee.lastMs
    state.pointee.rows = nil
  }

  @inline(__always) func warnings(ofSource id: Int32) -> Warnings { sourceWarnings.pointee[Int(id)] }
  @inline(__always) func warnings(ofDestination id: Int32) -> Warnings { destinationWarnings.pointee[Int(id)] }

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
    if start != Numbers.missing { return start }
    return otherTime(fields, durationMs, &warnings)
  }

  private func otherTime(_ fields: borrowing Fields, _ durationMs: Int64, _ warnings: inout Warnings) -> Int64? {
    let fraction = fields.number(.endTimeFraction)
    let end = fields.number(.endTime)
    if end != Numbers.missing {
      let precise = fraction == Numbers.missing || end % 1000 != 0 ? end : end &+ fraction
      return durationMs > 0 ? precise &- durationMs : precise
    }
    warnings.insert(.timeAssumed)
    let writtenAtMs = state.pointee.writtenAtMs
    if writtenAtMs != Numbers.missing { return durationMs > 0 ? writtenAtMs &- durationMs : writtenAtMs }
    if state.pointee.lastTimeMs == state.pointee.earlierTimeMs { state.pointee.leansOnTime = true }
    return state.pointee.lastTimeMs == Numbers.missing ? nil : state.pointee.lastTimeMs
  }

  /// Bytes or milliseconds as the row keeps them: -1 for none, and for what no 64-bit integer holds.
  @inline(__always) static func amount(_ value: Int64, _ warnings: inout Warnings) -> Int64 {
    if value == Numbers.overflow {
      warnings.insert(.numberInvalid)
      return -1
    }
    return value < 0 ? -1 : value
  }

  /// `warnings` with `truncated` when a column has exactly the length at which the proxy cuts.
  @inline(never) func cutWarnings(_ layout: RowLayout, _ fields: borrowing Fields) -> Warnings {
    layout.cuts.contains { fields[$0.role].count == $0.length } ? .truncated : []
  }
}
