internal import FlowStore
internal import Flows

// What was read of the time, the host and the source asked about.

extension Standing {
  /// The times at the ends of what is asked about of which no log holds a line, or no sidecar's log does though others do, there
  /// or between two of them; shorter ones than a gap are nothing to speak of. Without limits the time is that of all logs.
  mutating func findUnread(in store: FlowReader, filters: Filters) throws {
    unread = []
    guard let firstMs, let lastMs else { return }
    try findUnreadSidecars(in: store, filters: filters)
    let from = filters.sinceMs ?? firstMs
    // Behind the last line nobody says where "until now" ends.
    let until = filters.untilMs ?? max(lastMs, from)
    unread = Standing.ends(of: from...max(from, until), outside: firstMs...max(firstMs, lastMs), isOfSidecars: false)
    guard !lacksSidecars, !unread.contains(where: \.isAll) else { return }
    let read = max(from, firstMs)...max(from, firstMs, min(until, lastMs))
    guard let sidecars = try Standing.stretchesOfSidecars(in: store) else { return }
    let within = sidecars.filter { $0.overlaps(read) }
    guard let first = within.first, let last = within.last else {
      unread.append(Unread(isOfSidecars: true, fromMs: read.lowerBound, untilMs: read.upperBound, isAll: true))
      return
    }
    unread += Standing.ends(of: read, outside: first.lowerBound...last.upperBound, isOfSidecars: true)
    for (before, next) in zip(within, within.dropFirst()) {
      unread.append(Unread(isOfSidecars: true, fromMs: before.upperBound, untilMs: next.lowerBound, isAll: false))
    }
  }

  /// From the first to the last line of each sidecar's log, with no more between two stretches than a gap is: where a log in the
  /// middle is missing, there is one. Lines are written when what they tell of ends. A log of which all flows were pruned stands for
  /// no time. nil where some other log's role is not known.
  private static func stretchesOfSidecars(in store: FlowReader) throws -> [ClosedRange<Int64>]? {
    var stretches: [ClosedRange<Int64>] = []
    var earliest = Int64.max
    var isKnown = true
    try store.query(
      """
      with line as materialized (
        select log, min(first_end_ms) as first_ms
        from source
        where received_as is null
        group by log
        having count(first_end_ms) = count(*)
      )
      select
        coalesce(l.declared_role, g.roles),
        case when l.tallied = 0 then max(l.first_ms, coalesce(e.first_ms, l.first_ms)) else l.first_ms end as first_ms,
        l.last_ms,
        l.first_ms
      from log l
      left join log_sign g on g.log = l.id
      left join line e on e.log = l.id
      where l.stored > l.pruned
        and l.first_ms is not null
      order by 2, 3, l.id
      """
    ) { row in
      guard let text = row[0].text, let first = row[1].integer, let last = row[2].integer else {
        isKnown = false
        return
      }
      let roles = text.split(separator: ",").compactMap { Role(rawValue: String($0)) }
      guard roles.contains(.sidecar) else { return }
      earliest = min(earliest, row[3].integer ?? first)
      if let before = stretches.last, first.since(before.upperBound) <= LogPauses.leastMs {
        stretches[stretches.count - 1] = before.lowerBound...max(before.upperBound, last)
      } else {
        stretches.append(first...max(first, last))
      }
    }
    guard isKnown, let first = stretches.first else { return nil }
    // What began before the first line is known by its own line.
    stretches[0] = min(earliest, first.lowerBound)...first.upperBound
    return stretches
  }

  private static func ends(
    of asked: ClosedRange<Int64>, outside read: ClosedRange<Int64>, isOfSidecars: Bool
  ) -> [Unread] {
    guard asked.overlaps(read) else {
      return [Unread(isOfSidecars: isOfSidecars, fromMs: asked.lowerBound, untilMs: asked.upperBound, isAll: true)]
    }
    var ends: [Unread] = []
    for (from, until) in [(asked.lowerBound, read.lowerBound), (read.upperBound, asked.upperBound)]
    where until &- from > LogPauses.leastMs {
      ends.append(Unread(isOfSidecars: isOfSidecars, fromMs: from, untilMs: until, isAll: false))
    }
    return ends
  }

  /// Flows that were removed. Who names no time asks about what is stored, and is told from when on.
  func doubtsOfPruned(within filters: Filters) -> [String] {
    guard pruned > 0, let since = filters.sinceMs, since < prunedBeforeMs ?? .max else { return [] }
    return ["\(prunedFlows): nothing is known of them any more"]
  }

  /// What stands against an all-clear of which nothing was read: whoever mistypes a name, or asks about a time that no log
  /// reaches, must not hear that nothing was bypassed.
  func doubtsOfNothing(within filters: Filters) -> [String] {
    guard stored > 0 else { return [] }
    if unread.contains(where: { $0.isAll && $0.isOfSidecars }) {
      return [
        "no log of a sidecar was read for the time asked about: what pods send past the gateway stands in no other log"
      ]
    }
    guard asked == 0, filters != Filters() else { return [] }
    return [Standing.nothingRead(within: filters)]
  }

  static func nothingRead(within filters: Filters) -> String {
    var limits: [String] = []
    if filters.sinceMs != nil || filters.untilMs != nil { limits.append("time") }
    if filters.host != nil { limits.append("host") }
    if filters.source != nil { limits.append("source") }
    if !filters.paths.isEmpty { limits.append("path") }
    if !filters.outcomes.isEmpty { limits.append("outcome") }
    return "no flow that was read is of the \(limits.joined(separator: ", ")) asked about"
  }

  /// Pods of the time asked about, whoever else is asked about: traffic to a host may have come from any of them.
  mutating func findUnreadSidecars(in store: FlowReader, filters: Filters = Filters()) throws {
    guard let from = filters.sinceMs ?? firstMs, let until = filters.untilMs ?? lastMs else { return }
    try store.query(
      """
      select coalesce(sum(proxy = 'sidecar'), 0), coalesce(sum(proxy = 'ambient'), 0)
      from unread_pod
      where first_ms <= :until
        and (until_ms is null or until_ms > :from)
      """, arguments: ["from": .integer(from), "until": .integer(until)]
    ) { row in
      unreadSidecars = row[0].integer ?? 0
      ambientPods = row[1].integer ?? 0
    }
    silencingTelemetries = try Standing.silencingTelemetries(in: store, from: from, until: until)
    silentSidecars = try SilentSidecar.all(in: store, filters: filters)
  }

  /// `namespace/name` of those that held at some of the time; without a beginning or an end, at any before or after it.
  static func silencingTelemetries(in store: FlowReader, from: Int64?, until: Int64?) throws -> [String] {
    var names: [String] = []
    try store.query(
      """
      select distinct substr(how, instr(how, '=') + 1) as name
      from telemetry_opt_out
      where (:until is null or first_ms <= :until)
        and (:from is null or until_ms is null or until_ms > :from)
      order by name
      """, arguments: ["from": Value(from), "until": Value(until)]
    ) { row in
      if let name = row[0].text { names.append(name) }
    }
    return names
  }

  /// In words.
  var unreadPods: [String] {
    var sentences: [String] = []
    if unreadSidecars > 0 {
      sentences.append(
        "nothing was read of \(Quantities.grouped(unreadSidecars)) \(unreadSidecars == 1 ? "pod" : "pods") with a sidecar (see: gatewatch report unread)"
      )
    }
    if ambientPods > 0 {
      sentences.append(
        "\(Quantities.grouped(ambientPods)) \(ambientPods == 1 ? "pod is" : "pods are") \(Standing.carriedByZtunnel)")
    }
    if !silencingTelemetries.isEmpty { sentences.append(Standing.sentence(ofTelemetries: silencingTelemetries)) }
    guard !silentSidecars.isEmpty else { return sentences }
    sentences += silentSidecars.prefix(Standing.namedSilences).map(\.sentence)
    let rest = silentSidecars.count - Standing.namedSilences
    sentences[sentences.count - 1] +=
      (rest > 0 ? ", and \(Quantities.grouped(Int64(rest))) more of the kind" : "") + " (see: gatewatch report unread)"
    return sentences
  }

  /// Of pods of the ambient mesh. A waypoint logs the requests to what it stands before, and nothing else that its clients send
  /// (istio.io "Configure waypoint proxies").
  static let carriedByZtunnel =
    "carried by ztunnel (ambient), whose log is not understood (see: gatewatch report unread)"

  static func sentence(ofTelemetries names: [String]) -> String {
    let rest = names.count - namedTelemetries
    let named = names.prefix(namedTelemetries).joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
    let words = names.count == 1 ? "the Telemetry \(named) keeps" : "the Telemetries \(named) keep"
    return "\(words) lines of what pods send out of their logs (see: gatewatch report opted-out)"
  }

  /// Telemetries that are named in a sentence; the rest are counted.
  private static let namedTelemetries = 3

  /// Silent sidecars that are named in a sentence; the rest are counted.
  private static let namedSilences = 2
}
