public import Flows
internal import GRDB

/// When a clock is proven to be right, or shown to be doubtful, by the lines of each minute that are joined or lone.
enum ClockTrust {
  /// Minutes with a joined line that a proof needs: one can be a coincidence.
  static let provingMinutes = 2
  /// Lone lines beyond the joined ones, minute after minute, that speak against a clock: a few of any log are lost.
  static let refutingLines = 3
  /// For how long before the first and after the last of its joined lines a clock is taken to be right.
  static let reachMs: Int64 = 900_000

  struct Minute: Equatable {
    var minute: Int64
    var joined: Int
    var lone: Int
  }

  /// Stretches in which the clock of a sidecar is right: between joined lines that are not outnumbered, and a while around.
  /// - Parameter minutes: ascending.
  static func proven(_ minutes: [Minute]) -> [ClosedRange<Int64>] {
    var stretches: [ClosedRange<Int64>] = []
    /// The end of the minutes that spoke against the clock.
    var border = Int64.min
    var run = Run()
    /// Minutes that may speak against it, if more follow.
    var bad: (first: Int64, joined: Int, lone: Int)?
    func close(until: Int64) {
      if let stretch = run.stretch(from: border, until: until) { stretches.append(stretch) }
      run = Run()
    }
    for minute in minutes where minute.joined > 0 || minute.lone > 0 {
      guard minute.lone > minute.joined else {
        if let few = bad, few.lone - few.joined < refutingLines { run.add(few.joined, few.lone) }
        bad = nil
        run.add(minute)
        continue
      }
      let present = bad ?? (minute.minute * 60_000, 0, 0)
      bad = (present.first, present.joined + minute.joined, present.lone + minute.lone)
      if let bad, bad.lone - bad.joined >= refutingLines {
        close(until: bad.first)
        border = (minute.minute + 1) * 60_000
      }
    }
    close(until: Int64.max)
    return stretches
  }

  /// Joined lines without as many lone ones between them.
  private struct Run {
    var first: Int64?
    var last: Int64 = 0
    var provingMinutes = 0
    var joined = 0
    var lone = 0

    mutating func add(_ joined: Int, _ lone: Int) {
      self.joined += joined
      self.lone += lone
    }

    mutating func add(_ minute: Minute) {
      add(minute.joined, minute.lone)
      if first == nil { first = minute.minute }
      last = minute.minute
      provingMinutes += 1
    }

    func stretch(from: Int64, until: Int64) -> ClosedRange<Int64>? {
      guard let first, provingMinutes >= ClockTrust.provingMinutes, lone * 2 <= joined else { return nil }
      let lower = max(first * 60_000 - reachMs, from)
      let upper = min((last + 1) * 60_000 + reachMs, until)
      return lower <= upper ? lower...upper : nil
    }
  }

  /// Stretches in which too many clients of a gateway or a proxy have lines there that nothing accounts for.
  /// - Parameter minutes: ascending.
  static func doubtful(_ minutes: [Minute]) -> [ClosedRange<Int64>] {
    var stretches: [ClosedRange<Int64>] = []
    for minute in minutes where minute.lone >= refutingLines && minute.lone > minute.joined {
      let from = minute.minute * 60_000 - reachMs
      let until = (minute.minute + 1) * 60_000 + reachMs
      if let last = stretches.last, from <= last.upperBound {
        stretches[stretches.count - 1] = last.lowerBound...until
      } else {
        stretches.append(from...until)
      }
    }
    return stretches
  }

  /// The minutes of several logs of one clock as those of one, ascending.
  static func merged(_ minutes: [Minute]) -> [Minute] {
    var merged: [Minute] = []
    for minute in minutes.sorted(by: { $0.minute < $1.minute }) {
      if let last = merged.last, last.minute == minute.minute {
        merged[merged.count - 1].joined = last.joined + minute.joined
        merged[merged.count - 1].lone = last.lone + minute.lone
      } else {
        merged.append(minute)
      }
    }
    return merged
  }

  // MARK: - An hour in a row

  /// Minutes of an hour as `clock_hour` keeps them; those that show nothing are left out.
  static func bytes(_ minutes: [Minute]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(3 * minutes.count)
    for minute in minutes where minute.joined > 0 || minute.lone > 0 {
      var (joined, lone) = (minute.joined, minute.lone)
      while joined > 255 || lone > 255 { (joined, lone) = (joined >> 1, lone >> 1) }
      bytes.append(UInt8(truncatingIfNeeded: minute.minute % 60))
      bytes.append(UInt8(joined))
      bytes.append(UInt8(lone))
    }
    return bytes
  }

  /// Adds what such a row holds.
  static func add(_ bytes: UnsafeRawBufferPointer, hour: Int64, to minutes: inout [Minute]) {
    for offset in stride(from: 0, to: bytes.count / 3 * 3, by: 3) {
      minutes.append(
        Minute(minute: hour * 60 + Int64(bytes[offset]), joined: Int(bytes[offset + 1]), lone: Int(bytes[offset + 2])))
    }
  }

  static func minutes(of hour: ClockHour) -> [Minute] {
    hour.minutes.map { Minute(minute: hour.hour * 60 + Int64($0.minute), joined: Int($0.joined), lone: Int($0.lone)) }
  }

  static func minutes(_ bytes: UnsafeRawBufferPointer, hour: Int64) -> [Minute] {
    var minutes: [Minute] = []
    minutes.reserveCapacity(bytes.count / 3)
    add(bytes, hour: hour, to: &minutes)
    return minutes
  }
}

extension FlowStore {
  /// Logs of whose clocks something is noted.
  public func logsWithClockMinutes() throws(StoreError) -> Set<Int64> {
    try access { db throws(StoreError) in
      // The table begins with the log: one look-up for each.
      let next = try db.statement("select min(log) from clock_hour where log > ?")
      var logs: Set<Int64> = []
      var last = Int64.min
      while true {
        next.bind(last, at: 1)
        defer { next.reset() }
        guard try next.step(), let log = next.optionalInt(0) else { return logs }
        logs.insert(log)
        last = log
      }
    }
  }

  /// Writes what minutes show of clocks in place of what they showed before, inside the open transaction. Hours of which
  /// nothing is left have no row.
  public func note(_ hours: [ClockHour]) throws(StoreError) {
    guard !hours.isEmpty else { return }
    try write("clock minutes") { db throws(StoreError) in
      let writer = try ClockHourWriter(db)
      for hour in hours { try writer.write(hour) }
    }
  }
}

/// Brings hours into their rows.
private struct ClockHourWriter {
  private let db: Database
  private let insert, read, replace, delete: Statement

  init(_ db: Database) throws(StoreError) {
    self.db = db
    insert = try db.statement(
      "insert into clock_hour (log, proxy_ip, hour, minutes) values (?, ?, ?, ?) on conflict do nothing")
    read = try db.statement("select minutes from clock_hour where log = ? and proxy_ip = ? and hour = ?")
    replace = try db.statement("replace into clock_hour (log, proxy_ip, hour, minutes) values (?, ?, ?, ?)")
    delete = try db.statement("delete from clock_hour where log = ? and proxy_ip = ? and hour = ?")
  }

  func write(_ hour: ClockHour) throws(StoreError) {
    // Most hours have no row yet.
    if hour.minutes.contains(where: { $0.joined > 0 || $0.lone > 0 }), try add(hour) { return }
    try merge(hour)
  }

  private func bind(_ statement: Statement, _ hour: ClockHour) {
    statement.bind(hour.log, at: 1)
    statement.bind(hour.ip, at: 2)
    statement.bind(hour.hour, at: 3)
  }

  private func add(_ hour: ClockHour) throws(StoreError) -> Bool {
    bind(insert, hour)
    insert.bind(ClockTrust.bytes(ClockTrust.minutes(of: hour)), at: 4)
    while try insert.step() {}
    return db.changesCount > 0
  }

  private func merge(_ hour: ClockHour) throws(StoreError) {
    bind(read, hour)
    defer { read.reset() }
    guard try read.step() else { return }
    var minutes: [ClockTrust.Minute] = []
    minutes.reserveCapacity(60)
    var rest = read.withBlob(0) { ClockTrust.minutes($0, hour: hour.hour) }[...]
    for new in ClockTrust.minutes(of: hour) {
      while let minute = rest.first, minute.minute < new.minute { minutes.append(rest.removeFirst()) }
      if rest.first?.minute == new.minute { rest.removeFirst() }
      minutes.append(new)
    }
    let bytes = ClockTrust.bytes(minutes + rest)
    if bytes.isEmpty {
      bind(delete, hour)
      while try delete.step() {}
    } else {
      bind(replace, hour)
      replace.bind(bytes, at: 4)
      while try replace.step() {}
    }
  }
}
