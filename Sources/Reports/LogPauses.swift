internal import FlowStore
internal import Flows

/// The pauses between minutes in which a log was written, as the report `coverage` says them.
struct LogPauses {
  struct Pause: Equatable {
    var fromMs: Int64
    var lengthMs: Int64
  }
  private(set) var count = 0
  /// The mean without the longest; nil of a single pause.
  private(set) var usualMs: Int64?
  /// Ascending by time.
  private(set) var gaps: [Pause] = []

  /// A pause is no gap up to this long, nor up to this many times the usual one.
  static let leastMs: Int64 = 900_000
  private static let factor: Int64 = 10

  /// - Parameter minutes: ascending.
  init(_ minutes: [BusyMinute]) {
    let pauses = zip(minutes, minutes.dropFirst()).map {
      Pause(fromMs: $0.lastMs, lengthMs: $1.firstMs.since($0.lastMs))
    }
    count = pauses.count
    guard let most = pauses.map(\.lengthMs).max() else { return }
    if count > 1 { usualMs = pauses.reduce(-most) { $0.plus($1.lengthMs) } / Int64(count - 1) }
    // A store may hold times that no calendar has.
    let (usual, isOver) = LogPauses.factor.multipliedReportingOverflow(by: usualMs ?? 0)
    let limit = max(LogPauses.leastMs, isOver ? .max : usual)
    gaps = pauses.filter { $0.lengthMs > limit }
  }

  /// The earliest of the longest gaps.
  var longest: Pause? {
    gaps.max { ($0.lengthMs, $1.fromMs) < ($1.lengthMs, $0.fromMs) }
  }
}
