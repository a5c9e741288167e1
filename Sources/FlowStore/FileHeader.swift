internal import Glibc

/// The first 100 bytes of an SQLite file, read without SQLite, so that looking at somebody else's database leaves no trace.
///
/// sqlite.org/fileformat2.html section 1.3: the magic at 0, the application id at 68, big-endian.
struct FileHeader {
  let isSQLite: Bool
  let applicationID: UInt32

  /// `GWFL`, in the application id of every store.
  static let ours: UInt32 = 0x4757_464C
  /// `GWFF`, while a new one is filled (see `Filling`).
  static let filling: UInt32 = 0x4757_4646
  static let length = 100

  /// nil when there is no file, or an empty one: nobody's yet.
  init?(path: String) throws(StoreError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw .file(path: path, reason: "cannot open: \(systemMessage())")
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      guard status.st_mode & S_IFMT != S_IFDIR else {
        throw .file(path: path, reason: "is a folder; the database is a file, for example \(path)/gatewatch.db")
      }
      throw .notADatabase(path: path)
    }
    var bytes = [UInt8](repeating: 0, count: FileHeader.length)
    let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
    if count == 0 { return nil }
    isSQLite = count == FileHeader.length && bytes.starts(with: Array("SQLite format 3\0".utf8))
    applicationID = bytes[68..<72].reduce(0) { $0 << 8 | UInt32($1) }
  }

  func requireStore(path: String) throws(StoreError) {
    guard isSQLite else { throw .notADatabase(path: path) }
    guard applicationID == FileHeader.ours || isFilling else { throw .notAStore(path: path) }
  }

  /// As far as the header tells: a journal may hold another one.
  var isFilling: Bool { isSQLite && applicationID == FileHeader.filling }
}
