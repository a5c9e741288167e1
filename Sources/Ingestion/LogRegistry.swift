internal import FlowStore
internal import Flows
internal import Glibc

/// A log that the store knows, or will know when this run commits.
final class KnownLog {
  var record: LogRecord
  /// Number the parser and the writer know the log by in this run; the row id for logs of earlier runs.
  let ordinal: Int64
  private var live: ConsumedPrefix?
  /// The first and the last bytes of what was read of it, as they were found in the open file; see `ConsumedPrefix.restore`.
  /// Of that position alone.
  var guards: (position: UInt64, head: [UInt8], tail: [UInt8])?

  init(record: LogRecord, ordinal: Int64, prefix: ConsumedPrefix? = nil) {
    self.record = record
    self.ordinal = ordinal
    live = prefix
  }

  /// What is known of the consumed bytes; nil when the stored state cannot be read.
  var prefix: ConsumedPrefix? {
    get {
      if let live { return live }
      var restored = record.prefixState.flatMap { ConsumedPrefix(serialised: $0) }
      if let guards, guards.position == restored?.position { restored?.restore(head: guards.head, tail: guards.tail) }
      return restored
    }
    set { live = newValue }
  }

  var firstLine: ConsumedPrefix.Rung? {
    live?.firstLine ?? record.prefixState.flatMap { ConsumedPrefix.firstLine(serialised: $0) }
  }

  /// Where it lies; as it was written, where an earlier version noted no more.
  var place: String { record.fullPath ?? record.path }

  /// Nothing is known of it but that it is there, or was.
  var wasNeverOpened: Bool {
    record.position == 0 && record.read == 0 && [.unopened, .tail].contains(record.unread)
  }

  /// Whether a file with its number may be this log. One of which nothing was read has nothing else to be recognised by, and the numbers
  /// of files that are gone are given to others: under other names, or with less in them than one that could not be opened.
  func mayBe(place: String, size: Int64) -> Bool {
    guard record.position == 0 else { return true }
    return LogName(place).family == LogName(self.place).family && (!wasNeverOpened || size >= record.size ?? 0)
  }

  var identity: FileIdentity? {
    guard let device = record.device, let inode = record.inode else { return nil }
    return FileIdentity(device: UInt64(bitPattern: device), inode: UInt64(bitPattern: inode))
  }

  /// The log is done with for now: only its compact state is kept.
  func putAside() {
    guards = nil
    guard let live else { return }
    record.prefixState = live.serialised
    self.live = nil
  }
}

/// All logs known at a moment of a run, by what they can be recognised with.
///
/// Kept current while the run reads, so that two copies in one run are one log.
final class LogRegistry {
  private(set) var logs: [KnownLog] = []
  private var byIdentity: [FileIdentity: KnownLog] = [:]
  private var byPath: [String: KnownLog] = [:]
  private var byFirstLine: [ConsumedPrefix.Rung: [KnownLog]] = [:]
  /// What could not be opened once, and was not read since.
  private var unopened: [KnownLog] = []
  /// What was said of the proxy behind a log, by the log's family: rotation changes neither. Another export may have the same name, so
  /// that a role that would clear what another's lines show is not taken over: a gateway's, or a proxy's.
  private var declarations: [String: (role: Role?, label: String?)] = [:]
  private let paths = FullPaths()
  private var nextOrdinal: Int64 = 1

  init(_ records: [LogRecord]) {
    for record in records {
      let known = KnownLog(record: record, ordinal: record.id)
      nextOrdinal = max(nextOrdinal, record.id + 1)
      index(known)
    }
  }

  /// The latest generation read from this inode.
  func log(at identity: FileIdentity) -> KnownLog? { byIdentity[identity] }

  /// What was added to some files since they were read last, as far as their sizes tell.
  func newBytes(in files: [Discovery.Found]) -> Int64 {
    files.reduce(0) { sum, file in
      let known = file.identity.flatMap { log(at: $0) }?.record.size ?? 0
      return sum + max(0, Discovery.size(of: file.name.path) - known)
    }
  }

  /// The latest log read under this path.
  func log(named path: String) -> KnownLog? { fullPath(of: path).flatMap { byPath[$0] } ?? byPath[path] }

  /// The latest log read under this path, and what could not be opened there since.
  func formers(of path: String) -> [KnownLog] {
    let place = fullPath(of: path)
    return [log(named: path)].compactMap(\.self)
      + unopened.filter { $0.record.unread == .unopened && ($0.place == place || $0.place == path) }
  }

  func fullPath(of path: String) -> String? { paths.fullPath(of: path) }

  func places(of arguments: [String]) -> VisitedPlaces { VisitedPlaces(arguments, paths) }

  func lies(_ known: KnownLog, under path: String) -> Bool {
    known.record.fullPath.map { $0 == fullPath(of: path) } ?? (known.record.path == path)
  }

  /// What was declared of the logs that were rotated from the same file as this one, or will be.
  func declaration(of path: String) -> (role: Role?, label: String?) {
    fullPath(of: path).flatMap { declarations[LogName($0).family] } ?? declarations[LogName(path).family] ?? (nil, nil)
  }

  func logs(beginningWith line: ConsumedPrefix.Rung) -> [KnownLog] { byFirstLine[line] ?? [] }

  func add(_ record: LogRecord, prefix: ConsumedPrefix) -> KnownLog {
    let known = KnownLog(record: record, ordinal: nextOrdinal, prefix: prefix)
    nextOrdinal += 1
    index(known)
    return known
  }

  private func index(_ known: KnownLog) {
    logs.append(known)
    if let identity = known.identity { byIdentity[identity] = known }
    if known.wasNeverOpened { unopened.append(known) } else if known.identity != nil { setPath(of: known) }
    let record = known.record
    let role = record.declaredRole == .sidecar ? record.declaredRole : nil
    if role != nil || record.label != nil { declarations[LogName(known.place).family] = (role, record.label) }
    if let line = known.firstLine { byFirstLine[line, default: []].append(known) }
  }

  /// The log goes on in another file, or under another name.
  func move(_ known: KnownLog, to file: LogFile) {
    if let old = known.identity, byIdentity[old] === known { byIdentity[old] = nil }
    if byPath[known.place] === known { byPath[known.place] = nil }
    known.record.path = file.path
    known.record.fullPath = fullPath(of: file.path)
    known.record.device = file.identity.map { Int64(bitPattern: $0.device) }
    known.record.inode = file.identity.map { Int64(bitPattern: $0.inode) }
    known.record.isCompressed = file.isCompressed
    if let identity = file.identity {
      byIdentity[identity] = known
      setPath(of: known)
    }
  }

  /// What is redirected to standard input may be another file each time.
  private func setPath(of known: KnownLog) {
    if known.record.path != Discovery.standardInput { byPath[known.place] = known }
  }

  /// What cannot be opened, as far as it can be seen: reading needs a permission that looking does not.
  func meetUnopened(_ path: String) -> KnownLog {
    var status = stat()
    let isFile = stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    guard isFile else {
      return log(named: path) ?? logs.first { $0.identity == nil && lies($0, under: path) }
        ?? add(unopened(path), prefix: ConsumedPrefix())
    }
    let identity = FileIdentity(status)
    let known = log(at: identity).flatMap {
      $0.mayBe(place: fullPath(of: path) ?? path, size: Int64(status.st_size)) ? $0 : nil
    }
    if let known, !known.wasNeverOpened { return known }
    let log =
      known ?? logs.first { $0.identity == nil && $0.wasNeverOpened && lies($0, under: path) }
      ?? add(unopened(path), prefix: ConsumedPrefix())
    (log.record.path, log.record.fullPath) = (path, fullPath(of: path))
    log.record.device = Int64(bitPattern: identity.device)
    log.record.inode = Int64(bitPattern: identity.inode)
    (log.record.size, log.record.modifiedNs) = (Int64(status.st_size), status.modifiedNs)
    byIdentity[identity] = log
    return log
  }

  private func unopened(_ path: String) -> LogRecord {
    var record = LogRecord(path: path)
    record.fullPath = fullPath(of: path)
    record.unread = .unopened
    return record
  }

  /// The first line of `known` was consumed just now.
  func learnFirstLine(of known: KnownLog) {
    guard let line = known.firstLine, !logs(beginningWith: line).contains(where: { $0 === known }) else { return }
    byFirstLine[line, default: []].append(known)
  }
}
