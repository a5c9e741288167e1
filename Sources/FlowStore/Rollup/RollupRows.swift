internal import Dispatch

/// What is summed up of a flow.
struct RollupRow {
  /// `none` where they were not logged.
  var sent, received: Int64
  var startedAtMs: Int64
  /// Duration in milliseconds plus one, 0 where none was logged; below it the distance of the row id from the run's first.
  var measured: UInt64

  static let none = Int64.min
  static let idBits: UInt64 = 22

  var id: Int64 { Int64(measured & (1 << RollupRow.idBits - 1)) }
}

/// Memory for the rows of several piles, whichever of them gets more. In large pages: rows are
/// laid aside all over it.
///
///     slab     blocks side by side
///     block    keys, then rows
///
/// `@unchecked Sendable`: slabs change hands under `lock`, and each is touched by who has it.
final class RollupRows: @unchecked Sendable {
  static let blockRows = 32
  static let blocksPerSlab = 512
  /// Where no block is below.
  static let none: Int32 = -1
  // Bytes of a block. Keys and rows begin where lines of the processor's cache do.
  private static let rowsAt = blockRows * MemoryLayout<UInt64>.stride
  private static let blockBytes = rowsAt + blockRows * MemoryLayout<RollupRow>.stride

  private let memory: ReservedMemory
  private let start: UnsafeMutableRawPointer
  private let slabCount: Int
  /// Of each block the number of the one below it in its stack.
  let below: UnsafeMutablePointer<Int32>
  private var taken = 0
  private var free: [Int] = []
  private let lock = DispatchSemaphore(value: 1)

  /// Memory that nothing is written to costs nothing.
  /// - Parameters:
  ///   - rows: as many as there are in all piles.
  ///   - stacks: in all piles, each of which may have a block that is not full.
  init(_ rows: Int, stacks: Int, piles: Int) {
    slabCount = (rows / RollupRows.blockRows + stacks) / RollupRows.blocksPerSlab + 1 + piles
    below = .allocate(capacity: slabCount * RollupRows.blocksPerSlab)
    memory = ReservedMemory(slabCount * RollupRows.blocksPerSlab * RollupRows.blockBytes)
    start = memory.start
  }

  deinit { below.deallocate() }

  func take() -> Int {
    lock.wait()
    defer { lock.signal() }
    if let slab = free.popLast() { return slab }
    precondition(taken < slabCount, "more rows than a run has")
    taken += 1
    return taken - 1
  }

  func put(_ slabs: [Int]) {
    lock.wait()
    free += slabs
    lock.signal()
  }

  /// Gives the memory back to the system for now; no pile has any of it.
  func giveBack() {
    lock.wait()
    defer { lock.signal() }
    precondition(free.count == taken, "rows are still needed")
    (taken, free) = (0, [])
    memory.giveBack()
  }

  // In bounds below: numbers and places are those of blocks that were taken, and of rows in them.

  @inline(__always)
  func block(_ number: Int) -> UnsafeMutableRawPointer {
    start + number * RollupRows.blockBytes
  }

  @inline(__always)
  static func keys(of block: UnsafeMutableRawPointer) -> UnsafeMutablePointer<UInt64> {
    block.assumingMemoryBound(to: UInt64.self)
  }

  @inline(__always)
  static func rows(of block: UnsafeMutableRawPointer) -> UnsafeMutablePointer<RollupRow> {
    (block + rowsAt).assumingMemoryBound(to: RollupRow.self)
  }

  @inline(__always)
  func row(_ place: UInt32) -> RollupRow {
    let (number, row) = Int(place).quotientAndRemainder(dividingBy: RollupRows.blockRows)
    return RollupRows.rows(of: block(number))[row]
  }
}
