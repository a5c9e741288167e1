internal import GRDB
internal import GRDBSQLite

/// A prepared statement on SQLite's own handle, for the paths that run once per dictionary entry or per row of an answer.
///
/// Belongs to the connection's queue, as the connection does. Column and parameter pointers handed out by SQLite are read
/// before the next call on the same statement, never kept.
final class Statement {
  private let handle: OpaquePointer
  private let connection: OpaquePointer
  let sql: String

  /// Tells SQLite to copy bound text and blobs before the call returns.
  private static let copied = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

  /// Compiles one statement; more text after it is refused. `isKept` tells SQLite that the statement lives long.
  init(_ sql: String, on connection: OpaquePointer, isKept: Bool = false) throws(StoreError) {
    var handle: OpaquePointer?
    // The text is passed with its length, so that a NUL inside cannot hide a second statement.
    var bytes = Array(sql.utf8)
    if let nul = bytes.firstIndex(of: 0) { bytes.removeSubrange(nul...) }
    let (code, rest) = bytes.withUnsafeBytes { raw -> (Int32, Int) in
      let start = raw.bindMemory(to: CChar.self).baseAddress
      var tail: UnsafePointer<CChar>?
      let code = sqlite3_prepare_v3(
        connection, start, Int32(clamping: raw.count), isKept ? UInt32(SQLITE_PREPARE_PERSISTENT) : 0, &handle, &tail)
      guard let start, let tail else { return (code, 0) }
      return (code, tail - start)
    }
    guard code == SQLITE_OK else { throw StoreError(connection: connection, sql: sql) }
    guard let handle else { throw .refused(reason: "there is no statement in it") }
    guard Statement.isBlank(bytes[min(rest, bytes.count)...], on: connection) else {
      sqlite3_finalize(handle)
      throw .refused(reason: "only one statement at a time")
    }
    self.handle = handle
    self.connection = connection
    self.sql = sql
  }

  deinit { sqlite3_finalize(handle) }

  /// Nothing but white space, semicolons and comments: SQLite compiles it to no statement.
  private static func isBlank(_ text: ArraySlice<UInt8>, on connection: OpaquePointer) -> Bool {
    var rest = text
    while !rest.isEmpty {
      var handle: OpaquePointer?
      let used = rest.withUnsafeBytes { raw -> Int in
        let start = raw.bindMemory(to: CChar.self).baseAddress
        var tail: UnsafePointer<CChar>?
        let code = sqlite3_prepare_v3(connection, start, Int32(clamping: raw.count), 0, &handle, &tail)
        guard code == SQLITE_OK, let start, let tail else { return -1 }
        return tail - start
      }
      if let handle {
        sqlite3_finalize(handle)
        return false
      }
      guard used > 0 else { return used == 0 }
      rest = rest.dropFirst(used)
    }
    return true
  }

  // MARK: Parameters

  /// Names as written, with their `:`, in order; an unnamed parameter is `?`.
  var parameters: [String] {
    let count = sqlite3_bind_parameter_count(handle)
    guard count > 0 else { return [] }
    return (1...count).map { sqlite3_bind_parameter_name(handle, $0).map { String(cString: $0) } ?? "?" }
  }

  var isReadOnly: Bool { sqlite3_stmt_readonly(handle) != 0 }

  func bind(_ value: Int64?, at index: Int32) {
    if let value { sqlite3_bind_int64(handle, index, value) } else { sqlite3_bind_null(handle, index) }
  }

  /// Both ends, at `index` and behind it: of `between`.
  func bind(_ ids: ClosedRange<Int64>, at index: Int32) {
    bind(ids.lowerBound, at: index)
    bind(ids.upperBound, at: index + 1)
  }

  func bind(_ value: String?, at index: Int32) {
    guard var value else {
      sqlite3_bind_null(handle, index)
      return
    }
    value.withUTF8 { text in
      // An empty string may have no address; SQLite would take that for NULL.
      guard let start = text.baseAddress else {
        sqlite3_bind_text(handle, index, "", 0, Statement.copied)
        return
      }
      start.withMemoryRebound(to: CChar.self, capacity: text.count) {
        _ = sqlite3_bind_text64(
          handle, index, $0, UInt64(text.count), Statement.copied, UInt8(SQLITE_UTF8))
      }
    }
  }

  func bind(_ value: [UInt8]?, at index: Int32) {
    guard let value else {
      sqlite3_bind_null(handle, index)
      return
    }
    value.withUnsafeBytes { bytes in
      guard let start = bytes.baseAddress, !bytes.isEmpty else {
        sqlite3_bind_zeroblob(handle, index, 0)
        return
      }
      sqlite3_bind_blob64(handle, index, start, UInt64(bytes.count), Statement.copied)
    }
  }

  func bind(_ value: Value, at index: Int32) {
    switch value {
    case .null: sqlite3_bind_null(handle, index)
    case .integer(let value): sqlite3_bind_int64(handle, index, value)
    case .real(let value): sqlite3_bind_double(handle, index, value)
    case .text(let value): bind(value, at: index)
    case .blob(let value): bind(value, at: index)
    }
  }

  // MARK: Steps

  /// Steps to the end with a blob that is not copied: it stays where it is until then.
  /// - Parameter value: not empty.
  /// - Returns: what failed; closures that lend memory cannot throw it by its type.
  func failure(withUnmoved value: UnsafeRawBufferPointer, at index: Int32) -> StoreError? {
    defer { bind(Int64?.none, at: index) }
    sqlite3_bind_blob64(handle, index, value.baseAddress, UInt64(value.count), nil)
    do throws(StoreError) {
      while try step() {}
      return nil
    } catch {
      return error
    }
  }

  /// Moves to the next row; false at the end, after which the statement can run again.
  func step() throws(StoreError) -> Bool {
    switch sqlite3_step(handle) {
    case SQLITE_ROW: return true
    case SQLITE_DONE:
      sqlite3_reset(handle)
      return false
    default:
      let error = StoreError(connection: connection, sql: sql)
      sqlite3_reset(handle)
      throw error
    }
  }

  /// Runs to the end with these values.
  func run(_ values: Value...) throws(StoreError) { try run(values) }

  func run(_ values: [Value]) throws(StoreError) {
    for (index, value) in values.enumerated() { bind(value, at: Int32(index + 1)) }
    while try step() {}
  }

  func reset() { sqlite3_reset(handle) }

  // MARK: Columns of the present row

  var columnCount: Int32 { sqlite3_column_count(handle) }

  var columnNames: [String] {
    (0..<columnCount).map { sqlite3_column_name(handle, $0).map { String(cString: $0) } ?? "" }
  }

  /// SQLite's code of the value's storage class; before the value is asked for.
  func type(_ column: Int32) -> Int32 { sqlite3_column_type(handle, column) }

  func int(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

  func optionalInt(_ column: Int32) -> Int64? {
    sqlite3_column_type(handle, column) == SQLITE_NULL ? nil : sqlite3_column_int64(handle, column)
  }

  /// - Parameter known: given back where the text is the same: of what many rows hold, one copy is enough.
  func text(_ column: Int32, perhaps known: String? = nil) -> String? {
    guard let text = sqlite3_column_text(handle, column) else { return nil }
    // SQLite keeps column_bytes bytes readable at the pointer until the next call on this statement.
    let bytes = UnsafeBufferPointer(start: text, count: Int(sqlite3_column_bytes(handle, column)))
    if let known, known.utf8.count == bytes.count, known.utf8.elementsEqual(bytes) { return known }
    return String(decoding: bytes, as: UTF8.self)
  }

  func blob(_ column: Int32) -> [UInt8]? {
    guard sqlite3_column_type(handle, column) != SQLITE_NULL else { return nil }
    guard let start = sqlite3_column_blob(handle, column) else { return [] }
    // As for text: in bounds until the next call on this statement.
    return Array(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))))
  }

  /// The bytes of a blob without a copy, valid inside `body` only; none for NULL.
  func withBlob<Result>(_ column: Int32, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    // As for text: in bounds until the next call on this statement.
    let start = sqlite3_column_blob(handle, column)
    return body(
      UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(sqlite3_column_bytes(handle, column))))
  }

  func value(_ column: Int32) -> Value {
    switch sqlite3_column_type(handle, column) {
    case SQLITE_INTEGER: .integer(sqlite3_column_int64(handle, column))
    case SQLITE_FLOAT: .real(sqlite3_column_double(handle, column))
    case SQLITE_TEXT: .text(text(column) ?? "")
    case SQLITE_BLOB: .blob(blob(column) ?? [])
    default: .null
    }
  }
}

extension StoreError {
  /// The connection's last error.
  init(connection: OpaquePointer, sql: String?) {
    self = .sqlite(
      code: sqlite3_extended_errcode(connection), message: String(cString: sqlite3_errmsg(connection)), sql: sql)
  }
}
