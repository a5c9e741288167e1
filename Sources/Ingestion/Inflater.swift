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

  private var stream = z_stream()
  private var isBetweenMembers = false
  private var isOver = false
  private var garbageAt: Int64?
  /// Compressed bytes taken in.
  private(set) var bytesIn: Int64 = 0
  /// Decompressed bytes given out.
  private(set) var bytesOut: Int64 = 0

  /// 15: the largest window there is; 16: a gzip header and trailer, whose checksum and length zlib checks.
  private static let gzipWindow: Int32 = 15 + 16

  init() {
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
    while taken < input.count, given < output.count, !isOver {
      if isBetweenMembers {
        switch nextMember(input[taken], at: bytesIn) {
        case .begins: break
        case .padding:
          taken += 1
          bytesIn += 1
          continue
        case .garbage:
          isOver = true
          continue
        }
      }
      // In bounds: zlib is told what is left of both buffers. It does not write to its input.
      stream.next_in = UnsafeMutablePointer(
        mutating: input.baseAddress!.advanced(by: taken).assumingMemoryBound(to: UInt8.self))
      stream.avail_in = UInt32(clamping: input.count - taken)
      stream.next_out = output.baseAddress!.advanced(by: given).assumingMemoryBound(to: UInt8.self)
      stream.avail_out = UInt32(clamping: output.count - given)
      let (offered, room) = (stream.avail_in, stream.avail_out)
      let status = CZlib.inflate(&stream, Z_NO_FLUSH)
      let (used, made) = (Int(offered - stream.avail_in), Int(room - stream.avail_out))
      taken += used
      given += made
      bytesIn += Int64(used)
      bytesOut += Int64(made)
      switch status {
      case Z_STREAM_END:
        isBetweenMembers = true
        inflateReset(&stream)
      case Z_OK, Z_BUF_ERROR:
        if used == 0 && made == 0 { return (taken, given) }
      default:
        isOver = true
        let reason = stream.msg.map { String(cString: $0) } ?? "error \(status)"
        // The member's data is out already when its checksum turns out wrong: give it, fail at the next call.
        failure = ReadError(message: "damaged gzip data before byte \(bytesIn): \(reason)")
      }
    }
    if given == 0, let failure { throw failure }
    return (taken, given)
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
      isBetweenMembers = false
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
    return isBetweenMembers ? .complete : .incomplete
  }
}
