@testable import EgressPolicy
import Flows
import Testing

/// What snapshots of the cluster add to the lines and to the policy.
@Suite("Evidence of the topology")
struct TopologyEvidenceTests {
  static let gatewayCluster = "outbound|443||istio-egressgateway.istio-system.svc.cluster.local"

  /// Objects that stood in every snapshot from 1,000 s on; moments in seconds.
  func cluster(_ objects: [ClusterObject], seen: (Int64, Int64) = (1_000, 1_000), moments: [Int64] = [1_000])
    -> ClusterRecord
  {
    var record = ClusterRecord()
    record.add(objects, from: seen.0, until: seen.1)
    record.look(at: moments)
    return record
  }

  func facts(_ record: ClusterRecord, policy: String? = nil, log: (Int64, Int64) = (0, 10_000)) -> Facts {
    let facts = Facts(policy: policy)
    facts.topology = record
    facts.logs = (1...4).map { LogSpan(log: $0, firstMs: log.0 * 1000, lastMs: log.1 * 1000) }
    return facts
  }

  // MARK: Gateways

  static func egressGateway(_ address: String = "10.80.3.232", started: Int64? = 0) -> [ClusterObject] {
    var pod = ClusterObject.pod("istio-egressgateway-1", in: "istio-system", address, proxy: .router, started: started)
    pod.workload = "istio-egressgateway"
    pod.labels = ["istio": "egressgateway", "app": "istio-egressgateway"]
    var gateway = ClusterObject(kind: .gateway, namespace: "istio-system", name: "g")
    gateway.labels = ["istio": "egressgateway"]
    var service = ClusterObject(kind: .service, namespace: "istio-system", name: "istio-egressgateway")
    service.labels = ["istio": "egressgateway"]
    service.traits = ["type=ClusterIP"]
    service.hosts = ["istio-egressgateway.istio-system.svc.cluster.local"]
    service.addresses = ["10.96.0.7"]
    return [pod, gateway, service]
  }

  @Test("a gateway that configuration selects is the gateway without any assumption")
  func certainGateway() {
    let facts = facts(cluster(Self.egressGateway()))
    facts.add(sidecar(), to("10.80.3.232:8443", cluster: Self.gatewayCluster))
    facts.add(gateway("10.80.3.232"), to("203.0.113.5:443", cluster: "outbound|443||a.example"))
    #expect(facts.route(0).rule == "gateway-topology")
    #expect(facts.route(0).path == .gateway && facts.route(0).assumption == nil)
    #expect(facts.route(1).path == .gateway && facts.route(1).assumption == nil)
    #expect(facts.judgement().assumptions.isEmpty)
  }

  @Test("the address of the gateway's Service leads to the gateway")
  func gatewayService() {
    let facts = facts(cluster(Self.egressGateway()))
    facts.add(sidecar(), to("10.96.0.7:443", cluster: "PassthroughCluster"))
    #expect(facts.route(0).rule == "gateway-topology" && facts.route(0).assumption == nil)
  }

  @Test("what was gone before the first line is of no line: nodes, Services, machines, and what made a pod a gateway")
  func goneBefore() {
    var node = ClusterObject(kind: .node, namespace: "", name: "worker-9")
    node.addresses = ["10.90.0.99"]
    var service = ClusterObject(kind: .service, namespace: "shop", name: "old")
    service.addresses = ["10.96.9.99"]
    service.labels = ["app": "old"]
    var machine = ClusterObject(kind: .workloadEntry, namespace: "shop", name: "vm")
    machine.addresses = ["10.50.7.7"]
    let objects = [node, service, machine] + Self.egressGateway(started: nil)
    let addresses = ["10.90.0.99", "10.96.9.99", "10.50.7.7", "10.96.0.7", "10.80.3.232"]
    for (looks, paths) in [
      ([1_000], [Path.internal, .internal, .internal, .gateway, .gateway]),
      // The first look without them came after lines.
      ([1_000, 3_500], [.internal, .internal, .internal, .gateway, .gateway]),
      ([1_000, 2_000], [.unknown, .unknown, .unknown, .unknown, .unknown]),
    ] as [([Int64], [Path])] {
      let facts = facts(cluster(objects, moments: looks), log: (3_000, 9_000))
      for address in addresses {
        facts.add(
          sidecar(), to("\(address):443", cluster: "outbound|443||files.partner.example", dialled: "\(address):443"))
      }
      #expect(addresses.indices.map { facts.route($0).path } == paths, "\(looks)")
    }
  }

  static let outside = to("203.0.113.5:443", cluster: "outbound|443||a.example")

  @Test("a gateway that nobody uses is a known one: who goes straight out goes around it")
  func unusedGateway() {
    let facts = facts(cluster(Self.egressGateway()))
    facts.add(sidecar(), Self.outside)
    #expect(facts.route(0).bypass == .directServiceEntry && facts.route(0).severity == .warning)
    facts.policy = try? policy("sni_proxies: [ { name: sni, addresses: [10.80.3.233] } ]")
    let line = facts.add(nginx(client: "10.80.3.11"), to("203.0.113.5:443"))
    #expect(facts.route(line).claim?.needsGateway == true)
    let none = self.facts(cluster([.pod("web-1", in: "shop", "10.80.3.77")]))
    none.add(sidecar(), Self.outside)
    #expect(none.route(0).severity == .info)
  }

  @Test(
    "a gateway that had gone before the first line is none, one that came later counts for all lines",
    arguments: [((0, 1_500), Severity.warning), ((2_000, 4_000), .warning), ((2_500, 4_000), .info)])
  func unusedGatewayInTime(log: (Int64, Int64), severity: Severity) {
    let record = cluster(Self.egressGateway(started: 900), seen: (1_000, 2_000), moments: [1_000, 2_000, 2_300])
    let facts = facts(record, log: log)
    facts.add(sidecar(), Self.outside)
    #expect(facts.route(0).severity == severity)
  }

  @Test("a gateway that nobody uses, and that is only guessed, makes a bypass graver, and accuses no client of a proxy")
  func unusedGuess() {
    var objects = Self.egressGateway()
    objects.remove(at: 1)
    let facts = facts(cluster(objects))
    facts.add(sidecar(), Self.outside)
    facts.add(nginx(client: "10.80.3.11"), to("203.0.113.5:443"))
    #expect(facts.route(0).severity == .warning)
    #expect(facts.route(1).claim?.needsGateway == false)
    #expect(facts.judgement().assumptions.contains { $0.contains("taken for an egress gateway by its name") })
  }

  /// A gateway with `hostNetwork` on a node that has a Service of another workload, too.
  private func gatewayOnNode() -> [ClusterObject] {
    var objects = Self.egressGateway("10.0.0.5")
    objects[0].isHostNetwork = true
    for (name, address) in [("worker-1", "10.0.0.5"), ("worker-2", "10.0.0.6"), ("worker-3", "10.0.0.7")] {
      var node = ClusterObject(kind: .node, namespace: "", name: name)
      node.addresses = [address]
      objects.append(node)
    }
    var service = ClusterObject(kind: .service, namespace: "monitoring", name: "exporter")
    service.labels = ["app": "exporter"]
    service.hosts = ["exporter.monitoring.svc.cluster.local"]
    return objects + [service]
  }

  @Test(
    "a gateway that has its node's address is one by assumption, with the policy's list or without",
    arguments: [nil, "gateways: [ { name: g, addresses: [10.80.3.1] } ]"])
  func gatewayWithHostNetwork(policy: String?) {
    let facts = facts(cluster(gatewayOnNode()), policy: policy)
    // Whatever cluster leads there, unless it is a Service of something else; and its Service, on whatever node.
    for (address, host, path) in [
      ("10.0.0.5", "edge.team.example", Path.gateway), ("10.0.0.5", "exporter.monitoring.svc.cluster.local", .internal),
      ("10.0.0.6", "istio-egressgateway.istio-system.svc.cluster.local", .gateway),
      ("10.0.0.7", "edge.team.example", .internal),
    ] {
      let route = facts.route(facts.add(sidecar(), to("\(address):8443", cluster: "outbound|443||\(host)")))
      #expect(route.path == path, "\(address) \(host)")
      #expect((route.assumption != nil) == (path == .gateway))
      #expect((route.nextHop == .gateway) == (path == .gateway))
    }
  }

  @Test("a node's address is no gateway's once the gateway has gone, and none that is public or called outside ever is")
  func gatewayWithHostNetworkInTime() {
    var record = cluster(gatewayOnNode(), seen: (1_000, 2_000), moments: [1_000, 2_000])
    record.look(at: [3_000])
    let facts = facts(record)
    facts.add(sidecar(), to("10.0.0.5:8443", cluster: "outbound|443||edge.team.example"))
    #expect(facts.route(0, atMs: 2_500_000).path == .gateway)
    #expect(facts.route(0, atMs: 3_500_000).path == .internal)
    for address in ["2600:1f18::5", "10.0.0.5"] {
      var objects = gatewayOnNode()
      objects[0].addresses = [address]
      objects.removeAll { $0.kind == .node }
      var entry = ClusterObject(kind: .serviceEntry, namespace: "shop", name: "db")
      entry.traits = ["location=MESH_EXTERNAL", "resolution=STATIC"]
      entry.addresses = [address]
      let facts = self.facts(cluster(objects + [entry]))
      var destination = to("10.0.0.5:8443", cluster: "outbound|443||a.example")
      destination.upstream?.ip = address
      facts.add(sidecar(), destination)
      #expect(facts.route(0).bypass == .directServiceEntry, "\(address)")
    }
  }

  // MARK: Sidecars

  @Test("who had an address is known by time: from a pod's start until the next one's, or a look that does not find it")
  func holders() throws {
    var record = ClusterRecord()
    record.add([.pod("web-1", in: "shop", "10.80.3.50", started: 1_000)], from: 1_500, until: 1_500)
    record.add([.pod("job-1", in: "batch", "10.80.3.50", proxy: .none, started: 3_000)], from: 3_500, until: 3_500)
    record.look(at: [1_500, 3_500, 5_000])
    let history = ClusterHistory(record, from: nil)
    let address = try #require(IPAddress("10.80.3.50"))
    for (second, name) in [
      (900, nil), (1_000, "web-1"), (2_999, "web-1"), (3_000, "job-1"), (4_999, "job-1"), (5_000, nil),
    ]
      as [(Int64, String?)]
    {
      let there = history.holders(of: address, from: second * 1000, until: second * 1000)
      #expect(there.map { history.objects[$0.object].name } == [name].compactMap { $0 }, "\(second)")
    }
  }

  /// Who had the address at each of the seconds; the earlier one first, where there are several.
  private func holders(_ record: ClusterRecord, of text: String, at seconds: [Int64]) throws -> [String] {
    let history = ClusterHistory(record, from: nil)
    let address = try #require(IPAddress(text))
    return seconds.map { second in
      history.holders(of: address, from: second * 1000, until: second * 1000)
        .map { history.objects[$0.object].name }.joined(separator: " ")
    }
  }

  @Test("a pod that got another address has it from the look that shows it there, and what it had before until then")
  func otherAddress() throws {
    var record = ClusterRecord()
    record.add(
      [.pod("raw-1", in: "batch", "10.80.3.30", started: 500), .pod("web-2", in: "shop", "10.80.3.15", started: 900)],
      from: 1_000, until: 1_500)
    record.add([.pod("raw-1", in: "batch", "10.80.3.15", started: 500)], from: 2_000, until: 3_000)
    record.look(at: [1_000, 1_500, 2_000, 3_000])
    #expect(
      try holders(record, of: "10.80.3.15", at: [600, 900, 1_999, 2_000, 9_000])
        == ["", "web-2", "web-2", "raw-1", "raw-1"])
    #expect(try holders(record, of: "10.80.3.30", at: [499, 500, 1_999, 2_000]) == ["", "raw-1", "raw-1", ""])
    // Whoever went to a gateway from there before is not known.
    let facts = facts(record, log: (600, 800))
    facts.add(gateway(client: "10.80.3.15"), to("203.0.113.5:443", cluster: "outbound|443||a.example"))
    #expect(name(facts, 0) == nil)
  }

  @Test("a pod that waited for its address has it from the last look without it")
  func pending() throws {
    var waiting = ClusterObject.pod("web-1", in: "shop", "10.80.3.50", started: 900)
    waiting.addresses = []
    var record = ClusterRecord()
    record.add([waiting], from: 1_000, until: 1_000)
    record.add([.pod("web-1", in: "shop", "10.80.3.50", started: 900)], from: 2_000, until: 2_000)
    record.look(at: [1_000, 2_000])
    #expect(try holders(record, of: "10.80.3.50", at: [999, 1_000, 9_000]) == ["", "web-1", "web-1"])
  }

  @Test("two pods of one name are two: the first has no address any more once the second began")
  func namesakes() throws {
    var record = ClusterRecord()
    record.add([.pod("db-0", in: "shop", "10.80.3.50", started: 1_000)], from: 1_500, until: 1_500)
    record.add([.pod("db-0", in: "shop", "10.80.3.51", started: 2_000)], from: 2_500, until: 2_500)
    record.look(at: [1_500, 2_500])
    #expect(try holders(record, of: "10.80.3.50", at: [1_000, 1_999, 2_000]) == ["db-0", "db-0", ""])
    #expect(try holders(record, of: "10.80.3.51", at: [1_999, 2_000, 9_000]) == ["", "db-0", "db-0"])
  }

  @Test(
    "a pod that is over had its address until its end; where that is not told, until the look that shows it over",
    arguments: [(nil, 2_500), (1_800, 1_800), (1_100, 1_500)] as [(Int64?, Int64)])
  func over(ended: Int64?, last: Int64) throws {
    var over = ClusterObject.pod("job-1", in: "batch", "10.80.3.50", started: 1_000)
    over.endedMs = ended.map { $0 * 1000 }
    if ended == nil { over.traits = [ClusterObject.endUnknown] }
    for isSeenAlive in [true, false] {
      var record = ClusterRecord()
      if isSeenAlive {
        record.add([.pod("job-1", in: "batch", "10.80.3.50", started: 1_000)], from: 1_500, until: 1_500)
      }
      record.add([over], from: 2_500, until: 3_500)
      record.look(at: [1_500, 2_500, 3_500])
      // No end is before a look that shows it alive.
      let last = isSeenAlive ? last : ended ?? last
      #expect(try holders(record, of: "10.80.3.50", at: [999, 1_000, last - 1, last]) == ["", "job-1", "job-1", ""])
    }
  }

  @Test(
    "a machine is where the ServiceEntry that selects it says; where two disagree, nobody knows",
    arguments: [
      ([], true), (["MESH_EXTERNAL"], false), (["MESH_INTERNAL"], true), (["MESH_EXTERNAL", "MESH_INTERNAL"], nil),
    ]
      as [([String], Bool?)])
  func selectedMachine(locations: [String], isInside: Bool?) throws {
    var machine = ClusterObject(kind: .workloadEntry, namespace: "n", name: "vm")
    machine.addresses = ["10.99.1.5"]
    machine.labels = ["app": "partner", "class": "vm"]
    var objects = [machine]
    for location in locations {
      var entry = ClusterObject(kind: .serviceEntry, namespace: "n", name: location.lowercased())
      entry.labels = ["app": "partner"]
      entry.traits = ["location=\(location)", "resolution=STATIC"]
      // In another namespace it selects nothing.
      var elsewhere = entry
      elsewhere.namespace = "m"
      elsewhere.traits = [
        "location=\(location == "MESH_EXTERNAL" ? "MESH_INTERNAL" : "MESH_EXTERNAL")", "resolution=STATIC",
      ]
      objects += [entry, elsewhere]
    }
    let facts = facts(cluster(objects))
    facts.add(sidecar(), to("10.99.1.5:443", cluster: "outbound|443||partner.example"))
    let verdict = facts.route(0)
    switch isInside {
    case true?: #expect(verdict.path == .internal && verdict.bypass == nil)
    case false?: #expect(verdict.bypass == .directServiceEntry)
    case nil: #expect(verdict.path == .unknown)
    }
  }

  @Test(
    "a range of a ServiceEntry is outside where the cluster has none of its addresses",
    arguments: [
      (["10.50.9.0/24"], "MESH_EXTERNAL", false), (["10.50.9.9"], "MESH_EXTERNAL", false),
      // A pod is in it; a part of it is said to be inside; it is inside.
      (["10.0.0.0/8"], "MESH_EXTERNAL", nil), (["10.50.9.0/24", "10.50.9.0/28 inside"], "MESH_EXTERNAL", nil),
      (["10.50.9.0/24"], "MESH_INTERNAL", nil),
    ] as [([String], String, Bool?)])
  func externalRanges(ranges: [String], location: String, isInside: Bool?) throws {
    let entries = ranges.map { range in
      var entry = ClusterObject(kind: .serviceEntry, namespace: "shop", name: range)
      entry.addresses = [String(range.prefix { $0 != " " })]
      entry.traits = ["location=\(range.hasSuffix("inside") ? "MESH_INTERNAL" : location)", "resolution=NONE"]
      return entry
    }
    let facts = facts(cluster(entries + [.pod("web", in: "shop", "10.80.3.77")]))
    facts.add(sidecar(), to("10.50.9.9:3306", cluster: "outbound|3306||mysql.onprem.example"))
    facts.add(sidecar(), to("10.80.3.77:80", cluster: "PassthroughCluster"))
    #expect(facts.route(0).bypass == (isInside == false ? .directServiceEntry : nil))
    #expect(facts.route(1).rule == "mesh-topology")
  }

  @Test("no range is outside where no pod is known that could be in it")
  func externalRangesWithoutPods() throws {
    var entry = ClusterObject(kind: .serviceEntry, namespace: "shop", name: "e")
    entry.addresses = ["10.50.9.0/24"]
    entry.traits = ["location=MESH_EXTERNAL", "resolution=NONE"]
    let facts = facts(cluster([entry]))
    facts.add(sidecar(), to("10.50.9.9:3306", cluster: "outbound|3306||mysql.onprem.example"))
    #expect(facts.route(0).path == .unknown)
  }

  // MARK: Guesses

  @Test("a gateway that nothing but its name or its lack of exposure shows is an assumption")
  func guessedGateway() throws {
    var objects = Self.egressGateway()
    objects.remove(at: 1)  // nothing selects it
    let byName = facts(cluster(objects))
    byName.add(sidecar(), to("10.80.3.232:8443", cluster: "outbound|443||x.y.svc.cluster.local"))
    #expect(byName.route(0).path == .gateway && byName.route(0).assumption != nil)

    objects = Self.egressGateway()
    for index in objects.indices { objects[index].labels = ["istio": "outgoing"] }
    objects[0].workload = "outgoing"
    objects[2].name = "outgoing"
    let unexposed = facts(cluster(objects))
    unexposed.add(sidecar(), to("10.80.3.232:8443", cluster: "outbound|443||x.y.svc.cluster.local"))
    #expect(unexposed.route(0).path == .gateway && unexposed.route(0).assumption != nil)

    objects[2].traits = ["type=LoadBalancer"]
    let exposed = facts(cluster(objects))
    exposed.add(sidecar(), to("10.80.3.232:8443", cluster: "outbound|443||x.y.svc.cluster.local"))
    #expect(exposed.route(0).path == .internal && exposed.route(0).rule == "mesh-topology")
  }

  @Test("a workload that merely carries the gateway's label is none: its container says what it is")
  func labelAlone() {
    var objects = Self.egressGateway()
    objects[0].proxy = .sidecar
    let facts = facts(cluster(objects))
    facts.add(sidecar(), to("10.80.3.232:8443", cluster: "PassthroughCluster"))
    #expect(facts.route(0).path == .internal)
  }

  @Test("where the policy lists gateways, another one of the topology is shown and does not clear")
  func policyListsGateways() {
    let facts = facts(
      cluster(Self.egressGateway()), policy: "gateways: [ { name: g, addresses: [10.80.3.1] } ]")
    facts.add(sidecar(), to("10.80.3.232:8443", cluster: Self.gatewayCluster))
    facts.add(sidecar(), to("10.80.3.1:8443", cluster: Self.gatewayCluster))
    #expect(facts.route(0).assumption?.contains("not in the policy's list") == true)
    #expect(facts.route(1).rule == "gateway-address" && facts.route(1).assumption == nil)
  }

  @Test("what the policy says of an address comes before what the topology says")
  func policyWins() {
    let policy = "pods: [ { name: squid-like, addresses: [10.80.3.232], sidecar: true } ]\n"
    let facts = facts(cluster(Self.egressGateway()), policy: policy)
    facts.add(sidecar(), to("10.80.3.232:8443", cluster: "PassthroughCluster"))
    facts.add(squid(client: "10.80.3.232"), to("203.0.113.5:443"))
    #expect(facts.route(0).rule == "mesh-declared")
    #expect(facts.judgement().sourceClasses.map(\.name).contains("squid-like"))
  }

  @Test("a gateway is one from its start until a snapshot does not hold it any more")
  func gatewayInTime() {
    var record = cluster(Self.egressGateway(started: 500), seen: (1_000, 2_000), moments: [1_000, 2_000, 3_000])
    record.add([.pod("web-1", in: "shop", "10.80.3.232", started: 4_000)], from: 5_000, until: 5_000)
    record.look(at: [5_000])
    let facts = facts(record)
    facts.add(sidecar(), to("10.80.3.232:8443", cluster: "outbound|443||x.y.svc.cluster.local"))
    #expect(facts.route(0, atMs: 499_999).path == .internal)
    #expect(facts.route(0, atMs: 500_000).path == .gateway)
    #expect(facts.route(0, atMs: 2_999_999).path == .gateway)
    #expect(facts.route(0, atMs: 3_000_000).path == .internal)
    #expect(facts.route(0, atMs: 4_500_000).path == .internal)
  }

  @Test("a start and an end outside of the logs cut no interval")
  func noNeedlessIntervals() {
    let record = cluster(Self.egressGateway(started: 500), seen: (1_000, 2_000), moments: [1_000, 2_000, 30_000])
    let facts = facts(record, log: (600, 20_000))
    facts.add(sidecar(), to("10.80.3.232:8443"))
    #expect(facts.judgement().intervals.count == 1)
  }

  // MARK: The address decides

  @Test("no topology turns a public address into the mesh or a gateway", arguments: ["203.0.113.9", "8.8.8.8"])
  func publicAddresses(address: String) {
    var objects = Self.egressGateway(address)
    objects.append(.pod("web", in: "shop", address))
    for (kind, name) in [(ClusterObject.Kind.service, "s"), (.node, "n"), (.workloadEntry, "w")] {
      var object = ClusterObject(kind: kind, namespace: "shop", name: name)
      object.addresses = [address]
      object.labels = ["app": "x"]
      objects.append(object)
    }
    let facts = facts(cluster(objects))
    facts.add(sidecar(), to("\(address):443", cluster: "PassthroughCluster"))
    facts.add(sidecar(), to("\(address):443", cluster: Self.gatewayCluster))
    #expect(facts.route(0).bypass == .passthrough)
    #expect(facts.route(1).bypass == .directServiceEntry)
  }

  @Test("pods, Services with pods and nodes are the mesh; unknown private addresses stay unknown")
  func inside() {
    var node = ClusterObject(kind: .node, namespace: "", name: "worker-1")
    node.addresses = ["10.0.0.5"]
    var service = ClusterObject(kind: .service, namespace: "shop", name: "s")
    service.labels = ["app": "x"]
    service.addresses = ["10.96.0.9"]
    let facts = facts(cluster([.pod("web", in: "shop", "10.80.3.77"), node, service]))
    for address in ["10.80.3.77", "10.0.0.5", "10.96.0.9"] {
      let line = facts.add(sidecar(), to("\(address):80", cluster: "PassthroughCluster"))
      #expect(facts.route(line).rule == "mesh-topology")
    }
    let line = facts.add(sidecar(), to("10.80.3.78:80", cluster: "PassthroughCluster"))
    #expect(facts.route(line).rule == "private-unknown")
  }

  @Test("what the cluster itself calls outside left the mesh, though its address is private")
  func outside() {
    var entry = ClusterObject(kind: .serviceEntry, namespace: "shop", name: "db")
    entry.traits = ["location=MESH_EXTERNAL", "resolution=STATIC"]
    entry.addresses = ["10.200.0.40"]
    var service = ClusterObject(kind: .service, namespace: "shop", name: "legacy")
    service.addresses = ["10.96.8.30"]
    var endpoints = ClusterObject(kind: .endpoints, namespace: "shop", name: "legacy")
    endpoints.addresses = ["203.0.113.9"]
    let facts = facts(cluster([entry, service, endpoints]))
    facts.add(sidecar(), to("10.200.0.40:5432", cluster: "outbound|5432||db.corp.example"))
    facts.add(sidecar(), to("10.96.8.30:443", cluster: "PassthroughCluster"))
    #expect(facts.route(0).rule == "outside-topology" && facts.route(0).bypass == .directServiceEntry)
    #expect(facts.route(1).bypass == .passthrough)
  }

  @Test("an address of which the cluster says both proves nothing")
  func contradiction() {
    var entry = ClusterObject(kind: .serviceEntry, namespace: "shop", name: "db")
    entry.addresses = ["10.96.0.9"]
    var service = ClusterObject(kind: .service, namespace: "shop", name: "s")
    service.labels = ["app": "x"]
    service.addresses = ["10.96.0.9"]
    let facts = facts(cluster([entry, service]))
    facts.add(sidecar(), to("10.96.0.9:443", cluster: "outbound|443||a.example"))
    #expect(facts.route(0).rule == "private-unknown")
  }

  // MARK: Names

  func name(_ facts: Facts, _ line: Int) -> String? {
    let judgement = facts.judgement()
    return judgement.sourceClasses.first { $0.source == Int64(line + 1) }?.name
  }

  @Test("a client is called by its namespace and workload at the time of its log")
  func namesInTime() {
    var record = ClusterRecord()
    record.add([.pod("web-1", in: "shop", "10.80.3.50", started: 1_000)], from: 1_500, until: 1_500)
    record.add([.pod("job-1", in: "batch", "10.80.3.50", proxy: .none, started: 3_000)], from: 3_500, until: 3_500)
    record.look(at: [1_500, 3_500])
    for (span, expected) in [
      ((Int64(1_100), Int64(1_200)), "shop/web-1"), ((3_100, 9_000), "batch/job-1"),
      ((1_100, 3_100), "batch/job-1 or shop/web-1"), ((100, 900), nil),
    ] as [((Int64, Int64), String?)] {
      let facts = facts(record, log: span)
      facts.add(squid(client: "10.80.3.50"), to("203.0.113.5:443"))
      #expect(name(facts, 0) == expected)
    }
  }

  @Test("of an address that many workloads had, three are named and the others counted")
  func namesOfMany() {
    var record = ClusterRecord()
    for (number, name) in ["a", "b", "c", "d", "e"].enumerated() {
      let start = Int64(number + 1) * 1_000
      record.add([.pod(name, in: "shop", "10.80.3.50", started: start)], from: start + 500, until: start + 500)
      record.look(at: [start + 500])
    }
    let facts = facts(record, log: (1_100, 9_000))
    facts.add(squid(client: "10.80.3.50"), to("203.0.113.5:443"))
    #expect(name(facts, 0) == "shop/e or shop/d or shop/c or 2 others")
  }

  @Test("pods of one workload that follow each other are no ambiguity, and a node is a node")
  func sameWorkload() {
    var (one, two) = (
      ClusterObject.pod("web-1", in: "shop", "10.80.3.50", started: 1_000),
      ClusterObject.pod("web-2", in: "shop", "10.80.3.50", started: 2_000)
    )
    (one.workload, two.workload) = ("web", "web")
    var node = ClusterObject(kind: .node, namespace: "", name: "worker-1")
    node.addresses = ["10.0.0.5"]
    var agent = ClusterObject.pod("agent-1", in: "kube-system", "10.0.0.5", proxy: .none)
    agent.isHostNetwork = true
    var record = ClusterRecord()
    record.add([one], from: 1_500, until: 1_500)
    record.add([two, node, agent], from: 2_500, until: 2_500)
    record.look(at: [1_500, 2_500])
    let facts = facts(record)
    facts.add(squid(client: "10.80.3.50"), to("203.0.113.5:443"))
    facts.add(squid(client: "10.0.0.5"), to("203.0.113.5:443"))
    #expect(name(facts, 0) == "shop/web")
    #expect(name(facts, 1) == "node/worker-1")
  }

  @Test("a log that says which pod wrote it needs no address, and an address from a header names nobody")
  func namesOfLogs() {
    let facts = facts(cluster([.pod("web-1", in: "shop", "10.80.3.50")]))
    var own = sidecar("10.80.9.9")
    (own.namespace, own.pod) = ("shop", "web-1")
    facts.add(own, to("203.0.113.5:443"))
    facts.add(
      Source(log: 2, proxy: .envoy, shape: .gateway, clientIP: "10.80.3.50", clientIsForwarded: true),
      to("203.0.113.5:443"))
    #expect(name(facts, 0) == "shop/web-1")
    #expect(name(facts, 1) == nil)
  }

  // MARK: Bounds

  @Test("thousands of pods make a handful of classes and intervals")
  func classesStayFew() {
    let objects = (0..<2_000).map { number in
      ClusterObject.pod(
        "pod-\(number)", in: "ns-\(number % 20)", "10.81.\(number / 250).\(number % 250)",
        proxy: number % 10 == 0 ? .none : .sidecar, started: Int64(500 + number))
    }
    let facts = facts(cluster(objects, seen: (1_000, 5_000), moments: [1_000, 5_000]), log: (3_000, 4_000))
    for object in objects {
      facts.add(squid(client: object.addresses[0]), to("203.0.113.5:443"))
      facts.add(sidecar(), to("\(object.addresses[0]):80", cluster: "PassthroughCluster"))
    }
    let judgement = facts.judgement()
    #expect(judgement.intervals.count == 1)
    #expect(Set(judgement.sourceClasses.map(\.class)).count <= 6)
    #expect(Set(judgement.destinationClasses.map(\.class)).count <= 4)
  }

  @Test("more turns at addresses than are told apart by time are dropped, and that is said")
  func momentLimit() {
    var record = ClusterRecord()
    for number in 0..<100 {
      let start = Int64(1_000 + number * 50)
      record.add(
        [.pod("job-\(number)", in: "batch", "10.80.4.\(number)", proxy: .none, started: start)], from: start + 10,
        until: start + 10)
      record.look(at: [start + 10, start + 30])
    }
    let facts = facts(record)
    for number in 0..<100 { facts.add(squid(client: "10.80.4.\(number)"), to("203.0.113.5:443")) }
    let judgement = facts.judgement()
    #expect(judgement.intervals.count <= 17)
    #expect(judgement.assumptions.contains { $0.contains("came and went") })
  }

  @Test("the order of objects and sightings changes nothing")
  func orderIndependence() {
    let objects = Self.egressGateway(started: 700) + [.pod("a", in: "x", "10.80.3.50", started: 800)]
    var record = cluster(objects, seen: (1_000, 2_000), moments: [1_000, 2_000, 3_000])
    let first = facts(record)
    func fill(_ facts: Facts) {
      facts.add(sidecar(), to("10.80.3.232:8443", cluster: Self.gatewayCluster))
      facts.add(squid(client: "10.80.3.50"), to("203.0.113.5:443"))
    }
    fill(first)
    let count = record.objects.count
    record.objects.reverse()
    record.sightings = record.sightings.reversed().map {
      ClusterRecord.Sighting(object: count - 1 - $0.object, firstMs: $0.firstMs, lastMs: $0.lastMs)
    }
    let second = facts(record)
    fill(second)
    let (one, two) = (first.judgement(), second.judgement())
    #expect(one.intervals == two.intervals)
    #expect(one.routes.map(\.verdict) == two.routes.map(\.verdict))
    #expect(one.sourceClasses.map(\.name) == two.sourceClasses.map(\.name))
  }
}

extension ClusterObject {
  static func pod(
    _ name: String, in namespace: String, _ address: String, proxy: Proxy = .sidecar, started: Int64? = nil
  ) -> ClusterObject {
    var pod = ClusterObject(kind: .pod, namespace: namespace, name: name)
    pod.workload = name
    pod.addresses = [address]
    pod.proxy = proxy
    pod.startedMs = started.map { $0 * 1000 }
    return pod
  }
}

extension ClusterRecord {
  /// Seconds.
  mutating func add(_ added: [ClusterObject], from first: Int64, until last: Int64) {
    for object in added {
      sightings.append(Sighting(object: objects.count, firstMs: first * 1000, lastMs: last * 1000))
      objects.append(object)
    }
  }

  mutating func look(at seconds: [Int64]) {
    for kind in ClusterObject.Kind.allCases {
      let scope = ClusterScope(kind: kind, namespace: nil)
      moments[scope] = (moments[scope, default: []] + seconds.map { $0 * 1000 }).sorted()
    }
  }
}
