internal import FlowStore

// Bypasses of which only the address is known, at a place that other lines know by the name asked about.

extension Standing {
  /// Counts bypasses without a name to an address that other lines show for the host asked about. One address serves many names: that
  /// it was this one nothing proves, nor that it was not.
  mutating func countNameless(in store: FlowReader, filters: Filters, usingTallies: Bool = true) throws {
    nameless = 0
    guard filters.host != nil else { return }
    let query = try QueryHeader.parse(Standing.namelessBypasses, file: "standing")
    var limits = filters
    (limits.paths, limits.outcomes) = ([], [])
    let arguments = try limits.arguments(for: query, in: store)
    let destinations = try Standing.group(
      Standing.namelessDestinations, ["host": arguments["host"] ?? .null], in: store)
    // Mostly there is no such destination, and no flow need be looked at.
    guard !destinations.isEmpty else { return }
    let tallied = try usingTallies ? Standing.tallied(destinations, arguments, in: store) : nil
    nameless = try tallied ?? store.value(query.sql, arguments: arguments)?.integer ?? 0
  }

  private static func tallied(
    _ destinations: [Int32], _ arguments: [String: Value], in store: FlowReader
  ) throws -> Int64? {
    var request = TalliedAnswer.request(arguments)
    request.destinationGroups = destinations
    request.sourceGroups = try group(
      "select id from source where :sources is null or id in (select value from json_each(:sources))",
      ["sources": arguments["sources"] ?? .null], in: store)
    return try store.tally(
      request, words: "select allowed from bypass_flow where id = :example and allowed = 0 order by id"
    )?.groups.reduce(0) { $0 + $1.flows }
  }

  /// The row ids of a query as one group of a tally; empty where there are none.
  private static func group(
    _ sql: String, _ arguments: [String: Value], in store: FlowReader
  ) throws -> [Int32] {
    var groups: [Int32] = []
    try store.query("\(sql) order by 1", arguments: arguments) { row in
      guard let id = row[0].integer, id >= groups.count, id < ShownAlike.maxID else { return }
      groups += repeatElement(-1, count: Int(id) - groups.count)
      groups.append(0)
    }
    return groups
  }

  /// What is said of so many.
  static func sentence(ofNameless count: Int64, host: String) -> String {
    "\(Quantities.grouped(count)) \(count == 1 ? "flow" : "flows") around the egress gateway without a name, to an address that other lines show for \(TerminalText.safe(host))"
  }

  private static let namelessDestinations = """
    select n.id
    from destination n
    where n.host_origin = 'address'
      and n.upstream_ip in (
        select d.upstream_ip
        from destination d
        where d.id in (select id from destination_name where name glob :host)
      )
      and n.id not in (select id from destination_name where name glob :host)
    """

  private static let namelessBypasses = """
    -- title: Bypasses without a name to addresses of a host
    -- parameter: since_ms  first millisecond to include (Unix time)
    -- parameter: until_ms  first millisecond no longer included
    -- parameter: host      glob over the host, the host of Envoy's cluster or the address reached, lower case
    -- parameter: sources   JSON list of source ids
    select count(*) as flows
    from bypass_flow b
    where b.destination_id in (\(namelessDestinations))
      and b.allowed = 0
      and (:since_ms is null or b.started_at_ms >= :since_ms)
      and (:until_ms is null or b.started_at_ms < :until_ms)
      and (:sources is null or b.source_id in (select value from json_each(:sources)))
    """
}
