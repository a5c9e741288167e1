internal import Dispatch
internal import GRDB

/// Makes runs: of rows slice by slice, of runs chunk by chunk, on two threads.
///
/// `@unchecked Sendable`: each thread has a slice of its own, and what they made goes through `Made`.
final class RollupBuilder: @unchecked Sendable {
  private let path: String
  private let groups: RollupGroups
  private let sizes: RollupSizes
  /// Only while rows are summed up, for they are large.
  private var slices: [RollupSlice] = []

  /// More would take too much memory.
  private static let threads = 2

  init(path: String, _ groups: RollupGroups, _ sizes: RollupSizes) {
    self.path = path
    self.groups = groups
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
    let parts = stride(from: range.lowerBound, through: range.upperBound, by: Int64.Stride(sizes.slice)).map {
      $0...min($0 + sizes.slice - 1, range.upperBound)
    }
    let made = Made<(RollupRun, RollupContent)?>(parts.map { _ in nil })
    slices = (0..<RollupBuilder.threads).map { _ in RollupSlice(groups) }
    DispatchQueue.concurrentPerform(iterations: RollupBuilder.threads) { thread in
      let buffer = pages.makeBuffer()
      defer { buffer.deallocate() }
      while true {
        guard let part = made.next() else { return }
        var isRead = true
        for stretch in pages.stretches(of: parts[part], leaves: 1 << 20) where isRead {
          isRead = pages.forEach(in: stretch, buffer) { flow in
            var flow = flow
            flow.source = relayed.source(of: flow.id, flow.source)
            self.slices[thread].take(flow, kind: places.kind(of: flow.id))
          }
        }
        let rows = self.slices[thread].count
        let slice = self.slices[thread].close(ids: parts[part])
        made.set(part, slice, isGood: isRead && (slice != nil || rows == 0))
      }
    }
    slices = []
    // Parts without rows, as pruning leaves them, need no run.
    let found = made.values.compactMap { $0 }
    guard made.isGood, !found.isEmpty else { return nil }
    if found.count == 1 { return found[0] }
    var content = RollupContent()
    let run = try merge(
      found.map { slice in
        (
          slice.0,
          { kind, chunk in
            (kind == 0 ? slice.1.counts : slice.1.durations)[chunk].flatMap {
              $0.bytes.withUnsafeBytes { RollupChunk(chunk, $0) }
            }
          }, Set(slice.1.counts.keys).union(slice.1.durations.keys)
        )
      }
    ) { kind, chunk, bytes in
      if kind == 0 { content.counts[chunk] = bytes } else { content.durations[chunk] = bytes }
    }
    return run.map { ($0, content) }
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
      list.bind(input.part(0, 0), at: 1)
      list.bind(input.part(1, 1 << 31 - 1), at: 2)
      while try list.step() { chunks.insert(list.int(0) & (1 << 31 - 1)) }
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
