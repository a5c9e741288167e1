internal import CLanes
internal import Glibc

/// A text format compiled for the engine: one step per column with the literal that follows it.
///
/// There are two ways to match a line, with the same steps and the same meaning:
///
/// - `matchForward` reads once from left to right and lets each column end at the first byte of the literal behind it. It
///   accepts only lines in which no column holds a delimiter of its neighbourhood (`forbidden`). Then the split is the only
///   one, which is why it may be fast: the delimiters of the line are exactly those of the plan, so any split uses up all of
///   them, and a column that ended later would hold one.
/// - `Backtracking` is for the rest: it tries every end of every free-text column, checks each column against its syntax,
///   and says whether there was more than one way.
///
/// A test holds the two equal on lines that both accept.
final class TextPlan {
  enum Kind: UInt8 {
    /// Ends at the next literal; may hold spaces when quoted by it.
    case text
    /// As `text`, with backslash escapes: an escaped delimiter does not end it.
    case escapedText
    case token
    case integer
    case decimal
    case time
    case `protocol`
  }

  struct Step {
    var kind: Kind
    var slot: UInt8
    /// First byte of the literal behind the column, or newline when the line ends there.
    var stop: UInt8
    var padded: Bool
    var paddedAtEnd: Bool
    /// The slot was written by an earlier step of the same plan: keep that value unless it is missing.
    var isRepeat: Bool
    /// How many bytes of `forbidden`, from the low end, a line must not hold in this column to be split by the fast path.
    var forbiddenCount: UInt8
    var forbidden: UInt64
    /// What the fast path looks for at once: the stop and the first forbidden byte (or two of those, in the last column).
    var ends: (SIMD16<UInt8>, SIMD16<UInt8>)
    /// The forbidden bytes that `ends` has no room for.
    var moreForbidden: UInt64
    var moreForbiddenCount: UInt8
    var mayBeEmpty: Bool
    /// The fast path needs no more than the place of the literal, which has at most eight bytes.
    var isPlain: Bool { plainCount > 0 }
    /// Steps from this one on that are so; those behind the first are taken together with it.
    var plainCount: UInt8 = 0
    /// The literal's first eight bytes, and how many of them count.
    var literal: UInt64
    var literalMask: UInt64
    var literalCount: Int32
    /// For numbers: what one unit of the text is in units of the row.
    var scale: Int64
    /// Divisor after scaling (micro- and nanoseconds).
    var divisor: Int64
    var timeIndex: Int32
    var maxLength: Int32
  }

  let plan: FormatPlan
  /// Place in the parser's list; also part of dictionary keys.
  let index: Int
  let prefix: [UInt8]
  /// Per step: the whole literal behind it.
  let literals: [[UInt8]]
  let fields: [FormatField]
  let steps: UnsafeMutablePointer<Step>
  let stepCount: Int
  /// What the fast path looks for, step by step; of steps that are plain.
  let columns: UnsafeMutablePointer<lanes_column>
  let times: UnsafeMutablePointer<TimeReader>
  let timeCount: Int
  /// The times that were read last, as the lanes know them; by `timeIndex`.
  let moments: UnsafeMutablePointer<lanes_moment>
  /// The same as `prefix`, in memory that needs no array around it.
  private let prefixBytes: UnsafeMutablePointer<UInt8>
  /// Slots from first to last whose columns stand side by side and belong to one dictionary key.
  let destinationRuns: [lanes_run]
  let outcomeRuns: [lanes_run]
  let roles: RoleSet
  /// A set role can cut its value (`:N`).
  let hasMaxLength: Bool

  init(_ plan: FormatPlan, pieces: [FormatPiece], index: Int) {
    self.plan = plan
    self.index = index
    (prefix, fields, literals) = Self.columns(of: pieces)
    stepCount = fields.count
    let room = max(1, fields.count)
    prefixBytes = .allocate(capacity: max(1, prefix.count))
    prefixBytes.initialize(from: prefix, count: prefix.count)
    steps = .allocate(capacity: room)
    columns = .allocate(capacity: room)
    columns.initialize(repeating: lanes_column(), count: room)
    times = .allocate(capacity: room)
    moments = .allocate(capacity: room)
    moments.initialize(repeating: lanes_moment(), count: room)
    var timeCount = 0
    var seen: RoleSet = []
    for (i, field) in fields.enumerated() {
      var step = Step(
        field, literal: literals[i], isQuoted: Self.isQuoted(i, prefix: prefix, literals: literals),
        isRepeat: field.role != .ignored && seen.contains(field.role))
      if step.kind == .time {
        step.timeIndex = Int32(timeCount)
        (times + timeCount).initialize(to: TimeReader(field.time ?? .iso8601Milliseconds))
        timeCount += 1
      }
      (steps + i).initialize(to: step)
      seen.insert(field.role)
    }
    self.timeCount = timeCount
    roles = seen
    hasMaxLength = fields.contains { $0.maxLength != nil }
    destinationRuns = Self.runs(of: Self.destinationRoles, in: fields)
    outcomeRuns = Self.runs(of: Self.outcomeRoles, in: fields)
    for (i, bytes) in Self.forbidden(prefix: prefix, literals: literals, steps: steps).enumerated() {
      steps[i].forbid(bytes, isLast: literals[i].isEmpty)
      let kind = steps[i].laneKind(before: literals[i])
      if let kind, steps[i].mayBePlain(kind, before: literals[i], isLast: i == stepCount - 1) {
        steps[i].plainCount = 1
      }
      columns[i] = steps[i].column(
        kind, moment: steps[i].timeIndex < 0 ? nil : UnsafePointer(moments + Int(steps[i].timeIndex)))
    }
    for i in (0..<stepCount).reversed() where steps[i].isPlain && i + 1 < stepCount {
      steps[i].plainCount = UInt8(min(255, 1 + Int(steps[i + 1].plainCount)))
    }
  }

  deinit {
    prefixBytes.deallocate()
    steps.deallocate()
    columns.deallocate()
    times.deinitialize(count: timeCount)
    times.deallocate()
    moments.deallocate()
  }

  func prepare(_ target: borrowing Fields) {
    target.reset()
    for (i, field) in fields.enumerated() where !steps[i].isRepeat {
      target.setEscaping(field.escaping, Int(field.role.rawValue))
    }
  }

  func setReference(_ ms: Int64) {
    for i in 0..<timeCount { times[i].reference = ms }
  }

  // MARK: - The fast path

  /// Splits `line` into `target`; false when the line is not of this plan, or only with a delimiter inside a column.
  @inline(__always) func matchForward(_ line: Slice, into target: borrowing Fields) -> Bool {
    forward.match(line, into: target)
  }

  /// The plan as the fast path sees it.
  var forward: ForwardPlan {
    ForwardPlan(
      steps: steps, stepCount: stepCount, columns: columns, prefix: prefixBytes, prefixCount: prefix.count,
      times: times, moments: moments,
      plan: Unmanaged.passUnretained(self))
  }

  /// Matches a record that its proxy cut off inside or behind the request target (Squid at 8,191 bytes): the columns up to
  /// there are read, the rest is absent.
  func matchCut(_ line: Slice, into target: borrowing Fields) -> Bool {
    guard let cut = fields.firstIndex(where: { $0.role == .url || $0.role == .path }), cut > 0,
      line.count >= prefix.count,
      prefix.withUnsafeBufferPointer({ $0.count == 0 || memcmp($0.baseAddress!, line.start, $0.count) == 0 })
    else { return false }
    var p = line.start + prefix.count
    for i in 0..<cut {
      if steps[i].padded { while p < line.end, p.pointee == ASCII.space { p += 1 } }
      let start = p
      switch steps[i].kind {
      case .integer, .decimal, .time, .protocol:
        guard matchSlowly(i, &p, to: line.end, into: target) else { return false }
      case .text, .escapedText, .token:
        p = Scan.find(steps[i].stop, from: p, to: line.end)
        if p == start, !steps[i].mayBeEmpty { return false }
        target.setSlice(Slice(start, p), Int(steps[i].slot))
      }
      if steps[i].paddedAtEnd { p = pastPadding(i, p, to: line.end) }
      guard line.end - p >= literals[i].count, literals[i].isEmpty || hasLiteral(i, at: p) else { return false }
      p += literals[i].count
    }
    let urlEnd = Scan.find(ASCII.space, from: p, to: line.end)
    target.setSlice(Slice(p, urlEnd), Int(steps[cut].slot))
    // Empty slices at the line's end keep neighbouring columns in order for the dictionary keys.
    for i in (cut + 1)..<max(cut + 1, stepCount) {
      target.setSlice(Slice(line.end, line.end), Int(steps[i].slot))
      target.setNumber(Numbers.missing, Int(steps[i].slot))
    }
    return true
  }

  /// Columns of fixed or rare syntax.
  func matchSlowly(_ i: Int, _ p: inout Bytes, to end: Bytes, into target: borrowing Fields) -> Bool {
    let step = steps[i]
    let slot = Int(step.slot)
    let start = p
    var value = Numbers.missing
    switch step.kind {
    case .time:
      if p < end, p.pointee == ASCII.minus, end - p < 2 || p[1] == step.stop {
        p += 1
      } else {
        guard let time = times[Int(step.timeIndex)].read(&p, to: end) else { return false }
        value = time
      }
    case .integer:
      if let number = Numbers.signedDigits(&p, to: end) {
        value = number
      } else {
        if p < end, p.pointee == ASCII.minus { p += 1 } else if !fields[i].mayBeEmpty { return false }
      }
    case .decimal:
      if let number = Numbers.decimal(&p, to: end, scale: step.scale) {
        value = Numbers.scaledDown(number, by: step.divisor)
      } else {
        p = start
        if p < end, p.pointee == ASCII.minus { p += 1 } else if !fields[i].mayBeEmpty { return false }
      }
    default:
      // `HTTP/1.1`, `HTTP/2`, `-`
      if p < end, p.pointee == ASCII.minus {
        p += 1
      } else {
        while p < end, Self.isProtocolByte(p.pointee) { p += 1 }
        if p == start, !fields[i].mayBeEmpty { return false }
      }
    }
    if !step.isRepeat || target.number(fields[i].role) == Numbers.missing { target.setNumber(value, slot) }
    if !step.isRepeat || target.slice(slot).isMissing { target.setSlice(Slice(start, p), slot) }
    return true
  }

  @inline(__always) static func isProtocolByte(_ byte: UInt8) -> Bool {
    ASCII.isLetter(byte) || ASCII.isDigit(byte) || byte == ASCII.slash || byte == ASCII.dot
  }

  /// Past the spaces that fill a column up to its width; a space that belongs to the literal behind it is left.
  @inline(never) func pastPadding(_ i: Int, _ start: Bytes, to end: Bytes) -> Bytes {
    var p = start
    let keepsOne = literals[i].first == ASCII.space
    while p < end, p.pointee == ASCII.space, !keepsOne || p + 1 < end && p[1] == ASCII.space { p += 1 }
    return p
  }

  @inline(never) func hasLiteral(_ i: Int, at p: Bytes) -> Bool {
    literals[i].withUnsafeBufferPointer { memcmp($0.baseAddress!, p, $0.count) == 0 }
  }

  /// The first `byte` that an even number of backslashes precedes.
  static func findUnescaped(_ byte: UInt8, from start: Bytes, to end: Bytes) -> Bytes {
    var p = start
    while p < end {
      p = Scan.find(byte, from: p, to: end)
      if p == end { return end }
      var backslashes = 0
      while p - backslashes > start, p[-1 - backslashes] == ASCII.backslash { backslashes += 1 }
      if backslashes % 2 == 0 { return p }
      p += 1
    }
    return end
  }
}
