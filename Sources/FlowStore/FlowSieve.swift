public import Flows

/// Tells flows worth a row from those of which sums are enough: the question behind `ingest --keep exceptions`.
///
/// Judged is by what is known so far. Nothing depends on the answer but whether a single line can be shown later: every
/// flow is counted, by facts that another judgement can be made from.
public protocol FlowSieve: AnyObject {
  /// Is told of all that the flows it is asked about refer to, by row id, some of it more than once.
  func learn(
    sources: [(id: Int64, source: Source)], destinations: [(id: Int64, destination: Destination)],
    outcomes: [(id: Int64, outcome: Outcome)], of log: LogRecord)

  /// Whether a flow went the sanctioned way and ended well, in good time, and nothing about it is left open.
  /// - Parameter durationMs: -1 when not logged.
  func isOrdinary(source: Int64, destination: Int64, outcome: Int64, durationMs: Int64) -> Bool

  /// All destinations of the store by row id, once the run has read its last line; empty where the sieve does not know them.
  var destinations: [(id: Int64, destination: Destination)] { get }

  /// What the logs look like by all flows that were found ordinary, where a judgement is certain to call none of these a bypass;
  /// nil where it has to be asked about one after the other: `FlowStore.look(atTalliesAfter:)`.
  func looks(by verdicts: VerdictIndex) -> [Int64: LogLook]?
}

extension FlowSieve {
  public var destinations: [(id: Int64, destination: Destination)] { [] }
  public func looks(by verdicts: VerdictIndex) -> [Int64: LogLook]? { nil }
}

extension Source {
  /// With the row id of its log in place of the parser's number.
  func of(log: Int64) -> Source {
    var source = self
    source.log = log
    return source
  }
}
