internal import FlowStore
internal import Flows

// Connections of which only lines from before their end were read: second views, which count in no total.

extension Standing {
  /// Counts the second views that would stand against an all-clear if they counted, where for their source, host, port and path no line
  /// was read of the end of a connection that began as late: a tunnel that is still open, or whose last line is lost. Where the end
  /// was read, it is what counts.
  ///
  /// - Parameter nameless: what may be the host asked about, beside what has its name.
  mutating func countUnended(
    in store: FlowReader, filters: Filters, or nameless: NamelessDestinations = NamelessDestinations(),
    usingTallies: Bool = true
  ) throws {
    guard try Standing.hasSecondViews(store) else { return }
    let query = try QueryHeader.parse(Standing.views, file: "standing")
    var limits = filters
    (limits.paths, limits.outcomes) = ([], [])
    var arguments = try limits.arguments(for: query, in: store)
    arguments["nameless"] = nameless.list
    if usingTallies, let found = try Standing.tallied(arguments, in: store) {
      unended = found
    } else {
      unended = try Standing.listed(query, arguments, in: store)
    }
  }

  /// The same of flows that are new since the flow `after`: who asks often is told of each such line once.
  static func unended(after: Int64, in store: FlowReader) throws -> Int64 {
    guard try hasSecondViews(store) else { return 0 }
    return try listed(QueryHeader.parse(views, file: "standing"), ["after": .integer(after)], in: store)
  }

  /// What is said of so many.
  static func sentence(ofUnended count: Int64) -> String {
    "\(Quantities.grouped(count)) \(count == 1 ? "line" : "lines") from before the end of connections that may be bypasses, whose end was not read (see: gatewatch flows)"
  }

  private static func hasSecondViews(_ store: FlowReader) throws -> Bool {
    try store.value("select exists (select 1 from outcome_verdict where duplicate_view = 1)")?.integer == 1
  }

  private static func tallied(_ arguments: [String: Value], in store: FlowReader) throws -> Int64? {
    guard let open = try TalliedAnswer.Places(secondViews, arguments, store) else { return nil }
    guard !open.tally.groups.isEmpty else { return 0 }
    let sources = Set(open.tally.groups.map(\.source))
    guard let ends = try TalliedAnswer.Places(ends, arguments, of: sources, store) else { return nil }
    func views(_ found: TalliedAnswer.Places) -> some Sequence<View<TalliedPlace>> {
      let tally = found.tally
      return tally.groups.lazy.filter {
        // As `views` has it.
        tally.verdicts[$0.verdict][1] != 1 || !isAddress(found.destinations.values[$0.destination][0].text ?? "")
      }.map {
        View(
          place: TalliedPlace(source: $0.source, destination: $0.destination, path: tally.verdicts[$0.verdict][0]),
          lines: $0.flows, lastMs: $0.lastMs)
      }
    }
    return unended(views(open), ends: views(ends))
  }

  private struct TalliedPlace: Hashable {
    var source: Int
    var destination: Int
    var path: Value
  }

  /// Lines of one source, host, port and path.
  private struct View<Place: Hashable> {
    var place: Place
    var lines: Int64
    /// The latest start.
    var lastMs: Int64
  }

  /// Where all lines of a connection have its start, nginx and Squid reckon it from their ends.
  private static let sameStartMs: Int64 = 2_000

  private static func unended<Place: Hashable>(
    _ open: some Sequence<View<Place>>, ends: some Sequence<View<Place>>
  ) -> Int64 {
    var unended: [Place: (lines: Int64, lastMs: Int64)] = [:]
    for view in open {
      let before = unended[view.place] ?? (0, .min)
      unended[view.place] = (before.lines + view.lines, max(before.lastMs, view.lastMs))
    }
    for end in ends {
      if let view = unended[end.place], view.lastMs <= end.lastMs + sameStartMs { unended[end.place] = nil }
    }
    return unended.values.reduce(0) { $0 + $1.lines }
  }

  private static func listed(_ query: Query, _ arguments: [String: Value], in store: FlowReader) throws -> Int64 {
    var (open, ends): ([View<[Value]>], [View<[Value]>]) = ([], [])
    for row in try store.rows(query.sql, arguments: arguments).rows {
      let view = View(place: Array(row[0..<4]), lines: row[5].integer ?? 0, lastMs: row[6].integer ?? .min)
      if row[4] == 1 { open.append(view) } else { ends.append(view) }
    }
    return unended(open, ends: ends)
  }

  /// As `bypass_flow` and `unproven_flow` have it of lines that count.
  static let standsAgainst = """
    (
      case
        when j.bypass is not null then j.exception_id is null
        when j.path = 'none' then 0
        else j.path = 'unknown'
          or j.never_clears = 1
          or j.assumption is not null
          or instr(',' || j.verdict_warnings || ',', ',source-unproven,') > 0
      end
    )
    """

  /// Squid tells of what was inside a tunnel in lines of their own, and these may be refusals, of which nothing left.
  private static let way = "case when j.role = 'forward-proxy' then 'forward-proxy' else j.path end"

  /// Before it asks anybody Squid names what the client wanted, where it intercepts an address: the line of the end has a name, and nobody
  /// can tell whose end it is.
  private static let isNamedLater = "j.reason = 'tunnel-accepted'"

  /// A side log's line is of the end, and what stands for it is another log.
  private static let hasEnd = "j.reason is not '\(OutcomeVerdict.sideLog)'"

  private static func isAddress(_ host: String) -> Bool {
    host.utf8.contains(UInt8(ascii: ":"))
      || host.utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || $0 == UInt8(ascii: ".") }
  }

  private static let secondViews = """
    select \(way), coalesce(\(isNamedLater), 0)
    from judged_flow j
    where j.id = :example
      and j.duplicate_view = 1
      and \(hasEnd)
      and \(standsAgainst)
    order by j.id
    """

  private static let ends = """
    select \(way), 0
    from judged_flow j
    where j.id = :example
      and j.duplicate_view = 0
      -- A bypass that an exception allowed began while it held; a view that stands did not.
      and (j.bypass is null or j.exception_id is null)
    order by j.id
    """

  /// The same by SQL; a test holds the two equal.
  private static let views = """
    -- title: Lines from before the end of connections, and lines of ends
    -- parameter: since_ms  first millisecond to include (Unix time)
    -- parameter: until_ms  first millisecond no longer included
    -- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
    -- parameter: nameless  JSON list of destination ids that may be the host
    -- parameter: sources   JSON list of source ids
    -- parameter: after     flows with this id or a lower one are left out
    select
      s.shown_name as source,
      d.host,
      d.port,
      \(way),
      j.duplicate_view,
      count(*) as flows,
      max(j.started_at_ms) as last_ms
    from judged_flow j
    join named_source s on s.id = j.source_id
    join destination d on d.id = j.destination_id
    where j.id > coalesce(:after, 0)
      and not (j.duplicate_view = 1 and coalesce(\(isNamedLater), 0) and (d.host glob '*:*' or d.host not glob '*[^0-9.]*'))
      and case when j.duplicate_view = 0 then j.bypass is null or j.exception_id is null else \(hasEnd) and \(standsAgainst) end
      and (:since_ms is null or j.started_at_ms >= :since_ms)
      and (:until_ms is null or j.started_at_ms < :until_ms)
      and (
        :host is null
        or j.destination_id in (select id from destination_name where name glob :host)
        or j.destination_id in (select value from json_each(:nameless))
      )
      and (:sources is null or j.source_id in (select value from json_each(:sources)))
    group by 1, 2, 3, 4, 5
    order by 1, 2, 3, 4, 5
    """
}
