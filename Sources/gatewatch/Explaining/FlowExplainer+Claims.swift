internal import EgressPolicy
internal import FlowStore
internal import Flows
internal import Reports

/// What shows that a proxy's client came around a hop, with the place where it can be looked up.
extension FlowExplainer {
  func proof(of flow: FlowExplanation, source: Int64) throws -> [String] {
    let client = flow.text("source_ip") ?? "the client"
    switch flow.verdict.claim?.reason {
    case .clientHasNoSidecar:
      let entries = (flow.grounds?.entries ?? []).filter { $0.section == "pods" }
      if !entries.isEmpty {
        return entries.map { "\(policyFile ?? "policy"):\($0.line): pods, \($0.name)" }
      }
      let statement = flow.grounds?.topology.first { $0.hasPrefix("\(client) is ") }
      return ["the imported topology: \(statement ?? "\(client) has no sidecar") (see: gatewatch topology show)"]
    case .clientSkippedItsSidecar: return try ownLog(of: flow, client: client, source: source)
    case .clientSkippedTheGateway: return ["the line before this one in the journey, a sidecar's"]
    case nil: return []
    }
  }

  private func ownLog(of flow: FlowExplanation, client: String, source: Int64) throws -> [String] {
    let end = (flow.integer("started_at_ms") ?? 0) &+ (flow.integer("duration_ms") ?? 0)
    var sentences: [String] = []
    try reader.query(
      """
      select o.from_ms, o.until_ms
      from source s
      join own_log o on o.client_ip = s.client_ip
      where s.id = :source
        and o.from_ms <= :end
        and o.until_ms >= :end
      """, arguments: ["source": .integer(source), "end": .integer(end)]
    ) { row in
      let (from, until) = (Quantities.iso(row[0].integer ?? 0), Quantities.iso(row[1].integer ?? 0))
      sentences.append(
        "\(client)'s own sidecar log was read from \(from) until \(until), and holds no line that could be the hop before"
      )
    }
    try reader.query(
      """
      select distinct l.path
      from source s
      join source own on own.proxy_ip = s.client_ip
      join log l on l.id = own.log
      where s.id = :source
        and own.proxy = 'envoy'
        and own.shape in ('outbound', 'outbound-forwarded', 'inbound')
        and own.first_end_ms is not null
      order by l.path
      """, arguments: ["source": .integer(source)]
    ) { row in sentences.append("a log of that sidecar: \(row[0].text ?? "")") }
    return sentences
  }
}
