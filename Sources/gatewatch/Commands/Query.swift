internal import ArgumentParser
internal import FlowStore
internal import Foundation
internal import Reports

/// `gatewatch query`: any question in SQL, typed or from a file, on a connection that can only read.
struct QueryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "query",
    abstract: "Ask the database in SQL; it can only be read.",
    discussion: """
      SQL of your own with -e, or a report by its name, with its parameters.

        gatewatch query -e "select host, count(*) from bypass_flow group by host"
        gatewatch query timeline --param by=day

      The views flows, counted_flow, bypass_flow, blocked_flow, unproven_flow and latency_flow are documented and stay.
      """)

  @Argument(help: "A report's name; its parameters are given with --param.")
  var name: String?

  @Option(name: [.customShort("e"), .customLong("execute")], help: ArgumentHelp("One statement.", valueName: "sql"))
  var sql: String?

  @Option(
    name: .customLong("param"), parsing: .singleValue,
    help: ArgumentHelp("A parameter of the query; those not given are NULL.", valueName: "name=value"))
  var parameters: [String] = []

  @OptionGroup var output: OutputOptions
  @OptionGroup var store: ReadOptions

  func validate() throws {
    guard (name == nil) != (sql == nil) else { throw ValidationError("give either -e SQL or the name of a report") }
    // No report has a blank in its name.
    if let name, name.contains(where: \.isWhitespace) { throw ValidationError("SQL goes behind -e: query -e \"...\"") }
  }

  func run() throws {
    try Terminal.exiting {
      let format = output.format ?? .table
      let query =
        if let name { try store.catalogue().report(named: name) } else { try Query(typed: sql ?? "") }
      var report = Report(
        query, parameters: try Parameters.parse(parameters),
        limit: output.limit(for: format, unlimited: false))
      report.showsOthers = false
      // The program's own reports open transactions, which no other statement may.
      let reader = try StoreAccess.reader(store, limits: query.isBuiltIn ? nil : QueryLimits())
      defer { reader.close() }
      var appearance = Terminal.appearance
      appearance.keepsCSVRaw = output.keepsCSVRaw
      try report.write(
        from: reader, with: format.renderer(appearance, to: Terminal.write, aside: Terminal.complain))
    }
  }
}
