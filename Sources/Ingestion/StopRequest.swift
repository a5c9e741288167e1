internal import Glibc
internal import Synchronization

/// Notes SIGINT and SIGTERM, so that a run ends at the next batch with everything before it committed.
public enum StopRequest {
  /// Written by the signal handler: an atomic store is all it does.
  private static let received = Atomic<Int32>(0)

  /// The signal that asked for the end, if any.
  public static var signal: Int32? {
    let number = received.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }

  /// From now on the two signals are noted; a second one of the same kind ends the program at once.
  public static func listen() {
    received.store(0, ordering: .relaxed)  // also makes the atomic before any handler can run
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { StopRequest.received.store($0, ordering: .relaxed) }
    // Without SA_RESTART: a read that waits for a pipe returns.
    action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
    sigaction(SIGINT, &action, nil)
    sigaction(SIGTERM, &action, nil)
  }
}
