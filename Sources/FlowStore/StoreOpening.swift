internal import Dispatch
internal import GRDB
internal import GRDBSQLite
internal import Glibc

/// Makes a database file a store that can be written to: tables, views, journal and the writer's statements.
///
/// For a new store this takes some ten milliseconds and two syncs of the disk. Who is to fill it does not wait for that: it
/// happens on the connection's queue, while the first lines are read, and the first who writes or asks waits for its end.
///
/// `@unchecked Sendable`: what changes is touched on the connection's queue alone.
final class StoreOpening: @unchecked Sendable {
  struct Made {
    let journal: Journal
    let sync: BackgroundSync?
    let writer: BatchWriter
  }

  private let path: String
  /// As it was found; nil for a new store.
  private let present: FileHeader?
  private let firstFill: FirstFill?
  private let run: String?
  private(set) var made: Result<Made, StoreError>?

  /// A flow row is some 40 bytes: larger pages mean fewer inner pages and a sixth less time per row than 4 KiB (measured).
  private static let pageSize = 16_384

  /// - Parameter run: of the machine; nil where that is not known.
  init(path: String, present: FileHeader?, firstFill: FirstFill?, run: String?) {
    self.path = path
    self.present = present
    self.firstFill = firstFill
    self.run = run
  }

  /// A store that is there may turn out to be none, or another program's: who opens it has to know at once.
  var canWait: Bool { present == nil && firstFill != nil }

  func connect() throws(StoreError) -> DatabaseQueue {
    var configuration = Configuration()
    configuration.allowsUnsafeTransactions = true  // a transaction stays open over several calls
    configuration.foreignKeysEnabled = false
    configuration.label = "gatewatch.store"
    // While it is opened; from then on it is the journal's.
    configuration.busyMode = .timeout(Journal.openingSeconds)
    do { return try DatabaseQueue(path: path, configuration: configuration) } catch { throw named(error) }
  }

  func open(_ db: Database) {
    do {
      try StoreOpening.tune(db)
      try Filling.takeOver(db, path: path, in: run)
      let isNew = present == nil
      if isNew { try Journal.beginFilling(db) }
      let mayFill = isNew && firstFill == .repeatable && run != nil
      let sync = mayFill ? db.sqliteConnection.flatMap { BackgroundSync($0) } : nil
      try Schema.migrate(db, path: path, fillingIn: sync == nil ? nil : run)
      // Not before the mark itself is on the disk.
      if sync != nil { try db.execute(sql: "pragma synchronous = off") }
      let journal = isNew && firstFill != nil ? Journal.undo : try Journal.writeAheadIfPossible(db)
      made = .success(Made(journal: journal, sync: sync, writer: try BatchWriter(db)))
    } catch {
      made = .failure(named(error))
    }
  }

  /// Has a thread of its own open the store. When this returns it has the connection, so that all others wait for it.
  ///
  /// Not one of Dispatch's: these block signals, and a process whose file must not grow any further is to end by that one in
  /// the middle of a write, like any other.
  func begin(on queue: DatabaseQueue) {
    let begun = DispatchSemaphore(value: 0)
    let work = Work {
      queue.unsafeReentrantWrite { db in
        begun.signal()
        self.open(db)
      }
    }
    var thread = pthread_t()
    let box = Unmanaged.passRetained(work)
    let code = pthread_create(&thread, nil, { Work.run($0!) }, box.toOpaque())
    guard code == 0 else {
      box.release()
      return work.body()
    }
    pthread_detach(thread)
    begun.wait()
  }

  private final class Work {
    let body: () -> Void

    init(_ body: @escaping () -> Void) { self.body = body }

    static func run(_ box: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
      Unmanaged<Work>.fromOpaque(box).takeRetainedValue().body()
      return nil
    }
  }

  private func named(_ error: any Error) -> StoreError {
    if let error = error as? StoreError { return error }
    guard let error = error as? DatabaseError else { return .file(path: path, reason: "\(error)") }
    if present?.isFilling ?? false, Filling.tellsDamage(error) { return .interrupted(path: path) }
    return error.resultCode == .SQLITE_NOTADB ? .notADatabase(path: path) : StoreError(error)
  }

  private static func tune(_ db: Database) throws {
    // GRDB's looks at every column of every statement, for observers that a store has none of.
    sqlite3_set_authorizer(db.sqliteConnection, nil, nil)
    // Before the first page is written; a store that exists keeps its own.
    try db.execute(sql: "pragma page_size = \(pageSize)")
    try db.execute(sql: "pragma cache_size = -\(FlowStore.cacheKiB)")
    try db.execute(sql: "pragma temp_store = memory")
    // Nothing secret is deleted; Debian's build overwrites deleted content by default.
    try db.execute(sql: "pragma secure_delete = off")
    try db.execute(sql: "pragma mmap_size = 0")
    try db.execute(sql: "pragma wal_autocheckpoint = 0")
    try db.execute(sql: "pragma journal_size_limit = \(FlowStore.walLimit)")
    try db.execute(sql: "pragma trusted_schema = off")
  }
}
