internal import Flows
internal import GRDB
internal import GRDBSQLite

/// Sums up flows that get no row: takes them in until the next commit, then writes them as a run, in the transaction that
/// also moves the reading positions.
///
/// What cannot be summed up is not taken, and gets a row: ids or outcomes beyond what a key has room for, and times so far
/// apart that hours could not be told apart.
final class TallyWriter {
  private let slice = TallySlice()
  private var taken: [Int64: Int64] = [:]
  /// Minutes of starts and ends.
  private var minutes: Set<LogMinute> = []
  /// One of `minutes` for each number that the low bits of a minute can be: starts and ends go to and fro between a few.
  private let recent = UnsafeMutablePointer<LogMinute>.allocate(capacity: TallyWriter.recentCount)
  private static let recentCount = 256

  private struct LogMinute: Hashable {
    var log, minute: Int64

    static let none = LogMinute(log: -1, minute: 0)
  }

  init() { recent.initialize(repeating: .none, count: TallyWriter.recentCount) }

  deinit { recent.deallocate() }

  /// So many flows are worth a run of their own when time moves on.
  private static let worthRun = 512

  /// The slice must be closed before more than this is taken.
  var room: Int { TallySlice.capacity - slice.count }

  func forget() {
    slice.removeAll()
    noteNothing()
  }

  private func noteNothing() {
    (taken, minutes) = ([:], [])
    recent.update(repeating: .none, count: TallyWriter.recentCount)
  }

  /// Whether time has moved on so far that the run should end before a flow of this time.
  @inline(__always)
  func isBehind(_ startedAtMs: Int64) -> Bool {
    guard slice.count >= TallyWriter.worthRun else { return false }
    return RollupGroups.hour(startedAtMs) >= slice.hours.upperBound
  }

  /// False where the flow must get a row.
  @inline(__always)
  func take(_ row: FlowRow, source: Int64, destination: Int64, outcome: Int64, log: Int64) -> Bool {
    guard slice.take(row, source: source, destination: destination, outcome: outcome) else { return false }
    note(row.startedAtMs, log)
    if row.durationMs > 0 { note(row.startedAtMs + row.durationMs, log) }
    return true
  }

  @inline(__always)
  private func note(_ ms: Int64, _ log: Int64) {
    let found = LogMinute(log: log, minute: FlowStore.minute(of: ms))
    // In bounds: the low bits of a minute are less than there are places.
    let place = Int(truncatingIfNeeded: found.minute & Int64(TallyWriter.recentCount - 1))
    guard recent[place] != found else { return }
    recent[place] = found
    minutes.insert(found)
  }

  func note(_ flows: Int64, of log: Int64) { taken[log, default: 0] += flows }

  /// Writes what was taken since the last time.
  func close(_ db: Database, _ beforeWrite: ((String) throws(StoreError) -> Void)?) throws(StoreError) {
    guard var run = slice.sort() else { return }
    defer { slice.removeAll() }
    try beforeWrite?("tally")
    run.id = try TallyWriter.nextNumber(db)
    try run.insert(db)
    let part = try run.partInsert(db)
    for kind in 0...1 {
      try slice.forEachChunk(ofDurations: kind == 1, run.scale) { chunk, bytes throws(StoreError) in
        try run.insert(kind, chunk, bytes, part)
      }
    }
    try beforeWrite?("tally counts")
    let log = try db.statement("update log set tallied = tallied + ?2 where id = ?1")
    for (id, flows) in taken { try log.run(.integer(id), .integer(flows)) }
    let minute = try db.statement("insert or ignore into tallied_minute (minute, log) values (?, ?)")
    for entry in minutes { try minute.run(.integer(entry.minute), .integer(entry.log)) }
    noteNothing()
  }

  /// One that no run had.
  private static func nextNumber(_ db: Database) throws(StoreError) -> Int64 {
    let last = try db.statement("select coalesce(max(id), 0) from tally_run")
    guard try last.step(), last.int(0) < RollupRun.mostIDs - 1 else {
      throw .sqlite(code: SQLITE_FULL, message: "the store has no more numbers for tallies", sql: nil)
    }
    return last.int(0) + 1
  }
}

// MARK: Fewer runs

extension TallyWriter {
  /// Runs of one size that become one.
  private static let fanIn = 4
  private static let smallest: Int64 = 1 << 10

  private static func size(_ run: RollupRun) -> Int {
    var (size, limit) = (0, smallest)
    while run.flows >= limit, limit < 1 << 60 {
      size += 1
      limit *= Int64(fanIn)
    }
    return size
  }

  /// The last runs, if they are of one size and begin in hours that one run can keep apart.
  private static func mergeable(_ runs: [RollupRun]) -> [RollupRun]? {
    guard runs.count >= fanIn else { return nil }
    let last = Array(runs.suffix(fanIn))
    guard last.allSatisfy({ size($0) <= size(last[fanIn - 1]) }) else { return nil }
    let hours = RollupGroups.hour(last.map(\.firstMs).min()!)...RollupGroups.hour(last.map(\.lastMs).max()!)
    // A run as large as a slice gains little from being joined, and would be written again and again.
    guard Int64(hours.count) < RollupGroups.mostHours, last[0].flows < Int64(TallySlice.capacity) / 2 else {
      return nil
    }
    return last
  }

  /// Joins small runs, such as those of a run every few minutes, so that their number stays small.
  static func merge(_ db: Database) throws(StoreError) {
    while let inputs = mergeable(try RollupRun.tallies(db)) {
      guard let merge = RollupMerge(inputs, .exact) else { return }
      var run = merge.run
      run.shelf = .tally
      var content = RollupContent()
      let list = try db.statement("select id, content from tally_part where id between ? and ? order by id")
      var chunks: [[Int: [Int64: RollupChunk]]] = []
      for input in inputs {
        var found: [Int: [Int64: RollupChunk]] = [0: [:], 1: [:]]
        list.bind(input.parts, at: 1)
        while try list.step() {
          let number = RollupRun.chunk(ofPart: list.int(0))
          // What cannot be read stays as it is: db check says so.
          guard let chunk = list.withBlob(1, { RollupChunk(number, $0) }) else { return }
          found[RollupRun.kind(ofPart: list.int(0))]![number] = chunk
        }
        chunks.append(found)
      }
      for number in Set(chunks.flatMap { $0.values.flatMap(\.keys) }).sorted() {
        guard let counts = merge.counts(number, chunks.map { $0[0]![number] }),
          let durations = merge.durations(number, chunks.map { $0[1]![number] })
        else { return }
        (content.counts[number], content.durations[number]) = (counts, durations)
      }
      for input in inputs { try input.delete(db) }
      // The last one's number: an `alert` that has looked at all of them has looked at this one.
      run.id = inputs[inputs.count - 1].id
      try run.insert(content, db)
    }
  }
}
