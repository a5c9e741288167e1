internal import FlowStore
internal import Glibc

/// Where reading of an opened file begins.
enum ReadingPlace {
  /// Nothing was written since the last run.
  case unchanged(KnownLog)
  /// Go on with this log at its reading position. The file stands there already.
  case resume(KnownLog)
  /// Every whole line was read already, in another file (a copy) or before the file was cut.
  case covered(KnownLog)
  /// Another log. `equal` bytes at its beginning were read already as a part of `former`.
  case begin(former: KnownLog?, equal: UInt64, Change)

  /// Why a file whose inode was read before is a new log now.
  enum Change: Equatable {
    case none
    /// Shorter than what was read of it.
    case truncated
    /// Other content in the same place.
    case rewritten
  }
}

extension LogRegistry {
  /// Decides by the rules of exactly-once reading:
  ///
  /// 1. the inode is known, the size not below what was read, head and tail are as they were: go on;
  /// 2. otherwise the content decides, whatever path and inode say: all that was read of a log is the beginning of this
  ///    file (renamed, copied, compressed): go on; the file is the beginning of what was read: nothing to do;
  /// 3. otherwise it is another log. Of a known inode, what still equals the old content is not read again.
  func place(for file: LogFile, named name: LogName, chunkBytes: Int) throws(ReadError) -> ReadingPlace {
    guard let identity = file.identity else { return .begin(former: nil, equal: 0, .none) }
    let former = log(at: identity).flatMap {
      $0.mayBe(place: fullPath(of: file.path) ?? file.path, size: file.size) ? $0 : nil
    }
    if let former, former.record.isCompressed == file.isCompressed {
      if file.isCompressed {
        if former.record.size == file.size && former.record.modifiedNs == file.modifiedNs { return .unchanged(former) }
      } else if hasSameGuards(file, former.record) {
        former.guards = guards(file, upTo: former.record.position)
        try file.seek(to: former.record.position)
        return .resume(former)
      }
    }
    var equal: UInt64 = 0
    if let line = try firstLine(of: file, chunkBytes: chunkBytes) {
      let alike = logs(beginningWith: line).filter { isSamePod($0.record, name) }
      let match = try ContentMatch(file: file, logs: alike, chunkBytes: chunkBytes)
      let covering = match.covering
      if let whole = match.whole, whole.record.position >= covering?.record.position ?? 0 {
        // A copy beside a file that is still there is only worth a move when it holds more.
        if whole.identity != identity, isStillThere(whole, file.limits), file.size(isAt: whole.record.position) {
          return .covered(whole)
        }
        try file.advance(to: whole.record.position, chunkBytes: chunkBytes)
        whole.guards = guards(file, upTo: whole.record.position)
        return .resume(whole)
      }
      if let covering { return .covered(covering) }
      if let (log, unknown) = match.perhapsCovering, log.identity != identity {
        if isSameContent(file, log, in: unknown, chunkBytes: chunkBytes) { return .covered(log) }
        try file.rewind()
        return .begin(former: log, equal: unknown.lowerBound, .none)
      }
      if let former { equal = match.matched(former) }
    }
    try file.rewind()
    if let former, former.record.position == 0 { return .resume(former) }
    guard let former else { return .begin(former: nil, equal: 0, .none) }
    let isShorter = !file.isCompressed && file.size < former.record.position
    return .begin(former: former, equal: equal, isShorter ? .truncated : .rewritten)
  }

  /// The head and the last bytes before the reading position are still what was read: two small reads.
  private func hasSameGuards(_ file: LogFile, _ record: LogRecord) -> Bool {
    guard file.size >= record.position else { return false }
    func digest(_ length: Int64, at offset: Int64) -> Int64? {
      let bytes = file.peek(Int(length), at: offset)
      guard bytes.count == Int(length) else { return nil }
      return Int64(bitPattern: bytes.withUnsafeBytes { RunningHash(of: $0).digest })
    }
    // A log of which nothing was read yet has nothing to be recognised by: its inode may be another file's by now.
    guard record.position > 0 else { return false }
    let longest = Int64(ConsumedPrefix.guardSize)
    guard (1...longest).contains(record.headLength), (1...longest).contains(record.tailLength),
      record.tailLength <= record.position
    else { return false }
    return digest(record.headLength, at: 0) == record.headHash
      && digest(record.tailLength, at: record.position - record.tailLength) == record.tailHash
  }

  /// The first and the last bytes before a position, where the file shows them without being unpacked.
  private func guards(_ file: LogFile, upTo position: Int64) -> (
    position: UInt64, head: [UInt8], tail: [UInt8]
  )? {
    guard !file.isCompressed else { return nil }
    let size = Int(min(Int64(ConsumedPrefix.guardSize), position))
    let (head, tail) = (file.peek(size, at: 0), file.peek(size, at: position - Int64(size)))
    return head.count == size && tail.count == size ? (UInt64(position), head, tail) : nil
  }

  /// Two pods may well begin with the same lines; what their paths say keeps them apart.
  private func isSamePod(_ record: LogRecord, _ name: LogName) -> Bool {
    func agree(_ one: String?, _ other: String?) -> Bool { one == nil || other == nil || one == other }
    return agree(record.namespace, name.namespace) && agree(record.pod, name.pod)
      && agree(record.container, name.container)
  }

  /// Compares a stretch of the file with the file that `known` was read from, if that is still there.
  private func isSameContent(_ file: LogFile, _ known: KnownLog, in range: Range<UInt64>, chunkBytes: Int) -> Bool {
    guard let other = try? LogFile(path: known.place, limits: file.limits), other.identity == known.identity,
      (try? file.advance(to: Int64(range.lowerBound), chunkBytes: chunkBytes)) != nil,
      (try? other.advance(to: Int64(range.lowerBound), chunkBytes: chunkBytes)) != nil
    else { return false }
    let half = min(chunkBytes, range.count)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * half, alignment: 16)
    defer { memory.deallocate() }
    var left = range.count
    while left > 0 {
      let wanted = min(half, left)
      let one = UnsafeMutableRawBufferPointer(rebasing: memory[..<wanted])
      let two = UnsafeMutableRawBufferPointer(rebasing: memory[half..<half + wanted])
      guard (try? file.read(into: one)) == wanted, (try? other.read(into: two)) == wanted,
        memcmp(one.baseAddress!, two.baseAddress!, wanted) == 0
      else { return false }
      left -= wanted
    }
    return true
  }

  /// With what was read of it: a file that was cut, or has got the number of one that is gone, is another one.
  private func isStillThere(_ known: KnownLog, _ limits: IngestLimits) -> Bool {
    guard let identity = known.identity, FileIdentity(path: known.place) == identity,
      let file = try? LogFile(path: known.place, limits: limits), file.identity == identity
    else { return false }
    let record = known.record
    return file.isCompressed
      ? record.size == file.size && record.modifiedNs == file.modifiedNs : hasSameGuards(file, record)
  }

  /// nil while the file has no whole line.
  private func firstLine(of file: LogFile, chunkBytes: Int) throws(ReadError) -> ConsumedPrefix.Rung? {
    try file.rewind()
    // A line is some hundred bytes: a page at first, so that a folder of many small files costs little.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: min(chunkBytes, 4096), alignment: 16)
    defer { buffer.deallocate() }
    var hash = RunningHash()
    while true {
      let count = try file.read(into: buffer)
      let newline = buffer[..<count].firstIndex(of: 0x0A)
      hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<(newline.map { $0 + 1 } ?? count)]))
      if newline != nil { return ConsumedPrefix.Rung(position: hash.length, digest: hash.digest) }
      if count == 0 {
        // A log that ended without a newline and was read as final has its end for a first line.
        return hash.length == 0 ? nil : ConsumedPrefix.Rung(position: hash.length, digest: hash.digest)
      }
    }
  }
}

extension LogFile {
  /// A plain file of just this size: there is nothing beyond.
  func size(isAt position: Int64) -> Bool {
    isCompressed ? self.position == position && isAtEndOfContent() : size == position
  }

  /// Whether nothing comes after `position`; takes a byte, so only for files that are positioned anew afterwards.
  private func isAtEndOfContent() -> Bool {
    var byte: UInt8 = 0
    let count = try? withUnsafeMutableBytes(of: &byte) { bytes throws(ReadError) in try read(into: bytes) }
    return count == 0
  }

  /// Reads over the bytes up to `position`, from the beginning where the file stands beyond.
  func advance(to target: Int64, chunkBytes: Int) throws(ReadError) {
    if position == target { return }
    if !isCompressed { return try seek(to: target) }
    if position > target { try rewind() }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunkBytes, alignment: 16)
    defer { buffer.deallocate() }
    while position < target {
      let wanted = Int(min(Int64(chunkBytes), target - position))
      let count = try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]))
      guard count > 0 else { throw ReadError(message: "ends at byte \(position), before what was read of it") }
    }
  }
}

extension ReadingPlace {
  /// What was written under this name since the last reading may lie beside it, rotated: of another file, and of one that was empty, which
  /// looks as before when it was copied and cut.
  func mayBeRotated(_ file: LogFile) -> Bool {
    switch self {
    case .begin: true
    case .resume(let log):
      log.record.position == 0
        && file.modifiedNs / 1_000_000 >= (log.record.lastReadAtMs ?? .max) - Discovery.clockStepMs
    case .unchanged, .covered: false
    }
  }

  /// The known log whose content the file has.
  var log: KnownLog? {
    switch self {
    case .unchanged(let log), .resume(let log), .covered(let log): log
    case .begin: nil
    }
  }
}
