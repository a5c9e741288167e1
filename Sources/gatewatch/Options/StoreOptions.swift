internal import ArgumentParser
internal import Foundation

/// Which database is meant.
struct DatabaseOption: ParsableArguments {
  @Option(help: ArgumentHelp("The database (default: gatewatch.db, or $GATEWATCH_DB).", valueName: "file"))
  var db: String?

  var path: String { db ?? ProcessInfo.processInfo.environment["GATEWATCH_DB"] ?? "gatewatch.db" }

  func validate() throws {
    guard !path.isEmpty else {
      throw ValidationError("\(db == nil ? "$GATEWATCH_DB" : "--db") is empty; it takes the database's file")
    }
  }
}

/// Which store is written, and by which policy it is judged.
struct StoreOptions: ParsableArguments {
  @OptionGroup var place: DatabaseOption

  @Option(
    help: ArgumentHelp("Judge everything stored by this policy; it is kept for later runs.", valueName: "file"))
  var policy: String?

  @Option(help: ArgumentHelp("How long to wait for another run to end.", valueName: "seconds"))
  var wait = 0

  var database: String { place.path }

  func validate() throws {
    guard wait >= 0 else { throw ValidationError("--wait takes a number of seconds") }
  }
}
