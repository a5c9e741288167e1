internal import FlowStore

// Bypasses of which only the address is known, where that may be a place of the host asked about.

extension Standing {
  /// Counts bypasses without a name, or with one that the client alone chose, to an address that other lines show for the host asked
  /// about, and those that went without a name by the cluster of a ServiceEntry for a wildcard that covers it
  /// (`outbound|443||*.pay.example`). One address serves many names, and one wildcard many hosts: that it was this one nothing proves,
  /// nor that it was not.
  mutating func countNameless(in store: FlowReader, filters: Filters, usingTallies: Bool = true) throws {
    (nameless, namelessByWildcard) = (0, 0)
    guard filters.host != nil else { return }
    let query = try QueryHeader.parse(Standing.namelessBypasses, file: "standing")
    var limits = filters
    (limits.host, limits.paths, limits.outcomes) = (nil, [], [])
    let arguments = try limits.arguments(for: query, in: store)
    let host = filters.host?.lowercased() ?? ""
    func count(_ destinations: [Int64]) throws -> Int64 {
      // Mostly there is no such destination, and no flow need be looked at.
      guard !destinations.isEmpty else { return 0 }
      if usingTallies, let tallied = try Standing.tallied(destinations, arguments, in: store) { return tallied }
      var arguments = arguments
      arguments["destinations"] = Standing.list(destinations)
      return try store.value(query.sql, arguments: arguments)?.integer ?? 0
    }
    let shown = try Standing.ids(Standing.namelessDestinations, ["host": .text(host)], in: store)
    nameless = try count(shown)
    let known = Set(shown)
    let others = try Standing.destinations(coveredBy: host, in: store)
    namelessByWildcard = try count(others.filter { !known.contains($0) })
  }

  private static func tallied(
    _ destinations: [Int64], _ arguments: [String: Value], in store: FlowReader
  ) throws -> Int64? {
    var request = TalliedAnswer.request(arguments)
    request.destinationGroups = group(destinations)
    request.sourceGroups = group(
      try ids(
        "select id from source where :sources is null or id in (select value from json_each(:sources))",
        ["sources": arguments["sources"] ?? .null], in: store))
    return try store.tally(
      request, words: "select allowed from bypass_flow where id = :example and allowed = 0 order by id"
    )?.groups.reduce(0) { $0 + $1.flows }
  }

  /// The row ids of a query.
  private static func ids(_ sql: String, _ arguments: [String: Value], in store: FlowReader) throws -> [Int64] {
    var ids: [Int64] = []
    try store.query("\(sql) order by 1", arguments: arguments) { row in
      if let id = row[0].integer { ids.append(id) }
    }
    return ids
  }

  static func list(_ ids: [Int64]) -> Value { .text("[" + ids.map(String.init).joined(separator: ",") + "]") }

  /// Row ids in order as one group of a tally; empty where there are none.
  private static func group(_ ids: [Int64]) -> [Int32] {
    var groups: [Int32] = []
    for id in ids where id >= groups.count && id < ShownAlike.maxID {
      groups += repeatElement(-1, count: Int(id) - groups.count)
      groups.append(0)
    }
    return groups
  }

  /// Destinations without a name by the cluster of a wildcard that covers a host asked about.
  private static func destinations(coveredBy host: String, in store: FlowReader) throws -> [Int64] {
    var ids: [Int64] = []
    try store.query(
      """
      select n.id, n.cluster
      from destination n
      where n.host_origin = 'address'
        and n.cluster glob 'outbound|*|[*]*'
        and n.id not in (select id from destination_name where name glob :host)
      order by n.id
      """, arguments: ["host": .text(host)]
    ) { row in
      guard let id = row[0].integer, let wildcard = row[1].text?.split(separator: "|").last,
        covers(wildcard.lowercased(), host)
      else { return }
      ids.append(id)
    }
    return ids
  }

  /// Whether a wildcard of the registry (`*`, `*.pay.example`) and the glob asked for may mean one host, as far as their ends tell.
  static func covers(_ wildcard: String, _ glob: String) -> Bool {
    let suffix = wildcard.dropFirst()
    guard let last = glob.lastIndex(where: { "*?]".contains($0) }) else { return glob.hasSuffix(suffix) }
    let end = glob[last...].dropFirst()
    return end.hasSuffix(suffix) || suffix.hasSuffix(end)
  }

  /// What is said of so many.
  static func sentence(ofNameless count: Int64, host: String) -> String {
    "\(subject(of: count)) under no name, or one that the client wrote, to an address that other lines show for \(TerminalText.safe(host))"
  }

  static func sentence(ofNamelessByWildcard count: Int64, host: String) -> String {
    "\(subject(of: count)) without a name, by a cluster for a wildcard that covers \(TerminalText.safe(host))"
  }

  private static func subject(of count: Int64) -> String {
    "\(Quantities.grouped(count)) \(count == 1 ? "flow" : "flows") around the egress gateway"
  }

  /// What the client wrote into `Host` or SNI is no name either, unless the proxy looked it up: then it reached another address
  /// than the one that was dialled.
  private static let namelessDestinations = """
    select n.id
    from destination n
    where (
        n.host_origin = 'address'
        or n.host_origin in ('authority', 'sni')
          -- Lines of Envoy: nginx and Squid, which log neither, look names up.
          and (n.cluster is not null or n.dialled_ip is not null)
          and coalesce(n.cluster, '') <> 'AllowAnyDynamicDNSCluster'
          and (n.dialled_ip is null or n.dialled_ip = n.upstream_ip)
      )
      and n.upstream_ip in (
        select d.upstream_ip
        from destination d
        where d.id in (select id from destination_name where name glob :host)
      )
      and n.id not in (select id from destination_name where name glob :host)
    """

  private static let namelessBypasses = """
    -- title: Bypasses without a name to what may be places of a host
    -- parameter: since_ms      first millisecond to include (Unix time)
    -- parameter: until_ms      first millisecond no longer included
    -- parameter: sources       JSON list of source ids
    -- parameter: destinations  JSON list of destination ids
    select count(*) as flows
    from bypass_flow b
    where b.destination_id in (select value from json_each(:destinations))
      and b.allowed = 0
      and (:since_ms is null or b.started_at_ms >= :since_ms)
      and (:until_ms is null or b.started_at_ms < :until_ms)
      and (:sources is null or b.source_id in (select value from json_each(:sources)))
    """
}
