import Flows
import Testing

@testable import AccessLogs

/// Dictionaries at their bounds, and a parser that adds nothing to them once it knows its log.
@Suite(.serialized)
struct EngineMemoryTests {
  @Test("an interner gives each key one number, grows, and starts anew at its bounds")
  func interner() {
    var interner = Interner(capacity: 16, maxCount: 5000, maxArena: 4 << 20)
    for round in 0..<3 {
      var ids: [String: Int32] = [:]
      for n in 0..<4000 {
        let text = "\(round)-\(n % 2500)"
        withSlice(text.utf8) { slice in
          // The worst of hashes: a handful of values for all keys.
          let hash = UInt64(n % 2500 % 7) << 20
          let found = interner.find(hash, slice)
          #expect(found == ids[text] ?? -1)
          if found < 0 { ids[text] = interner.add(hash, slice) }
        }
      }
      let (count, isAlmostFull) = (interner.count, interner.isAlmostFull)
      #expect(count == 2500 && !isAlmostFull)
      interner.restart()
      let left = interner.count
      #expect(left == 0)
    }
  }

  @Test("keys whose bytes are cut elsewhere are different keys")
  func cuts() {
    var interner = Interner()
    let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
    defer { scratch.deallocate() }
    func id(_ one: String, _ other: String) -> Int32 {
      withSlice(one.utf8) { first in
        withSlice(other.utf8) { second in
          var key = KeyWriter(at: scratch, limit: scratch + 256 - KeyWriter.slack, tag: 7)
          key.add(first)
          key.add(second)
          let known = interner.find(1, key.slice)
          return known >= 0 ? known : interner.add(1, key.slice)
        }
      }
    }
    #expect(Set([id("ab", "c"), id("a", "bc"), id("", "abc"), id("abc", "")]).count == 4)
    #expect(id("ab", "c") == 0)
  }

  @Test("clients who invent hosts make dictionaries start anew, and no id ever means another host")
  func invention() {
    // Keys of 40 KB fill the bound of the dictionary after some eight hundred lines.
    let long = String(repeating: "n", count: 40_000)
    let feed = EngineFeed(capacity: 8192)
    let total = 2500
    for n in 0..<total {
      let line =
        #"[2020-08-28T06:32:00.597Z] "GET /a HTTP/1.1" 200 - via_upstream - "-" 1 2 3 4 "-" "curl" "-" "h\#(n).test" "203.0.113.9:80" outbound|80||\#(long) 10.0.0.1:1 203.0.113.9:80 10.0.0.1:2 - default"#
      feed.read((line + "\n").utf8)
    }
    feed.read([], isFinal: true)
    #expect(feed.reading.flows.map { $0.destination.host ?? "" } == (0..<total).map { "h\($0).test" })
  }

  /// The template of a path, as of a line that has nothing else.
  private static func templateID(
    _ path: [UInt8], _ builder: RowBuilder, _ lane: LaneFields, _ layout: RowLayout, _ batch: FlowBatch
  ) -> Int32 {
    withSlice(path) { path in
      builder.begin(lane.fields[0], lane: 0, source: 0, destination: 0, path: path)
      builder.find(1, layout)
      return builder.templateID(lane.fields[0], lane: 0, layout, .raw, batch)
    }
  }

  @Test("beyond the bound, new paths share one template")
  func paths() {
    let lane = LaneFields()
    let builder = RowBuilder(UnsafePointer(lane.slices))
    let layout = LinePlan(FormatPlan.builtIn[0], index: 0).layout
    let batch = FlowBatch(capacity: 64)
    builder.open(batch)
    var last: Int32 = -1
    var letters = [UInt8](repeating: 0x67, count: 5)
    for _ in 0..<(RowBuilder.maxTemplates + 10) {
      // Words of letters that are no hexadecimal digits.
      for place in letters.indices {
        letters[place] = letters[place] == 0x7A ? 0x67 : letters[place] + 1
        if letters[place] != 0x67 { break }
      }
      last = Self.templateID([ASCII.slash] + letters, builder, lane, layout, batch)
    }
    #expect(batch.newPathTemplates.count <= RowBuilder.maxTemplates + 1)
    #expect(batch.newPathTemplates[Int(last)] == "/**")
  }

  @Test("entries announced in a batch of which nothing was stored are not lost")
  func emptyBatches() {
    let lane = LaneFields()
    let builder = RowBuilder(UnsafePointer(lane.slices))
    let layout = LinePlan(FormatPlan.builtIn[0], index: 0).layout
    let batch = FlowBatch(capacity: 64)
    builder.open(batch)
    let first = Self.templateID(Array("/a".utf8), builder, lane, layout, batch)
    builder.open(batch)
    let second = Self.templateID(Array("/b".utf8), builder, lane, layout, batch)
    #expect((first, second) == (0, 1))
    #expect(batch.firstNewPathTemplate == 0 && batch.newPathTemplates == ["/a", "/b"])
  }

  @Test(
    "known lines add nothing to the dictionaries",
    arguments: [
      (#"[2020-08-28T06:32:00.59%dZ] "GET /a/%d HTTP/1.1" 200 - via_upstream - "-" 1%d 2 3 4 "-" "cu rl" "b2d6f0f8-1111-4abc-9def-00000000000%d" "a.test" "203.0.113.9:80" outbound|80||a.test 10.0.0.1:1%d 203.0.113.9:80 10.0.0.1:2 - default"#),
      "127.0.0.1 [28/Aug/2020:06:32:0%d +0000] TCP [edition.cnn.com]200 5491 89%d 0.01%d",
      "159859632%d.597     1%d 10.80.3.218 TCP_TUNNEL/200 549%d CONNECT edition.cnn.com:443 - HIER_DIRECT/115.214.243.245 -",
    ])
  func steady(pattern: String) {
    var bytes: [UInt8] = []
    for n in 0..<2000 { bytes += (pattern.replacing("%d", with: "\(n % 10)") + "\n").utf8 }
    let count = bytes.count
    bytes += Array(repeating: 0, count: LineParser.slack)
    let parser = LineParser()
    parser.begin(log: LogContext(ordinal: 1))
    let batch = FlowBatch(capacity: 4096)
    func read() {
      batch.reset()
      bytes.withUnsafeBytes {
        _ = parser.parse(UnsafeRawBufferPointer(rebasing: $0[..<count]), isFinal: false, into: batch)
      }
    }
    read()
    read()
    #expect(batch.count == 2000)
    #expect(
      batch.newSources.isEmpty && batch.newDestinations.isEmpty && batch.newOutcomes.isEmpty
        && batch.newPathTemplates.isEmpty)
  }
}
