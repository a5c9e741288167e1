internal import Flows
internal import GRDB
internal import GRDBSQLite

/// The hot half of the store: the rows of a batch and the dictionary entries they need.
///
/// Keeps, per parser, the row id of each local dictionary id, and the statements; nothing else grows with what was read.
final class BatchWriter {
  /// Row ids by local id.
  struct IdMaps {
    var sources: [Int64] = []
    var destinations: [Int64] = []
    var outcomes: [Int64] = []
    var pathTemplates: [Int64] = []
  }

  private var maps: [Int: IdMaps] = [:]
  private let content: UnsafeMutablePointer<BatchTable.Content>
  private let image: RowImage
  /// Rows go through `image` where it has room; a test that compares turns it off.
  var copiesRecords = true
  /// What this connection's `EntryTable` shows.
  let entries: UnsafeMutablePointer<EntryTable.Content>
  private var statements: Statements?
  private var keptRejected: [Int64: Int] = [:]
  private var keptRejectedTotal = 0
  private(set) var isJudged = false
  /// Snapshots of the cluster came in with this transaction.
  var hasNewLooks = false
  /// Flows that get no row, since the last commit.
  let tally = TallyWriter()
  /// By row id: a flow to it that is no exception has a row.
  var isMet: [Bool]?
  var destinations = FirstDestinations()

  struct Statements {
    let sources, destinations, outcomes, pathTemplates: DictionaryTable
    let rows, lastRow, mark, count, rejected, minute, openMinute, print, met: Statement
  }

  init(_ db: Database) throws(StoreError) {
    content = .allocate(capacity: 1)
    content.initialize(to: BatchTable.Content())
    guard let connection = db.sqliteConnection else { preconditionFailure("a connection that was just opened") }
    try BatchTable.register(on: connection, content: content)
    entries = .allocate(capacity: 1)
    entries.initialize(to: EntryTable.Content())
    try EntryTable.register(on: connection, content: entries)
    image = try RowImage(db)
    let seed = try BatchWriter.hashSeed(db)
    let hash: ([Value]) -> Int64 = { DictionaryTable.hash($0, seed: seed) }
    let columns = BatchTable.columns.joined(separator: ", ")
    statements = Statements(
      sources: try DictionaryTable("source", kind: 1, columns: Source.storedColumns, on: db, rows: entries, hash: hash),
      destinations: try DictionaryTable(
        "destination", kind: 2, columns: Destination.storedColumns, on: db, rows: entries, hash: hash),
      outcomes: try DictionaryTable(
        "outcome", kind: 3, columns: Outcome.storedColumns, on: db, rows: entries, hash: hash),
      pathTemplates: try DictionaryTable(
        "path_template", kind: 4, columns: ["path"], on: db, rows: entries, hash: hash),
      rows: try db.statement(
        "insert into flow (\(columns)) select \(columns) from \(BatchTable.name)", isKept: true),
      lastRow: try db.statement("select max(id) from flow", isKept: true),
      mark: try db.statement(
        "insert or replace into line_mark (log, line, position) values (?, ?, ?)", isKept: true),
      count: try db.statement(
        """
        insert into line_count (log, what, name, count) values (?, ?, ?, ?)
        on conflict (log, what, name) do update set count = count + excluded.count
        """, isKept: true),
      rejected: try db.statement(
        "insert into rejected_line (log, line, reason, detail, text) values (?, ?, ?, ?, ?)", isKept: true),
      minute: try db.statement(
        "insert or replace into flow_minute (minute, first_flow, last_flow, flows) values (?, ?, ?, ?)", isKept: true),
      openMinute: try db.statement("insert or ignore into open_minute (minute) values (?)", isKept: true),
      print: try db.statement(
        "insert or replace into line_print (log, first_line, prints) values (?, ?, ?)", isKept: true),
      met: try db.statement(
        """
        insert or ignore into met_destination (destination)
        select \(EntryTable.columns(1)[0]) from \(EntryTable.name)
        """, isKept: true))
    try forget(db)
  }

  deinit {
    content.deinitialize(count: 1)
    content.deallocate()
    entries.deinitialize(count: 1)
    entries.deallocate()
  }

  /// Of this store alone, and in no log: what is in the logs cannot have been made to collide.
  private static func hashSeed(_ db: Database) throws(StoreError) -> UInt64 {
    let row = try db.statement("select value from meta where key = 'hash_seed'")
    if try !row.step() {
      row.reset()
      try seed(db)
      guard try row.step() else {
        throw .sqlite(code: SQLITE_CORRUPT, message: "the store's hash seed is missing", sql: nil)
      }
    }
    guard let seed = row.text(0).flatMap({ UInt64($0) }) else {
      throw .sqlite(code: SQLITE_CORRUPT, message: "the store's hash seed is no number", sql: nil)
    }
    return seed
  }

  /// Gives a new store its seed.
  static func seed(_ db: Database) throws(StoreError) {
    try db.statement("insert or ignore into meta (key, value) values ('hash_seed', ?)")
      .run(.text(String(UInt64.random(in: .min ... .max))))
  }

  /// Statements must go before the connection does.
  func finalize() {
    statements = nil
    image.finalize()
  }

  /// To be called after each commit and rollback.
  func transactionEnded() {
    image.transactionEnded()
    hasNewLooks = false
  }

  /// Memory of the last batches that the next one can do without.
  func giveBack() { image.giveBack() }

  /// After a rollback nothing is known of what the file holds.
  func forget(_ db: Database) throws(StoreError) {
    maps.removeAll()
    if let statements {
      for table in [statements.sources, statements.destinations, statements.outcomes, statements.pathTemplates] {
        try table.forget(db)
      }
    }
    tally.forget()
    isMet = nil
    destinations = try FirstDestinations(db)
    keptRejected.removeAll()
    let kept = try db.statement("select log, count(*) from rejected_line group by log order by log")
    while try kept.step() { keptRejected[kept.int(0)] = Int(kept.int(1)) }
    keptRejectedTotal = keptRejected.values.reduce(0, +)
    let flag = try db.statement("select value from meta where key = 'judged'")
    isJudged = try flag.step() && flag.text(0) == "1"
  }

  func setJudged(_ judged: Bool, on db: Database) throws(StoreError) {
    guard judged != isJudged else { return }
    try db.statement("insert or replace into meta (key, value) values ('judged', ?)")
      .run(.text(judged ? "1" : "0"))
    isJudged = judged
  }

  /// Writes the flows that have no row, before a commit.
  func closeTally(_ db: Database, _ beforeWrite: ((String) throws(StoreError) -> Void)?) throws(StoreError) {
    try tally.close(db, beforeWrite)
  }

  /// - Parameter sieve: says which flows need no row of their own; nil gives a row to each.
  func append(
    _ batch: FlowBatch, log: LogRecord, firstLine: Int64, position: Int64, parser: Int, sieve: (any FlowSieve)?,
    on db: Database, beforeWrite: ((String) throws(StoreError) -> Void)?
  ) throws(StoreError) -> ClosedRange<Int64>? {
    guard let statements else { throw .sqlite(code: SQLITE_MISUSE, message: "the store is closed", sql: nil) }
    guard batch.linesRead > 0 || !batch.newSources.isEmpty else { return nil }
    var rows: ClosedRange<Int64>?
    let record = log
    let log = record.id
    try resolve(batch, log: record, parser: parser, sieve, statements, on: db, beforeWrite)
    if batch.count > 0 {
      try check(batch, maps[parser]!)
      var count = batch.count
      if let sieve { count = try sift(batch, log: log, maps[parser]!, sieve, statements, on: db, beforeWrite) }
      if count > 0 {
        try beforeWrite?("rows")
        let stored = try insertRows(batch.rows, count, maps[parser]!, statements, on: db)
        rows = stored
        try beforeWrite?("minutes")
        try noteMinutes(batch.rows, count, firstFlow: stored.lowerBound, statements)
      }
    }
    if batch.linesRead > 0 {
      try beforeWrite?("line mark")
      try statements.mark.run(.integer(log), .integer(firstLine), .integer(position))
    }
    try beforeWrite?("line counts")
    try count("stored", batch.storedByFormat, log: log, statements)
    try count("rejected", batch.rejectedByReason, log: log, statements)
    try count("skipped", batch.skippedByKind, log: log, statements)
    try keep(batch.rejected, log: log, statements, beforeWrite)
    return rows
  }

  /// Gives every new dictionary entry of the batch its row.
  private func resolve(
    _ batch: FlowBatch, log record: LogRecord, parser: Int, _ sieve: (any FlowSieve)?, _ statements: Statements,
    on db: Database, _ beforeWrite: ((String) throws(StoreError) -> Void)?
  ) throws(StoreError) {
    let log = record.id
    // Taken out and put back, so that the arrays are grown in place.
    var ids = maps.removeValue(forKey: parser) ?? IdMaps()
    defer { maps[parser] = ids }
    var hasNew = false

    func add<Entry>(
      _ entries: [Entry], from first: Int32, to map: inout [Int64], _ table: DictionaryTable,
      _ values: (Entry) -> [Value]
    ) throws(StoreError) {
      guard !entries.isEmpty else { return }
      // A lower number than expected: the parser has started its dictionary anew.
      guard first >= 0, Int(first) <= map.count else { throw .unknownEntry(kind: table.name, id: map.count) }
      map.removeLast(map.count - Int(first))
      let isNew = try table.add(entries.count, to: &map, on: db) { index throws(StoreError) in
        try beforeWrite?(table.name)
        return values(entries[index])
      }
      hasNew = hasNew || isNew
    }

    try add(batch.newSources, from: batch.firstNewSource, to: &ids.sources, statements.sources) {
      $0.storedValues(log: log)
    }
    try add(
      batch.newDestinations, from: batch.firstNewDestination, to: &ids.destinations, statements.destinations
    ) { $0.storedValues }
    // A sieve has them itself.
    if sieve == nil { destinations.add(batch.newDestinations, ids.destinations) } else { destinations.forget() }
    try add(batch.newOutcomes, from: batch.firstNewOutcome, to: &ids.outcomes, statements.outcomes) {
      $0.storedValues
    }
    let needsJudgement = hasNew
    try add(
      batch.newPathTemplates, from: batch.firstNewPathTemplate, to: &ids.pathTemplates, statements.pathTemplates
    ) { [.text($0)] }
    if needsJudgement { try setJudged(false, on: db) }
    guard let sieve else { return }
    guard !(batch.newSources.isEmpty && batch.newDestinations.isEmpty && batch.newOutcomes.isEmpty) else { return }
    var sources: [(id: Int64, source: Source)] = []
    for (id, source) in zip(ids.sources.suffix(batch.newSources.count), batch.newSources) {
      sources.append((id, source.of(log: log)))
    }
    var destinations: [(id: Int64, destination: Destination)] = []
    destinations.reserveCapacity(batch.newDestinations.count)
    for (id, destination) in zip(ids.destinations.suffix(batch.newDestinations.count), batch.newDestinations) {
      destinations.append((id, destination))
    }
    var outcomes: [(id: Int64, outcome: Outcome)] = []
    for (id, outcome) in zip(ids.outcomes.suffix(batch.newOutcomes.count), batch.newOutcomes) {
      outcomes.append((id, outcome))
    }
    sieve.learn(sources: sources, destinations: destinations, outcomes: outcomes, of: record)
  }

  /// One pass over the ids here, so that neither the table's columns nor the tally need checks.
  private func check(_ batch: FlowBatch, _ ids: IdMaps) throws(StoreError) {
    precondition(batch.count <= batch.capacity)
    for index in 0..<batch.count {
      let row = batch.rows + index
      guard row.pointee.source >= 0, Int(row.pointee.source) < ids.sources.count else {
        throw .unknownEntry(kind: "source", id: Int(row.pointee.source))
      }
      guard row.pointee.destination >= 0, Int(row.pointee.destination) < ids.destinations.count else {
        throw .unknownEntry(kind: "destination", id: Int(row.pointee.destination))
      }
      guard row.pointee.outcome >= 0, Int(row.pointee.outcome) < ids.outcomes.count else {
        throw .unknownEntry(kind: "outcome", id: Int(row.pointee.outcome))
      }
      guard Int(row.pointee.pathTemplate) < ids.pathTemplates.count else {
        throw .unknownEntry(kind: "path_template", id: Int(row.pointee.pathTemplate))
      }
    }
  }

  /// - Returns: the ids of the rows: consecutive, as one insert gives them.
  private func insertRows(
    _ rows: UnsafeMutablePointer<FlowRow>, _ count: Int, _ ids: IdMaps, _ statements: Statements, on db: Database
  ) throws(StoreError) -> ClosedRange<Int64> {
    var last: Int64 = 0
    while try statements.lastRow.step() { last = statements.lastRow.int(0) }
    // The pointers are valid inside these closures only, and so is the table's content.
    let failure: StoreError? = ids.sources.withUnsafeBufferPointer { sources in
      ids.destinations.withUnsafeBufferPointer { destinations in
        ids.outcomes.withUnsafeBufferPointer { outcomes in
          ids.pathTemplates.withUnsafeBufferPointer { pathTemplates in
            let rows = BatchTable.Content(
              rows: UnsafePointer(rows), count: count, sources: sources.baseAddress,
              destinations: destinations.baseAddress, outcomes: outcomes.baseAddress,
              pathTemplates: pathTemplates.baseAddress)
            do throws(StoreError) {
              if copiesRecords, try image.insert(rows, firstID: last &+ 1) { return nil }
              content.pointee = rows
              defer { content.pointee = BatchTable.Content() }
              while try statements.rows.step() {}
              return nil
            } catch {
              return error
            }
          }
        }
      }
    }
    if let failure { throw failure }
    last = db.lastInsertedRowID
    return last - Int64(count) + 1...last
  }

  /// Where the flows of each minute stand, and that their hops are to be joined.
  private func noteMinutes(
    _ rows: UnsafeMutablePointer<FlowRow>, _ count: Int, firstFlow: Int64, _ statements: Statements
  ) throws(StoreError) {
    var minutes: [Int64: (first: Int, last: Int, flows: Int64)] = [:]
    var present = Int64.min
    var first = 0
    func close(_ end: Int) {
      guard end > first else { return }
      let known = minutes[present]
      minutes[present] = (known?.first ?? first, end - 1, (known?.flows ?? 0) + Int64(end - first))
    }
    for index in 0..<count {
      let minute = FlowStore.minute(of: (rows + index).pointee.startedAtMs)
      guard minute != present else { continue }
      close(index)
      present = minute
      first = index
    }
    close(count)
    for (minute, range) in minutes {
      try statements.minute.run(
        .integer(minute), .integer(firstFlow + Int64(range.first)), .integer(firstFlow + Int64(range.last)),
        .integer(range.flows))
      try statements.openMinute.run(.integer(minute))
    }
  }

  private func count(
    _ what: String, _ counts: [String: Int], log: Int64, _ statements: Statements
  ) throws(StoreError) {
    for (name, count) in counts where count != 0 {
      try statements.count.run(.integer(log), .text(what), .text(name), .integer(Int64(count)))
    }
  }

  private func keep(
    _ lines: [RejectedLine], log: Int64, _ statements: Statements,
    _ beforeWrite: ((String) throws(StoreError) -> Void)?
  ) throws(StoreError) {
    for line in lines {
      guard keptRejected[log, default: 0] < FlowStore.maxRejectedPerLog,
        keptRejectedTotal < FlowStore.maxRejected
      else { return }
      try beforeWrite?("rejected line")
      try statements.rejected.run(
        .integer(log), .integer(line.line), .text(line.reason), line.detail.isEmpty ? .null : .text(line.detail),
        .text(
          Redaction().text(
            String(decoding: line.text.prefix(RejectedLine.maxText), as: UTF8.self),
            isCut: line.text.count >= RejectedLine.maxText)))
      keptRejected[log, default: 0] += 1
      keptRejectedTotal += 1
    }
  }
}
