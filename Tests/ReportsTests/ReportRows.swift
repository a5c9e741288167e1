import FlowStore

@testable import Reports

/// What a report answers, from its SQL or from a tally.
struct ReportRows {
  var columns: [String] = []
  var rows: [[Value]] = []
  var others: [Value]?
}

/// Keeps what is rendered.
private final class Collector: Renderer {
  var rows = ReportRows()
  func begin(_ heading: Heading) throws { rows.columns = heading.columns.map(\.name) }
  func row(_ values: [Value]) throws { rows.rows.append(values) }
  func end(_ footing: Footing) throws {
    rows.others = footing.others.map { $0.values + [.integer(Int64($0.rows))] }
  }
}

/// - Parameter tallied: false asks the SQL.
func rows(
  _ query: Query, _ filters: Filters, _ limit: Int?, tallied: Bool, _ reader: FlowReader,
  _ parameters: [String: String] = [:]
) throws -> ReportRows {
  let collector = Collector()
  var report = Report(query, filters: filters, parameters: parameters, limit: limit)
  report.usesTallies = tallied
  try report.write(from: reader, with: collector)
  var rows = collector.rows
  // In which order the words of a list stand is left open by SQL.
  rows.rows = rows.rows.map { row in
    row.map { value in
      guard case .text(let text) = value, text.contains(",") else { return value }
      return .text(text.split(separator: ",").sorted().joined(separator: ","))
    }
  }
  return rows
}
