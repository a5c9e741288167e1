/// The bytes of one chunk of a run in memory, and where the blocks of its destinations lie.
///
/// `@unchecked Sendable`: nothing changes after it is made.
final class RollupChunk: @unchecked Sendable {
  private let memory: UnsafeMutableRawBufferPointer
  private let first: Int64
  /// Where each of the chunk's destinations begins, nil for those it does not tell of. As long as the chunk is there.
  let blocks: UnsafeMutablePointer<UnsafeRawBufferPointer?>
  private(set) var destinations: [Int64] = []

  static let destinationCount = 1 << RollupCode.chunkBits

  /// nil where the bytes make no sense.
  init?(_ chunk: Int64, _ bytes: UnsafeRawBufferPointer) {
    memory = .allocate(byteCount: bytes.count + RollupCode.slack, alignment: 16)
    memory.copyMemory(from: bytes)
    UnsafeMutableRawBufferPointer(rebasing: memory[bytes.count...]).initializeMemory(as: UInt8.self, repeating: 0)
    first = chunk << RollupCode.chunkBits
    blocks = .allocate(capacity: RollupChunk.destinationCount)
    blocks.initialize(repeating: nil, count: RollupChunk.destinationCount)
    // In bounds: the reader stays within the bytes and the slack behind them.
    var reader = RollupReader(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<bytes.count]))
    var destination = first
    while !reader.isAtEnd {
      destination &+= reader.varint()
      guard destination >= destinations.last ?? first, destination - first < Int64(RollupChunk.destinationCount),
        let block = reader.block()
      else { return nil }
      blocks[Int(destination - first)] = block
      destinations.append(destination)
    }
  }

  deinit {
    memory.deallocate()
    blocks.deallocate()
  }

  /// - Parameter destination: of this chunk.
  func block(of destination: Int64) -> UnsafeRawBufferPointer? {
    precondition(destination >> RollupCode.chunkBits == first >> RollupCode.chunkBits)
    return blocks[Int(destination - first)]
  }
}
