internal import Flows
internal import GRDB

extension FlowStore {
  /// Fewer lines than this may well tell of failures alone.
  public static let linesOfASign: Int64 = 10
  private static let signsOf = "log_signs"

  /// Notes of every log with new lines, and of all after another judgement, which roles wrote it, whether any line tells of
  /// a success, and whether it looks like the last ten lines of each pod. What was noted of flows that were pruned is kept: nothing
  /// is left to look at.
  ///
  /// - Parameters:
  ///   - looks: what a look at `rows` showed; logs that it leaves open are looked at line by line.
  ///   - rows: what was added since signs were last noted; nil when that was never, or is not known.
  public func noteSigns(_ looks: [Int64: LogLook], among rows: AddedRows?) throws(StoreError) {
    // By another policy, or before anything was noted, all flows count.
    let policy = try judgedPolicyHash ?? ""
    var isAfresh = try meta(FlowStore.signsOf) != policy
    // ... which they do where nothing was there before.
    if isAfresh, let rows, try rows.count == lastFlow { isAfresh = false }
    let changed = try changedLogs(isAfresh)
    guard !changed.isEmpty else { return }
    var found = isAfresh && rows != nil ? try self.looksByLog() : looks
    if isAfresh { found.merge(try look(atTalliesAfter: 0).looks) { $0.merged(with: $1) } }
    let open = changed.filter { log in
      guard log.stored > log.pruned else { return false }
      let look = found[log.id]
      return (look?.roles ?? []).isEmpty && log.roles.isEmpty
        || !(look?.hasSuccess ?? false) && !log.hasSuccess && log.stored >= FlowStore.linesOfASign
    }
    if !open.isEmpty {
      found.merge(try lookClosely(at: open.map(\.id), among: isAfresh ? nil : rows)) { $0.merged(with: $1) }
    }
    // Whether a log is such a tail no policy decides.
    let recounted = changed.filter(\.hasNewLines)
    let tails = try tails(among: recounted, rows).union(
      changed.filter { $0.wasTail && !$0.hasNewLines }.map(\.id))
    try write("signs") { db throws(StoreError) in
      let insert = try db.statement(
        "insert or replace into log_sign (log, stored, roles, has_success, is_tail) values (?, ?, ?, ?, ?)")
      for log in changed {
        let look = (found[log.id] ?? LogLook()).merged(with: LogLook(roles: log.roles, hasSuccess: log.hasSuccess))
        let roles = log.declaredRole.map { [$0] } ?? look.roles
        try insert.run(
          .integer(log.id), .integer(log.stored),
          roles.isEmpty ? .null : .text(roles.map(\.rawValue).joined(separator: ",")),
          .integer(look.hasSuccess ? 1 : 0), .integer(tails.contains(log.id) ? 1 : 0))
      }
      try db.statement("insert or replace into meta (key, value) values (?, ?)").run(
        .text(FlowStore.signsOf), .text(policy))
    }
  }

  /// Of ids, as an argument: a statement of very many of them would be too long for SQLite.
  private static func jsonList(_ ids: [Int64]) -> String { "[" + ids.map(String.init).joined(separator: ",") + "]" }

  private struct ChangedLog {
    var id: Int64
    var read: Int64
    var stored: Int64
    var pruned: Int64
    var declaredRole: Role?
    /// As noted before.
    var roles: [Role]
    var hasSuccess: Bool
    var isNew: Bool
    var hasNewLines: Bool
    var wasTail: Bool
    /// Of all its flows.
    var firstMs: Int64?
    var lastMs: Int64?
  }

  private func changedLogs(_ isAfresh: Bool) throws(StoreError) -> [ChangedLog] {
    try access { db throws(StoreError) in
      let rows = try db.statement(
        """
        select l.id, l.read, l.stored, l.declared_role, s.roles, coalesce(s.has_success, 0),
          s.log is null, s.log is null or s.stored <> l.stored, coalesce(s.is_tail, 0), l.pruned, l.first_ms, l.last_ms
        from log l
        left join log_sign s on s.log = l.id
        where l.stored > 0
          and (\(isAfresh ? 1 : 0) or s.log is null or s.stored <> l.stored)
        order by l.id
        """)
      var logs: [ChangedLog] = []
      while try rows.step() {
        let roles = (rows.text(4) ?? "").split(separator: ",").compactMap { Role(rawValue: String($0)) }
        let (stored, pruned) = (rows.int(2), rows.int(9))
        logs.append(
          ChangedLog(
            id: rows.int(0), read: rows.int(1), stored: stored, pruned: pruned,
            declaredRole: rows.text(3).flatMap(Role.init(rawValue:)), roles: isAfresh && pruned < stored ? [] : roles,
            // One success is enough, though its flow may be gone.
            hasSuccess: (!isAfresh || pruned > 0) && rows.int(5) == 1, isNew: rows.int(6) == 1,
            hasNewLines: rows.int(7) == 1, wasTail: rows.int(8) == 1, firstMs: rows.optionalInt(10),
            lastMs: rows.optionalInt(11)))
      }
      return logs
    }
  }

  /// Every flow of some logs, looked at.
  private func lookClosely(at logs: [Int64], among rows: AddedRows?) throws(StoreError) -> [Int64: LogLook] {
    let everything: ClosedRange<Int64> = .min ... .max
    let stretches = rows.map { rows in logs.flatMap { rows.stretches[$0] ?? [] } } ?? [everything]
    return try access { db throws(StoreError) in
      let rows = try db.statement(
        """
        select log_id, role, max(outcome = 'ok')
        from judged_flow
        where id between ? and ?
          and log_id in (select value from json_each(?))
        group by log_id, role
        order by log_id, role
        """)
      rows.bind(.text(FlowStore.jsonList(logs)), at: 3)
      var found: [Int64: LogLook] = [:]
      for stretch in stretches {
        rows.bind(stretch.lowerBound, at: 1)
        rows.bind(stretch.upperBound, at: 2)
        found.merge(try LogLook.read(rows)) { $0.merged(with: $1) }
      }
      return found
    }
  }

  /// Logs of exactly ten lines, and those of several pods of which none has more than ten.
  ///
  /// - Parameter rows: what was added since signs were last noted.
  private func tails(among logs: [ChangedLog], _ rows: AddedRows?) throws(StoreError) -> Set<Int64> {
    let small = logs.filter { $0.stored <= FlowStore.linesOfASign * 1_000 }
    guard !small.isEmpty else { return [] }
    return try access { db throws(StoreError) in
      var tails: Set<Int64> = []
      // Once for all logs: no index leads from a log to its sources, and there may be thousands of logs.
      let pods = try db.statement(
        """
        select log, count(distinct coalesce(pod, proxy_ip))
        from source
        where log in (select value from json_each(?))
        group by log
        order by log
        """)
      pods.bind(.text(FlowStore.jsonList(small.map(\.id))), at: 1)
      let byID = Dictionary(uniqueKeysWithValues: small.map { ($0.id, $0) })
      var several: [ChangedLog] = []
      while try pods.step() {
        guard let log = byID[pods.int(0)] else { continue }
        let count = pods.int(1)
        if count < 2 {
          if log.read == FlowStore.linesOfASign { tails.insert(log.id) }
        } else if log.stored <= FlowStore.linesOfASign * count {
          several.append(log)
        }
      }
      guard !several.isEmpty else { return tails }
      let counts = try db.statement(
        """
        select s.log, coalesce(s.pod, s.proxy_ip), count(*)
        from flow f
        join source s on s.id = f.source
        where f.id between ? and ?
          and s.log in (select value from json_each(?))
        group by 1, 2
        order by 1, 2
        """)
      var flows: [Int64: [String?: Int64]] = [:]
      for span in try places(of: several, rows, db) {
        counts.bind(span.lowerBound, at: 1)
        counts.bind(span.upperBound, at: 2)
        counts.bind(.text(FlowStore.jsonList(several.map(\.id))), at: 3)
        while try counts.step() { flows[counts.int(0), default: [:]][counts.text(1), default: 0] += counts.int(2) }
      }
      for (log, flows) in flows where flows.values.max() == FlowStore.linesOfASign { tails.insert(log) }
      return tails
    }
  }

  /// Row ids among which all flows of some logs are, ascending and without overlap.
  private func places(
    of logs: [ChangedLog], _ rows: AddedRows?, _ db: Database
  ) throws(StoreError) -> [ClosedRange<Int64>] {
    var places: [ClosedRange<Int64>] = []
    var minutes: [ClosedRange<Int64>] = []
    for log in logs {
      if log.isNew, let rows, rows.count(of: log.id) == log.stored, let span = rows.span(of: log.id) {
        places.append(span)
      } else if let first = log.firstMs, let last = log.lastMs {
        minutes.append(FlowStore.minute(of: first)...FlowStore.minute(of: last))
      }
    }
    for minutes in FlowStore.apart(minutes) {
      places += try FlowStore.spans(minutes: minutes.lowerBound, minutes.upperBound, gap: FlowStore.narrowGap, db)
    }
    return FlowStore.apart(places)
  }

  /// The same numbers, ascending and without overlap.
  private static func apart(_ ranges: [ClosedRange<Int64>]) -> [ClosedRange<Int64>] {
    var apart: [ClosedRange<Int64>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let before = apart.last, range.lowerBound <= before.upperBound {
        apart[apart.count - 1] = before.lowerBound...max(before.upperBound, range.upperBound)
      } else {
        apart.append(range)
      }
    }
    return apart
  }

  /// To read so many rows on takes as long as to ask anew.
  private static let narrowGap: Int64 = 1_000
}
