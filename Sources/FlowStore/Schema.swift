internal import GRDB

/// The tables, step by step, and the views, as they stand in `Queries/Schema` and `Queries/Views`.
///
/// `NNN-*.sql` brings a store from version NNN-1 to NNN; what is missing is done in one transaction with the version: a new
/// store is there at once, with one sync of the disk instead of one per step. Views hold no facts: they are made anew
/// whenever their text differs from the one the store was left with.
enum Schema {
  static let steps: [(version: Int, name: String, sql: String)] = EmbeddedQueries.all.compactMap { name, sql in
    guard name.hasPrefix("Schema/"), let version = Int(name.dropFirst("Schema/".count).prefix(3)) else { return nil }
    return (version, name, sql)
  }
  static let views: [(name: String, sql: String)] = EmbeddedQueries.all.filter { $0.name.hasPrefix("Views/") }

  /// What a step needs beyond SQL, after it.
  private static let conversions: [Int: @Sendable (Database) throws -> Void] = [
    5: HopBlocks.takeOver, 20: RejectedText.redact, 25: PodTables.fill,
  ]

  /// The version this program writes.
  static let version = steps.last?.version ?? 0

  /// Tables and views as this program has them.
  /// - Parameter run: of the machine, where a new store is to be filled without waiting for the disk (see `Filling`).
  static func migrate(_ db: Database, path: String, fillingIn run: String? = nil) throws {
    let found = try Int.fetchOne(db, sql: "pragma user_version") ?? 0
    guard found <= version else { throw StoreError.newerSchema(path: path, found: found, known: version) }
    if found == version, try hasPresentViews(db) { return }
    try db.inTransaction(.immediate) {
      for step in steps where step.version > found {
        try db.execute(sql: step.sql)
        try conversions[step.version]?(db)
      }
      if found < version {
        try db.execute(sql: "pragma application_id = \(FileHeader.ours)")
        try db.execute(sql: "pragma user_version = \(version)")
        try BatchWriter.seed(db)
        if found == 0, let run { try Filling.mark(db, run: run) }
      }
      try refreshViews(db)
      return .commit
    }
  }

  /// Tells this program's views from another's.
  static let viewsHash: String = {
    var hasher = StableHash()
    for view in views { hasher.combine(view.sql) }
    return hasher.hexadecimal
  }()

  static func hasPresentViews(_ db: Database) throws -> Bool {
    try String.fetchOne(db, sql: "select value from meta where key = 'views'") == viewsHash
  }

  private static func refreshViews(_ db: Database) throws {
    guard try !hasPresentViews(db) else { return }
    for name in try String.fetchAll(db, sql: "select name from sqlite_schema where type = 'view' order by name") {
      try db.execute(sql: "drop view \"\(name.replacing("\"", with: "\"\""))\"")
    }
    for view in views { try db.execute(sql: view.sql) }
    try db.execute(sql: "insert or replace into meta (key, value) values ('views', ?)", arguments: [viewsHash])
  }

  /// For a reader of a store that another version of this program left: this one's views, on this connection only, in
  /// front of those in the file.
  static func overlayViews(_ db: Database) throws {
    guard try !hasPresentViews(db) else { return }
    for view in views {
      try db.execute(sql: view.sql.replacing("create view ", with: "create temp view ", maxReplacements: 1))
    }
  }
}
