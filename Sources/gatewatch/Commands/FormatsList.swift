internal import AccessLogs
internal import ArgumentParser
internal import FlowStore
internal import Reports

/// `gatewatch formats list [NAME]`.
struct FormatsList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "The formats that are tried on each line, in this order; with a name, its format string.",
    discussion: """
      Nothing has to be chosen: the format of each line is found. A format string is written in the proxy's own language, \
      so one that is printed here can be changed and given back with --log-format.

        gatewatch formats list
        gatewatch formats list istio-1.23
        gatewatch formats list --log-format @nginx.conf
      """)

  @Argument(help: "A format of the list.")
  var name: String?

  @Option(help: ArgumentHelp("How the answer is written.", valueName: "format"))
  var format = OutputFormat.table

  @OptionGroup var formats: FormatOptions

  func run() throws {
    try Terminal.exiting {
      let plans = try formats.plans()
      guard let name else { return try write(plans) }
      guard let plan = plans.first(where: { $0.name == name }) else {
        throw ReportError(
          "no format is named \(TerminalText.safe(name))", help: "gatewatch formats list names them all")
      }
      if format == .table {
        try Terminal.write(plan.source.hasSuffix("\n") ? plan.source : plan.source + "\n")
      } else {
        try write([plan])
      }
    }
  }

  private func write(_ plans: [FormatPlan]) throws {
    var renderer = format.renderer(Terminal.appearance, to: Terminal.write)
    var columns: [Query.Column] = [
      .init(name: "name", kind: .text), .init(name: "proxy", kind: .text), .init(name: "about", kind: .text),
    ]
    // A format string is far wider than a terminal.
    if format != .table { columns.append(.init(name: "source", kind: .text)) }
    try renderer.begin(Heading(name: "formats", columns: columns))
    for plan in plans {
      let values: [Value] = [.text(plan.name), .text(plan.dialect.rawValue), .text(plan.about), .text(plan.source)]
      try renderer.row(Array(values.prefix(columns.count)))
    }
    try renderer.end(Footing())
  }
}
