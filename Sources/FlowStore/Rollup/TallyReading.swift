internal import Flows
internal import GRDB

/// What tallies say, entry by entry, for those who look at all of them.
enum TallyReading {
  /// Calls `body` with the counts of each destination; false when bytes make no sense.
  static func forEach(
    in run: RollupRun, _ db: Database, _ body: (_ destination: Int64, _ entry: RollupCount) -> Void
  ) throws(StoreError) -> Bool {
    let part = try db.statement("select id, content from tally_part where id between ? and ? order by id")
    part.bind(run.parts(0), at: 1)
    while try part.step() {
      let number = RollupRun.chunk(ofPart: part.int(0))
      guard let chunk = part.withBlob(1, { RollupChunk(number, $0) }) else { return false }
      for destination in chunk.destinations {
        var reader = RollupCountReader(chunk.block(of: destination)!, run.scale)
        while reader.next() { body(destination, reader.entry) }
        if reader.isBroken { return false }
      }
    }
    return true
  }

  /// One sentence per tally that does not say what it should, and per log of which they say something else than its counter.
  static func problems(_ db: Database) throws(StoreError) -> [String] {
    var problems: [String] = []
    var logs: [Int64: Int64] = [:]
    let source = try db.statement("select id, log from source order by id")
    while try source.step() { logs[source.int(0)] = source.int(1) }
    var tallied: [Int64: Int64] = [:]
    for run in try RollupRun.tallies(db) {
      var flows: Int64 = 0
      let isWhole = try forEach(in: run, db) { _, entry in
        flows &+= entry.flows
        tallied[logs[entry.source] ?? -1, default: 0] &+= entry.flows
      }
      if !isWhole {
        problems.append("the tally \(run.id) of flows without rows cannot be read")
      } else if flows != run.flows {
        problems.append("the tally \(run.id) of flows without rows tells of \(flows) flows instead of \(run.flows)")
      }
    }
    if let lost = tallied.removeValue(forKey: -1) { problems.append("\(lost) flows without rows are of no source") }
    let log = try db.statement("select id, path, tallied from log order by id")
    while try log.step() {
      let found = tallied[log.int(0)] ?? 0
      guard found != log.int(2) else { continue }
      problems.append(
        "\(log.text(1) ?? "") (log \(log.int(0))): \(log.int(2)) flows without rows by its counter, \(found) in the tallies"
      )
    }
    return problems
  }
}

extension FlowReader {
  /// Flows that are in tallies alone: counted by whatever is answered from tallies, and nowhere else.
  public func talliedFlows() throws -> Int64 {
    try value("select coalesce(sum(tallied), 0) from log")?.integer ?? 0
  }
}

/// What tallies show of their logs.
public struct TallyLook: Sendable {
  public var looks: [Int64: LogLook] = [:]
  /// Flows that are a bypass which no exception of the policy allows.
  public var bypassed: Int64 = 0
}

extension FlowStore {
  /// The number of the last tally.
  public func lastTally() throws(StoreError) -> Int64 {
    try unlessBlank(0) { db throws(StoreError) in
      let row = try db.statement("select coalesce(max(id), 0) from tally_run")
      return try row.step() ? row.int(0) : 0
    }
  }

  /// Writes the flows without rows that were taken since the last commit, inside the open transaction.
  public func closeTally() throws(StoreError) {
    try write("close tally") { db throws(StoreError) in try self.writer.closeTally(db, self.beforeWrite) }
  }

  /// Joins small tallies, inside the open transaction. Later than they are written, so that those of one run can be told.
  public func mergeTallies() throws(StoreError) {
    try write("tally merge") { db throws(StoreError) in try TallyWriter.merge(db) }
  }

  /// Tallies that are in memory at once: a run that stores 10 million flows makes a hundred, of a megabyte each.
  private static let looksTogether = 16

  /// What the tallies behind one show by the last judgement.
  public func look(atTalliesAfter id: Int64) throws(StoreError) -> TallyLook {
    try access { db throws(StoreError) in
      var look = TallyLook()
      let runs = try RollupRun.tallies(db, after: id)
      guard !runs.isEmpty, let tables = try VerdictTables(db) else { return look }
      var request = TallyRequest()
      let sources = try db.statement("select id, log from source order by id")
      var groups: [Int32] = []
      var logs: [Int64] = []
      var known: [Int64: Int] = [:]
      while try sources.step() {
        let (source, log) = (Int(clamping: sources.int(0)), sources.int(1))
        let group = known[log] ?? logs.count
        if known.updateValue(group, forKey: log) == nil { logs.append(log) }
        if source >= groups.count { groups += repeatElement(-1, count: source + 1 - groups.count) }
        groups[source] = Int32(group)
      }
      request.sourceGroups = groups
      guard FlowScan.hasRoom(for: request, tables) else { return look }
      let statement = try db.statement(
        TalliedExample.query(
          """
          select
            j.role,
            j.outcome = 'ok' as is_success,
            j.bypass is not null and j.exception_id is null and j.duplicate_view = 0 as is_bypass
          from judged_flow j
          where j.id = :example
          order by j.id
          """))
      let names = statement.parameters.map { String($0.dropFirst()) }
      let verdicts = VerdictGroups(
        statement, example: 0, count: tables.verdictCount * JourneyPlaces.kinds, tallied: (statement, names))
      var next = 0
      while next < runs.count {
        let some = Array(runs[next..<min(next + FlowStore.looksTogether, runs.count)])
        next += some.count
        let tallied = try RollupTally(request, some, tables, verdicts, nil) { runs, kind throws(StoreError) in
          try ChunkReading.chunks(of: runs, kind, db)
        }
        guard let tally = tallied else { continue }
        for group in try tally.run(adding: GroupSums())?.groups ?? GroupList([]) {
          let words = verdicts.verdicts[group.verdict]
          let one = LogLook(
            roles: words[0].text.flatMap(Role.init(rawValue:)).map { [$0] } ?? [], hasSuccess: words[1].integer == 1)
          let log = logs[group.source]
          look.looks[log] = (look.looks[log] ?? LogLook()).merged(with: one)
          if words[2].integer == 1 { look.bypassed += group.flows }
        }
      }
      return look
    }
  }

  /// Notes that some flow has another verdict than it had when it was stored, so that alert looks at all of them again.
  public func noteLateVerdicts() throws(StoreError) {
    try write("late verdicts") { db throws(StoreError) in
      guard var judgement = try StoredJudgement(on: db) else { return }
      judgement.revision &+= 1
      try judgement.write(on: db)
    }
  }
}
