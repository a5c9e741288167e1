public import Flows
internal import GRDB

extension FlowStore {
  /// Unix time in minutes, rounded down; times beyond all calendars are drawn to their border.
  public static func minute(of ms: Int64) -> Int64 {
    let ms = min(max(ms, -latestMs), latestMs)
    return (ms >= 0 ? ms : ms - 59_999) / 60_000
  }

  /// Leaves room to reckon with minutes and milliseconds without overflow.
  private static let latestMs: Int64 = 1 << 60

  /// Minutes with flows stored since hops were last joined, ascending.
  public func openMinutes() throws(StoreError) -> [Int64] {
    try access { db throws(StoreError) in
      let rows = try db.statement("select minute from open_minute order by minute")
      var minutes: [Int64] = []
      while try rows.step() { minutes.append(rows.int(0)) }
      return minutes
    }
  }

  /// Hops of all minutes are joined, inside the open transaction.
  public func closeMinutes() throws(StoreError) {
    try write("joined") { db throws(StoreError) in try db.run("delete from open_minute") }
  }

  /// How many flows began in the minutes `first...last`.
  public func flowCount(minutes first: Int64, _ last: Int64) throws(StoreError) -> Int64 {
    try access { db throws(StoreError) in
      let row = try db.statement("select coalesce(sum(flows), 0) from flow_minute where minute between ? and ?")
      row.bind(first, at: 1)
      row.bind(last, at: 2)
      return try row.step() ? row.int(0) : 0
    }
  }

  /// The flows that began in the minutes `first...last`, by row id.
  public func hops(
    minutes first: Int64, _ last: Int64, body: (Hop) -> Void
  ) throws(StoreError) {
    try access { db throws(StoreError) in
      let spans = try FlowStore.flowSpans(minutes: first, last, on: db)
      let rows = try db.statement(
        """
        select
          f.id, f.started_at_ms, coalesce(f.duration_ms, -1), coalesce(f.sent, -1), coalesce(f.received, -1),
          coalesce(f.request_hash, 0), f.line, f.source, f.destination, f.outcome, coalesce(f.path_template, -1),
          f.ports
        from flow f
        where f.id between ? and ?
        order by f.id
        """)
      let times = first * 60_000..<(last + 1) * 60_000
      for span in spans {
        rows.bind(span.first, at: 1)
        rows.bind(span.last, at: 2)
        while try rows.step() {
          let start = rows.int(1)
          guard times.contains(start) else { continue }
          let ports = UInt32(truncatingIfNeeded: rows.int(11) &+ 1 << 31)
          let hop = Hop(
            flow: rows.int(0), startedAtMs: start, durationMs: rows.int(2), sent: rows.int(3), received: rows.int(4),
            requestHash: UInt64(bitPattern: rows.int(5)), line: rows.int(6), source: Int32(clamping: rows.int(7)),
            destination: Int32(clamping: rows.int(8)), outcome: Int32(clamping: rows.int(9)),
            pathTemplate: Int32(clamping: rows.int(10)), sourcePort: UInt16(ports >> 16),
            localPort: UInt16(truncatingIfNeeded: ports))
          body(hop)
        }
      }
    }
  }

  /// Stretches of row ids that hold the minutes' flows, ascending, without overlap.
  private static func flowSpans(
    minutes first: Int64, _ last: Int64, on db: Database
  ) throws(StoreError) -> [(first: Int64, last: Int64)] {
    let rows = try db.statement(
      "select first_flow, last_flow from flow_minute where minute between ? and ? order by first_flow")
    rows.bind(first, at: 1)
    rows.bind(last, at: 2)
    var spans: [(first: Int64, last: Int64)] = []
    while try rows.step() {
      if let end = spans.last?.last, rows.int(0) <= end + 1 {
        spans[spans.count - 1].last = max(end, rows.int(1))
      } else {
        spans.append((rows.int(0), rows.int(1)))
      }
    }
    return spans
  }

  /// Writes what joining has found of `flows`, inside the open transaction: those not in `joined` are joined with no other.
  /// - Parameter joined: in the order of `flows`.
  public func write(joined: [JoinedHop], of flows: [Int64]) throws(StoreError) {
    guard !flows.isEmpty else { return }
    try write("hops") { db throws(StoreError) in
      let blocks = try HopBlockWriter(db)
      var next = 0
      for flow in flows {
        if next < joined.count, joined[next].flow == flow {
          try blocks.set(flow, place: joined[next].place.rawValue, journey: joined[next].journey)
          next += 1
        } else {
          try blocks.set(flow, place: 0, journey: 0)
        }
      }
      precondition(next == joined.count, "a joined flow is not among those that were looked at, or not in their order")
      try blocks.finish()
    }
  }

  /// Outcomes whose lines are second views of a flow by the present judgement.
  public func secondViews() throws(StoreError) -> Set<Int64> {
    try access { db throws(StoreError) in
      let rows = try db.statement("select distinct outcome from outcome_verdict where duplicate_view = 1")
      var outcomes: Set<Int64> = []
      while try rows.step() { outcomes.insert(rows.int(0)) }
      return outcomes
    }
  }
}
