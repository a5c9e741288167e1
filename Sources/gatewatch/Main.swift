import ArgumentParser

@main
struct Gatewatch: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gatewatch",
    abstract: "Finds traffic that left the mesh without its egress gateway, in the access logs of Envoy, nginx and Squid.",
    version: "0.1.0",
    subcommands: [
      IngestCommand.self, ReportCommand.self, FlowsCommand.self, QueryCommand.self, AlertCommand.self,
    ])
}
