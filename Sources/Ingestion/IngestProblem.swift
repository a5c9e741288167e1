/// Something a person should know about one input: an error makes the run's exit code 1, a warning does not.
public struct IngestProblem: Sendable, Equatable {
  public enum Kind: String, Sendable {
    case warning
    case error
  }
  public var kind: Kind
  public var path: String
  /// Lower case, what happened and what to do.
  public var message: String

  static func error(path: String, _ message: String) -> IngestProblem {
    IngestProblem(kind: .error, path: path, message: message)
  }

  static func warning(path: String, _ message: String) -> IngestProblem {
    IngestProblem(kind: .warning, path: path, message: message)
  }
}

/// Why one log could not be read on; the other logs are.
struct ReadError: Error, Equatable {
  var message: String
  /// Nothing is there under this name.
  var isGone = false
  /// Certainly something else than a log.
  var isNoLog = false
}
