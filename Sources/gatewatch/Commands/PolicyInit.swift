internal import ArgumentParser
internal import EgressPolicy
internal import FlowStore
internal import Flows
internal import Foundation
internal import Reports

/// `gatewatch policy init`.
struct PolicyInit: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Draft a policy from what the stored lines show, for you to check.",
    discussion: """
      Every entry comes commented out, with the ground for it beside it: a guess holds only after somebody looked at it. What \
      went around the gateway is listed as exceptions that you may want, or may not. The draft goes to the standard \
      output; the database stays as it is.

        gatewatch policy init > egress.yaml
      """)

  @OptionGroup var database: DatabaseOption

  func run() throws {
    try Terminal.exiting {
      let reader = try FlowReader(path: database.path)
      defer { reader.close() }
      let facts = try reader.facts()
      let judge = Judge(
        policy: nil, sources: facts.sources, destinations: facts.destinations, outcomes: facts.outcomes,
        logs: facts.logs, topology: facts.topology)
      try Terminal.write(judge.draftPolicy(try observed(reader)))
    }
  }

  /// Days until the exceptions that are drafted end: a quarter, after which somebody should look again.
  private static let days: Double = 90
  /// Bypasses that are drafted as exceptions, the most frequent ones.
  private static let maxBypasses = 50

  private func observed(_ reader: FlowReader) throws -> ObservedTraffic {
    var observed = ObservedTraffic()
    let end = Date(timeIntervalSince1970: Double(Terminal.now) / 1000 + PolicyInit.days * 86_400)
    observed.expires = end.ISO8601Format(.iso8601.year().month().day())
    try reader.query(
      """
      select b.bypass, d.host, d.cluster, d.upstream_ip, coalesce(nullif(d.upstream_port, 0), d.port), count(*),
        count(distinct b.source_id)
      from bypass_flow b
      join destination d on d.id = b.destination_id
      where b.allowed = 0
      group by b.bypass, d.host, d.cluster, d.upstream_ip, coalesce(nullif(d.upstream_port, 0), d.port)
      order by count(*) desc, d.host, d.upstream_ip, d.cluster
      limit \(PolicyInit.maxBypasses)
      """
    ) { row in
      let bypass = row[0].text ?? ""
      let parts = (row[2].text ?? "").split(separator: "|", maxSplits: 3, omittingEmptySubsequences: false)
      let isDeclared = bypass == Bypass.directServiceEntry.rawValue && parts.count == 4
      let flows = row[5].integer ?? 0
      let sources = row[6].integer ?? 0
      let named = row[1].text.map { " to \($0)" } ?? ""
      observed.bypasses.append(
        ObservedTraffic.Bypass(
          registryHost: isDeclared ? String(parts[3]) : nil, address: row[3].text,
          port: UInt16(clamping: row[4].integer ?? 0),
          ground:
            "\(flows) \(flows == 1 ? "flow" : "flows") of \(sources) \(sources == 1 ? "source" : "sources")\(named), bypass \(bypass)"
        ))
    }
    // An exception without a host or an address would allow everything.
    observed.bypasses.removeAll { $0.registryHost == nil && $0.address == nil }
    try reader.query(
      """
      select distinct l.path
      from log l
      join source s on s.log = l.id
      join route_verdict rv on \(RouteKey.sourceClass(of: "rv.key")) = s.class
      where rv.role = 'gateway'
        and coalesce(l.declared_role, 'gateway') = 'gateway'
      order by l.path
      """
    ) { row in
      let name = (row[0].text ?? "").split(separator: "/").last.map(String.init) ?? ""
      let pattern = "*" + name
      if !name.isEmpty, !observed.gatewayLogs.contains(pattern) { observed.gatewayLogs.append(pattern) }
    }
    return observed
  }
}
