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
  let moments: UnsafeMutablePointer<lanes_moment>
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
  ///   - group: the lines, with room for the place in each, and where the slices and numbers of each target begin; those of
  ///     lines that are not of this plan are left in disorder.
  @inline(__always)
  func match(
    _ group: UnsafePointer<lanes_group>, _ count: Int, into targets: UnsafeMutablePointer<Fields>,
    _ kernels: lanes_kernels
  ) -> Int {
    let lines = UnsafeRawPointer(group.pointee.lines!).assumingMemoryBound(to: Slice.self)
    let places = UnsafeMutableRawPointer(group.pointee.places!).assumingMemoryBound(to: Bytes.self)
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
        var (taken, left): (UInt32, UInt32) = (0, 0)
        n = Int(
          kernels.columns(
            columns + i, UInt32(plainCount), group, UInt32(truncatingIfNeeded: n), &taken, &left))
        i &+= Int(taken)
        while left != 0 {
          let lane = left.trailingZeroBitCount
          left &= left &- 1
          guard lane < n, !readAlone(i &- 1, &places[lane], lines[lane].end, into: targets[lane]) else { continue }
          n = lane
        }
        continue
      }
      for lane in 0..<n {
        var p = places[lane]
        let isRead =
          switch step.pointee.kind {
          case .text, .token: text(step, &p, lines[lane].end, targets[lane])
          case .integer: integer(step, i, &p, lines[lane].end, targets[lane])
          default: other(step, i, &p, lines[lane].end, targets[lane])
          }
        guard isRead, literal(step, i, &p, lines[lane].end) else {
          n = lane
          break
        }
        places[lane] = p
      }
      i &+= 1
    }
    for lane in 0..<n where places[lane] != lines[lane].end { return lane }
    return n
  }

  /// A column that the lanes have left.
  @inline(never)
  private func readAlone(_ i: Int, _ p: inout Bytes, _ end: Bytes, into target: borrowing Fields) -> Bool {
    let step = steps + i
    let start = p
    let isRead =
      step.pointee.kind == .integer ? integer(step, i, &p, end, target) : other(step, i, &p, end, target)
    if isRead, step.pointee.kind == .time {
      let index = Int(step.pointee.timeIndex)
      times[index].show(Slice(start, p), target.number(Int(step.pointee.slot)), in: moments + index)
    }
    return isRead && literal(step, i, &p, end)
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
