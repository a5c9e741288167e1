internal import Glibc

/// The slow twin of `TextPlan.matchForward`: all ways in which a line can be split.
///
/// Envoy's text log is not escaped (envoy#4191), so a client can put quotes and spaces, and with them columns, into a
/// user agent. Here every end of every free-text column is tried and each column must satisfy its syntax; typed columns
/// (times, numbers, addresses, flags) anchor the split from both ends. One way: the line is understood. More than one: the
/// line is kept, flagged `ambiguous-columns`, and never clears a finding.
struct Backtracking {
  enum Answer {
    case no
    case unique
    case ambiguous
  }

  /// Work per line and plan: one for each literal looked up, and one more for every 64 bytes looked at. A 16 KB line of quotes
  /// needs about ten thousand; beyond, the line counts as ambiguous when one way was found and as not understood when none was.
  static let budget = 60_000
  /// Work per line, whatever the number of plans: about two milliseconds, so that lines made to be hard cannot stop a run.
  static let lineBudget = 200_000

  /// Ways that are looked at to find the most likely one; two suffice to know that there is more than one.
  static let maxWays = 64

  private(set) var budgetLeft: Int
  /// Ends of the columns in the way at hand, and in the best complete way.
  private var starts: [Bytes] = []
  private var ends: [Bytes] = []
  private var best: (starts: [Bytes], ends: [Bytes], score: Int)?
  private var ways = 0
  /// Farthest column reached and where, for messages.
  private(set) var farthest: (step: Int, at: Bytes)

  private let plan: TextPlan
  private let line: Slice

  /// Envoy with `omit_empty_values` prints nothing for a missing value instead of `-`.
  private let allowsEmpty: Bool

  init(_ plan: TextPlan, _ line: Slice, allowsEmpty: Bool = false, budget: Int = Backtracking.budget) {
    self.plan = plan
    budgetLeft = budget
    self.allowsEmpty = allowsEmpty
    self.line = line
    farthest = (0, line.start)
  }

  /// Splits the line and writes the best way into `target`.
  mutating func match(into target: borrowing Fields) -> Answer {
    guard line.count >= plan.prefix.count,
      plan.prefix.withUnsafeBufferPointer({ $0.count == 0 || memcmp($0.baseAddress!, line.start, $0.count) == 0 })
    else { return .no }
    starts = Array(repeating: line.start, count: plan.stepCount)
    ends = starts
    walk(0, line.start + plan.prefix.count)
    guard let best else { return .no }
    write(best.starts, best.ends, into: target)
    let hasMore = dropColumnsInName(best.starts, best.ends, from: target)
    return ways > 1 || hasMore || budgetLeft <= 0 ? .ambiguous : .unique
  }

  private mutating func walk(_ i: Int, _ position: Bytes) {
    if ways >= Self.maxWays || budgetLeft <= 0 { return }
    if i == plan.stepCount {
      if position == line.end { keep() }
      return
    }
    if position > farthest.at || i > farthest.step { farthest = (i, position) }
    let step = plan.steps[i]
    let field = plan.fields[i]
    var start = position
    if step.padded { while start < line.end, start.pointee == ASCII.space { start += 1 } }
    switch step.kind {
    case .integer, .decimal, .time, .protocol:
      var p = start
      let isRead = readTyped(i, &p)
      charge(p - start)
      if isRead { advance(i, start, p) }
    case .text, .escapedText, .token:
      let literal = plan.literals[i]
      guard !literal.isEmpty else {
        if i == plan.stepCount - 1 {
          let value = step.paddedAtEnd ? Slice(start, line.end).trimmingSpaces() : Slice(start, line.end)
          if isValid(field, value) { advance(i, value.start, value.end) }
        } else {
          // Two columns that touch: the next one has a recognisable beginning (`HTTP/`).
          var p = start
          while p < line.end, budgetLeft > 0 {
            let rest = Slice(p, line.end)
            let mayEnd = rest.hasPrefix("HTTP/") || rest.hasPrefix("-")
            charge(mayEnd ? p - start : 0)
            if mayEnd, isValid(field, Slice(start, p)) { advance(i, start, p) }
            p += 1
          }
        }
        return
      }
      var p = start
      while ways < Self.maxWays, budgetLeft > 0 {
        guard let found = find(literal, from: p) else { return charge(line.end - p) }
        charge(found - start)
        let slice = step.paddedAtEnd ? Slice(start, found).trimmingSpaces() : Slice(start, found)
        let isEscaped = step.kind == .escapedText && found > start && isEscaped(found, from: start)
        if !isEscaped {
          if isValid(field, slice) {
            advance(i, slice.start, slice.end)
          } else if step.kind == .token || mustNotHoldSpace(field) {
            // A token only gets worse by growing over white space.
            if slice.firstIndex(of: ASCII.space) != nil { return }
          }
        }
        // An escaped delimiter cannot stand in the value: the first one ends it.
        if !isEscaped, Self.escapes(field.escaping, literal[0]) { return }
        p = found + 1
      }
    }
  }

  private mutating func charge(_ bytes: Int) { budgetLeft -= 1 + bytes >> 6 }

  /// Goes on behind the column and its literal.
  private mutating func advance(_ i: Int, _ start: Bytes, _ end: Bytes) {
    let literal = plan.literals[i]
    let next = plan.steps[i].paddedAtEnd ? plan.pastPadding(i, end, to: line.end) : end
    guard line.end - next >= literal.count,
      literal.isEmpty || literal.withUnsafeBufferPointer({ memcmp($0.baseAddress!, next, $0.count) == 0 })
    else { return }
    starts[i] = start
    ends[i] = end
    walk(i + 1, next + literal.count)
  }

  private mutating func keep() {
    ways += 1
    var score = 0
    let isTCP = plan.fields.firstIndex { $0.role == .method }.map { Slice(starts[$0], ends[$0]).isMissing } ?? false
    for (i, field) in plan.fields.enumerated() {
      let slice = Slice(starts[i], ends[i])
      switch field.role {
      // What a client forged before the last quoted column pushes the true columns into the bare server name; on a TCP line
      // nothing quoted is the client's, and a raw server name is what can hold columns.
      case .serverName
      where !isTCP && slice.firstIndex(of: ASCII.quote) == nil && slice.firstIndex(of: ASCII.space) == nil:
        score += 4
      case .authority where isTCP && slice.isMissing: score += 4
      case .requestID where slice.isMissing || Self.isUUID(slice): score += 2
      case .authority where slice.firstIndex(of: ASCII.quote) == nil && slice.firstIndex(of: ASCII.space) == nil:
        score += 1
      default: break
      }
    }
    if best == nil || score > best!.score { best = (starts, ends, score) }
  }

  private func write(_ starts: [Bytes], _ ends: [Bytes], into target: borrowing Fields) {
    for i in 0..<plan.stepCount {
      let step = plan.steps[i]
      let slot = Int(step.slot)
      let slice = Slice(starts[i], ends[i])
      if step.isRepeat, !target.slice(slot).isMissing { continue }
      target.setSlice(slice, slot)
      target.setNumber(value(i, slice), slot)
    }
  }

  /// Envoy's server name may hold anything and ends Istio's format but for one word. In a column without quotes, blanks and quotes
  /// are more columns than the format has (many a mesh adds its own behind Istio's), or a client's bytes that look like some.
  /// Neither is a name: as one, `- -` would be the host of every connection without any.
  ///
  /// - Returns: whether there were any.
  private func dropColumnsInName(_ starts: [Bytes], _ ends: [Bytes], from target: borrowing Fields) -> Bool {
    guard plan.plan.dialect == .envoy,
      let i = plan.fields.firstIndex(where: { $0.role == .serverName }),
      !TextPlan.isQuoted(i, prefix: plan.prefix, literals: plan.literals)
    else { return false }
    let slice = Slice(starts[i], ends[i])
    guard slice.firstIndex(of: ASCII.space) != nil || slice.firstIndex(of: ASCII.quote) != nil else { return false }
    // Empty and in its place: keys are made of the line from one column to the next.
    target.setSlice(Slice(slice.start, slice.start), Int(FieldRole.serverName.rawValue))
    return true
  }

  private func value(_ i: Int, _ slice: Slice) -> Int64 {
    let step = plan.steps[i]
    var p = slice.start
    switch step.kind {
    case .integer: return Numbers.integer(slice) ?? Numbers.missing
    case .decimal:
      guard let number = Numbers.decimal(&p, to: slice.end, scale: step.scale) else { return Numbers.missing }
      return Numbers.scaledDown(number, by: step.divisor)
    case .time: return plan.times[Int(step.timeIndex)].read(&p, to: slice.end) ?? Numbers.missing
    default: return Numbers.missing
    }
  }

  private func readTyped(_ i: Int, _ p: inout Bytes) -> Bool {
    let step = plan.steps[i]
    let start = p
    switch step.kind {
    case .time:
      if plan.times[Int(step.timeIndex)].read(&p, to: line.end) != nil { return true }
    case .integer:
      if Numbers.signedDigits(&p, to: line.end) != nil { return true }
    case .decimal:
      if Numbers.decimal(&p, to: line.end, scale: step.scale) != nil { return true }
    default:
      if Slice(p, line.end).hasPrefix("HTTP/") {
        p += 5
        while p < line.end, ASCII.isDigit(p.pointee) || p.pointee == ASCII.dot { p += 1 }
        return true
      }
      while p < line.end, ASCII.isLetter(p.pointee) || ASCII.isDigit(p.pointee) { p += 1 }
      if p > start { return true }
    }
    p = start
    if p < line.end, p.pointee == ASCII.minus {
      p += 1
      return true
    }
    return plan.fields[i].mayBeEmpty || allowsEmpty
  }

  private func mustNotHoldSpace(_ field: FormatField) -> Bool {
    switch field.syntax {
    case .text, .list: false
    default: true
    }
  }

  private func isValid(_ field: FormatField, _ slice: Slice) -> Bool {
    if plan.plan.dialect == .squid, !SquidWords.fits(slice, field.role, isSideLog: plan.plan.isSideLog) { return false }
    switch field.syntax {
    case .text, .list: return true
    case .token: return slice.firstIndex(of: ASCII.space) == nil && (field.mayBeEmpty || allowsEmpty || !slice.isEmpty)
    case .method:
      return (field.mayBeEmpty || allowsEmpty || !slice.isEmpty)
        && UnsafeBufferPointer(start: slice.start, count: slice.count).allSatisfy {
          ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == ASCII.minus || $0 == ASCII.underscore
        }
    case .flags:
      return (field.mayBeEmpty || allowsEmpty || !slice.isEmpty)
        && UnsafeBufferPointer(start: slice.start, count: slice.count).allSatisfy {
          ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == ASCII.comma || $0 == ASCII.minus || $0 == ASCII.underscore
        }
    case .address:
      if slice.isEmpty { return field.mayBeEmpty || allowsEmpty }
      if slice.firstIndex(of: ASCII.space) != nil || slice.firstIndex(of: ASCII.quote) != nil { return false }
      return plan.plan.dialect == .envoy
        ? Addresses.isEnvoyAddress(slice) : (field.mayBeEmpty || allowsEmpty || !slice.isEmpty)
    case .ip:
      if slice.isEmpty { return field.mayBeEmpty || allowsEmpty }
      return slice.firstIndex(of: ASCII.space) == nil && slice.firstIndex(of: ASCII.quote) == nil
    case .integer, .decimal, .status, .protocol, .time: return true
    }
  }

  /// The proxy never prints this byte raw inside a value that it escapes this way.
  private static func escapes(_ escaping: FormatField.Escaping, _ byte: UInt8) -> Bool {
    switch escaping {
    case .raw, .shell: false
    case .nginx, .json, .backslash: byte == ASCII.quote
    case .percent: byte == ASCII.openBracket || byte == ASCII.closeBracket
    }
  }

  private func isEscaped(_ p: Bytes, from start: Bytes) -> Bool {
    var backslashes = 0
    while p - backslashes > start, p[-1 - backslashes] == ASCII.backslash { backslashes += 1 }
    return backslashes % 2 == 1
  }

  private func find(_ literal: [UInt8], from p: Bytes) -> Bytes? {
    guard p < line.end else { return nil }
    return literal.withUnsafeBufferPointer { Scan.find($0, from: p, to: line.end) }
  }

  static func isUUID(_ slice: Slice) -> Bool {
    guard slice.count == 36 else { return false }
    for i in 0..<36 {
      if i == 8 || i == 13 || i == 18 || i == 23 {
        if slice[i] != ASCII.minus { return false }
      } else if ASCII.hexValue(slice[i]) == 255 {
        return false
      }
    }
    return true
  }
}
