internal import FlowStore

extension TalliedAnswer {
  /// Traffic of which nothing proves the way it took. The places that are shown, and what their proofs rest on, are tallied;
  /// the words come from the query itself, which finds them in its common table `place`.
  static func unproven(
    _ query: Query, _ arguments: [String: Value], _ limit: Int?, _ findings: Bool, _ store: FlowReader
  ) throws -> TalliedAnswer? {
    let words = """
      select f.why, f.path, f.assumption
      from unproven_flow f
      where f.id = :example
      \(pathAndOutcome)
      order by f.id
      """
    guard let found = try Places(words, arguments, findings: findings, store) else { return nil }
    let verdicts = found.tally.verdicts
    let major = ranks(verdicts) { [$0[0]] }
    let minor = ranks(verdicts) { [$0[1], $0[2]] }
    let (shown, rest, sum) = first(limit, of: found.tally.groups) { one, other in
      if one.flows != other.flows { return one.flows > other.flows }
      if major[one.verdict] != major[other.verdict] { return major[one.verdict] < major[other.verdict] }
      if one.source != other.source { return one.source < other.source }
      if one.destination != other.destination { return one.destination < other.destination }
      return minor[one.verdict] < minor[other.verdict]
    }
    let places = shown.map { group in
      UnprovenPlace(
        words: verdicts[group.verdict], source: found.sources.values[group.source][0],
        host: found.destinations.values[group.destination][0], port: found.destinations.values[group.destination][1])
    }
    guard let ends = try ends(of: places, words, arguments, store) else { return nil }
    let rows = zip(shown, places).map { group, place -> [Value] in
      let end = ends[place] ?? UnprovenEnds()
      return [
        place.words[0], place.source, place.host, place.port, place.words[1], place.words[2], .integer(group.flows),
        Value(group.sent), Value(group.received), .integer(group.firstMs), .integer(group.lastMs),
        .integer(end.lastMs), end.client, end.lastClient, end.upstream,
      ]
    }
    let table = CommonTable(
      name: "place",
      columns: [
        "why", "source", "host", "port", "path", "assumption", "flows", "sent", "received", "first_seen", "last_seen",
        "last_end", "client", "last_client", "upstream",
      ], rows: rows)
    guard var answer = try answer(query, arguments, with: [table], store) else { return nil }
    answer.findings = findings ? TalliedFindings(found.tally.totals) : nil
    guard rest > 0 else { return answer }
    let sums: [String: Value] = [
      "flows": .integer(sum.flows), "sent": Value(sum.sent), "received": Value(sum.received),
      "first_seen": .integer(sum.firstMs), "last_seen": .integer(sum.lastMs),
    ]
    answer.others = (rest, answer.columns.map { sums[$0] ?? .null })
    return answer
  }

  /// Looks again at the places that are shown, each client and each address apart.
  private static func ends(
    of places: [UnprovenPlace], _ words: String, _ arguments: [String: Value], _ store: FlowReader
  ) throws -> [UnprovenPlace: UnprovenEnds]? {
    guard !places.isEmpty else { return [:] }
    let clients = try ShownAlike(
      """
      select
        s.id,
        s.shown_name,
        s.client_forwarded,
        coalesce(s.client_ip, '')
      from named_source s
      where :sources is null or coalesce(s.received_as, s.id) in (select value from json_each(:sources))
      order by 2, 3, 4, s.id
      """, ["sources": arguments["sources"] ?? .null], in: store)
    let addresses = try ShownAlike.destinations(by: ["host", "port", "upstream_ip"], arguments, in: store)
    struct HostAndPort: Hashable { var host, port: Value }
    let sources = Set(places.map(\.source))
    let targets = Set(places.map { HostAndPort(host: $0.host, port: $0.port) })
    var request = request(arguments)
    request.measuresEnds = true
    request.sourceGroups = clients.keeping { sources.contains($0[0]) }
    request.destinationGroups = addresses.keeping { targets.contains(HostAndPort(host: $0[0], port: $0[1])) }
    guard let tally = try store.tally(request, words: words, arguments: verdictFilters(arguments)) else { return nil }
    var ends: [UnprovenPlace: UnprovenEnds] = [:]
    for (group, end) in zip(tally.groups, tally.ends) {
      let client = clients.values[group.source]
      let address = addresses.values[group.destination]
      let place = UnprovenPlace(
        words: tally.verdicts[group.verdict], source: client[0], host: address[0], port: address[1])
      ends[place, default: UnprovenEnds()].add(
        endMs: end, client: client[2].text ?? "", isForwarded: client[1] != 0, upstream: address[2].text ?? "")
    }
    return ends
  }
}

/// One line of the report.
private struct UnprovenPlace: Hashable {
  /// Why, path and assumption.
  var words: [Value]
  var source, host, port: Value
}

/// What the proof of a place depends on: see the common table `place` of the report.
private struct UnprovenEnds {
  private(set) var lastMs = Int64.min
  private var clients: (first: String, last: String)?
  private var isForwarded = false
  private var upstreams: (first: String, last: String)?

  mutating func add(endMs: Int64, client: String, isForwarded: Bool, upstream: String) {
    lastMs = max(lastMs, endMs)
    self.isForwarded = self.isForwarded || isForwarded
    clients = UnprovenEnds.widened(clients, by: client)
    upstreams = UnprovenEnds.widened(upstreams, by: upstream)
  }

  /// By bytes, as SQLite orders.
  private static func widened(_ range: (first: String, last: String)?, by text: String) -> (String, String) {
    guard let (first, last) = range else { return (text, text) }
    return (
      precedesInSQL(.text(text), .text(first)) ? text : first, precedesInSQL(.text(last), .text(text)) ? text : last
    )
  }

  var client: Value { isForwarded ? .null : Value(clients?.first) }
  var lastClient: Value { Value(clients?.last) }
  var upstream: Value {
    guard let (first, last) = upstreams, first == last else { return .null }
    // Empty stands for none.
    return last.isEmpty ? .null : .text(last)
  }
}
