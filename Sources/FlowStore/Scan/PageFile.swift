internal import GRDBSQLite
internal import Glibc

/// The pages of a store's file as one read transaction sees them: those in the write-ahead log by then from there, all others
/// from the database file.
///
/// Read through SQLite's own file handles (other ones would drop SQLite's locks when closed), inside a read transaction. Why
/// what is read is one state of the store (sqlite.org/walformat.html section 2.3.2):
///
/// - The transaction holds a lock that says up to which frame of the log it reads. Nobody moves a later frame into the
///   database file, nor writes the log anew from its beginning, before it ends. So a page is its last frame up to that one,
///   or else as it stands in the file.
/// - Where all frames were in the file when it began, it holds the lock under which nobody writes to the file. Then the log may
///   be begun anew, which changes the salt; the file has all there is to see.
///
/// `@unchecked Sendable`: all that changes is the files' positions, where SQLite reads at them, and then under `lock`.
final class PageFile: @unchecked Sendable {
  /// Why the pages cannot be used; not an error, for SQL can still answer.
  struct Unusable: Error {}

  let pageSize: Int
  /// Without the bytes that an extension may have reserved at the end.
  let usableSize: Int
  let pageCount: UInt32
  private let file: UnsafeMutablePointer<sqlite3_file>
  /// nil where SQLite reads at a place: several threads may do so at once.
  private let lock: UnsafeMutablePointer<pthread_mutex_t>?
  private let wal: WriteAheadLog?

  /// - Parameter look: the first look of the transaction at the file, which opens its snapshot; where the caller has had one
  ///   before, it can only be used while the write-ahead log is empty.
  init(_ connection: OpaquePointer, path: String, look: () throws -> Void) throws {
    // A snapshot of a connection that writes is the newest one, for nobody else can commit.
    let isNewest = sqlite3_txn_state(connection, "main") != SQLITE_TXN_READ
    let before = WriteAheadLog.Index(connection)?.header
    try look()
    // Where there is no write-ahead log, nobody writes to the file while it is read; but a transaction that writes may have
    // done so itself.
    guard sqlite3_txn_state(connection, "main") == SQLITE_TXN_READ || PageFile.isEmpty(path + "-journal") else {
      throw Unusable()
    }
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
    if PageFile.isEmpty(path + "-wal") {
      wal = nil
      pageCount = UInt32(clamping: size / Int64(pageSize))
    } else {
      // 2: a write-ahead log is in use.
      guard isNewest, header[18] == 2, header[19] == 2, let before, let index = WriteAheadLog.Index(connection),
        index.header == before
      else { throw Unusable() }
      wal = try WriteAheadLog(connection, index, before, pageSize: pageSize)
      pageCount = before.frames == 0 ? UInt32(clamping: size / Int64(pageSize)) : before.pages
    }
    lock = PageFile.readsByPlace(connection) ? nil : .allocate(capacity: 1)
    if let lock { pthread_mutex_init(lock, nil) }
  }

  deinit {
    guard let lock else { return }
    pthread_mutex_destroy(lock)
    lock.deallocate()
  }

  /// Whether SQLite was built to read and write at a place (`pread`) rather than at the file's position: only then may pages be
  /// read while the same connection writes to the file. Its VFS tells by naming the call (sqlite.org/c3ref/vfs.html).
  static func readsByPlace(_ connection: OpaquePointer) -> Bool {
    var vfs: UnsafeMutablePointer<sqlite3_vfs>?
    guard sqlite3_file_control(connection, "main", SQLITE_FCNTL_VFS_POINTER, &vfs) == SQLITE_OK, let vfs,
      vfs.pointee.iVersion >= 3, let call = vfs.pointee.xGetSystemCall
    else { return false }
    func has(_ name: String) -> Bool { name.withCString { call(vfs, $0) != nil } }
    return (has("pread") || has("pread64")) && (has("pwrite") || has("pwrite64"))
  }

  /// Whether a file is empty, or not there.
  static func isEmpty(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_size == 0 : errno == ENOENT
  }

  /// Whether a page is to be read by itself.
  @inline(__always)
  func standsAlone(_ number: UInt32) -> Bool { wal != nil && wal!.frame(of: number) != nil }

  /// Reads `count` pages side by side, none of which stands alone unless it is the only one, into the beginning of `bytes`.
  func read(_ number: UInt32, count: Int, into bytes: UnsafeMutableRawBufferPointer) throws(Unusable) {
    precondition(bytes.count >= count * pageSize)
    guard number >= 1, number <= pageCount, UInt64(number) + UInt64(count) - 1 <= UInt64(pageCount) else {
      throw Unusable()
    }
    if let lock { pthread_mutex_lock(lock) }
    defer { if let lock { pthread_mutex_unlock(lock) } }
    if let wal, count == 1, let frame = wal.frame(of: number), wal.read(frame, pageSize, into: bytes) { return }
    // In bounds: the buffer holds `count` pages and more.
    let code = file.pointee.pMethods.pointee.xRead(
      file, bytes.baseAddress, Int32(count * pageSize), Int64(number - 1) * Int64(pageSize))
    guard code == SQLITE_OK else { throw Unusable() }
  }
}

/// Which pages the write-ahead log holds, and where.
private struct WriteAheadLog {
  /// What the log's index says of it: sqlite.org/walformat.html section 2.1. In shared memory, in the machine's byte order.
  struct Index {
    struct Header: Equatable {
      var change: UInt32
      var frames: UInt32
      var pages: UInt32
      /// As in each frame.
      var salt: UInt64
      var checksum: UInt64
    }

    private let memory: UnsafeRawPointer
    let header: Header

    /// Of one copy of the header; another follows, which is written first.
    private static let length = 48
    /// Section 2.2: the first block.
    private static let blockLength: Int32 = 32_768

    /// nil where there is no such log, or a header is just being written.
    init?(_ connection: OpaquePointer) {
      var handle: UnsafeMutablePointer<sqlite3_file>?
      var log: UnsafeMutablePointer<sqlite3_file>?
      guard sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, &handle) == SQLITE_OK,
        sqlite3_file_control(connection, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK,
        let handle, handle.pointee.pMethods != nil, handle.pointee.pMethods.pointee.iVersion >= 2,
        // Without the log's file open there is no index to map.
        let log, log.pointee.pMethods != nil, let map = handle.pointee.pMethods.pointee.xShmMap
      else { return nil }
      var memory: UnsafeMutableRawPointer?
      guard map(handle, 0, Index.blockLength, 0, &memory) == SQLITE_OK, let memory else { return nil }
      self.memory = UnsafeRawPointer(memory)
      let first = UnsafeRawBufferPointer(start: memory, count: Index.length).map { $0 }
      let second = UnsafeRawBufferPointer(start: memory + Index.length, count: Index.length).map { $0 }
      // Byte 12: the header was written.
      guard first == second, first[12] == 1 else { return nil }
      header = first.withUnsafeBytes {
        Header(
          change: $0.loadUnaligned(fromByteOffset: 8, as: UInt32.self),
          frames: $0.loadUnaligned(fromByteOffset: 16, as: UInt32.self),
          pages: $0.loadUnaligned(fromByteOffset: 20, as: UInt32.self), salt: Index.salt(in: $0.baseAddress!),
          checksum: $0.loadUnaligned(fromByteOffset: 40, as: UInt64.self))
      }
    }

    private static func salt(in memory: UnsafeRawPointer) -> UInt64 {
      memory.loadUnaligned(fromByteOffset: 32, as: UInt64.self)
    }

    /// Whether the log was not begun anew since. It says so here before the first frame is written.
    @inline(never)
    func isSame() -> Bool { Index.salt(in: memory) == header.salt }
  }

  private let file: UnsafeMutablePointer<sqlite3_file>
  private let index: Index
  /// Of each page the last frame up to the snapshot's end, counted from 1.
  private var frames: [UInt32: UInt32] = [:]

  /// Section 1: the log's header, and that of each frame.
  private static let headerLength: Int64 = 32
  private static let frameHeaderLength = 24

  init(
    _ connection: OpaquePointer, _ index: Index, _ header: Index.Header, pageSize: Int
  ) throws(PageFile.Unusable) {
    var handle: UnsafeMutablePointer<sqlite3_file>?
    let code = sqlite3_file_control(connection, "main", SQLITE_FCNTL_JOURNAL_POINTER, &handle)
    guard code == SQLITE_OK, let handle, handle.pointee.pMethods != nil else { throw PageFile.Unusable() }
    file = handle
    self.index = index
    guard header.frames > 0 else { return }
    var bytes = [UInt8](repeating: 0, count: WriteAheadLog.frameHeaderLength)
    for frame in 1...header.frames {
      let place = WriteAheadLog.place(of: frame, pageSize)
      let isRead = bytes.withUnsafeMutableBytes {
        handle.pointee.pMethods.pointee.xRead(handle, $0.baseAddress, Int32($0.count), place) == SQLITE_OK
      }
      let (page, salt) = bytes.withUnsafeBytes {
        (
          UInt32(bigEndian: $0.loadUnaligned(as: UInt32.self)),
          $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        )
      }
      // Begun anew in this very moment: another attempt will do.
      guard isRead, salt == header.salt else { throw PageFile.Unusable() }
      frames[page] = frame
    }
  }

  private static func place(of frame: UInt32, _ pageSize: Int) -> Int64 {
    headerLength + Int64(frame - 1) * Int64(frameHeaderLength + pageSize)
  }

  @inline(__always)
  func frame(of page: UInt32) -> UInt32? { frames[page] }

  /// False when the log was begun anew: then the database file has the page.
  func read(_ frame: UInt32, _ pageSize: Int, into bytes: UnsafeMutableRawBufferPointer) -> Bool {
    let place = WriteAheadLog.place(of: frame, pageSize) + Int64(WriteAheadLog.frameHeaderLength)
    // In bounds: the buffer holds a page and more.
    let code = file.pointee.pMethods.pointee.xRead(file, bytes.baseAddress, Int32(pageSize), place)
    return code == SQLITE_OK && index.isSame()
  }
}
