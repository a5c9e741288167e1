internal import FlowStore

// Bypasses of which only the address is known, at a place that other lines know by the name asked about.

extension Standing {
  /// Counts bypasses without a name to an address that other lines show for the host asked about. One address serves many names: that
  /// it was this one nothing proves, nor that it was not.
  mutating func countNameless(in store: FlowReader, filters: Filters) throws {
    nameless = 0
    guard filters.host != nil else { return }
    let query = try QueryHeader.parse(Standing.namelessBypasses, file: "standing")
    var limits = filters
    (limits.paths, limits.outcomes) = ([], [])
    let arguments = try limits.arguments(for: query, in: store)
    // Mostly there is no such destination, and no flow need be looked at.
    let host = ["host": arguments["host"] ?? .null]
    guard try store.value("select exists (\(Standing.namelessDestinations))", arguments: host)?.integer == 1 else {
      return
    }
    nameless = try store.value(query.sql, arguments: arguments)?.integer ?? 0
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
