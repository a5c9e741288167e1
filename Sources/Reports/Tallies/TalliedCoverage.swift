internal import FlowStore

extension TalliedAnswer {
  /// Which logs were read, for which time. What would look at all flows is tallied: the common tables `tally`, `usual` and
  /// `gap`; the rest is asked as it stands.
  static func coverage(_ query: Query, _ arguments: [String: Value], _ store: FlowReader) throws -> TalliedAnswer? {
    // Sources of a log that the report does not tell apart stand for one another.
    let sources = try ShownAlike(
      "select s.id, s.log, coalesce(s.pod, s.proxy_ip) from source s order by 2, 3, s.id", [:], in: store)
    let examples = sources.examples
    let words = "select f.role, f.outcome from judged_flow f where f.id = :example order by f.id"
    var request = request(arguments)
    request.sourceGroups = sources.groups
    guard let tally = try store.tally(request, words: words),
      let minutes = try store.busyMinutes(sinceMs: request.sinceMs, untilMs: request.untilMs)
    else { return nil }
    let tallied = CommonTable(
      name: "tally", columns: ["log", "source_id", "role", "outcome", "flows", "first_ms", "last_ms"],
      rows: tally.groups.map { group in
        let verdict = tally.verdicts[group.verdict]
        return [
          sources.values[group.source][0], .integer(examples[group.source]), verdict[0], verdict[1],
          .integer(group.flows), .integer(group.firstMs), .integer(group.lastMs),
        ]
      })
    var usual = CommonTable(name: "usual", columns: ["log", "usual"], rows: [])
    var gap = CommonTable(name: "gap", columns: ["log", "gaps", "longest", "from_ms"], rows: [])
    for (log, minutes) in minutes.sorted(by: { $0.key < $1.key }) {
      let pauses = LogPauses(minutes)
      guard pauses.count > 0 else { continue }
      usual.rows.append([.integer(log), Value(pauses.usualMs)])
      if let longest = pauses.longest {
        gap.rows.append([.integer(log), Value(pauses.gaps.count), .integer(longest.lengthMs), .integer(longest.fromMs)])
      }
    }
    guard let unmet = try unmet(arguments, store), let seen = try seen(arguments, store) else { return nil }
    return try answer(query, arguments, with: [tallied, usual, gap, unmet, seen], store)
  }

  /// What was handed on, and is joined with no line of the next hop.
  private struct Unmet: Hashable {
    var address, beside, pod, nextHop, kind: Value
  }

  /// The common table `unmet`. Who handed it on matters at a loopback address alone, of which each pod has its own.
  private static func unmet(_ arguments: [String: Value], _ store: FlowReader) throws -> CommonTable? {
    let addresses = try ShownAlike.destinations(by: ["upstream_ip"], [:], in: store)
    let hops = try ShownAlike(
      "select s.id, s.log, coalesce(s.namespace, '') || '/' || s.pod from source s order by 2, 3, s.id", [:], in: store)
    var request = request(arguments)
    request.sourceGroups = hops.groups
    request.destinationGroups = addresses.groups
    let words =
      "select f.next_hop, f.next_hop_gap from judged_flow f where f.id = :example and f.next_hop_gap is not null order by f.id"
    guard let tally = try store.tally(request, words: words) else { return nil }
    let isLoopback = addresses.values.map { $0[0].text.map { $0 == "::1" || $0.hasPrefix("127.") } ?? false }
    var sums: [Unmet: TallySum] = [:]
    for group in tally.groups {
      let verdict = tally.verdicts[group.verdict]
      let hop = isLoopback[group.destination] ? hops.values[group.source] : [.null, .null]
      let key = Unmet(
        address: addresses.values[group.destination][0], beside: hop[0], pod: hop[1], nextHop: verdict[0],
        kind: verdict[1])
      sums[key, default: TallySum()].add(group)
    }
    return CommonTable(
      name: "unmet", columns: ["address", "beside", "pod", "next_hop", "kind", "flows", "first_ms", "last_ms"],
      rows: sums.map { unmet, sum in
        [
          unmet.address, unmet.beside, unmet.pod, unmet.nextHop, unmet.kind, .integer(sum.flows),
          .integer(sum.firstMs), .integer(sum.lastMs),
        ]
      })
  }

  /// The common table `seen`: sources of one client stand for one another.
  private static func seen(_ arguments: [String: Value], _ store: FlowReader) throws -> CommonTable? {
    let clients = try ShownAlike(
      "select s.id, coalesce(s.name, s.client_ip, '?'), s.client_ip from source s order by 2, 3, s.id", [:], in: store)
    let examples = clients.examples
    var request = request(arguments)
    request.sourceGroups = clients.groups
    let words = """
      select f.role
      from judged_flow f
      where f.id = :example
        and f.duplicate_view = 0
        and instr(',' || f.verdict_warnings || ',', ',source-unproven,') > 0
      order by f.id
      """
    guard let tally = try store.tally(request, words: words) else { return nil }
    return CommonTable(
      name: "seen", columns: ["source_id", "role", "flows", "first_ms", "last_ms"],
      rows: tally.groups.map { group in
        [
          .integer(examples[group.source]), tally.verdicts[group.verdict][0], .integer(group.flows),
          .integer(group.firstMs), .integer(group.lastMs),
        ]
      })
  }
}
