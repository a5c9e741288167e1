internal import GRDB

extension FlowReader {
  /// A writer's commit that falls between two looks makes another attempt necessary; so many in a row do not.
  private static let attempts = 8

  /// Runs `body` in a read transaction with the pages of all flows; nil when they cannot be read at the moment, or `body` says
  /// so: then SQL is to be asked.
  func withPages<Result>(_ body: (Database, FlowPages) throws -> Result?) throws -> Result? {
    try access { db in
      guard !db.isInsideTransaction else { return nil }
      // Opens the write-ahead log, if there is one.
      _ = try db.statement("select 1 from sqlite_schema limit 1").step()
      for attempt in 1...FlowReader.attempts {
        try db.execute(sql: "begin")
        defer { try? db.execute(sql: "rollback") }
        do {
          guard let pages = try FlowPages(db, path: path) else { return nil }
          return try body(db, pages)
        } catch is FlowPages.Unusable where attempt < FlowReader.attempts {
          continue
        } catch is FlowPages.Unusable {
          return nil
        }
      }
      return nil
    }
  }
}
