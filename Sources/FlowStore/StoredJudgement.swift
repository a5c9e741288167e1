internal import Flows
internal import GRDB

/// What a store notes of the judgement whose verdicts it holds.
struct StoredJudgement: Equatable {
  /// Together with `revision` it stands for the verdicts of all flows that were judged by then: another name, or another revision,
  /// and some flow may have another verdict than it had. What only adds verdicts for what is new keeps both.
  var name: String
  /// Counts what changed verdicts without changing the verdict tables.
  var revision = 0
  /// Hash of all that the verdict tables hold.
  var tables: String
  /// As `FlowStore.judgedPolicyHash`.
  var policyHash: String

  init(tables: String, policyHash: String) {
    name = tables
    (self.tables, self.policyHash) = (tables, policyHash)
  }

  /// Nil before the first judgement, and where flows were pruned since.
  init?(on db: Database) throws(StoreError) {
    let row = try db.statement(
      """
      select
        (select value from meta where key = 'judgement'),
        (select value from meta where key = 'judged_tables'),
        (select value from meta where key = 'policy_hash')
      """)
    defer { row.reset() }
    guard try row.step(), let parts = row.text(0)?.split(separator: "-"), let name = parts.first.map(String.init)
    else { return nil }
    self.name = name
    revision = parts.count == 2 ? Int(parts[1]) ?? 0 : 0
    // Stores used to have the name alone, which is the hash of the first tables that had it.
    tables = row.text(1) ?? name
    policyHash = row.text(2) ?? ""
  }

  func write(on db: Database) throws(StoreError) {
    let set = try db.statement("insert or replace into meta (key, value) values (?, ?)")
    try set.run("judgement", .text("\(name)-\(revision)"))
    try set.run("judged_tables", .text(tables))
    try set.run("policy_hash", .text(policyHash))
  }
}

extension FlowStore {
  /// Writes the rows of the verdict tables that differ.
  /// - Returns: whether every verdict that was there is there as it was.
  static func extendVerdicts(
    by judgement: Judgement, on db: Database, _ beforeWrite: ((String) throws(StoreError) -> Void)? = nil
  ) throws(StoreError) -> Bool {
    var isSame = true
    for table in JudgedTable.all where try !extend(table, by: judgement, on: db, beforeWrite) { isSame = false }
    return isSame
  }

  private static func extend(
    _ table: JudgedTable, by judgement: Judgement, on db: Database,
    _ beforeWrite: ((String) throws(StoreError) -> Void)?
  ) throws(StoreError) -> Bool {
    guard let key = table.key else {
      // No verdict refers to its rows.
      try fill(table, by: judgement, on: db, beforeWrite)
      return true
    }
    let rest = table.columns.filter { $0 != key }
    let upsert = try db.statement(
      """
      insert into \(table.name) (\(table.columns.joined(separator: ", ")))
      values (\(table.columns.map { _ in "?" }.joined(separator: ", ")))
      on conflict (\(key)) do update set \(rest.map { "\($0) = excluded.\($0)" }.joined(separator: ", "))
      where (\(rest.joined(separator: ", "))) is not (\(rest.map { "excluded.\($0)" }.joined(separator: ", ")))
      """)
    let before = try count(table, on: db)
    var wanted = 0
    var written = 0
    for values in table.rows(judgement) {
      try beforeWrite?(table.name)
      try upsert.run(values)
      wanted += 1
      written += db.changesCount
    }
    let after = try count(table, on: db)
    // Some are gone.
    if after != wanted { try fill(table, by: judgement, on: db, beforeWrite) }
    return after == wanted && written == after - before
  }

  private static func count(_ table: JudgedTable, on db: Database) throws(StoreError) -> Int {
    let count = try db.statement("select count(*) from \(table.name)")
    defer { count.reset() }
    return try count.step() ? Int(count.int(0)) : 0
  }
}
