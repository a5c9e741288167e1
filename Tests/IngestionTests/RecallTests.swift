import AccessLogs
import FlowStore
import Flows
import Foundation
import Glibc
import Testing

@testable import Ingestion

@Suite("a stored flow's line is read back from its log")
struct RecallTests {
  /// The flow of line `number` as the store has it, with its log and the places to read from.
  private func recall(_ number: Int, in scene: Scene, limits: IngestLimits = IngestLimits(), folders: [String] = [])
    throws -> LineRecall.Answer
  {
    let reader = try FlowReader(path: scene.database)
    defer { reader.close() }
    let row = try #require(
      try reader.rows(
        """
        select f.line, f.started_at_ms, f.duration_ms, f.sent, f.received, f.source, f.destination, f.outcome, s.log
        from flow f
        join source s on s.id = f.source
        where f.received = :number
        """, arguments: ["number": Value(number)]
      ).rows.first)
    let facts = try reader.facts()
    let log = try #require(try reader.log(row[8].integer!))
    let flow = LineRecall.Flow(
      line: row[0].integer!, startedAtMs: row[1].integer!, durationMs: row[2].integer, sent: row[3].integer,
      received: row[4].integer, source: facts.sources.first { $0.id == row[5].integer }!.source, sourcePort: 0,
      destination: facts.destinations.first { $0.id == row[6].integer }!.destination,
      outcome: facts.outcomes.first { $0.id == row[7].integer }!.outcome)
    return LineRecall(folders: folders, limits: limits).recall(
      flow, of: log, from: try reader.marks(before: flow.line, in: log.id, atMost: 2))
  }

  private func text(_ answer: LineRecall.Answer) -> String {
    switch answer {
    case .found(let found): found.lines.map { String(decoding: $0.bytes, as: UTF8.self) + "\n" }.joined()
    case .changed(_, let why): "changed: \(why)"
    case .gone(let why): "gone: \(why)"
    }
  }

  @Test("from the middle of a log of several batches, by the nearest place that is known")
  func manyBatches() throws {
    let scene = try Scene()
    scene.options.limits.batchRows = 34
    try scene.write("access.log", 1...100)
    try scene.ingest("access.log")
    try scene.append("access.log", 101...150)
    try scene.ingest("access.log")
    for number in [1, 16, 17, 99, 100, 101, 150] {
      #expect(text(try recall(number, in: scene)) == Scene.line(number))
    }
  }

  @Test("from a log that was rotated, compressed or moved since, never from another one with its name")
  func rotated() throws {
    let scene = try Scene()
    try scene.write("access.log", 1...50)
    try scene.ingest("access.log")
    scene.rename("access.log", to: "access.log.1")
    try scene.write("access.log", 51...90)
    #expect(text(try recall(7, in: scene)) == Scene.line(7))
    try scene.gzip("access.log.1")
    #expect(text(try recall(49, in: scene)) == Scene.line(49))
    scene.remove("access.log.1.gz")
    #expect(text(try recall(7, in: scene)).hasPrefix("changed: the file of that name begins otherwise"))
    scene.remove("access.log")
    #expect(text(try recall(7, in: scene)).hasPrefix("gone: "))
  }

  @Test("a truncated, rewritten or edited line is not shown")
  func changed() throws {
    let scene = try Scene()
    try scene.write("access.log", 1...50)
    try scene.ingest("access.log")
    var bytes = try scene.read("access.log")
    let place = bytes.count - 60
    bytes[place] = bytes[place] == 0x30 ? 0x31 : 0x30
    try scene.overwrite("access.log", bytes: bytes)
    #expect(text(try recall(49, in: scene)) == Scene.line(49))
    #expect(text(try recall(50, in: scene)).hasPrefix("changed: ") || place < bytes.count - Scene.line(50).utf8.count)
    try scene.overwrite("access.log", bytes: Array(bytes.prefix(2000)))
    #expect(text(try recall(49, in: scene)).hasPrefix("changed: its line 49 does not give this flow any more"))
  }

  @Test("a log whose format is not at hand says so")
  func unknownFormat() throws {
    let scene = try Scene()
    scene.options.formats = [try FormatPlan.squid("%>a [%ts.%03tu] %<st %rm %ru", name: "ours")]
    try scene.write("access.log", bytes: Array("10.0.0.1 [1795000000.001] 77 GET http://www.example.com/a\n".utf8))
    try scene.ingest("access.log")
    #expect(text(try recall(77, in: scene)).contains("without the format ours"))
  }

  @Test("pipes and folders beside the log are passed over, and so is one in its place")
  func noPipes() throws {
    let scene = try Scene()
    try scene.write("access.log", 1...5)
    try scene.ingest("access.log")
    #expect(mkfifo(scene.path("access.log.1"), 0o600) == 0)
    scene.rename("access.log", to: "z")
    #expect(text(try recall(3, in: scene)) == Scene.line(3))
    scene.remove("z")
    #expect(mkfifo(scene.path("access.log"), 0o600) == 0)
    #expect(!text(try recall(3, in: scene)).hasPrefix("17"))
  }

  @Test("a log with blocks of NULs, overlong lines and carriage returns is counted as it was read")
  func oddBytes() throws {
    let scene = try Scene()
    scene.options.limits.batchRows = 34
    scene.options.limits.maxLineBytes = 4096
    scene.options.limits.chunkBytes = 8192
    let long = [UInt8](repeating: 0x78, count: 20_000) + [0x0A]
    let carriage = Array(Scene.lines(4...4).dropLast()) + [0x0D, 0x0A]
    let bytes =
      Scene.lines(1...3) + [UInt8](repeating: 0, count: 300) + Scene.lines(4...4) + long + carriage
      + Scene.lines(5...160)
    try scene.write("access.log", bytes: bytes)
    try scene.ingest("access.log")
    for number in [1, 3, 5, 17, 60, 160] {
      #expect(text(try recall(number, in: scene, limits: scene.options.limits)) == Scene.line(number), "\(number)")
    }
  }
}
