internal import FlowStore
internal import Flows

// What was not read: gaps of logs, and next hops whose log is missing.

extension Standing {
  /// Flows among which gaps are looked for: an answer that should come at once looks at no more.
  static let flowsForGaps: Int64 = 200_000
  /// An alert's new lines may not have reached the file itself yet, and SQL is slower.
  private static let flowsForGapsOfAlert: Int64 = 100_000

  /// Gaps that touch the time asked about.
  mutating func findGaps(
    in store: FlowReader, filters: Filters = Filters(), among most: Int64 = flowsForGaps
  ) throws {
    gaps = Gaps()
    guard let flows = try FlowsForGaps(in: store, filters: filters, most: most) else { return }
    gaps.among = flows.isEnough ? nil : most
    var minutes = try store.busyMinutes(rows: flows.rows) ?? Standing.busyMinutes(store, rows: flows.rows)
    if let (earliest, latest) = flows.edges {
      // A log with lines beyond the flows that are looked at is silent as far as these reach.
      try store.query(
        "select id, first_ms < :earliest, last_ms > :latest from log where stored > 0 and first_ms is not null order by id",
        arguments: ["earliest": .integer(earliest), "latest": .integer(latest)]
      ) { row in
        guard let log = row[0].integer else { return }
        func edge(_ ms: Int64) -> BusyMinute { BusyMinute(minute: ms / 60_000, firstMs: ms, lastMs: ms) }
        if row[1] == 1, minutes[log]?.first?.firstMs ?? .max > earliest {
          minutes[log, default: []].insert(edge(earliest), at: 0)
        }
        if row[2] == 1, minutes[log]?.last?.lastMs ?? .min < latest { minutes[log, default: []].append(edge(latest)) }
      }
    }
    for minutes in minutes.values {
      let touching = LogPauses(minutes).gaps.filter {
        $0.fromMs.plus($0.lengthMs) >= filters.sinceMs ?? .min && $0.fromMs < filters.untilMs ?? .max
      }
      if !touching.isEmpty { gaps.logs += 1 }
      gaps.longestMs = max(gaps.longestMs, touching.map(\.lengthMs).max() ?? 0)
    }
  }

  /// The flows among which gaps are looked for: all, the newest, or those of the time asked about and the ones nearest to it.
  private struct FlowsForGaps {
    /// Row ids, ascending.
    var rows: [ClosedRange<Int64>] = [.min ... .max]
    /// All of the time asked about are among them.
    var isEnough = true
    /// Unix milliseconds from which and to which they reach, where others lie beyond.
    var edges: (earliest: Int64, latest: Int64)?

    /// nil where there are none.
    init?(in store: FlowReader, filters: Filters, most: Int64) throws {
      let ids = try store.rows("select (select min(id) from flow), (select max(id) from flow)").rows.first ?? []
      guard let first = ids.first?.integer, let last = ids.last?.integer else { return nil }
      guard last - first >= most else { return }
      guard filters.sinceMs != nil || filters.untilMs != nil else {
        rows = [last - most + 1 ... .max]
        isEnough = false
        return
      }
      rows = []
      var minutes: ClosedRange<Int64>?
      try store.query(
        """
        with near as (
          select
            minute,
            first_flow,
            last_flow,
            flows,
            max(0, coalesce(:since - minute, 0), coalesce(minute - :until, 0)) as distance
          from flow_minute
        ),
        summed as materialized (
          select
            minute,
            first_flow,
            last_flow,
            distance,
            sum(flows) over (order by distance, minute desc, first_flow rows unbounded preceding) - flows as nearer
          from near
        )
        select first_flow, last_flow, minute, (select max(nearer) from summed where distance = 0) >= :most
        from summed
        where nearer < :most
        order by first_flow
        """,
        arguments: [
          "since": Value(filters.sinceMs.map { $0 / 60_000 }), "until": Value(filters.untilMs.map { $0 / 60_000 }),
          "most": .integer(most),
        ]
      ) { row in
        guard let first = row[0].integer, let last = row[1].integer, let minute = row[2].integer, first <= last
        else { return }
        if let before = rows.last, first <= before.upperBound.plus(1) {
          rows[rows.count - 1] = before.lowerBound...max(before.upperBound, last)
        } else {
          rows.append(first...last)
        }
        let known = minutes ?? minute...minute
        minutes = min(known.lowerBound, minute)...max(known.upperBound, minute)
        isEnough = row[3] != 1
      }
      guard let minutes else { return }
      edges = (minutes.lowerBound * 60_000, (minutes.upperBound * 60_000).plus(59_999))
      // All that lies in the time asked about was looked at, up to its ends.
      if isEnough, let edges {
        self.edges = (min(edges.earliest, filters.sinceMs ?? .max), max(edges.latest, filters.untilMs ?? .min))
      }
    }
  }

  /// The same by SQL, where the file is being written to; a test holds the two equal.
  static func busyMinutes(_ store: FlowReader, rows: [ClosedRange<Int64>]) throws -> [Int64: [BusyMinute]] {
    var minutes: [Int64: [BusyMinute]] = [:]
    let ranges = "[" + rows.map { "[\($0.lowerBound),\($0.upperBound)]" }.joined(separator: ",") + "]"
    try store.query(
      """
      select
        s.log,
        (f.started_at_ms + coalesce(f.duration_ms, 0)) / 60000 as minute,
        min(f.started_at_ms + coalesce(f.duration_ms, 0)),
        max(f.started_at_ms + coalesce(f.duration_ms, 0))
      from json_each(:rows) r
      cross join flow f on f.id between r.value ->> 0 and r.value ->> 1
      join source s on s.id = f.source
      group by s.log, (f.started_at_ms + coalesce(f.duration_ms, 0)) / 60000
      union all
      -- Of flows without rows the minutes are known.
      select log, minute, minute * 60000, minute * 60000 + 59999
      from tallied_minute
      order by 1, 2
      """, arguments: ["rows": .text(ranges)]
    ) { row in
      let (log, next) = (
        row[0].integer ?? 0,
        BusyMinute(minute: row[1].integer ?? 0, firstMs: row[2].integer ?? 0, lastMs: row[3].integer ?? 0)
      )
      if let last = minutes[log]?.last, last.minute == next.minute {
        minutes[log]?.removeLast()
        minutes[log]?.append(
          BusyMinute(
            minute: next.minute, firstMs: min(last.firstMs, next.firstMs), lastMs: max(last.lastMs, next.lastMs)))
      } else {
        minutes[log, default: []].append(next)
      }
    }
    return minutes
  }

  /// For an alert that has something to tell: of the flows behind `flow`, or of all.
  mutating func lookForSilences(in store: FlowReader, after flow: Int64?) throws {
    if let flow {
      nextHopsNotRead =
        try store.value(
          "select count(*) from judged_flow where id > :after and next_hop_gap = 'next-hop-not-read'",
          arguments: ["after": .integer(flow)])?.integer ?? 0
      try findGaps(in: store, among: Standing.flowsForGapsOfAlert)
    } else {
      try countFindings(in: store, filters: Filters(), usingTallies: true)
      try findGaps(in: store)
    }
    try findUnread(in: store, filters: Filters())
  }

  /// Times of which nothing was read that are named; of a mesh that sleeps at night there may be one a day.
  private static let namedTimes = 4

  /// What was not read. A log may fall silent because nothing came, so that this alone takes no all-clear away; the
  /// all-clear names it.
  var silences: [String] {
    let times = unread.filter { !$0.isAll }.map { unread in
      let span = "\(Quantities.iso(unread.fromMs)) until \(Quantities.iso(unread.untilMs))"
      return "no line of \(unread.isOfSidecars ? "a sidecar's" : "any") log is of the time from \(span)"
    }
    var silences = times.first(Standing.namedTimes) { "nor of \($0) more such \($0 == 1 ? "time" : "times")" }
    if gaps.logs > 0 {
      let among = gaps.among.map { " among the newest \(Quantities.grouped($0)) flows" } ?? ""
      silences.append(
        "\(gaps.logs) \(gaps.logs == 1 ? "log has gaps" : "logs have gaps")\(among), the longest of \(Quantities.duration(Double(gaps.longestMs))) (see: gatewatch report coverage)"
      )
    } else if let among = gaps.among {
      silences.append(
        "gaps were looked for among the newest \(Quantities.grouped(among)) flows alone (see: gatewatch report coverage)"
      )
    }
    if pending > 0 {
      silences.append(
        "\(Quantities.grouped(pending)) bytes of last lines without an end yet were not read (see: gatewatch report coverage)"
      )
    }
    if nextHopsNotRead > 0 {
      silences.append(
        "\(Quantities.grouped(nextHopsNotRead)) \(nextHopsNotRead == 1 ? "flow was" : "flows were") handed on to a gateway or proxy whose log was not read for that time (see: gatewatch report missing-hops)"
      )
    }
    return silences
  }
}
