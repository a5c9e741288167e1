internal import FlowStore

// The reports about how flows ended other than well: one line per words of the ending, source, host and port.

extension TalliedAnswer {
  /// What `report blocked` tells apart: the words of the ending, the role of the proxy last.
  static let blockedWords = """
    select f.reason, f.role
    from blocked_flow f
    where f.id = :example
      and (:path is null or instr(',' || :path || ',', ',none,') > 0)
      and (:outcome is null or instr(',' || :outcome || ',', ',blocked,') > 0)
    order by f.id
    """

  /// The same of `report failed`.
  static let failedWords = """
    select f.outcome, f.reason, f.role
    from failed_flow f
    where f.id = :example
    \(pathAndOutcome)
    order by f.id
    """

  /// Flows that a proxy received from another one are told by who sent them, which only their ways show: where there are
  /// such, the query itself looks at them, and finds all others in its common table `plain`.
  static func endings(
    _ query: Query, _ words: String, _ arguments: [String: Value], _ limit: Int?, _ store: FlowReader
  ) throws -> TalliedAnswer? {
    var relays: [Int64] = []
    // The query sees flows with rows only. Near those without, no hops are joined that could tell who sent something.
    if try store.talliedFlows() == 0 {
      try store.query("select id from relay_source order by id") { if let id = $0[0].integer { relays.append(id) } }
    }
    guard let found = try Places(words, arguments, apart: relays, store) else { return nil }
    let relayed = found.sources.values.count
    guard !found.tally.groups.contains(where: { $0.source == relayed }) else {
      return try answer(query, arguments, with: [plain(query, found)], store)
    }
    let verdicts = found.tally.verdicts
    let (shown, rest, sum) = first(limit, of: found.tally.groups) { one, other in
      if one.flows != other.flows { return one.flows > other.flows }
      let (before, after) = (verdicts[one.verdict], verdicts[other.verdict])
      for (one, other) in zip(before, after).dropLast() where one != other { return precedesInSQL(one, other) }
      if one.destination != other.destination { return one.destination < other.destination }
      if one.source != other.source { return one.source < other.source }
      return precedesInSQL(before[before.count - 1], after[after.count - 1])
    }
    let rows = shown.map { group -> [Value] in
      let verdict = verdicts[group.verdict]
      let place = found.destinations.values[group.destination]
      return verdict.dropLast() + [
        place[0], place[1] == 0 ? .null : place[1], found.sources.values[group.source][0], verdict[verdict.count - 1],
        .integer(group.flows), .integer(group.firstMs), .integer(group.lastMs),
      ]
    }
    let columns = query.columns.map(\.name)
    let empty = [Value](repeating: .null, count: columns.count - 3)
    return TalliedAnswer(
      columns: columns, rows: rows,
      others: rest == 0
        ? nil : (rest, empty + [.integer(sum.flows), .integer(sum.firstMs), .integer(sum.lastMs)]))
  }

  /// What no other proxy handed on, each group by one of its sources and destinations.
  private static func plain(_ query: Query, _ found: Places) -> CommonTable {
    let sources = found.sources.examples
    let destinations = found.destinations.examples
    let words = query.columns.map(\.name).prefix { $0 != "host" } + ["role"]
    return CommonTable(
      name: "plain",
      columns: words + ["source_id", "destination_id", "flows", "first_seen", "last_seen"],
      rows: found.tally.groups.filter { $0.source < sources.count }.map { group in
        found.tally.verdicts[group.verdict] + [
          .integer(sources[group.source]), .integer(destinations[group.destination]), .integer(group.flows),
          .integer(group.firstMs), .integer(group.lastMs),
        ]
      })
  }
}
