internal import FlowStore

/// The answer of a built-in report from a tally of the flows: what its SQL answers, in a fraction of the time.
///
/// The SQL in `Queries/Reports` stays the definition and the slower twin. It is used for whatever cannot be tallied (a file
/// that is being written to, a user's own query), and a test holds the two equal. What words a verdict has, and which flows
/// a report is about, is asked of the same views; only grouping, sums and order are done here.
struct TalliedAnswer {
  var columns: [String]
  var rows: TalliedRows
  /// What was left out behind `rows`: how many, and their sums as one row.
  var others: (count: Int, sum: [Value])?
  /// What stands for and against an all-clear, where it was counted in the same pass.
  var findings: TalliedFindings?

  /// nil when this report, or this store at this moment, cannot be tallied.
  ///
  /// - Parameter findings: whether they are wanted; reports whose reader looks for bypass pass over the same flows.
  init?(
    _ query: Query, arguments: [String: Value], limit: Int?, findings: Bool = false, in store: FlowReader
  ) throws {
    guard query.isBuiltIn else { return nil }
    let answer =
      switch query.name {
      case "bypass": try TalliedAnswer.bypass(arguments, limit, findings, store)
      case "blocked": try TalliedAnswer.endings(query, TalliedAnswer.blockedWords, arguments, limit, store)
      case "failed": try TalliedAnswer.endings(query, TalliedAnswer.failedWords, arguments, limit, store)
      case "latency": try TalliedAnswer.latency(arguments, limit, store)
      case "summary": try TalliedAnswer.summary(arguments, findings, store)
      case "hosts": try TalliedAnswer.hosts(arguments, store)
      case "sources": try TalliedAnswer.sources(arguments, limit, store)
      case "timeline": try TalliedAnswer.timeline(arguments, limit, store)
      case "unproven": try TalliedAnswer.unproven(query, arguments, limit, findings, store)
      case "unlogged": try TalliedAnswer.unlogged(arguments, limit, store)
      case "missing-hops": try TalliedAnswer.missingHops(query, arguments, store)
      case "coverage": try TalliedAnswer.coverage(query, arguments, store)
      case "suspicious": try TalliedAnswer.suspicious(query, arguments, store)
      default: TalliedAnswer?.none
      }
    guard let answer else { return nil }
    self = answer
  }

  init(
    columns: [String], rows: [[Value]], others: (count: Int, sum: [Value])? = nil, findings: TalliedFindings? = nil
  ) {
    self.init(
      columns: columns, rows: TalliedRows(count: rows.count) { rows[$0] }, others: others, findings: findings)
  }

  init(
    columns: [String], rows: TalliedRows, others: (count: Int, sum: [Value])? = nil, findings: TalliedFindings? = nil
  ) {
    self.columns = columns
    self.rows = rows
    self.others = others
    self.findings = findings
  }

  /// Filters of time, as every tally takes them.
  static func request(_ arguments: [String: Value]) -> TallyRequest {
    var request = TallyRequest()
    request.sinceMs = arguments["since_ms"]?.integer
    request.untilMs = arguments["until_ms"]?.integer
    return request
  }

  /// The filters that a query over the flows of one verdict takes.
  static func verdictFilters(_ arguments: [String: Value]) -> [String: Value] {
    arguments.filter { $0.key == "path" || $0.key == "outcome" }
  }

  /// What the query says where some of its common tables hold other rows than their SQL would find.
  static func answer(
    _ query: Query, _ arguments: [String: Value], with tables: [CommonTable], _ store: FlowReader
  ) throws -> TalliedAnswer? {
    var sql = query.sql
    var arguments = arguments
    for table in tables {
      guard let replaced = table.replacing(in: sql) else { return nil }
      sql = replaced
      arguments[table.parameter] = table.json
    }
    // What only the replaced tables asked for is no parameter any more.
    let used = Set(try SQLParameters.used(in: sql, file: query.file).map(\.name))
    let answer = try store.rows(sql, arguments: arguments.filter { used.contains($0.key) })
    return TalliedAnswer(columns: answer.columns, rows: answer.rows)
  }

  /// The first `limit` of `groups` by `precedes`, in order; the rest is handed to `others` in none.
  static func first<Group>(
    _ limit: Int?, of groups: some Collection<Group>, by precedes: (Group, Group) -> Bool, others: (Group) -> Void
  ) -> [Group] {
    guard let limit, limit < groups.count else { return groups.sorted(by: precedes) }
    guard limit <= fewRows else {
      let sorted = groups.sorted(by: precedes)
      for group in sorted[limit...] { others(group) }
      return Array(sorted[..<limit])
    }
    var shown: [Group] = []
    for group in groups {
      if shown.count == limit {
        guard let last = shown.last, precedes(group, last) else {
          others(group)
          continue
        }
        others(shown.removeLast())
      }
      let place = shown.firstIndex { precedes(group, $0) } ?? shown.count
      shown.insert(group, at: place)
    }
    return shown
  }

  /// As many are found faster by putting each in its place than by sorting all.
  private static let fewRows = 200

  /// The same for groups of flows: those shown, how many are left, and what these come to.
  static func first(
    _ limit: Int?, of groups: some Collection<Tally.Group>, by precedes: (Tally.Group, Tally.Group) -> Bool
  ) -> (shown: [Tally.Group], rest: Int, sum: TallySum) {
    var sum = TallySum()
    let shown = first(limit, of: groups, by: precedes) { sum.add($0) }
    return (shown, groups.count - shown.count, sum)
  }
}

/// The rows of an answer, made one by one when they are asked for: there may be hundreds of thousands.
struct TalliedRows: Sequence {
  let count: Int
  private let row: (Int) -> [Value]

  init(count: Int, _ row: @escaping (Int) -> [Value]) {
    self.count = count
    self.row = row
  }

  func makeIterator() -> some IteratorProtocol<[Value]> { (0..<count).lazy.map(row).makeIterator() }
}

/// The sources or destinations of a store in groups of those that a report shows alike, numbered in the order in which
/// SQLite sorts what is shown.
struct ShownAlike {
  /// Group by row id, -1 for those that a filter leaves out.
  private(set) var groups: [Int32] = []
  /// What is shown of each group.
  private(set) var values: [[Value]] = []

  init() {}

  /// - Parameter sql: row ids and what is shown of them, ordered by the latter.
  init(_ sql: String, _ arguments: [String: Value], in store: FlowReader) throws {
    var groups: [Int32] = []
    var values: [[Value]] = []
    try store.query(sql, arguments: arguments) { row in
      guard let id = row[0].integer, id >= 0, id < Int64(ShownAlike.maxID) else { return }
      let shown = Array(row.dropFirst())
      if values.last != shown { values.append(shown) }
      if groups.count <= Int(id) { groups += repeatElement(-1, count: Int(id) + 1 - groups.count) }
      groups[Int(id)] = Int32(values.count - 1)
    }
    self.groups = groups
    self.values = values
  }

  /// - Parameter sql: row ids and what is shown of them, in any order: for tables in which many rows are shown alike.
  init(ordering sql: String, _ arguments: [String: Value], in store: FlowReader) throws {
    (groups, values) = try store.alike(sql, arguments: arguments, mostIDs: Int64(ShownAlike.maxID))
  }

  /// A store with more is left to SQL; the tally sees to that.
  static let maxID = 1 << 24

  /// Sources by the name that reports show: who came to the proxy that logged it.
  static func sources(_ arguments: [String: Value], in store: FlowReader) throws -> ShownAlike {
    try named(by: "named_source", where: "coalesce(s.received_as, s.id)", arguments, in: store)
  }

  /// Sources by the name of who sent it, as far as is known: `judged_flow.sender_id` and the view `sender`.
  static func senders(_ arguments: [String: Value], in store: FlowReader) throws -> ShownAlike {
    try named(by: "sender", where: "s.id", arguments, in: store)
  }

  /// - Parameters:
  ///   - table: of sources by row id, with what names them.
  ///   - filtered: what the argument `sources` lists.
  private static func named(
    by table: String, where filtered: String, _ arguments: [String: Value], in store: FlowReader
  ) throws -> ShownAlike {
    try ShownAlike(
      """
      select
        s.id,
        s.shown_name
      from \(table) s
      where :sources is null or \(filtered) in (select value from json_each(:sources))
      order by 2, s.id
      """, ["sources": arguments["sources"] ?? .null], in: store)
  }

  /// Sources by who came to the proxy, and by who sent it.
  static func sourcesAndSenders(in store: FlowReader) throws -> ShownAlike {
    try ShownAlike(
      """
      select
        s.id,
        s.shown_name,
        o.shown_name
      from named_source s
      join sender o on o.id = s.id
      order by 2, 3, s.id
      """, [:], in: store)
  }

  /// Destinations by columns of theirs; with those beside that the argument `nameless` lists, where a host is asked about.
  static func destinations(
    by columns: [String], _ arguments: [String: Value], in store: FlowReader
  ) throws -> ShownAlike {
    try ShownAlike(
      ordering: """
        select d.id, \(columns.map { "d.\($0)" }.joined(separator: ", "))
        from destination d
        where :host is null
          or d.id in (select id from destination_name where name glob :host)
          or d.id in (select value from json_each(:nameless))
        """, ["host": arguments["host"] ?? .null, "nameless": arguments["nameless"] ?? .null], in: store)
  }

  /// Groups of which not all that is shown is wanted are left out.
  func keeping(_ isWanted: ([Value]) -> Bool) -> [Int32] {
    let wanted = values.map(isWanted)
    return groups.map { $0 >= 0 && wanted[Int($0)] ? $0 : -1 }
  }

  /// The first row id of each group.
  var examples: [Int64] {
    var examples = Array(repeating: Int64(-1), count: values.count)
    for (id, group) in groups.enumerated() where group >= 0 && examples[Int(group)] < 0 {
      examples[Int(group)] = Int64(id)
    }
    return examples
  }

  /// Group numbers for a tally; nil where there is one group only because nothing is told apart.
  static func only(_ groups: ShownAlike) -> [Int32] {
    groups.groups.map { $0 < 0 ? -1 : 0 }
  }
}

/// The order of SQLite's `binary` collation, which is that of the bytes; NULL before all else.
func precedesInSQL(_ one: Value, _ other: Value) -> Bool {
  switch (one, other) {
  case (.null, .null): false
  case (.null, _): true
  case (_, .null): false
  case (.integer(let one), .integer(let other)): one < other
  case (.text(let one), .text(let other)): one.utf8.lexicographicallyPrecedes(other.utf8)
  default: false
  }
}

/// Sums as OtherRows and SQL's `sum` make them: nothing where there was nothing, and never beyond the range.
func added(_ one: Int64?, _ other: Int64?) -> Int64? {
  guard let one, let other else { return one ?? other }
  let (sum, isOver) = one.addingReportingOverflow(other)
  return isOver ? (other > 0 ? .max : .min) : sum
}

/// Several groups as one.
struct TallySum {
  private(set) var flows: Int64 = 0
  private(set) var sent: Int64?
  private(set) var received: Int64?
  private(set) var firstMs = Int64.max
  private(set) var lastMs = Int64.min

  mutating func add(_ group: Tally.Group) {
    flows &+= group.flows
    sent = added(sent, group.sent)
    received = added(received, group.received)
    firstMs = min(firstMs, group.firstMs)
    lastMs = max(lastMs, group.lastMs)
  }

  mutating func add(_ other: TallySum) {
    flows &+= other.flows
    sent = added(sent, other.sent)
    received = added(received, other.received)
    firstMs = min(firstMs, other.firstMs)
    lastMs = max(lastMs, other.lastMs)
  }
}
