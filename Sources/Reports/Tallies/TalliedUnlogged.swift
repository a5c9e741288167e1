internal import FlowStore

extension TalliedAnswer {
  /// Clients of which no sidecar log was read: one line each.
  static func unlogged(_ arguments: [String: Value], _ limit: Int?, _ store: FlowReader) throws -> TalliedAnswer? {
    let words = """
      select f.role
      from judged_flow f
      where f.id = :example
        and f.duplicate_view = 0
        and instr(',' || f.verdict_warnings || ',', ',source-unproven,') > 0
      order by f.id
      """
    let names = try ShownAlike(
      """
      select s.id, coalesce(s.name, s.client_ip, '?')
      from source s
      where (:sources is null or coalesce(s.received_as, s.id) in (select value from json_each(:sources)))
        and s.id in (select id from unlogged_source)
      order by 2, s.id
      """, ["sources": arguments["sources"] ?? .null], in: store)
    let hosts = try ShownAlike.destinations(by: ["host"], arguments, in: store)
    var request = request(arguments)
    request.sourceGroups = names.groups
    request.destinationGroups = hosts.groups
    guard let tally = try store.tally(request, words: words) else { return nil }

    var clients = names.values.indices.map { (name: $0, sum: TallySum(), roles: Set<Int>()) }
    for group in tally.groups {
      clients[group.source].sum.add(group)
      clients[group.source].roles.insert(group.verdict)
    }
    let hostCounts = hostCounts(of: tally.groups, by: names.values.count, hosts.values)
    let met = clients.filter { $0.sum.flows > 0 }
    var others = TallySum()
    // Clients are numbered by name.
    let shown = first(
      limit, of: met, by: { $0.sum.flows != $1.sum.flows ? $0.sum.flows > $1.sum.flows : $0.name < $1.name },
      others: { others.add($0.sum) })
    let rest = met.count - shown.count
    return TalliedAnswer(
      columns: ["client", "seen_by", "flows", "hosts", "first_seen", "last_seen"],
      rows: shown.map { client in
        let roles = Set(client.roles.map { tally.verdicts[$0][0].text ?? "" }).sorted()
        return [
          names.values[client.name][0], .text(roles.joined(separator: ", ")), .integer(client.sum.flows),
          Value(hostCounts[client.name]), .integer(client.sum.firstMs), .integer(client.sum.lastMs),
        ]
      },
      others: rest == 0
        ? nil
        : (
          rest,
          [.null, .null, .integer(others.flows), .null, .integer(others.firstMs), .integer(others.lastMs)]
        ))
  }
}
