internal import Dispatch
internal import GRDB
internal import GRDBSQLite
internal import Glibc

/// A read-only view of a store: for reports, for the user's own SQL, and for copies of the file.
///
/// Works beside a writer, whose commits it sees from its next query on, and never checkpoints: a file opened read-only
/// cannot take the lock that a checkpoint needs. With `guarded` it runs SQL from untrusted hands (see `QueryGuard`).
public final class FlowReader: @unchecked Sendable {  // all state below is touched inside `queue` only, reentrantly
  public let path: String
  private let queue: DatabaseQueue
  private var queryGuard: QueryGuard?
  /// Whether tallies may take from rollups what they can; a test compares with and without.
  var usesRollups = true

  /// KiB; the operating system's cache holds the rest.
  private static let cacheKiB = 32_768

  public init(path: String, guarded limits: QueryLimits? = nil) throws(StoreError) {
    guard Glibc.access(path, F_OK) == 0 else { throw .missing(path: path) }
    guard let header = try FileHeader(path: path) else { throw .missing(path: path) }
    try header.requireStore(path: path)
    do {
      queue = try FlowReader.opened(path)
      queryGuard = try queue.unsafeReentrantWrite { db in
        try db.execute(sql: "pragma cache_size = -\(FlowReader.cacheKiB)")
        // Large sorts go to a file, so that memory stays within bounds whatever is asked.
        try db.execute(sql: "pragma temp_store = file")
        try db.execute(sql: "pragma mmap_size = 0")
        try db.execute(sql: "pragma trusted_schema = off")
        let found = try Int.fetchOne(db, sql: "pragma user_version") ?? 0
        // Its writer was killed while it made it.
        guard found > 0 else { throw StoreError.missing(path: path) }
        guard found <= Schema.version else {
          throw StoreError.newerSchema(path: path, found: found, known: Schema.version)
        }
        guard found == Schema.version else {
          throw StoreError.olderSchema(path: path, found: found, known: Schema.version)
        }
        guard try Filling.isTrusted(db, in: Filling.machineRun()) else { throw FlowReader.untrusted(path) }
        try Schema.overlayViews(db)
        try db.execute(sql: "pragma query_only = on")
        let connection = db.sqliteConnection!
        try SQLFunctions.register(on: connection)
        // GRDB's looks at every column of every statement, for observers that a reader has none of.
        sqlite3_set_authorizer(connection, nil, nil)
        guard let limits else { return nil }
        // SQLite declares this table-valued function at its first use, which the guard would take for a new table.
        try db.execute(sql: "select value from json_each('[]')")
        try db.execute(sql: "pragma cell_size_check = on")
        return QueryGuard(limits, on: connection)
      }
    } catch let error as StoreError {
      throw error
    } catch let error as DatabaseError {
      if header.isFilling, Filling.tellsDamage(error) { throw FlowReader.untrusted(path) }
      switch error.resultCode {
      case .SQLITE_NOTADB: throw .notADatabase(path: path)
      case .SQLITE_CANTOPEN, .SQLITE_READONLY:
        throw .file(
          path: path,
          reason:
            "cannot be read in place: its folder is not writable for this user; read a copy made by gatewatch db snapshot"
        )
      default: throw StoreError(error)
      }
    } catch {
      throw .file(path: path, reason: "\(error)")
    }
    self.path = path
  }

  /// A killed writer's half transaction is undone first: SQLite's read-only connections cannot.
  private static func opened(_ path: String) throws -> DatabaseQueue {
    var configuration = Configuration()
    configuration.readonly = true
    configuration.allowsUnsafeTransactions = true
    configuration.busyMode = .timeout(5)
    configuration.label = "gatewatch.reader"
    // GRDB looks at the file's schema to open it.
    do { return try DatabaseQueue(path: path, configuration: configuration) } catch let error as DatabaseError
      where error.extendedResultCode == .SQLITE_READONLY_ROLLBACK
    {
      try FlowStore.undoHalf(of: path)
      return try DatabaseQueue(path: path, configuration: configuration)
    }
  }

  /// A store that is being filled at this moment is not one of an earlier run: its writer sees another name of the present one,
  /// as containers may.
  private static func untrusted(_ path: String) -> StoreError {
    do throws(StoreError) {
      _ = try WriterLock(database: path, wait: .zero)
      return .interrupted(path: path)
    } catch {
      return error
    }
  }

  deinit { close() }

  /// Later queries fail.
  public func close() {
    queue.unsafeReentrantWrite { db in
      guard let connection = db.sqliteConnection else { return }
      queryGuard?.release(connection)
      queryGuard = nil
    }
    try? queue.close()
  }

  /// Runs one statement and hands out its rows as they come.
  ///
  /// - Parameters:
  ///   - arguments: by parameter name, without the colon; a parameter that is given no value is NULL, an argument without
  ///     a parameter is an error.
  ///   - columns: called once with the names, before the first row, also when there is none.
  ///   - row: called per row; may ask further queries; what it throws ends the query and comes out of here.
  public func query(
    _ sql: String, arguments: [String: Value] = [:], columns: ([String]) throws -> Void = { _ in },
    row: ([Value]) throws -> Void
  ) throws {
    try query(sql, arguments: arguments, allowsWriting: false, columns: columns, row: row)
  }

  /// `allowsWriting`: for `vacuum into`, which SQLite does not count as read-only though it leaves this file alone.
  func query(
    _ sql: String, arguments: [String: Value], allowsWriting: Bool, columns: ([String]) throws -> Void = { _ in },
    row: ([Value]) throws -> Void
  ) throws {
    try queue.unsafeReentrantWrite { db in
      guard let connection = db.sqliteConnection else {
        throw StoreError.sqlite(code: SQLITE_MISUSE, message: "the database is closed", sql: sql)
      }
      queryGuard?.start()
      do {
        let statement = try Statement(sql, on: connection)
        guard allowsWriting || statement.isReadOnly else { throw StoreError.refused(reason: "it would write") }
        try FlowReader.bind(arguments, to: statement)
        try columns(statement.columnNames)
        let count = statement.columnCount
        var values: [Value] = []
        while try statement.step() {
          values.removeAll(keepingCapacity: true)
          for column in 0..<count { values.append(statement.value(column)) }
          try row(values)
        }
      } catch StoreError.sqlite(let code, let message, _) where queryGuard != nil {
        switch code & 0xFF {
        case SQLITE_INTERRUPT:
          throw StoreError.refused(reason: "it took longer than a query may; narrow it, or sum up with a limit")
        case SQLITE_AUTH: throw StoreError.refused(reason: "\(message); only reading is allowed")
        case SQLITE_TOOBIG: throw StoreError.refused(reason: "\(message): a value or the query is too large")
        default: throw StoreError.sqlite(code: code, message: message, sql: sql)
        }
      }
    }
  }

  /// All rows of an answer that is known to be small.
  public func rows(
    _ sql: String, arguments: [String: Value] = [:]
  ) throws -> (columns: [String], rows: [[Value]]) {
    var names: [String] = []
    var rows: [[Value]] = []
    try query(sql, arguments: arguments, columns: { names = $0 }, row: { rows.append($0) })
    return (names, rows)
  }

  /// The first column of the first row.
  public func value(_ sql: String, arguments: [String: Value] = [:]) throws -> Value? {
    try rows(sql, arguments: arguments).rows.first?.first
  }

  /// Names of a statement's parameters, without the colon; fails where the statement does not compile.
  public func parameters(of sql: String) throws -> [String] {
    try queue.unsafeReentrantWrite { db in
      guard let connection = db.sqliteConnection else { return [] }
      queryGuard?.start()
      return try Statement(sql, on: connection).parameters.map { String($0.dropFirst()) }
    }
  }

  static func bind(_ arguments: [String: Value], to statement: Statement) throws(StoreError) {
    let names = statement.parameters.map { String($0.dropFirst()) }
    for name in arguments.keys.sorted() where !names.contains(name) {
      throw .unknownArgument(name: name, available: names.filter { !$0.isEmpty }.sorted())
    }
    for (index, name) in names.enumerated() {
      guard let value = arguments[name] else { continue }
      statement.bind(value, at: Int32(index + 1))
    }
  }

  /// Runs `body` on the connection, for the parts of the reader in other files.
  func access<Result>(_ body: (Database) throws -> Result) throws -> Result {
    try queue.unsafeReentrantWrite(body)
  }
}
