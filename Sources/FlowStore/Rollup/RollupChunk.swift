/// The bytes of one chunk of a run in memory, and where the blocks of its destinations lie.
///
/// `@unchecked Sendable`: nothing changes after it is made.
final class RollupChunk: @unchecked Sendable {
  /// Has the memory of the bytes.
  private let owner: AnyObject
  private let first: Int64
  /// Where each of the chunk's destinations begins, nil for those it does not tell of. As long as the chunk is there.
  let blocks: UnsafeMutablePointer<UnsafeRawBufferPointer?>
  private(set) var destinations: [Int64] = []

  static let destinationCount = 1 << RollupCode.chunkBits

  /// nil where the bytes, which are copied, make no sense.
  convenience init?(_ chunk: Int64, _ bytes: UnsafeRawBufferPointer) {
    let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count + RollupCode.slack)
    UnsafeMutableRawBufferPointer(memory).copyMemory(from: bytes)
    UnsafeMutableBufferPointer(rebasing: memory[bytes.count...]).initialize(repeating: 0)
    self.init(chunk, at: UnsafeRawPointer(memory.baseAddress!), bytes.count, in: OwnedMemory(memory))
  }

  /// - Parameters:
  ///   - bytes: `count` of them and the slack behind, which stay as they are as long as `owner` is there.
  /// - Returns: nil where they make no sense.
  init?(_ chunk: Int64, at bytes: UnsafeRawPointer, _ count: Int, in owner: AnyObject) {
    self.owner = owner
    first = chunk << RollupCode.chunkBits
    blocks = .allocate(capacity: RollupChunk.destinationCount)
    blocks.initialize(repeating: nil, count: RollupChunk.destinationCount)
    // In bounds: the reader stays within the bytes and the slack behind them.
    var reader = RollupReader(UnsafeRawBufferPointer(start: bytes, count: count))
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

  deinit { blocks.deallocate() }

  /// - Parameter destination: of this chunk.
  func block(of destination: Int64) -> UnsafeRawBufferPointer? {
    precondition(destination >> RollupCode.chunkBits == first >> RollupCode.chunkBits)
    return blocks[Int(destination - first)]
  }
}
