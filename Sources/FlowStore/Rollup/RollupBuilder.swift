internal import Dispatch
internal import GRDB

/// Makes runs: of rows stack by stack of destinations, of runs chunk by chunk, on two threads.
///
/// `@unchecked Sendable`: each thread has a pile and sums of its own, and what they made goes through `Made`.
final class RollupBuilder: @unchecked Sendable {
  private let path: String
  private let groups: RollupGroups
  private let sizes: RollupSizes
  // One for each thread.
  private let piles: [RollupPile]
  private var sums: [RollupSums] = []
  private let rows: RollupRows
  private let keys: RollupKeys

  /// More would take too much memory.
  private static let threads = 2

  init(path: String, _ groups: RollupGroups, _ keys: RollupKeys, _ sizes: RollupSizes) {
    self.path = path
    self.keys = keys
    rows = RollupRows(
      Int(sizes.slice) * sizes.slices, stacks: RollupBuilder.threads * keys.stackCount, piles: RollupBuilder.threads)
    self.groups = groups
    piles = (0..<RollupBuilder.threads).map { [rows] _ in RollupPile(keys, groups, rows) }
    self.sizes = sizes
  }

  /// nil when the pages cannot be read at the moment.
  private func pages(_ db: Database) throws(StoreError) -> FlowPages? {
    do { return try FlowPages(db, path: path) } catch let error as StoreError { throw error } catch { return nil }
  }

  /// What several threads made, each its part.
  private final class Made<Part>: @unchecked Sendable {
    private(set) var values: [Part]
    private(set) var isGood = true
    private var taken = 0
    private let lock = DispatchSemaphore(value: 1)

    init(_ values: [Part]) { self.values = values }

    /// A part that nobody has taken on.
    func next() -> Int? {
      lock.wait()
      defer { lock.signal() }
      taken += 1
      return taken <= values.count ? taken - 1 : nil
    }

    func set(_ index: Int, _ value: sending Part, isGood: Bool) {
      lock.wait()
      values[index] = value
      self.isGood = self.isGood && isGood
      lock.signal()
    }
  }

  /// The run of the rows with these ids; nil when they cannot be summed up, or not now.
  func build(_ range: ClosedRange<Int64>, _ db: Database) throws(StoreError) -> (RollupRun, RollupContent)? {
    try db.run("begin")
    defer { try? db.execute(sql: "rollback") }
    guard let pages = try pages(db), let places = try JourneyPlaces(of: [range], db) else { return nil }
    let relayed = try RelayedFlows(of: [range], db)
    if sums.isEmpty { sums = (0..<RollupBuilder.threads).map { _ in RollupSums(rows) } }
    guard read(range, pages, places, relayed), let run = run(of: range) else { return nil }
    return (run, content(of: run, from: range.lowerBound))
  }

  /// Lays the rows aside; false when they cannot be read.
  private func read(
    _ range: ClosedRange<Int64>, _ pages: FlowPages, _ places: JourneyPlaces, _ relayed: RelayedFlows
  ) -> Bool {
    let parts = stride(from: range.lowerBound, through: range.upperBound, by: Int64.Stride(sizes.slice)).map {
      $0...min($0 + sizes.slice - 1, range.upperBound)
    }
    let made = Made<Void>(parts.map { _ in })
    DispatchQueue.concurrentPerform(iterations: RollupBuilder.threads) { thread in
      let pile = piles[thread]
      pile.begin(range)
      let buffer = pages.makeBuffer()
      defer { buffer.deallocate() }
      while let part = made.next() {
        var isRead = true
        for stretch in pages.stretches(of: parts[part], leaves: 1 << 20) where isRead {
          isRead = pages.forEach(in: stretch, buffer) { row in
            let flow = FlowRecord(row)
            pile.take(flow, source: relayed.source(of: flow.id, flow.source), kind: places.kind(of: flow.id))
          }
        }
        made.set(part, (), isGood: isRead)
      }
    }
    return made.isGood && !piles.contains { $0.isUnfit }
  }

  /// What is known of the rows as a whole; nil where there are none.
  private func run(of range: ClosedRange<Int64>) -> RollupRun? {
    guard piles.contains(where: { $0.count > 0 }) else { return nil }
    let (first, last) = (piles.map(\.firstID).min()!, piles.map(\.lastID).max()!)
    // Slices without rows at the ends, as pruning leaves them, need no run.
    func slice(_ id: Int64) -> Int64 { (id - range.lowerBound) / sizes.slice }
    var run = RollupRun(
      firstFlow: range.lowerBound + slice(first) * sizes.slice,
      lastFlow: min(range.lowerBound + (slice(last) + 1) * sizes.slice - 1, range.upperBound),
      flows: piles.reduce(0) { $0 + Int64($1.count) }, firstMs: piles.map(\.firstMs).min()!,
      lastMs: piles.map(\.lastMs).max()!)
    run.outcomes = Set(piles.flatMap(\.outcomes)).sorted().map { ($0, groups.outcome($0)) }
    run.sources = Set(piles.flatMap(\.sources)).sorted().map { ($0, groups.source($0)) }
    return run
  }

  /// Sums up what was laid aside.
  private func content(of run: RollupRun, from firstID: Int64) -> RollupContent {
    let plan = RollupSums.Plan(run, from: firstID, keys, groups)
    let made = Made<(thread: Int, blocks: [RollupSums.Blocks?])>((0..<keys.stackCount).map { _ in (0, [nil, nil]) })
    DispatchQueue.concurrentPerform(iterations: RollupBuilder.threads) { thread in
      sums[thread].begin()
      while let stack = made.next() { made.set(stack, (thread, sums[thread].add(stack, piles, plan)), isGood: true) }
    }
    // The content takes as much memory as they leave.
    for pile in piles { pile.giveBack() }
    rows.giveBack()
    var content = RollupContent()
    for kind in 0..<2 {
      var chunks = RollupContent.Blocks()
      for made in made.values {
        if let blocks = made.blocks[kind] { chunks.append(blocks, of: sums[made.thread].bytes[kind]) }
      }
      chunks.close()
      if kind == 0 { content.counts = chunks.chunks } else { content.durations = chunks.chunks }
    }
    return content
  }

  func isCurrent(_ run: RollupRun) -> Bool { RollupMerge.isCurrent(run, groups) }

  /// Makes one run, `id`, of several in the store and puts it in their place, chunk by chunk: however long the runs are, no
  /// more than a chunk of each is in memory. Nil when they cannot become one, and then some of their chunks may be gone.
  func merge(_ inputs: [RollupRun], into id: Int64, _ db: Database) throws(StoreError) -> RollupRun? {
    let part = try db.statement("select content from rollup_part where id = ?")
    let list = try db.statement("select id from rollup_part where id between ? and ? order by id")
    var parts: [Part] = []
    for input in inputs {
      var chunks: Set<Int64> = []
      list.bind(input.parts, at: 1)
      while try list.step() { chunks.insert(RollupRun.chunk(ofPart: list.int(0))) }
      parts.append(
        (
          input,
          { kind, chunk in
            part.bind(input.part(kind, chunk), at: 1)
            defer { part.reset() }
            guard let found = try? part.step(), found else { return nil }
            return part.withBlob(0) { RollupChunk(chunk, $0) }
          }, chunks
        ))
    }
    guard var run = RollupMerge(inputs, groups)?.run else { return nil }
    run.id = id
    // Room for the chunks instead of what building needs.
    sums = []
    let isWhole = try merge(parts) { kind, chunk, bytes throws(StoreError) in
      // First, so that the new chunk takes their pages.
      for input in inputs { try input.delete(kind, chunk, db) }
      try run.insert(kind, chunk, bytes, db)
    }
    guard isWhole != nil else {
      try run.delete(db)
      return nil
    }
    for input in inputs { try input.delete(db) }
    try run.insert(db)
    return run
  }

  /// A run, where its chunks come from, and which it has.
  private typealias Part = (run: RollupRun, chunk: (Int, Int64) -> RollupChunk?, chunks: Set<Int64>)

  /// - Parameter take: kind, chunk and bytes of what the parts become, chunk by chunk.
  private func merge(
    _ parts: [Part], _ take: (Int, Int64, RollupBytes) throws(StoreError) -> Void
  ) throws(StoreError) -> RollupRun? {
    guard let merge = RollupMerge(parts.map(\.run), groups) else { return nil }
    for number in parts.reduce(into: Set<Int64>(), { $0.formUnion($1.chunks) }).sorted() {
      // Read here, for the connection is this thread's; counts and durations are joined at the same time.
      let made = Made<RollupBytes>([RollupBytes(), RollupBytes()])
      do {
        let inputs = (0..<2).map { kind in parts.map { $0.chunk(kind, number) } }
        DispatchQueue.concurrentPerform(iterations: 2) { kind in
          let bytes = kind == 0 ? merge.counts(number, inputs[0]) : merge.durations(number, inputs[1])
          made.set(kind, bytes ?? RollupBytes(), isGood: bytes != nil)
        }
      }
      guard made.isGood else { return nil }
      for (kind, bytes) in made.values.enumerated() { try take(kind, number, bytes) }
    }
    return merge.run
  }
}
