/// One clock in one hour, as joining has seen it: of which minutes its lines are joined, and of which they should be.
public struct ClockHour: Sendable {
  /// What a minute shows; both counts are halved until they fit. A minute without any is told as such.
  public struct Minute: Sendable {
    /// Of the hour, 0...59.
    public var minute: UInt8
    public var joined: UInt8
    public var lone: UInt8

    public init(minute: UInt8, joined: UInt8, lone: UInt8) {
      self.minute = minute
      self.joined = joined
      self.lone = lone
    }
  }

  /// Row id of the log.
  public var log: Int64
  /// The proxy's own address; empty where it logs none.
  public var ip: String
  /// Unix time in hours.
  public var hour: Int64
  /// Ascending.
  public var minutes: [Minute]

  public init(log: Int64, ip: String, hour: Int64, minutes: [Minute]) {
    self.log = log
    self.ip = ip
    self.hour = hour
    self.minutes = minutes
  }
}
