internal import Glibc

/// Memory for much that is written, of which nothing is taken from the system before it is written to, and then in large pages
/// where there are some.
final class ReservedMemory {
  static let largePage = 2 << 20

  /// Where a large page would begin.
  let start: UnsafeMutableRawPointer
  private let memory: UnsafeMutableRawPointer
  private let byteCount: Int

  /// - Parameter small: so many bytes come in small pages: who writes little should not wait for a large one to be cleared.
  init(_ bytes: Int, small: Int = 0) {
    byteCount = bytes + ReservedMemory.largePage
    guard
      let memory = mmap(
        nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      memory != MAP_FAILED
    else { fatalError("out of memory") }
    self.memory = memory
    start = memory.alignedUp(toMultipleOf: ReservedMemory.largePage)
    // A wish.
    let large = start + small
    if large < memory + byteCount { madvise(large, memory + byteCount - large, MADV_HUGEPAGE) }
  }

  deinit { munmap(memory, byteCount) }

  /// Gives all of it back to the system for now; what was written is gone.
  func giveBack() { madvise(memory, byteCount, MADV_DONTNEED) }
}
