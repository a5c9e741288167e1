public import Flows
internal import GRDB
internal import GRDBSQLite

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

  /// Minutes of which flows are in tallies alone, ascending.
  public func talliedMinutes() throws(StoreError) -> [Int64] {
    try access { db throws(StoreError) in
      let rows = try db.statement("select distinct minute from tallied_minute order by minute")
      var minutes: [Int64] = []
      while try rows.step() { minutes.append(rows.int(0)) }
      return minutes
    }
  }

  /// Hops of all minutes are joined, inside the open transaction.
  public func closeMinutes() throws(StoreError) {
    try write("joined") { db throws(StoreError) in try db.run("delete from open_minute") }
  }

  /// The hops that a request asks for, by SQL: what `HopPages` reads where it can.
  public func read(_ request: HopRequest, into stretch: inout HopStretch) throws(StoreError) {
    try access { db throws(StoreError) in
      let rows = try db.statement(
        """
        select
          id, started_at_ms, coalesce(duration_ms, -1), coalesce(sent, -1), coalesce(received, -1),
          coalesce(request_hash, 0), line, source, destination, outcome, coalesce(path_template, -1), ports
        from flow
        where id between ? and ?
        order by id
        """)
      for span in request.spans {
        rows.bind(span.lowerBound, at: 1)
        rows.bind(span.upperBound, at: 2)
        while try rows.step() {
          let ports = UInt32(truncatingIfNeeded: rows.int(11) &+ 1 << 31)
          stretch.add(
            Hop(
              flow: rows.int(0), startedAtMs: rows.int(1), durationMs: rows.int(2), sent: rows.int(3),
              received: rows.int(4), requestHash: UInt64(bitPattern: rows.int(5)), line: rows.int(6),
              source: Int32(clamping: rows.int(7)), destination: Int32(clamping: rows.int(8)),
              outcome: Int32(clamping: rows.int(9)), pathTemplate: Int32(clamping: rows.int(10)),
              sourcePort: UInt16(ports >> 16), localPort: UInt16(truncatingIfNeeded: ports)), request)
        }
      }
    }
  }

  /// Stretches of row ids that hold the flows of the minutes `first...last`, ascending, without overlap.
  public func spans(minutes first: Int64, _ last: Int64) throws(StoreError) -> [ClosedRange<Int64>] {
    try access { db throws(StoreError) in try FlowStore.spans(minutes: first, last, db) }
  }

  /// - Parameter gap: stretches that are no more row ids apart are one.
  static func spans(
    minutes first: Int64, _ last: Int64, gap: Int64 = 0, _ db: Database
  ) throws(StoreError) -> [ClosedRange<Int64>] {
    let rows = try db.statement(
      "select first_flow, last_flow from flow_minute where minute between ? and ? order by first_flow")
    rows.bind(first, at: 1)
    rows.bind(last, at: 2)
    var spans: [ClosedRange<Int64>] = []
    while try rows.step() {
      guard rows.int(0) <= rows.int(1) else { continue }
      if let end = spans.last, rows.int(0) <= min(end.upperBound, .max - 1 - gap) + 1 + gap {
        spans[spans.count - 1] = end.lowerBound...max(end.upperBound, rows.int(1))
      } else {
        spans.append(rows.int(0)...rows.int(1))
      }
    }
    return spans
  }

  /// How many flows stand in the minutes from `first` to each minute that has some, up to `last`.
  public func flowCounts(minutes first: Int64, _ last: Int64) throws(StoreError) -> [(minute: Int64, flows: Int64)] {
    try access { db throws(StoreError) in
      let rows = try db.statement(
        "select minute, sum(flows) from flow_minute where minute between ? and ? group by minute order by minute")
      rows.bind(first, at: 1)
      rows.bind(last, at: 2)
      var counts: [(Int64, Int64)] = []
      while try rows.step() { counts.append((rows.int(0), rows.int(1))) }
      return counts
    }
  }

  /// Writes what joining has found, inside the open transaction; see `JoinedWriter`.
  public func write(joined: [JoinedHop], of decided: [ClosedRange<Int64>]) throws(StoreError) {
    try JoinedWriter(self).write(joined, of: decided)
  }

  /// Writes what was learned of clocks, inside the open transaction. The minute with most samples speaks for a pair.
  public func write(clocks: [ClockSkew]) throws(StoreError) {
    guard !clocks.isEmpty else { return }
    try write("clock skew") { db throws(StoreError) in
      let row = try db.statement(
        """
        insert into clock_skew
          (earlier_log, earlier_ip, later_log, later_ip, skew_ms, samples, least_ms, most_ms, first_ms, last_ms)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        on conflict do update set
          skew_ms = case when excluded.samples >= samples then excluded.skew_ms else skew_ms end,
          samples = max(excluded.samples, samples),
          least_ms = min(excluded.least_ms, least_ms),
          most_ms = max(excluded.most_ms, most_ms),
          first_ms = min(excluded.first_ms, first_ms),
          last_ms = max(excluded.last_ms, last_ms)
        """)
      for skew in clocks {
        try row.run(
          .integer(skew.earlierLog), .text(skew.earlierIP), .integer(skew.laterLog), .text(skew.laterIP),
          .integer(skew.skewMs), .integer(skew.samples), .integer(skew.leastMs), .integer(skew.mostMs),
          .integer(skew.firstMs), .integer(skew.lastMs))
      }
    }
  }

  /// Gives the memory of SQLite's page cache and of the last batches back, as far as the open transaction does not need it.
  public func releaseMemory() {
    try? access { db throws(StoreError) in
      sqlite3_db_release_memory(db.sqliteConnection)
      self.writer.giveBack()
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
