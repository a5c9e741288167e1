@testable import AccessLogs

/// `PathTemplate` byte by byte: what the engine's own has to equal.
struct SlowPathTemplate: ~Copyable {
  static let maxLength = PathTemplate.maxLength
  private let buffer: UnsafeMutablePointer<UInt8>

  init() {
    buffer = .allocate(capacity: Self.maxLength + 64)
    buffer.initialize(repeating: 0, count: Self.maxLength + 64)
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

  /// The template of `path`, in memory that lasts until the next call; the path itself when nothing has to change.
  @inline(__always) func template(of path: Slice) -> Slice {
    // The common case: no digit and no query, found eight bytes at a time. A byte below 0x40 other than `-`, `.` and `/`
    // is what may matter.
    var p = path.start
    let end = path.end
    while p < end {
      let byte = p.pointee
      if byte &- 0x30 <= 15 || byte == 0x23 { break }  // 0-9 : ; < = > ? and #
      p += 1
    }
    if p == end, path.count <= Self.maxLength { return path }
    return rewrite(path, from: p)
  }

  @inline(never) private func rewrite(_ path: Slice, from first: Bytes) -> Slice {
    let classes = Self.classes
    let end = path.end
    var out = buffer
    let limit = buffer + Self.maxLength - 3
    // Back to the start of the segment that holds the first digit.
    var p = first
    while p > path.start, p[-1] != ASCII.slash { p -= 1 }
    let plain = min(p - path.start, Self.maxLength - 3)
    out.update(from: path.start, count: plain)
    out += plain
    while p < end, out < limit {
      let kind = classes[Int(p.pointee)]
      if kind == Class.end { break }
      if kind == Class.digit || kind == Class.hexLetter {
        let startsSegment = p == path.start || p[-1] == ASCII.slash
        let run = identifier(p, end, classes, startsSegment: startsSegment)
        if run > 0 {
          out.pointee = ASCII.star
          out += 1
          p += run
          continue
        }
        // No identifier: copy the whole run, so that its tail is not taken for a run of its own.
        while p < end, out < limit, classes[Int(p.pointee)] == Class.digit || classes[Int(p.pointee)] == Class.hexLetter
        {
          out.pointee = p.pointee
          out += 1
          p += 1
        }
        continue
      }
      out.pointee = p.pointee
      out += 1
      p += 1
    }
    if out >= limit, p < end, classes[Int(p.pointee)] != Class.end {
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
