internal import FlowStore

extension TalliedAnswer {
  /// What was handed on to a proxy that has no line of it. Where no log of that proxy was read, flows are tallied (the common
  /// table `unread`); the others, mostly few, are for the query itself, which is not asked to look where there are none.
  static func missingHops(_ query: Query, _ arguments: [String: Value], _ store: FlowReader) throws -> TalliedAnswer? {
    // Flows of which joining is not done are left out one by one, and the query sees flows with rows only.
    var isSettled = try store.talliedFlows() == 0
    try store.query("select 1 from open_minute limit 1") { _ in isSettled = false }
    guard isSettled else { return nil }
    let words = """
      select f.role, f.next_hop, f.next_hop_gap, f.outcome <> 'ok' as is_failed
      from judged_flow f
      where f.id = :example
        and f.next_hop_gap is not null
      \(pathAndOutcome)
      order by f.id
      """
    let sources = try ShownAlike.sources(arguments, in: store)
    let addresses = try ShownAlike.destinations(by: ["upstream_ip"], arguments, in: store)
    var request = request(arguments)
    request.sourceGroups = sources.groups
    request.destinationGroups = addresses.groups
    guard let tally = try store.tally(request, words: words, arguments: verdictFilters(arguments)) else { return nil }
    let unread = tally.groups.filter { tally.verdicts[$0.verdict][2].text == "next-hop-not-read" }
    func hop(_ group: Tally.Group) -> UnreadHop {
      let verdict = tally.verdicts[group.verdict]
      return UnreadHop(role: verdict[0], nextHop: verdict[1], source: group.source, address: group.destination)
    }
    let examples = try examples(
      of: Set(unread.map(hop)), from: unread.map(\.firstMs).min() ?? 0, sources, addresses, arguments, store)
    let firstSources = sources.examples
    var tables = [
      CommonTable(
        name: "unread",
        columns: [
          "role", "next_hop", "next_hop_address", "source_id", "flows", "failed", "sent", "first_seen", "last_seen",
          "example",
        ],
        rows: unread.map { group in
          let verdict = tally.verdicts[group.verdict]
          return [
            verdict[0], verdict[1], addresses.values[group.destination][0], .integer(firstSources[group.source]),
            .integer(group.flows), .integer(verdict[3] == 1 ? group.flows : 0), Value(group.sent),
            .integer(group.firstMs), .integer(group.lastMs), Value(examples[hop(group)]),
          ]
        })
    ]
    if unread.count == tally.groups.count {
      tables.append(
        CommonTable(
          name: "lost",
          columns: [
            "kind", "confidence", "role", "next_hop", "next_hop_address", "evidence", "source_id", "destination_id",
            "flows", "failed", "sent", "first_seen", "last_seen", "example",
          ], rows: []))
    }
    return try answer(query, arguments, with: tables, store)
  }

  private struct UnreadHop: Hashable {
    var role, nextHop: Value
    /// Numbers of groups.
    var source, address: Int
  }

  private struct AllFound: Error {}

  /// The first flow of each, as soon as all are found: most show up among the first flows, and none lies before those of
  /// the minute in which the earliest of them began.
  private static func examples(
    of hops: Set<UnreadHop>, from firstMs: Int64, _ sources: ShownAlike, _ addresses: ShownAlike,
    _ arguments: [String: Value], _ store: FlowReader
  ) throws -> [UnreadHop: Int64] {
    var examples: [UnreadHop: Int64] = [:]
    guard !hops.isEmpty else { return examples }
    let sql = """
      select f.id, f.source_id, f.destination_id, f.role, f.next_hop
      from judged_flow f
      where f.id >= coalesce((select min(m.first_flow) from flow_minute m where m.minute >= :minute), 0)
        and f.source_id in (select value from json_each(:handing_on))
        and f.next_hop_gap = 'next-hop-not-read'
        and (:since_ms is null or f.started_at_ms >= :since_ms)
        and (:until_ms is null or f.started_at_ms < :until_ms)
      \(pathAndOutcome)
      order by f.id
      """
    var wanted = arguments.filter { ["since_ms", "until_ms", "path", "outcome"].contains($0.key) }
    wanted["minute"] = .integer(FlowStore.minute(of: firstMs))
    let groups = Set(hops.map { Int32($0.source) })
    let handingOn = sources.groups.indices.filter { groups.contains(sources.groups[$0]) }
    let list = handingOn.map(String.init).joined(separator: ",")
    wanted["handing_on"] = .text("[\(list)]")
    do {
      try store.query(sql, arguments: wanted) { row in
        guard let id = row[0].integer, let source = group(of: row[1], in: sources),
          let address = group(of: row[2], in: addresses)
        else { return }
        let hop = UnreadHop(role: row[3], nextHop: row[4], source: source, address: address)
        guard hops.contains(hop), examples[hop] == nil else { return }
        examples[hop] = id
        if examples.count == hops.count { throw AllFound() }
      }
    } catch is AllFound {}
    return examples
  }

  private static func group(of id: Value, in alike: ShownAlike) -> Int? {
    guard let id = id.integer, alike.groups.indices.contains(Int(id)), alike.groups[Int(id)] >= 0 else { return nil }
    return Int(alike.groups[Int(id)])
  }
}
