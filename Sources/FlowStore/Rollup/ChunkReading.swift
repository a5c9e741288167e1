internal import Dispatch
internal import GRDB

/// Brings the chunks of some runs into memory: from the pages of the file on several threads, or by SQL.
///
/// From the pages they are read while who asks for them is still busy with something else, as reading names by SQL is, which
/// takes one thread.
///
/// `@unchecked Sendable`: what changes is under `lock`, or belongs to the one thread that took its job.
final class ChunkReading: @unchecked Sendable {
  /// Of one run, by number; nil where some bytes make no sense.
  typealias Chunks = [RollupChunk?]?

  private struct Job {
    var run: Int
    var number: Int64
    var pages: PartPages
    var place: PartPages.Place
    /// Where its bytes come to lie.
    var begin: Int
  }

  private let runs: [RollupRun]
  private let memory: ReservedMemory
  private let lock = DispatchSemaphore(value: 1)
  private let others = DispatchGroup()
  /// The largest come last, and are taken first.
  private var jobs: [Job] = []
  private var chunks: [Chunks]
  private var isUnusable = false

  private static let cacheKiB = 1024
  /// More destinations than there are row ids.
  private static let mostChunks: Int64 = 1 << 22

  /// Begins to read.
  /// - Parameter kind: 0 for counts, 1 for durations.
  init(_ runs: [RollupRun], _ kind: Int, _ pages: FlowPages) throws(PageFile.Unusable) {
    self.runs = runs
    chunks = Array(repeating: [], count: runs.count)
    var parts: [RollupRun.Shelf: PartPages] = [:]
    var end = 0
    for (index, run) in runs.enumerated() {
      if parts[run.shelf] == nil { parts[run.shelf] = try pages.parts(run.shelf) }
      guard let shelf = parts[run.shelf] else { throw PageFile.Unusable() }
      for place in try shelf.places(of: run.parts(kind)) {
        jobs.append(Job(run: index, number: RollupRun.chunk(ofPart: place.id), pages: shelf, place: place, begin: end))
        end += (place.count + RollupCode.slack + 15) & ~15
      }
    }
    // Nothing is written to the slack: new memory holds zeros.
    memory = ReservedMemory(end)
    jobs.sort { $0.place.count < $1.place.count }
    for _ in 1..<FlowScan.threads(for: jobs.count + 1) {
      DispatchQueue.global(qos: .userInitiated).async(group: others) { self.readSome() }
    }
  }

  /// The chunks of each run, once they are read.
  /// - Parameter some: of the runs that are read.
  func chunks(of some: [RollupRun]) throws(PageFile.Unusable) -> [Chunks] {
    readSome()
    others.wait()
    guard !isUnusable else { throw PageFile.Unusable() }
    return some.map { run in
      // None but these are asked for.
      chunks[runs.firstIndex { $0.shelf == run.shelf && $0.id == run.id }!]
    }
  }

  /// Nobody wants what is not read yet. The pages are not looked at any more afterwards.
  func stop() {
    give { jobs.removeAll() }
    others.wait()
  }

  private func readSome() {
    var buffer: UnsafeMutableRawBufferPointer?
    defer { buffer?.deallocate() }
    while let job = take() {
      let room = buffer ?? job.pages.makeBuffer()
      buffer = room
      let bytes = UnsafeMutableRawBufferPointer(start: memory.start + job.begin, count: job.place.count)
      do throws(PageFile.Unusable) {
        try job.pages.read(job.place, into: bytes, room)
      } catch {
        return give { isUnusable = true }
      }
      // In bounds: the memory has room for the slack behind each job.
      let chunk =
        job.number < ChunkReading.mostChunks
        ? RollupChunk(job.number, at: UnsafeRawPointer(memory.start + job.begin), job.place.count, in: memory) : nil
      give { ChunkReading.put(chunk, job.number, into: &chunks[job.run]) }
    }
  }

  private func take() -> Job? {
    lock.wait()
    defer { lock.signal() }
    return isUnusable ? nil : jobs.popLast()
  }

  private func give(_ body: () -> Void) {
    lock.wait()
    body()
    lock.signal()
  }

  private static func put(_ chunk: RollupChunk?, _ number: Int64, into chunks: inout Chunks) {
    guard let chunk, chunks != nil else {
      chunks = nil
      return
    }
    while chunks!.count <= number { chunks!.append(nil) }
    chunks![Int(number)] = chunk
  }

  /// The same by SQL, on one thread.
  static func chunks(of runs: [RollupRun], _ kind: Int, _ db: Database) throws(StoreError) -> [Chunks] {
    // The bytes pass through SQLite's cache once: a small one stays in the processor's.
    let cache = try db.statement("pragma cache_size")
    let cacheSize = try cache.step() ? cache.int(0) : 0
    cache.reset()
    try db.run("pragma cache_size = -\(cacheKiB)")
    defer { try? db.execute(sql: "pragma cache_size = \(cacheSize)") }
    var all: [Chunks] = []
    for run in runs {
      let part = try db.statement("select id, content from \(run.shelf.parts) where id between ? and ? order by id")
      part.bind(run.parts(kind), at: 1)
      var chunks: Chunks = []
      while try part.step() {
        let number = RollupRun.chunk(ofPart: part.int(0))
        let chunk = number < mostChunks ? part.withBlob(1) { RollupChunk(number, $0) } : nil
        put(chunk, number, into: &chunks)
      }
      all.append(chunks)
    }
    return all
  }
}
