internal import Glibc

/// Memory in pieces that are given back all at once. Nothing is taken from the system before it is written to.
final class NoteMemory {
  private static let largePage = 2 << 20

  private let memory: UnsafeMutableRawPointer
  private let byteCount: Int
  private let pieceBytes: Int
  private let pieces: Int
  let start: UnsafeMutableRawPointer
  private(set) var taken = 0

  init(pieces: Int, of pieceBytes: Int) {
    self.pieces = pieces
    self.pieceBytes = pieceBytes
    byteCount = pieces * pieceBytes + NoteMemory.largePage
    guard
      let memory = mmap(
        nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      memory != MAP_FAILED
    else { fatalError("out of memory") }
    self.memory = memory
    start = memory.alignedUp(toMultipleOf: NoteMemory.largePage)
    // A wish, and not for the first one: who notes little should not wait for a large page to be cleared.
    let behind = start + NoteMemory.largePage
    if behind < memory + byteCount { madvise(behind, memory + byteCount - behind, MADV_HUGEPAGE) }
  }

  deinit { munmap(memory, byteCount) }

  var isTaken: Bool { taken == pieces }

  func take() -> UnsafeMutableRawPointer {
    precondition(taken < pieces, "no more was asked for")
    taken += 1
    // In bounds: there is room for all pieces behind the start.
    return start + (taken - 1) * pieceBytes
  }

  /// Nobody uses any of it now.
  func giveBack() { taken = 0 }
}
