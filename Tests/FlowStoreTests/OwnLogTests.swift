import Flows
import Testing

@testable import FlowStore

/// For which times a pod's own sidecar log can prove that something is not in it.
@Suite struct OwnLogTests {
  private typealias Stretch = OwnLogs.Stretch
  private static let minute: Int64 = 60_000

  private func stretch(_ from: Int64, _ until: Int64, whole: Bool = true, followsGap: Bool = false) -> Stretch {
    Stretch(
      fromMs: from * OwnLogTests.minute, untilMs: until * OwnLogTests.minute, isWhole: whole, followsGap: followsGap)
  }

  @Test("logs that follow each other within a minute are one stretch, unless something was lost between them")
  func following() {
    #expect(OwnLogs.whole([stretch(11, 20), stretch(0, 10)]) == [stretch(0, 20)])
    #expect(OwnLogs.whole([stretch(0, 10), stretch(12, 20)]) == [stretch(0, 10), stretch(12, 20)])
    let afterGap = [stretch(0, 10), stretch(11, 20, followsGap: true)]
    #expect(OwnLogs.whole(afterGap) == afterGap)
    // Both were read for the minutes that they share.
    #expect(OwnLogs.whole([stretch(0, 10), stretch(9, 20, followsGap: true)]) == [stretch(0, 20)])
    #expect(OwnLogs.whole([stretch(0, 30), stretch(5, 10)]) == [stretch(0, 30)])
  }

  @Test("a log that can prove nothing takes the proof from every log of the same pod and time")
  func broken() {
    #expect(OwnLogs.whole([stretch(0, 10, whole: false)]) == [])
    #expect(OwnLogs.whole([stretch(0, 10), stretch(5, 6, whole: false), stretch(20, 30)]) == [stretch(20, 30)])
    #expect(OwnLogs.whole([stretch(0, 10), stretch(11, 12, whole: false)]) == [])
    #expect(OwnLogs.whole([stretch(0, 10), stretch(12, 13, whole: false)]) == [stretch(0, 10)])
  }

  /// One sidecar's log of an hour, and what the store makes of it.
  private struct Scene {
    var rejected: Int64 = 0
    var role: Role?
    var logsSuccess = true
    var shape = HopShape.outbound
    /// Joined and lone lines by minutes after the log's first.
    var clock: [Int64: (joined: Int, lone: Int)] = [0: (1, 0), 60: (1, 0)]
    /// Minutes.
    var length: Int64 = 60
    var others: [Source] = []
    /// What another log shows of the same address.
    var elsewhere: [Int64: (joined: Int, lone: Int)] = [:]

    func ownLogs() throws -> [[Int64]] {
      let folder = try ScratchFolder()
      let store = try FlowStore(path: folder.path())
      var log = LogRecord(path: "/var/log/sidecar.log")
      log.declaredRole = role
      log.id = try store.insert(log: log)
      let batch = FlowBatch(capacity: 1)
      batch.newSources =
        [Source(log: log.id, proxy: .envoy, shape: shape, clientIP: "10.80.3.11", proxyIP: "10.80.3.11")] + others
      batch.newDestinations = [Destination(host: "a.example", hostOrigin: .authority, port: 80, traffic: .http)]
      batch.newOutcomes = [Outcome(protocol: "HTTP/1.1", method: "GET", status: 200)]
      var row = FlowRow()
      row.startedAtMs = noon
      row.line = 1
      (row.source, row.destination, row.outcome, row.pathTemplate) = (0, 0, 0, -1)
      batch.rows[0] = row
      batch.count = 1
      batch.storedByFormat = ["istio-1.24": 1]
      (batch.firstMs, batch.lastMs) = (noon, noon)
      try store.store(batch, into: &log)
      log.rejected = rejected
      log.read += rejected
      try store.update(log: log)
      for (log, clock) in [(Int64(1), clock), (2, elsewhere)] {
        try store.note(
          clock.map {
            ClockHour(
              log: log, ip: "10.80.3.11", minute: noon / minute + $0.key, joined: $0.value.joined, lone: $0.value.lone)
          })
      }
      try store.note([
        SourceLines(
          source: 1, firstEndMs: noon, lastEndMs: noon + length * minute, logsSuccess: logsSuccess)
      ])
      try store.refreshOwnLogs()
      try store.commit()
      defer { store.close() }
      let reader = try FlowReader(path: folder.path())
      return try reader.rows("select from_ms, until_ms from own_log where client_ip = '10.80.3.11'").rows
        .map { row in row.map { (($0.integer ?? 0) - noon) / minute } }
    }
  }

  @Test("a whole log proves it from its first to its last line")
  func whole() throws {
    #expect(try Scene().ownLogs() == [[0, 60]])
    #expect(try Scene(role: .sidecar).ownLogs() == [[0, 60]])
  }

  @Test("a rejected line, errors alone, no line sent, another declared role, or lines that show no addresses: no proof")
  func unfit() throws {
    #expect(try Scene(rejected: 1).ownLogs() == [])
    #expect(try Scene(logsSuccess: false).ownLogs() == [])
    #expect(try Scene(shape: .inbound).ownLogs() == [])
    #expect(try Scene(role: .gateway).ownLogs() == [])
    #expect(try Scene(others: [Source(log: 1, proxy: .envoy, shape: .unaddressed)]).ownLogs() == [])
  }

  @Test(
    "a clock is right from a quarter of an hour before its first joined line to as long after the last, if there are two"
  )
  func clock() throws {
    #expect(try Scene(clock: [:]).ownLogs() == [])
    #expect(try Scene(clock: [30: (9, 0)]).ownLogs() == [])
    #expect(try Scene(clock: [30: (1, 0), 40: (1, 0)]).ownLogs() == [[15, 56]])
  }

  @Test("what several logs show of one clock is looked at together")
  func clockInSeveralLogs() throws {
    #expect(try Scene(clock: [30: (1, 0)], elsewhere: [40: (1, 0)]).ownLogs() == [[15, 56]])
    #expect(try Scene(clock: [0: (9, 0), 60: (9, 0)], elsewhere: [30: (0, 9)]).ownLogs() == [])
    #expect(try Scene(clock: [30: (1, 2), 40: (9, 0)], elsewhere: [30: (2, 0), 50: (1, 0)]).ownLogs() == [[15, 60]])
  }

  @Test("lines that should be joined and are not speak against a clock: few of many are lost, more are a wrong clock")
  func refutedClock() throws {
    #expect(try Scene(clock: [0: (40, 2), 10: (1, 2), 60: (40, 3)]).ownLogs() == [[0, 60]])
    // One join in many lines is a coincidence, however often it comes.
    #expect(try Scene(clock: [0: (1, 30), 20: (1, 25), 40: (2, 0), 60: (0, 30)]).ownLogs() == [])
    // The clock was set wrong for a while.
    #expect(
      try Scene(clock: [0: (9, 0), 5: (9, 0), 10: (0, 9), 30: (0, 9), 40: (9, 0), 60: (9, 0)]).ownLogs() == [
        [0, 10], [31, 60],
      ])
    // Minute after minute, one line each.
    #expect(try Scene(clock: [0: (1, 0), 1: (1, 0), 2: (0, 1), 3: (0, 1), 4: (0, 1)]).ownLogs() == [[0, 2]])
  }

  @Test(
    "a proxy at which the lines of several clients have no hop before accuses none of them; one client's lines do not count as several"
  )
  func doubtfulProxy() {
    func doubt(_ joined: Int, _ lone: Int) -> [ClosedRange<Int64>] {
      ClockTrust.doubtful([ClockTrust.Minute(minute: 100, joined: joined, lone: lone)])
    }
    #expect(doubt(0, 2) == [] && doubt(9, 4) == [])
    #expect(doubt(2, 3) == [85 * Self.minute...116 * Self.minute])
  }

  @Test(
    "what is noted of a clock's minute takes the place of what was noted before; counts beyond a byte keep their ratio")
  func clockHours() throws {
    let minutes = [
      ClockTrust.Minute(minute: 600, joined: 1_000, lone: 10), ClockTrust.Minute(minute: 659, joined: 3, lone: 0),
    ]
    #expect(
      ClockTrust.bytes(minutes).withUnsafeBytes { ClockTrust.minutes($0, hour: 10) } == [
        ClockTrust.Minute(minute: 600, joined: 250, lone: 2), minutes[1],
      ])
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    func note(_ minute: Int64, _ joined: Int) throws {
      try store.note([ClockHour(log: 1, ip: "10.80.3.11", minute: minute, joined: joined, lone: 0)])
    }
    try note(600, 5)
    try note(659, 3)
    try note(600, 0)
    try note(780, 0)
    try store.commit()
    let known = try FlowReader(path: folder.path()).rows("select hour, minutes from clock_hour")
    #expect(known.rows == [[.integer(10), .blob([59, 3, 0])]])
    #expect(try store.logsWithClockMinutes() == [1])
    // An hour that shows nothing any more has no row.
    try note(659, 0)
    try store.commit()
    #expect(try store.logsWithClockMinutes() == [])
    store.close()
  }

  @Test("what is noted of a source only ever widens what was known")
  func noting() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "/var/log/sidecar.log")
    log.id = try store.insert(log: log)
    try store.append(maker.batch(count: 4, log: log.id), log: log.id, firstLine: 1, position: 0)
    try store.note([SourceLines(source: 1, firstEndMs: 50, lastEndMs: 60, logsSuccess: true)])
    try store.note([SourceLines(source: 1, firstEndMs: 40, lastEndMs: 55, logsSuccess: false)])
    try store.note([SourceLines(source: 1, firstEndMs: 45, lastEndMs: 70, logsSuccess: false)])
    try store.commit()
    store.close()
    let known = try FlowReader(path: folder.path()).rows(
      "select first_end_ms, last_end_ms, logs_success from source where id = 1")
    #expect(known.rows == [[40, 70, 1].map { Value.integer($0) }])
  }
}

extension ClockHour {
  /// One minute of a clock, Unix time in minutes.
  fileprivate init(log: Int64, ip: String, minute: Int64, joined: Int, lone: Int) {
    self.init(
      log: log, ip: ip, hour: minute / 60,
      minutes: [Minute(minute: UInt8(minute % 60), joined: UInt8(joined), lone: UInt8(lone))])
  }
}
