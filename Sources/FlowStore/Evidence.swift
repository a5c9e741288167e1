internal import GRDB

/// The line of one flow behind a finding, kept in the store.
public struct StoredEvidence: Sendable, Equatable {
  public var log: Int64
  public var line: Int64
  public var startedAtMs: Int64
  /// Redacted by whoever keeps it.
  public var text: String

  /// Bytes of a line that are kept: what is kept of rejected lines as well.
  public static let maxText = 4096
  /// Lines kept in all; beyond, those kept longest ago go. Some 60 MB at the worst, 15 MB as lines are.
  public static let maxLines = 30_000

  public init(log: Int64, line: Int64, startedAtMs: Int64, text: String) {
    self.log = log
    self.line = line
    self.startedAtMs = startedAtMs
    self.text = text
  }
}

extension FlowStore {
  /// Keeps the lines of a finding, inside the open transaction. Of its flows outside `flows` nothing is kept any more; of
  /// those without a line here, what was kept before stays.
  public func keep(
    _ evidence: [StoredEvidence], of key: StoredFinding.Key,
    flows: [(log: Int64, line: Int64, startedAtMs: Int64)], nowMs: Int64
  ) throws(StoreError) {
    try write("evidence") { db throws(StoreError) in
      let kept = try db.statement(
        """
        select id, log, line, started_at_ms
        from evidence
        where kind = ? and source = ? and host = ? and port = ?
        order by id
        """)
      kept.bind(.text(key.kind), at: 1)
      kept.bind(.text(key.source), at: 2)
      kept.bind(.text(key.host), at: 3)
      kept.bind(.integer(key.port), at: 4)
      var old: [Int64] = []
      while try kept.step() {
        let flow = (log: kept.int(1), line: kept.int(2), startedAtMs: kept.int(3))
        if !flows.contains(where: { $0 == flow }) { old.append(kept.int(0)) }
      }
      let delete = try db.statement("delete from evidence where id = ?")
      for id in old { try delete.run(.integer(id)) }
      let insert = try db.statement(
        """
        insert or replace into evidence (kind, source, host, port, log, line, started_at_ms, text, kept_at_ms)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """)
      for line in evidence {
        try insert.run(
          .text(key.kind), .text(key.source), .text(key.host), .integer(key.port), .integer(line.log),
          .integer(line.line), .integer(line.startedAtMs),
          .text(String(decoding: line.text.utf8.prefix(StoredEvidence.maxText), as: UTF8.self)), .integer(nowMs))
      }
      try db.statement(
        """
        delete from evidence
        where id <= (select max(id) from evidence) - ?
        """
      ).run(Value(StoredEvidence.maxLines))
    }
  }
}

extension FlowReader {
  /// The line of a flow as it was kept, if it was.
  public func evidence(log: Int64, line: Int64, startedAtMs: Int64) throws -> String? {
    try value(
      """
      select text
      from evidence
      where log = :log
        and line = :line
        and started_at_ms = :started_at_ms
      order by id desc
      limit 1
      """,
      arguments: ["log": .integer(log), "line": .integer(line), "started_at_ms": .integer(startedAtMs)])?.text
  }
}
