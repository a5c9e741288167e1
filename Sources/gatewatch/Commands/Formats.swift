internal import ArgumentParser

/// `gatewatch formats`: which log formats are known, and how a file's lines are understood.
struct FormatsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "formats",
    abstract: "The known log formats; how the lines of a file are understood.",
    discussion: """
      Nothing has to be chosen for the formats of the list; one of your own is given with --log-format.

        gatewatch formats list
        gatewatch formats test access.log
      """,
    subcommands: [FormatsList.self, FormatsTest.self])
}
