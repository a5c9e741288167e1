/// What was noted of clocks, narrow and until it is much: an hour of a clock is one row of the store, and each stretch of
/// time tells of a part of an hour of every clock.
public struct ClockMinuteBuffer {
  /// Counts are stored in a byte each; see `fitting(_:_:)`.
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

  /// Entries that are handed on at a time, at some 100 bytes each.
  private static let handful = 4096

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
      let (joined, lone) = ClockMinuteBuffer.fitting(one.joined, one.lone)
      narrow.append(Narrow(clock: one.clock, minute: UInt16(one.minute - base), joined: joined, lone: lone))
    }
    return true
  }

  /// Counts beyond a byte keep their ratio, as in the store's rows.
  private static func fitting(_ joined: Int32, _ lone: Int32) -> (UInt8, UInt8) {
    var (joined, lone) = (joined, lone)
    while joined > 255 || lone > 255 { (joined, lone) = (joined >> 1, lone >> 1) }
    return (UInt8(joined), UInt8(lone))
  }

  /// Hands on all that it holds, by log, address and time.
  public mutating func removeAll<Failure>(
    _ take: ([ClockMinutes.Entry]) throws(Failure) -> Void
  ) throws(Failure) {
    defer { narrow.removeAll(keepingCapacity: true) }
    var entries: [ClockMinutes.Entry] = []
    for one in clocks.ordered(narrow, { $0.clock }, { Int64($0.minute) }) {
      if entries.count >= ClockMinuteBuffer.handful {
        try take(entries)
        entries.removeAll(keepingCapacity: true)
      }
      entries.append(
        clocks.entry(one.clock, minute: base + Int64(one.minute), joined: Int(one.joined), lone: Int(one.lone)))
    }
    if !entries.isEmpty { try take(entries) }
  }
}
