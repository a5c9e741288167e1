internal import Glibc

/// The tables of a `TextPlan` without the class around them: plain pointers, so that a line costs no reference counting.
///
/// Valid as long as the plan is.
struct ForwardPlan {
  let steps: UnsafeMutablePointer<TextPlan.Step>
  let stepCount: Int
  let prefix: UnsafeMutablePointer<UInt8>
  let prefixCount: Int
  let times: UnsafeMutablePointer<TimeReader>
  let plan: Unmanaged<TextPlan>

  /// The fast path (see `TextPlan`).
  ///
  /// A free column is searched for two bytes at once: the one that ends it and the one it may not hold. Whichever comes
  /// first decides, so the check for forged delimiters costs no second pass.
  @inline(__always)
  func match(_ line: Slice, into target: borrowing Fields) -> Bool {
    let end = line.end
    var p = line.start
    guard line.count >= prefixCount else { return false }
    for i in 0..<prefixCount where p[i] != prefix[i] { return false }
    p += prefixCount
    var step = steps
    for i in 0..<stepCount {
      let slot = Int(step.pointee.slot)
      if step.pointee.padded { while p < end, p.pointee == ASCII.space { p += 1 } }
      let start = p
      switch step.pointee.kind {
      case .text, .token:
        p = Scan.findEither(step.pointee.ends, from: p, to: end)
        if p < end, p.pointee != step.pointee.stop { return false }
        var slice = Slice(start, p)
        if step.pointee.paddedAtEnd { slice = slice.trimmingSpaces() }
        if slice.isEmpty, !step.pointee.mayBeEmpty { return false }
        if step.pointee.moreForbiddenCount > 0, holdsForbidden(step, slice) { return false }
        if !step.pointee.isRepeat || target.slice(slot).isMissing { target.setSlice(slice, slot) }
      case .integer:
        // A plain number that is the only one of its role is the rule.
        if !step.pointee.isRepeat, let value = Numbers.digits(&p, to: end) {
          target.setNumber(value, slot)
          target.setSlice(Slice(start, p), slot)
        } else {
          guard matchSlowly(i, &p, to: end, into: target) else { return false }
        }
      case .time where !step.pointee.isRepeat && p < end && p.pointee != ASCII.minus:
        guard let time = times[Int(step.pointee.timeIndex)].read(&p, to: end) else { return false }
        target.setNumber(time, slot)
        target.setSlice(Slice(start, p), slot)
      case .protocol where !step.pointee.isRepeat && p < end && p.pointee != ASCII.minus:
        while p < end, TextPlan.isProtocolByte(p.pointee) { p += 1 }
        if p == start, !step.pointee.mayBeEmpty { return false }
        target.setSlice(Slice(start, p), slot)
      case .escapedText:
        guard matchEscaped(i, &p, to: end, into: target) else { return false }
      case .decimal, .time, .protocol:
        guard matchSlowly(i, &p, to: end, into: target) else { return false }
      }
      if step.pointee.paddedAtEnd { p = plan._withUnsafeGuaranteedRef { $0.pastPadding(i, p, to: end) } }
      // The literal behind the column; at most eight bytes of it in one comparison.
      let literalCount = Int(step.pointee.literalCount)
      if literalCount > 0 {
        guard end - p >= literalCount, Scan.load(p) & step.pointee.literalMask == step.pointee.literal else {
          return false
        }
        if literalCount > 8, !plan._withUnsafeGuaranteedRef({ $0.hasLiteral(i, at: p) }) { return false }
        p += literalCount
      }
      step += 1
    }
    return p == end
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
