public import FlowStore
public import Flows

/// What is asked about: the limits that all reports share, as the parameters their SQL declares.
///
/// | parameter | value |
/// |---|---|
/// | `since_ms` | first millisecond to include (Unix time) |
/// | `until_ms` | first millisecond no longer included |
/// | `host` | glob over what the view `destination_name` knows a destination by, lower case |
/// | `sources` | JSON list of the row ids of the sources meant |
/// | `path`, `outcome` | comma list of words |
///
/// One that is not set is NULL: no limit.
public struct Filters: Sendable, Equatable {
  public var sinceMs: Int64?
  public var untilMs: Int64?
  /// A glob; host names are stored in lower case.
  public var host: String?
  public var source: SourcePattern?
  public var paths: [Path] = []
  public var outcomes: [OutcomeKind] = []

  public init() {}

  /// Names and values as typed, for headings.
  public var described: [(name: String, value: String)] {
    var list: [(String, String)] = []
    if let sinceMs { list.append(("since", Quantities.iso(sinceMs))) }
    if let untilMs { list.append(("until", Quantities.iso(untilMs))) }
    if let host { list.append(("host", host)) }
    if let source { list.append(("source", source.text)) }
    if !paths.isEmpty { list.append(("path", paths.map(\.rawValue).joined(separator: ","))) }
    if !outcomes.isEmpty { list.append(("outcome", outcomes.map(\.rawValue).joined(separator: ","))) }
    return list
  }

  /// The arguments of `query`; a filter that is set and that the query does not take is an error, never ignored.
  public func arguments(for query: Query, in store: FlowReader) throws -> [String: Value] {
    var arguments: [String: Value] = [:]
    func set(_ parameter: String, _ value: Value?, option: String) throws(ReportError) {
      guard query.takes(parameter) else {
        guard value == nil else {
          throw ReportError("report \(query.name) has no filter --\(option)", help: "leave --\(option) out")
        }
        return
      }
      arguments[parameter] = value ?? .null
    }
    try set("since_ms", sinceMs.map { .integer($0) }, option: "since")
    try set("until_ms", untilMs.map { .integer($0) }, option: "until")
    try set("host", host.map { .text($0.lowercased()) }, option: "host")
    try set("path", paths.isEmpty ? nil : .text(paths.map(\.rawValue).joined(separator: ",")), option: "path")
    try set(
      "outcome", outcomes.isEmpty ? nil : .text(outcomes.map(\.rawValue).joined(separator: ",")), option: "outcome")
    let ids = try query.takes("sources") ? source.map { try Filters.ids(of: $0, in: store) } : source.map { _ in [] }
    try set("sources", ids.map { .text("[" + $0.map(String.init).joined(separator: ",") + "]") }, option: "source")
    return arguments
  }

  /// The sources whose workload, pod or address the pattern means, and those whose sender it means. The pod of a sidecar is
  /// known by the proxy's own address, which no client can write; the logged client address counts only where it was not
  /// taken from a header.
  static func ids(of pattern: SourcePattern, in store: FlowReader) throws -> [Int64] {
    try sources(by: pattern, in: store).meant
  }

  /// The same, and those beside them of which nobody knows whose they are: what they show is a header's word.
  static func sources(
    by pattern: SourcePattern, in store: FlowReader
  ) throws -> (meant: [Int64], nobodys: [Int64]) {
    let sql = """
      select
        id,
        case when client_forwarded = 0 then client_ip end as client,
        case when shape like 'outbound%' or shape = 'not-sent' then proxy_ip end as proxy,
        :glob is not null and (
          name glob :glob
          -- One of several who had the address.
          or name glob :glob || ' or *'
          or name glob '* or ' || :glob
          or name glob '* or ' || :glob || ' or *'
          or (client_forwarded = 0 and client_ip glob :glob)
          or ((shape like 'outbound%' or shape = 'not-sent') and proxy_ip glob :glob)
        ) as is_named,
        :glob is not null
          -- Whose log it is, where that may be the client's pod.
          and (
            pod is not null
            or shape not in ('gateway', 'gateway-to-loopback', 'waypoint', 'inbound', 'server', 'side-log')
          )
          and (written_by glob :glob or written_by glob '*/' || :glob) as is_of_pod,
        pod,
        name,
        sender
      from named_source
      order by id
      """
    var ids: Set<Int64> = []
    var sent: [(id: Int64, sender: Int64)] = []
    // A pod's lines may also stand in a log that does not know it: there, its addresses are all there is, or its workload.
    var addresses: Set<String> = []
    var workloads: Set<String> = []
    var others: [(id: Int64, addresses: [String], name: String?)] = []
    // A line that shows no address may still be known by the log of the pod that wrote it.
    var pods: Set<String> = []
    var hidden: [(id: Int64, pod: String)] = []
    var podsWithAddress: Set<String> = []
    var nobodys: [Int64] = []
    try store.query(sql, arguments: ["glob": pattern.isNetwork ? .null : .text(pattern.text)]) { row in
      guard let id = row[0].integer else { return }
      if let sender = row[7].integer { sent.append((id, sender)) }
      let own = [row[1].text, row[2].text].compactMap(\.self)
      let isMeant =
        pattern.isNetwork ? own.contains(where: pattern.contains) : row[3].integer == 1 || row[4].integer == 1
      let (isInPod, name) = (row[5].text != nil, row[6].text)
      if let pod = row[5].text {
        if !own.isEmpty { podsWithAddress.insert(pod) } else if !isMeant { hidden.append((id, pod)) }
      }
      if own.isEmpty, !isInPod, name == nil, !isMeant, row[7].isNull { nobodys.append(id) }
      if isMeant {
        ids.insert(id)
        if let pod = row[5].text, row[2].text != nil { pods.insert(pod) }
        guard isInPod || pattern.isNetwork || row[3].integer == 1 else { return }
        // Loopback is each pod's own.
        addresses.formUnion(own.filter { $0 != "::1" && !$0.hasPrefix("127.") && IPAddress($0) != nil })
        if row[4].integer == 1, row[3].integer != 1, let name { workloads.insert(name) }
      } else if !isInPod {
        others.append((id, own, name))
      }
    }
    for other in others where other.addresses.contains(where: addresses.contains) {
      if other.name.map({ name in workloads.contains { name.contains($0) } }) ?? true { ids.insert(other.id) }
    }
    let named = try TopologyPods(named: pattern, in: store)
    for other in others where other.addresses.contains(where: named.addresses.contains) && named.mayBe(other.name) {
      ids.insert(other.id)
    }
    if pattern.meansAddresses, hidden.contains(where: { !podsWithAddress.contains($0.pod) }) {
      let known = try Filters.pods(by: pattern, in: store)
      pods.formUnion(known.meant)
      // Nobody knows the pod's address, and it may be the one asked for.
      nobodys += hidden.filter { !podsWithAddress.contains($0.pod) && !known.all.contains($0.pod) }.map(\.id)
    }
    for source in hidden where pods.contains(source.pod) { ids.insert(source.id) }
    for (id, sender) in sent where ids.contains(sender) { ids.insert(id) }
    return (ids.sorted(), nobodys.filter { !ids.contains($0) })
  }

  /// The pods of the imported topology, `namespace/name`: those with an address that is meant, and all with any.
  private static func pods(
    by pattern: SourcePattern, in store: FlowReader
  ) throws -> (meant: Set<String>, all: Set<String>) {
    let sql = """
      select o.namespace || '/' || o.name, a.value, :glob is not null and a.value glob :glob
      from topology_object o
      join json_each(o.addresses) a
      where o.kind = 'pod'
        and o.host_network = 0
      order by 1, 2
      """
    var (meant, all): (Set<String>, Set<String>) = ([], [])
    try store.query(sql, arguments: ["glob": pattern.isNetwork ? .null : .text(pattern.text)]) { row in
      guard let pod = row[0].text, let address = row[1].text else { return }
      all.insert(pod)
      if pattern.isNetwork ? pattern.contains(address) : row[2].integer == 1 { meant.insert(pod) }
    }
    return (meant, all)
  }
}

/// The pods of the imported topology that a pattern names, `namespace/name` or the name alone: their addresses may stand in a log that
/// does not know the pod, the second one of a dual-stack pod or the one that a StatefulSet's pod came back with.
private struct TopologyPods {
  private(set) var addresses: Set<String> = []
  /// What sources with these addresses are named after the pods.
  private var workloads: Set<String> = []
  private var otherWorkloads: Set<String> = []

  init(named pattern: SourcePattern, in store: FlowReader) throws {
    guard !pattern.isNetwork else { return }
    let sql = """
      select
        o.namespace || '/' || coalesce(o.workload, o.name) as workload,
        o.namespace || '/' || o.name glob :glob or o.namespace || '/' || o.name glob '*/' || :glob as is_meant,
        a.value
      from topology_object o
      join json_each(o.addresses) a
      where o.kind = 'pod'
        and o.host_network = 0
      order by o.id
      """
    try store.query(sql, arguments: ["glob": .text(pattern.text)]) { row in
      guard let workload = row[0].text, let address = row[2].text else { return }
      guard row[1].integer == 1 else {
        otherWorkloads.insert(workload)
        return
      }
      workloads.insert(workload)
      addresses.insert(address)
    }
  }

  /// Whether a source with one of the addresses may be one of the pods: another pod may have had it at another time. What is named after no
  /// pod at all, the policy named.
  func mayBe(_ name: String?) -> Bool {
    guard let name else { return true }
    return workloads.contains { name.contains($0) } || !otherWorkloads.contains(name)
  }
}
