/// Why a log was not read to its end when it was last read, as `log.unread` has it.
public enum UnreadRest: String, Sendable {
  /// Its gzip data ends in the middle: it is still being written, or was cut.
  case cut
  /// What stands behind its gzip data is none.
  case garbage
  /// It is damaged, or could not be read on.
  case error
  /// A signal ended the reading.
  case stopped

  /// Without a full stop; for what a newer version has written, too.
  public static func sentence(_ word: String) -> String {
    switch UnreadRest(rawValue: word) {
    case .cut: "its gzip data ends in the middle: what is behind was not read"
    case .garbage: "what stands behind its gzip data was not read"
    case .error: "it could not be read to its end"
    case .stopped: "its reading was stopped before its end"
    case nil: "it was not read to its end"
    }
  }
}
