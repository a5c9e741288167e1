/// How far the clocks of two proxies were apart, as pairs of hops beyond doubt show: the later hop's clock minus the
/// earlier's, with the few milliseconds of the way between them.
public struct ClockSkew: Sendable {
  /// Row ids of logs, and the addresses of the proxies that wrote them; empty where the log has none.
  public var earlierLog: Int64
  public var earlierIP: String
  public var laterLog: Int64
  public var laterIP: String
  /// Of the minute with most samples.
  public var skewMs: Int64
  public var samples: Int64
  /// Of all minutes.
  public var leastMs: Int64
  public var mostMs: Int64
  /// Unix milliseconds: where the first and the last of the minutes begin.
  public var firstMs: Int64
  public var lastMs: Int64

  public init(
    earlierLog: Int64, earlierIP: String, laterLog: Int64, laterIP: String, skewMs: Int64, samples: Int64,
    leastMs: Int64, mostMs: Int64, firstMs: Int64, lastMs: Int64
  ) {
    self.earlierLog = earlierLog
    self.earlierIP = earlierIP
    self.laterLog = laterLog
    self.laterIP = laterIP
    self.skewMs = skewMs
    self.samples = samples
    self.leastMs = leastMs
    self.mostMs = mostMs
    self.firstMs = firstMs
    self.lastMs = lastMs
  }
}
