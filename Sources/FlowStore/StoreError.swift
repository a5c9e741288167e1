internal import GRDB

/// What kept the store from doing what it was asked, in words for people.
public enum StoreError: Error, Sendable, Equatable {
  /// Another process is the writer; `pid` when it left its number in the lock file.
  case locked(path: String, pid: Int32?)
  case missing(path: String)
  case notADatabase(path: String)
  /// An SQLite file of another program.
  case notAStore(path: String)
  /// The machine stopped while it was first filled, before it was on the disk.
  case interrupted(path: String)
  case newerSchema(path: String, found: Int, known: Int)
  /// Readers change nothing, so they cannot bring an older store up to date.
  case olderSchema(path: String, found: Int, known: Int)
  /// The operating system said no to a file.
  case file(path: String, reason: String)
  /// The target of a snapshot exists already.
  case exists(path: String)
  /// SQLite failed; `code` is its extended result code.
  case sqlite(code: Int32, message: String, sql: String?)
  /// A query was given an argument that it has no parameter for.
  case unknownArgument(name: String, available: [String])
  /// A query of a user asked for what guarded queries may not do, or for too much.
  case refused(reason: String)
  /// A batch refers to dictionary entries that the store was never given, or lost by a rollback.
  case unknownEntry(kind: String, id: Int)

  init(_ error: DatabaseError) {
    self = .sqlite(
      code: error.extendedResultCode.rawValue, message: error.message ?? "unknown error", sql: error.sql)
  }

  /// The disk or the store's size limit is full; what was committed before is intact.
  public var isFull: Bool {
    if case .sqlite(let code, _, _) = self { code & 0xFF == 13 } else { false }
  }

  /// The disk may have lost what it had taken.
  var tellsFailingDisk: Bool {
    if case .sqlite(let code, _, _) = self { code & 0xFF == 10 } else { false }
  }
}

extension StoreError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .locked(let path, let pid):
      let owner = pid.map { "process \($0)" } ?? "another process"
      return "\(path): \(owner) is writing to it; wait for it to end, or use --wait SECONDS"
    case .missing(let path):
      return "\(path): no such database; create it with: gatewatch ingest --db \(path) LOGS..."
    case .notADatabase(let path):
      return "\(path): not an SQLite database; nothing was changed"
    case .notAStore(let path):
      return "\(path): a database of another program; nothing was changed; name another file with --db"
    case .interrupted(let path):
      return
        "\(path): the machine stopped, or the disk failed, while it was first filled: what it holds cannot be relied on; remove it, and ingest its logs again"
    case .newerSchema(let path, let found, let known):
      return
        "\(path): written by a newer gatewatch (schema \(found), this one knows \(known)); nothing was changed; update gatewatch"
    case .olderSchema(let path, let found, let known):
      return
        "\(path): written by an older gatewatch (schema \(found), this one reads \(known)); the next ingest brings it up to date"
    case .file(let path, let reason):
      return "\(path): \(reason)"
    case .exists(let path):
      return "\(path): exists already; remove it or name another file"
    case .sqlite(let code, let message, let sql):
      let place = sql.map { "; in: \($0)" } ?? ""
      let advice =
        switch code & 0xFF {
        case 5: "; somebody has had it open for reading for minutes: end that query and run again, nothing is lost"
        case 10: "; is the disk failing, or at a quota? gatewatch db check tells whether the database is whole"
        case 11: "; gatewatch db check tells more; a copy of the database, or the logs read anew, replace it"
        case 13: "; what was stored before is intact: free some space and run again"
        default: ""
        }
      return "database error \(code): \(message)\(place)\(advice)"
    case .unknownArgument(let name, let available):
      let list = available.isEmpty ? "it has none" : "it has " + available.joined(separator: ", ")
      return "the query has no parameter \(name); \(list)"
    case .refused(let reason):
      return "query refused: \(reason)"
    case .unknownEntry(let kind, let id):
      return "a batch names \(kind) \(id), which this store was not given; restart the parser after a rollback"
    }
  }
}

extension StoreError {
  /// What an undamaged file cannot hold: SQLite hands out rows as they lie in a table, and looks at their numbers no further.
  static func disordered(_ table: String) -> StoreError {
    .sqlite(
      code: 11, message: "the rows of \(table) make no sense: the file is damaged", sql: nil)
  }
}
