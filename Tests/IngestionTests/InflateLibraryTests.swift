import CZlib
import Glibc
import Testing

@testable import Ingestion

/// ISA-L is the fast twin, zlib the slow one.
@Suite("Which library inflates makes no difference", .enabled(if: InflateLibrary.isal.hindrance == nil))
struct InflateLibraryTests {
  private let scene: Scene

  init() throws { scene = try Scene() }

  /// What may be in a file: lines, and what deflate has other kinds of blocks for.
  private static let contents: [(name: String, bytes: [UInt8])] = {
    var random = Seeded(seed: 31)
    let lines = Scene.lines((1...900).shuffled(using: &random))
    return [
      ("nothing", []), ("a byte", [0x41]), ("lines", lines),
      ("one byte over and over", [UInt8](repeating: 0x41, count: 150_000)),
      ("noise", (0..<80_000).map { _ in UInt8.random(in: 0...255, using: &random) }),
      ("lines far apart", lines + (0..<32_000).map { _ in UInt8.random(in: 0...255, using: &random) } + lines),
    ]
  }()

  private static let kinds: [(level: Int32, strategy: Int32)] = [
    (0, Z_DEFAULT_STRATEGY), (1, Z_DEFAULT_STRATEGY), (6, Z_DEFAULT_STRATEGY), (9, Z_DEFAULT_STRATEGY), (6, Z_FIXED),
    (6, Z_HUFFMAN_ONLY), (6, Z_RLE),
  ]

  /// Each content in each kind of member, with what it is called and what is in it.
  private static func eachFile(_ body: (_ name: String, _ packed: [UInt8], _ bytes: [UInt8]) throws -> Void) throws {
    for (name, bytes) in contents {
      for (level, strategy) in kinds {
        try body("\(name) \(level) \(strategy)", Gzip.compress(bytes, level: level, strategy: strategy), bytes)
      }
    }
  }

  @Test(
    "of a whole file, whatever its blocks and however much is asked for at a time", arguments: [1000, 70_000, 1 << 20])
  func whole(size: Int) throws {
    try Self.eachFile { name, packed, bytes in
      let read = try read(packed + Gzip.compress(bytes) + [0, 0], size, .isal)
      #expect(read.bytes == bytes + bytes && read.end == .complete && read.error == nil, "\(name)")
    }
  }

  @Test("of a file that is cut: all that can be had is given")
  func cut() throws {
    var random = Seeded(seed: 32)
    try Self.eachFile { name, first, _ throws in
      let packed = first + Gzip.compress(Scene.lines(1...5))
      let edges = Array(packed.indices.prefix(30) + packed.indices.suffix(120)).shuffled(using: &random).prefix(5)
      for edge in edges + (0..<3).map({ _ in Int.random(in: packed.indices, using: &random) }) {
        let size = [300, 5000, 1 << 20].randomElement(using: &random)!
        let part = Array(packed[..<edge])
        #expect(
          try read(part, size, .isal) == read(part, size, .zlib), "\(name) cut at \(edge), by \(size)")
      }
    }
  }

  @Test("of a damaged file: the same is said, with the same place, and nothing that zlib can read is left out")
  func damaged() throws {
    var random = Seeded(seed: 33)
    try Self.eachFile { name, first, _ throws in
      let whole = first + Gzip.compress(Scene.lines(1...5))
      for _ in 0..<5 {
        var packed = whole
        let damage = Int.random(in: packed.indices, using: &random)
        if Bool.random(using: &random) {
          packed[damage] ^= 1 << UInt8.random(in: 0...7, using: &random)
        } else {
          for index in damage..<min(damage + 20, packed.count) { packed[index] = .random(in: 0...255, using: &random) }
        }
        let size = [300, 5000, 1 << 20].randomElement(using: &random)!
        let (fast, slow) = try (read(packed, size, .isal), read(packed, size, .zlib))
        let place = "\(name) damaged at \(damage), by \(size)"
        #expect(fast.error == slow.error && fast.end == slow.end, "\(place)")
        // zlib finds some damage before the block that has it, ISA-L behind.
        #expect(slow.error == nil ? fast.bytes == slow.bytes : fast.bytes.starts(with: slow.bytes), "\(place)")
      }
    }
  }

  @Test("of a file that grows while it is read on")
  func growing() throws {
    scene.options.inflateLibrary = .isal
    let packed = Gzip.compress(Scene.lines(1...3000))
    for count in stride(from: packed.count / 7, to: packed.count, by: packed.count / 7) {
      try scene.write("access.log.gz", bytes: Array(packed[..<count]))
      try scene.ingest("access.log.gz")
    }
    try scene.write("access.log.gz", bytes: packed + Gzip.compress(Scene.lines(3001...3010)))
    try scene.ingest("access.log.gz")
    #expect(try scene.stored() == Array(1...3010))
  }

  @Test("of a file that gives far more than its size: it is refused")
  func bomb() throws {
    scene.options.inflateLibrary = .isal
    scene.options.limits.unratedInflatedBytes = 100_000
    try scene.write("bomb.gz", bytes: Gzip.compress([UInt8](repeating: 0x20, count: 3_000_000)))
    try scene.write("other.log", 1...2)
    let summary = try scene.ingest("bomb.gz", "other.log")
    #expect(summary.problems.map(\.message).contains { $0.contains("500 times") })
    #expect(try scene.stored() == [1, 2])
  }

  private struct Outcome: Equatable {
    var bytes: [UInt8] = []
    var error: String?
    var end: Inflater.End?
  }

  private func read(_ packed: [UInt8], _ size: Int, _ library: InflateLibrary) throws -> Outcome {
    try scene.write("access.log.gz", bytes: packed)
    var outcome = Outcome()
    do {
      let file = try LogFile(path: scene.path("access.log.gz"), limits: IngestLimits(), inflatedBy: library)
      guard file.isCompressed else { return outcome }
      var buffer = [UInt8](repeating: 0, count: size)
      while true {
        let count = try buffer.withUnsafeMutableBytes { bytes throws(ReadError) in try file.read(into: bytes) }
        if count == 0 { break }
        outcome.bytes += buffer[..<count]
        #expect(file.position == Int64(outcome.bytes.count))
      }
      outcome.end = file.compressionEnd
    } catch let error as ReadError {
      outcome.error = error.message
    }
    return outcome
  }
}
