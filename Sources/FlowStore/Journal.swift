internal import GRDB
internal import GRDBSQLite

/// How a store keeps a transaction from being there by half.
enum Journal {
  /// What is written goes to a write-ahead log and later from there into the file: nobody waits for anybody, and each page is
  /// written twice.
  case writeAhead
  /// What pages held before goes to a journal (SQLite's mode "truncate"), and what is written into the file at once. Pages
  /// that are new have nothing to be kept, so a store that is filled is written once; ingesting takes a tenth less time
  /// (nginx-stream: a sixth). But a commit waits until nobody reads, and readers wait for a commit, some milliseconds. So
  /// it is for the time in which a store is new, and nobody can rely on it yet.
  case undo

  /// For a store that nobody else knows yet.
  static func beginFilling(_ db: Database) throws {
    wait(db, ms: patience)
    // Without a log there is nothing else that survives a loss of power, or there is the mark of `Filling`.
    try db.execute(sql: "pragma synchronous = full")
    try db.execute(sql: "pragma journal_mode = truncate")
  }

  /// A store has a write-ahead log from here on, unless somebody is just reading one that has none; then it is as before.
  /// - Returns: what the store has now.
  static func writeAheadIfPossible(_ db: Database) throws -> Journal {
    if try String.fetchOne(db, sql: "pragma journal_mode") != "wal" {
      do {
        wait(db, ms: 100)
        // On the way, so that no empty journal stays behind.
        try db.execute(sql: "pragma journal_mode = delete")
        try db.execute(sql: "pragma journal_mode = wal")
      } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
        try beginFilling(db)
        return .undo
      }
    }
    wait(db, ms: Int32(openingSeconds) * 1_000)
    try db.execute(sql: "pragma synchronous = normal")
    return .writeAhead
  }

  /// For how long a commit without a write-ahead log waits for readers, in milliseconds: who reads so long has left a query
  /// open. With one they hold up no commit.
  private static let patience: Int32 = 600_000

  /// For how long a writer that opens a store waits for others who are about to, and later for readers of its log.
  static let openingSeconds = 5.0

  static func waitPatiently(_ db: Database) { wait(db, ms: patience) }

  private static func wait(_ db: Database, ms: Int32) {
    sqlite3_busy_timeout(db.sqliteConnection, ms)
  }
}

extension FlowStore {
  /// Undoes what a writer that was killed has left of a transaction; every writer does this when it opens the store.
  static func undoHalf(of path: String) throws {
    do {
      let lock = try WriterLock(database: path, wait: .seconds(1))
      try withExtendedLifetime(lock) {
        var configuration = Configuration()
        configuration.busyMode = .timeout(Journal.openingSeconds)
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        try queue.unsafeReentrantWrite { try $0.execute(sql: "select 1 from sqlite_schema limit 1") }
      }
    } catch StoreError.locked {
      // Somebody writes, and has done this first.
    }
  }
}
