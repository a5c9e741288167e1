internal import GRDBSQLite

/// How much a user's own SQL may take.
public struct QueryLimits: Sendable {
  /// Wall time of one query.
  public var time: Duration = .seconds(60)
  /// Bytes of one value; SQLite's own limit is a thousand million.
  public var valueBytes: Int32 = 16 << 20
  /// Bytes of the statement's text.
  public var sqlBytes: Int32 = 1 << 20

  public init() {}
}

/// Keeps a connection from doing anything but reading the store: the safety of `gatewatch query -e`.
///
/// Three walls: the file is open read-only with `query_only`; the authorizer (sqlite.org/c3ref/set_authorizer.html) sees every
/// table, function and pragma of a statement while it is compiled; a progress call ends what takes too long.
final class QueryGuard {
  private let deadline: UnsafeMutablePointer<ContinuousClock.Instant>
  private let limits: QueryLimits

  /// Virtual machine steps between two looks at the clock: some tenths of a millisecond.
  private static let stepsPerCheck: Int32 = 10_000
  /// Pragmas that answer a question and change nothing, with an argument or without.
  private static let pragmas: Set<String> = [
    "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "database_list",
    "foreign_key_list", "collation_list", "function_list", "compile_options",
  ]
  /// Pragmas that answer without an argument and change something with one.
  private static let barePragmas: Set<String> = [
    "user_version", "application_id", "page_count", "page_size", "freelist_count", "schema_version", "encoding",
    "data_version",
  ]
  /// Functions that reach outside the statement, or take memory by the argument.
  private static let functions: Set<String> = [
    "load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "zeroblob", "randomblob", "sqlite_log",
  ]

  init(_ limits: QueryLimits, on connection: OpaquePointer) {
    self.limits = limits
    deadline = .allocate(capacity: 1)
    deadline.initialize(to: .now)
    sqlite3_limit(connection, SQLITE_LIMIT_LENGTH, limits.valueBytes)
    sqlite3_limit(connection, SQLITE_LIMIT_SQL_LENGTH, limits.sqlBytes)
    sqlite3_limit(connection, SQLITE_LIMIT_ATTACHED, 0)
    sqlite3_limit(connection, SQLITE_LIMIT_EXPR_DEPTH, 200)
    sqlite3_limit(connection, SQLITE_LIMIT_COMPOUND_SELECT, 50)
    sqlite3_limit(connection, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000)
    sqlite3_limit(connection, SQLITE_LIMIT_WORKER_THREADS, 0)
    // The table form of a pragma (pragma_table_info) is declared on its first use, which the authorizer would take for
    // a change of the schema.
    for pragma in QueryGuard.pragmas { _ = try? Statement("select 1 from pragma_\(pragma)", on: connection) }
    sqlite3_set_authorizer(
      connection,
      { _, action, first, second, _, _ in
        QueryGuard.allows(
          action, first.map { String(cString: $0) }, second.map { String(cString: $0) }) ? SQLITE_OK : SQLITE_DENY
      }, nil)
    sqlite3_progress_handler(
      connection, QueryGuard.stepsPerCheck,
      { deadline in
        // Lives as long as the guard, which outlives the connection's last query.
        let deadline = deadline!.assumingMemoryBound(to: ContinuousClock.Instant.self)
        return ContinuousClock.now < deadline.pointee ? 0 : 1
      }, deadline)
  }

  /// Before the connection goes.
  func release(_ connection: OpaquePointer) {
    sqlite3_progress_handler(connection, 0, nil, nil)
    sqlite3_set_authorizer(connection, nil, nil)
  }

  deinit {
    deadline.deinitialize(count: 1)
    deadline.deallocate()
  }

  /// A query begins: its time starts now.
  func start() { deadline.pointee = .now.advanced(by: limits.time) }

  private static func allows(_ action: Int32, _ first: String?, _ second: String?) -> Bool {
    switch action {
    case SQLITE_SELECT, SQLITE_RECURSIVE, SQLITE_READ: true
    case SQLITE_FUNCTION: !functions.contains((second ?? "").lowercased())
    case SQLITE_PRAGMA:
      pragmas.contains((first ?? "").lowercased())
        || second == nil && barePragmas.contains((first ?? "").lowercased())
    default: false
    }
  }
}
