internal import AccessLogs
internal import FlowStore
internal import Flows
internal import Glibc

/// Pumps the bytes of one input after another through a parser, as they come, and hands the batches to the writer: for pipes,
/// and for lines that are only read if they are new. What lies in files is read by a `PieceCrew`.
///
///       slack | unfinished line | chunk read behind it           | slack
///             ^start            ^                            ^end
final class LogReader {
  /// How the reading of one log ended.
  struct Result {
    /// Bytes of a last line that is not finished yet.
    var pending: Int64 = 0
    var warnings: [String] = []
    var error: ReadError?
    /// A signal, or a store that failed.
    var wasStopped = false

    /// What is left of it, and why.
    func unread(of file: LogFile) -> UnreadRest? {
      // Who follows a pipe ends that by a signal; there is nothing behind it that could be read.
      if wasStopped { return file.identity == nil ? nil : .stopped }
      if error != nil { return .error }
      return switch file.compressionEnd {
      case .incomplete: .cut
      case .trailingGarbage: .garbage
      case .complete, nil: nil
      }
    }

    /// A writer that kept its place while the file was cut leaves NUL bytes before its next line.
    static func warning(ofHole length: Int, at place: Int64) -> String {
      "\(length) NUL bytes from byte \(place) on hold no lines (a hole left by a cut?): passed over"
    }

    mutating func noteEnd(of file: LogFile) {
      guard error == nil, !wasStopped else { return }
      switch file.compressionEnd {
      case .incomplete:
        warnings.append("gzip data ends in the middle: read as far as it goes, and read on when the file has grown")
      case .trailingGarbage(let place):
        warnings.append("no gzip data from byte \(place) on: that part was not read")
      case .complete, nil:
        break
      }
    }
  }

  private let parser: LineParser
  private let writer: StoreWriter
  private let limits: IngestLimits
  private let options: IngestOptions
  private let overlap: OverlapFilter?
  /// Called after each chunk with the bytes read of the file as it lies on disk.
  var onChunk: ((Int64) -> Void)?

  private let memory: UnsafeMutableRawBufferPointer
  private let buffer: UnsafeMutableRawBufferPointer
  private var start = 0
  private var end = 0
  private var batch: FlowBatch?
  private var batchFirstLine: Int64 = 0
  private var batchPosition: Int64 = 0
  private var lastSent: Double = 0

  /// The parser loads eight bytes and more at a time, also across the ends of a line: 64 readable bytes lie before and
  /// behind the data.
  static let slack = 64

  init(parser: LineParser, writer: StoreWriter, options: IngestOptions, overlap: OverlapFilter?) {
    self.parser = parser
    self.writer = writer
    self.options = options
    self.overlap = overlap
    limits = options.limits
    let size = limits.chunkBytes + limits.maxLineBytes
    memory = .allocate(byteCount: size + 2 * LogReader.slack, alignment: 64)
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    buffer = UnsafeMutableRawBufferPointer(rebasing: memory[LogReader.slack..<LogReader.slack + size])
  }

  deinit { memory.deallocate() }

  private var unread: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: buffer[start..<end]) }

  /// Reads `file` from where it stands, which is the reading position of `log`, to its end.
  /// - Parameter standing: how the last log left its parser, and how this one does.
  func read(
    _ file: LogFile, as log: KnownLog, prefix: ConsumedPrefix, standing: inout LineParser.Standing, tally: inout Tally
  ) -> Result {
    var result = Result()
    var state = LogState(log: log, prefix: prefix)
    (start, end) = (0, 0)
    writer.begin(isInline: overlap != nil)
    defer {
      writer.end()
      // It would be one too many for the next file, whose batches the writer gives out anew.
      batch = nil
    }
    parser.begin(log: state.context(modifiedNs: file.modifiedNs))
    parser.enter(standing.beginning(carry: parser.carry), nextLine: parser.nextLine)
    defer { standing = parser.standing }
    guard takeBatch(state) else { return Result(wasStopped: true) }
    lastSent = options.seconds()
    do throws(ReadError) {
      try beginOverlap(file, log)
      var isAtEnd = false
      while !isAtEnd && !result.wasStopped {
        isAtEnd = try fill(from: file) == 0
        if StopRequest.signal != nil { result.wasStopped = true }
        let isFinal = isAtEnd && !result.wasStopped && self.isFinal(file)
        if !parse(isFinal: isFinal, &state, &tally) { result.wasStopped = true }
        if !result.wasStopped && end - start > limits.maxLineBytes + 1 {  // a carriage return is not counted
          try readOverlong(file, &state, &tally, &result)
        }
        onChunk?(file.bytesRead)
        // What comes slowly through a pipe is stored every now and then all the same.
        if file.identity == nil, options.seconds() - lastSent >= limits.secondsPerCommit {
          if !send(&state, &tally, isEndOfFile: true) { result.wasStopped = true }
        }
      }
    } catch {
      result.error = error
    }
    result.pending += Int64(end - start)
    result.noteEnd(of: file)
    state.end(file, &result, nowMs: options.nowMs())
    if !finish(log, &state, &tally) { result.wasStopped = true }
    return result
  }

  /// Of a file that grows, the lines before its new ones count, too: what is written once more is another flow. Equal lines carry
  /// equal times, so the last of them suffice.
  private func beginOverlap(_ file: LogFile, _ log: KnownLog) throws(ReadError) {
    guard let overlap else { return }
    overlap.begin(log.record)
    let place = file.position
    guard file.identity != nil, !file.isCompressed, place > 0 else { return }
    let from = max(0, place - Int64(buffer.count))
    try file.rewind()
    try file.advance(to: from, chunkBytes: limits.chunkBytes)
    let count = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(place - from)]))
    let lines = UnsafeRawBufferPointer(rebasing: buffer[..<count])
    // The first one is whole only at the beginning of the file.
    let first = from == 0 ? 0 : lines.firstIndex(of: 0x0A).map { $0 + 1 } ?? count
    overlap.recall(UnsafeRawBufferPointer(rebasing: lines[first...]))
  }

  /// Nothing can follow: the last line is whole although it has no newline.
  private func isFinal(_ file: LogFile) -> Bool {
    options.isFinal || file.identity == nil && !file.isCompressed || file.hasEnded
  }

  // MARK: Chunks

  /// Moves the unfinished line to the front and reads behind it.
  private func fill(from file: LogFile) throws(ReadError) -> Int {
    if start > 0 {
      // In bounds: both ranges lie in the buffer; memmove allows them to overlap.
      memmove(buffer.baseAddress!, buffer.baseAddress! + start, end - start)
      (start, end) = (0, end - start)
    }
    let room = UnsafeMutableRawBufferPointer(
      rebasing: buffer[end..<end + min(limits.chunkBytes, buffer.count - end)])
    let count = try file.read(into: room)
    end += count
    return count
  }

  /// Parses the whole lines in the buffer. False when the writer takes no more.
  private func parse(isFinal: Bool, _ state: inout LogState, _ tally: inout Tally) -> Bool {
    while true {
      guard let batch else { return false }
      let consumed: Int
      if let overlap {
        consumed = overlap.parse(unread, isFinal: isFinal, parser: parser, into: batch)
      } else {
        consumed = parser.parse(unread, isFinal: isFinal, into: batch)
      }
      precondition(consumed >= 0 && consumed <= end - start, "the parser consumed what it was not given")
      if state.record.position == 0 { batch.noteLeadingHole(UnsafeRawBufferPointer(rebasing: unread[..<consumed])) }
      state.advance(over: UnsafeRawBufferPointer(rebasing: unread[..<consumed]))
      start += consumed
      // The parser stops before a whole line when the batch is full, or its dictionaries are.
      let isStopped = start < end && hasWholeLine(isFinal)
      if isStopped || batch.linesRead >= limits.batchRows {
        precondition(!batch.isEmpty, "the parser reads no line into an empty batch")
        if !send(&state, &tally, isEndOfFile: false) { return false }
      }
      if !isStopped { return true }
    }
  }

  private func hasWholeLine(_ isFinal: Bool) -> Bool {
    isFinal || unread.firstLineEnd != nil
  }

  /// A line longer than any that is parsed: its head is kept, the rest streams by. Its bytes count as consumed only when
  /// its end was seen, so that a run that stops inside begins with the whole line again.
  private func readOverlong(
    _ file: LogFile, _ state: inout LogState, _ tally: inout Tally, _ result: inout Result
  ) throws(ReadError) {
    if unread.allSatisfy({ $0 == 0 }) { return try skipHole(file, &state, &result) }
    let head = Array(unread.prefix(RejectedLine.maxText))
    var prefix = state.prefix
    var length: Int64 = 0
    while true {
      let lineEnd = unread.firstLineEnd
      let count = lineEnd ?? unread.count
      prefix.consume(UnsafeRawBufferPointer(rebasing: unread[..<count]), isInsideLine: lineEnd == nil)
      start += count
      length += Int64(count)
      if lineEnd != nil { break }
      (start, end) = (0, 0)
      let got: Int
      do throws(ReadError) { got = try fill(from: file) } catch {
        result.pending = length
        throw error
      }
      if got == 0 || StopRequest.signal != nil {
        guard got == 0, StopRequest.signal == nil, isFinal(file) else {
          result.pending = length
          return
        }
        break
      }
      onChunk?(file.bytesRead)
    }
    guard let batch else { return }
    head.withUnsafeBytes { parser.rejectOverlong($0, into: batch) }
    state.prefix = prefix
    state.record.position += length
  }

  /// A writer that kept its place while the file was cut leaves a hole before its next line: no line at all.
  private func skipHole(_ file: LogFile, _ state: inout LogState, _ result: inout Result) throws(ReadError) {
    let place = state.record.position
    var length = 0
    while true {
      let zeros = unread.firstIndex { $0 != 0 } ?? unread.count
      state.prefix.consume(UnsafeRawBufferPointer(rebasing: unread[..<zeros]), isInsideLine: true)
      state.record.position += Int64(zeros)
      start += zeros
      length += zeros
      if start < end { break }
      (start, end) = (0, 0)
      if try fill(from: file) == 0 || StopRequest.signal != nil { break }
    }
    result.warnings.append(Result.warning(ofHole: length, at: place))
    if place > 0 { batch?.skip(FlowBatch.hole) }
  }

  // MARK: Batches

  private func takeBatch(_ state: LogState) -> Bool {
    if batch == nil { batch = writer.empty?.receive() }
    batchFirstLine = parser.nextLine
    batchPosition = state.record.position
    return batch != nil
  }

  /// Hands the batch over together with the reading position after it, and takes an empty one.
  private func send(_ state: inout LogState, _ tally: inout Tally, isEndOfFile: Bool) -> Bool {
    guard let full = batch else { return false }
    state.rest(lines: parser.nextLine - 1, carry: parser.carry)
    state.take(full, nowMs: options.nowMs())
    tally.add(full)
    batch = nil
    lastSent = options.seconds()
    let parcel = StoreWriter.Parcel(
      batch: full, firstLine: batchFirstLine, position: batchPosition, ordinal: state.ordinal, record: state.record,
      prefix: state.prefix, isEndOfFile: isEndOfFile)
    return writer.send(parcel) && takeBatch(state)
  }

  /// The end of a file: what is left in the batch, and the state to begin with next time.
  private func finish(_ log: KnownLog, _ state: inout LogState, _ tally: inout Tally) -> Bool {
    let before = log.record
    let isEmpty = batch?.isEmpty ?? true
    if isEmpty { state.rest(lines: parser.nextLine - 1, carry: parser.carry) }
    var isSent = true
    if !isEmpty || state.record != before || before.id == 0 {
      if isEmpty { state.record.lastReadAtMs = options.nowMs() }
      if state.record.firstReadAtMs == nil { state.record.firstReadAtMs = options.nowMs() }
      isSent = send(&state, &tally, isEndOfFile: true)
    }
    log.record = state.record
    log.prefix = state.prefix
    return isSent
  }
}

/// The reading position and the counters of the log being read; a copy goes with each batch.
struct LogState {
  var record: LogRecord
  var prefix: ConsumedPrefix
  let ordinal: Int64

  init(log: KnownLog, prefix: ConsumedPrefix) {
    record = log.record
    ordinal = log.ordinal
    self.prefix = prefix
  }

  func context(modifiedNs: Int64) -> LogContext {
    LogContext(
      ordinal: ordinal, nextLine: record.lines + 1, carry: record.carry ?? [], namespace: record.namespace,
      pod: record.pod, container: record.container, writtenAtMs: modifiedNs / 1_000_000)
  }

  mutating func advance(over bytes: UnsafeRawBufferPointer) {
    prefix.consume(bytes)
    record.position += Int64(bytes.count)
  }

  mutating func take(_ batch: FlowBatch, nowMs: Int64) {
    record.read += Int64(batch.linesRead)
    record.stored += Int64(batch.count)
    record.rejected += Int64(batch.rejectedCount)
    record.skipped += Int64(batch.skippedCount)
    let met = batch.storedByFormat.keys.filter { !record.formats.contains($0) }
    // In an order that does not tell into which batches the log was cut.
    if !met.isEmpty { record.formats = (record.formats + met).sorted() }
    if batch.count > 0 {
      record.firstMs = min(record.firstMs ?? .max, batch.firstMs)
      record.lastMs = max(record.lastMs ?? .min, batch.lastMs)
    }
    if record.firstReadAtMs == nil { record.firstReadAtMs = nowMs }
    record.lastReadAtMs = nowMs
  }

  /// No proxy's line has so many bytes.
  private static let longestPending: Int64 = 65_536
  /// So long after it was written to, the first line of a log has its end.
  private static let youngMs: Int64 = 600_000

  /// What has no line end is more than a line that is being written: it is too long, or too old, or no text.
  private func isEndless(_ file: LogFile, _ nowMs: Int64) -> Bool {
    guard record.pending > 0 else { return false }
    if record.pending >= LogState.longestPending { return true }
    guard record.position == 0 else { return false }
    return file.beginsWithoutText
      || file.identity != nil && nowMs.since(file.modifiedNs / 1_000_000) > LogState.youngMs
  }

  /// The file was read to its end, or as far as it goes.
  mutating func end(_ file: LogFile, _ result: inout LogReader.Result, nowMs: Int64) {
    record.pending = result.pending
    record.unread = result.unread(of: file)
    if record.unread == nil, isEndless(file, nowMs) {
      record.unread = .error
      result.warnings.append(
        "no line ends in its last \(record.pending) bytes: they were not read (--final takes them for a line)")
    }
    record.size = file.identity == nil ? nil : file.size
    record.modifiedNs = file.identity == nil ? nil : file.modifiedNs
    // A gzip file that could not be read to its end is looked at again even when it stays as it is.
    if file.isCompressed && (result.wasStopped || result.error != nil) { record.modifiedNs = nil }
  }

  /// What a parser and the hashes know at this place.
  mutating func rest(lines: Int64, carry: [UInt8]) {
    record.lines = lines
    record.carry = carry.isEmpty ? nil : carry
    if prefix.knowsHead {
      record.headLength = Int64(prefix.head.count)
      record.headHash = prefix.head.isEmpty ? 0 : Int64(bitPattern: prefix.headDigest)
    }
    // Of a restored state that has read nothing, the tail is what it was.
    if prefix.knowsHead || !prefix.tail.isEmpty {
      record.tailLength = Int64(prefix.tail.count)
      record.tailHash = prefix.tail.isEmpty ? 0 : Int64(bitPattern: prefix.tailDigest)
    }
  }
}
