import Testing

@testable import Ingestion

@Suite("Compressed logs")
struct GzipTests {
  let scene: Scene

  init() throws { scene = try Scene() }

  @Test("a gzip file is known by its magic, not by its name")
  func magic() throws {
    try scene.write("access.log", bytes: Gzip.compress(Scene.lines(1...5)))
    try scene.write("plain.gz", 6...8)
    try scene.ingest("access.log", "plain.gz")
    #expect(try scene.stored() == Array(1...8))
  }

  @Test(
    "what is inflated ahead by another thread is what is inflated on the way",
    arguments: ["whole", "cut", "damaged", "garbage", "checksum", "members", "inner checksum", "length", "bomb"])
  func ahead(kind: String) throws {
    var random = Seeded(seed: 9)
    // More than the pieces that are under way between the threads.
    var packed = Gzip.compress(Scene.lines((1...20_000).shuffled(using: &random)))
    switch kind {
    case "cut": packed.removeLast(packed.count / 3)
    case "damaged": for index in packed.count / 2..<packed.count / 2 + 40 { packed[index] = 0xFF }
    case "garbage": packed += Array("garbage\n".utf8)
    case "checksum": packed[packed.count - 6] ^= 0xFF
    case "members": for part in 1...200 { packed += Gzip.compress(Scene.lines(part * 100_000...part * 100_000 + 60)) }
    case "inner checksum":
      packed[packed.count - 6] ^= 0xFF
      packed += Gzip.compress(Scene.lines(1...10_000))
    case "length": packed[packed.count - 2] ^= 0xFF
    case "bomb": packed += Gzip.compress([UInt8](repeating: 0x20, count: 300_000_000))
    default: break
    }
    func read(threads: Int, _ library: InflateLibrary = .zlib) throws -> [String] {
      let scene = try Scene()
      scene.options.threads = threads
      scene.options.inflateLibrary = library
      try scene.write("access.log.gz", bytes: packed)
      let summary = try scene.ingest("access.log.gz")
      let marks = try scene.numbers("select position from line_mark order by position")
      return try scene.logs() + summary.problems.map(\.message)
        + ["\(summary.lines) \(summary.files[0].pending) \(marks)"] + scene.stored().map { "\($0)" }
    }
    let expected = try read(threads: 1)
    #expect(try read(threads: 3) == expected)
    // Where a bomb is given up depends on how much comes out at a time.
    guard InflateLibrary.isal.hindrance == nil, kind != "bomb" else { return }
    #expect(try read(threads: 3, .isal) == expected)
  }

  @Test("several members are one log, and a line may run across two of them")
  func members() throws {
    let bytes = Scene.lines(1...30)
    let packed =
      Gzip.compress(Array(bytes[..<1000])) + Gzip.compress([]) + Gzip.compress(Array(bytes[1000...]))
    try scene.write("access.log.gz", bytes: packed)
    let summary = try scene.ingest("access.log.gz")
    #expect(summary.lines.stored == 30)
    #expect(summary.files[0].to == Int64(bytes.count))
    #expect(summary.problems.isEmpty)
  }

  @Test("in a whole gzip file a last line without newline is a line")
  func lastLine() throws {
    try scene.write("access.log.gz", bytes: Gzip.compress(Scene.lines(1...5).dropLast()))
    let summary = try scene.ingest("access.log.gz")
    #expect(summary.lines.stored == 5)
    #expect(summary.files[0].pending == 0)
  }

  @Test("a gzip file cut in the middle is read as far as it goes, and read on when it has grown")
  func cut() throws {
    var random = Seeded(seed: 7)
    let packed = Gzip.compress(Scene.lines((1...400).shuffled(using: &random)))
    try scene.write("access.log.gz", bytes: Array(packed[..<(packed.count / 2)]))
    let first = try scene.ingest("access.log.gz")
    #expect(first.lines.stored > 0 && first.lines.stored < 400)
    #expect(first.files[0].pending > 0)
    #expect(first.problems.map(\.kind) == [.warning])
    #expect(try scene.ingest("access.log.gz").lines.read == 0)
    try scene.append("access.log.gz", bytes: Array(packed[(packed.count / 2)...]))
    let second = try scene.ingest("access.log.gz")
    #expect(second.files[0].from == first.files[0].to)
    #expect(second.problems.isEmpty)
    #expect(try scene.stored() == Array(1...400))
  }

  @Test("a gzip file that gains a member is read on")
  func gainsAMember() throws {
    try scene.write("access.log.gz", bytes: Gzip.compress(Scene.lines(1...10)))
    try scene.ingest("access.log.gz")
    try scene.append("access.log.gz", bytes: Gzip.compress(Scene.lines(11...20)))
    #expect(try scene.ingest("access.log.gz").lines.stored == 10)
    #expect(try scene.stored() == Array(1...20))
  }

  @Test("a partly read gzip file that is unpacked goes on as a plain file")
  func unpacked() throws {
    try scene.write("access.log.gz", bytes: Gzip.compress(Scene.lines(1...10)))
    try scene.ingest("access.log.gz")
    scene.remove("access.log.gz")
    try scene.write("access.log", 1...12)
    #expect(try scene.ingest("access.log").lines.stored == 2)
  }

  @Test("what follows the last member is not read, and said with its place; zeros are padding")
  func trailing() throws {
    let packed = Gzip.compress(Scene.lines(1...5))
    try scene.write("garbage.gz", bytes: packed + Array("garbage\n".utf8))
    try scene.write("padded.gz", bytes: Gzip.compress(Scene.lines(11...15)) + [UInt8](repeating: 0, count: 512))
    let summary = try scene.ingest("garbage.gz", "padded.gz")
    #expect(summary.lines.stored == 10)
    #expect(summary.problems.map(\.path) == [scene.path("garbage.gz")])
    #expect(summary.problems[0].message.contains("from byte \(packed.count)"))
    #expect(!summary.hasErrors)
  }

  @Test("a wrong checksum is an error with its place, and what came before it is stored once")
  func checksum() throws {
    var packed = Gzip.compress(Scene.lines(1...50))
    packed[packed.count - 6] ^= 0xFF
    try scene.write("access.log.gz", bytes: packed)
    try scene.write("other.log", 100...101)
    let summary = try scene.ingest("access.log.gz", "other.log")
    #expect(summary.hasErrors)
    #expect(summary.problems[0].message.contains("damaged gzip data before byte "))
    #expect(summary.lines.stored == 52)
    try scene.ingest("access.log.gz", "other.log")
    #expect(try scene.stored() == Array(1...50) + [100, 101])
  }

  @Test("damage in the middle ends that file only")
  func damage() throws {
    var random = Seeded(seed: 8)
    var packed = Gzip.compress(Scene.lines((1...900).shuffled(using: &random)))
    for index in packed.count / 2..<packed.count / 2 + 40 { packed[index] = 0xFF }
    try scene.write("damaged.gz", bytes: packed)
    try scene.write("other.log", 1001...1002)
    let summary = try scene.ingest("damaged.gz", "other.log")
    #expect(summary.hasErrors)
    #expect(Set(try scene.stored()).isSuperset(of: [1001, 1002]))
  }

  @Test("a file that gives far more than its size is refused at a limit, and named")
  func bomb() throws {
    scene.options.limits.unratedInflatedBytes = 100_000
    try scene.write("bomb.gz", bytes: Gzip.compress([UInt8](repeating: 0x20, count: 3_000_000)))
    try scene.write("other.log", 1...2)
    let summary = try scene.ingest("bomb.gz", "other.log")
    #expect(summary.hasErrors)
    #expect(summary.problems[0].message.contains("500 times"))
    #expect(try scene.stored() == [1, 2])
  }

  @Test("inflating gives the same bytes whatever the size of the pieces", arguments: [1, 7, 64, 5000])
  func pieces(size: Int) throws {
    let bytes = Scene.lines(1...40)
    let packed = Gzip.compress(Array(bytes[..<700])) + Gzip.compress(Array(bytes[700...]))
    let inflater = Inflater()
    var result: [UInt8] = []
    var output = [UInt8](repeating: 0, count: size)
    var place = 0
    while place < packed.count {
      let piece = packed[place..<min(place + size, packed.count)]
      let (taken, given) = try piece.withUnsafeBytes { input in
        try output.withUnsafeMutableBytes { try inflater.inflate(input, into: $0) }
      }
      place += taken
      result += output[..<given]
    }
    #expect(result == bytes)
    #expect(inflater.end == .complete)
  }
}

/// A generator with a seed, so that a failure comes again.
struct Seeded: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state &* 0x2545_F491_4F6C_DD1D
  }
}
