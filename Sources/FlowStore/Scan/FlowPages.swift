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

  /// Numbers of the leaf pages, in the order of their row ids.
  private(set) var leaves: [UInt32] = []
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

  /// - Parameter connection: inside a read transaction that has read something.
  init(connection: OpaquePointer, path: String, root: UInt32) throws(Unusable) {
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
    try descend(to: root, height: 0, page)
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
  /// right-most child at 8, and cells of a child's number and a row id.
  private func descend(to number: UInt32, height: Int, _ page: UnsafeMutableRawBufferPointer) throws(Unusable) {
    guard height < FlowPages.maxHeight else { throw Unusable() }
    try read(number, count: 1, into: page)
    if page[0] == 0x0D { return leaves.append(number) }
    guard page[0] == 0x05 else { throw Unusable() }
    func number16(_ at: Int) -> Int { Int(page[at]) << 8 | Int(page[at + 1]) }
    func number32(_ at: Int) -> UInt32 { UInt32(number16(at)) << 16 | UInt32(number16(at + 2)) }
    let count = number16(3)
    guard 12 + 2 * count <= usableSize else { throw Unusable() }
    var children: [UInt32] = []
    children.reserveCapacity(count + 1)
    for index in 0..<count {
      let cell = number16(12 + 2 * index)
      guard cell + 4 <= usableSize else { throw Unusable() }
      children.append(number32(cell))
    }
    children.append(number32(8))
    // All children of a page are of one kind: a look at the first tells whether they are leaves.
    try read(children[0], count: 1, into: page)
    if page[0] == 0x0D {
      leaves += children
      guard leaves.count <= Int(pageCount) else { throw Unusable() }
    } else {
      for child in children { try descend(to: child, height: height + 1, page) }
    }
  }

  /// How many of the leaves from `index` on lie side by side in the file, and fit into one read.
  func run(from index: Int, below end: Int) -> Int {
    var length = 1
    while length < FlowPages.pagesPerRead, index + length < end,
      leaves[index + length] == leaves[index] &+ UInt32(length)
    { length += 1 }
    return length
  }

  /// Reads `count` pages side by side into the beginning of `bytes`.
  func read(_ number: UInt32, count: Int, into bytes: UnsafeMutableRawBufferPointer) throws(Unusable) {
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
