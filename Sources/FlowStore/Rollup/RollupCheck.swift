internal import GRDB

/// Holds rollups against the rows they stand for, destination by destination.
enum RollupCheck {
  private struct Sums: Equatable {
    var flows: Int64 = 0
    var sent: Int64 = 0
    var received: Int64 = 0
    var firstMs = Int64.max
    var lastMs = Int64.min
    var measured: UInt64 = 0
    var durations: UInt64 = 0
  }

  /// One sentence per run that does not say what its rows say.
  static func problems(_ db: Database) throws(StoreError) -> [String] {
    var problems: [String] = []
    let runs = try RollupRun.all(db)
    let count = try db.statement("select count(*) from rollup_run where version = ?")
    count.bind(RollupCode.version, at: 1)
    if try count.step(), count.int(0) != Int64(runs.count) {
      problems.append(
        "\(count.int(0) - Int64(runs.count)) rollups that make no sense; reports look at their flows instead")
    }
    count.reset()
    for run in runs {
      let name = "rollup \(run.id) of the flows \(run.firstFlow) to \(run.lastFlow)"
      guard let told = try told(run, db) else {
        problems.append("\(name) cannot be read; reports look at the flows instead")
        continue
      }
      let stored = try stored(run, db)
      let differing = Set(told.keys).union(stored.keys).filter { told[$0] != stored[$0] }
      if let first = differing.min() {
        problems.append(
          "\(name) differs from them for \(differing.count) destinations, the first of which is \(first)")
      }
    }
    return problems
  }

  private static func told(_ run: RollupRun, _ db: Database) throws(StoreError) -> [Int64: Sums]? {
    var sums: [Int64: Sums] = [:]
    var histogram = OpenHistogram()
    let part = try db.statement("select id, content from rollup_part where id between ? and ? order by id")
    part.bind(run.parts, at: 1)
    while try part.step() {
      let isDurations = RollupRun.kind(ofPart: part.int(0)) == 1
      let number = RollupRun.chunk(ofPart: part.int(0))
      guard let chunk = part.withBlob(1, { RollupChunk(number, $0) }) else { return nil }
      for destination in chunk.destinations {
        guard let block = chunk.block(of: destination) else { continue }
        if isDurations {
          var reader = RollupDurationReader(block, run.scale)
          while reader.next() { guard reader.add(to: &histogram) else { return nil } }
          guard !reader.isBroken else { return nil }
          let measured = histogram.take()
          sums[destination, default: Sums()].measured += measured.count
          sums[destination, default: Sums()].durations &+= measured.sum
        } else {
          var reader = RollupCountReader(block, run.scale)
          var sum = sums[destination] ?? Sums()
          while reader.next() {
            sum.flows &+= reader.entry.flows
            sum.sent = GroupTable.sum(sum.sent, reader.entry.sent)
            sum.received = GroupTable.sum(sum.received, reader.entry.received)
            sum.firstMs = min(sum.firstMs, reader.entry.firstMs)
            sum.lastMs = max(sum.lastMs, reader.entry.lastMs)
          }
          guard !reader.isBroken else { return nil }
          sums[destination] = sum
        }
      }
    }
    return sums
  }

  private static func stored(_ run: RollupRun, _ db: Database) throws(StoreError) -> [Int64: Sums] {
    var sums: [Int64: Sums] = [:]
    let row = try db.statement(
      """
      select destination, started_at_ms, coalesce(sent, 0), coalesce(received, 0), coalesce(duration_ms, -1)
      from flow
      where id between ? and ?
      order by id
      """)
    row.bind(run.firstFlow, at: 1)
    row.bind(run.lastFlow, at: 2)
    while try row.step() {
      var sum = sums[row.int(0)] ?? Sums()
      sum.flows &+= 1
      sum.sent = GroupTable.sum(sum.sent, row.int(2))
      sum.received = GroupTable.sum(sum.received, row.int(3))
      sum.firstMs = min(sum.firstMs, row.int(1))
      sum.lastMs = max(sum.lastMs, row.int(1))
      if row.int(4) >= 0 {
        sum.measured += 1
        sum.durations &+= UInt64(min(row.int(4), Histogram.maxValue))
      }
      sums[row.int(0)] = sum
    }
    return sums
  }
}
