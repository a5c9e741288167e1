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
    let ids = try store.rows("select (select min(id) from flow), (select max(id) from flow)").rows.first ?? []
    guard let first = ids.first?.integer, let last = ids.last?.integer else { return }
    let from = max(first, last - most + 1)
    let minutes =
      try store.busyMinutes(sinceMs: nil, untilMs: nil, from: from) ?? Standing.busyMinutes(store, from: from)
    gaps = Gaps(among: from > first ? most : nil)
    for minutes in minutes.values {
      let touching = LogPauses(minutes).gaps.filter {
        $0.fromMs.plus($0.lengthMs) >= filters.sinceMs ?? .min && $0.fromMs < filters.untilMs ?? .max
      }
      if !touching.isEmpty { gaps.logs += 1 }
      gaps.longestMs = max(gaps.longestMs, touching.map(\.lengthMs).max() ?? 0)
    }
  }

  /// The same by SQL, where the file is being written to; a test holds the two equal.
  static func busyMinutes(_ store: FlowReader, from first: Int64) throws -> [Int64: [BusyMinute]] {
    var minutes: [Int64: [BusyMinute]] = [:]
    try store.query(
      """
      select
        s.log,
        (f.started_at_ms + coalesce(f.duration_ms, 0)) / 60000 as minute,
        min(f.started_at_ms + coalesce(f.duration_ms, 0)),
        max(f.started_at_ms + coalesce(f.duration_ms, 0))
      from flow f
      join source s on s.id = f.source
      where f.id >= :first
      group by s.log, (f.started_at_ms + coalesce(f.duration_ms, 0)) / 60000
      union all
      -- Of flows without rows the minutes are known.
      select log, minute, minute * 60000, minute * 60000 + 59999
      from tallied_minute
      order by 1, 2
      """, arguments: ["first": .integer(first)]
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
