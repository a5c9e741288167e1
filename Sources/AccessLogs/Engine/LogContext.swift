/// What the parser has to know of a log before its first line.
public struct LogContext: Sendable {
  /// Goes into `Source.log` of this log's sources.
  public var ordinal: Int64
  /// 1-based number of the first line to come.
  public var nextLine: Int64
  /// `LineParser.carry` at the end of the run before.
  public var carry: [UInt8]
  /// Where the log was written, when its path says so.
  public var namespace: String?
  public var pod: String?
  public var container: String?
  /// A moment close to the lines, after which none of them was written (Unix ms; the file's modification time will do): lends its year to
  /// syslog times, and its day to clocks without one.
  public var writtenAtMs: Int64?

  public init(
    ordinal: Int64, nextLine: Int64 = 1, carry: [UInt8] = [], namespace: String? = nil, pod: String? = nil,
    container: String? = nil, writtenAtMs: Int64? = nil
  ) {
    self.ordinal = ordinal
    self.nextLine = nextLine
    self.carry = carry
    self.namespace = namespace
    self.pod = pod
    self.container = container
    self.writtenAtMs = writtenAtMs
  }
}
