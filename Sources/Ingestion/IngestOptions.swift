public import AccessLogs
public import Flows
internal import Glibc

/// How a run reads its inputs.
public struct IngestOptions: Sendable {
  /// Formats to try; the built-in ones unless the person gave some.
  public var formats: [FormatPlan] = FormatPlan.builtIn
  public var role: Role?
  public var label: String?
  /// A last line without newline is a line.
  public var isFinal = false
  /// Lines seen before under `--overlap` are not stored again.
  public var dropsSeenLines = false
  /// Join the hops of one request or connection into journeys. Minutes that are not joined stay open for a later run.
  public var joinsHops = true
  /// Which flows get a row; all are counted.
  public var keep = Keep.all
  /// Path of the database, so that a folder that holds it is not read as its own log.
  public var database: String?
  /// Threads that read, parse and store files; what is stored does not depend on their number, until one of
  /// them has met as many path templates as it keeps apart.
  public var threads = IngestOptions.usefulThreads
  /// For gzipped files; what comes in by a pipe is always inflated by zlib.
  public var inflateLibrary = InflateLibrary.zlib
  public var limits = IngestLimits()
  /// Called by each thread before it parses or stores a piece of a file; a test makes some of them late by it.
  var beforePiece: PieceHook?
  /// Unix milliseconds; noted with each log. The library itself never reads a clock.
  public var nowMs: @Sendable () -> Int64
  /// Seconds of a clock that never jumps.
  public var seconds: @Sendable () -> Double

  enum PieceStep { case parse, store }
  /// What is about to be done, and the piece's place in its file, from 0.
  typealias PieceHook = @Sendable (_ step: PieceStep, _ piece: Int) -> Void

  /// As many as there are processors. Beyond four, the one that stores at a time is what all wait for.
  public static let usefulThreads = min(max(sysconf(Int32(_SC_NPROCESSORS_ONLN)), 1), 4)

  public init(nowMs: @escaping @Sendable () -> Int64, seconds: @escaping @Sendable () -> Double) {
    self.nowMs = nowMs
    self.seconds = seconds
  }
}

/// What bounds memory, and what bounds the work that is lost when a run is killed.
public struct IngestLimits: Sendable {
  /// Bytes read at a time: enough for the disk's read-ahead, and it stays in the second-level cache.
  public var chunkBytes = 1 << 20
  /// The longest line that is parsed; longer ones are rejected as `too-long`.
  public var maxLineBytes = 1 << 20
  /// Rows of a batch.
  public var batchRows = FlowBatch.defaultCapacity
  /// Batches in flight between parser and store.
  public var batches = 8
  /// Rows after which a commit is due, whatever the time: some 5 MB. The writer has time for it while the next rows are
  /// parsed, so that little is left to write when the last line is read; fewer rows would only cost syncs.
  public var linesPerCommit = 100_000
  /// New rows from which on they are judged while they are committed, and joined while the verdicts are written.
  public var manyRows = JoinSizes().worthPages
  /// Seconds after which the end of a file is a reason to commit.
  public var secondsPerCommit = 2.0
  /// Deflate reaches 1,032 to 1; access logs lie between 10 and 60, the dullest health checks under 300.
  public var maxInflationRatio: Int64 = 500
  /// Decompressed bytes up to which the ratio does not matter.
  public var unratedInflatedBytes: Int64 = 256 << 20
  /// Lines `--overlap` remembers the number of equal lines of, within one input (twice this many at most).
  public var overlapWindow = 500_000

  public init() {}
}

/// What of the flows is kept beside their sums.
public enum Keep: Sendable, Equatable {
  /// A row for each.
  case all
  /// Rows only where something may have to be looked into: bypass, what was refused or failed, requests that took at least
  /// so many milliseconds, and whatever nobody can say the way of.
  case exceptions(slowMs: Int64)

  /// Requests that take this long are slow unless somebody says otherwise: people have given up by then.
  public static let slowMs: Int64 = 10_000
}

/// How far a run is, for a terminal.
public struct IngestProgress: Sendable {
  public var path: String
  /// Bytes read of the inputs as they lie on disk.
  public var bytes: Int64
  /// Size of all inputs; 0 when a pipe is all there is.
  public var of: Int64
  public var seconds: Double
}
