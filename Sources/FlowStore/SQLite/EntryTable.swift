internal import GRDBSQLite

/// Rows of numbers and texts as an SQLite table, for one `insert ... select` (see `BatchTable`, which does this for flows): what a
/// batch brings of new dictionary entries.
///
/// The texts lie side by side in one stretch of memory, so that a row costs no allocation here and no copy on its way into
/// SQLite's record.
struct EntryTable {
  static let name = "entry_row"
  /// As many as the widest dictionary has.
  static let maxColumns = 14
  /// The names of the first `count` columns.
  static func columns(_ count: Int) -> [String] { (0..<count).map { "c\($0)" } }

  private struct Cell {
    enum Kind { case null, number, text }
    var kind: Kind
    /// The number, or where the text begins.
    var value: Int64
    var count: Int32
  }

  /// The rows at the moment; emptied after each insert.
  struct Content {
    private var cells: [Cell] = []
    private var bytes: [UInt8] = []
    private(set) var columnCount = 0
    fileprivate private(set) var count = 0
    /// Of the two arrays, while an insert runs.
    private var cellsStart: UnsafePointer<Cell>?
    private var bytesStart: UnsafePointer<UInt8>?

    var isEmpty: Bool { cells.isEmpty }
    /// Memory that the texts take; it only bounds how much is put off.
    var size: Int { bytes.count }

    mutating func append(_ row: [Value]) {
      precondition(row.count <= EntryTable.maxColumns && (cells.isEmpty || row.count == columnCount))
      columnCount = row.count
      for value in row {
        switch value {
        case .integer(let number): cells.append(Cell(kind: .number, value: number, count: 0))
        case .text(var text):
          let start = bytes.count
          text.withUTF8 { bytes.append(contentsOf: $0) }
          cells.append(Cell(kind: .text, value: Int64(start), count: Int32(bytes.count - start)))
        case .null: cells.append(Cell(kind: .null, value: 0, count: 0))
        case .real, .blob: preconditionFailure("dictionaries hold numbers and texts")
        }
      }
    }

    mutating func removeAll() {
      cells.removeAll(keepingCapacity: true)
      bytes.removeAll(keepingCapacity: true)
    }

    /// Runs `insert`, which reads the table `entry_row`, over these rows.
    static func run(
      _ content: UnsafeMutablePointer<Content>, _ insert: Statement
    ) throws(StoreError) {
      // The arrays stay as they are, and their memory where it is, until the closures end.
      let failure: StoreError? = content.pointee.cells.withUnsafeBufferPointer { cells in
        content.pointee.bytes.withUnsafeBufferPointer { bytes in
          content.pointee.cellsStart = cells.baseAddress
          content.pointee.bytesStart = bytes.baseAddress
          content.pointee.count = cells.count / max(content.pointee.columnCount, 1)
          defer { (content.pointee.cellsStart, content.pointee.bytesStart, content.pointee.count) = (nil, nil, 0) }
          do throws(StoreError) {
            while try insert.step() {}
            return nil
          } catch {
            return error
          }
        }
      }
      content.pointee.removeAll()
      if let failure { throw failure }
    }

    /// `row` is below `count` and `column` below `columnCount`.
    fileprivate func result(_ row: Int, _ column: Int, to context: OpaquePointer?) {
      let cell = cellsStart![row * columnCount + column]
      switch cell.kind {
      case .null: break
      case .number: sqlite3_result_int64(context, cell.value)
      case .text:
        // No destructor: the memory outlives the statement. An empty text may have no address, which would mean NULL.
        guard cell.count > 0, let bytesStart else { return sqlite3_result_text(context, "", 0, EntryTable.copied) }
        UnsafeRawPointer(bytesStart + Int(cell.value)).withMemoryRebound(to: CChar.self, capacity: Int(cell.count)) {
          sqlite3_result_text(context, $0, cell.count, nil)
        }
      }
    }
  }

  /// Tells SQLite to copy a text before the call returns.
  private static let copied = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

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
      let columns = EntryTable.columns(EntryTable.maxColumns).joined(separator: ", ")
      let code = sqlite3_declare_vtab(connection, "create table \(EntryTable.name) (\(columns))")
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
      index?.pointee.estimatedCost = 1000
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
      // SQLite asks xEof first; columns beyond the rows' own are asked for by nobody, and are NULL.
      guard column < content.pointee.columnCount else { return SQLITE_OK }
      content.pointee.result(cursor.pointee.next, Int(column), to: context)
      return SQLITE_OK
    }
    module.initialize(to: methods)
    return UnsafePointer(module)
  }()
}
