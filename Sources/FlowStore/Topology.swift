public import Flows
internal import GRDB

/// What one imported snapshot changed in the store.
public struct TopologyChange: Sendable, Equatable {
  /// The very snapshot was there already; nothing was written.
  public var isKnown = false
  /// Objects that were not there yet, in this state.
  public var newObjects = 0
  /// Another snapshot of the same moment speaks of the same kinds and differs: what stands in either is taken as there.
  public var sharesMoment = false
}

extension FlowStore {
  /// Adds a snapshot inside the open transaction. The order in which snapshots come does not matter, and one that is
  /// there already changes nothing.
  public func add(_ snapshot: ClusterSnapshot) throws(StoreError) -> TopologyChange {
    try write("topology") { db throws(StoreError) in
      var change = TopologyChange()
      var hasher = StableHash()
      // in no order: kubectl's is the API server's
      for hash in snapshot.objects.map(ClusterObjectRow.hash).sorted() { hasher.combine(hash) }
      // Empty lists differ in what they are lists of.
      if snapshot.objects.isEmpty {
        for kind in snapshot.scopes.map(\.kind.rawValue).sorted() { hasher.combine(kind) }
      }
      let insert = try db.statement(
        """
        insert or ignore into topology_snapshot (at_ms, time_from, hash, file, objects, kinds)
        values (?, ?, ?, ?, ?, ?)
        returning id
        """)
      let kinds = snapshot.kinds.mapValues(String.init)
      for (index, value) in [
        .integer(snapshot.atMs), .text(snapshot.timeFrom), .text(hasher.hexadecimal), .text(snapshot.file),
        Value(snapshot.objects.count), .text(ClusterObjectRow.json(kinds)),
      ].enumerated() { insert.bind(value, at: Int32(index + 1)) }
      change.isKnown = true
      while try insert.step() { change.isKnown = false }
      if change.isKnown { return change }
      var merge = try SightingMerge(db, atMs: snapshot.atMs)
      try merge.add(snapshot)
      change.newObjects = merge.newObjects
      change.sharesMoment = merge.sharesMoment
      try self.writer.setJudged(false, on: db)
      self.writer.hasNewLooks = true
      return change
    }
  }

  /// Everything that was imported.
  public func topology() throws(StoreError) -> ClusterRecord {
    try access { db throws(StoreError) in try ClusterRecord(db) }
  }
}

extension FlowReader {
  public func topology() throws -> ClusterRecord {
    try access { try ClusterRecord($0) }
  }
}

extension ClusterRecord {
  init(_ db: Database) throws(StoreError) {
    self.init()
    var places: [Int64: Int] = [:]
    let rows = try db.statement(
      "select id, \(ClusterObjectRow.columns) from topology_object order by kind, namespace, name, hash, id")
    while try rows.step() {
      guard let object = ClusterObjectRow.object(rows, from: 1) else { continue }
      places[rows.int(0)] = objects.count
      objects.append(object)
    }
    let seen = try db.statement("select object, first_ms, last_ms from topology_sighting order by object, first_ms")
    while try seen.step() {
      guard let place = places[seen.int(0)] else { continue }
      sightings.append(Sighting(object: place, firstMs: seen.int(1), lastMs: seen.int(2)))
    }
    sightings.sort { ($0.object, $0.firstMs) < ($1.object, $1.firstMs) }
    let looks = try db.statement("select kind, namespace, at_ms from topology_moment order by at_ms")
    while try looks.step() {
      guard let kind = looks.text(0).flatMap(ClusterObject.Kind.init(rawValue:)) else { continue }
      moments[ClusterScope(kind: kind, namespace: looks.text(1)), default: []].append(looks.int(2))
    }
  }
}

/// Fits one snapshot into the sightings there are.
///
/// Of each object the store keeps runs of moments: it stood in all snapshots that looked for it between two moments. A
/// new moment without the object splits the run it falls into; one with it joins the runs beside it. So the runs are
/// the same whatever order the snapshots come in. Among snapshots of one moment, those that hold an object win. A snapshot
/// of one object alone shows that, and is no moment of the others.
private struct SightingMerge {
  private let db: Database
  private let atMs: Int64
  private(set) var newObjects = 0
  private(set) var sharesMoment = false
  private let find: Statement
  private let insert: Statement
  private let runs: Statement
  private let addRun: Statement
  private let removeRun: Statement
  /// Moments by kind and namespace of an object; this snapshot's own is among them.
  private var moments: [ClusterScope: [Int64]] = [:]

  init(_ db: Database, atMs: Int64) throws(StoreError) {
    self.db = db
    self.atMs = atMs
    find = try db.statement(
      """
      select id, \(ClusterObjectRow.columns)
      from topology_object
      where kind = ? and namespace = ? and name = ? and hash = ?
      order by id
      """)
    let marks = ClusterObjectRow.columns.split(separator: ",").map { _ in "?" }.joined(separator: ", ")
    insert = try db.statement(
      "insert into topology_object (\(ClusterObjectRow.columns)) values (\(marks)) returning id")
    runs = try db.statement(
      """
      select first_ms, last_ms
      from topology_sighting
      where object = ?
        and first_ms <= ?
        and last_ms >= ?
      order by first_ms
      """)
    addRun = try db.statement("insert into topology_sighting (object, first_ms, last_ms) values (?, ?, ?)")
    removeRun = try db.statement("delete from topology_sighting where object = ? and first_ms = ?")
  }

  mutating func add(_ snapshot: ClusterSnapshot) throws(StoreError) {
    var present: Set<Int64> = []
    for object in Set(snapshot.objects) { present.insert(try id(of: object)) }
    let scopes = snapshot.scopes.sorted {
      ($0.kind.rawValue, $0.namespace ?? "") < ($1.kind.rawValue, $1.namespace ?? "")
    }
    for scope in scopes { try splitRunsOfAbsent(scope, present) }
    let look = try db.statement("insert or ignore into topology_moment (kind, namespace, at_ms) values (?, ?, ?)")
    for scope in scopes { try look.run(.text(scope.kind.rawValue), Value(scope.namespace), .integer(atMs)) }
    moments = [:]
    let place = try db.statement("select kind, namespace from topology_object where id = ?")
    for id in present.sorted() {
      place.bind(id, at: 1)
      guard try place.step(), let kind = place.text(0).flatMap(ClusterObject.Kind.init(rawValue:)) else { continue }
      let namespace = place.text(1) ?? ""
      place.reset()
      try see(id, among: try moments(of: kind, namespace))
    }
  }

  private mutating func id(of object: ClusterObject) throws(StoreError) -> Int64 {
    let values = ClusterObjectRow.values(of: object)
    for index in 0..<4 { find.bind(values[index], at: Int32(index + 1)) }
    while try find.step() {
      if ClusterObjectRow.object(find, from: 1) == object {
        let id = find.int(0)
        find.reset()
        return id
      }
    }
    for (index, value) in values.enumerated() { insert.bind(value, at: Int32(index + 1)) }
    var id: Int64 = 0
    while try insert.step() { id = insert.int(0) }
    newObjects += 1
    return id
  }

  /// When somebody looked for the objects of a kind in a namespace.
  private mutating func moments(
    of kind: ClusterObject.Kind, _ namespace: String
  ) throws(StoreError) -> [Int64] {
    let key = ClusterScope(kind: kind, namespace: namespace)
    if let known = moments[key] { return known }
    let rows = try db.statement(
      """
      select distinct at_ms
      from topology_moment
      where kind = ? and (namespace is null or namespace = ?)
      order by at_ms
      """)
    rows.bind(kind.rawValue, at: 1)
    rows.bind(namespace, at: 2)
    var result: [Int64] = []
    while try rows.step() { result.append(rows.int(0)) }
    moments[key] = result
    return result
  }

  /// Called before the new moment is written down.
  private mutating func splitRunsOfAbsent(_ scope: ClusterScope, _ present: Set<Int64>) throws(StoreError) {
    let spanning = try db.statement(
      """
      select o.id, o.namespace, s.first_ms, s.last_ms
      from topology_object o
      join topology_sighting s on s.object = o.id
      where o.kind = ?1
        and (?2 is null or o.namespace = ?2)
        and s.first_ms <= ?3
        and s.last_ms >= ?3
      order by o.id
      """)
    spanning.bind(scope.kind.rawValue, at: 1)
    spanning.bind(scope.namespace, at: 2)
    spanning.bind(atMs, at: 3)
    var absent: [(id: Int64, namespace: String, first: Int64, last: Int64)] = []
    while try spanning.step() {
      guard !present.contains(spanning.int(0)) else { continue }
      absent.append((spanning.int(0), spanning.text(1) ?? "", spanning.int(2), spanning.int(3)))
    }
    for run in absent {
      let known = try moments(of: scope.kind, run.namespace)
      if known.contains(atMs) {
        // somebody saw it at this very moment
        sharesMoment = true
        continue
      }
      guard run.first < atMs, run.last > atMs else { continue }
      let (before, after) = (known.last { $0 < atMs } ?? run.first, known.first { $0 > atMs } ?? run.last)
      // Where an object alone was shown, a run begins or ends between two moments.
      try removeRun.run(.integer(run.id), .integer(run.first))
      try addRun.run(.integer(run.id), .integer(run.first), .integer(max(before, run.first)))
      try addRun.run(.integer(run.id), .integer(min(after, run.last)), .integer(run.last))
    }
  }

  private func see(_ id: Int64, among moments: [Int64]) throws(StoreError) {
    /// That touches a time, both ends included; the one next to this moment.
    func run(from first: Int64, until last: Int64, isBefore: Bool) throws(StoreError) -> (first: Int64, last: Int64)? {
      runs.bind(id, at: 1)
      runs.bind(last, at: 2)
      runs.bind(first, at: 3)
      var found: (first: Int64, last: Int64)?
      while try runs.step() {
        if isBefore || found == nil { found = (runs.int(0), runs.int(1)) }
      }
      return found
    }
    // Between two moments nobody looked who did not find it.
    let before = moments.last { $0 < atMs } ?? .min
    let after = moments.first { $0 > atMs } ?? .max
    let left = try run(from: before, until: atMs, isBefore: true)
    if let left, left.last >= atMs { return }
    let right = try run(from: atMs, until: after, isBefore: false)
    if let left { try removeRun.run(.integer(id), .integer(left.first)) }
    if let right { try removeRun.run(.integer(id), .integer(right.first)) }
    try addRun.run(.integer(id), .integer(left?.first ?? atMs), .integer(right?.last ?? atMs))
  }
}
