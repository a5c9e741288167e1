public import Flows
internal import GRDB

/// For which times the logs of the pods' own sidecars can prove that something did not pass them: table `own_log`.
///
/// A log proves it between its first and its last line of that pod, if it is unfiltered (it holds a success that a filter
/// for exceptions would have left out), if all its lines were understood, and if their format shows addresses.
enum OwnLogs {
  /// A line that is missing from a log may still come while the log's other lines are not this much younger than the flow:
  /// Envoy writes every second under Istio and every ten seconds by itself, clocks differ by up to two seconds, and a
  /// sidecar's flow ends after the gateway's while a slow client takes what lies in its buffers. A flow that lives longer
  /// is no matter: it ends at all hops together. The view judged_flow knows this number too.
  static let graceMs: Int64 = 60_000
  /// For how long before and after a line that was joined with its next hop a proxy's clock is taken to be right: one that
  /// is wrong by minutes puts a pod's lines where nobody looks for them.
  static let clockTrustMs: Int64 = 900_000

  struct Stretch: Equatable {
    var fromMs: Int64
    var untilMs: Int64
    /// Of a log that can prove something.
    var isWhole: Bool
    /// Something of the log before this one was lost.
    var followsGap: Bool
  }

  /// Stretches of time without gaps, ascending, of one pod's logs in any order.
  static func whole(_ stretches: [Stretch]) -> [Stretch] {
    let broken = stretches.filter { !$0.isWhole }
    // Another log of the same pod and time may hold what the whole one lacks.
    let kept = stretches.filter { one in
      one.isWhole
        && !broken.contains { one.fromMs - graceMs <= $0.untilMs && $0.fromMs <= one.untilMs + graceMs }
    }.sorted { ($0.fromMs, $0.untilMs) < ($1.fromMs, $1.untilMs) }
    var result: [Stretch] = []
    for next in kept {
      if let last = result.last,
        next.fromMs <= last.untilMs || (next.fromMs - graceMs <= last.untilMs && !next.followsGap)
      {
        result[result.count - 1].untilMs = max(last.untilMs, next.untilMs)
      } else {
        result.append(next)
      }
    }
    return result
  }
}

/// What the lines of one source show of the log that holds them.
public struct SourceLines: Sendable, Equatable {
  /// Row id of the source.
  public var source: Int64
  /// Earliest and latest end of a flow, Unix milliseconds.
  public var firstEndMs: Int64
  public var lastEndMs: Int64
  /// There is a line that a filter for errors and undeclared destinations would have left out.
  public var logsSuccess: Bool
  /// Starts of the first and the last line that was joined with its next hop.
  public var joinedMs: ClosedRange<Int64>?

  public init(
    source: Int64, firstEndMs: Int64, lastEndMs: Int64, logsSuccess: Bool, joinedMs: ClosedRange<Int64>? = nil
  ) {
    self.source = source
    self.firstEndMs = firstEndMs
    self.lastEndMs = lastEndMs
    self.logsSuccess = logsSuccess
    self.joinedMs = joinedMs
  }
}

extension FlowStore {
  /// Adds to what is known of the sources, inside the open transaction.
  public func note(_ lines: [SourceLines]) throws(StoreError) {
    guard !lines.isEmpty else { return }
    try write("source lines") { db throws(StoreError) in
      let update = try db.statement(
        """
        update source set
          first_end_ms = min(coalesce(first_end_ms, ?2), ?2),
          last_end_ms = max(coalesce(last_end_ms, ?3), ?3),
          logs_success = max(coalesce(logs_success, ?4), ?4),
          first_joined_ms = min(coalesce(first_joined_ms, ?5), coalesce(?5, first_joined_ms)),
          last_joined_ms = max(coalesce(last_joined_ms, ?6), coalesce(?6, last_joined_ms))
        where id = ?1
          and (first_end_ms is null or first_end_ms > ?2 or last_end_ms < ?3 or logs_success < ?4
            or (?5 is not null and (first_joined_ms is null or first_joined_ms > ?5 or last_joined_ms < ?6)))
        """)
      for entry in lines {
        try update.run(
          .integer(entry.source), .integer(entry.firstEndMs), .integer(entry.lastEndMs),
          .integer(entry.logsSuccess ? 1 : 0), Value(entry.joinedMs?.lowerBound), Value(entry.joinedMs?.upperBound))
      }
    }
  }

  /// Writes anew, inside the open transaction, for which times the sidecars' own logs are whole.
  public func refreshOwnLogs() throws(StoreError) {
    try write("own logs") { db throws(StoreError) in
      let rows = try db.statement(
        """
        select
          s.proxy_ip,
          max(min(s.first_end_ms), min(s.first_joined_ms) - \(OwnLogs.clockTrustMs)),
          min(max(s.last_end_ms), max(s.last_joined_ms) + \(OwnLogs.clockTrustMs)),
          max(s.last_joined_ms) is not null
            and max(s.shape <> 'inbound' and s.logs_success = 1)
            and l.rejected = 0
            and l.tallied = 0
            and coalesce(l.declared_role, 'sidecar') in ('sidecar', 'unknown')
            and not exists (
              select 1
              from source o
              where o.log = l.id
                and o.proxy = 'envoy'
                and o.shape in ('unaddressed', 'internal-listener', 'waypoint', 'other')
            ) as whole,
          l.note is not null,
          min(s.first_end_ms),
          max(s.last_end_ms)
        from source s
        join log l on l.id = s.log
        where s.proxy = 'envoy'
          and s.shape in ('outbound', 'outbound-forwarded', 'inbound')
          and s.proxy_ip is not null
          and s.first_end_ms is not null
        group by s.proxy_ip, l.id
        order by s.proxy_ip, l.id
        """)
      var byPod: [(ip: String, stretches: [OwnLogs.Stretch])] = []
      while try rows.step() {
        let ip = rows.text(0) ?? ""
        if byPod.last?.ip != ip { byPod.append((ip, [])) }
        // A log that can prove nothing stands in the way for as long as it lasts.
        let isWhole = rows.int(3) == 1
        let stretch = OwnLogs.Stretch(
          fromMs: rows.int(isWhole ? 1 : 5), untilMs: rows.int(isWhole ? 2 : 6), isWhole: isWhole,
          followsGap: rows.int(4) == 1)
        if stretch.fromMs <= stretch.untilMs { byPod[byPod.count - 1].stretches.append(stretch) }
      }
      var wanted: [[Value]] = []
      for pod in byPod {
        for stretch in OwnLogs.whole(pod.stretches) {
          wanted.append([.text(pod.ip), .integer(stretch.fromMs), .integer(stretch.untilMs)])
        }
      }
      var present: [[Value]] = []
      let stored = try db.statement("select client_ip, from_ms, until_ms from own_log order by client_ip, from_ms")
      while try stored.step() { present.append((0..<3).map { stored.value($0) }) }
      guard present != wanted else { return }
      try db.run("delete from own_log")
      let insert = try db.statement("insert into own_log (client_ip, from_ms, until_ms) values (?, ?, ?)")
      for row in wanted { try insert.run(row[0], row[1], row[2]) }
    }
  }
}
