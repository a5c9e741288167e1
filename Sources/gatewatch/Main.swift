internal import ArgumentParser

@main
struct Gatewatch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gatewatch",
    subcommands: [IngestCommand.self, ReportCommand.self, FlowsCommand.self, QueryCommand.self, AlertCommand.self])

  static func main() async {
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      AlertCommand.exitIfMisused(error)
      exit(withError: error)
    }
  }
}
