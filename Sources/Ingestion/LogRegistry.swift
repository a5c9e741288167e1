internal import FlowStore

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
  func log(named path: String) -> KnownLog? { byPath[path] }

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
    if known.identity != nil { setPath(of: known) }
    if let line = known.firstLine { byFirstLine[line, default: []].append(known) }
  }

  /// The log goes on in another file, or under another name.
  func move(_ known: KnownLog, to file: LogFile) {
    if let old = known.identity, byIdentity[old] === known { byIdentity[old] = nil }
    if byPath[known.record.path] === known { byPath[known.record.path] = nil }
    known.record.path = file.path
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
    if known.record.path != Discovery.standardInput { byPath[known.record.path] = known }
  }

  /// The first line of `known` was consumed just now.
  func learnFirstLine(of known: KnownLog) {
    guard let line = known.firstLine, !logs(beginningWith: line).contains(where: { $0 === known }) else { return }
    byFirstLine[line, default: []].append(known)
  }
}
