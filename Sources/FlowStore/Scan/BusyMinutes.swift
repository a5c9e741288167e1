internal import Dispatch
internal import GRDB

/// A minute in which flows of a log ended, which is when their lines were written.
public struct BusyMinute: Sendable, Equatable {
  /// Unix time / 60, towards zero.
  public var minute: Int64
  /// The first and the last end in it, Unix milliseconds.
  public var firstMs: Int64
  public var lastMs: Int64

  public init(minute: Int64, firstMs: Int64, lastMs: Int64) {
    self.minute = minute
    self.firstMs = firstMs
    self.lastMs = lastMs
  }
}

extension FlowReader {
  /// In which minutes flows of each log ended, ascending, of those that began within a time, or ended within one; by row id of
  /// the log. nil when the file cannot be read page by page at the moment, and SQL is to be asked.
  ///
  /// - Parameter rows: row ids of the flows that count, ascending.
  public func busyMinutes(
    sinceMs: Int64? = nil, untilMs: Int64? = nil, ended: ClosedRange<Int64> = .min ... .max,
    rows: [ClosedRange<Int64>] = [.min ... .max]
  ) throws -> [Int64: [BusyMinute]]? {
    try withPages { db, pages in
      guard let logs = try SourceLogs(db),
        var table = MinuteScan(pages, rows, logs, sinceMs: sinceMs, untilMs: untilMs, ended: ended).run()
      else { return nil }
      // Of flows without rows the minutes are known.
      let minutes = try db.statement("select log, minute from tallied_minute order by minute, log")
      while try minutes.step() {
        // No time of a line lies further away.
        guard minutes.int(1).magnitude < 1 << 36 else { throw StoreError.disordered("tallied_minute") }
        let (log, beginMs) = (minutes.int(0), minutes.int(1) * 60_000)
        guard beginMs >= sinceMs ?? .min, untilMs == nil || beginMs < untilMs!, log >= 0, log < Int64(Int32.max),
          beginMs <= ended.upperBound, beginMs + 59_999 >= ended.lowerBound
        else { continue }
        table.add(
          log: Int32(log), firstMs: max(beginMs, ended.lowerBound), lastMs: min(beginMs + 59_999, ended.upperBound))
      }
      return table.byLog
    }
  }
}

/// The log of each source, by its row id.
struct SourceLogs {
  private var logs: [Int32] = []

  /// More sources than an array should have, and logs than a key has room for, are left to SQL.
  private static let most: Int64 = 1 << 22

  init?(_ db: Database) throws(StoreError) {
    let rows = try db.statement("select id, log from source order by id")
    while try rows.step() {
      let (source, log) = (rows.int(0), rows.int(1))
      guard source >= 0, source < SourceLogs.most, log >= 0, log < SourceLogs.most else { return nil }
      guard source >= logs.count else { throw StoreError.disordered("source") }
      logs += repeatElement(-1, count: Int(source) - logs.count)
      logs.append(Int32(log))
    }
  }

  /// -1 for a source that is not there, whose flows no view shows.
  @inline(__always)
  func log(of source: Int64) -> Int32 { source >= 0 && source < logs.count ? logs[Int(source)] : -1 }
}

/// First and last end by log and minute: a table of groups, with the minute as the step of a key.
struct MinuteTable {
  private var table = GroupTable()

  @inline(__always)
  mutating func add(log: Int32, firstMs: Int64, lastMs: Int64) {
    let slot = table.slot(of: Tally.Group.key(verdict: log, step: firstMs / 60_000))
    table.note(firstMs, slot)
    if lastMs != firstMs { table.note(lastMs, slot) }
  }

  mutating func add(_ other: MinuteTable) { table.add(other.table) }

  var byLog: [Int64: [BusyMinute]] {
    var byLog: [Int64: [BusyMinute]] = [:]
    for entry in table.entries.sorted(by: { $0.key < $1.key }) {
      byLog[Int64(entry.verdict), default: []].append(
        BusyMinute(minute: entry.step, firstMs: entry.firstMs, lastMs: entry.lastMs))
    }
    return byLog
  }
}

/// Looks at all rows of some ranges for when they ended.
///
/// `@unchecked Sendable`: what is written while several threads run is under `lock`.
private final class MinuteScan: @unchecked Sendable {
  private let pages: FlowPages
  private let stretches: [FlowPages.Stretch]
  private let logs: SourceLogs
  private let sinceMs: Int64
  private let untilMs: Int64?
  private let ended: ClosedRange<Int64>
  private let lock = DispatchSemaphore(value: 1)
  private var next = 0
  private var isGood = true
  private var total = MinuteTable()

  private static let leavesPerShare = 64

  init(
    _ pages: FlowPages, _ ranges: [ClosedRange<Int64>], _ logs: SourceLogs, sinceMs: Int64?, untilMs: Int64?,
    ended: ClosedRange<Int64>
  ) {
    self.pages = pages
    self.logs = logs
    self.sinceMs = sinceMs ?? .min
    self.untilMs = untilMs
    self.ended = ended
    stretches = ranges.flatMap { pages.stretches(of: $0, leaves: MinuteScan.leavesPerShare) }
  }

  /// nil when a page is not as the store writes it, or a time beyond reckoning.
  func run() -> MinuteTable? {
    DispatchQueue.concurrentPerform(iterations: FlowScan.threads(for: stretches.count)) { _ in look() }
    return isGood ? total : nil
  }

  private func look() {
    let buffer = pages.makeBuffer()
    defer { buffer.deallocate() }
    var table = MinuteTable()
    var times = FlowTimes(stepMs: nil)
    var isRead = true
    while isRead, let stretch = nextShare() {
      isRead =
        pages.forEach(in: stretch, buffer) { flow in
          guard flow.startedAtMs >= sinceMs, untilMs == nil || flow.startedAtMs < untilMs.unsafelyUnwrapped else {
            return
          }
          let log = logs.log(of: flow.source)
          guard log >= 0 else { return }
          let end = times.end(of: flow.startedAtMs, flow.durationMs)
          if ended.contains(end) { table.add(log: log, firstMs: end, lastMs: end) }
        } && times.isInRange
    }
    lock.wait()
    isGood = isGood && isRead
    total.add(table)
    lock.signal()
  }

  private func nextShare() -> FlowPages.Stretch? {
    lock.wait()
    defer { lock.signal() }
    guard next < stretches.count, isGood else { return nil }
    next += 1
    return stretches[next - 1]
  }
}
