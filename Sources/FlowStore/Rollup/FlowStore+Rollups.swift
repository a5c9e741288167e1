internal import Dispatch
internal import GRDB
internal import GRDBSQLite

/// How rows become runs. A test takes smaller numbers.
struct RollupSizes: Sendable {
  /// Rows without a run from which on runs are made: fewer are faster looked at than kept summed up.
  var threshold: Int64 = 1 << 20
  /// The newest rows are left alone: hops that are read soon after them may still change their places.
  var margin: Int64 = 1 << 17
  /// Rows read at a time by one thread.
  var slice: Int64 = 1 << 17
  /// Slices of a run, whose rows are in memory together, at 40 bytes each.
  var slices = 7
  /// Bits of the number of stacks that destinations are divided into, where they are not very many: with fewer stacks, the
  /// rows of one leave the processor's cache; with more, too many blocks of rows are half empty.
  var stackBits = 11
  /// Flows of a run that is joined of others, at most: a late hop of one of them drops it.
  var most: Int64 = 1 << 25
}

extension FlowStore {
  /// Sums up the rows behind the last run, once they are many, and joins small runs. Nothing is written before all rows and
  /// verdicts are committed; a run stands for rows that are there, so that being killed at any moment loses nothing.
  ///
  /// Does nothing while another process keeps the pages from being read, or rows wait to be judged; the next time will do.
  public func rollUp() throws(StoreError) {
    for _ in 0..<FlowStore.mostRollUps { guard try rollUpOnce() else { return } }
  }

  /// Runs that are too old to be joined are dropped, and their rows summed up anew in the next turn.
  private static let mostRollUps = 3

  /// - Returns: whether rows are left that had a run.
  private func rollUpOnce() throws(StoreError) -> Bool {
    guard isJudged, !isInTransaction else { return false }
    let plan = try access { db throws(StoreError) in try RollupPlan(db, self.rollupSizes) }
    guard let plan else { return false }
    settle()
    if !plan.stale.isEmpty {
      try write("stale rollups") { db throws(StoreError) in for run in plan.stale { try run.delete(db) } }
      try commit()
      settle()
    }
    guard !plan.ranges.isEmpty else { return false }
    // Room for the rows instead of pages.
    return try withSmallCache { () throws(StoreError) in try makeRuns(of: plan) }
  }

  /// - Returns: whether rows are left that had a run.
  private func makeRuns(of plan: RollupPlan) throws(StoreError) -> Bool {
    FreedMemory.giveBack()
    let builder = RollupBuilder(path: path, plan.groups, plan.keys, plan.sizes)
    var hasDropped = false
    for range in plan.ranges {
      guard let (run, content) = try access({ db throws(StoreError) in try builder.build(range, db) }) else { continue }
      try write("rollup") { db throws(StoreError) in try self.insert(run, content, db) }
      try commit()
      settle()
      FreedMemory.giveBack()
    }
    // At last, so that each entry is written anew once, however many runs there came.
    try write("joined rollups") { db throws(StoreError) in hasDropped = try !self.mergeRuns(builder, db) }
    try commit()
    settle()
    return hasDropped
  }

  private func insert(_ run: RollupRun, _ content: RollupContent, _ db: Database) throws(StoreError) {
    var run = run
    guard let id = try FlowStore.nextRun(db) else { return }
    run.id = id
    try run.insert(content, db)
  }

  /// nil when there are as many as parts can be told apart of.
  private static func nextRun(_ db: Database) throws(StoreError) -> Int64? {
    let last = try db.statement("select coalesce(max(id), 0) from rollup_run")
    guard try last.step(), last.int(0) < RollupRun.mostIDs - 1 else { return nil }
    return last.int(0) + 1
  }

  /// Joins runs that follow one another, as `RollupPlan.mergeable` has it.
  /// - Returns: false when runs were dropped instead, in which something is summed up together that is not alike any more.
  private func mergeRuns(_ builder: RollupBuilder, _ db: Database) throws(StoreError) -> Bool {
    while let inputs = RollupPlan.mergeable(try RollupRun.all(db), most: rollupSizes.most) {
      guard let id = try FlowStore.nextRun(db) else { return true }
      guard inputs.allSatisfy({ builder.isCurrent($0) }), try builder.merge(inputs, into: id, db) != nil else {
        let old = inputs.filter { !builder.isCurrent($0) }
        // Or their bytes make no sense.
        for input in old.isEmpty ? inputs : old { try input.delete(db) }
        return false
      }
      FreedMemory.giveBack()
    }
    return true
  }

  /// Drops the runs that stand for a flow of `blocks` of `HopBlocks.flows`, whose places have changed.
  static func dropRollups(touching blocks: [Int64], _ db: Database) throws(StoreError) {
    guard !blocks.isEmpty else { return }
    for run in try RollupRun.all(db) {
      let isTouched = blocks.contains {
        $0 * HopBlocks.flows <= run.lastFlow && ($0 + 1) * HopBlocks.flows > run.firstFlow
      }
      if isTouched { try run.delete(db) }
    }
  }

  /// Drops the runs that hold a flow that began before a time.
  static func dropRollups(before startedAtMs: Int64, _ db: Database) throws(StoreError) {
    for run in try RollupRun.all(db) where run.firstMs < startedAtMs { try run.delete(db) }
  }

  /// Drops the runs that end behind the last row: the next rows get ids that such a run stands for.
  static func dropRollupsBehindLastRow(_ db: Database) throws(StoreError) {
    let last = try db.statement("select coalesce(max(id), 0) from flow")
    guard try last.step() else { return }
    for run in try RollupRun.all(db) where run.lastFlow > last.int(0) { try run.delete(db) }
  }
}

/// What there is to sum up.
struct RollupPlan {
  /// Ranges of row ids, each for one run.
  var ranges: [ClosedRange<Int64>] = []
  /// Runs in which outcomes were summed up together that are not alike any more: no report can use them. Sources that are not
  /// alike any more only matter where durations of theirs have other words, and change with each policy.
  var stale: [RollupRun] = []
  let groups: RollupGroups
  let sizes: RollupSizes
  let keys: RollupKeys

  /// nil where nothing is to be done.
  init?(_ db: Database, _ sizes: RollupSizes) throws(StoreError) {
    // Each by itself is a look-up; both together would be a look at every row.
    let bounds = try db.statement("select (select min(id) from flow), (select max(id) from flow)")
    guard try bounds.step(), let first = bounds.optionalInt(0), let last = bounds.optionalInt(1), first >= 0 else {
      return nil
    }
    bounds.reset()
    let runs = try RollupRun.all(db)
    let end = last - sizes.margin
    guard !runs.isEmpty || end - first >= sizes.threshold else { return nil }
    // That mostly nothing is to be done, outcomes alone can tell.
    guard let classes = try VerdictTables.outcomeClasses(db) else { return nil }
    let outcomes = RollupGroups.outcomes(classes)
    stale = runs.filter { !RollupMerge.hasCurrentOutcomes($0, outcomes) }
    let kept = runs.filter { RollupMerge.hasCurrentOutcomes($0, outcomes) }
    let free = RollupRun.ranges(without: kept).compactMap { range -> ClosedRange<Int64>? in
      let (low, high) = (max(range.lowerBound, first), min(range.upperBound, end))
      return low <= high ? low...high : nil
    }
    let slices = try RollupPlan.slices(of: free, sizes.slice, db)
    let isWorthRuns = slices.reduce(0) { $0 + Int64($1.count) } + sizes.margin >= sizes.threshold
    guard !stale.isEmpty || isWorthRuns, let tables = try VerdictTables(db) else { return nil }
    groups = RollupGroups(tables)
    guard let keys = try RollupKeys(groups, stackBits: sizes.stackBits, db) else { return nil }
    self.keys = keys
    self.sizes = sizes
    guard isWorthRuns else { return }
    let length = sizes.slice * Int64(sizes.slices)
    for slice in slices {
      if let last = ranges.last, last.upperBound + 1 == slice.lowerBound, Int64(last.count) < length {
        ranges[ranges.count - 1] = last.lowerBound...slice.upperBound
      } else {
        ranges.append(slice)
      }
    }
  }

  /// The slices of some ranges of ids in which there are rows: pruning can leave wide gaps.
  private static func slices(
    of ranges: [ClosedRange<Int64>], _ length: Int64, _ db: Database
  ) throws(StoreError) -> [ClosedRange<Int64>] {
    let next = try db.statement("select min(id) from flow where id between ? and ?")
    var slices: [ClosedRange<Int64>] = []
    for range in ranges {
      var begin = range.lowerBound
      while begin <= range.upperBound {
        next.reset()
        next.bind(begin, at: 1)
        next.bind(range.upperBound, at: 2)
        guard try next.step(), let id = next.optionalInt(0) else { break }
        begin += (id - begin) / length * length
        slices.append(begin...min(begin + length - 1, range.upperBound))
        begin += length
      }
    }
    return slices
  }

  /// Runs joined at a time: a chunk of each is in memory, which may be all of it.
  private static let mostTogether = 12

  /// Runs that follow one another, of which the first has no more flows than the others have: reports look at each run's entry
  /// of a group by itself, and so few runs are left that each has more flows than all behind it, but for those that cannot
  /// grow any more. An entry is written anew once for each time that the flows behind it have doubled.
  ///
  /// Never the newest: hops that are read late change the places of its flows above all, and then it is dropped alone.
  ///
  /// - Parameter most: flows that they may have together.
  static func mergeable(_ runs: [RollupRun], most: Int64) -> [RollupRun]? {
    let runs = runs.dropLast()
    for (index, first) in runs.enumerated() {
      var (last, flows, count) = (first, first.flows, 1)
      let others = runs.dropFirst(index + 1).prefix {
        guard last.lastFlow + 1 == $0.firstFlow, flows + $0.flows <= most, count < mostTogether else { return false }
        (last, flows, count) = ($0, flows + $0.flows, count + 1)
        return true
      }
      if !others.isEmpty, first.flows <= flows - first.flows { return [first] + others }
    }
    return nil
  }
}
