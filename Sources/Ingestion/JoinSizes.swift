/// How much joining has before it at a time. The result is the same with any others, which tests alone have.
public struct JoinSizes: Sendable {
  /// Flows from which on it is worth to bring everything into the file, where pages can be read.
  public var worthPages: Int64 = 50_000
  /// Flows of which the places are committed, and brought into the file, while others are still being joined. About 9 bytes
  /// each.
  public var flowsPerCommit: Int64 = 2_000_000
  /// Minutes of clocks that wait to be written, at 8 bytes each: every hour of a clock is a row, which is best written once.
  public var mostClockMinutes = 400_000
  /// Flows in the memory of a thread at once, at some 300 bytes each. With fewer, more of them are looked at twice; with
  /// more, they leave the processor's cache.
  public var mostInMemory: Int64 = 60_000
  /// As many at once, part by part and from the disk, where so few would not be enough to decide `JoinHops.fewMinutes`: 20 bytes
  /// each, see `DenseStretch`. More only where a single minute and what lies within its influence hold more.
  public var mostInParts: Int64 = 2_000_000
  /// Rows that a thread reads at a time there.
  public var blockRows: Int64 = 32_768
  /// Hops of a part, if addresses were equally busy.
  public var partHops: Int64 = 8_000
  /// Hops of a part that are joined at once; one with more is joined stretch by stretch.
  public var mostOfPart = 40_000
  /// Hops of such a stretch, at some 200 bytes each; more only where a single minute and what lies within its influence hold more.
  public var mostOfStretch: Int64 = 60_000

  public init() {}
}
