internal import GRDB

/// Whether a flow that no line of its client's own sidecar accounts for is proven to have skipped it; the same as the view
/// `judged_flow` says.
struct OwnLogTable {
  private struct Stretch {
    var fromMs, untilMs: Int64
  }

  /// Minutes around a flow in which nothing may have come since hops were joined, and which joining reaches.
  static let reachMs: Int64 = 240_000
  /// Beyond all calendars, where sums could overflow.
  private static let latestMs: Int64 = 1 << 60

  /// By row id of the source, as a range of `stretches`.
  private var ranges: [Int64: Range<Int>] = [:]
  private var stretches: [Stretch] = []
  /// By row id of the source: when its proxy's clock is in doubt.
  private var doubts: [Int64: [Stretch]] = [:]
  private var openMinutes: [Int64] = []

  init(_ db: Database) throws(StoreError) {
    let rows = try db.statement(
      """
      select s.id, o.from_ms, o.until_ms
      from source s
      join own_log o on o.client_ip = s.client_ip
      order by s.id
      """)
    while try rows.step() {
      let end = stretches.count
      ranges[rows.int(0)] = (ranges[rows.int(0)]?.lowerBound ?? end)..<end + 1
      stretches.append(Stretch(fromMs: rows.int(1), untilMs: rows.int(2)))
    }
    let doubtful = try db.statement(
      """
      select s.id, c.from_ms, c.until_ms
      from doubtful_clock c
      join source s on s.log = c.log and coalesce(s.proxy_ip, '') = c.proxy_ip
      """)
    while try doubtful.step() {
      doubts[doubtful.int(0), default: []].append(Stretch(fromMs: doubtful.int(1), untilMs: doubtful.int(2)))
    }
    let minutes = try db.statement("select minute from open_minute order by minute")
    while try minutes.step() { openMinutes.append(minutes.int(0)) }
  }

  func mayProveAbsence(of source: Int64) -> Bool { ranges[source] != nil }

  func provesAbsence(_ flow: FlowRecord) -> Bool {
    guard flow.durationMs >= 0, flow.durationMs <= OwnLogTable.latestMs, abs(flow.startedAtMs) <= OwnLogTable.latestMs,
      let range = ranges[flow.source]
    else { return false }
    let end = flow.startedAtMs + flow.durationMs
    guard
      stretches[range].contains(where: {
        $0.fromMs <= end - OwnLogs.graceMs && end + OwnLogs.graceMs <= $0.untilMs
      })
    else { return false }
    if let doubts = doubts[flow.source], doubts.contains(where: { $0.fromMs <= end && end <= $0.untilMs }) {
      return false
    }
    let first = (flow.startedAtMs - OwnLogTable.reachMs) / 60_000
    let last = (flow.startedAtMs + OwnLogTable.reachMs) / 60_000
    return !openMinutes.contains { first <= $0 && $0 <= last }
  }
}
