internal import AccessLogs
internal import ArgumentParser
internal import Foundation
internal import Ingestion
internal import Reports

/// `gatewatch formats test FILE`: what `ingest` would make of each line, field by field.
struct FormatsTest: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "test",
    abstract: "How the lines of a log are understood: format, wrapper, each field, the flow; or why not.",
    discussion: """
      Runs the parser that ingest runs, and stores nothing. The file may be plain or gzipped; - reads standard input.

      Exit codes: 0 every line shown was understood or recognised as no access line, 1 some were rejected.

        gatewatch formats test access.log
        kubectl logs deploy/istio-egressgateway | gatewatch formats test - --lines 5
        gatewatch formats test access.log --rejected
        gatewatch formats test proxy.log --log-format '$remote_addr [$time_local] $protocol $status'
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

  @Argument(help: "A log, or - for standard input.")
  var file: String

  @Option(help: ArgumentHelp("Lines to show, 0 for all.", valueName: "lines"))
  var lines = 20

  @Flag(help: "Show only the lines that nothing understood, from the whole file.")
  var rejected = false

  @Option(help: ArgumentHelp("How the answer is written.", valueName: "format"))
  var format = Format.text

  @OptionGroup var formats: FormatOptions

  func validate() throws {
    guard lines >= 0 else { throw ValidationError("--lines takes a number of lines, or 0 for all") }
  }

  func run() throws {
    var exit: Int32 = 0
    try Terminal.exiting(with: 2) {
      let tally = try explain()
      if tally.rejected > 0 { exit = 1 }
    }
    if exit != 0 { throw ExitCode(exit) }
  }

  private func explain() throws -> ExplainedLines.Tally {
    let log = try LogLines(path: file)
    let explainer = LineExplainer(formats: try formats.plans(), log: log.context)
    var tally = ExplainedLines.Tally()
    var shown = 0
    var number = 0
    if format == .json { try Terminal.write("{\"file\":\(JSON.string(file)),\"lines\":[") }
    try log.forEach { line in
      number += 1
      let answers = explainer.explain(line)
      let isRejected = answers.contains { if case .rejected = $0 { true } else { false } }
      answers.forEach { tally.count($0) }
      if !rejected || isRejected, lines == 0 || shown < lines {
        switch format {
        case .text: try Terminal.write(ExplainedLines.text(answers, number: number))
        case .json: try Terminal.write((shown == 0 ? "\n" : ",\n") + ExplainedLines.json(answers, number: number))
        }
        shown += 1
      }
      // What is rejected is looked for, and counted, in the whole file.
      return rejected || lines == 0 || shown < lines
    }
    switch format {
    case .text: try Terminal.write(tally.text)
    case .json: try Terminal.write("\n],\"sums\":\(try tally.json)}\n")
    }
    return tally
  }
}
