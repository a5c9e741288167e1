public import ArgumentParser
public import Flows
internal import Foundation
public import Reports

/// The limits that every question takes.
struct FilterOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Flows that started at this time or later: 1h (ago), yesterday, 2026-11-01, 2026-11-01T10:00:00Z.",
      discussion: "Times without a zone are UTC.", valueName: "time"))
  var since: String?

  @Option(
    help: ArgumentHelp("Flows that started before this time; a day is included to its end.", valueName: "time"))
  var until: String?

  @Option(
    help: ArgumentHelp(
      "Host as reported, of Envoy's cluster, or the address reached; * and ? are wildcards: '*.example.com'.",
      valueName: "glob"))
  var host: String?

  @Option(
    help: ArgumentHelp(
      "Workload, pod or address with wildcards, or a network: 'sleep-*', 'shop/*', 10.80.3.0/24.",
      valueName: "glob|cidr"))
  var source: String?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Way taken; may be repeated.", valueName: "path"))
  var path: [Path] = []

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "How it ended; may be repeated.",
      valueName: "outcome"))
  var outcome: [OutcomeKind] = []

  /// - Parameter now: Unix milliseconds that relative times count from.
  func filters(now: Int64) throws -> Filters {
    var filters = Filters()
    filters.sinceMs = try since.map { try TimeExpression.parse($0, as: .since, now: now) }
    filters.untilMs = try until.map { try TimeExpression.parse($0, as: .until, now: now) }
    if let since = filters.sinceMs, let until = filters.untilMs, since >= until {
      throw ReportError("--since lies at or after --until", help: "the range is empty; swap the two")
    }
    filters.host = host
    filters.source = try source.map { try SourcePattern($0) }
    filters.paths = path
    filters.outcomes = outcome
    return filters
  }
}

/// How an answer is written.
struct OutputOptions: ParsableArguments {
  @Option(help: ArgumentHelp("How the answer is written.", valueName: "format"))
  var format: OutputFormat?

  @Option(
    help: ArgumentHelp(
      "Rows to show, 0 for all; tables on a terminal show \(Report.tableLimit) unless told.", valueName: "rows"))
  var limit: Int?

  @Flag(
    name: .customLong("csv-raw"),
    help: "CSV exactly as stored, for programs: texts that a spreadsheet would run as formulas stay as they are.")
  var keepsCSVRaw = false

  func validate() throws {
    if let limit, limit < 0 { throw ValidationError("--limit takes a number of rows, or 0 for all") }
    if keepsCSVRaw, format != .csv { throw ValidationError("--csv-raw goes with --format csv") }
  }

  /// - Parameter unlimited: the question is shown whole unless the user limits it.
  func limit(for format: OutputFormat, unlimited: Bool) -> Int? {
    if let limit { return limit == 0 ? nil : limit }
    return format == .table && Terminal.isOutput && !unlimited ? Report.tableLimit : nil
  }
}

/// Which store is asked, and by which policy.
struct ReadOptions: ParsableArguments {
  @OptionGroup var place: DatabaseOption

  @Option(
    help: ArgumentHelp("Judge everything stored by this policy first; it is kept for later runs.", valueName: "file"))
  var policy: String?

  @Option(
    help: ArgumentHelp(
      "A folder of your own .sql reports; they add to the built-in ones or replace them.", valueName: "folder"))
  var queries: String?

  var database: String { place.path }

  func catalogue() throws(ReportError) -> QueryCatalogue {
    if let queries { try QueryCatalogue(adding: queries) } else { QueryCatalogue() }
  }
}

extension OutputFormat: ExpressibleByArgument {}
extension Path: ExpressibleByArgument {}
extension OutcomeKind: ExpressibleByArgument {}
