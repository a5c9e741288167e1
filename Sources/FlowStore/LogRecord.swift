public import Flows
internal import GRDB

/// What the store knows of one generation of one log: where reading stopped, and how to recognise the file again.
public struct LogRecord: Sendable, Equatable {
  /// Row id; 0 until inserted.
  public var id: Int64 = 0
  /// When last read.
  public var path: String
  /// The same from the root on, links as they are written: what `path` means does not depend on where somebody stands.
  /// nil for inputs without a place, and of logs that an earlier version read.
  public var fullPath: String?
  /// Bit patterns of the file system's numbers; nil for inputs without identity.
  public var device: Int64?
  public var inode: Int64?
  public var generation: Int64 = 1
  public var isCompressed = false
  /// Of the file as it lay on disk when last read.
  public var size: Int64?
  public var modifiedNs: Int64?
  /// Bytes consumed, of the decompressed content.
  public var position: Int64 = 0
  /// Lines consumed.
  public var lines: Int64 = 0
  public var headLength: Int64 = 0
  public var headHash: Int64 = 0
  public var tailLength: Int64 = 0
  public var tailHash: Int64 = 0
  /// Running hash over all consumed bytes.
  public var prefixState: [UInt8]?
  /// The parser's wrapper state between two runs.
  public var carry: [UInt8]?
  /// Bytes of an unfinished last line.
  public var pending: Int64 = 0
  public var namespace: String?
  public var pod: String?
  public var container: String?
  public var label: String?
  /// As given with `--role`.
  public var declaredRole: Role?
  /// Formats met, by name.
  public var formats: [String] = []
  public var read: Int64 = 0
  public var stored: Int64 = 0
  public var rejected: Int64 = 0
  public var skipped: Int64 = 0
  /// Earliest start and latest end of its flows, Unix milliseconds.
  public var firstMs: Int64?
  public var lastMs: Int64?
  public var firstReadAtMs: Int64?
  public var lastReadAtMs: Int64?
  /// Truncated, rewritten, copied from, ...
  public var note: String?
  /// Why it was not read to its end; nil where it was.
  public var unread: UnreadRest?
  /// Flows removed by `prune`; the store keeps it.
  public internal(set) var pruned: Int64 = 0
  /// Of the stored flows, those that are in tallies alone; the store keeps it.
  public internal(set) var tallied: Int64 = 0

  public init(path: String) {
    self.path = path
  }
}

extension LogRecord {
  /// All columns but `id`, `pruned` and `tallied`.
  static let storedColumns = [
    "path", "device", "inode", "generation", "compressed", "size", "mtime_ns", "position", "lines", "head_length",
    "head_hash", "tail_length", "tail_hash", "prefix_state", "carry", "pending", "namespace", "pod", "container",
    "label", "declared_role", "formats", "read", "stored", "rejected", "skipped", "first_ms", "last_ms",
    "first_read_at_ms", "last_read_at_ms", "note", "unread", "full_path",
  ]

  var storedValues: [Value] {
    [
      .text(path), Value(device), Value(inode), .integer(generation), .integer(isCompressed ? 1 : 0), Value(size),
      Value(modifiedNs), .integer(position), .integer(lines), .integer(headLength), .integer(headHash),
      .integer(tailLength), .integer(tailHash), prefixState.map { .blob($0) } ?? .null,
      carry.map { .blob($0) } ?? .null, .integer(pending), Value(namespace), Value(pod), Value(container),
      Value(label), Value(declaredRole?.rawValue), formats.isEmpty ? .null : .text(formats.joined(separator: ",")),
      .integer(read), .integer(stored), .integer(rejected), .integer(skipped), Value(firstMs), Value(lastMs),
      Value(firstReadAtMs), Value(lastReadAtMs), Value(note), Value(unread?.rawValue), Value(fullPath),
    ]
  }

  /// From `id`, `storedColumns`, `pruned`, `tallied`.
  init(_ row: Statement) {
    self.init(path: row.text(1) ?? "")
    id = row.int(0)
    device = row.optionalInt(2)
    inode = row.optionalInt(3)
    generation = row.int(4)
    isCompressed = row.int(5) != 0
    size = row.optionalInt(6)
    modifiedNs = row.optionalInt(7)
    position = row.int(8)
    lines = row.int(9)
    headLength = row.int(10)
    headHash = row.int(11)
    tailLength = row.int(12)
    tailHash = row.int(13)
    prefixState = row.blob(14)
    carry = row.blob(15)
    pending = row.int(16)
    namespace = row.text(17)
    pod = row.text(18)
    container = row.text(19)
    label = row.text(20)
    declaredRole = row.text(21).flatMap(Role.init(rawValue:))
    formats = (row.text(22) ?? "").split(separator: ",").map(String.init)
    read = row.int(23)
    stored = row.int(24)
    rejected = row.int(25)
    skipped = row.int(26)
    firstMs = row.optionalInt(27)
    lastMs = row.optionalInt(28)
    firstReadAtMs = row.optionalInt(29)
    lastReadAtMs = row.optionalInt(30)
    note = row.text(31)
    unread = row.text(32).flatMap(UnreadRest.init(rawValue:))
    fullPath = row.text(33)
    pruned = row.int(34)
    tallied = row.int(35)
  }
}

extension FlowStore {
  /// All logs, in the order in which they were first read.
  public func logs() throws(StoreError) -> [LogRecord] {
    try unlessBlank([]) { db throws(StoreError) in
      let rows = try db.statement(
        "select id, \(LogRecord.storedColumns.joined(separator: ", ")), pruned, tallied from log order by id")
      var logs: [LogRecord] = []
      while try rows.step() { logs.append(LogRecord(rows)) }
      return logs
    }
  }

  /// A new log; its row id.
  public func insert(log: LogRecord) throws(StoreError) -> Int64 {
    try write("log") { db throws(StoreError) in
      let columns = LogRecord.storedColumns
      let insert = try db.statement(
        """
        insert into log (\(columns.joined(separator: ", ")))
        values (\(columns.map { _ in "?" }.joined(separator: ", ")))
        """)
      for (index, value) in log.storedValues.enumerated() { insert.bind(value, at: Int32(index + 1)) }
      while try insert.step() {}
      return db.lastInsertedRowID
    }
  }

  /// The checkpoint and the counters of a log, in the same transaction as its rows.
  public func update(log: LogRecord) throws(StoreError) {
    try write("checkpoint") { db throws(StoreError) in
      // The time a log covers, and what was declared of it, are things verdicts rest on.
      let before = try db.statement("select first_ms, last_ms, declared_role, label, path from log where id = ?")
      before.bind(log.id, at: 1)
      guard try before.step() else { throw .unknownEntry(kind: "log", id: Int(log.id)) }
      let same =
        before.optionalInt(0) == log.firstMs && before.optionalInt(1) == log.lastMs
        && before.text(2) == log.declaredRole?.rawValue && before.text(3) == log.label && before.text(4) == log.path
      before.reset()
      let columns = LogRecord.storedColumns
      let update = try db.statement(
        "update log set \(columns.map { "\($0) = ?" }.joined(separator: ", ")) where id = ?")
      for (index, value) in log.storedValues.enumerated() { update.bind(value, at: Int32(index + 1)) }
      update.bind(log.id, at: Int32(columns.count + 1))
      while try update.step() {}
      if !same { try self.writer.setJudged(false, on: db) }
    }
  }

  /// Adds to a log's lines by kind (`what` is `stored`, `rejected` or `skipped`); `append` does this for its batches.
  public func count(_ what: String, _ name: String, _ count: Int64, log: Int64) throws(StoreError) {
    try write("line count") { db throws(StoreError) in
      try db.statement(
        """
        insert into line_count (log, what, name, count) values (?, ?, ?, ?)
        on conflict (log, what, name) do update set count = count + excluded.count
        """
      ).run(.integer(log), .text(what), .text(name), .integer(count))
    }
  }
}
