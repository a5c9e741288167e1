import Flows
import Testing

@testable import FlowStore
@testable import Reports

/// Answers that depend on when each flow began or ended.
@Suite("Tallies of times")
struct TallyTimeTests {
  @Test(
    "traffic over time is the same from a tally as from SQL, by any step, with rollups or without",
    arguments: [false, true])
  func timeline(hasRollups: Bool) throws {
    let store = try RandomStore(flows: 12_000, hasRollups: hasRollups)
    let reader = try FlowReader(path: store.path)
    let query = try QueryCatalogue().report(named: "timeline")
    for (title, set) in TallyTests.filters {
      var filters = Filters()
      try set(&filters)
      for by in [nil, "day", "hour", "minute"] {
        for limit in [nil, 3] {
          let parameters = by.map { ["by": $0] } ?? [:]
          let slow = try rows(query, filters, limit, tallied: false, reader, parameters)
          let fast = try rows(query, filters, limit, tallied: true, reader, parameters)
          #expect(fast.columns == slow.columns)
          #expect(fast.rows == slow.rows, "by \(by ?? "default"), filter \(title), limit \(limit ?? 0)")
          #expect(fast.others == slow.others, "by \(by ?? "default"), filter \(title), limit \(limit ?? 0)")
        }
      }
      let arguments = try filters.arguments(for: query, in: reader)
      #expect(try TalliedAnswer(query, arguments: arguments, limit: nil, in: reader) != nil)
    }
    #expect(try rows(query, Filters(), nil, tallied: true, reader, ["by": "minute"]).rows.count > 300)
  }

  @Test("steps before 1970 are rounded down, and times that have no step are left to SQL")
  func farTimes() throws {
    for (times, isTallied) in [
      ([-1, -60_000, -60_001, 0, 59_999, -86_400_001, -4_102_444_800_000], true), ([0, 1 << 60], false),
      ([0, -(1 << 60)], false),
    ] as [([Int64], Bool)] {
      let folder = try ScratchFolder()
      let store = try FlowStore(path: folder.path())
      let batch = RandomStore.batch(times.count)
      for (index, time) in times.enumerated() { batch.rows[index].startedAtMs = time }
      var log = LogRecord(path: "/var/log/sidecar.log")
      log.id = try store.insert(log: log)
      try store.append(batch, log: log.id, firstLine: 1, position: 0)
      try store.commit()
      store.close()
      let reader = try FlowReader(path: folder.path())
      for (name, parameters) in [("timeline", ["by": "minute"]), ("coverage", [:])] {
        let query = try QueryCatalogue().report(named: name)
        let arguments = parameters.mapValues { Value.text($0) }
        #expect(try (TalliedAnswer(query, arguments: arguments, limit: nil, in: reader) != nil) == isTallied)
        let slow = try rows(query, Filters(), nil, tallied: false, reader, parameters)
        let fast = try rows(query, Filters(), nil, tallied: true, reader, parameters)
        #expect(fast.rows == slow.rows, "\(name) \(times)")
        #expect(fast.rows.count >= 1)
      }
    }
  }

  @Test(
    "coverage is the same from a tally as from SQL, gaps and pauses of each log, with rollups or without",
    arguments: [false, true])
  func coverage(hasRollups: Bool) throws {
    let store = try RandomStore(flows: 12_000, logs: 4, hasRollups: hasRollups)
    let reader = try FlowReader(path: store.path)
    let query = try QueryCatalogue().report(named: "coverage")
    for (title, set) in TallyTests.filters {
      var filters = Filters()
      try set(&filters)
      guard let arguments = try? filters.arguments(for: query, in: reader) else { continue }
      #expect(try TalliedAnswer(query, arguments: arguments, limit: nil, in: reader) != nil)
      let slow = try rows(query, filters, nil, tallied: false, reader)
      let fast = try rows(query, filters, nil, tallied: true, reader)
      #expect(fast.columns == slow.columns)
      #expect(fast.rows == slow.rows, "filter \(title)")
    }
    let whole = try rows(query, Filters(), nil, tallied: true, reader)
    let gaps = try #require(whole.columns.firstIndex(of: "gaps"))
    #expect(Set(whole.rows.map { $0[gaps].integer ?? 0 }).count > 1)
  }

  @Test("what a requirement finds missing is the same from pages as from SQL")
  func requirements() throws {
    let store = try RandomStore(flows: 12_000, logs: 4)
    let reader = try FlowReader(path: store.path)
    var sentences: Set<String> = []
    for text in [
      "max-gap=1m", "max-gap=20m", "log=*sidecar-*,max-gap=30m", "log=*-3.log,max-gap=15m", "clients=logged",
    ] {
      for since in [nil, noon + 7_000_123] {
        var filters = Filters()
        filters.sinceMs = since
        filters.untilMs = since.map { $0 + 9_000_001 }
        var requirement = try CoverageRequirement(parsing: text)
        let fast = try requirement.problems(in: reader, filters: filters, now: noon)
        requirement.usesTallies = false
        #expect(try requirement.problems(in: reader, filters: filters, now: noon) == fast, "\(text)")
        sentences.formUnion(fast)
      }
    }
    #expect(sentences.count > 8)
  }

  @Test("minutes in which logs were written are the same from pages as from SQL, also of the newest flows alone")
  func minutes() throws {
    let store = try RandomStore(flows: 12_000, logs: 4)
    let reader = try FlowReader(path: store.path)
    for first in [Int64(1), 5_000, 11_998] {
      for rows in [[first ... .max], [first...first, first + 1...min(first + 3_000, 11_999), 12_000...12_000]] {
        let fast = try #require(try reader.busyMinutes(rows: rows))
        #expect(try fast == Standing.busyMinutes(reader, rows: rows))
      }
    }
    var standing = try Standing(of: reader, findings: false)
    try standing.findGaps(in: reader)
    let gaps = try reader.rows(
      "select count(distinct log), max(length_ms) from log_pause where is_gap = 1"
    ).rows[0]
    #expect(gaps == [Value(standing.gaps.logs), .integer(standing.gaps.longestMs)])
    #expect(standing.gaps.among == nil && standing.gaps.logs > 0)
    try standing.findGaps(in: reader, among: 100)
    #expect(standing.gaps.among == 100)
  }

  @Test("gaps of the time asked about are found in flows however old, and a limit that cut is said")
  func gapsOfOldFlows() throws {
    let store = try StoreFixture([])
    // A line a minute for an hour, four hours of silence, and then two hundred more lines.
    try store.append([(0, .gateway, 0, 60)], from: noon)
    try store.append([(0, .gateway, 0, 200)], from: noon + 4 * hour)
    let reader = try FlowReader(path: store.path)
    var standing = try Standing(of: reader, findings: false)
    try standing.findGaps(in: reader, among: 100)
    #expect(standing.gaps == Standing.Gaps(logs: 0, longestMs: 0, among: 100))
    #expect(
      standing.coverage.contains(
        "; gaps were looked for among the newest 100 flows alone (see: gatewatch report coverage)"))
    func gaps(since: Int64, until: Int64) throws -> Standing.Gaps {
      var filters = Filters()
      (filters.sinceMs, filters.untilMs) = (noon + since, noon + until)
      try standing.findGaps(in: reader, filters: filters, among: 100)
      return standing.gaps
    }
    for (since, until) in [(hour / 2, 6 * hour), (2 * hour, 3 * hour), (2 * hour, 6 * hour)] {
      let found = try gaps(since: since, until: until)
      #expect(found.logs == 1 && found.longestMs > 3 * hour && found.among == nil, "\(found)")
    }
    #expect(try gaps(since: 0, until: hour / 2).logs == 0)
    // More are of the time asked about than are looked at.
    #expect(try gaps(since: 0, until: 24 * hour).among == 100)
  }
}
