public import FlowStore

/// One question put to a store and written down: heading, rows, the sum of the rows that were cut off, notes.
///
///     let report = try Report(catalogue.report(named: "bypass"), filters: filters)
///     try report.write(from: store, with: OutputFormat.table.renderer(appearance, to: sink))
public struct Report: Sendable {
  public internal(set) var query: Query
  public var filters: Filters
  /// Parameters beyond the filters, as typed.
  public var parameters: [String: String]
  /// Rows to show; those beyond it are summed up. nil shows all.
  public var limit: Int?
  /// Whether the rows beyond the limit are summed up; without, the query ends at the limit.
  public var showsOthers = true
  /// Only the columns that the query names for tables on a terminal.
  public var showsTableColumns = false
  /// Whether the faster twins of the built-in reports may answer; a test compares with and without.
  var usesTallies = true

  /// Sentences to stand below, before those of the standing.
  public var notes: [String] = []
  /// What was asked beside filters and parameters, for the heading.
  var described: [(name: String, value: String)] = []

  /// Rows of a table on a terminal unless the user asks otherwise; the sums of the others stand below.
  public static let tableLimit = 25
  /// A query that declares this parameter stops by itself, so that the first rows of many come at once; then the others are
  /// not summed up.
  static let limitParameter = "limit"

  public init(_ query: Query, filters: Filters = Filters(), parameters: [String: String] = [:], limit: Int? = nil) {
    self.query = query
    self.filters = filters
    self.parameters = parameters
    self.limit = limit
  }

  /// - Parameter standing: the coverage above and the statement below; nil writes the rows alone.
  /// - Returns: the standing, with what it awaited.
  @discardableResult
  public func write(
    from store: FlowReader, with renderer: any Renderer, standing: Standing? = nil
  ) throws -> Standing? {
    var renderer = renderer
    var standing = standing
    let arguments = try arguments(in: store)
    let given = described + filters.described + parameters.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    var columns: [Query.Column] = []
    var chosen: [Int]?
    var others: OtherRows?
    var shown = 0
    var hasMore = false
    let limitsItself = query.takes(Report.limitParameter)
    func begin(_ names: [String]) throws {
      if showsTableColumns, !query.tableColumns.isEmpty {
        chosen = query.tableColumns.compactMap { names.firstIndex(of: $0) }
      }
      columns = (chosen ?? Array(names.indices)).map { query.column(named: names[$0]) }
      try renderer.begin(
        Heading(name: query.name, title: query.title, parameters: given, coverage: standing?.coverage, columns: columns)
      )
    }
    func add(_ all: [Value]) throws {
      let values = chosen.map { $0.map { all[$0] } } ?? all
      if let limit, shown >= limit {
        hasMore = true
        guard showsOthers, !limitsItself else { throw EnoughRows() }
        if others == nil { others = OtherRows(columns: columns) }
        others?.add(values)
      } else {
        shown += 1
        try renderer.row(values)
      }
    }
    var isTallied = false
    try untilEnough {
      let tallied =
        usesTallies
        ? try TalliedAnswer(
          query, arguments: arguments, limit: limit, findings: standing?.awaitsFindings ?? false, in: store) : nil
      try standing?.complete(with: tallied?.findings, in: store)
      if let answer = tallied {
        isTallied = true
        try begin(answer.columns)
        for row in answer.rows { try add(row) }
        guard let rest = answer.others, showsOthers else { return }
        if others == nil { others = OtherRows(columns: columns) }
        others?.add(chosen.map { $0.map { rest.sum[$0] } } ?? rest.sum, standingFor: rest.count)
      } else {
        try store.query(query.sql, arguments: arguments, columns: begin, row: add)
      }
    }
    var more: [String] = []
    if hasMore, limitsItself || !showsOthers {
      let time = query.takes("since_ms") ? ", --since and --until choose a time" : ""
      more = ["only the first \(Quantities.grouped(Int64(shown))) are shown: --limit 0 shows all\(time)"]
    }
    let unseen = [try noteOfUnseen(in: store, isTallied: isTallied)].compactMap { $0 }
    let notes = notes + more + unseen + (standing?.notes(for: query.name) ?? [])
    try renderer.end(Footing(others: others.map { Others(rows: $0.count, values: $0.values) }, notes: notes))
    return standing
  }

  /// What the answer says nothing of, because single flows were not kept; nil where it says all.
  /// - Parameter isTallied: the answer was not made from single flows.
  public func noteOfUnseen(in store: FlowReader, isTallied: Bool = false) throws -> String? {
    guard !Report.askedOfLogs.contains(query.name) || !query.isBuiltIn else { return nil }
    let tallied = try store.talliedFlows()
    guard tallied > 0 else { return nil }
    let flows =
      "\(Quantities.grouped(tallied)) \(tallied == 1 ? "flow" : "flows") without a row of \(tallied == 1 ? "its" : "their") own"
    guard isTallied else {
      return
        "\(flows) (ingest --keep exceptions) are not in this answer: it is made of single flows"
    }
    let isCut = [filters.sinceMs, filters.untilMs].contains { ($0 ?? 0) % Report.talliedStepMs != 0 }
    guard isCut else { return nil }
    return "\(flows) are counted by whole hours, also the hours that --since and --until cut"
  }

  /// Built-in reports that look at no flow.
  private static let askedOfLogs: Set<String> = ["rejected", "assumptions", "clocks"]
  /// Flows without rows are told apart by hours.
  private static let talliedStepMs: Int64 = 3_600_000

  private struct EnoughRows: Error {}

  private func untilEnough(_ body: () throws -> Void) throws {
    do { try body() } catch is EnoughRows {
    } catch StoreError.sqlite(let code, let message, _) {
      // The statement stands in its file, or the user has just typed it: no need to print it back.
      throw ReportError(file: query.file, "database error \(code & 0xFF): \(message)")
    }
  }

  /// Filters and parameters as the query's arguments.
  private func arguments(in store: FlowReader) throws -> [String: Value] {
    var arguments = try filters.arguments(for: query, in: store)
    for (name, text) in parameters {
      guard query.takes(name) else {
        let names = query.parameters.map(\.name)
        throw ReportError(
          "\(query.name) has no parameter \"\(TerminalText.safe(name))\"",
          help: nearMiss(name, in: names).map { "did you mean \"\($0)\"?" }
            ?? (names.isEmpty ? "it has none" : "it has \(names.joined(separator: ", "))"))
      }
      if query.name == "timeline", name == "by", !["day", "hour", "minute"].contains(text) {
        throw ReportError("by=\(TerminalText.safe(text)) is not known", help: "write by=day, by=hour or by=minute")
      }
      arguments[name] = Report.value(text)
    }
    if query.takes(Report.limitParameter), arguments[Report.limitParameter] == nil {
      // One more tells whether there are more.
      arguments[Report.limitParameter] = Value(limit.map { $0 == .max ? Int64($0) : Int64($0) + 1 })
    }
    return arguments
  }

  /// A whole number as one, so that it compares with integer columns; all else is text.
  static func value(_ text: String) -> Value {
    Int64(text).map { .integer($0) } ?? .text(text)
  }
}

/// The rows that a limit cut off, as one row: counts, bytes and shares added, times widened, the rest empty.
struct OtherRows {
  private let columns: [Query.Column]
  private(set) var count = 0
  private(set) var values: [Value]

  init(columns: [Query.Column]) {
    self.columns = columns
    values = columns.map { _ in .null }
  }

  /// - Parameter rows: how many rows this one is the sum of.
  mutating func add(_ row: [Value], standingFor rows: Int = 1) {
    count += rows
    for (index, column) in columns.enumerated() {
      switch (column.kind, values[index], row[index]) {
      case (.count, .integer(let sum), .integer(let more)), (.bytes, .integer(let sum), .integer(let more)):
        // A sum beyond 2^63 cannot come from real logs; a forged one stays at the limit.
        let (total, isOver) = sum.addingReportingOverflow(more)
        values[index] = .integer(isOver ? (more > 0 ? .max : .min) : total)
      case (.share, .real(let sum), let more):
        values[index] = .real(sum + (more.real ?? 0))
      case (.first, .integer(let early), .integer(let other)): values[index] = .integer(min(early, other))
      case (.last, .integer(let late), .integer(let other)): values[index] = .integer(max(late, other))
      case (.count, .null, _), (.bytes, .null, _), (.share, .null, _), (.first, .null, _), (.last, .null, _):
        values[index] = row[index]
      default: break
      }
    }
  }
}
