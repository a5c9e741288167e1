internal import Dispatch
internal import GRDB
internal import GRDBSQLite
internal import Glibc

/// How a store that is not there yet is filled.
public enum FirstFill: Sendable {
  /// Each commit is on the disk before the next one begins: for lines that nobody can read a second time.
  case durable
  /// No commit waits for the disk before the store is full: for lines that can be read again. Should the machine stop in
  /// between, the store knows, and nobody believes it.
  case repeatable
}

/// The mark of a store that is being filled without waiting for the disk.
///
/// Its program may be killed: what was committed is in the system's memory, and the next writer brings it to the disk. But when
/// the machine stops, any page may be an older one than those around it. So the file says that it is being filled from its first
/// moment on, and in which run of the machine; both go with the transaction that brings everything to the disk. A file of another
/// run is not believed, and left to people: they know whether its logs are still there, and by which policy they were judged.
/// (MySQL does likewise: "Disabling Redo Logging", for the loading of a new instance.) That a disk was taken away from a machine
/// that went on, nothing tells; SQLite's look through the file has to do for who goes on with a killed program's store.
///
/// The mark stands in the file's header, which SQLite writes as one sector, so that it is seen also where nothing else can be
/// read; the run in the table `meta`.
enum Filling {
  private static let key = "filling"
  /// Matches no run.
  private static let failed = "failed"

  /// The present run of the machine, from one start to the next; nil where the kernel does not tell (random(4)).
  static func machineRun() -> String? {
    let descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { Glibc.close(descriptor) }
    var text = [UInt8](repeating: 0, count: 64)
    let count = text.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    guard count > 0 else { return nil }
    let run = String(decoding: text.prefix(count).prefix { $0 > 0x20 }, as: UTF8.self)
    return run.isEmpty ? nil : run
  }

  /// In the transaction that makes the tables.
  static func mark(_ db: Database, run: String) throws {
    try db.execute(sql: "pragma application_id = \(FileHeader.filling)")
    try db.execute(sql: "insert or replace into meta (key, value) values (?, ?)", arguments: [key, run])
  }

  static func isMarked(_ db: Database) throws -> Bool {
    try UInt32.fetchOne(db, sql: "pragma application_id") == FileHeader.filling
  }

  /// Whether all that was committed can be read: there is no mark, or the machine has not stopped since.
  static func isTrusted(_ db: Database, in run: @autoclosure () -> String?) throws -> Bool {
    guard try isMarked(db) else { return true }
    guard let run = run() else { return false }
    return try String.fetchOne(db, sql: "select value from meta where key = ?", arguments: [key]) == run
  }

  /// An error that a file with the mark may be expected to give.
  static func tellsDamage(_ error: DatabaseError) -> Bool {
    [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode)
  }

  /// For who opens a store to write to it: one that cannot be believed is refused; what a killed program of this run has left is
  /// looked through and brought to the disk.
  static func takeOver(_ db: Database, path: String, in run: String?) throws {
    guard try isMarked(db) else { return }
    guard try isTrusted(db, in: run) else { throw StoreError.interrupted(path: path) }
    guard try String.fetchAll(db, sql: "pragma quick_check") == ["ok"] else { throw StoreError.interrupted(path: path) }
    // Readers may be at it.
    Journal.waitPatiently(db)
    try end(db)
  }

  /// Brings all that was committed to the disk, by whomever, and takes the mark away: SQLite syncs the whole file before the
  /// transaction counts, and undoes it where it did not come so far.
  /// - Parameter beforeCommit: a test throws from it to stand for a failing disk.
  static func end(
    _ db: Database, beforeCommit: () throws(StoreError) -> Void = { () throws(StoreError) in }
  ) throws(StoreError) {
    try db.run("pragma synchronous = full")
    try db.run("begin immediate")
    do throws(StoreError) {
      try db.run("pragma application_id = \(FileHeader.ours)")
      try db.run("delete from meta where key = '\(key)' and value <> '\(failed)'")
      guard db.changesCount == 1 else { throw refused }
      try beforeCommit()
      try db.run("commit")
    } catch {
      if db.isInsideTransaction { try? db.run("rollback") }
      if error.tellsFailingDisk { fail(db) }
      throw error
    }
  }

  /// SQLite's code for a sync that went wrong (SQLITE_IOERR_FSYNC).
  static let refused = StoreError.sqlite(code: 1034, message: "the disk did not take what was written", sql: nil)

  /// The disk has refused something: nobody may believe what the system's memory still shows of it.
  static func fail(_ db: Database) {
    try? db.execute(sql: "pragma synchronous = off")
    try? db.execute(sql: "update meta set value = ? where key = ?", arguments: [failed, key])
  }
}

/// Has the system write a file to the disk while others go on writing to it.
///
/// `@unchecked Sendable`: what changes is touched under `lock`. SQLite's own file handle is used, for another one would drop
/// SQLite's locks when closed; to sync a file changes nothing of its handle.
final class BackgroundSync: @unchecked Sendable {
  private let file: UnsafeMutablePointer<sqlite3_file>
  private let queue = DispatchQueue(label: "gatewatch.sync")
  private let lock = DispatchSemaphore(value: 1)
  private var isDue = false
  private var hasFailed = false

  /// nil where SQLite was built in a way that it is not known of that several threads may use a handle.
  init?(_ connection: OpaquePointer) {
    var handle: UnsafeMutablePointer<sqlite3_file>?
    guard PageFile.readsByPlace(connection),
      sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, &handle) == SQLITE_OK, let handle,
      handle.pointee.pMethods != nil
    else { return nil }
    file = handle
  }

  /// Returns at once.
  /// - Throws: what an earlier sync has met: the system tells of it once, and that the next sync went well means nothing.
  func begin() throws(StoreError) {
    lock.wait()
    defer { lock.signal() }
    if hasFailed { throw Filling.refused }
    // Who has not begun yet takes this along.
    guard !isDue else { return }
    isDue = true
    queue.async { [self] in
      lock.wait()
      isDue = false
      lock.signal()
      let code = file.pointee.pMethods.pointee.xSync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY)
      lock.wait()
      if code != SQLITE_OK { hasFailed = true }
      lock.signal()
    }
  }

  /// Waits for what was begun; to be called before the connection is closed.
  func end() throws(StoreError) {
    queue.sync {}
    if hasFailed { throw Filling.refused }
  }
}
