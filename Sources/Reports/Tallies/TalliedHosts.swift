internal import FlowStore

extension TalliedAnswer {
  /// Where traffic went: one line per host. Lists of words stand in alphabetical order, which SQL leaves open.
  static func hosts(_ arguments: [String: Value], _ store: FlowReader) throws -> TalliedAnswer? {
    let words = """
      select
        f.path,
        f.outcome,
        o.protocol,
        -- Without an ending, flows of one verdict may have several outcomes, and so several protocols.
        f.ending_key is null or o.id is null as is_open
      from judged_flow f
      left join outcome o on o.id = f.outcome_id
      where f.id = :example
        and f.counted = 1
        and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
        and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
        and (:path is not null or f.path <> 'internal')
      order by f.id
      """
    let sources = try ShownAlike.sources(arguments, in: store)
    let destinations = try ShownAlike.destinations(by: ["host", "port"], arguments, in: store)
    var request = request(arguments)
    request.sourceGroups = sources.groups
    request.destinationGroups = destinations.groups
    guard let tally = try store.tally(request, words: words, arguments: verdictFilters(arguments)) else { return nil }
    guard !tally.verdicts.contains(where: { $0[3].integer == 1 }) else { return nil }

    // Destinations are in the order of their hosts: those of one host are neighbours.
    var hostOf: [Int] = []
    for (index, place) in destinations.values.enumerated() {
      let isSame = index > 0 && destinations.values[index - 1][0] == place[0]
      hostOf.append(isSame ? hostOf[index - 1] : (hostOf.last ?? -1) + 1)
    }
    var hosts = [Host](repeating: Host(sourceCount: sources.values.count), count: (hostOf.last ?? -1) + 1)
    for group in tally.groups {
      hosts[hostOf[group.destination]].add(
        group, tally.verdicts[group.verdict], destinations.values[group.destination])
    }
    let met = hosts.indices.filter { hosts[$0].flows > 0 }.sorted {
      hosts[$0].flows != hosts[$1].flows ? hosts[$0].flows > hosts[$1].flows : $0 < $1
    }
    return TalliedAnswer(
      columns: [
        "host", "flows", "sources", "sent", "received", "first_seen", "last_seen", "protocols", "ports", "paths", "ok",
        "blocked", "failed", "other",
      ], rows: met.map { hosts[$0].row })
  }

  private struct Host {
    var name = Value.null
    var flows: Int64 = 0
    var sent: Int64?
    var received: Int64?
    var firstMs = Int64.max
    var lastMs = Int64.min
    /// One bit per source.
    var sources: [UInt64] = []
    var protocols: Set<Value> = []
    var ports: Set<Value> = []
    var paths: Set<Value> = []
    var ok: Int64 = 0
    var blocked: Int64 = 0
    var failed: Int64 = 0
    var other: Int64 = 0
    private let sourceCount: Int

    init(sourceCount: Int) { self.sourceCount = sourceCount }

    mutating func add(_ group: Tally.Group, _ verdict: [Value], _ place: [Value]) {
      if sources.isEmpty { sources = [UInt64](repeating: 0, count: (sourceCount + 63) / 64) }
      sources[group.source / 64] |= 1 << UInt64(group.source % 64)
      name = place[0]
      flows &+= group.flows
      sent = added(sent, group.sent)
      received = added(received, group.received)
      firstMs = min(firstMs, group.firstMs)
      lastMs = max(lastMs, group.lastMs)
      if !verdict[2].isNull { protocols.insert(verdict[2]) }
      if place[1] != 0 { ports.insert(place[1]) }
      paths.insert(verdict[0])
      switch verdict[1].text {
      case "ok": ok &+= group.flows
      case "blocked": blocked &+= group.flows
      case "failed", "timeout", "mesh-fault": failed &+= group.flows
      default: other &+= group.flows
      }
    }

    private static func list(_ values: Set<Value>) -> Value {
      if values.isEmpty { return .null }
      let words = values.sorted(by: precedesInSQL).map { $0.text ?? $0.integer.map(String.init) ?? "" }
      return .text(words.joined(separator: ","))
    }

    var row: [Value] {
      [
        name, .integer(flows), Value(sources.reduce(0) { $0 + $1.nonzeroBitCount }), Value(sent), Value(received),
        .integer(firstMs), .integer(lastMs), Host.list(protocols), Host.list(ports), Host.list(paths), .integer(ok),
        .integer(blocked), .integer(failed), .integer(other),
      ]
    }
  }
}
