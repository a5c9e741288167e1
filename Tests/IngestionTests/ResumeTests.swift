import Testing

@testable import Ingestion

@Suite("Reading on where the last run stopped")
struct ResumeTests {
  let scene: Scene

  init() throws { scene = try Scene() }

  @Test("the same run twice stores every line once and leaves the log's record as it was")
  func secondRun() throws {
    try scene.write("access.log", 1...50)
    #expect(try scene.ingest("access.log").lines.stored == 50)
    let before = try scene.logs()
    let again = try scene.ingest("access.log")
    #expect(again.lines.read == 0)
    #expect(again.files.map(\.from) == again.files.map(\.to))
    #expect(try scene.logs() == before)
    #expect(try scene.stored() == Array(1...50))
  }

  @Test("a log that grew is read from the byte where the last run stopped")
  func growth() throws {
    try scene.write("access.log", 1...10)
    let first = try scene.ingest("access.log")
    try scene.append("access.log", 11...15)
    let second = try scene.ingest("access.log")
    #expect(second.files[0].from == first.files[0].to)
    #expect(second.lines.stored == 5)
    #expect(try scene.stored() == Array(1...15))
    #expect(try scene.numbers("select line from flow order by line") == Array(1...15))
  }

  @Test("an empty file is read from its first byte once it has one")
  func emptyFile() throws {
    try scene.write("access.log", bytes: [])
    #expect(try scene.ingest("access.log").lines.read == 0)
    try scene.append("access.log", 1...3)
    try scene.ingest("access.log")
    #expect(try scene.stored() == [1, 2, 3])
    #expect(try scene.logs().count == 1)
  }

  @Test("growth by one byte at a time stores each line when its newline arrives")
  func growthByOneByte() throws {
    try scene.write("access.log", bytes: [])
    let bytes = Scene.lines(1...2)
    for (index, byte) in bytes.enumerated() where index % 7 == 0 || index > bytes.count - 3 {
      _ = byte
      try scene.overwrite("access.log", bytes: Array(bytes[...index]))
      let summary = try scene.ingest("access.log")
      let consumed = bytes[...index].lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
      #expect(summary.files[0].to == Int64(consumed))
      #expect(summary.files[0].pending == Int64(index + 1 - consumed))
    }
    #expect(try scene.stored() == [1, 2])
  }

  @Test("a last line without newline waits, and is no line of the sums")
  func unfinishedLine() throws {
    var bytes = Scene.lines(1...3)
    bytes.removeLast()
    try scene.write("access.log", bytes: bytes)
    let summary = try scene.ingest("access.log")
    #expect(summary.lines.read == 2)
    #expect(summary.files[0].pending == Int64(Scene.line(3).utf8.count - 1))
    try scene.append("access.log", bytes: [0x0A])
    try scene.ingest("access.log")
    #expect(try scene.stored() == [1, 2, 3])
  }

  @Test("with --final a last line without newline is a line, also when it waited in an earlier run")
  func finalLine() throws {
    var bytes = Scene.lines(1...3)
    bytes.removeLast()
    try scene.write("access.log", bytes: bytes)
    try scene.ingest("access.log")
    let summary = try scene.ingest("access.log", isFinal: true)
    #expect(summary.lines.stored == 1)
    #expect(summary.files[0].pending == 0)
    try scene.ingest("access.log", isFinal: true)
    #expect(try scene.stored() == [1, 2, 3])
  }

  @Test("lines that end in CRLF are read on like any others")
  func carriageReturns() throws {
    let crlf = { (numbers: ClosedRange<Int>) in
      Array(numbers.map { Scene.line($0).dropLast() + "\r\n" }.joined().utf8)
    }
    try scene.write("access.log", bytes: crlf(1...4))
    try scene.ingest("access.log")
    try scene.append("access.log", bytes: crlf(5...6))
    let summary = try scene.ingest("access.log")
    #expect(summary.lines.stored == 2)
    #expect(try scene.stored() == Array(1...6))
  }

  @Test("chunks, batches and commits may be cut anywhere: the stored lines are the same")
  func cuts() throws {
    scene.options.limits.chunkBytes = 97
    scene.options.limits.batchRows = 34  // the parser keeps room for the most records one line can hold
    scene.options.limits.batches = 2
    scene.options.limits.linesPerCommit = 5
    try scene.write("access.log", 1...40)
    try scene.gzipCopy("access.log", "other/packed.gz", of: 100...140)
    let summary = try scene.ingest("access.log", "other")
    #expect(summary.lines.stored == 81)
    try scene.append("access.log", 41...60)
    try scene.ingest("access.log", "other")
    #expect(try scene.stored() == Array(1...60) + Array(100...140))
    #expect(try scene.numbers("select line from flow where received <= 60 order by line") == Array(1...60))
  }

  @Test("a record that the container runtime split is joined, though its parts were read by two runs")
  func splitRecord() throws {
    func part(_ tag: String, _ text: some StringProtocol) -> [UInt8] {
      Array("2026-11-23T05:00:00.000000001Z stdout \(tag) \(text)\n".utf8)
    }
    let line = Scene.line(2).dropLast()
    try scene.write("0.log", bytes: part("F", Scene.line(1).dropLast()) + part("P", line.prefix(50)))
    #expect(try scene.ingest("0.log").lines.stored == 1)
    try scene.append("0.log", bytes: part("F", line.dropFirst(50)) + part("F", Scene.line(3).dropLast()))
    #expect(try scene.ingest("0.log").lines.stored == 2)
    #expect(try scene.stored() == [1, 2, 3])
    // At the end of a finished log the beginning of a record is not lost without a word.
    try scene.write(
      "other/0.log.20261123-101500.gz",
      bytes: Gzip.compress(part("F", Scene.line(9).dropLast()) + part("P", line.prefix(50))))
    let summary = try scene.ingest("other")
    #expect(summary.lines.stored == 1)
    #expect(summary.lines.rejected == 1)
  }

  @Test("a database restored from an older copy catches up without a line twice")
  func olderDatabase() throws {
    try scene.write("access.log", 1...10)
    try scene.ingest("access.log")
    let copy = try scene.read("store/flows.db")
    try scene.append("access.log", 11...20)
    try scene.ingest("access.log")
    try scene.write("store/flows.db", bytes: copy)
    scene.remove("store/flows.db-wal")
    scene.remove("store/flows.db-shm")
    try scene.ingest("access.log")
    #expect(try scene.stored() == Array(1...20))
  }

  @Test("a file whose times go backwards is read on all the same")
  func clockBackwards() throws {
    try scene.write("access.log", 500...510)
    try scene.ingest("access.log")
    try scene.append("access.log", 1...5)
    try scene.setModificationTime("access.log", seconds: 1000)
    try scene.ingest("access.log")
    #expect(try scene.stored() == Array(1...5) + Array(500...510))
  }
}
