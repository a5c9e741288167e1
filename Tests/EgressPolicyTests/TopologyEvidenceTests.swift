@testable import EgressPolicy
import Flows
import Testing

/// What snapshots of the cluster add to the lines and to the policy.
@Suite("Evidence of the topology")
struct TopologyEvidenceTests: TopologyFacts {
  // MARK: Gateways

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

  // MARK: Machines and ranges

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

  @Test(
    "a Service to whose pods somebody added an address elsewhere leads to either; that address is outside",
    arguments: [("10.50.9.9", true), ("203.0.113.9", true), ("10.80.3.50", false), ("10.0.0.5", false)])
  func addedEndpoints(endpoint: String, isElsewhere: Bool) {
    var service = ClusterObject(kind: .service, namespace: "shop", name: "db")
    service.labels = ["app": "db"]
    service.addresses = ["10.96.7.7"]
    var endpoints = ClusterObject(kind: .endpoints, namespace: "shop", name: "db-by-hand")
    endpoints.workload = "db"
    endpoints.addresses = [endpoint]
    var node = ClusterObject(kind: .node, namespace: "", name: "worker-1")
    node.addresses = ["10.0.0.5"]
    let pod = ClusterObject.pod("db-0", in: "shop", "10.80.3.50", started: 0)
    func routes(_ record: ClusterRecord) -> (virtual: RouteVerdict, endpoint: RouteVerdict) {
      let facts = facts(record, log: (1_500, 10_000))
      facts.add(sidecar(), to("10.96.7.7:5432", cluster: "PassthroughCluster"))
      facts.add(sidecar(), to("\(endpoint):5432", cluster: "outbound|5432||db.shop.svc.cluster.local"))
      return (facts.route(0), facts.route(1))
    }
    let found = routes(cluster([service, endpoints, node, pod]))
    #expect(found.virtual.path == (isElsewhere ? .unknown : .internal))
    #expect((found.endpoint.bypass != nil) == isElsewhere)
    // What was gone before the first line says nothing.
    var gone = cluster([service, node, pod], seen: (1_000, 2_000), moments: [1_000, 1_200, 2_000])
    gone.add([endpoints], from: 1_000, until: 1_000)
    #expect(routes(gone).virtual.path == .internal)
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
