public import Flows
internal import GRDB

/// Verdicts that are supposed, not stored: the tables of a judgement as temporary tables of one read-only connection, in
/// front of the file's, and the views made over them.
///
///     main.judged_flow   what the file says          temp.judged_flow   what the supposed judgement says
///
/// The file stays as it is, to the byte: temporary tables have a file of their own.
extension FlowReader {
  /// Tables that a judgement is written to.
  private static let judgedTables = ["source", "destination"] + JudgedTable.all.map(\.name)

  /// From here on, views and tables without `main.` answer by `judgement`. Once per connection.
  public func suppose(_ judgement: Judgement) throws {
    try access { db in
      guard try Schema.hasPresentViews(db) else {
        throw StoreError.file(
          path: path,
          reason: "its views are of another version of this program; run gatewatch ingest once, which renews them")
      }
      try db.execute(sql: "pragma query_only = off")
      defer { try? db.execute(sql: "pragma query_only = on") }
      for table in FlowReader.judgedTables {
        let made = try String.fetchOne(
          db, sql: "select sql from main.sqlite_schema where type = 'table' and name = ?", arguments: [table])
        guard let made, let columns = made.firstIndex(of: "(") else {
          throw StoreError.file(path: path, reason: "has no table \(table)")
        }
        try db.execute(sql: "create temp table \(table) \(made[columns...])")
      }
      for table in ["source", "destination"] {
        try db.execute(sql: "insert into temp.\(table) select * from main.\(table)")
      }
      _ = try FlowStore.applyClasses(of: judgement, on: db)
      try FlowStore.applyVerdicts(of: judgement, on: db)
      for view in Schema.views {
        try db.execute(sql: view.sql.replacing("create view ", with: "create temp view ", maxReplacements: 1))
      }
    }
  }

  /// Keeps the answer of a query as a temporary table, so that more than one question can be asked of it.
  public func keep(_ sql: String, arguments: [String: Value] = [:], as table: String) throws {
    precondition(table.allSatisfy { $0.isASCII && ($0.isLetter || $0 == "_") }, "a name, not SQL")
    try access { db in
      try db.execute(sql: "pragma query_only = off")
      defer { try? db.execute(sql: "pragma query_only = on") }
      try self.query(
        "create temp table \(table) as \(sql)", arguments: arguments, allowsWriting: true, row: { _ in })
    }
  }
}
