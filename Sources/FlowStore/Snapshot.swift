internal import GRDB
internal import Glibc

/// What is in a store, for `gatewatch db info`.
public struct StoreInfo: Sendable, Codable, Equatable {
  public var path: String
  /// Bytes of the file and of the WAL beside it.
  public var bytes: Int64
  public var walBytes: Int64
  public var schemaVersion: Int
  public var sqliteVersion: String
  public var logs: Int64
  public var flows: Int64
  public var sources: Int64
  public var destinations: Int64
  public var outcomes: Int64
  public var rejectedLines: Int64
  /// Flows that rollups stand for, and the bytes of these.
  public var rolledUpFlows: Int64
  public var rollupBytes: Int64
  /// Flows that have no row, and the bytes of what is kept of them.
  public var talliedFlows: Int64
  public var tallyBytes: Int64
  /// Earliest start and latest end of all flows, Unix milliseconds.
  public var firstMs: Int64?
  public var lastMs: Int64?
  public var policyFile: String?
  public var isJudged: Bool
}

extension FlowReader {
  public func info() throws -> StoreInfo {
    let names = [
      "(select count(*) from log)", "(select coalesce(sum(stored - pruned), 0) from log)",
      "(select count(*) from source where sender is null)", "(select count(*) from destination)",
      "(select count(*) from outcome)",
      "(select coalesce(sum(rejected), 0) from log)", "(select min(first_ms) from log)",
      "(select max(last_ms) from log)", "(select value from meta where key = 'policy_file')",
      "(select value from meta where key = 'judged')", "sqlite_version()",
      "(select coalesce(sum(flows), 0) from rollup_run)", "(select coalesce(sum(length(content)), 0) from rollup_part)",
      "(select coalesce(sum(tallied), 0) from log)",
      "(select coalesce(sum(length(content)), 0) from tally_part) + (select coalesce(sum(length(prints)), 0) from line_print)",
    ]
    guard let row = try rows("select \(names.joined(separator: ", "))").rows.first else {
      preconditionFailure("a select without a table has one row")
    }
    func size(_ path: String) -> Int64 {
      var status = stat()
      return stat(path, &status) == 0 ? Int64(status.st_size) : 0
    }
    return StoreInfo(
      path: path, bytes: size(path), walBytes: size(path + "-wal"),
      schemaVersion: Int(try value("pragma user_version")?.integer ?? 0), sqliteVersion: row[10].text ?? "",
      logs: row[0].integer ?? 0, flows: row[1].integer ?? 0, sources: row[2].integer ?? 0,
      destinations: row[3].integer ?? 0, outcomes: row[4].integer ?? 0, rejectedLines: row[5].integer ?? 0,
      rolledUpFlows: row[11].integer ?? 0, rollupBytes: row[12].integer ?? 0,
      talliedFlows: row[13].integer ?? 0, tallyBytes: row[14].integer ?? 0,
      firstMs: row[6].integer, lastMs: row[7].integer, policyFile: row[8].text, isJudged: row[9].text == "1")
  }

  /// Looks for damage: SQLite's own check, then our sums. One sentence per problem; none when all is well.
  public func check() throws -> [String] {
    var problems: [String] = []
    try query("pragma integrity_check") { row in
      if let text = row.first?.text, text != "ok" { problems.append(text) }
    }
    // One transaction, so that a writer's commit between two sums is no problem found.
    try access { try $0.execute(sql: "begin") }
    defer { try? access { try $0.execute(sql: "commit") } }
    problems += try access { try RollupCheck.problems($0) }
    problems += try access { try TallyReading.problems($0) }
    for check in FlowReader.checks {
      try query(check.sql) { row in
        problems.append(check.problem(row.map { $0.text ?? $0.integer.map(String.init) ?? "nothing" }))
      }
    }
    return problems
  }

  /// Each statement's rows are problems.
  private static let checks: [(sql: String, problem: @Sendable ([String]) -> String)] = [
    (
      """
      select log, minute
      from tallied_minute
      where minute not between -(1 << 36) + 1 and (1 << 36) - 1
        or log not in (select id from log)
      order by log, minute
      """, { "log \($0[0]): flows without rows in minute \($0[1]), which no line can have" }
    ),
    (
      """
      with flows_of_log as (
        select s.log, sum(f.flows) as flows
        from (select source, count(*) as flows from flow group by source) f
        join source s on s.id = f.source
        group by s.log
      )
      select l.path, l.id, l.stored - l.pruned - l.tallied, coalesce(c.flows, 0)
      from log l
      left join flows_of_log c on c.log = l.id
      where l.stored - l.pruned - l.tallied <> coalesce(c.flows, 0)
      order by l.id
      """, { "\($0[0]) (log \($0[1])): \($0[2]) flows by its counter, \($0[3]) in the table" }
    ),
    (
      """
      select path, id, read, stored + rejected + skipped
      from log
      where read <> stored + rejected + skipped
      order by id
      """, { "\($0[0]) (log \($0[1])): \($0[2]) lines read, \($0[3]) stored, rejected and skipped" }
    ),
    (
      """
      with counted as (
        select log, what, sum(count) as lines
        from line_count
        group by log, what
      )
      select l.path, l.id, c.what, c.lines,
        case c.what when 'stored' then l.stored when 'rejected' then l.rejected else l.skipped end as total
      from counted c
      join log l on l.id = c.log
      where c.lines <> case c.what when 'stored' then l.stored when 'rejected' then l.rejected else l.skipped end
      order by l.id, c.what
      """, { "\($0[0]) (log \($0[1])): \($0[3]) lines \($0[2]) by kind, \($0[4]) in total" }
    ),
    (
      """
      select count(*)
      from flow f
      left join source s on s.id = f.source
      left join destination d on d.id = f.destination
      left join outcome o on o.id = f.outcome
      left join log l on l.id = s.log
      where s.id is null or d.id is null or o.id is null or l.id is null
      having count(*) > 0
      """, { "\($0[0]) flows refer to a source, destination, outcome or log that is not there" }
    ),
    (
      """
      select count(*)
      from relayed_flow r
      left join flow f on f.id = r.flow
      left join source s on s.id = r.source and s.received_as = f.source
      left join source o on o.id = s.sender
      where o.id is null
      having count(*) > 0
      """, { "\($0[0]) flows have a sender that is not there" }
    ),
  ]

  /// Writes a copy that any SQLite program can open anywhere: one file, no WAL, journal mode DELETE.
  ///
  /// The copy is made beside its place and gets its name when it is whole and on the disk; an existing file is never replaced.
  /// - Parameter isGroupReadable: mode 0640 instead of 0600.
  public func snapshot(to target: String, isGroupReadable: Bool = false) throws(StoreError) {
    var status = stat()
    guard lstat(target, &status) != 0 else { throw .exists(path: target) }
    var template = Array((target + ".XXXXXX").utf8CString)
    let descriptor = mkstemp(&template)
    guard descriptor >= 0 else { throw .file(path: target, reason: "cannot create: \(systemMessage())") }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    let temporary = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer {
      Glibc.close(descriptor)
      unlink(temporary)
      unlink(temporary + "-journal")
    }
    do {
      // Into an empty file of our own: SQLite accepts that, and keeps its mode.
      try access { try $0.execute(sql: "pragma query_only = off") }
      defer { try? access { try $0.execute(sql: "pragma query_only = on") } }
      try query("vacuum into :target", arguments: ["target": .text(temporary)], allowsWriting: true) { _ in }
      var configuration = Configuration()
      configuration.label = "gatewatch.snapshot"
      let copy = try DatabaseQueue(path: temporary, configuration: configuration)
      try copy.writeWithoutTransaction { db in
        try db.execute(sql: "pragma journal_mode = delete")
        // Of the copy all will be on the disk.
        if try Filling.isMarked(db) { try Filling.end(db) }
      }
      try copy.close()
    } catch let error as StoreError {
      throw error
    } catch let error as DatabaseError {
      throw StoreError(error)
    } catch {
      throw .file(path: target, reason: "\(error)")
    }
    guard fchmod(descriptor, isGroupReadable ? 0o640 : 0o600) == 0, fsync(descriptor) == 0 else {
      throw .file(path: target, reason: "cannot finish: \(systemMessage())")
    }
    // Unlike rename, link never replaces a file that came to be in the meantime.
    guard link(temporary, target) == 0 else {
      if errno == EEXIST { throw .exists(path: target) }
      throw .file(path: target, reason: "cannot name the copy: \(systemMessage())")
    }
    // The name, too, is to outlive a loss of power.
    let folder = open(target.contains("/") ? String(target[...target.lastIndex(of: "/")!]) : ".", O_RDONLY | O_CLOEXEC)
    guard folder >= 0 else { return }
    defer { Glibc.close(folder) }
    _ = fsync(folder)
  }
}
