internal import GRDB

/// Takes old flows out of tallies, by whole hours.
enum TallyPruning {
  /// Removes the flows that began in an hour before that of a time, inside the open transaction, and counts them as pruned.
  /// - Parameter seen: the last tally that an `alert` had looked at.
  /// - Returns: how many, and how many of them no `alert` had looked at.
  static func prune(
    before startedAtMs: Int64, seen: Int64, _ db: Database
  ) throws(StoreError) -> (flows: Int64, unseen: Int64) {
    let first = RollupGroups.hour(startedAtMs)
    var removed: [Int64: Int64] = [:]
    var unseen: Int64 = 0
    for run in try RollupRun.tallies(db) where RollupGroups.hour(run.firstMs) < first {
      let isWhole = try TallyReading.forEach(in: run, db) { _, entry in
        guard RollupGroups.hour(entry.firstMs) < first else { return }
        removed[entry.source, default: 0] += entry.flows
        if run.id > seen { unseen += entry.flows }
      }
      // What cannot be read says nothing of its time: db check tells of it.
      guard isWhole else { continue }
      if RollupGroups.hour(run.lastMs) < first {
        try run.delete(db)
      } else {
        try cut(run, before: first, db)
      }
    }
    let log = try db.statement(
      "update log set pruned = pruned + ?2, tallied = tallied - ?2 where id = (select log from source where id = ?1)")
    for (source, flows) in removed { try log.run(.integer(source), .integer(flows)) }
    return (removed.values.reduce(0, +), unseen)
  }

  /// Writes a run anew without the hours before one.
  private static func cut(_ run: RollupRun, before first: Int64, _ db: Database) throws(StoreError) {
    var left = run
    (left.flows, left.firstMs, left.lastMs) = (0, .max, .min)
    _ = try TallyReading.forEach(in: run, db) { _, entry in
      guard RollupGroups.hour(entry.firstMs) >= first else { return }
      left.flows += entry.flows
      left.firstMs = min(left.firstMs, entry.firstMs)
      left.lastMs = max(left.lastMs, entry.lastMs)
    }
    var counts = RollupContent.Blocks()
    var durations = RollupContent.Blocks()
    var countWriter = RollupCountWriter(left.scale)
    var durationWriter = RollupDurationWriter(left.scale)
    var histogram = RollupHistogram()
    let part = try db.statement("select id, content from tally_part where id between ? and ? order by id")
    part.bind(run.parts, at: 1)
    while try part.step() {
      let number = RollupRun.chunk(ofPart: part.int(0))
      guard let chunk = part.withBlob(1, { RollupChunk(number, $0) }) else { continue }
      for destination in chunk.destinations {
        let block = chunk.block(of: destination)!
        if RollupRun.kind(ofPart: part.int(0)) == 0 {
          countWriter.begin()
          var reader = RollupCountReader(block, run.scale)
          while reader.next() {
            if RollupGroups.hour(reader.entry.firstMs) >= first { countWriter.append(reader.entry) }
          }
          counts.append(destination, countWriter.bytes)
        } else {
          durationWriter.begin()
          var reader = RollupDurationReader(block, run.scale)
          while reader.next() {
            histogram.removeAll()
            let entry = reader.entry
            guard histogram.add(&reader) else { break }
            if RollupGroups.hour(entry.firstMs) >= first { durationWriter.append(entry, histogram) }
          }
          durations.append(destination, durationWriter.bytes)
        }
      }
    }
    counts.close()
    durations.close()
    try run.delete(db)
    try left.insert(RollupContent(counts: counts.chunks, durations: durations.chunks), db)
  }

  /// A temporary table `tallied_id` of the sources, destinations and outcomes that tallies refer to, by kind as in
  /// `dictionary_key`.
  static func listReferences(_ db: Database) throws(StoreError) {
    try db.run(
      "create temp table if not exists tallied_id (kind integer, id integer, primary key (kind, id)) without rowid")
    try db.run("delete from temp.tallied_id")
    let insert = try db.statement("insert or ignore into temp.tallied_id (kind, id) values (?, ?)")
    for run in try RollupRun.tallies(db) {
      for source in run.sources { try insert.run(.integer(1), .integer(source.member)) }
      for outcome in run.outcomes { try insert.run(.integer(3), .integer(outcome.member)) }
      var destinations: Set<Int64> = []
      _ = try TallyReading.forEach(in: run, db) { destination, _ in destinations.insert(destination) }
      for destination in destinations { try insert.run(.integer(2), .integer(destination)) }
    }
  }
}
