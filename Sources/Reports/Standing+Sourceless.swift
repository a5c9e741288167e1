internal import FlowStore

// Flows of which nobody knows who sent them, where a source is asked about.

extension Standing {
  /// Counts what stands against an all-clear and shows no client but the word of a header: it may be of the source asked about,
  /// whatever the header says. A line without addresses (nothing was connected) is an example, or that of a gateway which
  /// trusts `X-Forwarded-For`.
  mutating func countSourceless(in store: FlowReader, filters: Filters, usingTallies: Bool = true) throws {
    sourceless = 0
    // To find out who every source is takes long, and mostly all show an address.
    guard let source = filters.source, try store.value(Standing.showsNoAddress)?.integer == 1 else { return }
    let nobodys = try Filters.sources(by: source, in: store).nobodys
    guard !nobodys.isEmpty else { return }
    let query = try QueryHeader.parse(Standing.findings, file: "standing")
    var limits = filters
    (limits.source, limits.paths, limits.outcomes) = (nil, [], [])
    var arguments = try limits.arguments(for: query, in: store)
    arguments["sources"] = Standing.list(nobodys)
    let found = try Standing.found(query, arguments, in: store, usingTallies: usingTallies)
    for (what, _, flows) in found.rows where what != nil && what != "allowed" { sourceless += flows }
  }

  private static let showsNoAddress = """
    select exists (
      select 1
      from source
      where (client_forwarded = 1 or client_ip is null)
        and (proxy_ip is null or shape not like 'outbound%' and shape <> 'not-sent')
        -- What comes in to a pod leaves nothing.
        and shape not in ('inbound', 'side-log')
    )
    """

  static func sentence(ofSourceless count: Int64) -> String {
    "\(Quantities.grouped(count)) \(count == 1 ? "flow" : "flows") around the egress gateway, or on a way that nothing proves, of which at most a header tells the source"
  }
}
