internal import ArgumentParser
internal import FlowStore
internal import Foundation
internal import Reports

/// `gatewatch db`: care of the database file.
struct DatabaseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "db",
    abstract: "Look after the database: what is in it, is it whole, remove old flows, copy it.",
    discussion: """
      The database is one SQLite file; what was read stays in it until prune.

        gatewatch db info
        gatewatch db check
        gatewatch db prune --before 90d
        gatewatch db snapshot copy.db
      """,
    subcommands: [DatabaseInfo.self, DatabaseCheck.self, DatabasePrune.self, DatabaseSnapshot.self])
}

/// `gatewatch db info`.
struct DatabaseInfo: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info", abstract: "What is in the database: counts, size, time covered, policy.",
    discussion: "With --format json for programs.\n\n  gatewatch db info\n  gatewatch db info --format json")

  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

  @Option(help: ArgumentHelp("How the answer is written.", valueName: "format"))
  var format = Format.text

  @OptionGroup var database: DatabaseOption

  func run() throws {
    try Terminal.exiting {
      let reader = try FlowReader(path: database.path)
      defer { reader.close() }
      let info = try reader.info()
      switch format {
      case .text: try Terminal.write(DatabaseInfo.text(info))
      case .json:
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        try Terminal.write(String(decoding: try encoder.encode(info), as: UTF8.self) + "\n")
      }
    }
  }

  private static func text(_ info: StoreInfo) -> String {
    let wal = info.walBytes > 0 ? " and \(Quantities.bytes(info.walBytes)) not yet moved into it" : ""
    let time = info.firstMs.flatMap { first in
      info.lastMs.map { "\(Quantities.iso(first)) to \(Quantities.iso($0))" }
    }
    let facts = [
      ("database", TerminalText.safe(info.path)), ("size", Quantities.bytes(info.bytes) + wal),
      ("schema", "version \(info.schemaVersion), by SQLite \(info.sqliteVersion)"), ("flows", "\(info.flows)"),
      ("from", time ?? "no time: no flows"), ("logs", "\(info.logs)"), ("sources", "\(info.sources)"),
      ("destinations", "\(info.destinations)"), ("outcomes", "\(info.outcomes)"),
      ("rejected", "\(info.rejectedLines) lines"),
      (
        "rollups",
        info.rolledUpFlows == 0 ? "none yet" : "\(info.rolledUpFlows) flows in \(Quantities.bytes(info.rollupBytes))"
      ),
      (
        "tallies",
        info.talliedFlows == 0
          ? "none: every flow has a row"
          : "\(info.talliedFlows) flows without a row in \(Quantities.bytes(info.tallyBytes))"
      ),
      ("policy", info.policyFile.map(TerminalText.safe) ?? "none: judged by what the lines show"),
      ("verdicts", info.isJudged ? "up to date" : "to be written by the next run"),
    ]
    let width = facts.map(\.0.count).max() ?? 0
    return facts.map { name, value in
      name + String(repeating: " ", count: width - name.count + 2) + value + "\n"
    }.joined()
  }
}

/// `gatewatch db check`.
struct DatabaseCheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Is the database whole: SQLite's own check, and whether all sums agree.",
    discussion:
      "Exit codes: 0 whole, 1 damaged or not to be read. Changes nothing.\n\n  gatewatch db check && echo whole")

  @OptionGroup var database: DatabaseOption

  func run() throws {
    try Terminal.exiting {
      let reader = try FlowReader(path: database.path)
      defer { reader.close() }
      let problems = try reader.check()
      guard problems.isEmpty else {
        problems.forEach { Terminal.complain($0) }
        throw ExitCode(1)
      }
      try Terminal.write("whole: no damage found, all sums agree\n")
    }
  }
}

/// `gatewatch db prune`.
struct DatabasePrune: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune", abstract: "Remove the flows that began before a time.",
    discussion: """
      Reading positions stay, so that nothing is read again. The space is used again by later flows; --compact gives it back \
      to the disk, for which as much free space is needed as the database has. Rejected lines stay.

        gatewatch db prune --before 90d
        gatewatch db prune --before 2026-01-01 --compact
      """)

  @Option(help: ArgumentHelp("90d (ago), 2026-11-01, 2026-11-01T10:00:00Z.", valueName: "time"))
  var before: String

  @Flag(help: "Give the freed space back to the disk.")
  var compact = false

  @Option(help: ArgumentHelp("How long to wait for another run to end.", valueName: "seconds"))
  var wait = 0

  @OptionGroup var database: DatabaseOption

  func validate() throws {
    guard wait >= 0 else { throw ValidationError("--wait takes a number of seconds") }
  }

  func run() throws {
    try Terminal.exiting {
      let time = try TimeExpression.parse(before, as: .since, now: Terminal.now)
      // Opened to read first: a database that is not there must not be made.
      try FlowReader(path: database.path).close()
      let store = try FlowStore(path: database.path, wait: .seconds(wait))
      defer { store.close() }
      let removed = try store.prune(before: time)
      if removed > 0 { try StoreAccess.judgeByStoredPolicy(store) }
      try store.commit()
      if compact { try store.compact() }
      if time > Terminal.now { Terminal.complain("\(before) is a time to come: whatever was stored is gone") }
      try Terminal.write("removed \(removed) \(removed == 1 ? "flow" : "flows") from before \(Quantities.iso(time))\n")
    }
  }
}

/// `gatewatch db snapshot`.
struct DatabaseSnapshot: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "snapshot", abstract: "Copy the database into one file that any SQLite program can open anywhere.",
    discussion: """
      For other users and other programs: a copy needs no write access to its folder, unlike the database itself. May be \
      taken while an ingest runs. Never replaces a file.

        gatewatch db snapshot --group-readable /srv/grafana/gatewatch.db
      """)

  @Argument(help: "The file to write; it must not exist.")
  var target: String

  @Flag(help: "Readable for the file's group (mode 0640), too.")
  var groupReadable = false

  @OptionGroup var database: DatabaseOption

  func run() throws {
    try Terminal.exiting {
      let reader = try FlowReader(path: database.path)
      defer { reader.close() }
      try reader.snapshot(to: target, isGroupReadable: groupReadable)
    }
  }
}
