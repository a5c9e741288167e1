internal import FlowStore

/// Whether the built-in alert query about names and addresses can find anything in the flows since the last run.
///
/// Mostly it cannot, and to work out what proxies know of every name takes longer than all else that a run asks. So this looks at
/// the few destinations that new flows went to, by conditions that are wider than those of the view suspicious_destination and
/// never narrower: where they hold, the query decides. Hints are left out, for the query leaves them out.
enum SuspicionOutlook {
  /// - Parameter after: the flow up to which all was looked at.
  /// - Returns: true as well for every other query.
  static func isOpen(for query: Query, after: Int64, in store: FlowReader) throws -> Bool {
    guard query.isBuiltIn, query.name == "suspicious" else { return true }
    return try store.value(sql, arguments: ["after": .integer(after)])?.integer != 0
  }

  /// Whether proxies are seen to find a name at an address that they were not known to find it at: for such a name, an address that
  /// a client chose long ago may have become odd. Wider, too, than what the view goes by.
  /// - Parameter destination: the last one that was known before.
  static func knowsMore(since destination: Int64, in store: FlowReader) throws -> Bool {
    try store.value(later, arguments: ["destination": .integer(destination)])?.integer != 0
  }

  /// Of a destination `d`: it may tell where proxies find its name.
  private static let findsName = """
    d.upstream_ip is not null
    and (
      d.cluster is null
      or d.upstream_ip is not d.dialled_ip
      or d.cluster in (select o.cluster from destination o where o.upstream_ip <> o.dialled_ip)
    )
    """

  private static let later = """
    select exists (
      select 1
      from destination d
      where d.id > :destination
        and \(findsName)
        and d.host in (
          select c.host
          from destination c
          where c.host_origin in ('authority', 'sni')
            and c.upstream_ip = c.dialled_ip
            and c.upstream_port = c.dialled_port
            and c.cluster is not null
            and c.host glob '*.*'
        )
    )
    """

  /// Either a new flow's own destination shows it: two names, an address or odd characters where a name is looked for. Or its
  /// client chose the address for a name of which some destination may tell where proxies find it.
  private static let sql = """
    with recent as materialized (
      select distinct destination as id
      from flow
      where id > :after
    )
    select
      exists (
        select 1
        from recent r
        join destination d on d.id = r.id
        where d.authority <> rtrim(d.sni, '.')
          or d.authority not glob '*[^0-9a-f:.]*'
          or d.sni not glob '*[^0-9a-f:.]*'
          or d.sni glob '*[^a-z0-9._:*-]*'
      )
      or exists (
        select 1
        from destination d
        where \(findsName)
          and d.host in (
            select c.host
            from recent r
            join destination c on c.id = r.id
            where c.host_origin in ('authority', 'sni')
              and c.upstream_ip = c.dialled_ip
              and c.cluster is not null
          )
      )
    """
}
