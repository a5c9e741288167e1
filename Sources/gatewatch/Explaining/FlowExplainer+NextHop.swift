internal import FlowStore
internal import Flows
internal import Reports

extension FlowExplanation {
  /// The gateway or proxy that this flow was handed on to, where no line of it is joined.
  struct NextHop {
    /// `next-hop-not-read` or `next-hop-missing`, as the view `missing_hop_flow` says it; nil where the connection is in that
    /// proxy's log, though nobody can tell which of its lines is this one.
    var gap: String?
    var role: String
    var address: String?
    /// What shows it, one sentence each.
    var shownBy: [String]

    var sentence: String {
      let place = role + (address.map { " at \($0)" } ?? "")
      switch gap {
      case "next-hop-missing":
        return "next-hop-missing: it was handed on to the \(place), whose log does not tell of it"
      case .some: return "next-hop-not-read: it was handed on to the \(place), whose log was not read for this time"
      case nil: return "it was handed on to the \(place), which logged the connection"
      }
    }
  }
}

/// Looks only at what stands near the flow, where the view looks at all flows; a test holds the two equal.
extension FlowExplainer {
  /// Minutes around a flow's end in which a line of the next hop is looked for: longer silences may be gaps.
  private static let minutesAround: Int64 = 16
  /// As `missing_hop_flow` has it.
  private static let graceMs: Int64 = 60_000
  private static let clockSlackMs: Int64 = 10_000
  /// As `log_pause` has it; what is longer may still be usual for a log.
  private static let shortestGapMs: Int64 = 900_000

  private struct HopLog {
    var id: Int64
    var path: String
    var firstMs: Int64
    var lastMs: Int64

    func covers(_ ms: Int64) -> Bool {
      firstMs <= ms - FlowExplainer.graceMs && lastMs >= ms + FlowExplainer.graceMs
    }
  }

  /// - Parameter gap: what `judged_flow` says.
  func nextHop(
    of flow: FlowExplanation, role: String, gap: String, source: Int64, destination: Int64
  ) throws -> FlowExplanation.NextHop {
    let started = flow.integer("started_at_ms") ?? 0
    let ended = started &+ max(flow.duration ?? 0, 0)
    var address: String?
    var client: String?
    var pod: String?
    try reader.query(
      """
      select
        d.upstream_ip,
        -- From where that proxy sees this one come: in one pod over loopback, else from its address.
        case
          when d.upstream_ip = '::1' or d.upstream_ip glob '127.*' then 'loopback'
          else coalesce(s.proxy_ip, d.upstream_ip)
        end,
        coalesce(s.namespace, '') || '/' || s.pod
      from source s, destination d
      where s.id = :source
        and d.id = :destination
      """, arguments: ["source": .integer(source), "destination": .integer(destination)]
    ) { (address, client, pod) = ($0[0].text, $0[1].text, $0[2].text) }
    var hop = FlowExplanation.NextHop(gap: gap, role: role, address: address, shownBy: [])
    let logs = try hopLogs(role, address, pod: pod)
    if gap == "next-hop-missing",
      let line = try connection(of: flow, client: client, pod: pod, role: role, from: started, until: ended)
    {
      hop.gap = nil
      hop.shownBy = ["\(line) came over this connection; which of its requests it is cannot be told"]
      return hop
    }
    if logs.isEmpty { hop.shownBy.append("no log of it was read") }
    var isMissing = false
    for log in logs {
      let span = "\(log.path) holds lines from \(Quantities.iso(log.firstMs)) until \(Quantities.iso(log.lastMs))"
      guard gap == "next-hop-missing", log.covers(ended) else {
        hop.shownBy.append("\(span): not from a minute before this flow's end until a minute after it")
        continue
      }
      let around = try lines(of: log.id, around: ended)
      let silenceMs = around.before.flatMap { before in around.after.map { $0 - before } } ?? .max
      if silenceMs > FlowExplainer.shortestGapMs, try isInGap(log.id, ended) {
        hop.shownBy.append(
          "\(span), but none near this flow's end: it has a gap there (see: gatewatch report coverage)")
        continue
      }
      isMissing = true
      let lines = [around.before, around.after].compactMap { $0.map { Quantities.iso($0) } }
      let near = lines.isEmpty ? "" : " of \(lines.joined(separator: " and "))"
      hop.shownBy.append("\(log.path) holds lines\(near), and none that is joined to this one")
    }
    hop.gap = isMissing ? "next-hop-missing" : "next-hop-not-read"
    if isMissing, let line = try perhaps(flow, address, client, pod: pod, role: role, endedAt: ended) {
      hop.shownBy.append("\(line), of which no earlier hop is known, may be it: nothing shows that it is")
      hop.shownBy.append("else something failed there, or its line was lost on the way")
    } else if isMissing {
      hop.shownBy.append("either something failed there, or its line was lost on the way")
    }
    return hop
  }

  private func hopLogs(_ role: String, _ address: String?, pod: String?) throws -> [HopLog] {
    var logs: [HopLog] = []
    try reader.query(
      """
      select distinct l.log, l.path, l.first_ms, l.last_ms
      from hop_log l
      where l.role = :role
        and (
          case
            -- Each pod has a loopback of its own.
            when :address = '::1' or :address glob '127.*' then l.pod is null or :pod is null or l.pod = :pod
            else l.address is null or l.address = :address
          end
        )
      order by l.path, l.log
      """, arguments: ["role": .text(role), "address": Value(address), "pod": Value(pod)]
    ) { row in
      logs.append(
        HopLog(
          id: row[0].integer ?? 0, path: row[1].text ?? "", firstMs: row[2].integer ?? 0, lastMs: row[3].integer ?? 0))
    }
    return logs
  }

  /// Restricts `j.id` to the flows that began in some minutes.
  private static func near(_ alias: String) -> String {
    """
    \(alias) between (select min(first_flow) from flow_minute where minute between :first and :last)
      and (select max(last_flow) from flow_minute where minute between :first and :last)
    """
  }

  private func minutes(_ from: Int64, _ until: Int64, around: Int64) -> [String: Value] {
    ["first": .integer(from / 60_000 - around), "last": .integer(until / 60_000 + around)]
  }

  /// A line of the next hop, without an earlier one, that came over the flow's connection.
  private func connection(
    of flow: FlowExplanation, client: String?, pod: String?, role: String, from: Int64, until: Int64
  ) throws -> String? {
    var arguments = minutes(from, until, around: 1)
    arguments["from"] = .integer(from - FlowExplainer.clockSlackMs)
    arguments["until"] = .integer(until + FlowExplainer.clockSlackMs)
    return try openLine(
      of: flow, client, pod: pod, role: role, clients: "when :client <> 'loopback' then s.client_ip = :client",
      """
      j.source_port > 0
        and j.source_port = (select local_port from judged_flow where id = :flow)
        and j.started_at_ms between :from and :until
      order by j.started_at_ms, j.id
      """, arguments)
  }

  /// A line of the next hop that could be this flow, though nothing shows that it is.
  private func perhaps(
    _ flow: FlowExplanation, _ address: String?, _ client: String?, pod: String?, role: String, endedAt ended: Int64
  ) throws -> String? {
    var arguments = minutes(ended - max(flow.duration ?? 0, 0), ended, around: 1)
    arguments["address"] = Value(address)
    arguments["ended"] = .integer(ended)
    arguments["slack"] = .integer(FlowExplainer.clockSlackMs)
    return try openLine(
      of: flow, client, pod: pod, role: role,
      clients: """
        when s.client_forwarded = 1 then coalesce(nullif(nullif(s.proxy_ip, '0.0.0.0'), '::'), :address) = :address
        when :client <> 'loopback' then s.client_ip in (:client, :address)
        """,
      """
      (j.source_port = 0 or (select local_port from judged_flow where id = :flow) = 0)
        and j.started_at_ms + max(coalesce(j.duration_ms, 0), 0) between :ended - :slack and :ended + :slack
      order by abs(j.started_at_ms + max(coalesce(j.duration_ms, 0), 0) - :ended), j.id
      """, arguments)
  }

  /// The first line of the next hop, without an earlier one, for which some conditions hold.
  /// - Parameters:
  ///   - clients: whose lines are meant, as branches of a `case` before that of loopback.
  ///   - conditions: with the order behind them.
  private func openLine(
    of flow: FlowExplanation, _ client: String?, pod: String?, role: String, clients: String, _ conditions: String,
    _ arguments: [String: Value]
  ) throws -> String? {
    guard let client else { return nil }
    var arguments = arguments
    arguments["flow"] = .integer(flow.id)
    arguments["client"] = .text(client)
    arguments["pod"] = Value(pod)
    arguments["role"] = .text(role)
    var place: String?
    try reader.query(
      """
      select l.path, j.line
      from judged_flow j
      join source s on s.id = j.source_id
      join log l on l.id = j.log_id
      where \(FlowExplainer.near("j.id"))
        and j.role = :role
        and case
          \(clients)
          else (s.client_ip = '::1' or s.client_ip glob '127.*')
            and (s.pod is null or :pod is null or coalesce(s.namespace, '') || '/' || s.pod = :pod)
        end
        and coalesce(j.journey_place, 0) & 9 = 0
        and j.duplicate_view = 0
        and j.outcome <> 'noise'
        and \(conditions)
      limit 1
      """, arguments: arguments
    ) { place = "\($0[0].text ?? ""):\($0[1].integer ?? 0)" }
    return place
  }

  /// Ends of the last line of a log before a moment, and of the first one after it.
  private func lines(of log: Int64, around ms: Int64) throws -> (before: Int64?, after: Int64?) {
    var arguments = minutes(ms, ms, around: FlowExplainer.minutesAround)
    arguments["log"] = .integer(log)
    arguments["ms"] = .integer(ms)
    var found: (before: Int64?, after: Int64?)
    try reader.query(
      """
      select
        max(case when e.ended_at_ms <= :ms then e.ended_at_ms end),
        min(case when e.ended_at_ms > :ms then e.ended_at_ms end)
      from (
        select f.started_at_ms + max(coalesce(f.duration_ms, 0), 0) as ended_at_ms
        from flow f
        join source s on s.id = f.source
        where \(FlowExplainer.near("f.id"))
          and s.log = :log
      ) e
      where e.ended_at_ms between :ms - 900000 and :ms + 900000
      """, arguments: arguments
    ) { found = ($0[0].integer, $0[1].integer) }
    return found
  }

  private func isInGap(_ log: Int64, _ ms: Int64) throws -> Bool {
    try reader.value(
      "select 1 from log_pause where log = :log and is_gap = 1 and from_ms < :ms and until_ms > :ms",
      arguments: ["log": .integer(log), "ms": .integer(ms)]) != nil
  }
}
