public import Flows

/// What was noted of clocks, narrow and until it is much: an hour of a clock is one row of the store, and each stretch of
/// time tells of a part of an hour of every clock.
public struct ClockMinuteBuffer {
  /// See `Noted.fitting`.
  private struct Narrow {
    var clock: Int32
    /// Since `base`.
    var minute: UInt16
    var joined: UInt8
    var lone: UInt8
  }

  private let clocks: ClockMinutes
  private var narrow: [Narrow] = []
  private var base: Int64 = 0

  /// Hours that are handed on at a time, at some 300 bytes each.
  private static let handful = 1024

  /// - Parameter clocks: whose numbers are used.
  public init(_ clocks: ClockMinutes) { self.clocks = clocks }

  public var count: Int { narrow.count }

  /// Takes what was noted of a stretch, of none of whose minutes something was noted before. False, and nothing is taken,
  /// where its time is too far from that of the others.
  public mutating func add(_ noted: [ClockMinutes.Noted]) -> Bool {
    guard let first = noted.first else { return true }
    let lowest = noted.reduce(first.minute) { min($0, $1.minute) }
    if narrow.isEmpty { base = lowest }
    guard lowest >= base, noted.allSatisfy({ $0.minute - base <= Int64(UInt16.max) }) else { return false }
    for one in noted {
      let (joined, lone) = one.fitting
      narrow.append(Narrow(clock: one.clock, minute: UInt16(one.minute - base), joined: joined, lone: lone))
    }
    return true
  }

  /// Hands on all that it holds, by log, address and time.
  public mutating func removeAll<Failure>(_ take: ([ClockHour]) throws(Failure) -> Void) throws(Failure) {
    defer { narrow.removeAll(keepingCapacity: true) }
    var hours = ClockHours(clocks)
    for one in clocks.ordered(narrow, { $0.clock }, { Int64($0.minute) }) {
      hours.add(one.clock, base + Int64(one.minute), one.joined, one.lone)
      if hours.finished.count >= ClockMinuteBuffer.handful { try take(hours.takeFinished()) }
    }
    hours.finish()
    if !hours.finished.isEmpty { try take(hours.finished) }
  }
}

/// Gathers minutes into hours.
struct ClockHours {
  private let clocks: ClockMinutes
  private(set) var finished: [ClockHour] = []
  private var clock: Int32 = -1
  private var hour: Int64 = 0
  private var minutes: [ClockHour.Minute] = []

  init(_ clocks: ClockMinutes) { self.clocks = clocks }

  /// - Parameter minute: Unix time in minutes; of one clock in ascending order.
  mutating func add(_ clock: Int32, _ minute: Int64, _ joined: UInt8, _ lone: UInt8) {
    // Times before 1970 belong to no clock that is worth a proof.
    guard minute >= 0 else { return }
    let (hour, rest) = minute.quotientAndRemainder(dividingBy: 60)
    if clock != self.clock || hour != self.hour {
      finish()
      (self.clock, self.hour) = (clock, hour)
      minutes.reserveCapacity(60)
    }
    minutes.append(ClockHour.Minute(minute: UInt8(rest), joined: joined, lone: lone))
  }

  mutating func finish() {
    guard !minutes.isEmpty else { return }
    let (log, ip) = clocks.name(clock)
    finished.append(ClockHour(log: log, ip: ip, hour: hour, minutes: minutes))
    minutes = []
  }

  mutating func takeFinished() -> [ClockHour] {
    defer { finished.removeAll(keepingCapacity: true) }
    return finished
  }
}
