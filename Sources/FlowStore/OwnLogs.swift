internal import Flows
internal import GRDB

/// For which times the logs of the pods' own sidecars can prove that something did not pass them: table `own_log`.
///
/// A log proves it between its first and its last line of that pod, if it is unfiltered (it holds a success that a filter
/// for exceptions would have left out), if all its lines were understood, if their format shows addresses, and while its
/// clock is proven to be right (`ClockTrust`).
enum OwnLogs {
  /// A line that is missing from a log may still come while the log's other lines are not this much younger than the flow:
  /// Envoy writes every second under Istio and every ten seconds by itself, clocks differ by up to two seconds, and a
  /// sidecar's flow ends after the gateway's while a slow client takes what lies in its buffers. A flow that lives longer
  /// is no matter: it ends at all hops together. The view judged_flow knows this number too.
  static let graceMs: Int64 = 60_000
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

/// For which times the clock of each address is right, a clock at a time: the minutes of all together grow with the store.
private struct ProvenClocks {
  private var stretches: [String: [ClosedRange<Int64>]] = [:]
  /// The logs of each address, where it has more than one: their minutes have to be looked at together.
  private var logs: [String: [Int64]] = [:]
  private var onlyLog: [String: Int64] = [:]

  /// - Parameter minutes: all that a log shows of an address, ascending.
  mutating func add(_ minutes: [ClockTrust.Minute], of ip: String, in log: Int64) {
    guard let first = onlyLog[ip] else {
      onlyLog[ip] = log
      stretches[ip] = ClockTrust.proven(minutes)
      return
    }
    logs[ip, default: [first]].append(log)
    stretches[ip] = nil
  }

  func proven(of ip: String, _ db: Database) throws(StoreError) -> [ClosedRange<Int64>] {
    guard let logs = logs[ip] else { return stretches[ip] ?? [] }
    let hours = try db.statement("select hour, minutes from clock_hour where log = ? and proxy_ip = ? order by hour")
    var minutes: [ClockTrust.Minute] = []
    for log in logs {
      hours.bind(log, at: 1)
      hours.bind(ip, at: 2)
      while try hours.step() { hours.withBlob(1) { ClockTrust.add($0, hour: hours.int(0), to: &minutes) } }
      hours.reset()
    }
    return ClockTrust.proven(ClockTrust.merged(minutes))
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

  public init(source: Int64, firstEndMs: Int64, lastEndMs: Int64, logsSuccess: Bool) {
    self.source = source
    self.firstEndMs = firstEndMs
    self.lastEndMs = lastEndMs
    self.logsSuccess = logsSuccess
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
          logs_success = max(coalesce(logs_success, ?4), ?4)
        where id = ?1
          and (first_end_ms is null or first_end_ms > ?2 or last_end_ms < ?3 or logs_success < ?4)
        """)
      for entry in lines {
        try update.run(
          .integer(entry.source), .integer(entry.firstEndMs), .integer(entry.lastEndMs),
          .integer(entry.logsSuccess ? 1 : 0))
      }
    }
  }

  /// Writes anew, inside the open transaction, for which times the sidecars' own logs are whole and their clocks right, and
  /// for which a proxy's clock is in doubt.
  public func refreshOwnLogs() throws(StoreError) {
    try write("own logs") { db throws(StoreError) in
      var clocks = ProvenClocks()
      var doubts: [[Value]] = []
      let hours = try db.statement("select log, proxy_ip, hour, minutes from clock_hour order by log, proxy_ip, hour")
      var present: (log: Int64, ip: String, minutes: [ClockTrust.Minute]) = (-1, "", [])
      func close() {
        guard !present.minutes.isEmpty else { return }
        clocks.add(present.minutes, of: present.ip, in: present.log)
        for stretch in ClockTrust.doubtful(present.minutes) {
          doubts.append(
            [.integer(present.log), .text(present.ip), .integer(stretch.lowerBound), .integer(stretch.upperBound)])
        }
      }
      while try hours.step() {
        let (log, ip) = (hours.int(0), hours.text(1) ?? "")
        if log != present.log || ip != present.ip {
          close()
          (present.log, present.ip) = (log, ip)
          present.minutes.removeAll(keepingCapacity: true)
        }
        hours.withBlob(3) { ClockTrust.add($0, hour: hours.int(2), to: &present.minutes) }
      }
      close()
      present.minutes = []
      try FlowStore.replace(
        "doubtful_clock", ["log", "proxy_ip", "from_ms", "until_ms"], keyed: 3, by: doubts, db)

      let rows = try db.statement(
        """
        select
          s.proxy_ip,
          min(s.first_end_ms),
          max(s.last_end_ms),
          max(s.shape <> 'inbound' and s.logs_success = 1)
            and l.rejected = 0
            and l.tallied = 0
            and coalesce(l.declared_role, 'sidecar') in ('sidecar', 'unknown')
            -- Asked once for all logs: there may be thousands, with hundreds of sources each.
            and l.id not in (
              select o.log
              from source o
              where o.proxy = 'envoy'
                and o.shape in ('unaddressed', 'internal-listener', 'waypoint', 'other')
            ) as whole,
          l.note is not null
        from source s
        join log l on l.id = s.log
        where s.proxy = 'envoy'
          and s.shape in ('outbound', 'outbound-forwarded', 'inbound')
          and s.proxy_ip is not null
          and s.first_end_ms is not null
        group by s.proxy_ip, l.id
        order by s.proxy_ip, l.id
        """)
      // The hop before a flow of a little later may be among what was pruned.
      let pruned = try db.statement("select cast(value as integer) from meta where key = 'pruned_before_ms'")
      let knownFromMs = try pruned.step() ? pruned.int(0) + OwnLogTable.reachMs : .min
      var byPod: [(ip: String, stretches: [OwnLogs.Stretch])] = []
      while try rows.step() {
        let ip = rows.text(0) ?? ""
        if byPod.last?.ip != ip { byPod.append((ip, [])) }
        let stretch = OwnLogs.Stretch(
          fromMs: max(rows.int(1), knownFromMs), untilMs: rows.int(2), isWhole: rows.int(3) == 1,
          followsGap: rows.int(4) == 1)
        if stretch.fromMs <= stretch.untilMs { byPod[byPod.count - 1].stretches.append(stretch) }
      }
      var wanted: [[Value]] = []
      for pod in byPod {
        let clock = try clocks.proven(of: pod.ip, db)
        for stretch in OwnLogs.whole(pod.stretches) {
          for proven in clock where stretch.fromMs <= proven.upperBound && proven.lowerBound <= stretch.untilMs {
            wanted.append([
              .text(pod.ip), .integer(max(stretch.fromMs, proven.lowerBound)),
              .integer(min(stretch.untilMs, proven.upperBound)),
            ])
          }
        }
      }
      try FlowStore.replace("own_log", ["client_ip", "from_ms", "until_ms"], keyed: 2, by: wanted, db)
    }
  }

  /// Writes rows in place of all that a table holds, unless it holds just them.
  /// - Parameter keyed: so many columns order the table.
  private static func replace(
    _ table: String, _ columns: [String], keyed: Int, by wanted: [[Value]], _ db: Database
  ) throws(StoreError) {
    let names = columns.joined(separator: ", ")
    var present: [[Value]] = []
    let stored = try db.statement(
      "select \(names) from \(table) order by \(columns.prefix(keyed).joined(separator: ", "))")
    while try stored.step() { present.append(columns.indices.map { stored.value(Int32($0)) }) }
    guard present != wanted else { return }
    try db.run("delete from \(table)")
    let insert = try db.statement(
      "insert into \(table) (\(names)) values (\(columns.map { _ in "?" }.joined(separator: ", ")))")
    for row in wanted {
      for (index, value) in row.enumerated() { insert.bind(value, at: Int32(index) + 1) }
      while try insert.step() {}
      insert.reset()
    }
  }
}
