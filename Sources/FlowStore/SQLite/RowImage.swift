internal import GRDB
internal import GRDBSQLite
internal import Glibc

/// The rows of batches as pages of a small database in memory, from which SQLite takes each record as it stands.
///
/// `insert into main.flow select * from` a table of the same columns copies records without looking into them
/// (sqlite.org/src/file/src/insert.c, `xferOptimization`); SQLite opens a database that lies in memory with
/// `sqlite3_deserialize`. So the store's file is written by SQLite and by nobody else, byte for byte as `BatchTable` would
/// have it, in half the time (measured with SQLite 3.40: 0.17 against 0.35 microseconds a row, building the records
/// included). Where another SQLite does not know the shortcut, the same statement is only slower.
///
/// SQLite keeps pages of the image while a transaction lasts. So each batch of a transaction gets a table and pages of its
/// own, and the image's change counter moves with each, by which SQLite sees in the next transaction that its pages are
/// old (sqlite.org/fileformat2.html section 1.3.7).
final class RowImage {
  static let schema = "row_image"
  static let pageSize = 16_384
  /// Batches of one transaction: more than there are between two commits of large logs.
  static let tableCount = 64
  /// Room for as many batches of the longest rows; only what a transaction needs is ever touched.
  static let pageCount = 1_024
  /// Batches of fewer rows are not worth a statement on pages of their own: that costs what some thirty rows cost in the plain
  /// way. With most flows in sums, a batch has few rows left.
  static let leastRows = 32

  private static let headerSize = 8
  /// Length, row id, and `FlowRecordWriter.longest`.
  private static let longestCell = 1 + 9 + FlowRecordWriter.longest
  private static let firstLeaf = 2 + tableCount

  private let connection: OpaquePointer
  private let memory: UnsafeMutableRawPointer
  private let scratch: UnsafeMutableRawPointer
  /// One per table, made when it is first needed.
  private var inserts: [Statement] = []
  private var counter: UInt32 = 1
  private var nextTable = 0
  /// 1-based, as SQLite numbers pages.
  private var nextPage = firstLeaf
  /// Last row id of each leaf of the table being written.
  private var lastIDs: [Int64] = []

  /// Attaches the image to the connection; to be called after the pragmas that hold for all databases of a connection.
  init(_ db: Database) throws(StoreError) {
    guard let connection = db.sqliteConnection else { preconditionFailure("a connection that was just opened") }
    self.connection = connection
    memory = .allocate(byteCount: RowImage.pageCount * RowImage.pageSize, alignment: RowImage.pageSize)
    scratch = .allocate(byteCount: FlowRecordWriter.scratchSize, alignment: 8)
    writeHeaderPage()
    try db.run("attach ':memory:' as \(RowImage.schema)")
    let size = Int64(RowImage.pageCount * RowImage.pageSize)
    // Without flags SQLite neither frees nor moves the memory; it lives as long as this object, which outlives the connection.
    guard
      sqlite3_deserialize(
        connection, RowImage.schema, memory.assumingMemoryBound(to: UInt8.self), size, size, 0) == SQLITE_OK
    else { throw StoreError(connection: connection, sql: nil) }
    // There is nothing to roll back in it, and its pages are read once.
    try db.run("pragma \(RowImage.schema).journal_mode = off")
    try db.run("pragma \(RowImage.schema).cache_size = 16")
  }

  deinit {
    memory.deallocate()
    scratch.deallocate()
  }

  /// Statements must go before the connection does.
  func finalize() { inserts.removeAll() }

  /// What was copied may be written over: the transaction has ended.
  func transactionEnded() {
    // A statement that still reads would keep the transaction, and with it the pages, alive.
    guard sqlite3_txn_state(connection, RowImage.schema) == SQLITE_TXN_NONE else { return }
    nextTable = 0
    nextPage = RowImage.firstLeaf
  }

  /// Gives what batches have written to back to the system until the next one; not inside a transaction that has some.
  func giveBack() {
    guard nextPage == RowImage.firstLeaf else { return }
    madvise(page(nextPage), (RowImage.pageCount - nextPage + 1) * RowImage.pageSize, MADV_DONTNEED)
  }

  /// Stores the rows with consecutive ids from `firstID` on, inside the open transaction.
  /// - Parameter content: its ids must have been checked.
  /// - Returns: false when these rows are too few, or this transaction has no room left for them; then nothing was done.
  func insert(_ content: BatchTable.Content, firstID: Int64) throws(StoreError) -> Bool {
    let count = content.count
    let mostPages = count * (RowImage.longestCell + 2) / (RowImage.pageSize - RowImage.headerSize) + 1
    guard count >= RowImage.leastRows, nextTable < RowImage.tableCount, nextPage + mostPages <= RowImage.pageCount,
      firstID > 0, firstID <= Int64.max - Int64(count)
    else { return false }
    let table = nextTable
    nextTable += 1
    if inserts.count == table {
      inserts.append(
        try Statement(
          "insert into main.flow select * from \(RowImage.schema).rows_\(table)", on: connection, isKept: true))
    }
    write(content, firstID: firstID, root: 2 + table)
    counter &+= 1
    writeCounter()
    while try inserts[table].step() {}
    return true
  }

  // MARK: Pages

  private func page(_ number: Int) -> UnsafeMutableRawPointer { memory + (number - 1) * RowImage.pageSize }

  /// A table b-tree of one leaf, or of leaves under one inner page (fileformat2 section 1.6).
  private func write(_ content: BatchTable.Content, firstID: Int64, root: Int) {
    lastIDs.removeAll(keepingCapacity: true)
    let firstPage = nextPage
    var index = 0
    while index < content.count {
      index = writeLeaf(page(nextPage), content, from: index, firstID: firstID)
      lastIDs.append(firstID + Int64(index) - 1)
      nextPage += 1
    }
    guard lastIDs.count > 1 else {
      page(root).copyMemory(from: page(firstPage), byteCount: RowImage.pageSize)
      nextPage = firstPage
      return
    }
    let inner = page(root)
    var top = RowImage.pageSize
    for (place, lastID) in lastIDs.dropLast().enumerated() {
      var bytes: (UInt64, UInt64) = (0, 0)
      withUnsafeMutableBytes(of: &bytes) { cell in
        let start = cell.baseAddress!
        start.storeBytes(of: UInt32(firstPage + place).bigEndian, as: UInt32.self)
        let size = 4 + FlowRecordWriter.write(UInt64(lastID), to: start + 4)
        top -= size
        (inner + top).copyMemory(from: start, byteCount: size)
      }
      (inner + 12 + 2 * place).storeBytes(of: UInt16(top).bigEndian, as: UInt16.self)
    }
    writeHeader(inner, kind: 5, cells: lastIDs.count - 1, top: top)
    (inner + 8).storeBytes(of: UInt32(firstPage + lastIDs.count - 1).bigEndian, as: UInt32.self)
  }

  /// Fills a leaf; returns the index of the first row that has no room in it.
  private func writeLeaf(
    _ page: UnsafeMutableRawPointer, _ content: BatchTable.Content, from first: Int, firstID: Int64
  ) -> Int {
    let record = FlowRecordWriter(scratch: scratch)
    var top = RowImage.pageSize
    var pointers = RowImage.headerSize
    var index = first
    while index < content.count {
      let size = record.write(content, index)
      let id = UInt64(firstID &+ Int64(index))
      let cell = 1 &+ FlowRecordWriter.length(of: id) &+ size
      guard top &- cell >= pointers &+ 2 else { break }
      top &-= cell
      let start = page + top
      // A record has less than 128 bytes, so its length is one byte.
      start.storeBytes(of: UInt8(truncatingIfNeeded: size), as: UInt8.self)
      let idLength = FlowRecordWriter.write(id, to: start + 1)
      (start + 1 + idLength).copyMemory(from: scratch, byteCount: size)
      (page + pointers).storeBytes(of: UInt16(truncatingIfNeeded: top).bigEndian, as: UInt16.self)
      pointers += 2
      index += 1
    }
    writeHeader(page, kind: 13, cells: index - first, top: top)
    return index
  }

  /// The database header (fileformat2 section 1.3) and behind it the leaf that is the schema (section 2.6).
  private func writeHeaderPage() {
    let header = page(1)
    header.initializeMemory(as: UInt8.self, repeating: 0, count: RowImage.pageSize)
    header.copyMemory(from: Array("SQLite format 3\0".utf8), byteCount: 16)
    func write<Number: FixedWidthInteger>(_ value: Number, at offset: Int) {
      (header + offset).storeBytes(of: value.bigEndian, as: Number.self)
    }
    write(UInt16(RowImage.pageSize), at: 16)
    // No WAL; and the fractions that are always 64, 32, 32.
    for (offset, value) in zip(18..., [1, 1, 0, 64, 32, 32] as [UInt8]) { write(value, at: offset) }
    writeCounter()
    write(UInt32(RowImage.pageCount), at: 28)
    // Schema cookie, schema format, text as UTF-8, and a version of SQLite that writes such a file.
    for (offset, value) in [(40, 1), (44, 4), (56, 1), (96, 3_040_001)] as [(Int, UInt32)] { write(value, at: offset) }

    var top = RowImage.pageSize
    let columns = (["id integer primary key"] + BatchTable.columns).joined(separator: ", ")
    for table in 0..<RowImage.tableCount {
      let name = "rows_\(table)"
      let texts = ["table", name, name, "create table \(name) (\(columns))"].map { Array($0.utf8) }
      // type, name, tbl_name, rootpage (a byte), sql
      var record: [UInt8] = []
      for (place, text) in texts.enumerated() {
        if place == 3 { record.append(1) }
        record += RowImage.number(UInt64(13 + 2 * text.count))
      }
      record.insert(UInt8(record.count + 1), at: 0)
      for (place, text) in texts.enumerated() {
        if place == 3 { record.append(UInt8(2 + table)) }
        record += text
      }
      let cell = RowImage.number(UInt64(record.count)) + RowImage.number(UInt64(table + 1)) + record
      top -= cell.count
      (header + top).copyMemory(from: cell, byteCount: cell.count)
      write(UInt16(top), at: 100 + RowImage.headerSize + 2 * table)
    }
    writeHeader(header + 100, kind: 13, cells: RowImage.tableCount, top: top)
  }

  private static func number(_ value: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 9)
    let length = bytes.withUnsafeMutableBytes { FlowRecordWriter.write(value, to: $0.baseAddress!) }
    return Array(bytes.prefix(length))
  }

  private func writeHeader(_ page: UnsafeMutableRawPointer, kind: UInt8, cells: Int, top: Int) {
    page.storeBytes(of: kind, as: UInt8.self)
    (page + 1).storeBytes(of: 0, as: UInt16.self)
    (page + 3).storeBytes(of: UInt16(cells).bigEndian, as: UInt16.self)
    (page + 5).storeBytes(of: UInt16(top).bigEndian, as: UInt16.self)
    (page + 7).storeBytes(of: 0, as: UInt8.self)
  }

  /// The change counter, and the version it vouches for the size in the header with.
  private func writeCounter() {
    for offset in [24, 92] { (memory + offset).storeBytes(of: counter.bigEndian, as: UInt32.self) }
  }
}
