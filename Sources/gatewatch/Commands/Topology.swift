public import ArgumentParser
internal import EgressPolicy
internal import FlowStore
public import Flows
internal import Ingestion
internal import Reports

/// `gatewatch topology`: what the cluster says of itself, as evidence beside the logs and the policy.
struct TopologyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "topology",
    abstract: "The cluster's own word: names for addresses, gateways, and which pods carry no sidecar.",
    discussion: """
      Optional. Logs know addresses; the cluster knows whose they were. A snapshot is what kubectl prints, and any \
      part of it helps:

        kinds=pods,services,endpointslices,nodes,namespaces,networkpolicies.networking.k8s.io
        kinds=$kinds,gateways.networking.istio.io,telemetries.telemetry.istio.io
        kinds=$kinds,serviceentries.networking.istio.io,destinationrules.networking.istio.io
        kubectl get $kinds -A -o json > cluster.json
        gatewatch topology import cluster.json
        gatewatch report opted-out

      Name the kinds with their groups: "gateways" may be those of the Gateway API (gateways.gateway.networking.k8s.io, \
      worth adding where it is installed). Leave out what the cluster does not have: kubectl writes nothing then.

      Take one from time to time, best from cron: addresses of pods are given to others when pods go.
      """,
    subcommands: [TopologyImport.self, TopologyShow.self])
}

/// `gatewatch topology import FILE...`.
struct TopologyImport: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Read snapshots of the cluster; the same one twice changes nothing, their order does not matter.",
    discussion: """
      Files are what `kubectl get ... -A -o json` writes, plain or gzipped; a file may hold some of the kinds only. \
      A file of one namespace says nothing about the others; do not select by labels (-l), or whoever is left out \
      counts as gone. One object alone (kubectl get pod NAME) says nothing of the others. The snapshot's time is --at, else the newest time the cluster wrote into it (nodes carry \
      fresh ones), else the file's.

      What the policy declares comes first. The topology never turns a public address into the mesh or a gateway, \
      and what it only suggests is listed by: gatewatch report unproven.

      Secrets and other kinds are counted and not stored. Exit codes: 0 all files were read, 1 some were not (the others \
      are stored), 2 the database failed, 3 another run holds it.

        gatewatch topology import cluster.json pods-of-yesterday.json.gz
        kubectl get pods -A -o json | gatewatch topology import -
      """)

  @Argument(help: "Files that kubectl wrote (plain or gzipped), or - for standard input.")
  var files: [String]

  @Option(
    help: ArgumentHelp(
      "When the snapshots were taken: 1h (ago), 2026-11-01, 2026-11-01T10:00:00Z. One time for all files.",
      valueName: "time"))
  var at: String?

  @OptionGroup var store: StoreOptions

  func validate() throws {
    guard !files.isEmpty else { throw ValidationError("name the files to read, or - for standard input") }
  }

  func run() throws {
    var hasFailed = false
    var exit: Int32 = 0
    try Terminal.exiting(with: IngestCommand.storeFailed) {
      let now = Terminal.now
      let atMs = try at.map { try TimeExpression.parse($0, as: .since, now: now) }
      let policy = try store.policy.map { try StoreAccess.policy(file: $0) }
      do {
        let flowStore = try FlowStore(path: store.database, wait: .seconds(store.wait))
        defer { flowStore.close() }
        for file in files {
          do {
            let snapshot = try TopologyFile.read(file, atMs: atMs, nowMs: now)
            let change = try flowStore.add(snapshot)
            try Terminal.write(TopologyImport.line(snapshot, change))
          } catch let error as StoreError {
            throw error
          } catch {
            Terminal.complain("\(error)")
            hasFailed = true
          }
        }
        if let policy { try StoreAccess.keep(policy, file: store.policy, in: flowStore) }
        let judgedBy = try policy?.policy ?? StoreAccess.storedPolicy(flowStore)
        try Rejudge.runAndNoteSigns(store: flowStore, policy: judgedBy)
        try flowStore.commit()
      } catch StoreError.locked(let path, let pid) {
        Terminal.complain(StoreError.locked(path: path, pid: pid).description)
        exit = IngestCommand.storeIsHeld
      }
    }
    if exit == 0, hasFailed { exit = 1 }
    if exit != 0 { throw ExitCode(exit) }
  }

  /// One line per file, and one more where the reader should know something.
  private static func line(_ snapshot: ClusterSnapshot, _ change: TopologyChange) -> String {
    let file = TerminalText.safe(snapshot.file == "-" ? "standard input" : snapshot.file)
    let moment = "\(Quantities.iso(snapshot.atMs, showsMilliseconds: false)) (\(snapshot.timeFrom))"
    let kinds = snapshot.kinds.sorted { ($0.value, $1.key) > ($1.value, $0.key) }
      .map { "\($0.value) \(TerminalText.safe($0.key))" }
    let used = snapshot.objects.count
    let total = snapshot.kinds.values.reduce(0, +)
    var text = "\(file): \(moment): \(kinds.isEmpty ? "no objects" : kinds.joined(separator: ", "))"
    if used < total { text += "; \(total - used) of no use here" }
    text += change.isKnown ? "; known already\n" : "; \(change.newObjects) new\n"
    if change.sharesMoment {
      text +=
        "\(file): another snapshot of this time differs from it; objects of either count as there (--at tells them apart)\n"
    }
    text += snapshot.objects.map { unreadAddresses(of: $0, file) }.joined()
    if total == 1, let object = snapshot.objects.first, object.kind.isNamespaced, !snapshot.scopes.isEmpty,
      !change.isKnown
    {
      let kind = TerminalText.safe(object.kind.rawValue)
      text +=
        "\(file): every other \(kind) of \(TerminalText.safe(object.namespace)) counts as gone from this time on: the file holds one alone\n"
    }
    return text
  }

  /// Traffic there counts as to nobody in particular.
  private static func unreadAddresses(of object: ClusterObject, _ file: String) -> String {
    let unread = object.traits.filter { $0.hasPrefix(ClusterObject.unreadAddress + "=") }
      .map { $0.dropFirst(ClusterObject.unreadAddress.count + 1) }
    guard !unread.isEmpty else { return "" }
    let name = TerminalText.safe("\(object.namespace)/\(object.name)")
    return
      "\(file): ServiceEntry \(name): left out, for it is no address: \(TerminalText.safe(unread.joined(separator: ", ")))\n"
  }
}

/// `gatewatch topology show`.
struct TopologyShow: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "What was imported: pods, Services, nodes, gateways, with their addresses and times.",
    discussion: """
      One line per object and time it was seen without a gap. Pods say whether they carry a sidecar, and how they keep traffic \
      away from it.

        gatewatch topology show --kind pod --address 10.80.3.11
        gatewatch topology show --kind service --name 'istio-*' --format json
      """)

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Kind; may be repeated.",
      valueName: "kind"))
  var kind: [ClusterObject.Kind] = []

  @Option(help: ArgumentHelp("Only this namespace.", valueName: "name"))
  var namespace: String?

  @Option(help: ArgumentHelp("Name or workload, with * and ? as wildcards.", valueName: "glob"))
  var name: String?

  @Option(help: ArgumentHelp("Only what has this address.", valueName: "ip"))
  var address: String?

  @Option(help: ArgumentHelp("Only what was there at this time: 1h (ago), 2026-11-01T10:00:00Z.", valueName: "time"))
  var at: String?

  @OptionGroup var output: OutputOptions
  @OptionGroup var database: DatabaseOption

  func validate() throws {
    if let address, IPAddress(address) == nil { throw ValidationError("--address takes an IP address") }
  }

  func run() throws {
    try Terminal.exiting {
      let atMs = try at.map { try TimeExpression.parse($0, as: .since, now: Terminal.now) }
      let reader = try FlowReader(path: database.path)
      defer { reader.close() }
      let format = output.format ?? .table
      var appearance = Terminal.appearance
      appearance.keepsCSVRaw = output.keepsCSVRaw
      var renderer = format.renderer(appearance, to: Terminal.write)
      try renderer.begin(TopologyShow.heading)
      let limit = output.limit(for: format, unlimited: false) ?? .max
      var shown = 0
      var total = 0
      try reader.query(
        TopologyShow.sql,
        arguments: [
          "kinds": kind.isEmpty ? .null : .text(kind.map(\.rawValue).joined(separator: ",")),
          "namespace": Value(namespace), "name": Value(name), "at": Value(atMs),
          "address": Value(address.flatMap { IPAddress($0)?.description }),
        ]
      ) { row in
        total += 1
        guard shown < limit else { return }
        shown += 1
        try renderer.row(row)
      }
      var notes: [String] = []
      if total > shown { notes.append("\(total - shown) more; --limit 0 shows all") }
      if total == 0 { notes.append("nothing imported matches; see: gatewatch topology import --help") }
      try renderer.end(Footing(notes: notes))
    }
  }

  private static let heading = Heading(
    name: "topology", title: "What was imported of the cluster",
    columns: [
      .init(name: "kind", kind: .text), .init(name: "namespace", kind: .text), .init(name: "name", kind: .text),
      .init(name: "workload", kind: .text, text: "what outlives the pod"),
      .init(name: "addresses", kind: .text), .init(name: "proxy", kind: .text, text: "sidecar, router, none, ..."),
      .init(name: "notes", kind: .text, text: "opt-outs, hosts and settings"),
      .init(name: "started", kind: .first, text: "its start, where the cluster says it"),
      .init(name: "first_seen", kind: .first, text: "first snapshot with it"),
      .init(name: "last_seen", kind: .last, text: "last snapshot with it"),
    ])

  private static let sql = """
    select
      o.kind,
      nullif(o.namespace, '') as namespace,
      o.name,
      o.workload,
      (select group_concat(value, ' ') from json_each(o.addresses)) as addresses,
      o.proxy,
      nullif(trim(
        coalesce((select group_concat(value, ' ') from json_each(o.opt_outs)), '')
          || ' ' || coalesce((select group_concat(value, ' ') from json_each(o.hosts)), '')
          || ' ' || coalesce((select group_concat(value, ' ') from json_each(o.traits)), '')), '') as notes,
      o.started_ms,
      s.first_ms,
      s.last_ms
    from topology_object o
    join topology_sighting s on s.object = o.id
    where (:kinds is null or instr(',' || :kinds || ',', ',' || o.kind || ',') > 0)
      and (:namespace is null or o.namespace = :namespace)
      and (:name is null or o.name glob :name or o.workload glob :name)
      -- As verdicts have it; what has no address of its own, from its start until a snapshot does not hold it any more.
      and (
        :at is null
        or exists (
          select 1
          from json_each(o.addresses) a
          where o.kind = 'pod'
            and o.host_network = 0
            and (o.namespace, o.name, o.proxy, coalesce(o.started_ms, 0), a.value) in (
              select p.namespace, p.name, p.proxy, coalesce(p.started_ms, 0), h.address
              from pod_address h
              join pod_life p on p.id = h.life
              where h.from_ms <= :at
                and coalesce(h.until_ms, :at + 1) > :at
            )
        )
        or (
          (o.kind <> 'pod' or o.host_network = 1 or o.addresses = '[]')
          and min(coalesce(o.started_ms, s.first_ms), s.first_ms) <= :at
          and coalesce(o.ended_ms, case o.traits when '["end-unknown"]' then s.first_ms end, :at + 1) > :at
          and not exists (
            select 1
            from topology_moment m
            where m.kind = o.kind
              and (m.namespace is null or m.namespace = o.namespace)
              and m.at_ms > s.last_ms
              and m.at_ms <= :at
          )
        )
      )
      and (:address is null or exists (select 1 from json_each(o.addresses) where value = :address))
    order by o.kind, o.namespace, o.name, s.first_ms, o.id
    """
}

extension ClusterObject.Kind: ExpressibleByArgument {}
