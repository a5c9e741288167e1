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

  /// Four bytes that tell one line from another in the same place; never 0.
  var print: UInt32 {
    var hash: UInt64 = 0x9E37_79B9_7F4A_7C15
    for part in [startedAtMs, durationMs, sent, received, requestHash, ports] {
      hash = (hash ^ UInt64(bitPattern: part)) &* 0xBF58_476D_1CE4_E5B9
      hash ^= hash >> 29
    }
    return max(UInt32(truncatingIfNeeded: hash >> 32), 1)
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

/// What is stored of some lines of one log.
public struct StoredLines: Sendable {
  private var rows: [Int64: StoredLine] = [:]
  /// Of the lines that have no row.
  private var prints: [Int64: UInt32] = [:]
  /// Flows of the log that began before were removed; what is left of them nobody can compare.
  private var prunedBeforeMs = Int64.min

  /// Whether a line is stored with what a flow says, or was until it was pruned.
  public func hold(_ flow: FlowRow) -> Bool {
    let line = StoredLine(flow)
    return rows[flow.line] == line || prints[flow.line] == line.print
      || rows[flow.line] == nil && flow.startedAtMs < prunedBeforeMs
  }

  fileprivate init(log: Int64, in lines: ClosedRange<Int64>, _ db: Database) throws(StoreError) {
    let row = try db.statement(
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
    while try row.step() { rows[row.int(0)] = StoredLine(row) }
    let pruned = try db.statement(
      """
      select cast(m.value as integer)
      from meta m
      where m.key = 'pruned_before_ms'
        and exists (select 1 from log l where l.id = \(log) and l.pruned > 0)
      """)
    if try pruned.step() { prunedBeforeMs = pruned.int(0) }
    let print = try db.statement(
      """
      select first_line, prints
      from line_print
      where log = \(log)
        and first_line <= \(lines.upperBound)
        and first_line + length(prints) / 4 > \(lines.lowerBound)
      order by first_line
      """)
    while try print.step() {
      let bytes = print.blob(1) ?? []
      for place in 0..<bytes.count / 4 where lines.contains(print.int(0) + Int64(place)) {
        let value = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[4 * place + $1]) << (8 * UInt32($1)) }
        if value != 0 { prints[print.int(0) + Int64(place)] = value }
      }
    }
  }
}

extension FlowStore {
  /// The stored lines of one log in a range. No index leads to a line: all flows are looked through.
  public func storedLines(log: Int64, in lines: ClosedRange<Int64>) throws(StoreError) -> StoredLines {
    try access { db throws(StoreError) in try StoredLines(log: log, in: lines, db) }
  }
}

extension FlowReader {
  /// Whether a line of a log is in tallies alone.
  public func isTallied(line: Int64, log: Int64) throws -> Bool {
    let row = try value(
      """
      select substr(prints, 4 * (:line - first_line) + 1, 4) <> x'00000000'
      from line_print
      where log = :log
        and first_line <= :line
        and first_line + length(prints) / 4 > :line
        and substr(prints, 4 * (:line - first_line) + 1, 4) <> x'00000000'
      limit 1
      """, arguments: ["line": .integer(line), "log": .integer(log)])
    return row?.integer == 1
  }
}
