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
  /// It, or the folder, could not be opened or is in a form that is not read; of one that was never read, nothing else is known.
  case unopened
  /// It was rotated away, cut or written over, and what may have been written to it after it was read last lies nowhere that is
  /// read. A copy of it that is read later on settles that.
  case tail

  /// Without a full stop; for what a newer version has written, too.
  public static func sentence(_ word: String) -> String {
    switch UnreadRest(rawValue: word) {
    case .cut: "its gzip data ends in the middle: what is behind was not read"
    case .garbage: "what stands behind its gzip data was not read"
    case .error: "it could not be read to its end"
    case .stopped: "its reading was stopped before its end"
    case .unopened: "it could not be read"
    case .tail: "it was rotated away, cut or written over, and what came after its last reading was not read"
    case nil: "it was not read to its end"
    }
  }
}
