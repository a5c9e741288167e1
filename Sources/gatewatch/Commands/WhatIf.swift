internal import ArgumentParser
internal import EgressPolicy
internal import FlowStore
internal import Foundation
internal import Ingestion
internal import Reports

/// `gatewatch whatif`: the stored past, judged by another policy, with the database left as it is.
struct WhatIfCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "whatif",
    abstract: "What another policy, or REGISTRY_ONLY, would have meant for the stored past. Changes nothing.",
    discussion: """
      Lists the flows whose verdict would be another one, by change, source, host and port: those that would become bypass, \
      would stop being bypass, would be allowed by an exception, or would have been blocked. The database is only read.

        gatewatch whatif --policy new-egress.yaml
        gatewatch whatif --registry-only
        gatewatch whatif --policy new.yaml --registry-only --since 7d --format csv

      --registry-only lists what sidecars sent to destinations that no registry declares: with outboundTrafficPolicy \
      REGISTRY_ONLY the sidecar refuses it, also where an exception allows it today. What never left is not listed, and \
      what pruned lines held cannot be.
      """)

  @Option(help: ArgumentHelp("The other policy, a YAML file; without it, the one in use.", valueName: "file"))
  var policy: String?

  @Flag(help: "Suppose outboundTrafficPolicy REGISTRY_ONLY.")
  var registryOnly = false

  @OptionGroup var filter: FilterOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var database: DatabaseOption

  func validate() throws {
    guard policy != nil || registryOnly else {
      throw ValidationError("give --policy FILE, --registry-only, or both")
    }
  }

  func run() throws {
    try Terminal.exiting {
      let filters = try filter.filters(now: Terminal.now)
      let reader = try FlowReader(path: database.path)
      defer { reader.close() }
      let other = try supposedPolicy(reader)
      try reader.suppose(Rejudge.judge(try reader.facts(), policy: other))
      let whatIf = WhatIf(filters: filters, policyFile: policy, isRegistryOnly: registryOnly)
      let changes = try whatIf.compare(in: reader)
      let format = output.format ?? .table
      let report = try whatIf.report(
        limit: output.limit(for: format, unlimited: false), notes: try notes(whatIf, changes, reader))
      var appearance = Terminal.appearance
      appearance.keepsCSVRaw = output.keepsCSVRaw
      let standing = try Standing(of: reader, filters: filters, findings: false)
      try report.write(
        from: reader, with: format.renderer(appearance, to: Terminal.write, aside: Terminal.complain),
        standing: standing)
    }
  }

  private func supposedPolicy(_ reader: FlowReader) throws -> Policy? {
    if let policy { return try StoreAccess.policy(file: policy).policy }
    return try reader.policy().map { try Policy.load(yaml: $0.text, file: $0.file ?? "stored policy") }
  }

  private func notes(_ whatIf: WhatIf, _ changes: [WhatIf.Change], _ reader: FlowReader) throws -> [String] {
    var notes = WhatIf.words.compactMap { word in
      changes.first { $0.word == word.word }.map { change in
        "\(Quantities.grouped(change.flows)) \(change.flows == 1 ? "flow" : "flows") \(word.text)"
      }
    }
    if notes.isEmpty { notes.append(try whatIf.unchanged(in: reader)) }
    var pruned: Int64 = 0
    try reader.query("select coalesce(sum(pruned), 0) from log") { pruned = $0[0].integer ?? 0 }
    if pruned > 0 { notes.append("\(Quantities.grouped(pruned)) pruned flows are not among them") }
    let tallied = try reader.talliedFlows()
    if tallied > 0 {
      notes.append(
        "\(Quantities.grouped(tallied)) flows kept as sums alone (ingest --keep exceptions) are not among them: gatewatch report --policy judges these, too"
      )
    }
    return notes
  }
}
