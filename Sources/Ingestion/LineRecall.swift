public import AccessLogs
public import FlowStore
public import Flows
internal import Glibc

/// Reads a stored flow's line back from its log, wherever the log lies now: under its old path, renamed, or compressed.
///
/// A line is handed out only when parsing it again gives the same flow. A file whose beginning is not the beginning of what
/// was read is not looked into, so that a new file under an old name cannot lend its lines as evidence.
public struct LineRecall: Sendable {
  /// The flow whose line is wanted, as the store has it.
  public struct Flow: Sendable {
    public var line: Int64
    public var startedAtMs: Int64
    public var durationMs: Int64?
    public var sent: Int64?
    public var received: Int64?
    public var source: Source
    public var sourcePort: UInt16
    public var destination: Destination
    public var outcome: Outcome

    public init(
      line: Int64, startedAtMs: Int64, durationMs: Int64?, sent: Int64?, received: Int64?, source: Source,
      sourcePort: UInt16, destination: Destination, outcome: Outcome
    ) {
      self.line = line
      self.startedAtMs = startedAtMs
      self.durationMs = durationMs
      self.sent = sent
      self.received = received
      self.source = source
      self.sourcePort = sourcePort
      self.destination = destination
      self.outcome = outcome
    }

    /// When the line was written, where its clock has no day: by the time that the file had then, which it has no more once the log
    /// has grown.
    var writtenAtMs: Int64? { outcome.warnings.contains(.dayAssumed) ? startedAtMs &+ max(0, durationMs ?? 0) : nil }

    /// Whether a line says the same: start, addresses, host and bytes.
    func equals(_ parsed: LineExplainer.Stored) -> Bool {
      let row = parsed.row
      return row.startedAtMs == startedAtMs && row.durationMs == durationMs ?? -1 && row.sent == sent ?? -1
        && row.received == received ?? -1 && row.sourcePort == sourcePort
        && parsed.source.clientIP == source.clientIP && parsed.source.proxyIP == source.proxyIP
        && parsed.destination.host == destination.host && parsed.destination.port == destination.port
        && parsed.destination.upstream == destination.upstream && parsed.destination.dialled == destination.dialled
        && parsed.outcome.status == outcome.status
    }
  }

  public enum Answer: Sendable {
    case found(Found)
    /// A file that begins as the log did is there, and the line in it says something else, or is gone.
    case changed(path: String, why: String)
    /// No such file any more.
    case gone(why: String)
  }

  public struct Found: Sendable {
    /// Where the log lies now.
    public var path: String
    /// The record as it stands in the log: one line, or the parts of one that its wrapper cut.
    public var lines: [(number: Int64, bytes: [UInt8])]
    public var parsed: LineExplainer.Stored
  }

  private let formats: [FormatPlan]
  private let folders: [String]
  private let limits: IngestLimits

  /// Files of one folder that are looked at: those of the log's own family come first.
  static let maxFiles = 1_000
  /// Parts of a record that its wrapper cut are shown up to this number.
  static let maxParts = 64

  /// - Parameters:
  ///   - formats: those the log was read with.
  ///   - folders: to search beside the one where the log was read.
  public init(formats: [FormatPlan] = FormatPlan.builtIn, folders: [String] = [], limits: IngestLimits = IngestLimits())
  {
    self.formats = formats
    self.folders = folders
    self.limits = limits
  }

  /// - Parameter marks: places from which reading leads to the line, the nearest first. A record whose parts began before
  ///   the nearest one is found from the one before.
  public func recall(_ flow: Flow, of log: LogRecord, from marks: [(line: Int64, position: Int64)]) -> Answer {
    guard log.path != Discovery.standardInput, log.inode != nil else {
      return .gone(why: "it was read from a stream, which kept no copy")
    }
    let missing = log.formats.filter { name in !formats.contains { $0.name == name } }
    var changed: (path: String, why: String)?
    // A folder may have thousands of logs: it is listed only where the log is not under its name.
    var paths = [log.path]
    var isListed = false
    var next = 0
    while next < paths.count || !isListed {
      if next == paths.count {
        isListed = true
        paths += others(than: log)
        continue
      }
      let path = paths[next]
      next += 1
      guard isRegular(path), let file = try? LogFile(path: path, limits: limits), file.identity != nil,
        beginsAs(log, file)
      else { continue }
      for (mark, isAlone) in marks.prefix(1).map({ ($0, true) }) + marks.map({ ($0, false) }) {
        do throws(ReadError) {
          if let found = try find(flow, in: file, log, from: mark, isAlone: isAlone) { return .found(found) }
        } catch {
          changed = changed ?? (path, error.message)
        }
      }
      changed =
        changed ?? (
          path,
          missing.isEmpty
            ? "its line \(flow.line) does not give this flow any more"
            : "its line \(flow.line) cannot be read again without the format \(missing.joined(separator: ", ")): give --log-format"
        )
    }
    if let changed { return .changed(path: changed.path, why: changed.why) }
    return FileIdentity(path: log.path) == nil
      ? .gone(why: "no file there, and none beside it, begins as the log did")
      : .changed(path: log.path, why: "the file of that name begins otherwise than the log did")
  }

  /// The other files that may be the log, the likeliest first.
  private func others(than log: LogRecord) -> [String] {
    let identity = FileIdentity(
      device: UInt64(bitPattern: log.device ?? 0), inode: UInt64(bitPattern: log.inode ?? 0))
    let family = LogName(log.path).family
    let own = log.path.lastIndex(of: "/").map { String(log.path[...$0]) } ?? ""
    let familyName = family.split(separator: "/").last.map(String.init) ?? family
    var ranked: [(rank: Int, path: String)] = []
    for (place, folder) in ([own] + folders.map { $0.hasSuffix("/") ? $0 : $0 + "/" }).enumerated() {
      for entry in Discovery.entries(of: folder.isEmpty ? "." : folder) ?? [] {
        let path = folder + entry
        guard path != log.path, let found = FileIdentity(path: path) else { continue }
        let isFamily = LogName(path).family.hasSuffix(familyName)
        ranked.append(((found == identity ? 1 : isFamily ? 2 : 3) + 3 * place, path))
      }
    }
    return ranked.enumerated().sorted { ($0.element.rank, $0.offset) < ($1.element.rank, $1.offset) }
      .prefix(LineRecall.maxFiles).map(\.element.path)
  }

  /// To open a pipe that nobody writes to would wait for ever.
  private func isRegular(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }

  private func beginsAs(_ log: LogRecord, _ file: LogFile) -> Bool {
    let length = Int(clamping: log.headLength)
    guard (1...ConsumedPrefix.guardSize).contains(length) else { return false }
    let head: [UInt8]
    if file.isCompressed {
      var bytes = [UInt8](repeating: 0, count: length)
      guard let count = try? bytes.withUnsafeMutableBytes({ bytes throws(ReadError) in try file.read(into: bytes) })
      else { return false }
      head = Array(bytes.prefix(count))
    } else {
      head = file.peek(length, at: 0)
    }
    return head.count == length
      && Int64(bitPattern: head.withUnsafeBytes { RunningHash(of: $0).digest }) == log.headHash
  }

  /// - Parameter isAlone: the line is tried without those before it, which nearly all are understood without: what these take to be
  ///   parsed is in the hands of whoever wrote them.
  private func find(
    _ flow: Flow, in file: LogFile, _ log: LogRecord, from mark: (line: Int64, position: Int64), isAlone: Bool
  ) throws(ReadError) -> Found? {
    try file.advance(to: mark.position, chunkBytes: limits.chunkBytes)
    let explainer = LineExplainer(
      formats: formats,
      log: LogContext(
        ordinal: 0, nextLine: isAlone ? flow.line : mark.line, namespace: log.namespace, pod: log.pod,
        container: log.container,
        writtenAtMs: flow.writtenAtMs ?? log.modifiedNs.map { $0 / 1_000_000 }))
    var number = mark.line
    var parts: [(number: Int64, bytes: [UInt8])] = []
    var found: Found?
    let lines = LineCutter(file: file, limits: limits)
    while number <= flow.line, found == nil, let line = try lines.next() {
      if isAlone, number < flow.line {
        number += 1
        continue
      }
      // Of an overlong line only its head is here: it was rejected, and is no part of anything.
      let answers = line.count > limits.maxLineBytes ? [] : explainer.explain(line)
      parts.append((number, line))
      if parts.count > LineRecall.maxParts { parts.removeFirst() }
      if number == flow.line {
        for case .stored(let parsed) in answers where flow.equals(parsed) {
          found = Found(path: file.path, lines: parts, parsed: parsed)
        }
      }
      if case .joining? = answers.first, answers.count == 1 {} else { parts.removeAll() }
      number += 1
    }
    return found
  }
}

/// Cuts the rest of a file into lines, without their newlines; of an overlong one, one byte more than may be parsed.
private final class LineCutter {
  private let file: LogFile
  private let maxLine: Int
  private let chunk: UnsafeMutableRawBufferPointer
  private var start = 0
  private var end = 0

  private static let chunkBytes = 64 << 10

  init(file: LogFile, limits: IngestLimits) {
    self.file = file
    maxLine = limits.maxLineBytes
    chunk = .allocate(byteCount: LineCutter.chunkBytes, alignment: 16)
  }

  deinit { chunk.deallocate() }

  func next() throws(ReadError) -> [UInt8]? {
    var line: [UInt8] = []
    var isInside = false
    while true {
      if start == end {
        (start, end) = (0, try file.read(into: chunk))
        if end == 0 { return isInside ? line : nil }
      }
      isInside = true
      // In bounds: `start` and `end` lie in the chunk, and so does the newline found between them.
      let newline = chunk[start..<end].firstIndex(of: 0x0A)
      line += chunk[start..<(newline ?? end)].prefix(max(0, maxLine + 1 - line.count))
      start = newline.map { $0 + 1 } ?? end
      if newline != nil { return line }
    }
  }
}
