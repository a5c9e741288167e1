public import Flows
internal import GRDB

extension FlowReader {
  /// What a policy is asked about: for judging by another policy than the store was judged by.
  public func facts() throws -> StoredFacts {
    try access { db in try StoredFacts(db) }
  }

  /// One source, destination or outcome, as `facts` has them by row id; nil where there is none.
  public func source(_ id: Int64) throws -> Source? {
    try row(id, of: "source", Source.storedColumns) { Source($0, from: 0) }
  }

  public func destination(_ id: Int64) throws -> Destination? {
    try row(id, of: "destination", Destination.storedColumns) { Destination($0, from: 0) }
  }

  public func outcome(_ id: Int64) throws -> Outcome? {
    try row(id, of: "outcome", Outcome.storedColumns) { Outcome($0, from: 0) }
  }

  private func row<Fact>(
    _ id: Int64, of table: String, _ columns: [String], _ read: (Statement) -> Fact?
  ) throws -> Fact? {
    try access { db in
      let row = try db.statement("select \(columns.joined(separator: ", ")) from \(table) where id = ?")
      row.bind(id, at: 1)
      return try row.step() ? read(row) : nil
    }
  }

  /// The policy the store was judged by last; nil for zero configuration.
  public func policy() throws -> (text: String, file: String?)? {
    guard let text = try meta("policy_text") else { return nil }
    return (text, try meta("policy_file"))
  }

  /// Verdicts are there for everything stored.
  public var isJudged: Bool {
    get throws { try meta("judged") == "1" }
  }

  private func meta(_ key: String) throws -> String? {
    try value("select value from meta where key = :key", arguments: ["key": .text(key)])?.text
  }

  /// One log of the store.
  public func log(_ id: Int64) throws -> LogRecord? {
    try access { db in
      let row = try db.statement(
        "select id, \(LogRecord.storedColumns.joined(separator: ", ")), pruned, tallied from log where id = ?")
      row.bind(id, at: 1)
      return try row.step() ? LogRecord(row) : nil
    }
  }

  /// Places of a log from which reading leads to `line`, the nearest first: its number and the bytes before it.
  public func marks(before line: Int64, in log: Int64, atMost count: Int) throws -> [(line: Int64, position: Int64)] {
    var marks: [(Int64, Int64)] = []
    try query(
      """
      select line, position
      from line_mark
      where log = :log
        and line <= :line
      order by line desc
      limit :count
      """, arguments: ["log": .integer(log), "line": .integer(line), "count": Value(count)]
    ) { marks.append(($0[0].integer ?? 1, $0[1].integer ?? 0)) }
    return marks
  }
}
