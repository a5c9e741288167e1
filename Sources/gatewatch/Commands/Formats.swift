internal import ArgumentParser

/// `gatewatch formats`: which log formats are known, and how a file's lines are understood.
struct FormatsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "formats",
    abstract: "The known log formats; how the lines of a file are understood.",
    discussion: """
      gatewatch formats list
      gatewatch formats test access.log
      """,
    subcommands: [FormatsList.self, FormatsTest.self])
}
