/// The times that a tally asks of rows: the step a flow begins in, and when it ends. Most flows begin in the step of the one
/// before, which spares the division.
struct FlowTimes {
  private let stepMs: Int64?
  private var step: Int64 = 0
  /// Where the step begins, and where it ends.
  private var beginMs: Int64 = 0
  private var endMs: Int64 = 0
  /// False once a time lay beyond what can be reckoned with; SQL is to answer then.
  private(set) var isInRange = true

  /// Beyond all calendars: further away, sums could overflow.
  static let latestMs: Int64 = 1 << 60

  init(stepMs: Int64?) { self.stepMs = stepMs }

  @inline(__always)
  mutating func step(of startedAtMs: Int64) -> Int64 {
    if startedAtMs < beginMs || startedAtMs >= endMs { turn(to: startedAtMs) }
    return step
  }

  @inline(never)
  private mutating func turn(to startedAtMs: Int64) {
    guard let stepMs, startedAtMs > -FlowTimes.latestMs, startedAtMs < FlowTimes.latestMs else {
      isInRange = false
      return
    }
    let next = FlowTimes.step(of: startedAtMs, stepMs)
    guard next >= -Tally.Group.firstStep, next < Tally.Group.firstStep else {
      isInRange = false
      return
    }
    (step, beginMs, endMs) = (next, next * stepMs, (next + 1) * stepMs)
  }

  /// Rounded down, also before 1970.
  @inline(__always)
  static func step(of ms: Int64, _ stepMs: Int64) -> Int64 { ms / stepMs - (ms % stepMs < 0 ? 1 : 0) }

  /// When a flow ended; one without a duration when it began.
  @inline(__always)
  mutating func end(of startedAtMs: Int64, _ durationMs: Int64) -> Int64 {
    if startedAtMs <= -FlowTimes.latestMs || startedAtMs >= FlowTimes.latestMs || durationMs >= FlowTimes.latestMs {
      isInRange = false
      return 0
    }
    return startedAtMs + max(durationMs, 0)
  }
}
