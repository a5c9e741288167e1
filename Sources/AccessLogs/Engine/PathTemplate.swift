internal import CLanes

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

  /// Known to each parser, for asking whether a global was made yet takes as long as the rest.
  private let classes = PathTemplate.classes

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

  /// The next digit, `?` or `#`, or one of `:;<=>` (which stand between them in ASCII), 32 bytes a step.
  ///
  /// Reads up to 31 bytes past `end` (slack, see `Slice`).
  @inline(__always) private static func nextMark(from start: Bytes, to end: Bytes) -> Bytes {
    var p = start
    while p < end {
      let offset = Int(lanes_first_mark(p))
      p += offset
      if offset < 32 { break }
    }
    return p < end ? p : end
  }

  /// From mark to mark: what lies between holds no digit, so no identifier begins there but in the hexadecimal letters
  /// right before a digit. `SlowPathTemplate` in the tests says the same piece by piece.
  @inline(never) private func rewrite(_ path: Slice, from first: Bytes, into buffer: UnsafeMutablePointer<UInt8>)
    -> Slice
  {
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
      let (length, count) = identifier(
        run, end, classes, startsSegment: run == path.start || run[-1] == ASCII.slash)
      if length > 0 {
        out.pointee = ASCII.star
        out += 1
        p += length
      } else {
        // No identifier: copy the whole run, so that its tail is not taken for a run of its own.
        copy(to: run + count)
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

  /// Length of the identifier that begins at `start`, or 0, and how many digits and hexadecimal letters stand there.
  @inline(__always) private func identifier(_ start: Bytes, _ end: Bytes, _ classes: Bytes, startsSegment: Bool)
    -> (length: Int, run: Int)
  {
    let (run, digits) = Self.run(start, end, classes)
    let p = start + run
    let letters = run &- digits
    let endsSegment = p == end || classes[Int(p.pointee)] == Class.slash || classes[Int(p.pointee)] == Class.end
    // Letters of words are hexadecimal too ("facade1"): eight or more with a digit are taken for an id.
    let isID = letters == 0 ? digits >= 5 || digits > 0 && startsSegment && endsSegment : digits > 0 && run >= 8
    // Digits first, then a word: "2a" is no identifier.
    return (isID ? dashed(p, end, classes) - start : 0, run)
  }

  /// How many digits and hexadecimal letters stand at `start`, and how many of them are digits.
  ///
  /// Reads up to 31 bytes past `end` (slack, see `Slice`).
  @inline(__always) private static func run(_ start: Bytes, _ end: Bytes, _ classes: Bytes) -> (
    count: Int, digits: Int
  ) {
    let marks = lanes_hexadecimals(start)
    let digits = UInt32(truncatingIfNeeded: marks)
    let count = min((~(digits | UInt32(truncatingIfNeeded: marks >> 32))).trailingZeroBitCount, end - start)
    if count == 32 { return longRun(start, end, classes) }
    return (count, (digits & (1 &<< UInt32(truncatingIfNeeded: count) &- 1)).nonzeroBitCount)
  }

  @inline(never) private static func longRun(_ start: Bytes, _ end: Bytes, _ classes: Bytes) -> (
    count: Int, digits: Int
  ) {
    var p = start
    var digits = 0
    while p < end {
      let kind = classes[Int(p.pointee)]
      if kind == Class.digit { digits += 1 } else if kind != Class.hexLetter { break }
      p += 1
    }
    return (p - start, digits)
  }

  /// Past further dash-joined hexadecimal runs of four or more (the rest of a UUID).
  private func dashed(_ from: Bytes, _ end: Bytes, _ classes: Bytes) -> Bytes {
    var p = from
    while p < end, p.pointee == ASCII.minus {
      let count = Self.run(p + 1, end, classes).count
      if count < 4 { break }
      p += 1 + count
    }
    return p
  }
}
