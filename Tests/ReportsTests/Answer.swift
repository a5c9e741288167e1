import FlowStore

@testable import Reports

/// A report's rows as values.
struct Answer {
  var columns: [String] = []
  var rows: [[Value]] = []
  var others: [Value]?
  var notes: [String] = []

  init(
    of name: String, filters: Filters = Filters(), parameters: [String: String] = [:], limit: Int? = nil, in path: String
  ) throws {
    let reader = try FlowReader(path: path)
    let collector = Collector()
    let report = Report(
      try QueryCatalogue().report(named: name), filters: filters, parameters: parameters, limit: limit)
    let standing = try Standing(of: reader, filters: filters, findings: Standing.isAsked(by: name))
    try report.write(from: reader, with: collector, standing: standing)
    columns = collector.columns
    rows = collector.rows
    others = collector.others
    notes = collector.notes
  }

  func values(_ column: String) -> [Value] {
    guard let index = columns.firstIndex(of: column) else { return [] }
    return rows.map { $0[index] }
  }

  func sum(_ column: String) -> Int64 { values(column).compactMap(\.integer).reduce(0, +) }

  private final class Collector: Renderer {
    var columns: [String] = []
    var rows: [[Value]] = []
    var others: [Value]?
    var notes: [String] = []
    func begin(_ heading: Heading) throws { columns = heading.columns.map(\.name) }
    func row(_ values: [Value]) throws { rows.append(values) }
    func end(_ footing: Footing) throws {
      others = footing.others?.values
      notes = footing.notes
    }
  }
}
