internal import AccessLogs
internal import FlowStore
internal import Flows
internal import Glibc

/// The lines of a file that go on as a stored log did, behind the last place that is remembered of it.
///
/// Of a long log only every n-th line end is remembered (`ConsumedPrefix.rungs`). When such a log was cut, or a copy of it
/// ends in between, the few lines up to there are told by what is stored of them: the same start, duration, bytes, ports
/// and request in the same line.
struct StoredStretch {
  /// Bytes and lines that are stored already.
  private(set) var bytes = 0
  private(set) var lines: Int64 = 0

  /// - Parameters:
  ///   - window: content of the file from a remembered place on, readable `LogReader.slack` bytes around.
  ///   - context: says which line is the first one.
  ///   - stored: what is stored of a line of the log.
  init(
    in window: UnsafeRawBufferPointer, context: LogContext, formats: [FormatPlan],
    stored: StoredLines
  ) {
    let parser = LineParser(formats: formats)
    parser.begin(log: context)
    let batch = FlowBatch()
    var place = 0
    while place < window.count, let newline = memchr(window.baseAddress! + place, 0x0A, window.count - place) {
      let line = parser.nextLine
      let end = UnsafeRawPointer(newline) - window.baseAddress! + 1
      batch.reset()
      let consumed = parser.parse(UnsafeRawBufferPointer(rebasing: window[place..<end]), isFinal: false, into: batch)
      guard consumed == end - place else { return }
      place = end
      // A line that is no flow proves nothing; it belongs to the stretch when a stored one follows.
      if batch.count == 0 { continue }
      guard batch.rows[0].line == line, stored.hold(batch.rows[0]) else { return }
      bytes = end
      lines = line - context.nextLine + 1
    }
  }
}
