internal import FlowStore

// Flows of which only the address is known, or not even that, where they may have gone to the host asked about.

/// Destinations without a name, or with one that the client alone chose, that may be the host asked about. One address serves many
/// names, and one wildcard many hosts: that it was this one nothing proves, nor that it was not.
struct NamelessDestinations {
  /// Why they may be.
  enum Ground: Int, CaseIterable {
    /// Other lines show the host at their address.
    case shownAddress
    /// They were reached by the cluster of a ServiceEntry for a wildcard that covers the host (`outbound|443||*.pay.example`).
    case wildcard
    /// Their lines show no address either: they may be anywhere.
    case noAddress
  }

  /// Row ids of each ground; none is of two.
  private(set) var ids: [Ground: [Int64]] = [:]

  /// None: whoever asks about no host is told of all flows anyway.
  init() {}

  init(of host: String, in store: FlowReader) throws {
    let host = host.lowercased()
    let shown = try NamelessDestinations.shown(for: host, in: store)
    let covering = try NamelessDestinations.wildcards(for: host, in: store)
    let known = Set(shown)
    ids[.shownAddress] = shown
    ids[.wildcard] = covering.filter { !known.contains($0) }
    try store.query(NamelessDestinations.withoutAddress) { row in
      if let id = row[0].integer { ids[.noAddress, default: []].append(id) }
    }
  }

  /// All of them, as a JSON list.
  var list: Value { Standing.list(ids.values.flatMap(\.self).sorted()) }

  /// The grounds as the groups of a tally, by row id.
  var groups: [Int32] {
    var groups = Array(
      repeating: Int32(-1), count: Int(min(ids.values.joined().max() ?? -1, Int64(ShownAlike.maxID) - 1) + 1))
    for (ground, ids) in ids {
      for id in ids where id < groups.count { groups[Int(id)] = Int32(ground.rawValue) }
    }
    return groups
  }

  private static func shown(for host: String, in store: FlowReader) throws -> [Int64] {
    var ids: [Int64] = []
    try store.query(atShownAddress, arguments: ["host": .text(host)]) { row in
      if let id = row[0].integer { ids.append(id) }
    }
    return ids
  }

  private static func wildcards(for host: String, in store: FlowReader) throws -> [Int64] {
    var ids: [Int64] = []
    try store.query(byWildcard, arguments: ["host": .text(host)]) { row in
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

  /// What the client wrote into `Host` or SNI is no name either, unless the proxy looked it up: then it reached another address
  /// than the one that was dialled. What was dialled for the host is an address of it, too: who dials by name asked the DNS, and
  /// the gateway, which asks again, may have been told another one.
  private static let atShownAddress = """
    with asked as materialized (
      select id from destination_name where name glob :host
    ),
    shown as materialized (
      select upstream_ip as ip from destination where id in asked and upstream_ip is not null
      union
      select dialled_ip from destination where id in asked and dialled_ip is not null
    )
    select n.id
    from destination n
    where (
        n.host is null
        or n.host_origin = 'address'
        or n.host_origin in ('authority', 'sni')
          -- Lines of Envoy: nginx and Squid, which log neither, look names up.
          and (n.cluster is not null or n.dialled_ip is not null)
          and coalesce(n.cluster, '') <> 'AllowAnyDynamicDNSCluster'
          and (n.dialled_ip is null or n.dialled_ip = coalesce(n.upstream_ip, n.dialled_ip))
      )
      -- A line without the address that was reached may still tell of the one that was wanted.
      and coalesce(n.upstream_ip, n.dialled_ip, n.host) in shown
      and n.id not in asked
    order by n.id
    """

  /// A waypoint's clusters are `inbound-vip|PORT|SUBSET|HOST`.
  private static let isOfWildcard = "(n.cluster glob 'outbound|*|[*]*' or n.cluster glob 'inbound-vip|*|[*]*')"

  private static let byWildcard = """
    select n.id, n.cluster
    from destination n
    where (n.host is null or n.host_origin = 'address')
      and \(isOfWildcard)
      and n.id not in (select id from destination_name where name glob :host)
    order by n.id
    """

  /// A wildcard says at least which hosts it does not cover.
  private static let withoutAddress = """
    select n.id
    from destination n
    where n.host is null
      and n.upstream_ip is null
      and n.dialled_ip is null
      and coalesce(\(isOfWildcard), 0) = 0
    order by n.id
    """
}

extension Standing {
  /// Flows to such destinations that stand against an all-clear, by what is said of them.
  struct Nameless: Equatable {
    var ground: NamelessDestinations.Ground
    /// They went around the gateway; else nothing proves which way they took.
    var isBypass: Bool
    var flows: Int64
  }

  /// Counts them, in the order in which they are told of.
  mutating func countNameless(
    _ destinations: NamelessDestinations, in store: FlowReader, filters: Filters, usingTallies: Bool = true
  ) throws {
    nameless = []
    // Mostly there is no such destination, and no flow need be looked at.
    guard destinations.ids.values.contains(where: { !$0.isEmpty }) else { return }
    let query = try QueryHeader.parse(Standing.namelessFlows, file: "standing")
    var limits = filters
    (limits.host, limits.paths, limits.outcomes) = (nil, [], [])
    var arguments = try limits.arguments(for: query, in: store)
    var counts: [NamelessDestinations.Ground: (bypasses: Int64, unproven: Int64)] = [:]
    func add(_ word: String?, _ flows: Int64, _ ground: NamelessDestinations.Ground) {
      switch word {
      case nil, "allowed": break
      case "bypass": counts[ground, default: (0, 0)].bypasses += flows
      default: counts[ground, default: (0, 0)].unproven += flows
      }
    }
    if usingTallies, let tally = try Standing.tally(destinations, arguments, in: store) {
      for group in tally.groups {
        guard let ground = NamelessDestinations.Ground(rawValue: group.destination) else { continue }
        add(tally.verdicts[group.verdict][0].text, group.flows, ground)
      }
    } else {
      for (ground, ids) in destinations.ids where !ids.isEmpty {
        arguments["destinations"] = Standing.list(ids)
        try store.query(query.sql, arguments: arguments) { add($0[0].text, $0[1].integer ?? 0, ground) }
      }
    }
    for ground in NamelessDestinations.Ground.allCases {
      guard let (bypasses, unproven) = counts[ground] else { continue }
      if bypasses > 0 { nameless.append(Nameless(ground: ground, isBypass: true, flows: bypasses)) }
      if unproven > 0 { nameless.append(Nameless(ground: ground, isBypass: false, flows: unproven)) }
    }
  }

  static func list(_ ids: [Int64]) -> Value { .text("[" + ids.map(String.init).joined(separator: ",") + "]") }

  private static func tally(
    _ destinations: NamelessDestinations, _ arguments: [String: Value], in store: FlowReader
  ) throws -> Tally? {
    var request = try TalliedAnswer.placeless(arguments, store)
    request.destinationGroups = destinations.groups
    return try store.tally(request, words: TalliedFindings.words)
  }

  /// What is said of so many.
  static func sentence(of nameless: Nameless, host: String) -> String {
    let isOne = nameless.flows == 1
    let flows = "\(Quantities.grouped(nameless.flows)) \(isOne ? "flow" : "flows")"
    let subject = flows + (nameless.isBypass ? " around the egress gateway" : " on a way that nothing proves")
    return switch nameless.ground {
    case .shownAddress:
      "\(subject) under no name, or one that the client wrote, to an address that other lines show for \(TerminalText.safe(host))"
    case .wildcard:
      "\(subject) without a name, by a cluster for a wildcard that covers \(TerminalText.safe(host))"
    case .noAddress:
      "\(subject) whose \(isOne ? "line shows" : "lines show") neither a name nor an address, and may be of any host"
    }
  }

  private static let namelessFlows = """
    -- title: Flows without a name to what may be a host, by what stands against an all-clear
    -- parameter: since_ms      first millisecond to include (Unix time)
    -- parameter: until_ms      first millisecond no longer included
    -- parameter: sources       JSON list of source ids
    -- parameter: destinations  JSON list of destination ids
    select
      \(proofWord("j")) as what,
      count(*) as flows
    from judged_flow j
    where j.duplicate_view = 0
      and j.destination_id in (select value from json_each(:destinations))
      and (:since_ms is null or j.started_at_ms >= :since_ms)
      and (:until_ms is null or j.started_at_ms < :until_ms)
      and (:sources is null or j.source_id in (select value from json_each(:sources)))
    group by what
    order by what
    """
}
