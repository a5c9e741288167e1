public import FlowStore
public import Flows

/// What must have been read for an answer to count, as `--require-coverage` says it.
///
///     role=gateway,max-gap=15m        lines of gateways without a silence of more than 15 minutes
///     log=*sidecar*,max-rejected=1%   at most one line in a hundred that nothing understood
///     clients=logged                  no client at a gateway or proxy without a log of its own
///     sidecars=read                   no pod with a sidecar, by the imported topology, of which nothing was read; nor one
///                                     whose lines end, or begin, where there is evidence that it lived; nor one that
///                                     ztunnel carries; nor a Telemetry that keeps lines of what pods send out of their log
///     next-hops=read                  no flow handed on to a gateway or proxy whose log was not read for its time
///     next-hops=found                 ... or whose log was read and does not tell of it
///     role=gateway,max-gap=15m,within=1d   ... in the day before now
///
/// Conditions of one specification hold together for the logs it means; without `role` and `log` it means all. Of next
/// hops, `role` is the role that the hop should have.
public struct CoverageRequirement: Sendable, Equatable {
  public private(set) var text: String
  public private(set) var role: Role?
  /// Glob over the path, or over its end behind a slash, without regard to case.
  public private(set) var log: String?
  public private(set) var maxGapMs: Int64?
  /// Only this much time before now is looked at.
  public private(set) var withinMs: Int64?
  /// Time from the last line until now.
  public private(set) var maxSilenceMs: Int64?
  /// 0...1.
  public private(set) var maxRejectedShare: Double?
  public private(set) var needsLoggedClients = false
  public private(set) var needsReadSidecars = false
  public private(set) var nextHops: NextHops?
  public enum NextHops: String, Sendable, CaseIterable { case read, found }
  /// Whether flows may be counted page by page; a test compares with and without.
  var usesTallies = true

  /// Silences are known to the minute; a requirement below that would be a guess.
  static let shortestGapMs: Int64 = 60_000
  /// Problems of one sort that are named; the rest are counted.
  static let namedProblems = 3
  /// `alert` looks this far back unless told otherwise: an old gap is no news for ever.
  public static let alertWindowMs: Int64 = 86_400_000

  public init(parsing text: String) throws(ReportError) {
    self.text = text
    let safe = TerminalText.safe(text)
    var given: Set<Substring> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let equals = part.firstIndex(of: "=") else {
        throw ReportError("\"\(safe)\" is no coverage requirement", help: CoverageRequirement.help)
      }
      let value = String(part[part.index(after: equals)...])
      guard given.insert(part[..<equals]).inserted else {
        throw ReportError(
          "\"\(TerminalText.safe(String(part[..<equals])))\" stands twice in a coverage requirement",
          help: "repeat --require-coverage for another requirement")
      }
      switch part[..<equals] {
      case "role":
        guard let role = Role(rawValue: value) else {
          throw ReportError(
            "role \"\(TerminalText.safe(value))\" is not known",
            help: "roles: \(Role.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        self.role = role
      case "log" where !value.isEmpty: log = value
      case "max-gap":
        maxGapMs = try CoverageRequirement.duration(value)
        guard let gap = maxGapMs, gap >= CoverageRequirement.shortestGapMs else {
          throw ReportError(
            "max-gap=\(TerminalText.safe(value)) is too short", help: "silences are known to the minute")
        }
      case "within": withinMs = try CoverageRequirement.duration(value)
      case "max-silence": maxSilenceMs = try CoverageRequirement.duration(value)
      case "max-rejected": maxRejectedShare = try CoverageRequirement.share(value)
      case "clients" where value == "logged": needsLoggedClients = true
      case "sidecars" where value == "read": needsReadSidecars = true
      case "next-hops" where NextHops(rawValue: value) != nil: nextHops = NextHops(rawValue: value)
      default:
        throw ReportError(
          "\"\(TerminalText.safe(String(part)))\" is no coverage requirement", help: CoverageRequirement.help)
      }
    }
  }

  private static let help =
    "write role=ROLE, log=GLOB, max-gap=15m, within=1d, max-silence=1h, max-rejected=1%, clients=logged, sidecars=read, next-hops=read, separated by commas"

  /// `90s`, `15m`, `2h`, `1d`.
  private static func duration(_ text: String) throws(ReportError) -> Int64 {
    let units: [Character: Int64] = ["s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000]
    guard let unit = text.last.flatMap({ units[$0] }), let number = Int64(text.dropLast()), number > 0,
      case let (ms, isOver) = number.multipliedReportingOverflow(by: unit), !isOver
    else {
      throw ReportError("\"\(TerminalText.safe(text))\" is no duration", help: "write 90s, 15m, 2h or 1d")
    }
    return ms
  }

  private static func share(_ text: String) throws(ReportError) -> Double {
    guard text.hasSuffix("%"), let number = Double(text.dropLast()), (0...100).contains(number) else {
      throw ReportError("\"\(TerminalText.safe(text))\" is no share", help: "write a percentage: 1%")
    }
    return number / 100
  }

  // MARK: Asking

  /// What is missing, one sentence each; empty when the requirement is met.
  ///
  /// Time is looked at from `--since`, or the first line of any log, to `--until`, or the last line of any log: a log
  /// that ends an hour before the others has a gap of an hour. With `within`, until now.
  public func problems(in store: FlowReader, filters: Filters = Filters(), now: Int64) throws -> [String] {
    var filters = filters
    if let withinMs {
      filters.sinceMs = now - min(withinMs, now)
      filters.untilMs = now
    }
    let logs = try logs(in: store)
    let name = ([role?.rawValue, log].compactMap { $0 } + ["log"]).joined(separator: " ")
    guard !logs.isEmpty else { return ["coverage: no \(name) was read"] }
    var problems: [String] = []
    // Of a time of which nothing was read, nothing is known to be as it should.
    let isRead = logs.contains {
      $0.firstMs ?? .max < filters.untilMs ?? .max && $0.lastMs ?? .min >= filters.sinceMs ?? .min
    }
    if maxGapMs == nil, !isRead, filters.sinceMs != nil || filters.untilMs != nil {
      problems.append("coverage: no \(name) holds a line of the time asked about")
    }
    if let maxGapMs { problems += try gaps(over: maxGapMs, in: store, logs, filters, name) }
    if let maxSilenceMs {
      let last = logs.compactMap(\.lastMs).max()
      if let last, let problem = CoverageRequirement.futureProblem(last, now: now) {
        problems.append("coverage: \(name): \(problem)")
      } else if let last, now - last > maxSilenceMs {
        problems.append(
          "coverage: the last line of any \(name) is of \(Quantities.iso(last, showsMilliseconds: false)), \(Quantities.duration(Double(now - last))) ago (at most \(Quantities.duration(Double(maxSilenceMs))))"
        )
      } else if last == nil {
        problems.append("coverage: no \(name) holds a flow")
      }
    }
    if let maxRejectedShare {
      let over = logs.filter { $0.read > 0 && Double($0.rejected) / Double($0.read) > maxRejectedShare }
      problems += named(
        over.map { log in
          "coverage: \(log.path): \(Quantities.grouped(log.rejected)) of \(Quantities.grouped(log.read)) lines rejected"
        })
    }
    if needsLoggedClients { problems += try unloggedClients(in: store, filters) }
    if needsReadSidecars { problems += try unreadSidecars(in: store, filters) }
    if let nextHops { problems += try missingHops(nextHops, in: store, filters) }
    return problems
  }

  /// A line that was written after now, by its own clock, would stand for the lines of all the time until then: whether the log has
  /// fallen silent cannot be told.
  static func futureProblem(_ last: Int64, now: Int64) -> String? {
    guard last - now > clockSlackMs else { return nil }
    return
      "holds a line of \(Quantities.iso(last, showsMilliseconds: false)), which is yet to come: whether it has fallen silent cannot be told"
  }

  /// Clocks of machines differ by less.
  private static let clockSlackMs: Int64 = 300_000

  /// Flows that a proxy handed on, and that the next one's log does not tell of, by that proxy.
  private func missingHops(
    _ needed: NextHops, in store: FlowReader, _ filters: Filters
  ) throws -> [String] {
    let query = try QueryCatalogue().report(named: "missing-hops")
    var limits = filters
    limits.paths = []
    limits.outcomes = []
    struct Hop: Hashable {
      var kind: String
      var role: String
      var address: String
    }
    var flows: [Hop: Int64] = [:]
    var columns: [String] = []
    func add(_ row: [Value]) {
      func text(_ name: String) -> String { columns.firstIndex(of: name).flatMap { row[$0].text } ?? "" }
      let hop = Hop(kind: text("kind"), role: text("next_hop"), address: text("address"))
      guard needed == .found || hop.kind == "next-hop-not-read", role == nil || role?.rawValue == hop.role else {
        return
      }
      flows[hop, default: 0] += columns.firstIndex(of: "flows").flatMap { row[$0].integer } ?? 0
    }
    let arguments = try limits.arguments(for: query, in: store)
    if usesTallies, let answer = try TalliedAnswer(query, arguments: arguments, limit: nil, in: store) {
      columns = answer.columns
      for row in answer.rows { add(row) }
    } else {
      try store.query(query.sql, arguments: arguments, columns: { columns = $0 }, row: add)
    }
    let ordered = flows.sorted { ($1.value, $0.key.address, $0.key.kind) < ($0.value, $1.key.address, $1.key.kind) }
    return named(
      ordered.map { hop, flows in
        let count = "\(Quantities.grouped(flows)) \(flows == 1 ? "flow" : "flows")"
        let place = "\(hop.role)\(hop.address.isEmpty ? "" : " at \(hop.address)")"
        return hop.kind == "next-hop-not-read"
          ? "coverage: \(count) handed on to the \(place), whose log was not read for that time"
          : "coverage: \(count) handed on to the \(place), whose log was read and does not tell of \(flows == 1 ? "it" : "them")"
      })
  }

  private struct Log {
    var id: Int64
    var path: String
    var read: Int64
    var rejected: Int64
    var firstMs: Int64?
    var lastMs: Int64?
  }

  private func logs(in store: FlowReader) throws -> [Log] {
    var logs: [Log] = []
    try store.query(
      """
      select l.id, l.path, l.read, l.rejected, l.first_ms, l.last_ms
      from log l
      left join log_sign g on g.log = l.id
      where (:log is null or lower(l.path) glob lower(:log) or lower(l.path) glob '*/' || lower(:log))
        and (
          :role is null
          -- What its lines are, not what they could be.
          or instr(',' || coalesce(l.declared_role, g.roles) || ',', ',' || :role || ',') > 0
          or (coalesce(l.declared_role, g.roles) is null and exists (
            select 1
            from source s
            join route_verdict rv on \(RouteKey.sourceClass(of: "rv.key")) = s.class and rv.role = :role
            where s.log = l.id
          ))
        )
        -- What stands beside a Squid's access log is none of its role.
        and (:role is null or coalesce((select min(s.shape = 'side-log') from source s where s.log = l.id), 0) = 0)
      order by l.path, l.id
      """, arguments: ["log": Value(log), "role": Value(role?.rawValue)]
    ) { row in
      logs.append(
        Log(
          id: row[0].integer ?? 0, path: row[1].text ?? "", read: row[2].integer ?? 0, rejected: row[3].integer ?? 0,
          firstMs: row[4].integer, lastMs: row[5].integer))
    }
    return logs
  }

  /// Of the logs together, from one end of the time asked about to the other, and within each.
  private func gaps(
    over limit: Int64, in store: FlowReader, _ logs: [Log], _ filters: Filters, _ name: String
  ) throws -> [String] {
    var window: (from: Int64?, until: Int64?) = (filters.sinceMs, filters.untilMs)
    try store.query("select min(first_ms), max(last_ms) from log") { row in
      window.from = window.from ?? row[0].integer
      window.until = window.until ?? row[1].integer
    }
    guard let from = window.from, let until = window.until, from < until else {
      return ["coverage: no \(name) holds a flow"]
    }
    var together: [(log: String?, from: Int64, until: Int64)] = []
    var single: [(log: String?, from: Int64, until: Int64)] = []
    let busy = try busyMinutes(of: logs, in: store, from...until)
    var reached = from
    for entry in busy.sorted(by: { ($0.minute.minute, $0.minute.firstMs) < ($1.minute.minute, $1.minute.firstMs) }) {
      if entry.minute.firstMs.since(reached) > limit { together.append((nil, reached, entry.minute.firstMs)) }
      reached = max(reached, entry.minute.lastMs)
    }
    if until.since(reached) > limit { together.append((nil, reached, until)) }
    guard logs.count > 1 else { return named(together.map { sentence($0, name, limit) }) }
    let paths = Dictionary(logs.map { ($0.id, $0.path) }, uniquingKeysWith: { first, _ in first })
    // Log by log, and in each by time.
    for (one, next) in zip(busy, busy.dropFirst()) where one.log == next.log {
      guard next.minute.firstMs.since(one.minute.lastMs) > limit else { continue }
      single.append((paths[one.log], one.minute.lastMs, next.minute.firstMs))
    }
    return named(together.map { sentence($0, name, limit) }) + named(single.map { sentence($0, name, limit) })
  }

  /// By log, and in each by time: an answer of a size bounded by the minutes there are.
  private func busyMinutes(
    of logs: [Log], in store: FlowReader, _ ended: ClosedRange<Int64>
  ) throws -> [(log: Int64, minute: BusyMinute)] {
    let wanted = Set(logs.map(\.id))
    if usesTallies, let found = try store.busyMinutes(ended: ended) {
      return found.filter { wanted.contains($0.key) }.sorted { $0.key < $1.key }.flatMap { log, minutes in
        minutes.map { (log, $0) }
      }
    }
    let ids = "[" + logs.map { String($0.id) }.joined(separator: ",") + "]"
    var found: [(log: Int64, minute: BusyMinute)] = []
    try store.query(
      """
      select s.log as log, (f.started_at_ms + coalesce(f.duration_ms, 0)) / 60000 as minute,
        min(f.started_at_ms + coalesce(f.duration_ms, 0)) as first,
        max(f.started_at_ms + coalesce(f.duration_ms, 0)) as last
      from flow f
      join source s on s.id = f.source
      where s.log in (select value from json_each(:logs))
        and f.started_at_ms + coalesce(f.duration_ms, 0) between :from and :until
      group by s.log, (f.started_at_ms + coalesce(f.duration_ms, 0)) / 60000
      order by log, minute
      """,
      arguments: ["logs": .text(ids), "from": .integer(ended.lowerBound), "until": .integer(ended.upperBound)]
    ) { row in
      found.append(
        (
          row[0].integer ?? 0,
          BusyMinute(minute: row[1].integer ?? 0, firstMs: row[2].integer ?? 0, lastMs: row[3].integer ?? 0)
        ))
    }
    return found
  }

  private func sentence(_ gap: (log: String?, from: Int64, until: Int64), _ name: String, _ limit: Int64) -> String {
    let time =
      "from \(Quantities.iso(gap.from, showsMilliseconds: false)) to \(Quantities.iso(gap.until, showsMilliseconds: false))"
    let length = "\(Quantities.duration(Double(gap.until - gap.from))) (at most \(Quantities.duration(Double(limit))))"
    return gap.log.map { "coverage: \($0): no line \(time), \(length)" }
      ?? "coverage: no line of any \(name) \(time), \(length)"
  }

  private func unreadSidecars(in store: FlowReader, _ filters: Filters) throws -> [String] {
    let silent = named(
      try SilentSidecar.all(in: store, filters: filters).map {
        "coverage: \($0.sentence) (see: gatewatch report unread)"
      })
    let telemetries = try Standing.silencingTelemetries(in: store, from: filters.sinceMs, until: filters.untilMs)
    let silencing = telemetries.isEmpty ? [] : ["coverage: \(Standing.sentence(ofTelemetries: telemetries))"]
    guard try Standing.knowsPods(store) else {
      return ["coverage: nothing tells which pods have a sidecar (see: gatewatch topology import)"] + silencing + silent
    }
    let query = try QueryCatalogue().report(named: "unread")
    var limits = Filters()
    (limits.sinceMs, limits.untilMs) = (filters.sinceMs, filters.untilMs)
    var workloads: [String] = []
    try store.query(query.sql, arguments: limits.arguments(for: query, in: store)) { row in
      // Pods whose lines end are named above.
      guard row[8] == .null else { return }
      let pods = row[1].integer ?? 0
      let workload = row[0].text ?? ""
      workloads.append(
        row[10].text == "ztunnel"
          ? "coverage: \(Quantities.grouped(pods)) \(pods == 1 ? "pod" : "pods") of \(workload) \(pods == 1 ? "is" : "are") \(Standing.carriedByZtunnel)"
          : "coverage: nothing was read of \(Quantities.grouped(pods)) \(pods == 1 ? "pod" : "pods") of \(workload) with a sidecar (see: gatewatch report unread)"
      )
    }
    return named(workloads) + silencing + silent
  }

  private func unloggedClients(in store: FlowReader, _ filters: Filters) throws -> [String] {
    let query = try QueryCatalogue().report(named: "unlogged")
    var limits = filters
    limits.paths = []
    limits.outcomes = []
    let arguments = try limits.arguments(for: query, in: store)
    var clients = 0
    if usesTallies, let answer = try TalliedAnswer(query, arguments: arguments, limit: nil, in: store) {
      clients = answer.rows.count
    } else {
      try store.query(query.sql, arguments: arguments) { _ in clients += 1 }
    }
    guard clients > 0 else { return [] }
    return [
      "coverage: \(Quantities.grouped(Int64(clients))) \(clients == 1 ? "client" : "clients") at a gateway or proxy without a log of \(clients == 1 ? "its" : "their") own (see: gatewatch report unlogged)"
    ]
  }

  private func named(_ problems: [String]) -> [String] {
    problems.first(CoverageRequirement.namedProblems) { "coverage: and \($0) more of the kind" }
  }
}

extension [String] {
  /// The first of them, and in one more what is said of how many others there are.
  func first(_ most: Int, others: (_ count: Int) -> String) -> [String] {
    count <= most ? self : prefix(most) + [others(count - most)]
  }
}
