internal import FlowStore

// The reports about how flows ended other than well: one line per words of the ending, source, host and port.

extension TalliedAnswer {
  /// What `report blocked` tells apart: the words of the ending, the role of the proxy last.
  static let blockedWords = """
    select f.reason, f.role
    from blocked_flow f
    where f.id = :example
      and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
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

  static func endings(
    _ query: Query, _ words: String, _ arguments: [String: Value], _ limit: Int?, _ store: FlowReader
  ) throws -> TalliedAnswer? {
    guard let found = try Places(words, arguments, bySender: true, store) else { return nil }
    let verdicts = found.tally.verdicts
    let (shown, rest, sum) = first(limit, of: found.tally.groups) { one, other in
      if one.flows != other.flows { return one.flows > other.flows }
      let (before, after) = (verdicts[one.verdict], verdicts[other.verdict])
      for (one, other) in zip(before, after).dropLast() where one != other { return precedesInSQL(one, other) }
      if one.destination != other.destination { return one.destination < other.destination }
      if one.source != other.source { return one.source < other.source }
      return precedesInSQL(before[before.count - 1], after[after.count - 1])
    }
    let rows = TalliedRows(count: shown.count) { index in
      let group = shown[index]
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
}
