internal import GRDB

/// One clock in one minute, as joining has seen it: see table `clock_hour`.
public struct ClockMinuteRecord: Sendable, Equatable {
  public var log: Int64
  public var ip: String
  /// Unix time in minutes.
  public var minute: Int64
  public var joined: Int
  public var lone: Int

  public init(log: Int64, ip: String, minute: Int64, joined: Int, lone: Int) {
    self.log = log
    self.ip = ip
    self.minute = minute
    self.joined = joined
    self.lone = lone
  }
}

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

  /// Minutes of an hour as `clock_hour` keeps them.
  static func bytes(_ minutes: [Minute]) -> [UInt8] {
    minutes.flatMap { minute -> [UInt8] in
      var (joined, lone) = (minute.joined, minute.lone)
      while joined > 255 || lone > 255 { (joined, lone) = (joined >> 1, lone >> 1) }
      return [UInt8(truncatingIfNeeded: minute.minute % 60), UInt8(joined), UInt8(lone)]
    }
  }

  static func minutes(_ bytes: some RandomAccessCollection<UInt8>, hour: Int64) -> [Minute] {
    stride(from: 0, to: bytes.count / 3 * 3, by: 3).map { offset in
      let place = bytes.index(bytes.startIndex, offsetBy: offset)
      return Minute(
        minute: hour * 60 + Int64(bytes[place]), joined: Int(bytes[bytes.index(place, offsetBy: 1)]),
        lone: Int(bytes[bytes.index(place, offsetBy: 2)]))
    }
  }
}

extension FlowStore {
  /// Writes what minutes show of clocks in place of what they showed before, inside the open transaction.
  public func note(_ minutes: [ClockMinuteRecord]) throws(StoreError) {
    // Times before 1970 belong to no clock that is worth a proof.
    let minutes = minutes.filter { $0.minute >= 0 }
    guard !minutes.isEmpty else { return }
    struct Key: Hashable {
      var log: Int64
      var ip: String
      var hour: Int64
    }
    let hours = Dictionary(grouping: minutes) { Key(log: $0.log, ip: $0.ip, hour: $0.minute / 60) }
      .sorted { ($0.key.log, $0.key.ip, $0.key.hour) < ($1.key.log, $1.key.ip, $1.key.hour) }
    try write("clock minutes") { db throws(StoreError) in
      let read = try db.statement("select minutes from clock_hour where log = ? and proxy_ip = ? and hour = ?")
      let write = try db.statement(
        "insert into clock_hour (log, proxy_ip, hour, minutes) values (?, ?, ?, ?) on conflict do update set minutes = excluded.minutes"
      )
      for (key, records) in hours {
        read.bind(key.log, at: 1)
        read.bind(key.ip, at: 2)
        read.bind(key.hour, at: 3)
        var all: [Int64: ClockTrust.Minute] = [:]
        if try read.step() {
          for minute in ClockTrust.minutes(read.blob(0) ?? [], hour: key.hour) { all[minute.minute] = minute }
        }
        read.reset()
        for record in records {
          all[record.minute] = ClockTrust.Minute(minute: record.minute, joined: record.joined, lone: record.lone)
        }
        let bytes = ClockTrust.bytes(
          all.values.filter { $0.joined > 0 || $0.lone > 0 }.sorted { $0.minute < $1.minute })
        try write.run(.integer(key.log), .text(key.ip), .integer(key.hour), .blob(bytes))
      }
    }
  }
}
