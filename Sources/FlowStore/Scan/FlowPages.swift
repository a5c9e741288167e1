internal import GRDB
internal import GRDBSQLite
internal import Glibc

/// The leaves of the table `flow`, as pages of the file: the way to look at every flow without SQLite's own loop, which
/// spends ten times as long on each row.
///
/// Read through SQLite's own file handle (another one would drop SQLite's locks when closed), inside a read transaction,
/// and only while the write-ahead log is empty. SQLite then holds a lock under which nobody writes to the file before
/// the transaction ends (sqlite.org/walformat.html section 2.3.2: a checkpoint needs WAL_READ_LOCK(0) for itself), so
/// the pages are one state of the store. In all other cases there are no pages, and the reader asks SQL.
///
/// Pages are not trusted: every offset is checked, and what is not as the store writes it ends the reading.
///
/// `@unchecked Sendable`: all that changes is the file's position, and reading happens under `lock`.
final class FlowPages: @unchecked Sendable {
  /// Why the pages cannot be used; not an error, for SQL can still answer.
  struct Unusable: Error {}

  /// Numbers of the leaf pages, in the order of their row ids, and the highest id that each may hold.
  private var leaves: [UInt32] = []
  private var lastIDs: [Int64] = []
  let pageSize: Int
  /// Without the bytes that an extension may have reserved at the end.
  let usableSize: Int

  private let file: UnsafeMutablePointer<sqlite3_file>
  private let pageCount: UInt32
  private let lock: UnsafeMutablePointer<pthread_mutex_t>

  /// Pages read at a time where they follow one another in the file.
  static let pagesPerRead = 16
  /// A tree of 2^32 pages is not this high.
  private static let maxHeight = 20
  /// Readable bytes behind what was read: a damaged row's values may seem to lie this far behind its page (11 of at most
  /// 255 bytes each) before that is noticed.
  static let slack = 4096

  /// - Parameter db: inside a transaction; the first look that opens its snapshot is made here.
  convenience init?(_ db: Database, path: String) throws {
    guard let connection = db.sqliteConnection else { return nil }
    let table = try db.statement("select rootpage from sqlite_schema where type = 'table' and name = 'flow'")
    guard try table.step(), let root = UInt32(exactly: table.int(0)) else { return nil }
    table.reset()
    try self.init(connection: connection, path: path, root: root)
  }

  private init(connection: OpaquePointer, path: String, root: UInt32) throws(Unusable) {
    guard FlowPages.isEmpty(path + "-wal"), FlowPages.isEmpty(path + "-journal") else { throw Unusable() }
    var handle: UnsafeMutablePointer<sqlite3_file>?
    let code = sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, &handle)
    guard code == SQLITE_OK, let handle, handle.pointee.pMethods != nil else { throw Unusable() }
    file = handle
    var header = [UInt8](repeating: 0, count: FileHeader.length)
    let isRead = header.withUnsafeMutableBytes {
      handle.pointee.pMethods.pointee.xRead(handle, $0.baseAddress, Int32($0.count), 0) == SQLITE_OK
    }
    var size: Int64 = 0
    guard isRead, handle.pointee.pMethods.pointee.xFileSize(handle, &size) == SQLITE_OK else { throw Unusable() }
    // sqlite.org/fileformat2.html section 1.3: 65,536 is written as 1.
    let stated = Int(header[16]) << 8 | Int(header[17])
    let pageSize = stated == 1 ? 65_536 : stated
    guard pageSize >= 512, pageSize.nonzeroBitCount == 1, Int(header[20]) <= pageSize - 480 else { throw Unusable() }
    self.pageSize = pageSize
    usableSize = pageSize - Int(header[20])
    pageCount = UInt32(clamping: size / Int64(pageSize))
    lock = .allocate(capacity: 1)
    pthread_mutex_init(lock, nil)
    let page = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize + FlowPages.slack, alignment: 16)
    defer { page.deallocate() }
    try descend(to: root, height: 0, lastID: .max, page)
  }

  deinit {
    pthread_mutex_destroy(lock)
    lock.deallocate()
  }

  private static func isEmpty(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_size == 0 : errno == ENOENT
  }

  /// Collects the leaves below a page. Section 1.6: an interior page of a table has type 5, a header of 12 bytes with the
  /// right-most child at 8, and cells of a child's number and the highest row id below it, as a varint.
  private func descend(
    to number: UInt32, height: Int, lastID: Int64, _ page: UnsafeMutableRawBufferPointer
  ) throws(Unusable) {
    guard height < FlowPages.maxHeight else { throw Unusable() }
    try read(number, count: 1, into: page)
    if page[0] == 0x0D {
      leaves.append(number)
      lastIDs.append(lastID)
      return
    }
    guard page[0] == 0x05 else { throw Unusable() }
    func number16(_ at: Int) -> Int { Int(page[at]) << 8 | Int(page[at + 1]) }
    func number32(_ at: Int) -> UInt32 { UInt32(number16(at)) << 16 | UInt32(number16(at + 2)) }
    let count = number16(3)
    guard 12 + 2 * count <= usableSize else { throw Unusable() }
    var children: [UInt32] = []
    var ids: [Int64] = []
    for index in 0..<count {
      let cell = number16(12 + 2 * index)
      // The slack behind the page holds what a varint at its end may seem to go on with.
      guard cell + 4 <= usableSize else { throw Unusable() }
      children.append(number32(cell))
      ids.append(FlowPages.varint(UnsafeRawBufferPointer(page), at: cell + 4))
    }
    children.append(number32(8))
    ids.append(lastID)
    guard zip(ids, ids.dropFirst()).allSatisfy({ $0 <= $1 }), ids[0] > lastIDs.last ?? .min else { throw Unusable() }
    // All children of a page are of one kind: a look at the first tells whether they are leaves.
    try read(children[0], count: 1, into: page)
    if page[0] == 0x0D {
      leaves += children
      lastIDs += ids
      guard leaves.count <= Int(pageCount) else { throw Unusable() }
    } else {
      for (child, id) in zip(children, ids) { try descend(to: child, height: height + 1, lastID: id, page) }
    }
  }

  /// Section 1.6: at most nine bytes, the last with eight bits.
  private static func varint(_ bytes: UnsafeRawBufferPointer, at start: Int) -> Int64 {
    var number: UInt64 = 0
    for index in 0..<8 {
      let byte = bytes[start + index]
      number = number << 7 | UInt64(byte & 0x7F)
      if byte < 0x80 { return Int64(bitPattern: number) }
    }
    return Int64(bitPattern: number << 8 | UInt64(bytes[start + 8]))
  }

  // MARK: Rows

  /// Some leaves in a row, and which of their rows are meant.
  struct Stretch {
    var leaves: Range<Int>
    var ids: ClosedRange<Int64>
  }

  /// The leaves that hold rows of a range of ids, at most `count` to a stretch.
  func stretches(of ids: ClosedRange<Int64>, leaves count: Int) -> [Stretch] {
    guard !leaves.isEmpty else { return [] }
    /// The first leaf that may hold an id or a higher one.
    func leaf(of id: Int64) -> Int {
      var (low, high) = (0, leaves.count - 1)
      while low < high {
        let middle = (low + high) / 2
        if lastIDs[middle] < id { low = middle + 1 } else { high = middle }
      }
      return low
    }
    let (first, last) = (leaf(of: ids.lowerBound), leaf(of: ids.upperBound))
    return stride(from: first, through: last, by: count).map {
      Stretch(leaves: $0..<min($0 + count, last + 1), ids: ids)
    }
  }

  /// Room for what `forEach` reads at a time, for the caller to deallocate.
  func makeBuffer() -> UnsafeMutableRawBufferPointer {
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: FlowPages.pagesPerRead * pageSize + FlowPages.slack, alignment: 16)
    buffer.initializeMemory(as: UInt8.self, repeating: 0)
    return buffer
  }

  /// Calls `body` for each row of a stretch; false when something is not as the store writes it.
  @inline(__always)
  func forEach(
    in stretch: Stretch, _ buffer: UnsafeMutableRawBufferPointer, _ body: (FlowRecord) -> Void
  ) -> Bool {
    forEachPage(in: stretch, buffer) { page in
      FlowRecord.forEach(in: page, usableSize: usableSize) { flow in
        if flow.id >= stretch.ids.lowerBound, flow.id <= stretch.ids.upperBound { body(flow) }
      }
    }
  }

  /// Calls `body` for each leaf of a stretch until it says false; false then, and where a page cannot be read.
  @inline(__always)
  func forEachPage(
    in stretch: Stretch, _ buffer: UnsafeMutableRawBufferPointer, _ body: (UnsafeRawPointer) -> Bool
  ) -> Bool {
    do throws(Unusable) {
      var leaf = stretch.leaves.lowerBound
      while leaf < stretch.leaves.upperBound {
        let count = run(from: leaf, below: stretch.leaves.upperBound)
        try read(leaves[leaf], count: count, into: buffer)
        for page in 0..<count {
          guard body(UnsafeRawPointer(buffer.baseAddress! + page * pageSize)) else { return false }
        }
        leaf += count
      }
      return true
    } catch {
      return false
    }
  }

  /// How many of the leaves from `index` on lie side by side in the file, and fit into one read.
  private func run(from index: Int, below end: Int) -> Int {
    var length = 1
    while length < FlowPages.pagesPerRead, index + length < end,
      leaves[index + length] == leaves[index] &+ UInt32(length)
    { length += 1 }
    return length
  }

  /// Reads `count` pages side by side into the beginning of `bytes`.
  private func read(_ number: UInt32, count: Int, into bytes: UnsafeMutableRawBufferPointer) throws(Unusable) {
    precondition(bytes.count >= count * pageSize + FlowPages.slack)
    guard number >= 1, number <= pageCount, UInt64(number) + UInt64(count) - 1 <= UInt64(pageCount) else {
      throw Unusable()
    }
    pthread_mutex_lock(lock)
    // In bounds: the buffer holds `count` pages and more.
    let code = file.pointee.pMethods.pointee.xRead(
      file, bytes.baseAddress, Int32(count * pageSize), Int64(number - 1) * Int64(pageSize))
    pthread_mutex_unlock(lock)
    guard code == SQLITE_OK else { throw Unusable() }
  }
}
