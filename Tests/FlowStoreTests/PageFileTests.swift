import Dispatch
import Flows
import Testing

@testable import FlowStore

/// Pages are read beside a writer, through its write-ahead log, as SQL sees them.
@Suite("Pages beside a writer")
struct PageFileTests {
  @Test("flows are counted from the write-ahead log, also where it is moved into the file, begun anew or cut off")
  func writeAheadLog() throws {
    let scene = try RollupScene()
    try scene.append(3000)
    try scene.judge(1)
    let reader = try scene.reader()
    for turn in 0..<6 {
      try scene.append(700)
      try compare(reader, "appended in turn \(turn)")
      // Pages that are in the file, too.
      try scene.store.access { db throws(StoreError) in
        try db.run("update flow set sent = sent + 1 where id % 50 = \(turn)")
      }
      try compare(reader, "changed in turn \(turn)")
      if turn % 3 == 1 {
        try scene.checkpoint()
        try compare(reader, "moved in turn \(turn)")
      }
      if turn == 4 {
        scene.store.settle()
        try compare(reader, "cut off in turn \(turn)")
      }
    }
  }

  @Test("a connection that is new finds the log as well, and one that is in the middle of a query does not count")
  func connections() throws {
    let scene = try RollupScene()
    try scene.append(3000)
    try scene.judge(1)
    try scene.append(500)
    try compare(try scene.reader(), "new")
    let reader = try scene.reader()
    try reader.query("select id from flow order by id limit 2") { _ in
      let tally = try reader.tally(TallyRequest(), words: Self.words)
      #expect(tally == nil)
    }
    try compare(reader, "afterwards")
  }

  @Test("what is counted while a writer commits and moves pages all the time is the state of one commit")
  func besideAWriter() throws {
    let scene = try RollupScene()
    try scene.append(3000)
    try scene.judge(1)
    let reader = try scene.reader()
    let group = DispatchGroup()
    let writing = WritingScene(scene)
    DispatchQueue.global().async(group: group) { writing.run(turns: 150) }
    var counted = 0
    repeat {
      let before = try #require(try reader.value("select count(*) from flow")?.integer)
      let tally = try reader.tally(TallyRequest(), words: Self.words)
      let after = try #require(try reader.value("select count(*) from flow")?.integer)
      guard let tally else { continue }
      counted += 1
      let flows = tally.groups.reduce(0) { $0 + $1.flows }
      #expect(before <= flows && flows <= after && flows % 100 == 0)
      if before == after { try compare(reader, nil) }
    } while group.wait(timeout: .now()) == .timedOut
    #expect(counted > 0 && writing.failure == nil)
    try compare(reader, "at the end")
  }

  private static let words = "select 'any' from judged_flow f where f.id = :example order by f.id"

  /// - Parameter title: nil where the writer may have gone on between the two.
  private func compare(_ reader: FlowReader, _ title: String?) throws {
    var request = TallyRequest()
    request.sourceGroups = (0...16).map { Int32($0) }
    let tally = try reader.tally(request, words: Self.words)
    guard let title else { return }
    let rows = try reader.rows(
      "select source, count(*), sum(sent), sum(received) from flow group by source order by source"
    ).rows
    let groups = try #require(tally).groups.sorted { $0.source < $1.source }
    let told: [[Value]] = groups.map {
      [Value($0.source), .integer($0.flows), Value($0.sent), Value($0.received)]
    }
    #expect(told == rows, "\(title)")
  }
}

/// `@unchecked Sendable`: the scene is the writing thread's until its end was waited for; the reader has a connection of its own.
private final class WritingScene: @unchecked Sendable {
  private let scene: RollupScene
  private(set) var failure: (any Error)?

  init(_ scene: RollupScene) { self.scene = scene }

  func run(turns: Int) {
    do {
      for turn in 0..<turns {
        try scene.append(100)
        if turn % 4 == 3 { try scene.checkpoint() }
        if turn % 25 == 24 { scene.store.settle() }
      }
    } catch { failure = error }
  }
}
