import Flows
import Testing

@testable import AccessLogs

/// Whatever bytes come in, every line is counted once and the answer depends on the bytes alone.
struct EngineFuzzTests {
  /// All sample lines, and as many mutilated ones.
  private static let lines: [[UInt8]] = {
    var random = SplitMix(state: 4711)
    let samples = SampleLines.all
    let tokens: [[UInt8]] = [
      "\"", " ", "-", "[", "]", "{", "}", "\\", "\u{0}", "\r", "\t", "99999999999999999999999999", "-1", "\u{1B}[31m",
      "2020-08-28T06:32:00.597Z", "\"\" \"\"", ":65536", "[::ffff:1.2.3.4]:1", "remote_address:", "\\u0000", "\\ud83d",
      "2024-01-02T03:04:05.678901234Z stdout P ", "2024-01-02T03:04:05.678901234Z stderr F ", "<13>", "[pod/a/b] ",
    ].map { Array($0.utf8) }
    return samples
      + samples.map { sample in
        var line = sample
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          let place = Int.random(in: 0...line.count, using: &random)
          switch Int.random(in: 0..<7, using: &random) {
          case 0 where place < line.count: line[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
          case 1: line.removeSubrange(place...)
          case 2: line.insert(contentsOf: line[place...].prefix(60), at: place)
          case 3: line.insert(contentsOf: tokens[Int.random(in: 0..<tokens.count, using: &random)], at: place)
          case 4 where place < line.count: line[place] = 0
          case 5: line.removeSubrange(..<place)
          default:
            var words = line.split(separator: ASCII.space, omittingEmptySubsequences: false)
            if words.count > 1 { words.swapAt(0, Int.random(in: 0..<words.count, using: &random)) }
            line = Array(words.joined(separator: [ASCII.space]))
          }
        }
        return line.filter { $0 != ASCII.newline }
      }
  }()

  private static let all = Array(lines.map { $0 + [ASCII.newline] }.joined())

  @Test("mutilated lines are each stored, rejected or skipped, one by one")
  func single() {
    let parser = LineParser()
    let batch = FlowBatch(capacity: 64)
    for line in Self.lines {
      parser.begin(log: LogContext(ordinal: 1))
      batch.reset()
      let given = line + [ASCII.newline] + Array(repeating: 0x31, count: LineParser.slack)
      let consumed = given.withUnsafeBytes {
        parser.parse(UnsafeRawBufferPointer(rebasing: $0[..<(line.count + 1)]), isFinal: true, into: batch)
      }
      #expect(consumed == line.count + 1)
      #expect(parser.nextLine == 2)
      // A NUL can glue records; what a wrapper leaves unfinished is completed by the end.
      if !line.contains(0) { #expect(batch.linesRead == 1, "\(String(decoding: line, as: UTF8.self))") }
      #expect(batch.linesRead >= 1)
      #expect(parser.carry.isEmpty)
    }
  }

  @Test("how the bytes are cut into chunks, and how large a batch is, changes nothing")
  func chunks() {
    func reading(_ capacity: Int, _ sizes: (inout SplitMix) -> Int) -> EngineReading {
      var random = SplitMix(state: 3)
      let feed = EngineFeed(capacity: capacity)
      var rest = Self.all[...]
      while !rest.isEmpty {
        let size = min(max(1, sizes(&random)), rest.count)
        feed.read(rest.prefix(size))
        rest = rest.dropFirst(size)
      }
      feed.read([], isFinal: true)
      var reading = feed.reading
      reading.rejectedLines = []  // a batch keeps a bounded number of them
      return reading
    }
    let whole = reading(1 << 16) { _ in .max }
    #expect(whole.nextLine == Int64(Self.lines.count) + 1)
    for capacity in [LineParser.reservedRows + 1, 8192] {
      #expect(reading(capacity) { Int.random(in: 1...1000, using: &$0) } == whole)
    }
    #expect(reading(64) { _ in 211 } == whole)
  }

  @Test("searches as wide as a processor may have give one answer")
  func widths() {
    let readings = LineParser.kernels.map { kernels in
      let parser = LineParser()
      parser.kernels = kernels
      let feed = EngineFeed(parser)
      feed.read(Self.all, isFinal: true)
      return feed.reading
    }
    for reading in readings { #expect(reading == readings[0]) }
  }

  @Test("stopping between any two lines and going on in a new process changes nothing but the names of equal formats")
  func restarts() {
    let whole = EngineFeed.read(Self.all)
    var random = SplitMix(state: 8)
    for _ in 0..<2 {
      var context = LogContext(ordinal: 1)
      var flows: [EngineReading.Flow] = []
      var read = 0
      var rest = Self.lines[...]
      while !rest.isEmpty {
        let part = rest.prefix(Int.random(in: 1...400, using: &random))
        rest = rest.dropFirst(part.count)
        let feed = EngineFeed(log: context)
        feed.read(part.flatMap { $0 + [ASCII.newline] }, isFinal: rest.isEmpty)
        flows += feed.reading.flows
        read += feed.reading.linesRead
        context.nextLine = feed.reading.nextLine
        context.carry = feed.reading.carry
      }
      #expect(read == whole.linesRead)
      #expect(flows.count == whole.flows.count)
      for (one, other) in zip(flows, whole.flows) where one != other {
        // Without a time of its own a line takes that of the line before, which a new process does not know; and of the
        // formats that an ambiguous line could be of, the one of the line before comes first.
        #expect(
          !one.outcome.warnings.isDisjoint(with: [.timeAssumed, .ambiguousColumns])
            && !other.outcome.warnings.isDisjoint(with: [.timeAssumed, .ambiguousColumns]), "\(one)\n\(other)")
      }
    }
  }

  @Test("random bytes are counted and stored by nobody")
  func noise() {
    var random = SplitMix(state: 1)
    for _ in 0..<60 {
      let bytes = (0..<3000).map { _ in UInt8.random(in: 0...255, using: &random) }
      let reading = EngineFeed.read(bytes)
      #expect(reading.flows.isEmpty)
      #expect(
        reading.nextLine == Int64(bytes.split(separator: ASCII.newline, omittingEmptySubsequences: false).count)
          + (bytes.last == ASCII.newline ? 0 : 1))
    }
  }

  @Test("lines made to be hard are given up in bounded time")
  func hard() {
    let start = #"[2020-08-28T06:32:00.597Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 1 2 3 4 "-" "#
    let hostile = [
      start + String(repeating: "\" \"", count: 300_000),
      start + String(repeating: "\"", count: 900_000),
      start + "\"" + String(repeating: " ", count: 900_000),
      start + "\"" + String(repeating: "1 2 3 4 \"-\" \"x\" ", count: 60_000),
      String(repeating: "[", count: 1 << 20),
      String(repeating: "9", count: 1 << 20),
      String(repeating: "\\", count: (1 << 20) - 1) + "\"",
      "{" + String(repeating: #""a":["#, count: 200_000),
      String(repeating: #"{"start_time":"#, count: 60_000),
      String(repeating: "127.0.0.1 - - [", count: 60_000),
      String(repeating: "1700000000.123 1 1.1.1.1 TCP_MISS/", count: 30_000),
      #"{"start_time":"2020-08-28T06:32:00.597Z","duration":1,"response_flags":"-","authority":""#
        + String(repeating: ".", count: 900_000) + #""}"#,
      "<13>" + String(repeating: "a b: ", count: 200_000),
    ]
    let clock = ContinuousClock()
    for line in hostile {
      // Unoptimised code, and a machine that is busy with other things: the bound is on the order of magnitude.
      let time = clock.measure { #expect(EngineFeed.read(line).linesRead == 1) }
      #expect(time < .seconds(10), "\(line.prefix(100)): \(time)")
    }
  }
}
