internal import CLanes

/// A hash over all bytes fed so far, which can be put aside and taken up again, and which does not depend on how the
/// bytes were cut into pieces.
///
/// Four lanes of 64 bits each take every fourth word: `lane = rotate((lane ^ word) * odd)`. Each step is a bijection of
/// the lane, so no difference once in is lost again, and the lanes do not wait for one another: faster than any disk.
/// It tells files apart, it is no protection against somebody who can choose the whole of a file.
struct RunningHash: Equatable, Sendable {
  private var lane0: UInt64 = 0x9E37_79B9_7F4A_7C15
  private var lane1: UInt64 = 0xC2B2_AE3D_27D4_EB4F
  private var lane2: UInt64 = 0x1656_67B1_9E37_79F9
  private var lane3: UInt64 = 0x85EB_CA77_C2B2_AE63
  /// The bytes after the last whole block; only the first `length % 32` count.
  private var rest0: UInt64 = 0
  private var rest1: UInt64 = 0
  private var rest2: UInt64 = 0
  private var rest3: UInt64 = 0
  /// Bytes fed so far.
  private(set) var length: UInt64 = 0

  static let blockSize = 32
  /// Bytes of `serialised`.
  static let serialisedSize = 72
  private static let multiplier: UInt64 = 0xD6E8_FEB8_6659_FD93

  init() {}

  init(of bytes: UnsafeRawBufferPointer) {
    update(bytes)
  }

  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard var next = bytes.baseAddress, bytes.count > 0 else { return }
    var left = bytes.count
    let held = Int(length % UInt64(RunningHash.blockSize))
    length &+= UInt64(left)
    if held > 0 {
      let taken = min(left, RunningHash.blockSize - held)
      keep(next, taken, at: held)
      next += taken
      left -= taken
      if held + taken < RunningHash.blockSize { return }
      mix(rest0.littleEndian, rest1.littleEndian, rest2.littleEndian, rest3.littleEndian)
    }
    // In bounds: each turn takes 32 of the `left` bytes that remain.
    while left >= RunningHash.blockSize {
      mix(
        UInt64(littleEndian: next.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
        UInt64(littleEndian: next.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
        UInt64(littleEndian: next.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
        UInt64(littleEndian: next.loadUnaligned(fromByteOffset: 24, as: UInt64.self)))
      next += RunningHash.blockSize
      left -= RunningHash.blockSize
    }
    rest0 = 0
    rest1 = 0
    rest2 = 0
    rest3 = 0
    keep(next, left, at: 0)
  }

  /// The hash of the bytes fed so far; more may follow.
  var digest: UInt64 {
    var last = self
    if length % UInt64(RunningHash.blockSize) > 0 {
      last.mix(rest0.littleEndian, rest1.littleEndian, rest2.littleEndian, rest3.littleEndian)
    }
    var sum = length &* RunningHash.multiplier
    for lane in [last.lane0, last.lane1, last.lane2, last.lane3] {
      sum = (sum ^ RunningHash.avalanche(lane)) &* RunningHash.multiplier
      sum = sum << 29 | sum >> 35
    }
    return RunningHash.avalanche(sum)
  }

  @inline(__always)
  private mutating func mix(_ word0: UInt64, _ word1: UInt64, _ word2: UInt64, _ word3: UInt64) {
    lane0 = lanes_rotated((lane0 ^ word0) &* RunningHash.multiplier, 31)
    lane1 = lanes_rotated((lane1 ^ word1) &* RunningHash.multiplier, 31)
    lane2 = lanes_rotated((lane2 ^ word2) &* RunningHash.multiplier, 31)
    lane3 = lanes_rotated((lane3 ^ word3) &* RunningHash.multiplier, 31)
  }

  private static func avalanche(_ value: UInt64) -> UInt64 {
    var value = value
    value ^= value >> 32
    value = value &* 0xE703_7ED1_A0B4_28DB
    value ^= value >> 29
    return value
  }

  /// In bounds: `offset + count` never exceeds one block, which is the size of the four words.
  private mutating func keep(_ bytes: UnsafeRawPointer, _ count: Int, at offset: Int) {
    var words = (rest0, rest1, rest2, rest3)
    if offset == 0 { words = (0, 0, 0, 0) }
    withUnsafeMutableBytes(of: &words) {
      $0.baseAddress!.advanced(by: offset).copyMemory(from: bytes, byteCount: count)
    }
    (rest0, rest1, rest2, rest3) = words
  }

  // MARK: Put aside and taken up

  var serialised: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(RunningHash.serialisedSize)
    for word in [lane0, lane1, lane2, lane3, length] { bytes.append(littleEndian: word) }
    for (word, veil) in zip([rest0, rest1, rest2, rest3], veils) {
      bytes.append(littleEndian: UInt64(littleEndian: word) ^ veil)
    }
    return bytes
  }

  /// nil when `bytes` is no state that `serialised` wrote.
  /// - Parameter isPlain: by a version that wrote the last bytes as they are.
  init?(serialised bytes: ArraySlice<UInt8>, isPlain: Bool = false) {
    guard bytes.count == RunningHash.serialisedSize else { return nil }
    func word(_ index: Int) -> UInt64 { bytes.littleEndian(at: bytes.startIndex + index * 8) }
    (lane0, lane1, lane2, lane3, length) = (word(0), word(1), word(2), word(3), word(4))
    let veils = isPlain ? [0, 0, 0, 0] : veils
    func rest(_ index: Int) -> UInt64 { (word(5 + index) ^ veils[index]).littleEndian }
    (rest0, rest1, rest2, rest3) = (rest(0), rest(1), rest(2), rest(3))
  }

  /// What the bytes after the last whole block are stored under: who looks through a file finds no text of a log in it.
  private var veils: [UInt64] {
    [lane0, lane1, lane2, lane3].map { RunningHash.avalanche($0 &* RunningHash.multiplier) }
  }
}

extension [UInt8] {
  mutating func append(littleEndian word: UInt64) {
    for shift in stride(from: UInt64(0), to: 64, by: 8) { append(UInt8(truncatingIfNeeded: word >> shift)) }
  }

  /// LEB128: seven bits a byte, lowest first.
  mutating func append(varint value: UInt64) {
    var value = value
    while value >= 0x80 {
      append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    append(UInt8(truncatingIfNeeded: value))
  }
}

extension ArraySlice<UInt8> {
  func littleEndian(at start: Int) -> UInt64 {
    var word: UInt64 = 0
    for index in 0..<8 { word |= UInt64(self[start + index]) << UInt64(index * 8) }
    return word
  }
}
