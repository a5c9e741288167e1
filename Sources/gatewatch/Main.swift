internal import ArgumentParser

@main
struct Gatewatch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gatewatch",
    subcommands: [ReportCommand.self, FlowsCommand.self, QueryCommand.self, AlertCommand.self])
}
