/// A format string that cannot be compiled: where, what, and what to do about it.
public struct FormatError: Error, Sendable, Equatable {
  /// The format string.
  public var format: String
  /// Byte range of the trouble in `format`.
  public var range: Range<Int>
  /// What is wrong, lower case: `unknown command operator %STRT_TIME%`.
  public var message: String
  /// What to do: `did you mean %START_TIME%?`
  public var help: String

  public init(format: String, range: Range<Int>, message: String, help: String) {
    self.format = format
    self.range = range
    self.message = message
    self.help = help
  }
}
