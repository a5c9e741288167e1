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
  /// A dictionary is at its bound: it starts anew with the next batch (ids must not change meaning inside one).
  private(set) var wantsRestart = false
  /// Warnings that belong to every line of a source or destination, by id.
  private let sourceWarnings = RowBuilder.boxed(ContiguousArray<Warnings>())
  private let destinationWarnings = RowBuilder.boxed(ContiguousArray<Warnings>())
  /// Keys under construction: the tag in front (plan, shape, flags), then slices of the line.
  private let key: UnsafeMutablePointer<Slice>
  private let tag: UnsafeMutablePointer<UInt8>
  /// Clients choose the keys: a seed of this process keeps them from choosing collisions.
  private let seed = UInt64.random(in: 1 ... .max)

  /// Distinct path templates per parser; the paths beyond share `otherPaths`. Clients choose paths, so the number needs an end.
  static let maxTemplates = 200_000
  static let otherPaths: StaticString = "/**"

  var log: Int64 = 0
  var namespace: String?
  var pod: String?
  var container: String?
  /// Number of the pod that wrote the line at hand when the wrapper names it line by line; 0 for the log's own.
  var writer: UInt32 = 0
  /// When the wrapper says the line was written; `Numbers.missing` when it does not.
  var writtenAtMs = Numbers.missing
  /// For lines without a usable time.
  var lastTimeMs = Numbers.missing

  init() {
    key = .allocate(capacity: 24)
    key.initialize(repeating: .absent, count: 24)
    tag = .allocate(capacity: 64)
    tag.initialize(repeating: 0, count: 64)
  }

  private static func boxed<Value: ~Copyable>(_ value: consuming Value) -> UnsafeMutablePointer<Value> {
    let box = UnsafeMutablePointer<Value>.allocate(capacity: 1)
    box.initialize(to: value)
    return box
  }

  deinit {
    for interner in [sources, destinations, outcomes, templates] { interner.deinitialize(count: 1).deallocate() }
    for warnings in [sourceWarnings, destinationWarnings] { warnings.deinitialize(count: 1).deallocate() }
    key.deallocate()
    tag.deallocate()
  }

  /// A new log: its sources are new, whatever the addresses.
  func restartSources() {
    sources.pointee.restart()
    sourceWarnings.pointee.removeAll(keepingCapacity: true)
  }

  // MARK: - Dictionary keys

  @inline(__always) private func makeTag(_ a: UInt64, _ b: UInt64 = 0) {
    UnsafeMutableRawPointer(tag).storeBytes(of: a, as: UInt64.self)
    UnsafeMutableRawPointer(tag).storeBytes(of: b, toByteOffset: 8, as: UInt64.self)
    key[0] = Slice(UnsafePointer(tag), UnsafePointer(tag) + 16)
  }

  @inline(__always) private func hash(_ n: Int) -> UInt64 {
    var h = seed
    for i in 0..<n { h = Hash.add(key[i], to: h) }
    return Hash.finish(h)
  }

  @inline(__always) private func addRuns(
    _ runs: UnsafeBufferPointer<(UInt8, UInt8)>, _ fields: borrowing Fields, from n: Int
  ) -> Int {
    var n = n
    for (first, last) in runs {
      key[n] = Slice(fields.slice(Int(first)).start, fields.slice(Int(last)).end)
      n += 1
    }
    return n
  }

  /// The id of the source whose key stands in `key[0..<n]`; `make` is asked when it is new, and may refuse.
  @inline(__always) func sourceID(_ n: Int, _ batch: FlowBatch, make: () -> (Source, Warnings)?) -> Int32 {
    let h = hash(n)
    let known = sources.pointee.find(h, key, n)
    if known >= 0 { return known }
    guard let (source, warnings) = make() else { return -1 }
    wantsRestart = wantsRestart || sources.pointee.isFull(for: key, n)
    batch.newSources.append(source)
    sourceWarnings.pointee.append(warnings)
    return sources.pointee.add(h, key, n)
  }

  @inline(__always) func destinationID(_ n: Int, _ batch: FlowBatch, make: () -> (Destination, Warnings)?) -> Int32 {
    let h = hash(n)
    let known = destinations.pointee.find(h, key, n)
    if known >= 0 { return known }
    guard let (destination, warnings) = make() else { return -1 }
    wantsRestart = wantsRestart || destinations.pointee.isFull(for: key, n)
    batch.newDestinations.append(destination)
    destinationWarnings.pointee.append(warnings)
    return destinations.pointee.add(h, key, n)
  }

  @inline(__always) func outcomeID(_ n: Int, _ batch: FlowBatch, make: () -> Outcome) -> Int32 {
    let h = hash(n)
    let known = outcomes.pointee.find(h, key, n)
    if known >= 0 { return known }
    wantsRestart = wantsRestart || outcomes.pointee.isFull(for: key, n)
    batch.newOutcomes.append(make())
    return outcomes.pointee.add(h, key, n)
  }

  /// The id of the path's template; -1 for a missing path.
  @inline(__always) func templateID(_ path: Slice, _ escaping: FormatField.Escaping, _ batch: FlowBatch) -> Int32 {
    if path.isMissing { return -1 }
    key[0] = pathTemplate.template(of: path)
    let h = hash(1)
    let known = templates.pointee.find(h, key, 1)
    if known >= 0 { return known }
    return newTemplate(h, escaping, batch)
  }

  @inline(never) private func newTemplate(_ hash: UInt64, _ escaping: FormatField.Escaping, _ batch: FlowBatch) -> Int32
  {
    if templates.pointee.isFull(for: key, 1) {
      // No restart: it would let a client who invents paths clear the dictionary over and over.
      let others = Slice(Self.otherPaths.utf8Start, Self.otherPaths.utf8Start + Self.otherPaths.utf8CodeUnitCount)
      key[0] = others
      let h = self.hash(1)
      let known = templates.pointee.find(h, key, 1)
      if known >= 0 { return known }
      batch.newPathTemplates.append("\(Self.otherPaths)")
      return templates.pointee.add(h, key, 1)
    }
    batch.newPathTemplates.append(Unescape.string(key[0], escaping))
    return templates.pointee.add(hash, key, 1)
  }

  /// Call before a batch is filled: dictionaries that reached their bound start anew, and the batch learns from where.
  func open(_ batch: FlowBatch) {
    // Ids of a batch in use must stay what they are; until it is handed over, the parser reads no further line.
    guard batch.isEmpty else { return }
    if wantsRestart {
      wantsRestart = false
      if sources.pointee.isAlmostFull { restartSources() }
      if destinations.pointee.isAlmostFull {
        destinations.pointee.restart()
        destinationWarnings.pointee.removeAll(keepingCapacity: true)
      }
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

  @inline(__always) func warnings(ofSource id: Int32) -> Warnings { sourceWarnings.pointee[Int(id)] }
  @inline(__always) func warnings(ofDestination id: Int32) -> Warnings { destinationWarnings.pointee[Int(id)] }

  // MARK: - Rows

  /// Writes the row. The batch has room: the parser asks before each line.
  @inline(__always) func store(_ row: FlowRow, _ batch: FlowBatch) {
    batch.rows[batch.count] = row
    batch.count += 1
    if row.startedAtMs < batch.firstMs { batch.firstMs = row.startedAtMs }
    var end = row.startedAtMs
    if row.durationMs > 0 {
      let (sum, isTooLarge) = end.addingReportingOverflow(row.durationMs)
      end = isTooLarge ? .max : sum
    }
    if end > batch.lastMs { batch.lastMs = end }
    lastTimeMs = row.startedAtMs
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
    if writtenAtMs != Numbers.missing { return durationMs > 0 ? writtenAtMs &- durationMs : writtenAtMs }
    return lastTimeMs == Numbers.missing ? nil : lastTimeMs
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

  /// Puts the tag and the key's slices in place and returns how many slices there are.
  @inline(__always) func beginKey(_ a: UInt64, _ b: UInt64) { makeTag(a, b) }
  @inline(__always) func keySlice(_ slice: Slice, at n: Int) { key[n] = slice }
  @inline(__always) func keyRuns(_ runs: UnsafeBufferPointer<(UInt8, UInt8)>, _ fields: borrowing Fields, from n: Int)
    -> Int
  {
    addRuns(runs, fields, from: n)
  }
}
