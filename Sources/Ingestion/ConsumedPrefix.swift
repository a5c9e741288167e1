internal import Glibc

/// Everything that is known of the bytes of a log that were consumed: the hash of all of them, and hashes of shorter
/// prefixes that end at line ends (*rungs*).
///
/// The whole hash proves that a file begins with what was read ("a copy, to be read on from here"). The rungs prove the
/// other direction: a file that was cut in the middle, or a copy made earlier, is a prefix of what was read. Up to
/// `maxRungs` lines every line end is a rung; beyond, rungs lie evenly spread at twice, four times, ... the distance, so
/// that the state stays small whatever the length of the log.
struct ConsumedPrefix: Sendable, Equatable {
  struct Rung: Sendable, Hashable {
    /// Just after a newline (or the end of a last line without one).
    var position: UInt64
    /// `RunningHash.digest` of the bytes before.
    var digest: UInt64
  }

  private(set) var hash = RunningHash()
  /// The position, where nothing else is to be known.
  private var counted: UInt64?
  private(set) var rungs: [Rung] = []
  /// Least distance between two rungs, in bytes. A line end that is no rung lies less than twice this behind one.
  private(set) var spacing: UInt64 = 1
  /// The first and the last bytes consumed, at most `guardSize` each: what a look at the open file can be compared with. Of these
  /// only hashes are stored, for lines hold what is nobody's business; a restored state has those that were read since, or what
  /// it is given (`restore`).
  private(set) var head: [UInt8] = []
  private(set) var tail: [UInt8] = []
  /// The head is that of the log.
  private(set) var knowsHead = true

  /// 4,096 rungs take some 45 KB in the store; a log of a million lines then has one every few hundred lines.
  static let maxRungs = 4096
  /// Longer than any one line's time stamp and request id, and two small reads on opening.
  static let guardSize = 1024

  init() {}

  /// For a log that nothing will be compared with: only the position is known of what is consumed.
  init(counting position: UInt64) { counted = position }

  var position: UInt64 { counted ?? hash.length }
  var digest: UInt64 { hash.digest }
  /// What files that begin with the same line share.
  var firstLine: Rung? { rungs.first }

  /// Takes in the next bytes. They end at a line end, or at the end of a log whose last line has none.
  /// - Parameter isInsideLine: the line goes on in the next bytes.
  mutating func consume(_ bytes: UnsafeRawBufferPointer, isInsideLine: Bool = false) {
    guard let base = bytes.baseAddress, bytes.count > 0 else { return }
    if let counted {
      self.counted = counted + UInt64(bytes.count)
      return
    }
    var done = 0
    while done < bytes.count {
      let next = (rungs.last?.position ?? 0) + spacing
      // The line end to look for lies at or after this offset: the newline is the byte before it.
      let from = max(done, next > hash.length &+ 1 ? Int(clamping: next - hash.length - 1) + done : done)
      guard from < bytes.count, let newline = memchr(base + from, 0x0A, bytes.count - from) else { break }
      let end = UnsafeRawPointer(newline) - base + 1
      hash.update(UnsafeRawBufferPointer(start: base + done, count: end - done))
      rungs.append(Rung(position: hash.length, digest: hash.digest))
      if rungs.count > ConsumedPrefix.maxRungs { thinOut() }
      done = end
    }
    hash.update(UnsafeRawBufferPointer(start: base + done, count: bytes.count - done))
    if rungs.isEmpty && !isInsideLine { rungs.append(Rung(position: hash.length, digest: hash.digest)) }
    remember(bytes)
  }

  /// Doubles the distance until at most half of the rungs are left; the first stays, it is the key of the log.
  private mutating func thinOut() {
    while rungs.count > ConsumedPrefix.maxRungs / 2 {
      spacing *= 2
      var kept: [Rung] = []
      kept.reserveCapacity(ConsumedPrefix.maxRungs + 1)
      for rung in rungs where kept.isEmpty || rung.position - kept[kept.count - 1].position >= spacing {
        kept.append(rung)
      }
      rungs = kept
    }
  }

  private mutating func remember(_ bytes: UnsafeRawBufferPointer) {
    let size = ConsumedPrefix.guardSize
    if knowsHead, head.count < size { head.append(contentsOf: bytes.prefix(size - head.count)) }
    if bytes.count >= size {
      tail = Array(bytes.suffix(size))
    } else {
      tail.removeFirst(max(0, tail.count + bytes.count - size))
      tail.append(contentsOf: bytes)
    }
  }

  /// Gives a restored state the first and the last `guardSize` bytes of what was consumed, or all of it where that is less.
  mutating func restore(head: [UInt8], tail: [UInt8]) {
    let size = Int(min(UInt64(ConsumedPrefix.guardSize), hash.length))
    precondition(head.count == size && tail.count == size, "what follows would not follow on these bytes")
    (self.head, self.tail, knowsHead) = (head, tail, true)
  }

  var headDigest: UInt64 { head.withUnsafeBytes { RunningHash(of: $0).digest } }
  var tailDigest: UInt64 { tail.withUnsafeBytes { RunningHash(of: $0).digest } }

  // MARK: In the store

  fileprivate static let version: UInt8 = 2
  /// Held the head and the tail, too.
  fileprivate static let versionWithBytes: UInt8 = 1

  /// The state to keep with the reading position.
  var serialised: [UInt8] {
    var bytes: [UInt8] = [ConsumedPrefix.version]
    bytes.reserveCapacity(RunningHash.serialisedSize + rungs.count * 11 + 32)
    bytes += hash.serialised
    bytes.append(varint: spacing)
    bytes.append(varint: UInt64(rungs.count))
    var last: UInt64 = 0
    for rung in rungs {
      bytes.append(varint: rung.position - last)
      bytes.append(littleEndian: rung.digest)
      last = rung.position
    }
    return bytes
  }

  /// nil when `bytes` is no state that `serialised` wrote.
  init?(serialised bytes: [UInt8]) {
    var reader = StateReader(bytes)
    guard let version = reader.version(), let state = reader.take(RunningHash.serialisedSize),
      let hash = RunningHash(serialised: state, isPlain: version == ConsumedPrefix.versionWithBytes),
      let spacing = reader.varint(), spacing > 0, reader.skipBytes(version),
      let count = reader.varint(), count <= ConsumedPrefix.maxRungs
    else { return nil }
    self.hash = hash
    self.spacing = spacing
    knowsHead = hash.length == 0
    var position: UInt64 = 0
    for _ in 0..<count {
      guard let step = reader.varint(), let digest = reader.take(8) else { return nil }
      let (next, isOver) = position.addingReportingOverflow(step)
      // Rungs ascend, and end where the log does.
      guard !isOver, step > 0, next <= hash.length else { return nil }
      position = next
      rungs.append(Rung(position: position, digest: digest.littleEndian(at: digest.startIndex)))
    }
  }
}

extension ConsumedPrefix {
  /// The key of a state without taking all of it apart.
  static func firstLine(serialised bytes: [UInt8]) -> Rung? {
    var reader = StateReader(bytes)
    guard let version = reader.version(), reader.take(RunningHash.serialisedSize) != nil, reader.varint() != nil,
      reader.skipBytes(version), let count = reader.varint(), count > 0, let position = reader.varint(),
      let digest = reader.take(8)
    else { return nil }
    return Rung(position: position, digest: digest.littleEndian(at: digest.startIndex))
  }
}

extension ConsumedPrefix {
  /// The same state without bytes of the log; nil where there are none.
  static func withoutBytes(serialised bytes: [UInt8]) -> [UInt8]? {
    guard bytes.first == versionWithBytes else { return nil }
    return ConsumedPrefix(serialised: bytes)?.serialised
  }
}

/// Reads what `serialised` wrote; nil beyond the end, so that a damaged state is a state unknown and not a crash.
private struct StateReader {
  private var left: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { left = bytes[...] }

  mutating func byte() -> UInt8? { left.popFirst() }

  /// One that is understood.
  mutating func version() -> UInt8? {
    byte().flatMap { [ConsumedPrefix.version, ConsumedPrefix.versionWithBytes].contains($0) ? $0 : nil }
  }

  /// Steps over the head and the tail, where that version has them; false beyond the end.
  mutating func skipBytes(_ version: UInt8) -> Bool {
    guard version == ConsumedPrefix.versionWithBytes else { return true }
    for _ in 0..<2 {
      guard let count = varint(), take(Int(clamping: count)) != nil else { return false }
    }
    return true
  }

  mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
    guard count <= left.count else { return nil }
    defer { left = left.dropFirst(count) }
    return left.prefix(count)
  }

  mutating func varint() -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard let byte = byte() else { return nil }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    return nil
  }
}
