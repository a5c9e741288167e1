internal import AccessLogs
internal import FlowStore
internal import Flows

/// Hands the pieces of a file over to the store, in their order, with the reading position behind each.
final class PieceKeeper {
  private var state: LogState
  private let file: LogFile
  private let writer: StoreWriter
  private let options: IngestOptions
  private var tally = Tally()
  /// Of all bytes so far; that of `state` stands at the end of a line.
  private var prefix: ConsumedPrefix
  /// The line that is longer than any that is parsed: how it begins, and its bytes so far.
  private var overlong: (head: [UInt8], length: Int) = ([], 0)
  /// NUL bytes without a line: where they begin, and how many there are so far.
  private var hole: (place: Int64, length: Int) = (0, 0)
  /// One came to its end, and is yet to be counted.
  private var hasHole = false
  private var warnings: [String] = []
  private var hasFailed = false
  /// Called after each piece with the bytes read of the file as it lies on disk.
  var onPiece: ((Int64) -> Void)?

  init(_ state: LogState, _ file: LogFile, _ writer: StoreWriter, _ options: IngestOptions) {
    self.state = state
    self.file = file
    self.writer = writer
    self.options = options
    prefix = state.prefix
  }

  /// Takes the next piece of the log. False when the store takes no more.
  ///
  /// - Parameters:
  ///   - parser: writes down a line that is too long.
  ///   - carry: the beginnings of records that go on behind the piece.
  func keep(_ piece: Piece, _ parser: LineParser, carry: [UInt8]) -> Bool {
    defer { onPiece?(piece.bytesRead) }
    if let known = piece.prefix { prefix = known } else { prefix.consume(piece) }
    switch piece.content {
    case .hole:
      if hole.length == 0 { hole.place = state.record.position }
      hole.length += piece.bytes.count
      state.prefix = prefix
      state.record.position += Int64(piece.bytes.count)
      return true
    case .overlong(let isEnd):
      endHole()
      if overlong.length == 0 { overlong.head = Array(piece.bytes.prefix(RejectedLine.maxText)) }
      overlong.length += piece.bytes.count
      // Its bytes count as consumed only when its end was seen: a run that stops inside begins with the whole line again.
      guard isEnd else { return true }
      piece.reject(overlong.head, with: parser)
      defer { overlong = ([], 0) }
      return store(piece, bytes: overlong.length, carry)
    case .lines:
      endHole()
      return store(piece, bytes: piece.bytes.count, carry)
    }
  }

  private func store(_ piece: Piece, bytes: Int, _ carry: [UInt8]) -> Bool {
    piece.shift(by: state.record.lines)
    let begin = state.record.position
    state.prefix = prefix
    state.record.position += Int64(bytes)
    state.rest(lines: state.record.lines + piece.lines, carry: carry)
    let parts = piece.parts[..<piece.partCount].filter { !$0.batch.isEmpty }
    if begin == 0 { parts.first?.batch.noteLeadingHole(piece.bytes) }
    if hasHole, let first = parts.first {
      first.batch.skip(FlowBatch.hole)
      hasHole = false
    }
    for (index, part) in parts.enumerated() {
      state.take(part.batch, nowMs: options.nowMs())
      tally.add(part.batch)
      var parcel = StoreWriter.Parcel(
        batch: part.batch, firstLine: part.firstLine, position: begin + part.position, ordinal: state.ordinal,
        record: state.record)
      parcel.parser = piece.parser
      // Only behind all of the piece is it known what to go on with.
      parcel.isPlace = index == parts.count - 1
      if parcel.isPlace { parcel.prefix = state.prefix }
      guard writer.take(parcel) else {
        hasFailed = true
        return false
      }
    }
    return true
  }

  /// A writer that kept its place while the file was cut leaves a hole before its next line: no line at all.
  private func endHole() {
    guard hole.length > 0 else { return }
    warnings.append(LogReader.Result.warning(ofHole: hole.length, at: hole.place))
    hasHole = hole.place > 0
    hole.length = 0
  }

  /// No line follows that it could be counted with. False when the store takes no more.
  private func storeHole() -> Bool {
    let batch = FlowBatch(capacity: 1)
    batch.skip(FlowBatch.hole)
    hasHole = false
    state.take(batch, nowMs: options.nowMs())
    tally.add(batch)
    return writer.take(StoreWriter.Parcel(batch: batch, ordinal: state.ordinal, record: state.record, isPlace: false))
  }

  /// The end of a file: what is said of it, and the state to begin with next time.
  func finish(_ log: KnownLog, _ reader: PieceReader, carry: [UInt8], _ tally: inout Tally) -> LogReader.Result {
    endHole()
    if hasHole, !hasFailed { hasFailed = !storeHole() }
    var result = LogReader.Result(
      pending: Int64(reader.pending + overlong.length), warnings: warnings, error: reader.error,
      wasStopped: reader.wasStopped || hasFailed)
    result.noteEnd(of: file)
    state.end(file, &result, nowMs: options.nowMs())
    state.rest(lines: state.record.lines, carry: carry)
    if state.record != log.record || log.record.id == 0 {
      state.record.lastReadAtMs = options.nowMs()
      if state.record.firstReadAtMs == nil { state.record.firstReadAtMs = options.nowMs() }
      let parcel = StoreWriter.Parcel(
        ordinal: state.ordinal, record: state.record, prefix: state.prefix, isEndOfFile: true)
      if hasFailed || !writer.take(parcel) { result.wasStopped = true }
    }
    log.record = state.record
    log.prefix = state.prefix
    tally = self.tally
    return result
  }
}
