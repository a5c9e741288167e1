import Flows
import Testing

@testable import FlowStore

@Suite("Snapshots of the cluster in the store")
struct TopologyTests {
  func pod(_ name: String, _ address: String, in namespace: String = "shop") -> ClusterObject {
    var pod = ClusterObject(kind: .pod, namespace: namespace, name: name)
    pod.workload = "web"
    pod.addresses = [address]
    pod.proxy = .sidecar
    return pod
  }

  /// Of all namespaces: a second one is there always.
  func snapshot(_ hour: Int64, _ objects: [ClusterObject]) -> ClusterSnapshot {
    ClusterSnapshot(
      atMs: noon + hour * 3_600_000, timeFrom: "--at", file: "\(hour).json",
      objects: objects + [pod("dns", "10.0.0.53", in: "kube-system")], kinds: ["Pod": objects.count + 1])
  }

  func record(_ snapshots: [ClusterSnapshot]) throws -> ClusterRecord {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    defer { store.close() }
    for snapshot in snapshots {
      _ = try store.add(snapshot)
      try store.commit()
    }
    return try store.topology()
  }

  func runs(_ name: String, in record: ClusterRecord) -> [[Int64]] {
    record.sightings.filter { record.objects[$0.object].name == name }
      .map { [($0.firstMs - noon) / 3_600_000, ($0.lastMs - noon) / 3_600_000] }
  }

  @Test("what is written comes back as it was")
  func roundTrip() throws {
    var object = ClusterObject(kind: .pod, namespace: "shop \"x\"", name: "a\\b\u{1B}[31m\u{0}\u{1F600}")
    object.workload = "w"
    object.node = "n"
    object.isHostNetwork = true
    object.proxy = .router
    object.addresses = ["10.0.0.1", "fd00::1"]
    object.hosts = ["a,b", ""]
    object.labels = ["k\"": "v\n", "": "", "z": "\\u0041"]
    object.traits = ["t=[\"]"]
    object.optOuts = ["exclude-outbound-ports=443"]
    object.startedMs = -5
    object.endedMs = .max
    #expect(try record([snapshot(0, [object])]).objects.contains(object))
  }

  @Test("the same snapshot twice changes nothing")
  func idempotent() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    defer { store.close() }
    let first = try store.add(snapshot(0, [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")]))
    #expect(first == TopologyChange(isKnown: false, newObjects: 3, sharesMoment: false))
    try store.apply(judgement(of: try store.facts()))
    try store.commit()
    #expect(store.isJudged)
    // its objects in another order, from another file
    var again = snapshot(0, [pod("b", "10.0.0.2"), pod("a", "10.0.0.1")])
    again.file = "copy.json"
    #expect(try store.add(again).isKnown)
    #expect(store.isJudged)
    #expect(try store.topology().sightings.count == 3)
  }

  @Test("a new snapshot calls for a new judgement")
  func judgedAnew() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    defer { store.close() }
    try store.apply(judgement(of: try store.facts()))
    try store.commit()
    _ = try store.add(snapshot(0, [pod("a", "10.0.0.1")]))
    #expect(!store.isJudged)
  }

  @Test("an object that stays is one row, however many snapshots hold it; a gap makes two")
  func runs() throws {
    let (a, b) = (pod("a", "10.0.0.1"), pod("b", "10.0.0.2"))
    let found = try record((0..<10).map { snapshot($0, $0 == 4 ? [a] : [a, b]) })
    #expect(runs("a", in: found) == [[0, 9]])
    #expect(runs("b", in: found) == [[0, 3], [5, 9]])
    #expect(found.objects.count == 3)
  }

  @Test("the order in which snapshots come does not matter", arguments: 0..<24)
  func orderIndependence(seed: Int) throws {
    let (a, b, c) = (pod("a", "10.0.0.1"), pod("b", "10.0.0.2"), pod("a", "10.0.0.3"))
    var snapshots = [
      snapshot(0, [a, b]), snapshot(1, [a]), snapshot(2, [b, c]), snapshot(3, [a, b, c]), snapshot(3, [b]),
      snapshot(4, [b]),
      ClusterSnapshot(atMs: noon + 9_000_000, timeFrom: "--at", file: "one", objects: [a], kinds: [:]),
    ]
    let expected = try record(snapshots)
    var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1
    for index in snapshots.indices.dropLast() {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      snapshots.swapAt(index, index + Int(state >> 33) % (snapshots.count - index))
    }
    let found = try record(snapshots)
    #expect(found.objects == expected.objects)
    #expect(found.sightings == expected.sightings)
    #expect(found.moments == expected.moments)
  }

  @Test("a snapshot of one namespace says nothing of the others, and one of Services nothing of pods")
  func scopes() throws {
    let (a, b) = (pod("a", "10.0.0.1"), pod("b", "10.0.0.2"))
    let other = ClusterSnapshot(
      atMs: noon + 3_600_000, timeFrom: "--at", file: "f", objects: [pod("x", "10.0.0.9", in: "other")], kinds: [:])
    var service = ClusterObject(kind: .service, namespace: "shop", name: "s")
    service.addresses = ["10.96.0.1"]
    let services = ClusterSnapshot(
      atMs: noon + 3_600_000, timeFrom: "--at", file: "g", objects: [service], kinds: [:])
    let found = try record([snapshot(0, [a, b]), other, services, snapshot(2, [a, b])])
    #expect(runs("a", in: found) == [[0, 2]])
    let one = ClusterSnapshot(atMs: noon + 3_600_000, timeFrom: "--at", file: "h", objects: [a], kinds: [:])
    #expect(runs("b", in: try record([snapshot(0, [a, b]), one, snapshot(2, [a, b])])) == [[0, 0], [2, 2]])
  }

  @Test("one object alone is seen, and ends nobody, whatever order the snapshots come in", arguments: [false, true])
  func oneAlone(isReversed: Bool) throws {
    let (a, b) = (pod("a", "10.0.0.1"), pod("b", "10.0.0.2"))
    func alone(_ hour: Int64, _ object: ClusterObject) -> ClusterSnapshot {
      ClusterSnapshot(
        atMs: noon + hour * 3_600_000, timeFrom: "--at", file: "one", objects: [object], kinds: ["Pod": 1], scopes: [])
    }
    let snapshots = [
      alone(0, a), snapshot(1, [a, b]), alone(2, a), snapshot(3, [b]), alone(4, a), snapshot(5, [a, b]), alone(6, b),
    ]
    let found = try record(isReversed ? snapshots.reversed() : snapshots)
    #expect(runs("a", in: found) == [[0, 2], [4, 5]])
    #expect(runs("b", in: found) == [[1, 6]])
  }

  @Test("empty lists of two kinds at one moment are looks at both")
  func emptyLists() throws {
    let snapshots = [ClusterObject.Kind.networkPolicy, .telemetry].map {
      ClusterSnapshot(
        atMs: noon, timeFrom: "--at", file: "f", objects: [], kinds: [:],
        scopes: [ClusterScope(kind: $0, namespace: nil)])
    }
    #expect(try record(snapshots).moments.count == 2)
  }

  @Test("two snapshots of one moment that differ are joined, and that is told")
  func oneMoment() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    defer { store.close() }
    _ = try store.add(snapshot(0, [pod("a", "10.0.0.1")]))
    #expect(try store.add(snapshot(0, [pod("b", "10.0.0.2")])).sharesMoment)
    let found = try store.topology()
    #expect(runs("a", in: found) == [[0, 0]] && runs("b", in: found) == [[0, 0]])
  }

  @Test("a snapshot that could not be stored leaves nothing behind")
  func rollback() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    defer { store.close() }
    _ = try store.add(snapshot(0, [pod("a", "10.0.0.1")]))
    try store.rollback()
    #expect(try store.topology().isEmpty)
  }

  // MARK: Lives of pods

  /// A pod that waits, is somewhere else each time, and has the name and the address of another.
  private func lives() -> [ClusterSnapshot] {
    func web(_ address: String?, started: Int64, proxy: ClusterObject.Proxy = .sidecar) -> ClusterObject {
      var pod = pod("web-0", address ?? "")
      pod.addresses = address.map { [$0] } ?? []
      pod.startedMs = noon + started
      pod.proxy = proxy
      return pod
    }
    return [
      snapshot(0, [web(nil, started: -3_600_000)]), snapshot(1, [web("10.0.0.1", started: -3_600_000)]),
      snapshot(2, [web("10.0.0.2", started: -3_600_000), pod("b", "10.0.0.1")]),
      snapshot(3, [web("10.0.0.1", started: -3_600_000)]),
      snapshot(5, [web("fd00::1", started: 16_200_000, proxy: .none)]),
      snapshot(6, [web("fd00::1", started: 16_200_000, proxy: .ambient)]), snapshot(7, [pod("b", "10.0.0.1")]),
    ]
  }

  /// Hours of lives, then of addresses, as the tables have them.
  private func tables(_ path: String) throws -> [String] {
    let reader = try FlowReader(path: path)
    defer { reader.close() }
    func hour(_ column: String) -> String { "coalesce((\(column) - \(noon)) / 3600000.0, 'open')" }
    return try reader.rows(
      """
      select name || ' ' || proxy || ' ' || \(hour("first_ms")) || ' ' || \(hour("until_ms"))
      from pod_life where name <> 'dns' order by first_ms, name, proxy
      """
    ).rows.map { $0[0].text ?? "" }
      + reader.rows(
        """
        select distinct p.name || ' ' || a.address || ' ' || \(hour("a.from_ms")) || ' ' || \(hour("a.until_ms"))
        from pod_address a join pod_life p on p.id = a.life
        where p.name <> 'dns'
        order by a.from_ms, a.address
        """
      ).rows.map { $0[0].text ?? "" }
  }

  private static let told = [
    "web-0 sidecar -1.0 4.5", "b sidecar 2.0 open", "web-0 ambient 4.5 7.0", "web-0 none 4.5 7.0",
    "web-0 10.0.0.1 0.0 2.0", "b 10.0.0.1 2.0 3.0", "web-0 10.0.0.2 2.0 3.0", "web-0 10.0.0.1 3.0 4.5",
    "web-0 fd00::1 4.5 7.0", "b 10.0.0.1 7.0 open",
  ]

  @Test(
    "who had which address when stands in tables as verdicts have it, whatever order the snapshots come in",
    arguments: [false, true])
  func lives(isReversed: Bool) throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    for snapshot in isReversed ? lives().reversed() : lives() {
      _ = try store.add(snapshot)
      try store.commit()
    }
    store.close()
    let found = try tables(folder.path())
    #expect(found == Self.told, "\(found)")
  }

  @Test("a store of before gets these tables from what it holds")
  func livesOfBefore() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    for snapshot in lives() { _ = try store.add(snapshot) }
    try store.commit()
    try store.access { db throws(StoreError) in
      // Views stand in the way of taking columns out; they are made anew.
      let views = try db.statement("select name from sqlite_schema where type = 'view'")
      var names: [String] = []
      while try views.step() { names.append(views.text(0) ?? "") }
      for view in names { try db.run("drop view \(view)") }
      for table in ["pod_life", "pod_address", "next_hop_hole"] { try db.run("drop table \(table)") }
      try db.run("alter table route_verdict drop column next_hop_holes")
      try db.run("delete from meta where key = 'views'")
      try db.run("pragma user_version = 24")
    }
    store.close()
    try FlowStore(path: folder.path()).close()
    let found = try tables(folder.path())
    #expect(found == Self.told, "\(found)")
  }
}
