internal import ArgumentParser
internal import FlowStore
internal import Foundation
internal import Reports

/// `gatewatch report [NAME]`: one of the questions in `Queries/Reports`, or of the user's own, answered.
struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "What left without passing the gateway, what was blocked and why, how fast each destination is.",
    discussion: """
      Without a name: the summary. --list names all reports. Each answer says which logs it rests on; "no bypass" is \
      only said when nothing stands against it.

      Exit codes: 0 answered, whatever the answer is; 1 it could not be; 3 answered, and --require-coverage was not \
      met. For a check by exit code see: gatewatch alert.

        gatewatch report
        gatewatch report bypass --since 24h
        gatewatch report latency --host '*.example.com' --format csv
      """)

  @Argument(help: "The report; see --list.")
  var name = "summary"

  @Flag(help: "List the reports.")
  var list = false

  @Option(
    name: .customLong("param"), parsing: .singleValue,
    help: ArgumentHelp(
      "A parameter of the report, such as by=day of timeline; may be repeated.", valueName: "name=value"))
  var parameters: [String] = []

  @OptionGroup var filter: FilterOptions
  @OptionGroup var coverage: CoverageOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var store: ReadOptions

  /// As for `alert`: the answer is there, and something was not seen.
  static let notCovered: Int32 = 3

  func run() throws {
    FreedMemory.isKept()
    try Terminal.exiting {
      let catalogue = try store.catalogue()
      if list { return try ReportCommand.printList(catalogue) }
      let query = try catalogue.report(named: name)
      let filters = try filter.filters(now: Terminal.now)
      let format = output.format ?? .table
      var report = Report(
        query, filters: filters, parameters: try Parameters.parse(parameters),
        limit: output.limit(for: format, unlimited: query.showsAllRows))
      let reader = try StoreAccess.reader(store)
      defer { reader.close() }
      let awaited = try Standing.awaited(of: reader, filters: filters, by: query)
      report.showsTableColumns = format == .table && Terminal.isOutput
      let missing = try coverage.parsed().flatMap { try $0.problems(in: reader, filters: filters, now: Terminal.now) }
      report.notes = missing
      var appearance = Terminal.appearance
      appearance.keepsCSVRaw = output.keepsCSVRaw
      var aside: [String] = []
      let standing = try report.write(
        from: reader, with: format.renderer(appearance, to: Terminal.write) { aside.append($0) }, standing: awaited)
      for note in aside {
        Terminal.complain(note == standing?.statement ? "\(note); read: \(standing?.coverage ?? "")" : note)
      }
      if !missing.isEmpty {
        missing.filter { !aside.contains($0) }.forEach { Terminal.complain($0) }
        throw ExitCode(ReportCommand.notCovered)
      }
    }
  }

  private static func printList(_ catalogue: QueryCatalogue) throws {
    let width = catalogue.reports.map(\.name.count).max() ?? 0
    for query in catalogue.reports {
      let name = TerminalText.safe(query.name)
      let gap = String(repeating: " ", count: max(0, width - name.count) + 2)
      try Terminal.write(name + gap + TerminalText.safe(query.title) + "\n")
    }
  }
}

/// `name=value` pairs of the command line.
enum Parameters {
  static func parse(_ pairs: [String]) throws(ReportError) -> [String: String] {
    var parameters: [String: String] = [:]
    for pair in pairs {
      guard let equals = pair.firstIndex(of: "="), equals != pair.startIndex else {
        throw ReportError("--param \(TerminalText.safe(pair)) has no value", help: "write --param name=value")
      }
      parameters[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
    }
    return parameters
  }
}
