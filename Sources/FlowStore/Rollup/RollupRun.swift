internal import GRDB

/// One run as it stands in `rollup_run`: the rows from one id to another, summed up.
struct RollupRun: Sendable {
  var id: Int64 = 0
  var firstFlow: Int64
  var lastFlow: Int64
  var flows: Int64
  var firstMs: Int64
  var lastMs: Int64
  /// The outcomes of the run that are summed up together, because they ended alike and had the protocol in common when the
  /// run was made: each with the one of them that has the lowest row id.
  var outcomes: [(member: Int64, group: Int64)] = []
  /// The sources whose durations are summed up together, because they were of one class then.
  var sources: [(member: Int64, group: Int64)] = []

  /// The tables that hold it.
  var shelf = Shelf.rollup

  /// Where runs stand. Those of rows can be made anew from these; tallies stand for flows that have no row.
  enum Shelf: String, Sendable, CaseIterable {
    case rollup, tally

    /// The table of their bytes.
    var parts: String { "\(rawValue)_part" }
  }

  var ids: ClosedRange<Int64> { firstFlow...lastFlow }
  var scale: RollupScale {
    RollupScale(firstMs: firstMs, lastMs: lastMs, firstFlow: firstFlow, lastFlow: lastFlow)
  }

  // MARK: In the store

  private static let columns = "id, first_flow, last_flow, flows, first_ms, last_ms, members"

  /// The runs of this version, by the rows they stand for; runs that make no sense are left out, so that their rows are
  /// looked at instead.
  static func all(_ db: Database) throws(StoreError) -> [RollupRun] {
    let row = try db.statement("select \(columns) from rollup_run where version = ? order by first_flow")
    row.bind(RollupCode.version, at: 1)
    var runs: [RollupRun] = []
    while try row.step() {
      guard let run = read(row, .rollup), run.firstFlow > runs.last?.lastFlow ?? .min else { continue }
      runs.append(run)
    }
    return runs
  }

  /// The runs of flows without rows, oldest first.
  static func tallies(_ db: Database, after id: Int64 = 0) throws(StoreError) -> [RollupRun] {
    let row = try db.statement("select \(columns), version from tally_run where id > ? order by id")
    row.bind(id, at: 1)
    var runs: [RollupRun] = []
    while try row.step() {
      // Nothing else tells of these flows: to leave them out would be to say less than was read.
      guard row.int(7) == RollupCode.version, let run = read(row, .tally) else {
        throw .sqlite(
          code: 11, message: "the tally \(row.int(0)) of flows without rows makes no sense to this program", sql: nil)
      }
      runs.append(run)
    }
    return runs
  }

  private static func read(_ row: Statement, _ shelf: Shelf) -> RollupRun? {
    var run = RollupRun(
      firstFlow: row.int(1), lastFlow: row.int(2), flows: row.int(3), firstMs: row.int(4), lastMs: row.int(5))
    run.id = row.int(0)
    run.shelf = shelf
    guard run.id > 0, run.id < mostIDs, run.firstFlow >= 0, run.firstFlow <= run.lastFlow, run.lastFlow < .max,
      run.firstMs <= run.lastMs,
      run.read(members: row.blob(6) ?? [])
    else { return nil }
    return run
  }

  static let mostIDs: Int64 = 1 << 31

  func insert(_ content: RollupContent, _ db: Database) throws(StoreError) {
    try insert(db)
    let part = try partInsert(db)
    for (kind, chunks) in [content.counts, content.durations].enumerated() {
      for (chunk, bytes) in chunks.sorted(by: { $0.key < $1.key }) { try insert(kind, chunk, bytes, part) }
    }
  }

  /// What is known of the run as a whole.
  func insert(_ db: Database) throws(StoreError) {
    try db.statement(
      """
      insert into \(shelf.rawValue)_run (id, first_flow, last_flow, flows, first_ms, last_ms, version, members)
      values (?, ?, ?, ?, ?, ?, ?, ?)
      """
    ).run(
      .integer(id), .integer(firstFlow), .integer(lastFlow), .integer(flows), .integer(firstMs), .integer(lastMs),
      .integer(RollupCode.version), .blob(members))
  }

  /// For many parts.
  func partInsert(_ db: Database) throws(StoreError) -> Statement {
    try db.statement("insert into \(shelf.parts) (id, content) values (?, ?)")
  }

  func insert(_ kind: Int, _ chunk: Int64, _ bytes: RollupBytes, _ db: Database) throws(StoreError) {
    try insert(kind, chunk, bytes, partInsert(db))
  }

  /// - Parameter insert: as `partInsert` makes it.
  func insert(_ kind: Int, _ chunk: Int64, _ bytes: RollupBytes, _ insert: Statement) throws(StoreError) {
    guard bytes.count > 0 else { return }
    insert.bind(part(kind, chunk), at: 1)
    let failure = bytes.withBytes { insert.failure(withUnmoved: $0, at: 2) }
    if let failure { throw failure }
  }

  func delete(_ kind: Int, _ chunk: Int64, _ db: Database) throws(StoreError) {
    try db.statement("delete from \(shelf.parts) where id = ?").run(.integer(part(kind, chunk)))
  }

  func delete(_ db: Database) throws(StoreError) {
    try db.statement("delete from \(shelf.rawValue)_run where id = ?").run(.integer(id))
    try db.statement("delete from \(shelf.parts) where id between ? and ?")
      .run(.integer(parts.lowerBound), .integer(parts.upperBound))
  }

  func part(_ kind: Int, _ chunk: Int64) -> Int64 { id << 32 | Int64(kind) << 31 | chunk }

  func parts(_ kind: Int) -> ClosedRange<Int64> { part(kind, 0)...part(kind, RollupRun.chunkMask) }

  /// Of both kinds.
  var parts: ClosedRange<Int64> { part(0, 0)...part(1, RollupRun.chunkMask) }

  static func chunk(ofPart id: Int64) -> Int64 { id & chunkMask }

  static func kind(ofPart id: Int64) -> Int { Int(id >> 31 & 1) }

  private static let chunkMask: Int64 = 1 << 31 - 1

  private var members: [UInt8] {
    var bytes = RollupBytes()
    for list in [outcomes, sources] {
      bytes.varint(UInt64(list.count))
      var before: Int64 = 0
      for (member, group) in list {
        bytes.varint(member - before)
        bytes.varint(member - group)
        before = member
      }
    }
    return bytes.bytes
  }

  private mutating func read(members: [UInt8]) -> Bool {
    let padded = members + [UInt8](repeating: 0, count: RollupCode.slack)
    return padded.withUnsafeBytes { bytes in
      var reader = RollupReader(UnsafeRawBufferPointer(rebasing: bytes[..<members.count]))
      func list() -> [(member: Int64, group: Int64)]? {
        let count = reader.varint()
        guard count >= 0, count <= members.count else { return nil }
        var list: [(member: Int64, group: Int64)] = []
        var member: Int64 = 0
        for _ in 0..<count {
          guard !reader.isAtEnd else { return nil }
          member &+= reader.varint()
          list.append((member, member &- reader.varint()))
        }
        return list
      }
      guard let outcomes = list(), let sources = list(), !reader.isBroken else { return false }
      (self.outcomes, self.sources) = (outcomes, sources)
      return true
    }
  }

  // MARK: For a question

  /// Whether the run can answer, wholly or by having nothing to say: what is summed up together has to be alike still, and
  /// alike for the request.
  func isUsable(for request: TallyRequest, _ tables: VerdictTables) -> Bool {
    if isOutside(request) || shelf == .tally { return true }
    guard canAnswer(request) else { return false }
    let classes = tables.outcomeClasses
    for (member, group) in outcomes where member != group {
      guard member >= 0, member < classes.count, group >= 0, group < classes.count,
        classes[Int(member)] == classes[Int(group)], classes[Int(member)] != 0
      else { return false }
    }
    guard request.measuresDurations, let groups = request.sourceGroups else { return true }
    func shown(_ source: Int64) -> Int32 { source >= 0 && source < groups.count ? max(groups[Int(source)], -1) : -1 }
    return sources.allSatisfy { shown($0.member) == shown($0.group) }
  }

  /// Whether nothing about the times that are asked for keeps the run from answering: its entries tell of no time between
  /// their first flow and their last. Nothing else tells of the flows of a tally.
  func canAnswer(_ request: TallyRequest) -> Bool {
    if shelf == .tally { return true }
    if request.stepMs != nil || request.measuresEnds { return false }
    return firstMs >= request.sinceMs ?? .min && (request.untilMs == nil || lastMs < request.untilMs!)
  }

  /// Whether none of its flows lies in the request's time.
  func isOutside(_ request: TallyRequest) -> Bool {
    lastMs < request.sinceMs ?? .min || request.untilMs != nil && firstMs >= request.untilMs!
  }

  /// The row ids that no run stands for.
  static func ranges(without runs: [RollupRun]) -> [ClosedRange<Int64>] {
    var ranges: [ClosedRange<Int64>] = []
    var next = Int64.min
    for run in runs {
      if run.firstFlow > next { ranges.append(next...run.firstFlow - 1) }
      next = run.lastFlow + 1
    }
    ranges.append(next...Int64.max)
    return ranges
  }
}

/// The bytes of a run, by chunk.
struct RollupContent: Sendable {
  var counts: [Int64: RollupBytes] = [:]
  var durations: [Int64: RollupBytes] = [:]

  /// Appends blocks of destinations, which come in ascending order.
  struct Blocks {
    private var present: Int64 = -1
    private var before: Int64 = 0
    private var bytes = RollupBytes()
    private(set) var chunks: [Int64: RollupBytes] = [:]

    mutating func append(_ destination: Int64, _ block: RollupBytes) {
      guard block.count > 0 else { return }
      turn(to: destination >> RollupCode.chunkBits)
      bytes.varint(destination - before)
      before = destination
      bytes.varint(UInt64(block.count))
      bytes.append(block)
    }

    /// - Parameter blocks: of several destinations of one chunk, which are in `made`.
    mutating func append(_ blocks: RollupSums.Blocks, of made: RollupBytes) {
      turn(to: blocks.first >> RollupCode.chunkBits)
      bytes.varint(blocks.first - before)
      before = blocks.last
      bytes.append(made, blocks.bytes)
    }

    private mutating func turn(to chunk: Int64) {
      guard chunk != present else { return }
      close()
      present = chunk
      before = chunk << RollupCode.chunkBits
    }

    /// The room stays for the next chunk.
    mutating func close() {
      guard bytes.count > 0 else { return }
      var chunk = RollupBytes(capacity: bytes.count)
      chunk.append(bytes)
      chunks[present] = chunk
      bytes.removeAll()
    }
  }
}
