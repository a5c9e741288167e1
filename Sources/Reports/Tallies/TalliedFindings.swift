internal import FlowStore

// The reports about findings: one line per verdict, source, host and port.

extension TalliedAnswer {
  static let pathAndOutcome = """
      and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
      and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
    """

  static func bypass(
    _ arguments: [String: Value], _ limit: Int?, _ findings: Bool, _ store: FlowReader
  ) throws -> TalliedAnswer? {
    let words = """
      select
        f.severity,
        f.bypass,
        case when e.id is not null then e.label || coalesce(' (' || nullif(e.owner, '') || ')', '') end as allowed_by,
        f.exception_id,
        f.exception_id is not null as is_allowed,
        case f.severity when 'critical' then 1 when 'warning' then 2 else 3 end as rank,
        f.around,
        f.bypass_reason
      from bypass_flow f
      left join policy_exception e on e.id = f.exception_id
      where f.id = :example
      \(pathAndOutcome)
      order by f.id
      """
    guard let found = try Places(words, arguments, findings: findings, store) else { return nil }
    let verdicts = found.tally.verdicts
    // Before and after the number of flows in the report's order.
    let major = ranks(verdicts) { [$0[4], $0[5]] }
    let minor = ranks(verdicts) { [$0[6], $0[7], $0[3]] }
    let (shown, rest, sum) = first(limit, of: found.tally.groups) { one, other in
      if major[one.verdict] != major[other.verdict] { return major[one.verdict] < major[other.verdict] }
      if one.flows != other.flows { return one.flows > other.flows }
      let (before, after) = (verdicts[one.verdict][1], verdicts[other.verdict][1])
      if before != after { return precedesInSQL(before, after) }
      if one.source != other.source { return one.source < other.source }
      if one.destination != other.destination { return one.destination < other.destination }
      return minor[one.verdict] < minor[other.verdict]
    }
    let rows = TalliedRows(count: shown.count) { index in
      let group = shown[index]
      let verdict = verdicts[group.verdict]
      let place = found.destinations.values[group.destination]
      return [
        verdict[0], verdict[1], verdict[6], found.sources.values[group.source][0], place[0],
        place[1] == 0 ? .null : place[1], .integer(group.flows), Value(group.sent), Value(group.received),
        .integer(group.firstMs), .integer(group.lastMs), verdict[7], verdict[2],
      ]
    }
    return TalliedAnswer(
      columns: [
        "severity", "bypass", "around", "source", "host", "port", "flows", "sent", "received", "first_seen",
        "last_seen", "reason", "allowed_by",
      ], rows: rows,
      others: rest == 0
        ? nil
        : (
          rest,
          [
            .null, .null, .null, .null, .null, .null, .integer(sum.flows), Value(sum.sent), Value(sum.received),
            .integer(sum.firstMs), .integer(sum.lastMs), .null, .null,
          ]
        ), findings: findings ? TalliedFindings(found.tally.totals) : nil)
  }

  /// Numbers of the verdicts in the order of some of their words.
  static func ranks(_ verdicts: [[Value]], by key: ([Value]) -> [Value]) -> [Int] {
    let keys = verdicts.map(key)
    func precedes(_ one: [Value], _ other: [Value]) -> Bool {
      for (one, other) in zip(one, other) where one != other { return precedesInSQL(one, other) }
      return false
    }
    return keys.map { key in keys.count { precedes($0, key) } }
  }

  /// A tally by source, host and port.
  struct Places {
    private(set) var sources = ShownAlike()
    private(set) var destinations = ShownAlike()
    let tally: Tally

    /// - Parameters:
    ///   - bySender: sources are who sent it, and not who came to the proxy.
    ///   - only: the groups of sources that are asked for.
    ///   - findings: whether these are counted too, which a filter holds for.
    init?(
      _ words: String, _ arguments: [String: Value], bySender: Bool = false, of only: Set<Int>? = nil,
      findings: Bool = false, _ store: FlowReader
    ) throws {
      var request = TalliedAnswer.request(arguments)
      request.totals = findings ? TalliedFindings.words : nil
      var (sources, destinations) = (ShownAlike(), ShownAlike())
      let tally = try store.tally(request, words: words, arguments: TalliedAnswer.verdictFilters(arguments)) {
        sources = try bySender ? .senders(arguments, in: store) : .sources(arguments, in: store)
        destinations = try .destinations(by: ["host", "port"], arguments, in: store)
        let groups = sources.groups
        $0.sourceGroups = only.map { only in groups.map { only.contains(Int($0)) ? $0 : -1 } } ?? groups
        $0.destinationGroups = destinations.groups
      }
      guard let tally else { return nil }
      (self.sources, self.destinations, self.tally) = (sources, destinations, tally)
    }
  }
}
