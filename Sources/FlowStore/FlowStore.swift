internal import Dispatch
internal import GRDB
internal import GRDBSQLite
internal import Glibc
internal import Synchronization

/// The one writer of a store: rows, reading positions and verdicts go through here, in transactions the caller ends.
///
///     let store = try FlowStore(path: "gatewatch.db")
///     log.id = try store.insert(log: log)
///     try store.append(batch, log: log.id, firstLine: 1, position: 0)
///     try store.update(log: log)
///     try store.commit()
///
/// The first write after a commit opens a transaction; what lies between two commits is in the file wholly or not at all.
/// After an error, `rollback()` returns to the last commit; parsers must then start their dictionaries anew.
///
/// Holds the store's lock for its life (see `WriterLock`). Calls from several threads are safe, one after the other.
public final class FlowStore: @unchecked Sendable {  // all state below is touched inside `queue` only
  /// As opened, with symbolic links resolved.
  public let path: String
  private let queue: DatabaseQueue
  private var lock: WriterLock?
  /// Until somebody needs what it makes.
  private var opening: StoreOpening?
  /// Nobody has written to a new store so far, nor asked for anything in it.
  private let isBlank: Atomic<Bool>
  private var journal = Journal.undo
  /// While the store has the mark of `Filling`: what was committed may not be on the disk.
  private var sync: BackgroundSync?
  /// The disk has refused what it was given: that cannot be made good by asking once more.
  private var refusal: StoreError?
  var isLogged: Bool { journal == .writeAhead }
  private var openWriter: BatchWriter?
  private var isClosed = false
  /// Within `access` and `write` there is one.
  var writer: BatchWriter { openWriter! }
  /// What `facts()` will find read already.
  var ahead: DestinationsAhead?
  /// What `reader()` gives.
  var openReader: FlowReader?

  /// Called with a name before each write; a test throws from it to stand for a failing disk.
  var beforeWrite: ((String) throws(StoreError) -> Void)?

  var rollupSizes = RollupSizes()

  /// Bytes of WAL after which a commit also moves them into the database file: four times what SQLite takes by itself
  /// for small writers, so that syncs are few, and little enough that it happens while the next rows are parsed and the
  /// WAL, written over and over, stays in the operating system's cache.
  static let walLimit: Int64 = 16 << 20
  /// Page cache in KiB: several times what lies between two commits, and the dictionaries' pages. A transaction larger
  /// than this spills into the WAL early, which is only slower; without a WAL into the file, and readers wait for its end.
  static let cacheKiB = 32_768
  /// Bytes of a store from which on every commit waits for the disk also while it is first filled: some twenty million flows,
  /// which take seconds. To read more than that once again would be much.
  var mostUnsynced: Int64 = 1 << 30

  /// Opens the store, creating it (for this user alone) where there is none. A new one with a first fill is made while the
  /// caller goes on: what keeps it from being made, a full disk for instance, is told to who first uses it.
  ///
  /// - Parameters:
  ///   - wait: how long to wait for another writer to end.
  ///   - firstFill: much is to be written before anybody asks: where there is no store yet, see `Journal.undo`.
  public convenience init(path: String, wait: Duration = .zero, firstFill: FirstFill? = nil) throws(StoreError) {
    try self.init(path: path, wait: wait, firstFill: firstFill, run: Filling.machineRun())
  }

  /// - Parameter run: of the machine; nil where that is not known.
  init(path: String, wait: Duration = .zero, firstFill: FirstFill?, run: String?) throws(StoreError) {
    let path = FlowStore.resolved(path)
    let header = try FileHeader(path: path)
    try header?.requireStore(path: path)
    let lock = try WriterLock(database: path, wait: wait)
    // Looked at again under the lock: another writer may just have made it.
    let present = try FileHeader(path: path)
    try present?.requireStore(path: path)
    try FlowStore.createFile(path)
    let opening = StoreOpening(path: path, present: present, firstFill: firstFill, run: run)
    queue = try opening.connect()
    self.path = path
    self.lock = lock
    self.opening = opening
    isBlank = Atomic(opening.canWait)
    if opening.canWait {
      opening.begin(on: queue)
    } else {
      queue.unsafeReentrantWrite { opening.open($0) }
      try access { _ throws(StoreError) in }
    }
  }

  deinit { close() }

  /// Two names of one file must lead to one lock.
  private static func resolved(_ path: String) -> String {
    if let real = realpath(path, nil) {
      defer { free(real) }
      return String(cString: real)
    }
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let folder = path.contains("/") ? String(path[..<path.lastIndex(of: "/")!]) : "."
    guard let real = realpath(folder.isEmpty ? "/" : folder, nil) else { return path }
    defer { free(real) }
    return String(cString: real) + "/" + name
  }

  /// SQLite gives the WAL and its index the mode of the database file; so this file's mode is all it needs, and the
  /// process's umask stays as it is.
  private static func createFile(_ path: String) throws(StoreError) {
    let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    if descriptor >= 0 {
      Glibc.close(descriptor)
    } else if errno != EEXIST {
      throw .file(path: path, reason: "cannot create: \(systemMessage())")
    }
  }

  // MARK: Transactions

  /// What was committed is on the disk from here on, also in a store that is being filled, and so is every later commit. To be
  /// called at the end of what `FirstFill.repeatable` was for, outside of a transaction.
  public func makeDurable() throws(StoreError) {
    try access { db throws(StoreError) in try self.endFilling(db) }
  }

  private func endFilling(_ db: Database) throws(StoreError) {
    guard let sync, !db.isInsideTransaction else { return }
    try noting(db) { () throws(StoreError) in
      try sync.end()
      try Filling.end(db) { () throws(StoreError) in try beforeWrite?("durable") }
    }
    self.sync = nil
  }

  /// After a commit.
  private func goOnFilling(_ db: Database) throws(StoreError) {
    guard let sync else { return }
    var status = stat()
    if stat(path, &status) == 0, Int64(status.st_size) < mostUnsynced {
      try noting(db) { () throws(StoreError) in
        try beforeWrite?("sync")
        try sync.begin()
      }
    } else {
      try endFilling(db)
    }
  }

  /// Does what may show that the disk fails, and has everybody know when it does.
  private func noting(_ db: Database, _ body: () throws(StoreError) -> Void) throws(StoreError) {
    if let refusal { throw refusal }
    do throws(StoreError) { try body() } catch {
      if error.tellsFailingDisk {
        refusal = error
        Filling.fail(db)
      }
      throw error
    }
  }

  /// Something was written since the last commit.
  public var isInTransaction: Bool {
    (try? access { $0.isInsideTransaction }) ?? false
  }

  /// Opens a transaction unless one is open; every write does this by itself.
  public func begin() throws(StoreError) {
    try write("begin") { _ throws(StoreError) in }
  }

  public func commit() throws(StoreError) {
    try access { db throws(StoreError) in
      guard db.isInsideTransaction else { return }
      try self.writer.closeTally(db, self.beforeWrite)
      // Once for all snapshots of an import.
      if self.writer.hasNewLooks { try PodTables.fill(db) }
      try self.beforeWrite?("commit")
      try db.run("commit")
      self.writer.transactionEnded()
      try self.goOnFilling(db)
      self.checkpointIfLarge(db)
    }
  }

  /// Returns to the last commit. Parsers must start their dictionaries anew.
  public func rollback() throws(StoreError) {
    try access { db throws(StoreError) in
      // Some errors (disk full, I/O) have SQLite roll back by itself.
      if db.isInsideTransaction { try db.run("rollback") }
      self.writer.transactionEnded()
      try self.writer.forget(db)
    }
  }

  /// Runs `body` inside the open transaction, opening one first.
  func write<Result>(_ name: String, _ body: (Database) throws(StoreError) -> Result) throws(StoreError) -> Result {
    try access { db throws(StoreError) in
      try self.beforeWrite?(name)
      if !db.isInsideTransaction { try db.run("begin immediate") }
      return try body(db)
    }
  }

  /// Takes what opening the store has made, the first time.
  private func takeOpened() throws {
    if let made = try opening?.made?.get() {
      (journal, sync, openWriter) = (made.journal, made.sync, made.writer)
      opening = nil
    }
    guard openWriter != nil, !isClosed else {
      throw StoreError.sqlite(code: SQLITE_MISUSE, message: "the store is closed", sql: nil)
    }
  }

  private var isOpen: Bool { (try? takeOpened()) != nil }

  /// `blank`, without waiting until a new store is made, as long as nobody has written to it or asked for something else.
  func unlessBlank<Result>(
    _ blank: Result, _ body: (Database) throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    isBlank.load(ordering: .relaxed) ? blank : try access(body)
  }

  /// Runs `body` on the connection, and gives GRDB's errors our names.
  func access<Result>(_ body: (Database) throws(StoreError) -> Result) throws(StoreError) -> Result {
    isBlank.store(false, ordering: .relaxed)
    do {
      return try queue.unsafeReentrantWrite { db in
        try takeOpened()
        return try body(db)
      }
    } catch let error as StoreError {
      throw error
    } catch let error as DatabaseError {
      throw StoreError(error)
    } catch {
      throw .file(path: path, reason: "\(error)")
    }
  }

  /// Runs `body` with few pages in SQLite's cache, and gives back those it has: for work that writes each page once, and needs
  /// the memory itself.
  public func withSmallCache<Result>(_ body: () throws(StoreError) -> Result) throws(StoreError) -> Result {
    try access { db throws(StoreError) in
      try db.run("pragma cache_size = -\(FlowStore.smallCacheKiB)")
      try db.run("pragma shrink_memory")
    }
    defer { try? access { db throws(StoreError) in try db.run("pragma cache_size = -\(FlowStore.cacheKiB)") } }
    return try body()
  }

  private static let smallCacheKiB = 8192

  /// A reader may hold the WAL's end back; then the next commit tries again.
  private func checkpointIfLarge(_ db: Database) {
    var status = stat()
    guard stat(path + "-wal", &status) == 0, Int64(status.st_size) >= FlowStore.walLimit else { return }
    sqlite3_wal_checkpoint_v2(db.sqliteConnection, "main", SQLITE_CHECKPOINT_PASSIVE, nil, nil)
  }

  /// Moves all that was committed into the database file, so that a reader may count page by page; what a reader still
  /// needs of the WAL stays there. A store that was being filled has a WAL from here on.
  public func settle() {
    queue.unsafeReentrantWrite { db in
      guard isOpen, !db.isInsideTransaction else { return }
      moveAll(db)
    }
  }

  /// The same, but a store that is being filled stays without a WAL: all that was committed is in its file.
  func settleIfLogged() {
    queue.unsafeReentrantWrite { db in
      guard isOpen, !db.isInsideTransaction, journal == .writeAhead else { return }
      moveAll(db)
    }
  }

  private func moveAll(_ db: Database) {
    switch journal {
    case .undo:
      // With the mark the store stays as it is, and the next writer has it on the disk.
      do throws(StoreError) { try endFilling(db) } catch { return }
      journal = (try? Journal.writeAheadIfPossible(db)) ?? .undo
    case .writeAhead:
      sqlite3_wal_checkpoint_v2(db.sqliteConnection, "main", SQLITE_CHECKPOINT_TRUNCATE, nil, nil)
    }
  }

  /// Sees what is committed. Opening one takes a while, for all views are parsed: there is one as long as the store is open.
  public func reader() throws(StoreError) -> FlowReader {
    try access { _ throws(StoreError) in
      if let openReader = self.openReader { return openReader }
      let reader = try FlowReader(path: self.path)
      self.openReader = reader
      return reader
    }
  }

  /// Drops what was not committed, empties the WAL into the file and gives the lock back. Later calls fail.
  public func close() {
    isBlank.store(false, ordering: .relaxed)
    queue.unsafeReentrantWrite { db in
      guard isOpen else { return }
      // Its thread must not outlive the store, nor its reader, which would keep the WAL.
      _ = takeAhead()
      openReader?.close()
      openReader = nil
      if db.isInsideTransaction { try? db.execute(sql: "rollback") }
      isClosed = true
      // It lives on: its memory is known to the connection.
      writer.finalize()
      moveAll(db)
      // Its thread must not outlive the connection.
      try? sync?.end()
    }
    try? queue.close()
    lock = nil
  }
}

extension Database {
  /// One statement without parameters or answer.
  func run(_ sql: String) throws(StoreError) {
    do { try execute(sql: sql) } catch let error as DatabaseError { throw StoreError(error) } catch {
      throw .sqlite(code: 1, message: "\(error)", sql: sql)
    }
  }

  func statement(_ sql: String, isKept: Bool = false) throws(StoreError) -> Statement {
    guard let connection = sqliteConnection else { throw .sqlite(code: 21, message: "the store is closed", sql: sql) }
    return try Statement(sql, on: connection, isKept: isKept)
  }
}
