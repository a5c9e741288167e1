internal import AccessLogs
internal import Flows
internal import Glibc

/// A stretch of a log on its way from the file into the store, with what was read in it.
///
///     slack | room for the beginning of its first line | bytes read | slack
///
/// `@unchecked Sendable`: one hand at a time has it.
final class Piece: @unchecked Sendable {
  enum Content {
    /// Whole lines; in the last piece perhaps one without its newline.
    case lines
    /// A part of a line that is longer than any that is parsed.
    case overlong(isEnd: Bool)
    /// NUL bytes where no line is.
    case hole
  }

  enum Stage { case filled, parsing, parsed }

  /// What was read of its lines, and where it begins: a line counted from the piece's first one as 1, and a byte of the piece.
  struct Part {
    var batch: FlowBatch
    var firstLine: Int64 = 1
    var position: Int64 = 0
  }

  private let memory: UnsafeMutableRawBufferPointer
  /// Where the file is read to.
  let chunk: UnsafeMutableRawBufferPointer
  private let batchRows: Int

  // Set by who reads the file.
  /// Which hand that is.
  var reader = 0
  var content = Content.lines
  var bytes: UnsafeRawBufferPointer
  /// Which piece of the log it is.
  var index = 0
  var isLast = false
  /// Nothing can follow: a last line is whole although it has no newline.
  var isFinal = false
  /// Of the file as it lies on disk, behind the piece.
  var bytesRead: Int64 = 0
  /// What is known of the bytes up to the end of the piece, where who reads the file takes them in.
  var prefix: ConsumedPrefix?

  /// What of a checksum was left to who parses the piece.
  var unchecked: MemberChecksum.Stretch?

  // Set by who parses it.
  var stage = Stage.filled
  /// How often what was parsed ahead had turned out to be in vain.
  var round = 0
  var parser = 0
  private(set) var parts: [Part] = []
  private(set) var partCount = 0
  private(set) var lines: Int64 = 0
  private(set) var entry = LineParser.Standing()
  private(set) var exit = LineParser.Standing()
  private var leansOnTime = false

  /// Readable bytes before and behind the bytes of a piece (see `LogReader.slack`).
  private static let slack = LogReader.slack

  /// - Parameters:
  ///   - chunkBytes: bytes read at a time.
  ///   - roomBytes: the longest beginning of a line before them.
  init(chunkBytes: Int, roomBytes: Int, batchRows: Int) {
    let size = Piece.slack + roomBytes + chunkBytes + Piece.slack
    memory = .allocate(byteCount: size, alignment: 64)
    // Pages that no byte is read to are never touched.
    for edge in [0..<Piece.slack, size - Piece.slack..<size] {
      UnsafeMutableRawBufferPointer(rebasing: memory[edge]).initializeMemory(as: UInt8.self, repeating: 0)
    }
    chunk = UnsafeMutableRawBufferPointer(rebasing: memory[Piece.slack + roomBytes..<size - Piece.slack])
    bytes = UnsafeRawBufferPointer(rebasing: chunk[..<0])
    self.batchRows = batchRows
  }

  deinit { memory.deallocate() }

  var holdsLines: Bool { if case .lines = content { true } else { false } }

  /// Puts the beginning of a line in front of what was read, and returns both.
  func join(_ rest: UnsafeRawBufferPointer, _ count: Int) -> UnsafeRawBufferPointer {
    let start = chunk.baseAddress! - rest.count
    precondition(start >= memory.baseAddress! + Piece.slack, "an unfinished line longer than the room for it")
    // In bounds: what lies between the slack and the chunk is room.
    if rest.count > 0 { start.copyMemory(from: rest.baseAddress!, byteCount: rest.count) }
    return UnsafeRawBufferPointer(start: start, count: rest.count + count)
  }

  /// Reads the lines, as if they were the first ones of the log.
  ///
  /// - Parameter entry: how the lines before leave a parser, or probably do.
  func parse(with parser: LineParser, from entry: LineParser.Standing) {
    check()
    reset()
    self.entry = entry
    parser.enter(entry, nextLine: 1)
    var position = 0
    while true {
      let part = nextPart(parser.nextLine, Int64(position))
      let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
      let consumed = parser.parse(rest, isFinal: isFinal, into: part.batch)
      precondition(consumed >= 0 && consumed <= rest.count, "the parser consumed what it was not given")
      position += consumed
      // The parser stops before a whole line when the batch is full, or its dictionaries are.
      if position == bytes.count { break }
      precondition(!part.batch.isEmpty, "the parser reads no line into an empty batch")
    }
    lines = parser.nextLine - 1
    exit = parser.standing
    // Where no flow is, the time is handed on.
    leansOnTime = parser.leansOnTime || !parts[..<partCount].contains { $0.batch.count > 0 }
  }

  /// Does what was left to do of a checksum.
  func check() {
    unchecked?.compute()
    unchecked = nil
  }

  /// Counts a line of which only the beginning is kept.
  func reject(_ head: [UInt8], with parser: LineParser) {
    reset()
    parser.nextLine = 1
    let part = nextPart(1, 0)
    head.withUnsafeBytes { parser.rejectOverlong($0, into: part.batch) }
    lines = 1
  }

  private func nextPart(_ firstLine: Int64, _ position: Int64) -> Part {
    if partCount == parts.count { parts.append(Part(batch: FlowBatch(capacity: batchRows))) }
    parts[partCount].firstLine = firstLine
    parts[partCount].position = position
    partCount += 1
    return parts[partCount - 1]
  }

  func reset() {
    for part in parts[..<partCount] { part.batch.reset() }
    partCount = 0
    lines = 0
  }

  /// Forgets the file.
  func rest() {
    reset()
    bytes = UnsafeRawBufferPointer(rebasing: chunk[..<0])
    (prefix, unchecked) = (nil, nil)
    (entry, exit) = (LineParser.Standing(), LineParser.Standing())
  }

  /// Whether its lines would be read in the same way where the lines before really end.
  func isRight(after standing: LineParser.Standing) -> Bool {
    entry.leads(as: standing, leansOnTime: leansOnTime)
  }

  /// Numbers its lines as those of the log.
  /// - Parameter lines: how many there are before it.
  func shift(by lines: Int64) {
    for index in 0..<partCount {
      let batch = parts[index].batch
      parts[index].firstLine += lines
      for row in 0..<batch.count { batch.rows[row].line += lines }
      for rejected in batch.rejected.indices { batch.rejected[rejected].line += lines }
    }
  }
}
