/// Numbers by place, from 0 on, and -1 where none was set, that are asked for far more often than they are set: an array without
/// the counting of references that goes with each look at one that a class holds, which costs more than the look.
///
/// Who has it calls `removeAll` in the end.
struct GrowingNumbers<Number: FixedWidthInteger> {
  private var base: UnsafeMutablePointer<Number>?
  /// Places from here on have no number.
  private(set) var count = 0

  @inline(__always)
  subscript(place: Int) -> Number {
    // In bounds: seen as a number without sign, one below 0 lies beyond all others.
    UInt(bitPattern: place) < UInt(bitPattern: count) ? base.unsafelyUnwrapped[place] : -1
  }

  mutating func set(_ number: Number, at place: Int) {
    precondition(place >= 0)
    if place >= count { grow(to: max(place + 1, 2 * count, 64)) }
    base![place] = number
  }

  private mutating func grow(to more: Int) {
    let larger = UnsafeMutablePointer<Number>.allocate(capacity: more)
    larger.initialize(repeating: -1, count: more)
    if let base { larger.update(from: base, count: count) }
    base?.deallocate()
    (base, count) = (larger, more)
  }

  mutating func removeAll() {
    base?.deallocate()
    (base, count) = (nil, 0)
  }
}
