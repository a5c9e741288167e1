internal import CISAL
internal import CZlib

/// Decompresses gzip as it comes in: several members, any chunking, bounded memory.
///
/// What was decompressed before an error stays valid; the error says at which byte of the compressed file it stands.
final class Inflater {
  enum End: Equatable {
    /// The last member is whole; nothing but zero padding follows.
    case complete
    /// The input ends inside a member: still being written, or cut.
    case incomplete
    /// The last member is whole, but what follows is no gzip.
    case trailingGarbage(at: Int64)
  }

  /// A member's header is read by zlib, which says where the data begins; they are inflated bare, because the checksum takes
  /// time that another thread may have; the trailer is compared here.
  private enum Part { case header, data, trailer, nothing }

  private var stream = z_stream()
  /// What inflates the data, if it is not zlib.
  private let isal: ISALStream?
  private var part = Part.header
  /// All the room was taken: there may be more to give before more input is needed.
  private var mayHoldMore = false
  private var isOver = false
  private var garbageAt: Int64?
  /// Of the member so far; it can be held back.
  var checksum = MemberChecksum()
  private var memberBytes: UInt32 = 0
  /// The bytes of the trailer so far, the first one lowest.
  private var trailer: UInt64 = 0
  private var trailerCount = 0
  /// Compressed bytes taken in.
  private(set) var bytesIn: Int64 = 0
  /// Decompressed bytes given out.
  private(set) var bytesOut: Int64 = 0

  /// 15: the largest window there is; 16: a gzip header before the data; less than 0: nothing but the data.
  private static let gzipWindow: Int32 = 15 + 16
  private static let bareWindow: Int32 = -15
  /// In what zlib says of its place: a block ended, or the header did.
  private static let boundary: Int32 = 128

  init(by library: InflateLibrary = .zlib) {
    isal = library == .isal ? ISALStream() : nil
    let status = inflateInit2_(
      &stream, Inflater.gzipWindow, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    precondition(status == Z_OK, "zlib of another major version")
  }

  deinit { inflateEnd(&stream) }

  /// Moves bytes from the front of `input` to `output`; how many were taken and given.
  ///
  /// Gives 0 while taking all of `input` when more input is needed; takes 0 and gives 0 after the end of the data.
  func inflate(
    _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) throws(ReadError) -> (taken: Int, given: Int) {
    var taken = 0
    var given = 0
    while taken < input.count || mayHoldMore, !isOver {
      switch part {
      case .trailer:
        bytesIn += 1
        takeTrailer(input[taken])
        taken += 1
        continue
      case .nothing where given < output.count:
        switch nextMember(input[taken], at: bytesIn) {
        case .begins: break
        case .padding:
          taken += 1
          bytesIn += 1
        case .garbage:
          isOver = true
        }
        continue
      case .header, .data, .nothing: break
      }
      guard given < output.count else { break }
      let rest = UnsafeRawBufferPointer(rebasing: input[taken...])
      let room = UnsafeMutableRawBufferPointer(rebasing: output[given...])
      let before = part
      let moved = part == .data && isal != nil ? byISAL(rest, into: room) : byZlib(rest, into: room)
      taken += moved.taken
      given += moved.given
      if moved.taken == 0 && moved.given == 0 && part == before { break }
    }
    if given == 0, let failure { throw failure }
    return (taken, given)
  }

  private func byZlib(
    _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) -> (taken: Int, given: Int) {
    // In bounds: zlib is told what is left of both buffers. It does not write to its input.
    stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
    stream.avail_in = UInt32(clamping: input.count)
    stream.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
    stream.avail_out = UInt32(clamping: output.count)
    let (offered, room) = (stream.avail_in, stream.avail_out)
    let status = CZlib.inflate(&stream, part == .header ? Z_BLOCK : Z_NO_FLUSH)
    let (taken, given) = (Int(offered - stream.avail_in), Int(room - stream.avail_out))
    account(taken, given, output)
    switch status {
    case Z_STREAM_END: endData()
    case Z_OK where part == .header && stream.data_type & Inflater.boundary != 0:
      part = .data
      if let isal { isal.begin() } else { inflateReset2(&stream, Inflater.bareWindow) }
    case Z_OK, Z_BUF_ERROR: break
    default: fail(stream.msg.map { String(cString: $0) } ?? "error \(status)")
    }
    return (taken, given)
  }

  private func byISAL(
    _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) -> (taken: Int, given: Int) {
    guard let step = isal?.inflate(input, into: output) else { return (0, 0) }
    account(Int(step.taken), Int(step.given), output)
    if step.is_damaged != 0 {
      fail("invalid deflate data")
    } else if step.has_ended != 0 {
      endData()
      bytesIn -= Int64(step.behind_count)
      for index in 0..<Int(step.behind_count) where part == .trailer && !isOver {
        bytesIn += 1
        takeTrailer(UInt8(truncatingIfNeeded: step.behind >> UInt64(8 * index)))
      }
    }
    return (Int(step.taken), Int(step.given))
  }

  private func account(_ taken: Int, _ given: Int, _ output: UnsafeMutableRawBufferPointer) {
    bytesIn += Int64(taken)
    bytesOut += Int64(given)
    memberBytes &+= UInt32(truncatingIfNeeded: given)
    checksum.take(UnsafeRawBufferPointer(rebasing: output[..<given]))
    mayHoldMore = part == .data && given == output.count
  }

  private func endData() {
    part = .trailer
    mayHoldMore = false
  }

  /// Four bytes of checksum, four of the length; one that is wrong ends the reading right behind it, as in zlib.
  private func takeTrailer(_ byte: UInt8) {
    trailer |= UInt64(byte) << UInt64(8 * trailerCount)
    trailerCount += 1
    if trailerCount == 4, UInt32(trailer) != checksum.value() { return fail("incorrect data check") }
    guard trailerCount == 8 else { return }
    if UInt32(trailer >> 32) != memberBytes { return fail("incorrect length check") }
    part = .nothing
    inflateReset2(&stream, Inflater.gzipWindow)
    checksum.reset()
    (memberBytes, trailer, trailerCount) = (0, 0, 0)
  }

  /// The member's data is out already when its checksum turns out wrong: it is given, and the next call fails.
  private func fail(_ reason: String) {
    isOver = true
    mayHoldMore = false
    failure = ReadError(message: "damaged gzip data before byte \(bytesIn): \(reason)")
  }

  private var failure: ReadError?

  private enum Next {
    case begins
    case padding
    case garbage
  }

  private func nextMember(_ byte: UInt8, at position: Int64) -> Next {
    switch byte {
    case 0x1F:
      part = .header
      return .begins
    case 0:
      // Tapes and some writers fill up the last block.
      return .padding
    default:
      garbageAt = position
      return .garbage
    }
  }

  /// How the data stands after all input was given.
  var end: End {
    if let garbageAt { return .trailingGarbage(at: garbageAt) }
    return part == .nothing ? .complete : .incomplete
  }
}
