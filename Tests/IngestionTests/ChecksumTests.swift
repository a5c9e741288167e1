import CZlib
import Testing

@testable import Ingestion

/// Gatewatch compares the checksum of a gzip member itself, part of it on other threads: as strictly as zlib would.
@Suite("The checksum of compressed logs")
struct ChecksumTests {
  @Test(
    "whatever is wrong in a header or a trailer is found where zlib finds it, and so is any end",
    arguments: [1, 7, 5000])
  func asZlib(size: Int) throws {
    let first = Scene.lines(1...20)
    let second = Scene.lines(21...30)
    let header = withHeader(Gzip.compress(first), flags: 0b1_1110)
    let whole = header + Gzip.compress([]) + Gzip.compress(second) + [0, 0]
    #expect(outcome(Inflater(), whole, size) == Outcome(bytes: first + second, end: .complete))
    let ends = [header.count, header.count + Gzip.compress([]).count, whole.count - 2]
    let edges = Set(ends.flatMap { ($0 - 12..<$0 + 30) } + Array(0..<60)).filter { whole.indices.contains($0) }
    for edge in edges {
      let cut = Array(whole[..<edge])
      #expect(outcome(Inflater(), cut, size) == outcome(ByZlib(), cut, size), "cut at \(edge)")
      for bit in [0x01, 0x20, 0x80] as [UInt8] {
        var damaged = whole
        damaged[edge] ^= bit
        #expect(outcome(Inflater(), damaged, size) == outcome(ByZlib(), damaged, size), "bit \(bit) at \(edge)")
      }
    }
  }

  @Test("the sum of stretches is that of all bytes, whoever takes it and when")
  func stretches() {
    var random = Seeded(seed: 11)
    for _ in 0..<50 {
      let bytes = (0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) }
      bytes.withUnsafeBytes { bytes in
        var sum = MemberChecksum()
        var all: [MemberChecksum.Stretch] = []
        var place = 0
        while place < bytes.count {
          sum.holdsBack = Bool.random(using: &random)
          let end = min(place + Int.random(in: 0...40, using: &random), bytes.count)
          sum.take(UnsafeRawBufferPointer(rebasing: bytes[place..<end]))
          place = end
          if Int.random(in: 0..<3, using: &random) > 0, let stretch = sum.handOut() { all.append(stretch) }
          if Int.random(in: 0..<4, using: &random) == 0 { all.randomElement(using: &random)?.compute() }
        }
        let expected = crc32_z(0, bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), bytes.count)
        #expect(sum.value() == UInt32(expected))
        sum.reset()
        #expect(sum.value() == 0)
      }
    }
  }

  @Test("the sum by vectors is zlib's, of any length at any place and behind any other sum")
  func byVectors() {
    var random = Seeded(seed: 12)
    let bytes = (0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) }
    bytes.withUnsafeBytes { bytes in
      for length in Array(0...400) + [4096, 4960] {
        let place = Int.random(in: 0...40, using: &random)
        let part = UnsafeRawBufferPointer(rebasing: bytes[place..<place + length])
        let before = UInt(UInt32.random(in: 0...UInt32.max, using: &random))
        let sum = MemberChecksum.sum(before, with: part)
        #expect(sum == MemberChecksum.sum(before, with: part, byVectors: false), "\(length) bytes at \(place)")
      }
    }
  }

  @Test("what is left to others is read as what is not", arguments: [64, 1000, 100_000])
  func leftToOthers(size: Int) throws {
    let scene = try Scene()
    let lines = Scene.lines(1...900)
    let parts = [lines[..<1], lines[1..<70], lines[70..<71], lines[71..<50_000], lines[50_000...]].map(Array.init)
    for damaged in 0...parts.count {
      var packed: [UInt8] = []
      for (index, part) in parts.enumerated() {
        packed += Gzip.compress(part)
        if index == damaged { packed[packed.count - 8] ^= 1 }
      }
      try scene.write("access.log.gz", bytes: packed)
      func read(_ step: (LogFile, UnsafeMutableRawBufferPointer) throws(ReadError) -> Int) throws -> [String] {
        let file = try LogFile(path: scene.path("access.log.gz"), limits: IngestLimits())
        var result: [String] = []
        var bytes = [UInt8](repeating: 0, count: size)
        while true {
          do {
            let count = try bytes.withUnsafeMutableBytes { try step(file, $0) }
            if count == 0 { return result + ["\(file.position)"] }
            result.append("\(bytes[..<count])")
          } catch let error as ReadError {
            return result + [error.message, "\(file.position)"]
          }
        }
      }
      let apart = try read { file, buffer throws(ReadError) in
        let (count, unchecked) = try file.readUnchecked(into: buffer)
        unchecked?.compute()
        return count
      }
      let together = try read { file, buffer throws(ReadError) in try file.read(into: buffer) }
      #expect(apart == together)
      #expect(apart.contains { $0.hasSuffix("incorrect data check") } == (damaged < parts.count))
    }
  }

  // MARK: How zlib alone would have it

  private struct Outcome: Equatable {
    var bytes: [UInt8] = []
    var error: String?
    var end: Inflater.End?
  }

  private func outcome(_ inflater: some MemberReading, _ packed: [UInt8], _ size: Int) -> Outcome {
    var result = Outcome()
    var output = [UInt8](repeating: 0, count: size)
    var place = 0
    while true {
      let piece = packed[place..<min(place + size, packed.count)]
      do {
        let (taken, given) = try piece.withUnsafeBytes { input in
          try output.withUnsafeMutableBytes { try inflater.inflate(input, into: $0) }
        }
        place += taken
        result.bytes += output[..<given]
        if taken == 0 && given == 0 { break }
      } catch let error as ReadError {
        result.error = error.message
        return result
      } catch {
        break
      }
    }
    result.end = inflater.end
    return result
  }

  /// A member with all that a header may have, and a checksum of its own.
  private func withHeader(_ member: [UInt8], flags: UInt8) -> [UInt8] {
    var header: [UInt8] = [0x1F, 0x8B, 8, flags, 1, 2, 3, 4, 0, 3]
    if flags & 4 != 0 { header += [3, 0, 7, 8, 9] }
    if flags & 8 != 0 { header += Array("name".utf8) + [0] }
    if flags & 16 != 0 { header += Array("comment".utf8) + [0] }
    if flags & 2 != 0 {
      let sum = header.withUnsafeBufferPointer { crc32_z(0, $0.baseAddress, $0.count) }
      header += [UInt8(sum & 0xFF), UInt8(sum >> 8 & 0xFF)]
    }
    return header + member[10...]
  }
}

private protocol MemberReading {
  func inflate(
    _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) throws(ReadError) -> (taken: Int, given: Int)
  var end: Inflater.End { get }
}

extension Inflater: MemberReading {}

/// Leaves headers, trailers and checksums to zlib: the slow twin of `Inflater`.
private final class ByZlib: MemberReading {
  private var stream = z_stream()
  private var isBetweenMembers = false
  private var mayHoldMore = false
  private var isOver = false
  private var garbageAt: Int64?
  private var bytesIn: Int64 = 0
  private var failure: ReadError?

  init() { inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) }

  deinit { inflateEnd(&stream) }

  func inflate(
    _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) throws(ReadError) -> (taken: Int, given: Int) {
    var (taken, given) = (0, 0)
    while taken < input.count || mayHoldMore, given < output.count, !isOver {
      mayHoldMore = false
      if isBetweenMembers {
        if input[taken] == 0 {
          taken += 1
          bytesIn += 1
          continue
        }
        if input[taken] != 0x1F {
          (garbageAt, isOver) = (bytesIn, true)
          continue
        }
        isBetweenMembers = false
      }
      stream.next_in = UnsafeMutablePointer(
        mutating: (input.baseAddress! + taken).assumingMemoryBound(to: UInt8.self))
      stream.avail_in = UInt32(input.count - taken)
      stream.next_out = (output.baseAddress! + given).assumingMemoryBound(to: UInt8.self)
      stream.avail_out = UInt32(output.count - given)
      let (offered, room) = (stream.avail_in, stream.avail_out)
      let status = CZlib.inflate(&stream, Z_NO_FLUSH)
      taken += Int(offered - stream.avail_in)
      given += Int(room - stream.avail_out)
      bytesIn += Int64(offered - stream.avail_in)
      switch status {
      case Z_STREAM_END:
        isBetweenMembers = true
        inflateReset(&stream)
      case Z_OK, Z_BUF_ERROR:
        if offered == stream.avail_in && room == stream.avail_out { return (taken, given) }
        mayHoldMore = stream.avail_out == 0
      default:
        isOver = true
        failure = ReadError(
          message: "damaged gzip data before byte \(bytesIn): \(stream.msg.map { String(cString: $0) } ?? "")")
      }
    }
    if given == 0, let failure { throw failure }
    return (taken, given)
  }

  var end: Inflater.End {
    if let garbageAt { return .trailingGarbage(at: garbageAt) }
    return isBetweenMembers ? .complete : .incomplete
  }
}
