/// The time that one log covers, by the flows read from it.
public struct LogSpan: Hashable, Sendable {
  /// Row id of the log.
  public var log: Int64
  /// Earliest start of its flows, Unix milliseconds.
  public var firstMs: Int64
  /// Latest end of its flows, Unix milliseconds.
  public var lastMs: Int64

  public init(log: Int64, firstMs: Int64, lastMs: Int64) {
    self.log = log
    self.firstMs = firstMs
    self.lastMs = lastMs
  }
}
