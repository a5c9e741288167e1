internal import Dispatch

/// Reads a file on a thread of its own, a few pieces ahead of who asks: so that one core inflates while another parses.
///
///     let ahead = ReadAhead(file)
///     while try ahead.read(into: buffer) > 0 {}
///     ahead.stop()
///
/// The file belongs to this reader until `stop`, which must be called. Only for files: a pipe may keep the thread waiting
/// for ever.
///
/// `@unchecked Sendable`: `file` is touched by the reading thread alone until that has ended; all else that both threads
/// see goes through the two queues.
final class ReadAhead: @unchecked Sendable {
  private struct Piece: @unchecked Sendable {  // one thread at a time has it
    let memory: UnsafeMutableRawBufferPointer
    /// Bytes read; 0 at the end.
    var count = 0
    /// As `LogFile.bytesRead` after them.
    var bytesRead: Int64 = 0
    var error: ReadError?
  }

  private static let pieces = 3

  private let file: LogFile
  private let filled = HandOver<Piece>(capacity: ReadAhead.pieces)
  private let empty = HandOver<Piece>(capacity: ReadAhead.pieces)
  private let ended = DispatchSemaphore(value: 0)
  private let memory: UnsafeMutableRawBufferPointer
  private var piece: Piece?
  private var given = 0
  /// Bytes read of the file as it lies on disk, as far as they were given out.
  private(set) var bytesRead: Int64

  /// - Parameter pieceBytes: bytes read at a time. Where the reader asks for as many, both read in the same steps, and what
  ///   a damaged file gives before its error is the same.
  init(_ file: LogFile, pieceBytes: Int) {
    self.file = file
    bytesRead = file.bytesRead
    memory = .allocate(byteCount: pieceBytes * ReadAhead.pieces, alignment: 64)
    for index in 0..<ReadAhead.pieces {
      let start = index * pieceBytes
      _ = empty.send(Piece(memory: UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + pieceBytes])))
    }
    DispatchQueue(label: "gatewatch.reader").async { [self] in
      fill()
      ended.signal()
    }
  }

  deinit { memory.deallocate() }

  private func fill() {
    while var piece = empty.receive() {
      do throws(ReadError) { piece.count = try file.read(into: piece.memory) } catch {
        piece.count = 0
        piece.error = error
      }
      piece.bytesRead = file.bytesRead
      let isLast = piece.count == 0
      if !filled.send(piece) || isLast { break }
    }
    filled.close()
  }

  /// As `LogFile.read`; fewer bytes than there is room for do not mean that the end is near.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(ReadError) -> Int {
    if piece == nil {
      piece = filled.receive()
      given = 0
      if let piece { bytesRead = piece.bytesRead }
    }
    guard let piece else { return 0 }
    if let error = piece.error { throw error }
    // In bounds: no more than the buffer has room for and the piece has left.
    let count = min(buffer.count, piece.count - given)
    buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: piece.memory[given..<given + count]))
    given += count
    // The last piece is empty and stays, so that the end is the end however often it is asked for.
    if given == piece.count && piece.count > 0 {
      _ = empty.send(piece)
      self.piece = nil
    }
    return count
  }

  /// Ends the reading; the file may be used again.
  func stop() {
    empty.close()
    filled.close()
    ended.wait()
  }
}
