public import Flows
internal import GRDB

/// What a policy is asked about: everything in the store that is not a single flow.
public struct StoredFacts: Sendable {
  /// Sources by row id, with the path and the declared role of the log that holds their lines.
  public var sources: [(id: Int64, source: Source, logPath: String, declaredRole: Role?)] = []
  public var destinations: [(id: Int64, destination: Destination)] = []
  public var outcomes: [(id: Int64, outcome: Outcome)] = []
  /// The time each log's flows cover, Unix milliseconds, both ends inclusive; logs without flows are left out.
  public var logs: [LogSpan] = []
  /// What was imported of the cluster.
  public var topology = ClusterRecord()

  public init() {}
}

extension StoredFacts {
  /// - Parameter ahead: destinations that were read before, by row id: no others have lower ones, and none changes.
  init(_ db: Database, ahead: [(id: Int64, destination: Destination)] = []) throws(StoreError) {
    self.init()
    // Many sources have one log, and its path once.
    var paths: [Int64: (path: String, declaredRole: Role?)] = [:]
    let logs = try db.statement("select id, path, declared_role, first_ms, last_ms from log order by id")
    while try logs.step() {
      paths[logs.int(0)] = (logs.text(1) ?? "", logs.text(2).flatMap(Role.init(rawValue:)))
      guard let first = logs.optionalInt(3), let last = logs.optionalInt(4) else { continue }
      self.logs.append(LogSpan(log: logs.int(0), firstMs: first, lastMs: last))
    }
    let count = try db.statement("select count(*) from source")
    if try count.step() { sources.reserveCapacity(Int(count.int(0))) }
    let source = try db.statement(
      "select id, \(Source.storedColumns.joined(separator: ", ")) from source order by id")
    while try source.step() {
      guard let found = Source(source, from: 1) else { continue }
      let log = paths[found.log]
      sources.append((source.int(0), found, log?.path ?? "", log?.declaredRole))
    }
    if ahead.isEmpty {
      destinations = try StoredFacts.destinations(db, after: 0)
    } else {
      destinations = ahead
      destinations += try StoredFacts.destinations(db, after: ahead.last?.id ?? 0)
    }
    let outcomes = try db.statement(
      "select id, \(Outcome.storedColumns.joined(separator: ", ")) from outcome order by id")
    while try outcomes.step() { self.outcomes.append((outcomes.int(0), Outcome(outcomes, from: 1))) }
    topology = try ClusterRecord(db)
  }

  /// By row id, those behind one.
  static func destinations(
    _ db: Database, after id: Int64
  ) throws(StoreError) -> [(id: Int64, destination: Destination)] {
    let row = try db.statement(
      "select id, \(Destination.storedColumns.joined(separator: ", ")) from destination where id > ? order by id")
    row.bind(id, at: 1)
    var found: [(id: Int64, destination: Destination)] = []
    let count = try db.statement("select count(*) from destination where id > ?")
    count.bind(id, at: 1)
    if try count.step() { found.reserveCapacity(Int(count.int(0))) }
    while try row.step() {
      guard let destination = Destination(row, from: 1, behind: found.last?.destination) else { continue }
      found.append((row.int(0), destination))
    }
    return found
  }
}

extension FlowStore {
  /// Verdicts are there for everything stored, by the present policy. False after a batch brought new sources,
  /// destinations or outcomes, after a log's time span or declared role changed, and after `setPolicy` with another text.
  public var isJudged: Bool {
    (try? access { _ in self.writer.isJudged }) ?? false
  }

  /// Hash of the policy of the last `apply`; empty for zero configuration, nil before the first.
  public var judgedPolicyHash: String? {
    get throws(StoreError) { try meta("policy_hash") }
  }

  public var policyText: String? {
    get throws(StoreError) { try meta("policy_text") }
  }

  /// Where the policy's text was read from.
  public var policyFile: String? {
    get throws(StoreError) { try meta("policy_file") }
  }

  /// Keeps the text of the policy that the store is judged by; nil for zero configuration.
  public func setPolicy(text: String?, file: String?) throws(StoreError) {
    let before = try policyText
    try write("policy") { db throws(StoreError) in
      let set = try db.statement("insert or replace into meta (key, value) values (?, ?)")
      try set.run("policy_text", Value(text))
      try set.run("policy_file", Value(file))
      if before != text { try self.writer.setJudged(false, on: db) }
    }
  }

  /// A new store says nothing of itself that anybody asks for.
  func meta(_ key: String) throws(StoreError) -> String? {
    try unlessBlank(nil) { db throws(StoreError) in
      let row = try db.statement("select value from meta where key = ?")
      row.bind(key, at: 1)
      return try row.step() ? row.text(0) : nil
    }
  }

  /// - Parameter destinations: those that are known already, by row id: no others have lower ones. They are not read again.
  public func facts(
    knowing destinations: [(id: Int64, destination: Destination)] = []
  ) throws(StoreError) -> StoredFacts {
    try unlessBlank(StoredFacts()) { db throws(StoreError) in
      let known = [destinations, self.writer.destinations.take(), self.takeAhead()]
      return try StoredFacts(db, ahead: known.max { $0.count < $1.count } ?? [])
    }
  }

  /// Writes a judgement inside the open transaction; from its commit on, the views show it.
  ///
  /// Classes are written where they differ, verdicts only when any of them differs from what the store holds.
  public func apply(_ judgement: Judgement) throws(StoreError) {
    try write("judgement") { db throws(StoreError) in
      let isReclassified = try Self.applyClasses(of: judgement, on: db, self.beforeWrite)
      let stored = try StoredJudgement(on: db)
      var next = StoredJudgement(tables: Self.hash(of: judgement), policyHash: judgement.policyHash)
      next.revision = stored?.revision ?? 0
      var isOther = isReclassified
      if let stored, stored.tables == next.tables {
        next.name = stored.name
      } else if let stored, stored.policyHash == next.policyHash {
        var isKept = try Self.extendVerdicts(by: judgement, on: db, self.beforeWrite)
        // Flows without rows are seen by who looks at everything alone.
        if isKept, try Self.hasTallies(db) { isKept = false }
        // The tables may be those again that once gave the name.
        isOther = isOther || !isKept && next.name == stored.name
        if isKept { next.name = stored.name }
      } else {
        try Self.applyVerdicts(of: judgement, on: db, self.beforeWrite)
        isOther = isOther || next.name == stored?.name
      }
      if isOther { next.revision &+= 1 }
      if next != stored { try next.write(on: db) }
      try self.beforeWrite?("judged")
      try self.writer.setJudged(true, on: db)
    }
  }

  private static func hasTallies(_ db: Database) throws(StoreError) -> Bool {
    let row = try db.statement("select exists (select 1 from log where tallied > 0)")
    defer { row.reset() }
    return try row.step() && row.int(0) == 1
  }

  /// Writes the classes that differ; true when a source or destination that had one has another now.
  static func applyClasses(
    of judgement: Judgement, on db: Database, _ beforeWrite: ((String) throws(StoreError) -> Void)? = nil
  ) throws(StoreError) -> Bool {
    var isReclassified = false
    var known: [Int64: (class: Int64, name: String?)] = [:]
    let sources = try db.statement("select id, class, name from source where class is not null order by id")
    while try sources.step() { known[sources.int(0)] = (sources.int(1), sources.text(2)) }
    let updateSource = try db.statement("update source set class = ?1, name = ?2 where id = ?3")
    for entry in judgement.sourceClasses {
      precondition(entry.class >= 0 && entry.class < RouteKey.classes, "a source class has its place in a key")
      if let before = known[entry.source] {
        if before.class == Int64(entry.class), before.name == entry.name { continue }
        isReclassified = true
      }
      try beforeWrite?("source class")
      try updateSource.run(Value(entry.class), Value(entry.name), .integer(entry.source))
    }
    try beforeWrite?("destination class")
    let isOtherDestination = try DestinationClasses(judgement.destinationClasses).write(on: db)
    return isReclassified || isOtherDestination
  }

  /// Writes the verdict tables anew.
  static func applyVerdicts(
    of judgement: Judgement, on db: Database, _ beforeWrite: ((String) throws(StoreError) -> Void)? = nil
  ) throws(StoreError) {
    try beforeWrite?("verdicts")
    for table in JudgedTable.all { try fill(table, by: judgement, on: db, beforeWrite) }
  }

  /// Writes all rows of a table anew.
  static func fill(
    _ table: JudgedTable, by judgement: Judgement, on db: Database,
    _ beforeWrite: ((String) throws(StoreError) -> Void)?
  ) throws(StoreError) {
    try db.run("delete from \(table.name)")
    let row = try db.statement(
      """
      insert into \(table.name) (\(table.columns.joined(separator: ", ")))
      values (\(table.columns.map { _ in "?" }.joined(separator: ", ")))
      """)
    for values in table.rows(judgement) {
      try beforeWrite?(table.name)
      try row.run(values)
    }
  }

  /// Of everything `applyVerdicts` writes.
  private static func hash(of judgement: Judgement) -> String {
    var hasher = StableHash()
    hasher.combine(judgement.policyHash)
    for table in JudgedTable.all {
      var count: Int64 = 0
      for values in table.rows(judgement) {
        for value in values { hasher.combine(value) }
        count += 1
      }
      hasher.combine(count)
    }
    return hasher.hexadecimal
  }
}
