internal import CLanes
internal import Glibc

/// The tables of a `TextPlan` without the class around them: plain pointers, so that a line costs no reference counting.
///
/// Valid as long as the plan is.
///
/// Where a column ends is only known when the one before has been read, so the steps of one line wait for one another.
/// Those of several lines do not: `match(_:_:into:)` takes each step for all of its lines before the next step, which
/// costs half of reading line by line.
struct ForwardPlan {
  let steps: UnsafeMutablePointer<TextPlan.Step>
  let stepCount: Int
  let columns: UnsafeMutablePointer<lanes_column>
  let prefix: UnsafeMutablePointer<UInt8>
  let prefixCount: Int
  let times: UnsafeMutablePointer<TimeReader>
  let plan: Unmanaged<TextPlan>

  /// The fast path (see `TextPlan`) for one line.
  func match(_ line: Slice, into target: borrowing Fields) -> Bool {
    var p = line.start
    guard begin(line, &p) else { return false }
    var step = steps
    for i in 0..<stepCount {
      let isRead =
        switch step.pointee.kind {
        case .text, .token: text(step, &p, line.end, target)
        case .integer: integer(step, i, &p, line.end, target)
        default: other(step, i, &p, line.end, target)
        }
      guard isRead, literal(step, i, &p, line.end) else { return false }
      step += 1
    }
    return p == line.end
  }

  /// The same for `count` lines side by side: how many of them, from the first on, are of this plan.
  ///
  /// - Parameters:
  ///   - places: room for the place in each line.
  ///   - targets: one for each line; those of lines that are not of this plan are left in disorder.
  ///   - slices: where those of each target begin.
  @inline(__always)
  func match(
    _ lines: UnsafePointer<Slice>, _ count: Int, places: UnsafeMutablePointer<Bytes>,
    into targets: UnsafeMutablePointer<Fields>, _ slices: UnsafeMutablePointer<UnsafeMutablePointer<Slice>>,
    _ kernels: lanes_kernels
  ) -> Int {
    var n = count
    for lane in 0..<n {
      places[lane] = lines[lane].start
      if !begin(lines[lane], &places[lane]) {
        n = lane
        break
      }
    }
    var i = 0
    while i < stepCount {
      let step = steps + i
      let plainCount = step.pointee.plainCount
      if plainCount > 0 {
        n = Int(kernels.columns(columns + i, UInt32(plainCount), lines, UInt32(truncatingIfNeeded: n), places, slices))
        i &+= Int(plainCount)
        continue
      }
      switch step.pointee.kind {
      case .text, .token:
        for lane in 0..<n {
          var p = places[lane]
          guard text(step, &p, lines[lane].end, targets[lane]), literal(step, i, &p, lines[lane].end) else {
            n = lane
            break
          }
          places[lane] = p
        }
      case .integer:
        for lane in 0..<n {
          var p = places[lane]
          guard integer(step, i, &p, lines[lane].end, targets[lane]), literal(step, i, &p, lines[lane].end) else {
            n = lane
            break
          }
          places[lane] = p
        }
      default:
        for lane in 0..<n {
          var p = places[lane]
          guard other(step, i, &p, lines[lane].end, targets[lane]), literal(step, i, &p, lines[lane].end) else {
            n = lane
            break
          }
          places[lane] = p
        }
      }
      i &+= 1
    }
    for lane in 0..<n where places[lane] != lines[lane].end { return lane }
    return n
  }

  // MARK: - Steps

  /// `HTTP/1.1` as a word.
  private static let http11: UInt64 = 0x312E_312F_5054_5448

  @inline(__always) private func begin(_ line: Slice, _ p: inout Bytes) -> Bool {
    guard line.count >= prefixCount else { return false }
    for i in 0..<prefixCount where p[i] != prefix[i] { return false }
    p += prefixCount
    return true
  }

  /// A free column is searched for two bytes at once: the one that ends it and the one it may not hold. Whichever comes
  /// first decides, so the check for forged delimiters costs no second pass.
  @inline(__always)
  private func text(
    _ step: UnsafeMutablePointer<TextPlan.Step>, _ p: inout Bytes, _ end: Bytes, _ target: borrowing Fields
  ) -> Bool {
    if step.pointee.padded { while p < end, p.pointee == ASCII.space { p += 1 } }
    let start = p
    p = Scan.findEither(step.pointee.ends, from: p, to: end)
    if p < end, p.pointee != step.pointee.stop { return false }
    var slice = Slice(start, p)
    if step.pointee.paddedAtEnd { slice = slice.trimmingSpaces() }
    if slice.isEmpty, !step.pointee.mayBeEmpty { return false }
    if step.pointee.moreForbiddenCount > 0, holdsForbidden(step, slice) { return false }
    let slot = Int(step.pointee.slot)
    if !step.pointee.isRepeat || target.slice(slot).isMissing { target.setSlice(slice, slot) }
    return true
  }

  @inline(__always)
  private func integer(
    _ step: UnsafeMutablePointer<TextPlan.Step>, _ i: Int, _ p: inout Bytes, _ end: Bytes, _ target: borrowing Fields
  ) -> Bool {
    if step.pointee.padded { while p < end, p.pointee == ASCII.space { p += 1 } }
    let start = p
    // A plain number that is the only one of its role is the rule.
    guard !step.pointee.isRepeat, let value = Numbers.digits(&p, to: end) else {
      return matchSlowly(i, &p, to: end, into: target)
    }
    let slot = Int(step.pointee.slot)
    target.setNumber(value, slot)
    target.setSlice(Slice(start, p), slot)
    return true
  }

  @inline(__always)
  private func other(
    _ step: UnsafeMutablePointer<TextPlan.Step>, _ i: Int, _ p: inout Bytes, _ end: Bytes, _ target: borrowing Fields
  ) -> Bool {
    if step.pointee.padded { while p < end, p.pointee == ASCII.space { p += 1 } }
    let start = p
    let slot = Int(step.pointee.slot)
    let isPlain = !step.pointee.isRepeat && p < end && p.pointee != ASCII.minus
    switch step.pointee.kind {
    case .time where isPlain:
      guard let time = times[Int(step.pointee.timeIndex)].read(&p, to: end) else { return false }
      target.setNumber(time, slot)
      target.setSlice(Slice(start, p), slot)
    case .protocol where isPlain:
      if Scan.load(p) == Self.http11, end - p >= 8 { p += 8 }
      while p < end, TextPlan.isProtocolByte(p.pointee) { p += 1 }
      if p == start, !step.pointee.mayBeEmpty { return false }
      target.setSlice(Slice(start, p), slot)
    case .escapedText: return matchEscaped(i, &p, to: end, into: target)
    default: return matchSlowly(i, &p, to: end, into: target)
    }
    return true
  }

  /// The literal behind the column; at most eight bytes of it in one comparison.
  @inline(__always)
  private func literal(_ step: UnsafeMutablePointer<TextPlan.Step>, _ i: Int, _ p: inout Bytes, _ end: Bytes) -> Bool {
    if step.pointee.paddedAtEnd { p = plan._withUnsafeGuaranteedRef { $0.pastPadding(i, p, to: end) } }
    let count = Int(step.pointee.literalCount)
    guard end - p >= count, Scan.load(p) & step.pointee.literalMask == step.pointee.literal else { return false }
    if count > 8, !plan._withUnsafeGuaranteedRef({ $0.hasLiteral(i, at: p) }) { return false }
    p += count
    return true
  }

  @inline(never)
  private func matchSlowly(_ i: Int, _ p: inout Bytes, to end: Bytes, into target: borrowing Fields) -> Bool {
    plan._withUnsafeGuaranteedRef { $0.matchSlowly(i, &p, to: end, into: target) }
  }

  @inline(never)
  private func matchEscaped(_ i: Int, _ p: inout Bytes, to end: Bytes, into target: borrowing Fields) -> Bool {
    let step = steps + i
    let slot = Int(step.pointee.slot)
    let start = p
    p = step.pointee.literalCount == 0 ? end : TextPlan.findUnescaped(step.pointee.stop, from: p, to: end)
    var slice = Slice(start, p)
    if step.pointee.paddedAtEnd { slice = slice.trimmingSpaces() }
    if slice.isEmpty, !step.pointee.mayBeEmpty { return false }
    var forbidden = step.pointee.forbidden
    for _ in 0..<step.pointee.forbiddenCount {
      if Scan.find(UInt8(truncatingIfNeeded: forbidden), from: slice.start, to: slice.end) != slice.end { return false }
      forbidden >>= 8
    }
    if !step.pointee.isRepeat || target.slice(slot).isMissing { target.setSlice(slice, slot) }
    return true
  }

  @inline(never)
  private func holdsForbidden(_ step: UnsafeMutablePointer<TextPlan.Step>, _ slice: Slice) -> Bool {
    var forbidden = step.pointee.moreForbidden
    for _ in 0..<step.pointee.moreForbiddenCount {
      if Scan.find(UInt8(truncatingIfNeeded: forbidden), from: slice.start, to: slice.end) != slice.end { return true }
      forbidden >>= 8
    }
    return false
  }
}
