/// The bytes of one chunk of a run in memory, and where the blocks of its destinations lie.
///
/// `@unchecked Sendable`: nothing changes after it is made.
final class RollupChunk: @unchecked Sendable {
  private let memory: UnsafeMutableRawBufferPointer
  private let first: Int64
  /// By destination, from the chunk's first on.
  private var blocks: [UnsafeRawBufferPointer?]
  private(set) var destinations: [Int64] = []

  /// nil where the bytes make no sense.
  init?(_ chunk: Int64, _ bytes: UnsafeRawBufferPointer) {
    memory = .allocate(byteCount: bytes.count + RollupCode.slack, alignment: 16)
    memory.copyMemory(from: bytes)
    UnsafeMutableRawBufferPointer(rebasing: memory[bytes.count...]).initializeMemory(as: UInt8.self, repeating: 0)
    first = chunk << RollupCode.chunkBits
    blocks = Array(repeating: nil, count: 1 << RollupCode.chunkBits)
    // In bounds: the reader stays within the bytes and the slack behind them.
    var reader = RollupReader(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<bytes.count]))
    var destination = first
    while !reader.isAtEnd {
      destination &+= reader.varint()
      guard destination >= destinations.last ?? first, destination - first < blocks.count, let block = reader.block()
      else { return nil }
      blocks[Int(destination - first)] = block
      destinations.append(destination)
    }
  }

  deinit { memory.deallocate() }

  @inline(__always)
  func block(of destination: Int64) -> UnsafeRawBufferPointer? { blocks[Int(destination - first)] }
}
