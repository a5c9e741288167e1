internal import ArgumentParser
internal import FlowStore
internal import Glibc

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
    openStandardStreams()
    FreedMemory.isUncounted()
    let arguments = arguments(CommandLine.arguments.dropFirst())
    do {
      try refuseMisread(arguments)
      var command = try parseAsRoot(arguments)
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      AlertCommand.exitIfMisused(error, arguments: arguments)
      exit(withError: error)
    }
  }

  /// What would be taken for a wish for help, which ends well: a file's name that a shell put in for a pattern (`-dash.log` has an
  /// `h` in it), and help for what there is not.
  private static func refuseMisread(_ arguments: [String]) throws {
    for argument in arguments.prefix(while: { $0 != "--" }) {
      let letters = argument.dropFirst()
      // No option has one dash and more than one letter.
      guard argument.hasPrefix("-"), letters.count > 1, let first = letters.first, first != "-", !first.isNumber else {
        continue
      }
      throw ValidationError("'\(argument)' is not an option; a file of that name is ./\(argument)")
    }
    guard arguments.first == "help" else { return }
    var known = configuration.subcommands
    for name in arguments.dropFirst().prefix(while: { !$0.hasPrefix("-") }) {
      guard let command = known.first(where: { $0.configuration.commandName == name }) else {
        throw ValidationError("there is no help on '\(name)': no command is called so")
      }
      known = command.configuration.subcommands
    }
  }

  /// A stream that was closed would become the next file that is opened, and an answer be written into a database's lock. Where
  /// nobody listens, writing fails as it does when the stream is closed.
  private static func openStandardStreams() {
    for stream in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(stream, F_GETFD) < 0 {
      // The lowest free number is this one.
      _ = open("/dev/null", O_RDONLY)
    }
  }

  /// `gatewatch --db FILE report` means `gatewatch report --db FILE`: the option belongs to the subcommand, and who thinks
  /// of it first types it first.
  static func arguments(_ typed: some Collection<String>) -> [String] {
    var typed = Array(typed)
    var database: [String] = []
    if typed.first == "--db", typed.count > 2 {
      database = Array(typed.prefix(2))
    } else if let first = typed.first, first.hasPrefix("--db="), typed.count > 1 {
      database = [first]
    }
    typed.removeFirst(database.count)
    // Behind `--` stand no options.
    typed.insert(contentsOf: database, at: typed.firstIndex(of: "--") ?? typed.endIndex)
    return typed
  }
}
