internal import Flows
internal import GRDBSQLite

/// The rows of one batch as an SQLite table, so that a single `insert ... select` stores all of them: the plain way, for
/// batches that `RowImage` has no room for.
///
/// SQLite then asks for each column through a function pointer and never leaves its own loop between two rows; no
/// parameter is bound, nothing is allocated per row. With SQLite 3.40 and 12 columns of integers this stores 1.6 times as
/// many rows a second as binding and stepping row by row.
///
/// An eponymous virtual table (sqlite.org/vtab.html section 2.1.2): it exists by its module's name alone, on this connection.
struct BatchTable {
  static let name = "batch_row"
  static let columns = [
    "started_at_ms", "duration_ms", "source", "destination", "outcome", "path_template", "ports", "sent", "received",
    "request_hash", "line",
  ]

  /// What the table shows at the moment; set around one insert, empty otherwise.
  struct Content {
    var rows: UnsafePointer<FlowRow>?
    var count = 0
    /// Row ids by the parser's local ids. `BatchWriter.append` has checked that each id of each row is inside.
    var sources: UnsafePointer<Int64>?
    var destinations: UnsafePointer<Int64>?
    var outcomes: UnsafePointer<Int64>?
    var pathTemplates: UnsafePointer<Int64>?
  }

  /// Both ports in one column; from the middle of the range down, most need no more than four bytes.
  @inline(__always)
  static func ports(of row: FlowRow) -> Int64 {
    (Int64(row.sourcePort) << 16 | Int64(row.localPort)) &- 1 << 31
  }

  // SQLite takes pointers to these two for pointers to their first member.
  private struct Table {
    var base = sqlite3_vtab()
    var content: UnsafeMutablePointer<Content>
  }
  private struct Cursor {
    var base = sqlite3_vtab_cursor()
    var content: UnsafeMutablePointer<Content>
    var next = 0
  }

  /// Makes the table known to a connection; `content` must outlive it.
  static func register(on connection: OpaquePointer, content: UnsafeMutablePointer<Content>) throws(StoreError) {
    guard sqlite3_create_module_v2(connection, name, module, content, nil) == SQLITE_OK else {
      throw StoreError(connection: connection, sql: nil)
    }
  }

  /// Lives as long as the program: SQLite keeps the address.
  nonisolated(unsafe) private static let module: UnsafePointer<sqlite3_module> = {
    let module = UnsafeMutablePointer<sqlite3_module>.allocate(capacity: 1)
    var methods = sqlite3_module()
    methods.xConnect = { connection, content, _, _, table, _ in
      let code = sqlite3_declare_vtab(
        connection, "create table \(BatchTable.name) (\(BatchTable.columns.joined(separator: ", ")))")
      guard code == SQLITE_OK, let content, let table else { return code }
      let made = UnsafeMutablePointer<Table>.allocate(capacity: 1)
      made.initialize(to: Table(content: content.assumingMemoryBound(to: Content.self)))
      table.pointee = UnsafeMutableRawPointer(made).assumingMemoryBound(to: sqlite3_vtab.self)
      return SQLITE_OK
    }
    methods.xDisconnect = { table in
      guard let table else { return SQLITE_OK }
      UnsafeMutableRawPointer(table).assumingMemoryBound(to: Table.self).deallocate()
      return SQLITE_OK
    }
    methods.xBestIndex = { _, index in
      index?.pointee.estimatedCost = Double(FlowBatch.defaultCapacity)
      index?.pointee.estimatedRows = Int64(FlowBatch.defaultCapacity)
      return SQLITE_OK
    }
    methods.xOpen = { table, cursor in
      guard let table, let cursor else { return SQLITE_MISUSE }
      let content = UnsafeMutableRawPointer(table).assumingMemoryBound(to: Table.self).pointee.content
      let made = UnsafeMutablePointer<Cursor>.allocate(capacity: 1)
      made.initialize(to: Cursor(content: content))
      cursor.pointee = UnsafeMutableRawPointer(made).assumingMemoryBound(to: sqlite3_vtab_cursor.self)
      return SQLITE_OK
    }
    methods.xClose = { cursor in
      guard let cursor else { return SQLITE_OK }
      UnsafeMutableRawPointer(cursor).assumingMemoryBound(to: Cursor.self).deallocate()
      return SQLITE_OK
    }
    methods.xFilter = { cursor, _, _, _, _ in
      UnsafeMutableRawPointer(cursor!).assumingMemoryBound(to: Cursor.self).pointee.next = 0
      return SQLITE_OK
    }
    methods.xNext = { cursor in
      UnsafeMutableRawPointer(cursor!).assumingMemoryBound(to: Cursor.self).pointee.next &+= 1
      return SQLITE_OK
    }
    methods.xEof = { cursor in
      let cursor = UnsafeMutableRawPointer(cursor!).assumingMemoryBound(to: Cursor.self)
      return cursor.pointee.next < cursor.pointee.content.pointee.count ? 0 : 1
    }
    methods.xRowid = { cursor, id in
      id?.pointee = Int64(UnsafeMutableRawPointer(cursor!).assumingMemoryBound(to: Cursor.self).pointee.next)
      return SQLITE_OK
    }
    methods.xColumn = { cursor, context, column in
      let cursor = UnsafeMutableRawPointer(cursor!).assumingMemoryBound(to: Cursor.self)
      let content = cursor.pointee.content
      // `next` is below `count`, for SQLite asks xEof first; `rows` holds `count` rows.
      let row = content.pointee.rows! + cursor.pointee.next
      // The ids are inside their maps: checked for the whole batch before the insert.
      switch column {
      case 0: sqlite3_result_int64(context, row.pointee.startedAtMs)
      case 1: if row.pointee.durationMs >= 0 { sqlite3_result_int64(context, row.pointee.durationMs) }
      case 2: sqlite3_result_int64(context, content.pointee.sources![Int(row.pointee.source)])
      case 3: sqlite3_result_int64(context, content.pointee.destinations![Int(row.pointee.destination)])
      case 4: sqlite3_result_int64(context, content.pointee.outcomes![Int(row.pointee.outcome)])
      case 5:
        if row.pointee.pathTemplate >= 0 {
          sqlite3_result_int64(context, content.pointee.pathTemplates![Int(row.pointee.pathTemplate)])
        }
      case 6: sqlite3_result_int64(context, BatchTable.ports(of: row.pointee))
      case 7: if row.pointee.sent >= 0 { sqlite3_result_int64(context, row.pointee.sent) }
      case 8: if row.pointee.received >= 0 { sqlite3_result_int64(context, row.pointee.received) }
      case 9:
        if row.pointee.requestHash != 0 {
          sqlite3_result_int64(context, Int64(bitPattern: row.pointee.requestHash))
        }
      default: sqlite3_result_int64(context, row.pointee.line)
      }
      return SQLITE_OK
    }
    module.initialize(to: methods)
    return UnsafePointer(module)
  }()
}
