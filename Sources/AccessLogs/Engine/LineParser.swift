public import Flows
internal import CLanes
internal import Glibc

/// Reads access-log lines of any known format, one chunk at a time, into flow batches.
///
///     let parser = LineParser()
///     parser.begin(log: LogContext(ordinal: 1))
///     let consumed = parser.parse(chunk, isFinal: false, into: batch)
///
/// Formats are recognised line by line: the format of the line before is tried first, then the others, then the wrappers
/// (CRI, docker, kubectl, stern, syslog), then the slow twin of the matcher for lines whose columns hold their own
/// delimiters. A line that nothing understands is recognised as something else and skipped by kind, or rejected with a
/// reason. Per line that a known format splits, nothing is allocated and no Foundation call is made.
///
/// Not thread-safe: one parser belongs to one thread at a time.
public final class LineParser {
  /// Longest line that is parsed, in bytes; longer ones are rejected as `too-long` (`rejectOverlong`).
  public static let maxLine = 1 << 20
  /// Readable bytes that must follow the bytes given to `parse`: columns are searched eight bytes a step.
  public static let slack = 64
  /// Records in one physical line: Squid glues the next record behind a cut one with a NUL.
  static let maxRecordsPerLine = 16
  /// Rows that are kept free when a line is begun: its records, and unfinished ones that the end of the log completes.
  static let reservedRows = maxRecordsPerLine + PartialRuns.streams

  let plans: [LinePlan]
  let layouts: [RowLayout]
  /// Of each plan the ones that are not built in and may read its lines another way.
  let rivals: [[Int]]
  /// Those of JSON lines, by number.
  private let objectPlans: [Int]
  /// The same once more, without reference counts: what every line touches. nil where a plan has no fast path of this kind.
  let forwards: UnsafeMutablePointer<ForwardPlan?>
  let layoutsByIndex: UnsafeMutablePointer<Unmanaged<RowLayout>>
  /// Lines that are read side by side while they come as the line before: their look-ups in memory overlap then.
  static let group = 16
  /// A group ends when its lines are longer than this together, so that they fit where a JSON line's values are unescaped.
  static let groupBytes = 1 << 16
  /// The columns of the lines of a group; `fields` are those of a line that is read by itself.
  let lanes: UnsafeMutablePointer<Fields>
  private let laneSlices: UnsafeMutablePointer<Slice>
  private let laneNumbers: UnsafeMutablePointer<Int64>
  let laneGroup: UnsafeMutablePointer<lanes_group>
  let lines: UnsafeMutablePointer<Slice>
  /// Searches in steps as wide as this processor's; a test tries the others.
  var kernels = LineParser.kernels.last! {
    didSet { builder.state.pointee.kernels = kernels }
  }
  let places: UnsafeMutablePointer<Bytes>
  let aheads: UnsafeMutablePointer<RowBuilder.EnvoyAhead>
  /// How many lines the next group may have: one after a line that was another's than the plan's, and twice as many after each
  /// group that was understood.
  var groupSize = LineParser.group
  let builder: RowBuilder
  /// Work that the slow matcher may still spend on the line at hand.
  var effortLeft = 0
  /// The plan of the last line that was understood, and the order in which the others are tried.
  var current = 0
  /// The plan that understood the last stored line.
  var understoodBy = 0
  /// The plan `fields` is prepared for.
  var prepared = -1
  /// The wrappers that stood around the last line that was understood, from the outside in.
  var wrappers: [Wrapper] = []
  let scratch = WrapperScratch()
  var runs = PartialRuns()
  var writers = WriterNames()
  var wrapperTime = TimeReader(
    TimeFormat(parts: [
      .year4, .literal([ASCII.minus]), .month2, .literal([ASCII.minus]), .day2, .literal([ASCII.upperT]), .hour2,
      .literal([ASCII.colon]), .minute2, .literal([ASCII.colon]), .second2,
    ]))
  var context = LogContext(ordinal: 0)

  /// 1-based number of the next line of the log.
  public var nextLine: Int64 = 1

  /// A parser that knows `formats`; those that are not built in are preferred where a line fits several, and lines that fit two of
  /// these and mean different things are ambiguous.
  public init(formats: [FormatPlan] = FormatPlan.builtIn) {
    let plans = formats.enumerated().map { LinePlan($1, index: $0) }
    self.plans = plans
    layouts = plans.map(\.layout)
    rivals = formats.map { format in
      formats.indices.filter { !formats[$0].isBuiltIn && formats[$0].isMistakable(for: format) }
    }
    objectPlans = plans.indices.filter { if case .json = plans[$0] { true } else { false } }
    for case .json(let plan) in plans { plan.isOnlyOne = objectPlans.count == 1 }
    lanes = .allocate(capacity: Self.group)
    laneSlices = .allocate(capacity: Self.group * Fields.slots)
    laneNumbers = .allocate(capacity: Self.group * Fields.slots)
    for lane in 0..<Self.group {
      (lanes + lane).initialize(to: Fields(laneSlices + lane * Fields.slots, laneNumbers + lane * Fields.slots))
    }
    builder = RowBuilder(UnsafePointer(laneSlices))
    lines = .allocate(capacity: Self.group)
    lines.initialize(repeating: .absent, count: Self.group)
    places = .allocate(capacity: Self.group)
    places.initialize(repeating: Slice.absent.start, count: Self.group)
    laneGroup = .allocate(capacity: 1)
    // The C side names the same memory by its own types.
    laneGroup.initialize(
      to: lanes_group(
        lines: UnsafeRawPointer(lines).assumingMemoryBound(to: lanes_slice.self),
        places: UnsafeMutableRawPointer(places).assumingMemoryBound(to: UnsafePointer<UInt8>?.self),
        slices: UnsafeMutableRawPointer(laneSlices).assumingMemoryBound(to: lanes_slice.self), numbers: laneNumbers,
        slots: UInt64(Fields.slots)))
    aheads = .allocate(capacity: Self.group)
    aheads.initialize(repeating: RowBuilder.EnvoyAhead(), count: Self.group)
    forwards = .allocate(capacity: plans.count)
    layoutsByIndex = .allocate(capacity: plans.count)
    for (index, plan) in plans.enumerated() {
      (layoutsByIndex + index).initialize(to: .passUnretained(layouts[index]))
      if case .text(let text) = plan {
        (forwards + index).initialize(to: text.forward)
      } else {
        (forwards + index).initialize(to: nil)
      }
    }
  }

  deinit {
    lanes.deinitialize(count: Self.group).deallocate()
    laneSlices.deallocate()
    laneNumbers.deallocate()
    laneGroup.deallocate()
    lines.deallocate()
    places.deallocate()
    aheads.deallocate()
    forwards.deallocate()
    layoutsByIndex.deallocate()
  }

  var fields: Fields {
    @inline(__always) _read { yield lanes.pointee }
  }

  /// Those that this processor has, the widest last.
  static let kernels: [lanes_kernels] = (0...2).map { lanes_kernels_of_level($0) }.filter { $0.lines != nil }

  /// Starts (or goes on with) a log: the following lines belong to it. Give the next chunk a new batch.
  public func begin(log: LogContext) {
    context = log
    nextLine = log.nextLine
    runs = PartialRuns(log.carry)
    builder.restartSources()
    builder.log = log.ordinal
    builder.state.pointee.lastTimeMs = Numbers.missing
    writers = WriterNames()
    useWriter(.absent, .absent, .absent)
    // A file's time can be anything; beyond the year 9999 no arithmetic with it is worth checking.
    let reference = min(max(log.writtenAtMs ?? 0, 0), 253_402_300_799_999)
    for plan in plans { plan.setReference(reference) }
    wrapperTime.reference = reference
    builder.state.pointee.endedAtMs = reference
  }

  /// The beginnings of records whose end has not been read yet; persist it with the checkpoint and hand it to `begin`.
  public var carry: [UInt8] { runs.serialised }

  /// Reads whole lines from `bytes` until they, or the batch, are used up; returns the number of bytes read.
  ///
  /// - Parameters:
  ///   - bytes: whole lines and perhaps the beginning of one; `LineParser.slack` more bytes must be readable behind them.
  ///   - isFinal: nothing follows: a last line without a newline is a line, and unfinished records are complete.
  ///   - batch: receives the rows; what it held before stays.
  public func parse(_ bytes: UnsafeRawBufferPointer, isFinal: Bool, into batch: FlowBatch) -> Int {
    precondition(batch.capacity > Self.reservedRows, "a batch has to hold the records of one line and more")
    builder.open(batch)
    guard let base = bytes.baseAddress, !bytes.isEmpty else {
      if isFinal { flushRuns(into: batch) }
      finish(batch)
      return 0
    }
    let start = UnsafePointer(base.assumingMemoryBound(to: UInt8.self))
    let end = start + bytes.count
    let limit = batch.capacity - Self.reservedRows
    var p = start
    while p < end, builder.state.pointee.count < limit, !builder.state.pointee.wantsRestart {
      if wrappers.isEmpty, readGroup(&p, to: end, room: limit - builder.state.pointee.count, into: batch) { continue }
      guard let found = memchr(p, Int32(ASCII.newline), end - p) else {
        if isFinal {
          read(Slice(p, end), into: batch)
          p = end
        }
        break
      }
      let newline = UnsafePointer(found.assumingMemoryBound(to: UInt8.self))
      read(Slice(p, newline), into: batch)
      p = newline + 1
    }
    if isFinal, p == end { flushRuns(into: batch) }
    finish(batch)
    return p - start
  }

  /// Counts a line that is longer than `maxLine`; `head` is its beginning.
  public func rejectOverlong(_ head: UnsafeRawBufferPointer, into batch: FlowBatch) {
    builder.open(batch)
    // Nothing but the head's own bytes is looked at: there is no slack behind it.
    count("too-long", into: batch) {
      RejectedLine(reason: "too-long", line: nextLine, text: Array(head.prefix(RejectedLine.maxText)))
    }
    builder.close(batch)
    nextLine &+= 1
  }

  private func finish(_ batch: FlowBatch) {
    builder.close(batch)
    for layout in layouts where layout.stored > 0 {
      batch.storedByFormat[layout.name, default: 0] += layout.stored
      layout.stored = 0
    }
  }

  // MARK: - One line

  private func read(_ physical: Slice, into batch: FlowBatch) {
    var line = physical
    if line.end > line.start, line.end[-1] == ASCII.carriageReturn { line = Slice(line.start, line.end - 1) }
    // The byte order mark of a file that went through an editor, or of one of several that were put together.
    if line.hasPrefix("\u{FEFF}") { line = line.dropFirst(3) }
    if line.count > Self.maxLine {
      reject("too-long", line, into: batch)
    } else {
      readSlowly(line, into: batch)
    }
    nextLine &+= 1
  }

  /// Splits the line by one plan's fast path and stores the row.
  /// - Parameter learns: the next lines with the same keys in the same order are this JSON plan's, too.
  private func understand(
    _ line: Slice, _ index: Int, _ warnings: Warnings, learns: Bool = true, into batch: FlowBatch
  ) -> Bool {
    if prepared != index { prepare(index) }
    var warnings = warnings
    if let plan = forwards[index] {
      guard plan.match(line, into: fields) else { return false }
      if !rivals[index].isEmpty, isRead(line, by: rivals[index]) {
        // Of what was given and what is built in, the one that was given counts.
        if plans[index].plan.isBuiltIn { return false }
        warnings.insert(.ambiguousColumns)
      }
    } else if case .json(let plan) = plans[index] {
      guard plan.match(line, into: fields, isFirst: true, effort: &effortLeft) else { return false }
      if plan.isAmbiguous { warnings.insert(.ambiguousColumns) }
      if learns { plan.learnOrder() }
    }
    return build(index, warnings, into: batch) == .stored
  }

  /// One of these plans fits the line and reads it another way than the columns at hand, which stay as they are.
  private func isRead(_ line: Slice, by others: [Int]) -> Bool {
    let (index, split) = (prepared, fields.snapshot)
    defer {
      prepare(index)
      _ = forwards[index]?.match(line, into: fields)
    }
    return others.contains { other in
      prepare(other)
      guard forwards[other]?.match(line, into: fields) ?? false,
        layouts[other].dialect != .envoy || EnvoyFacts.isPlausible(fields, layouts[other])
      else { return false }
      // That there is no upstream, and that it is not logged, are different things.
      return layouts[other].logsUpstream != layouts[index].logsUpstream || !Self.isSame(split, fields.snapshot)
    }
  }

  private func build(_ index: Int, _ warnings: Warnings, into batch: FlowBatch) -> RowBuilder.Answer {
    layoutsByIndex[index]._withUnsafeGuaranteedRef { layout in
      // Two words in front of a line are weak evidence of stern, and so is a line of a side log: both together are none.
      if layout.isSideLog, wrappers.contains(.stern) || wrappers.contains(.sternAllNamespaces) {
        return .notUnderstood
      }
      lookAhead(1, layout, warnings)
      let answer = build(lane: 0, layout, warnings, line: nextLine, batch)
      if answer == .stored {
        layout.stored &+= 1
        understoodBy = index
      }
      return answer
    }
  }

  @inline(never) func prepare(_ index: Int) {
    for lane in 0..<Self.group {
      switch plans[index] {
      case .text(let plan): plan.prepare(lanes[lane])
      case .json: lanes[lane].reset()
      }
    }
    prepared = index
  }

  // MARK: - Everything but the common case

  @inline(never) private func readSlowly(_ line: Slice, into batch: FlowBatch) {
    effortLeft = Backtracking.lineBudget
    // Squid at its record limit: a NUL stands where the newline was, and the next record follows.
    if line.firstIndex(of: ASCII.nul) != nil {
      // A NUL that no format stumbles over stands inside a value; what the lines before were like must not matter here.
      useWriter(.absent, .absent, .absent)
      builder.state.pointee.writtenAtMs = Numbers.missing
      if understandAny(line, isCut: false, thorough: false, into: batch) {
        wrappers = []
      } else {
        readGlued(line, into: batch)
      }
    } else {
      readRecord(line, isCut: false, into: batch)
    }
  }

  private func readGlued(_ line: Slice, into batch: FlowBatch) {
    var rest = line
    var records = 0
    var nuls = 0
    while !rest.isEmpty {
      let cut = rest.firstIndex(of: ASCII.nul)
      let record = rest.prefix(cut ?? rest.count)
      rest = rest.dropFirst(min(rest.count, (cut ?? rest.count) + 1))
      // A block of NULs (a hole that a crash left in the file) holds no records; those that were there are missing.
      if record.isEmpty {
        nuls += 1
        if nuls == FlowBatch.leastHole { skip(FlowBatch.hole, into: batch) }
        continue
      }
      nuls = 0
      records += 1
      // A batch has room for so many rows of one line; what is beyond is counted, each by itself.
      if records > Self.maxRecordsPerLine {
        reject("too-many-records", record, into: batch)
      } else {
        readRecord(record, isCut: cut != nil && !rest.isEmpty, into: batch)
      }
    }
    if records == 0, nuls < FlowBatch.leastHole { skip(FlowBatch.nuls, into: batch) }
  }

  /// One record in whatever wrappers: peel, join, understand; else skip; else reject.
  private func readRecord(_ line: Slice, isCut: Bool, into batch: FlowBatch) {
    // As the line before was wrapped.
    if !wrappers.isEmpty, let peeled = peelAll(line) {
      switch peeled {
      case .joining: return
      case .short(let part, let stream): return readShort(part, stream, into: batch)
      case .whole(let inner):
        if inner.count > Self.maxLine { return reject("too-long", inner, into: batch) }
        if understandAny(inner, isCut: isCut, thorough: false, into: batch) { return }
        if let kind = SkippedLines.kind(of: inner) { return skip(kind, into: batch) }
        if understandAny(inner, isCut: isCut, thorough: true, into: batch) { return }
      }
    }
    useWriter(.absent, .absent, .absent)
    builder.state.pointee.writtenAtMs = Numbers.missing
    if understandAny(line, isCut: isCut, thorough: false, into: batch) {
      wrappers = []
      return
    }
    if let kind = SkippedLines.kind(of: line) { return skip(kind, into: batch) }
    if unwrapAndUnderstand(line, into: batch) { return }
    useWriter(.absent, .absent, .absent)
    builder.state.pointee.writtenAtMs = Numbers.missing
    if understandAny(line, isCut: isCut, thorough: true, into: batch) {
      wrappers = []
      return
    }
    reject(reason(for: line), line, into: batch)
  }

  /// Tries all plans on a bare line; `thorough` also with the backtracking matcher.
  func understandAny(_ line: Slice, isCut: Bool, thorough: Bool, into batch: FlowBatch) -> Bool {
    if line.isEmpty { return false }
    if !thorough {
      // Where the plan that knows a JSON line best refuses it, one that knows less of it must not take it.
      let isChosen = objectPlans.count > 1 && line.trimmingSpaces().hasPrefix("{")
      if isChosen, understandObject(line, into: batch) { return true }
      func mayRead(_ index: Int) -> Bool { !isChosen || forwards[index] != nil }
      if mayRead(current), understand(line, current, [], into: batch) { return true }
      for index in plans.indices where index != current && mayRead(index) && understand(line, index, [], into: batch) {
        current = index
        return true
      }
      return false
    }
    if understandThoroughly(line, allowsEmpty: false, into: batch) { return true }
    if line[0] == ASCII.openBracket, understandThoroughly(line, allowsEmpty: true, into: batch) { return true }
    if isCut {
      for index in plans.indices where layouts[index].dialect == .squid {
        guard case .text(let plan) = plans[index] else { continue }
        prepare(index)
        if plan.matchCut(line, into: fields), build(index, .truncated, into: batch) == .stored { return true }
      }
    }
    return false
  }

  /// Of a JSON object with several plans the one counts that knows most of its keys: formats share common ones (`start_time`,
  /// `method`), and what the line before was must not matter. Where two know as many and read them differently, the line
  /// is ambiguous.
  private func understandObject(_ line: Slice, into batch: FlowBatch) -> Bool {
    var best: (index: Int, known: Int)?
    var rivals: [Int] = []
    for index in objectPlans {
      guard let known = match(line, index) else { continue }
      guard let found = best, known <= found.known else {
        (best, rivals) = ((index, known), [])
        continue
      }
      // Who gave a format has said what the keys of the built-in one mean.
      if known == found.known, !plans[index].plan.isBuiltIn { rivals.append(index) }
    }
    guard let best else { return false }
    var warnings: Warnings = []
    if !rivals.isEmpty, match(line, best.index) != nil {
      let split = fields.snapshot
      let isShared = rivals.contains { match(line, $0) != nil && !Self.isSame(split, fields.snapshot) }
      if isShared { warnings.insert(.ambiguousColumns) }
    }
    guard understand(line, best.index, warnings, learns: rivals.isEmpty, into: batch) else { return false }
    current = best.index
    return true
  }

  /// How many of the line's keys a JSON plan has a use for; nil when it is none of its lines.
  private func match(_ line: Slice, _ index: Int) -> Int? {
    guard case .json(let plan) = plans[index] else { return nil }
    if prepared != index { prepare(index) }
    return plan.match(line, into: fields, isFirst: true, effort: &effortLeft) ? plan.known : nil
  }

  private static func isSame(_ first: [Slice], _ second: [Slice]) -> Bool {
    zip(first, second).allSatisfy { $0.equals($1) || $0.isMissing && $1.isMissing }
  }

  /// Tries the backtracking matcher of every plan. A line that two plans split differently is ambiguous too: whichever it is,
  /// it proves nothing.
  private func understandThoroughly(_ line: Slice, allowsEmpty: Bool, into batch: FlowBatch) -> Bool {
    var found: (index: Int, isAmbiguous: Bool, split: [Slice])?
    // In the order of the list, not of success: what a line is taken for must not depend on the lines before it.
    for index in plans.indices {
      guard case .text(let plan) = plans[index], !allowsEmpty || layouts[index].dialect == .envoy else { continue }
      if effortLeft <= 0 {
        // Whether another plan would split it as well is unknown.
        found?.isAmbiguous = true
        break
      }
      var ways = Backtracking(plan, line, allowsEmpty: allowsEmpty, budget: min(Backtracking.budget, effortLeft))
      prepare(index)
      let answer = ways.match(into: fields)
      effortLeft -= min(Backtracking.budget, effortLeft) - ways.budgetLeft
      if answer == .no { continue }
      let split = fields.snapshot
      guard let first = found else {
        found = (index, answer == .ambiguous, split)
        continue
      }
      if layouts[first.index].dialect != layouts[index].dialect || !Self.isSame(first.split, split) {
        found!.isAmbiguous = true
        break
      }
    }
    guard let found, case .text(let plan) = plans[found.index] else { return false }
    prepare(found.index)
    var ways = Backtracking(plan, line, allowsEmpty: allowsEmpty)
    guard ways.match(into: fields) != .no else { return false }
    guard build(found.index, found.isAmbiguous ? .ambiguousColumns : [], into: batch) == .stored else { return false }
    current = found.index
    return true
  }
}
