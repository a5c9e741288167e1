import Glibc
import Testing

@testable import FlowStore
@testable import Ingestion

@Suite("Runs that are interrupted, compete, or meet a failing world")
struct KillTests {
  let scene: Scene

  init() throws { scene = try Scene() }

  @Test("a run that dies between two commits leaves rows and positions that agree, and the next one completes them")
  func diesBetweenCommits() throws {
    var options = scene.options
    options.limits.chunkBytes = 700
    options.limits.batchRows = 34
    options.limits.linesPerCommit = 20
    try scene.write("one.log", 1...120)
    try scene.write("two.log.gz", bytes: Gzip.compress(Scene.lines(201...320)))
    var written = 0
    for deadline in 1...9 {
      try scene.append("one.log", (1000 + deadline * 10)..<(1005 + deadline * 10))
      scene.dieIngesting(["one.log", "two.log.gz"], options, atWrite: deadline * deadline)
      let stored = try scene.stored()
      #expect(Set(stored).count == stored.count, "stored twice at death \(deadline)")
      #expect(stored.count >= written)
      written = stored.count
    }
    try scene.ingest("one.log", "two.log.gz")
    let added = (1...9).flatMap { Array((1000 + $0 * 10)..<(1005 + $0 * 10)) }
    #expect(try scene.stored() == Array(1...120) + Array(201...320) + added)
  }

  @Test("two runs at once: the second one says who holds the database, and nothing is stored twice")
  func twoRuns() throws {
    try scene.write("access.log", 1...10)
    let holder = try FlowStore(path: scene.database)
    #expect {
      try scene.ingest("access.log")
    } throws: { error in
      error as? StoreError == .locked(path: scene.database, pid: getpid())
    }
    holder.close()
    try scene.ingest("access.log")
    #expect(try scene.stored() == Array(1...10))
  }

  @Test("a database deleted between two runs is filled anew from all logs that are there")
  func deletedDatabase() throws {
    try scene.write("access.log", 1...10)
    try scene.ingest("access.log")
    for suffix in ["", "-wal", "-shm", ".lock"] { scene.remove("store/flows.db" + suffix) }
    try scene.ingest("access.log")
    #expect(try scene.stored() == Array(1...10))
  }

  @Test("a store that fails at the n-th write, whichever it is, ends the run; the next one completes it")
  func failingWrites() throws {
    var options = scene.options
    options.limits.batchRows = 64
    options.limits.linesPerCommit = 64
    try scene.write("one.log", 1...150)
    try scene.write("two.log", 201...203)
    let paths = [scene.path("one.log"), scene.path("two.log")]
    for failing in 1...200 {
      var writes = 0
      let store = try FlowStore(path: scene.database)
      store.beforeWrite = { (name: String) throws(StoreError) in
        writes += 1
        if writes == failing { throw .sqlite(code: 13, message: "database or disk is full", sql: nil) }
      }
      defer { store.close() }
      do {
        _ = try IngestPipeline(store: store, options: options).run(paths: paths, policy: nil)
      } catch {
        #expect(error.isFull)
        continue
      }
      break
    }
    #expect(try scene.stored() == Array(1...150) + Array(201...203))
    #expect(try scene.ingest("one.log", "two.log").lines.read == 0)
  }

  @Test(
    "a run that fails while rows are committed before their verdicts: the store says so until all verdicts are there")
  func failsBeforeVerdicts() throws {
    scene.options.limits.manyRows = 0
    try scene.write("one.log", 1...40)
    let quiet = try Scene()
    try quiet.write("one.log", 1...40)
    try quiet.ingest("one.log")
    var unjudged = 0
    var goesOn = true
    for failing in 1...200 where goesOn {
      for suffix in ["", "-wal", "-shm", ".lock"] { scene.remove("store/flows.db" + suffix) }
      var writes = 0
      let store = try FlowStore(path: scene.database)
      store.beforeWrite = { (name: String) throws(StoreError) in
        writes += 1
        if writes == failing { throw .sqlite(code: 13, message: "database or disk is full", sql: nil) }
      }
      do {
        _ = try IngestPipeline(store: store, options: scene.options).run(paths: [scene.path("one.log")], policy: nil)
        goesOn = false
      } catch {
        #expect(error.isFull)
      }
      store.close()
      let isJudged = try scene.texts("select value from meta where key = 'judged'") == ["1"]
      let rows = try scene.stored().count
      let open = try scene.numbers("select count(*) from source where class is null")[0]
      if isJudged { #expect(open == 0 && rows == 40) } else if rows > 0 { unjudged += 1 }
      try scene.ingest("one.log")
      #expect(try scene.stored() == Array(1...40))
      #expect(try JourneyOrderTests.verdicts(scene) == JourneyOrderTests.verdicts(quiet), "after \(failing) writes")
    }
    #expect(!goesOn && unjudged > 0)
  }

  @Test(
    "random growth, rotation, compression, cuts and interrupted runs: every line that survived is stored once",
    arguments: 1...16)
  func model(seed: UInt64) throws {
    var random = Seeded(seed: seed)
    scene.options.limits.chunkBytes = Int.random(in: 200...3000, using: &random)
    scene.options.limits.batchRows = 34
    scene.options.threads = Int.random(in: 1...3, using: &random)
    scene.options.limits.linesPerCommit = Int.random(in: 1...60, using: &random)
    var next = 1
    var expected: [Int] = []
    var live: [Int] = []
    var isLiveRead = true
    var rotated = 0
    func grow(_ scene: Scene) throws {
      let count = Int.random(in: 1...40, using: &random)
      let numbers = Array(next..<next + count)
      next += count
      try scene.append("access.log", numbers)
      live += numbers
      expected += numbers
      isLiveRead = false
    }
    func shift(_ scene: Scene) {
      for index in stride(from: rotated, to: 0, by: -1) {
        for suffix in ["", ".gz"] {
          scene.rename("access.log.\(index)\(suffix)", to: "access.log.\(index + 1)\(suffix)")
        }
      }
      rotated += 1
    }
    try scene.write("access.log", bytes: [])
    var history: [Int] = []
    for _ in 1...40 {
      let action = Int.random(in: 0...9, using: &random)
      history.append(action)
      switch action {
      case 0...3:
        try grow(scene)
      case 4:
        shift(scene)
        scene.rename("access.log", to: "access.log.1")
        try scene.write("access.log", bytes: [])
        live = []
      case 5 where !live.isEmpty:
        shift(scene)
        try scene.write("access.log.1", bytes: try scene.read("access.log"))
        scene.truncate("access.log", to: 0)
        live = []
      case 6:
        for index in 1...max(1, rotated) where access(scene.path("access.log.\(index)"), F_OK) == 0 {
          try scene.gzip("access.log.\(index)")
          break
        }
      case 7 where isLiveRead && !live.isEmpty:
        // Cut inside what was read: nothing is lost, nothing may be repeated.
        live = Array(live[..<Int.random(in: 0..<live.count, using: &random)])
        scene.truncate("access.log", to: Scene.lines(live).count)
        try grow(scene)
        try scene.ingest("access.log")
        isLiveRead = true
      case 8:
        scene.dieIngesting(["access.log"], scene.options, atWrite: Int.random(in: 1...40, using: &random))
      default:
        try scene.ingest(Bool.random(using: &random) ? [scene.folder] : ["access.log"])
        isLiveRead = true
      }
    }
    try scene.ingest(scene.folder)
    #expect(try scene.stored() == expected, "\(history)")
    #expect(try scene.ingest(scene.folder).lines.read == 0)
  }
}

extension Scene {
  /// A run whose process dies before its n-th write: nothing after that reaches the store, no commit either.
  func dieIngesting(_ names: [String], _ options: IngestOptions, atWrite deadline: Int) {
    guard let store = try? FlowStore(path: database) else { return }
    var writes = 0
    store.beforeWrite = { (_: String) throws(StoreError) in
      writes += 1
      if writes >= deadline { throw .sqlite(code: 10, message: "gone", sql: nil) }
    }
    _ = try? IngestPipeline(store: store, options: options).run(paths: names.map(path), policy: nil)
    store.close()
  }
}
