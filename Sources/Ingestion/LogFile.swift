internal import Glibc

/// The decompressed bytes of one input from its first byte on: a file, gzipped or not (its magic decides), or a stream
/// that can be read only once.
///
/// `position` counts decompressed bytes. Only plain files can be entered in the middle without reading up to there.
final class LogFile {
  let path: String
  /// nil for streams: pipes, terminals.
  let identity: FileIdentity?
  /// As it was when opened, so that what is written during the reading is seen by the next run.
  let size: Int64
  let modifiedNs: Int64
  let isCompressed: Bool
  /// Decompressed bytes given out so far.
  private(set) var position: Int64 = 0
  /// Compressed bytes read of a gzip file, plain bytes of any other: for progress.
  private(set) var bytesRead: Int64 = 0
  private(set) var isAtEnd = false

  private let descriptor: Int32
  private let ownsDescriptor: Bool
  private var inflater: Inflater?
  private var library = InflateLibrary.zlib
  let limits: IngestLimits
  /// Raw input not yet inflated, or the first bytes of a stream, read to see its magic.
  private let raw: UnsafeMutableRawBufferPointer
  private var rawStart = 0
  private var rawEnd = 0
  private var isRawAtEnd = false
  private var failure: ReadError?

  /// Compressed bytes read at a time: with each call, zlib copies its window.
  private static let rawSize = 1 << 20

  init(path: String, limits: IngestLimits, inflatedBy library: InflateLibrary = .zlib) throws(ReadError) {
    self.path = path
    self.limits = limits
    let ownsDescriptor = path != Discovery.standardInput
    let descriptor = ownsDescriptor ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : STDIN_FILENO
    self.ownsDescriptor = ownsDescriptor
    self.descriptor = descriptor
    raw = .allocate(byteCount: LogFile.rawSize, alignment: 16)
    let memory = raw
    var status = stat()
    guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
      let code = errno
      (size, modifiedNs, identity, isCompressed) = (0, 0, nil, false)
      throw ReadError(message: "cannot open: \(systemMessage(code))", isGone: code == ENOENT)
    }
    // `gatewatch ingest - < access.log` is a file all the same, unless something was read of it already.
    let isFile = status.st_mode & S_IFMT == S_IFREG && lseek(descriptor, 0, SEEK_CUR) == 0
    identity = isFile ? FileIdentity(status) : nil
    size = isFile ? Int64(status.st_size) : 0
    // What is damaged or cut is read again, which a stream cannot be.
    if isFile { self.library = library }
    modifiedNs = status.modifiedNs
    // A pipe may give its first bytes one by one.
    while rawEnd < FileMagic.length, !isRawAtEnd {
      let held = rawEnd
      let count = LogFile.retrying { Glibc.read(descriptor, memory.baseAddress! + held, memory.count - held) }
      if count < 0 {
        let code = errno
        isCompressed = false
        throw ReadError(message: "cannot read: \(systemMessage(code))")
      }
      isRawAtEnd = count == 0
      rawEnd += count
    }
    let start = UnsafeRawBufferPointer(rebasing: memory[..<rawEnd])
    isCompressed = FileMagic.isGzip(start)
    if let refusal = FileMagic.refusal(of: start) { throw refusal }
    if isCompressed { inflater = Inflater(by: self.library) }
    bytesRead = Int64(rawEnd)
    if isFile { try rewind() }
  }

  deinit {
    raw.deallocate()
    if ownsDescriptor && descriptor >= 0 { close(descriptor) }
  }

  /// Fills `buffer` as far as it goes; 0 at the end.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(ReadError) -> Int {
    var given = 0
    while given < buffer.count, !isAtEnd {
      let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[given...])
      let count: Int
      do throws(ReadError) {
        if let failure { throw failure }
        count = inflater == nil ? try readPlain(into: rest) : try readInflated(into: rest)
      } catch {
        // What came before the error is good: it is given first, and the error with the next call.
        failure = error
        if given == 0 { throw error }
        return given
      }
      if count == 0 { isAtEnd = true }
      given += count
      position += Int64(count)
      // A pipe gives little at a time: what is there is worth handing on.
      if identity == nil && given > 0 { break }
    }
    return given
  }

  /// As `read`, with a part of the checksum left to who gets the bytes: it is to be computed before they are written over.
  func readUnchecked(
    into buffer: UnsafeMutableRawBufferPointer
  ) throws(ReadError) -> (count: Int, unchecked: MemberChecksum.Stretch?) {
    guard let inflater else { return (try read(into: buffer), nil) }
    inflater.checksum.holdsBack = true
    defer { inflater.checksum.holdsBack = false }
    let count = try read(into: buffer)
    return (count, inflater.checksum.handOut())
  }

  private func readPlain(into buffer: UnsafeMutableRawBufferPointer) throws(ReadError) -> Int {
    if rawStart < rawEnd {
      let count = min(buffer.count, rawEnd - rawStart)
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[rawStart..<rawStart + count]))
      rawStart += count
      return count
    }
    if isRawAtEnd { return 0 }
    let count = LogFile.retrying { Glibc.read(descriptor, buffer.baseAddress!, buffer.count) }
    guard count >= 0 else {
      throw ReadError(message: "cannot read at byte \(position): \(systemMessage(errno))")
    }
    bytesRead += Int64(count)
    return count
  }

  private func readInflated(into buffer: UnsafeMutableRawBufferPointer) throws(ReadError) -> Int {
    guard let inflater else { return 0 }
    while true {
      let input = UnsafeRawBufferPointer(rebasing: raw[rawStart..<rawEnd])
      let (taken, given): (Int, Int)
      do throws(ReadError) { (taken, given) = try inflater.inflate(input, into: buffer) } catch {
        if library == .zlib { throw error }
        return try readOnByZlib(into: buffer)
      }
      rawStart += taken
      if given > 0 {
        try refuseBomb(inflater)
        return given
      }
      // Nothing taken, nothing given: behind the last member there is something else.
      if taken == 0 && !input.isEmpty { return 0 }
      if rawStart < rawEnd { continue }
      if isRawAtEnd {
        return library != .zlib && inflater.end == .incomplete ? try readOnByZlib(into: buffer) : 0
      }
      let count = LogFile.retrying { Glibc.read(descriptor, raw.baseAddress!, raw.count) }
      guard count >= 0 else {
        throw ReadError(message: "cannot read at byte \(inflater.bytesIn): \(systemMessage(errno))")
      }
      isRawAtEnd = count == 0
      (rawStart, rawEnd) = (0, count)
      bytesRead += Int64(count)
    }
  }

  /// What a file that is damaged or cut still has to give, and what is said of it, zlib alone decides: it is read again up
  /// to where it stands, and on from there.
  private func readOnByZlib(into buffer: UnsafeMutableRawBufferPointer) throws(ReadError) -> Int {
    let place = position
    library = .zlib
    try rewind()
    // Damage may be noticed later by others than by zlib: what was given out stays given out.
    defer { position = place }
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: LogFile.rawSize, alignment: 16)
    defer { memory.deallocate() }
    while position < place {
      let wanted = Int(min(Int64(memory.count), place - position))
      if try read(into: UnsafeMutableRawBufferPointer(rebasing: memory[..<wanted])) == 0 { return 0 }
    }
    return try readInflated(into: buffer)
  }

  private func refuseBomb(_ inflater: Inflater) throws(ReadError) {
    guard inflater.bytesOut > limits.unratedInflatedBytes,
      inflater.bytesOut / limits.maxInflationRatio > inflater.bytesIn
    else { return }
    throw ReadError(
      message: """
        gives more than \(limits.maxInflationRatio) times its compressed size at byte \(inflater.bytesIn): \
        not read further; if this is a real log, decompress it first
        """)
  }

  /// How a gzip file stands once it was read to its end.
  var compressionEnd: Inflater.End? { inflater?.end }

  /// It was compressed, and its data came to an end: nothing can follow.
  var hasEnded: Bool { compressionEnd.map { $0 != .incomplete } ?? false }

  /// Back to the first byte. Not for streams.
  func rewind() throws(ReadError) {
    guard lseek(descriptor, 0, SEEK_SET) == 0 else {
      throw ReadError(message: "cannot seek: \(systemMessage(errno))")
    }
    if inflater != nil { inflater = Inflater(by: library) }
    (rawStart, rawEnd, isRawAtEnd, isAtEnd, failure) = (0, 0, false, false, nil)
    (position, bytesRead) = (0, 0)
  }

  /// On to `position` of a plain file without reading what is before.
  func seek(to position: Int64) throws(ReadError) {
    precondition(inflater == nil && identity != nil)
    guard lseek(descriptor, off_t(position), SEEK_SET) == off_t(position) else {
      throw ReadError(message: "cannot seek to byte \(position): \(systemMessage(errno))")
    }
    (rawStart, rawEnd, isRawAtEnd, isAtEnd, failure) = (0, 0, false, false, nil)
    self.position = position
    bytesRead = position
  }

  /// Bytes at a place of the file as it lies on disk, without moving on; fewer at its end.
  func peek(_ count: Int, at offset: Int64) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      while filled < count {
        let got = LogFile.retrying {
          pread(descriptor, buffer.baseAddress! + filled, count - filled, off_t(offset + Int64(filled)))
        }
        if got <= 0 { break }
        filled += got
      }
    }
  }

  /// What is compressed or encrypted in a way that is not known may well hold no newline, and is no line that waits for its end. NULs
  /// at its beginning are a hole.
  var beginsWithoutText: Bool {
    guard identity != nil, !isCompressed else { return false }
    return peek(FileMagic.sampled, at: 0).drop { $0 == 0 }.contains { FileMagic.isNoText($0) }
  }

  private static func retrying(_ call: () -> Int) -> Int {
    while true {
      let result = call()
      if result >= 0 || errno != EINTR { return result }
      // A person who ends the program does not want to wait for a silent pipe.
      if StopRequest.signal != nil { return 0 }
    }
  }
}
