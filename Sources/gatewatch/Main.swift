internal import ArgumentParser

@main
struct Gatewatch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gatewatch",
    subcommands: [IngestCommand.self, ReportCommand.self, FlowsCommand.self, QueryCommand.self, AlertCommand.self])
}
