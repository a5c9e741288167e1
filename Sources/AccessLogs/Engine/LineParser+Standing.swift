/// Handing a log over from one parser to another.
extension LineParser {
  /// All that the lines before decide about the ones that follow. Two parsers that know the same formats, have begun the same
  /// log and stand alike read the same lines alike: only the local ids of what repeats are each one's own.
  public struct Standing: Sendable, Equatable {
    /// The plan that is tried first.
    var current = 0
    /// What stood around the last line that was understood.
    var wrappers: [Wrapper] = []
    /// The beginnings of records whose end has not been read yet.
    public private(set) var carry: [UInt8] = []
    /// The start of the last flow, for lines without a time.
    var lastTimeMs = Numbers.missing

    /// At the beginning of a log.
    public init() {}

    init(_ parser: LineParser) {
      current = parser.current
      wrappers = parser.wrappers
      carry = parser.carry
      lastTimeMs = parser.builder.state.pointee.lastTimeMs
    }

    /// The same at the beginning of another log, whose lines probably come as those of the last one did.
    public func beginning(carry: [UInt8]) -> Standing {
      var standing = self
      standing.carry = carry
      standing.lastTimeMs = Numbers.missing
      return standing
    }

    /// The same where no record goes on.
    public var withoutCarry: Standing {
      var standing = self
      standing.carry = []
      return standing
    }

    /// Whether what was read from here would have been read alike from `other`.
    /// - Parameter leansOnTime: the time of the line before was asked for, or handed on.
    public func leads(as other: Standing, leansOnTime: Bool) -> Bool {
      current == other.current && wrappers == other.wrappers && carry == other.carry
        && (!leansOnTime || lastTimeMs == other.lastTimeMs)
    }
  }

  /// How the lines read so far leave the parser.
  public var standing: Standing { Standing(self) }

  /// Goes on where another parser stands, in the log that was begun.
  /// - Parameter nextLine: the number of the next line, of the log or of what is read until it is known where that lies.
  public func enter(_ standing: Standing, nextLine: Int64) {
    self.nextLine = nextLine
    current = standing.current
    wrappers = standing.wrappers
    runs = PartialRuns(standing.carry)
    groupSize = LineParser.group
    useWriter(.absent, .absent, .absent)
    builder.state.pointee.writtenAtMs = Numbers.missing
    builder.state.pointee.lastTimeMs = standing.lastTimeMs
    builder.state.pointee.earlierTimeMs = standing.lastTimeMs
    builder.state.pointee.leansOnTime = false
  }

  /// A flow since `enter` may have taken its time from a line before it.
  public var leansOnTime: Bool { builder.state.pointee.leansOnTime }

  /// Has what repeats given out anew: what was told of it may not have reached the store. Give the next lines a new batch.
  public func forgetEntries() { builder.forgetEntries() }
}
