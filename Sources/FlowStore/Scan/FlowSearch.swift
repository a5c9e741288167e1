internal import Dispatch
internal import GRDB

extension FlowReader {
  /// Row ids, ascending, of all flows from a source to a destination of one of the pairs; nil when there are more than
  /// `most`, or the file cannot be read page by page at the moment. Rows of rollups that have none of the pairs are passed
  /// over.
  public func flows(between pairs: [(source: Int64, destination: Int64)], atMost most: Int) throws -> [Int64]? {
    try flows(WantedFlows(pairs), atMost: most)
  }

  /// The same of all flows to some destinations.
  public func flows(to destinations: [Int64], atMost most: Int) throws -> [Int64]? {
    try flows(WantedFlows(destinations), atMost: most)
  }

  private func flows(_ wanted: WantedFlows, atMost most: Int) throws -> [Int64]? {
    guard !wanted.isEmpty else { return [] }
    return try withPages { db, pages in
      var passed: [RollupRun] = []
      for run in try RollupRun.all(db) where try !wanted.areIn(run, db) { passed.append(run) }
      return FlowSearch(wanted, pages, RollupRun.ranges(without: passed), most).run()
    }
  }
}

private struct WantedFlows: Sendable {
  /// Sources by destination; nil for all of them.
  private var sources: [Int64: Set<Int64>?] = [:]

  init(_ pairs: [(source: Int64, destination: Int64)]) {
    for pair in pairs { sources[pair.destination] = ((sources[pair.destination] ?? []) ?? []).union([pair.source]) }
  }

  init(_ destinations: [Int64]) {
    for destination in destinations { sources.updateValue(nil, forKey: destination) }
  }

  var isEmpty: Bool { sources.isEmpty }

  @inline(__always)
  func contains(_ flow: PageRow) -> Bool {
    guard let wanted = sources[flow.destination] else { return false }
    return wanted?.contains(flow.source) ?? true
  }

  /// Whether a run has any of them; true also where that cannot be told.
  func areIn(_ run: RollupRun, _ db: Database) throws(StoreError) -> Bool {
    let part = try db.statement("select content from rollup_part where id = ?")
    for (number, destinations) in Dictionary(grouping: sources.keys, by: { $0 >> RollupCode.chunkBits }) {
      part.bind(run.part(0, number), at: 1)
      guard try part.step() else { continue }
      let chunk = part.withBlob(0) { RollupChunk(number, $0) }
      part.reset()
      guard let chunk else { return true }
      for destination in destinations {
        guard let block = chunk.block(of: destination), let any = sources[destination] else { continue }
        guard let wanted = any else { return true }
        var reader = RollupCountReader(block, run.scale)
        while reader.next() { if wanted.contains(reader.entry.source) { return true } }
        if reader.isBroken { return true }
      }
    }
    return false
  }
}

/// `@unchecked Sendable`: what is written while several threads run is under `lock`.
private final class FlowSearch: @unchecked Sendable {
  private let wanted: WantedFlows
  private let pages: FlowPages
  private let stretches: [FlowPages.Stretch]
  private let most: Int
  private let lock = DispatchSemaphore(value: 1)
  private var next = 0
  private var found: [Int64] = []
  private var isGood = true

  private static let leavesPerShare = 64

  init(_ wanted: WantedFlows, _ pages: FlowPages, _ ranges: [ClosedRange<Int64>], _ most: Int) {
    self.wanted = wanted
    self.pages = pages
    self.most = most
    stretches = ranges.flatMap { pages.stretches(of: $0, leaves: FlowSearch.leavesPerShare) }
  }

  func run() -> [Int64]? {
    DispatchQueue.concurrentPerform(iterations: FlowScan.threads(for: stretches.count)) { _ in search() }
    return isGood ? found.sorted() : nil
  }

  private func search() {
    let buffer = pages.makeBuffer()
    defer { buffer.deallocate() }
    while let stretch = nextShare() {
      var ids: [Int64] = []
      let isRead = pages.forEach(in: stretch, buffer) { if wanted.contains($0) { ids.append($0.id) } }
      lock.wait()
      found += ids
      isGood = isGood && isRead && found.count <= most
      lock.signal()
    }
  }

  private func nextShare() -> FlowPages.Stretch? {
    lock.wait()
    defer { lock.signal() }
    guard next < stretches.count, isGood else { return nil }
    next += 1
    return stretches[next - 1]
  }
}
