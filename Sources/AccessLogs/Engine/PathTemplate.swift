/// Turns a request path into its template: the query goes, and what looks like an identifier becomes `*`.
///
/// One third of real paths carry an id; storing them raw costs more than all other columns together, and no report asks for
/// them (the raw path stays in the log). A run counts as an identifier when it is
/// - a whole segment of digits (`/users/42` -> `/users/*`),
/// - five or more digits anywhere in a segment (`/img-20231104.png` -> `/img-*.png`),
/// - eight or more hexadecimal digits with at least one digit among them (`/commit/9fceb02d0ae5`), dashes between such
///   runs included, so that a UUID becomes one `*`.
struct PathTemplate: ~Copyable {
  /// Longest template that is kept; longer ones end in `...`.
  static let maxLength = 256
  /// Bytes for the template of one line, with slack (see `Slice`).
  private static let room = maxLength + 64
  private let buffer: UnsafeMutablePointer<UInt8>

  init() {
    buffer = .allocate(capacity: LineParser.group * Self.room)
    buffer.initialize(repeating: 0, count: LineParser.group * Self.room)
  }

  deinit { buffer.deallocate() }

  /// What a byte is for the template.
  private enum Class {
    static let other: UInt8 = 0
    static let digit: UInt8 = 1
    static let hexLetter: UInt8 = 2
    static let slash: UInt8 = 3
    static let end: UInt8 = 4
    static let dash: UInt8 = 5
  }

  private nonisolated(unsafe) static let classes: UnsafePointer<UInt8> = {
    let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
    for byte in 0..<256 {
      let b = UInt8(byte)
      table[byte] =
        ASCII.isDigit(b)
        ? Class.digit
        : ASCII.hexValue(b) < 16
          ? Class.hexLetter
          : b == ASCII.slash
            ? Class.slash
            : b == ASCII.question || b == 0x23
              ? Class.end
              : b == ASCII.minus ? Class.dash : Class.other
    }
    return UnsafePointer(table)
  }()

  /// The template of `path`, in memory that lasts until the next call for this lane (`0..<LineParser.group`); the path itself
  /// when nothing has to change.
  @inline(__always) func template(of path: Slice, lane: Int) -> Slice {
    // The common case: nothing in it that could change it.
    let first = Self.nextMark(from: path.start, to: path.end)
    if first == path.end, path.count <= Self.maxLength { return path }
    return rewrite(path, from: first, into: buffer + lane * Self.room)
  }

  /// The next digit, `?` or `#`, or one of `:;<=>` (which stand between them in ASCII), eight bytes a step as in `Scan.find`.
  ///
  /// Reads up to seven bytes past `end` (slack, see `Slice`).
  @inline(__always) private static func nextMark(from start: Bytes, to end: Bytes) -> Bytes {
    var p = start
    while p < end {
      let word = Scan.load(p)
      let thirties = (word & 0xF0F0_F0F0_F0F0_F0F0) ^ 0x3030_3030_3030_3030
      let hashes = word ^ 0x2323_2323_2323_2323
      let marks = ((thirties &- Scan.ones) & ~thirties | (hashes &- Scan.ones) & ~hashes) & Scan.highs
      if marks != 0 {
        let found = p + (marks.trailingZeroBitCount >> 3)
        return found < end ? found : end
      }
      p += 8
    }
    return end
  }

  /// From mark to mark: what lies between holds no digit, so no identifier begins there but in the hexadecimal letters
  /// right before a digit. `SlowPathTemplate` in the tests says the same piece by piece.
  @inline(never) private func rewrite(_ path: Slice, from first: Bytes, into buffer: UnsafeMutablePointer<UInt8>)
    -> Slice
  {
    let classes = Self.classes
    let end = path.end
    var out = buffer
    let limit = buffer + Self.maxLength
    var p = path.start
    var mark = first
    func copy(to stop: Bytes) {
      let count = min(stop - p, limit - out)
      // In bounds: at most 31 bytes more than `count` are read (slack, see `Slice`) and written (`room`).
      var i = 0
      while i < count {
        UnsafeMutableRawPointer(out + i).storeBytes(
          of: UnsafeRawPointer(p + i).loadUnaligned(as: SIMD32<UInt8>.self), as: SIMD32<UInt8>.self)
        i &+= 32
      }
      out += count
      p += count
    }
    while p < end, out < limit {
      if mark == end || classes[Int(mark.pointee)] == Class.end {
        copy(to: mark)
        break
      }
      guard classes[Int(mark.pointee)] == Class.digit else {
        copy(to: mark + 1)
        mark = Self.nextMark(from: p, to: end)
        continue
      }
      var run = mark
      while run > p, classes[Int(run[-1])] == Class.hexLetter { run -= 1 }
      copy(to: run)
      if p < run || out >= limit { break }
      let length = identifier(run, end, classes, startsSegment: run == path.start || run[-1] == ASCII.slash)
      if length > 0 {
        out.pointee = ASCII.star
        out += 1
        p += length
      } else {
        // No identifier: copy the whole run, so that its tail is not taken for a run of its own.
        var tail = run
        while tail < end, classes[Int(tail.pointee)] == Class.digit || classes[Int(tail.pointee)] == Class.hexLetter {
          tail += 1
        }
        copy(to: tail)
      }
      mark = Self.nextMark(from: p, to: end)
    }
    if out >= limit, p < end, classes[Int(p.pointee)] != Class.end {
      out = limit - 3
      for _ in 0..<3 {
        out.pointee = ASCII.dot
        out += 1
      }
    }
    return Slice(UnsafePointer(buffer), UnsafePointer(out))
  }

  /// Length of the identifier that begins at `start`, or 0.
  private func identifier(_ start: Bytes, _ end: Bytes, _ classes: Bytes, startsSegment: Bool) -> Int {
    var p = start
    var digits = 0
    var letters = 0
    while p < end {
      let kind = classes[Int(p.pointee)]
      if kind == Class.digit { digits += 1 } else if kind == Class.hexLetter { letters += 1 } else { break }
      p += 1
    }
    let endsSegment = p == end || classes[Int(p.pointee)] == Class.slash || classes[Int(p.pointee)] == Class.end
    if digits > 0, letters == 0, digits >= 5 || (startsSegment && endsSegment) {
      return dashed(p, end, classes) - start
    }
    if digits > 0, digits + letters >= 8 {
      // Letters of words are hexadecimal too ("facade1"): eight or more with a digit are taken for an id.
      return dashed(p, end, classes) - start
    }
    if letters == 0 || digits == 0 { return 0 }
    // Digits first, then a word: "12345abc" was caught above; "2a" is no identifier.
    return 0
  }

  /// Past further dash-joined hexadecimal runs of four or more (the rest of a UUID).
  private func dashed(_ from: Bytes, _ end: Bytes, _ classes: Bytes) -> Bytes {
    var p = from
    while p < end, p.pointee == ASCII.minus {
      var q = p + 1
      while q < end, classes[Int(q.pointee)] == Class.digit || classes[Int(q.pointee)] == Class.hexLetter { q += 1 }
      if q - p - 1 < 4 { break }
      p = q
    }
    return p
  }
}
