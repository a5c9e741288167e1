internal import CMalloc
internal import Glibc

/// What becomes of memory that was freed.
public enum FreedMemory {
  /// The largest piece that malloc is told of without refusing.
  private static let largestPiece: Int32 = 32 << 20

  /// For a run that soon needs as much again and then ends: kept by the process, for the system would clear each page of it
  /// anew.
  public static func isKept() {
    mallopt(M_MMAP_THRESHOLD, largestPiece)
    mallopt(M_TRIM_THRESHOLD, .max)
    takeLargePages()
  }

  /// Addresses asked for at once; without being written to they cost nothing.
  private static let room: Int32 = 256 << 20
  private static let largePage = UInt(2 << 20)

  /// Has the system give memory in large pages, for it spends more on five hundred small ones than a report on what is in them.
  private static func takeLargePages() {
    // One heap for all threads, and its end so far away that it need not be moved.
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_TOP_PAD, room)
    // Large enough to move the end now.
    guard let piece = malloc(Int(largePage)) else { return }
    let begin = (UInt(bitPattern: piece) + largePage - 1) & ~(largePage - 1)
    let end = UInt(bitPattern: sbrk(0))
    if end > begin, let first = UnsafeMutableRawPointer(bitPattern: begin) {
      madvise(first, Int(end - begin), MADV_HUGEPAGE)
    }
    free(piece)
  }

  /// Gives back what no thread uses: each keeps what it has freed for itself, and with every piece of work a little more.
  static func giveBack() { malloc_trim(0) }
}
