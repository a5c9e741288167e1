internal import Glibc

/// Cuts what is read of a file into pieces of whole lines.
///
/// Nothing that reading depends on comes from parsing, so pieces can be read while earlier ones are still being parsed.
final class PieceReader {
  private let file: LogFile
  private let limits: IngestLimits
  private let isFinalInput: Bool
  private let pieceBytes: Int
  /// What is known of the bytes read; nil where the pieces are taken in later.
  private var prefix: ConsumedPrefix?
  /// The beginning of a line that goes on in the next piece.
  private let rest: UnsafeMutableRawBufferPointer
  private var restCount = 0
  private var mode = Mode.lines
  private var nextIndex = 0

  private enum Mode { case lines, overlong, hole }

  /// Bytes of an unfinished line behind the last piece.
  private(set) var pending = 0
  private(set) var error: ReadError?
  /// A signal ended the reading.
  private(set) var wasStopped = false

  /// The first piece is small: how its lines are read is what those that are parsed ahead begin with.
  private static let firstBytes = 64 << 10
  /// A file is cut into at least so many pieces, if they are worth it.
  private static let fewestPieces: Int64 = 16
  private static let leastPieceBytes = 128 << 10

  /// - Parameter prefix: what is known of the bytes before; nil leaves taking in the bytes to who gets the pieces.
  init(_ file: LogFile, _ limits: IngestLimits, isFinalInput: Bool, prefix: ConsumedPrefix?) {
    self.file = file
    self.limits = limits
    self.isFinalInput = isFinalInput
    self.prefix = prefix
    // By what the file is alone, so that batches are the same however many threads there are.
    pieceBytes = min(
      limits.chunkBytes, max(PieceReader.leastPieceBytes, Int(clamping: file.size / PieceReader.fewestPieces)))
    rest = .allocate(byteCount: PieceReader.roomBytes(limits), alignment: 16)
  }

  deinit { rest.deallocate() }

  /// The longest beginning of a line that is kept: one that turns out too long with the last bytes read.
  static func roomBytes(_ limits: IngestLimits) -> Int { limits.maxLineBytes + 1 + limits.chunkBytes }

  /// One piece is likely to be all.
  var isSmall: Bool { !file.isCompressed && file.size - file.position <= PieceReader.firstBytes }

  /// Fills the next piece. Not to be called again after the last one.
  func read(_ piece: Piece) {
    piece.index = nextIndex
    nextIndex += 1
    (piece.isLast, piece.isFinal) = (false, false)
    var count = 0
    if StopRequest.signal != nil {
      wasStopped = true
      piece.isLast = true
    } else {
      let wanted = piece.index == 0 ? min(pieceBytes, PieceReader.firstBytes) : pieceBytes
      do throws(ReadError) {
        (count, piece.unchecked) = try file.readUnchecked(
          into: UnsafeMutableRawBufferPointer(rebasing: piece.chunk[..<wanted]))
        piece.isLast = count == 0
        piece.isFinal = piece.isLast && isFinal
      } catch {
        self.error = error
        piece.isLast = true
      }
    }
    let held = UnsafeRawBufferPointer(rebasing: rest[..<restCount])
    cut(piece.join(held, count), piece)
    if !piece.holdsLines { piece.check() }
    piece.bytesRead = file.bytesRead
    guard prefix != nil else { return }
    prefix!.consume(piece)
    piece.prefix = prefix
  }

  /// Nothing can follow: the last line is whole although it has no newline.
  private var isFinal: Bool { isFinalInput || file.hasEnded }

  private func cut(_ data: UnsafeRawBufferPointer, _ piece: Piece) {
    var end = data.count
    switch mode {
    case .lines:
      piece.content = .lines
      if !piece.isFinal { end = data.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0 }
    case .overlong:
      var isEnd = piece.isFinal
      if let newline = data.firstLineEnd {
        (end, isEnd) = (newline, true)
        mode = .lines
      }
      piece.content = .overlong(isEnd: isEnd)
    case .hole:
      piece.content = .hole
      end = data.firstIndex { $0 != 0 } ?? data.count
      if end < data.count { mode = .lines }
    }
    if piece.isLast, !piece.holdsLines {
      // One more, of lines, is the last.
      (piece.isLast, piece.isFinal) = (false, false)
      mode = .lines
    }
    piece.bytes = UnsafeRawBufferPointer(rebasing: data[..<end])
    restCount = data.count - end
    if piece.isLast { pending = restCount }
    if restCount > 0 { rest.copyMemory(from: UnsafeRawBufferPointer(rebasing: data[end...])) }
    // A carriage return is not counted.
    guard mode == .lines, restCount > limits.maxLineBytes + 1 else { return }
    let held = rest[..<restCount]
    if held.firstIndex(of: 0x0A) == nil { mode = held.allSatisfy { $0 == 0 } ? .hole : .overlong }
  }
}

extension UnsafeRawBufferPointer {
  /// Behind the first newline.
  var firstLineEnd: Int? {
    guard let base = baseAddress, let found = memchr(base, 0x0A, count) else { return nil }
    return UnsafeRawPointer(found) - base + 1
  }
}

extension ConsumedPrefix {
  mutating func consume(_ piece: Piece) {
    switch piece.content {
    case .lines: consume(piece.bytes)
    case .overlong(let isEnd): consume(piece.bytes, isInsideLine: !isEnd)
    case .hole: consume(piece.bytes, isInsideLine: true)
    }
  }
}
