/// Rows on their way into a run, laid aside in stacks of neighbouring destinations while they are read: a stack fits into the
/// processor's cache, all rows of a run do not.
///
/// Keys lie apart from what is summed up, for they alone are sorted. `RollupRows` has the memory.
final class RollupPile {
  let keys: RollupKeys
  private let groups: RollupGroups
  private let rows: RollupRows
  private var slabs: [Int] = []
  /// Blocks of the last slab that are in use.
  private var blockCount = RollupRows.blocksPerSlab
  // `keys.stackCount` each: rows, and the uppermost block with its number.
  private let counts: UnsafeMutablePointer<UInt32>
  private let tops: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  private let topNumbers: UnsafeMutablePointer<Int32>
  // By row id: whether there are flows of it.
  private let isOutcome: UnsafeMutablePointer<Bool>
  private let isSource: UnsafeMutablePointer<Bool>

  // One thread at a time has the pile, and asks nothing while it takes a flow: no access can meet another.
  @exclusivity(unchecked) private(set) var count = 0
  /// Something has no room in a key.
  @exclusivity(unchecked) private(set) var isUnfit = false
  @exclusivity(unchecked) private(set) var firstMs = Int64.max
  @exclusivity(unchecked) private(set) var lastMs = Int64.min
  @exclusivity(unchecked) private(set) var firstID = Int64.max
  @exclusivity(unchecked) private(set) var lastID = Int64.min
  @exclusivity(unchecked) private var base: Int64 = 0
  private var mostRows = 0

  init(_ keys: RollupKeys, _ groups: RollupGroups, _ rows: RollupRows) {
    self.keys = keys
    self.groups = groups
    self.rows = rows
    counts = .allocate(capacity: keys.stackCount)
    tops = .allocate(capacity: keys.stackCount)
    topNumbers = .allocate(capacity: keys.stackCount)
    isOutcome = .allocate(capacity: keys.outcomeCount)
    isSource = .allocate(capacity: keys.sourceCount)
  }

  deinit {
    giveBack()
    counts.deallocate()
    tops.deallocate()
    topNumbers.deallocate()
    isOutcome.deallocate()
    isSource.deallocate()
  }

  /// Empties it for rows with these ids.
  func begin(_ ids: ClosedRange<Int64>) {
    precondition(ids.count <= 1 << RollupRow.idBits, "a run of more rows than can be told apart")
    counts.initialize(repeating: 0, count: keys.stackCount)
    tops.initialize(repeating: nil, count: keys.stackCount)
    topNumbers.initialize(repeating: RollupRows.none, count: keys.stackCount)
    isOutcome.initialize(repeating: false, count: keys.outcomeCount)
    isSource.initialize(repeating: false, count: keys.sourceCount)
    giveBack()
    (count, base, mostRows, isUnfit) = (0, ids.lowerBound, ids.count, false)
    (firstMs, lastMs, firstID, lastID) = (.max, .min, .max, .min)
  }

  /// The rows are needed no more.
  func giveBack() {
    rows.put(slabs)
    slabs.removeAll(keepingCapacity: true)
    blockCount = RollupRows.blocksPerSlab
  }

  @inline(__always)
  func take(_ flow: FlowRecord, source: Int64, kind: Int) {
    // More rows than ids cannot be.
    guard count < mostRows, flow.destination >= 0, flow.destination < Int64(keys.destinationCount), source >= 0,
      source < Int64(keys.sourceCount), flow.outcome >= 0, flow.outcome < Int64(keys.outcomeCount)
    else {
      isUnfit = true
      return
    }
    let stack = Int(flow.destination >> keys.destinationBits)
    let place = Int(counts[stack]) & (RollupRows.blockRows - 1)
    if place == 0 { addBlock(to: stack) }
    // In bounds: the block has room for the rows up to the next multiple of its size.
    let block = tops[stack]!
    let duration = flow.durationMs < 0 ? 0 : UInt64(min(flow.durationMs, Histogram.maxValue)) + 1
    RollupRows.keys(of: block)[place] = keys.key(
      destination: flow.destination, outcome: flow.outcome, kind: kind, source: source)
    RollupRows.rows(of: block)[place] = RollupRow(
      sent: flow.hasSent ? max(flow.sent, -.max) : RollupRow.none,
      received: flow.hasReceived ? max(flow.received, -.max) : RollupRow.none, startedAtMs: flow.startedAtMs,
      measured: duration << RollupRow.idBits | UInt64(flow.id - base))
    counts[stack] &+= 1
    count += 1
    firstMs = min(firstMs, flow.startedAtMs)
    lastMs = max(lastMs, flow.startedAtMs)
    firstID = min(firstID, flow.id)
    lastID = max(lastID, flow.id)
    isOutcome[Int(flow.outcome)] = true
    isSource[Int(source)] = true
  }

  @inline(never)
  private func addBlock(to stack: Int) {
    if blockCount == RollupRows.blocksPerSlab {
      slabs.append(rows.take())
      blockCount = 0
    }
    let number = slabs[slabs.count - 1] * RollupRows.blocksPerSlab + blockCount
    blockCount += 1
    let block = rows.block(number)
    rows.below[number] = topNumbers[stack]
    (tops[stack], topNumbers[stack]) = (block, Int32(number))
  }

  func count(ofStack stack: Int) -> Int { Int(counts[stack]) }

  /// Calls `body` for each block of a stack with its keys and the place of the first, in no order that means anything.
  @inline(__always)
  func forEachBlock(ofStack stack: Int, _ body: (UnsafeBufferPointer<UInt64>, UInt32) -> Void) {
    var number = topNumbers[stack]
    var count = (Int(counts[stack]) - 1) & (RollupRows.blockRows - 1) + 1
    while number != RollupRows.none {
      let block = rows.block(Int(number))
      body(
        UnsafeBufferPointer(start: RollupRows.keys(of: block), count: count),
        UInt32(number) * UInt32(RollupRows.blockRows))
      count = RollupRows.blockRows
      number = rows.below[Int(number)]
    }
  }

  /// Row ids, ascending.
  var outcomes: [Int64] { (0..<keys.outcomeCount).filter { isOutcome[$0] }.map { Int64($0) } }
  var sources: [Int64] { (0..<keys.sourceCount).filter { isSource[$0] }.map { Int64($0) } }
}
