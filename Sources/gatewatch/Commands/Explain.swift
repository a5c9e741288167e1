internal import ArgumentParser
internal import EgressPolicy
internal import FlowStore
internal import Flows
internal import Foundation
internal import Reports

/// `gatewatch explain FLOW|FINDING`: why a verdict is what it is, down to the line of the log.
struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Why a flow or a finding is what it is: verdict, rule, policy, its journey, and the raw lines.",
    discussion: """
      FLOW is an id that gatewatch flows shows, or a line of a log as LOG:LINE. FINDING is KIND:SOURCE:HOST:PORT as alert \
      and report bypass name them, or finding:ID.

        gatewatch explain 12
        gatewatch explain istio-proxy.log:4711 --columns
        gatewatch explain passthrough:sleep:edition.cnn.com:443

      The journey is the way over all proxies whose lines were joined, with the line of each; of a finding, the first, the \
      last and the largest flows are shown.

      A line is read back from its log, also when that was renamed or compressed since, and shown only if it still gives \
      the same flow; otherwise explain says "log gone" or "log changed". What follows a ? is not shown unless \
      --show-queries asks for it; known secret parameters are never shown.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

  @Argument(
    help: ArgumentHelp(
      "A flow (12, LOG:LINE) or a finding (KIND:SOURCE:HOST:PORT, finding:3).", valueName: "flow|finding"))
  var target: String

  @Flag(help: "Show how each column of the line was understood.")
  var columns = false

  @Flag(help: "Show query strings, except for parameters that are known to carry secrets.")
  var showQueries = false

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("Look for moved logs in this folder too; may be repeated.", valueName: "folder"))
  var logs: [String] = []

  @Option(help: ArgumentHelp("How the answer is written.", valueName: "format"))
  var format = Format.text

  @OptionGroup var formats: FormatOptions
  @OptionGroup var store: ReadOptions

  func run() throws {
    try Terminal.exiting {
      let target = try ExplainTarget(target)
      let reader = try StoreAccess.reader(store)
      defer { reader.close() }
      let lookup = ExplainLookup(reader: reader)
      let finding = try lookup.finding(target)
      let explainer = try FlowExplainer(reader: reader, formats: try formats.plans(), folders: logs)
      let ids = try finding?.evidence ?? lookup.flows(target)
      let flows = try ids.compactMap { try explainer.explanation(of: $0) }
      let journeys = try explainer.journeys(of: ids)
      let redaction = Redaction(showsQueries: showQueries)
      let exceptions = explainer.policy?.exceptions ?? []
      switch format {
      case .json:
        let layout = ExplanationJSON(
          policyFile: explainer.policyFile, exceptions: exceptions, redaction: redaction, showsColumns: columns)
        try Terminal.write(layout.text(finding, flows, journeys))
      case .text:
        let layout = ExplanationText(
          policyFile: explainer.policyFile, exceptions: exceptions, redaction: redaction, showsColumns: columns,
          width: Terminal.appearance.width)
        if let finding { try Terminal.write(layout.text(finding) + "\n") }
        for (index, flow) in flows.enumerated() {
          let text = layout.text(
            flow, journeys[flow.id], isEvidence: finding != nil && index > 0, isLargest: finding?.largest == flow.id)
          try Terminal.write((index == 0 ? "" : "\n") + text)
        }
      }
    }
  }
}
