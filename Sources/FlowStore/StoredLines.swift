public import Flows
internal import GRDB

/// What a flow keeps of its line beside the names in it: enough to recognise the line in the same place of its log.
public struct StoredLine: Sendable, Hashable {
  var startedAtMs: Int64
  var durationMs: Int64
  var sent: Int64
  var received: Int64
  var requestHash: Int64
  var ports: Int64

  public init(_ row: FlowRow) {
    startedAtMs = row.startedAtMs
    durationMs = row.durationMs
    sent = row.sent
    received = row.received
    requestHash = Int64(bitPattern: row.requestHash)
    ports = Int64(row.sourcePort) << 16 | Int64(row.localPort)
  }

  fileprivate init(_ row: Statement) {
    startedAtMs = row.int(1)
    durationMs = row.int(2)
    sent = row.int(3)
    received = row.int(4)
    requestHash = row.int(5)
    ports = row.int(6)
  }
}

extension FlowStore {
  /// The stored lines of one log in a range, by line number. No index leads to a line: all flows are looked through.
  public func storedLines(log: Int64, in lines: ClosedRange<Int64>) throws(StoreError) -> [Int64: StoredLine] {
    try access { db throws(StoreError) in
      let rows = try db.statement(
        """
        select
          line,
          started_at_ms,
          coalesce(duration_ms, -1),
          coalesce(sent, -1),
          coalesce(received, -1),
          coalesce(request_hash, 0),
          ports + 2147483648
        from flow
        where line between \(lines.lowerBound) and \(lines.upperBound)
          and source in (select id from source where log = \(log))
        order by line
        """)
      var found: [Int64: StoredLine] = [:]
      while try rows.step() { found[rows.int(0)] = StoredLine(rows) }
      return found
    }
  }
}
