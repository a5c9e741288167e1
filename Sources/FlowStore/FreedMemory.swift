internal import CMalloc

/// What becomes of memory that was freed.
public enum FreedMemory {
  /// The largest piece that malloc is told of without refusing.
  private static let largestPiece: Int32 = 32 << 20

  /// Bytes that the system is asked for at a time, of which it costs nothing what nobody uses; one thread's memory grew by
  /// pages, of which each cost a call.
  private static let growth: Int32 = 1 << 20

  /// For a program that never asks SQLite how much memory it has. Once SQLite was used, this changes nothing.
  public static func isUncounted() { _ = gatewatch_leave_uncounted() }

  /// For a run that soon needs as much again and then ends: kept by the process, for the system would clear each page of it
  /// anew.
  public static func isKept() {
    mallopt(M_MMAP_THRESHOLD, largestPiece)
    mallopt(M_TRIM_THRESHOLD, .max)
    mallopt(M_TOP_PAD, growth)
  }

  /// From now on, large pieces go back to the system as soon as they are freed, and so does what a thread has freed beyond a
  /// little: for work that has to stay within its memory, by several threads of which each would keep what it once needed.
  public static func isReturned() {
    mallopt(M_MMAP_THRESHOLD, largePiece)
    mallopt(M_TRIM_THRESHOLD, mostKept)
  }

  /// Clearing their pages anew is little beside filling them.
  private static let largePiece: Int32 = 2 << 20
  private static let mostKept: Int32 = 4 << 20

  /// Gives back what no thread uses: each keeps what it has freed for itself, and with every piece of work a little more.
  public static func giveBack() { malloc_trim(0) }
}
