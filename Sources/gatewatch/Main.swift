internal import ArgumentParser

/// `gatewatch`: what left without passing the egress gateway, what was blocked and why, how fast each destination is.
@main
struct Gatewatch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gatewatch",
    abstract: "What left the mesh without passing the egress gateway, what was blocked, how fast each destination is.",
    discussion: """
      Reads access logs of Envoy (Istio), nginx and Squid into one SQLite file, each line once, and answers from there.

        gatewatch ingest logs/
        gatewatch report bypass
        gatewatch alert --ingest logs/
      """,
    version: version,
    subcommands: [
      IngestCommand.self, ReportCommand.self, FlowsCommand.self, QueryCommand.self, ExplainCommand.self,
      WhatIfCommand.self,
      AlertCommand.self,
      FormatsCommand.self,
      PolicyCommand.self, TopologyCommand.self, DatabaseCommand.self,
    ])

  /// As CHANGELOG.md names it.
  static let version = "0.1.0"

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
