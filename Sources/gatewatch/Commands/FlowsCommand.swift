internal import AccessLogs
internal import ArgumentParser
internal import FlowStore
internal import Foundation
internal import Reports

/// `gatewatch flows`: the flows themselves, one row each, streamed.
struct FlowsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flows",
    abstract: "The flows themselves, filtered: one per line of a log.",
    discussion: """
      The columns are the contract of the view "flows". NDJSON unless --format says otherwise; on a terminal, a table. \
      Also flows that totals leave out are shown: earlier hops, and second views of one flow.

        gatewatch flows --since 1h --path passthrough
        gatewatch flows --host '*.example.com' --format csv > flows.csv
      """)

  @Option(
    name: .customLong("request-id"),
    help: ArgumentHelp(
      "Flows of this request: the id as logged, or its hash in 16 hexadecimal digits.", valueName: "id"))
  var requestID: String?

  @OptionGroup var filter: FilterOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var store: ReadOptions

  func run() throws {
    try Terminal.exiting {
      let filters = try filter.filters(now: Terminal.now)
      let format = output.format ?? (Terminal.isOutput ? .table : .ndjson)
      let reader = try StoreAccess.reader(store)
      defer { reader.close() }
      var report = Report(
        try store.catalogue().report(named: "flows"), filters: filters,
        limit: output.limit(for: format, unlimited: false))
      report.showsOthers = false
      if let requestID { report.parameters["request"] = String(FlowsCommand.hash(of: requestID)) }
      report.showsTableColumns = format == .table && Terminal.isOutput
      var appearance = Terminal.appearance
      appearance.keepsCSVRaw = output.keepsCSVRaw
      try report.write(
        from: reader, with: format.renderer(appearance, to: Terminal.write, aside: Terminal.complain))
    }
  }

  /// Sixteen hexadecimal digits are the hash itself: no proxy makes ids of that form.
  private static func hash(of id: String) -> Int64 {
    let isHash = id.utf8.count == 16 && id.allSatisfy { $0.isASCII && $0.isHexDigit }
    return Int64(bitPattern: isHash ? UInt64(id, radix: 16) ?? 0 : RequestID.hash(id))
  }
}
