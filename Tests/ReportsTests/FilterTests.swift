import FlowStore
import Flows
import Testing

@testable import Reports

@Suite("Filters")
struct FilterTests {
  @Test(
    "times are read as typed; a day named as the end is part of the range",
    arguments: [
      ("1h", "2026-11-01T11:00:00.000Z", "2026-11-01T11:00:00.000Z"),
      ("90s", "2026-11-01T11:58:30.000Z", "2026-11-01T11:58:30.000Z"),
      ("2d", "2026-10-30T12:00:00.000Z", "2026-10-30T12:00:00.000Z"),
      ("now", "2026-11-01T12:00:00.000Z", "2026-11-01T12:00:00.000Z"),
      ("today", "2026-11-01T00:00:00.000Z", "2026-11-02T00:00:00.000Z"),
      ("yesterday", "2026-10-31T00:00:00.000Z", "2026-11-01T00:00:00.000Z"),
      ("2026-02-28", "2026-02-28T00:00:00.000Z", "2026-03-01T00:00:00.000Z"),
      ("2026-11-01T10:00", "2026-11-01T10:00:00.000Z", "2026-11-01T10:00:00.000Z"),
      ("2026-11-01 10:00:01.5", "2026-11-01T10:00:01.500Z", "2026-11-01T10:00:01.500Z"),
      ("2026-11-01T10:00:00+02:00", "2026-11-01T08:00:00.000Z", "2026-11-01T08:00:00.000Z"),
      ("@1793534400", "2026-11-01T12:00:00.000Z", "2026-11-01T12:00:00.000Z"),
    ])
  func times(text: String, since: String, until: String) throws {
    #expect(Quantities.iso(try TimeExpression.parse(text, as: .since, now: noon)) == since)
    #expect(Quantities.iso(try TimeExpression.parse(text, as: .until, now: noon)) == until)
  }

  @Test(
    "what is no time is refused",
    arguments: ["", "h", "-1h", "1y", "2026-02-30", "2026-13-01", "26-1-1", "2026-11-01T25:00", "soon", "@x", "２h"])
  func notTimes(text: String) {
    #expect(throws: ReportError.self) { try TimeExpression.parse(text, as: .since, now: noon) }
  }

  @Test("a network matches addresses of its family")
  func networks() throws {
    let v4 = try SourcePattern("10.80.3.0/24")
    #expect(v4.contains("10.80.3.255") && !v4.contains("10.80.4.0") && !v4.contains("::1") && !v4.contains("x"))
    #expect(v4.contains("::ffff:10.80.3.7"))
    #expect(try SourcePattern("0.0.0.0/0").contains("203.0.113.1"))
    #expect(try SourcePattern("10.80.3.11/32").contains("10.80.3.11"))
    let v6 = try SourcePattern("fd00:80::/33")
    #expect(v6.contains("fd00:80:7fff::1") && !v6.contains("fd00:80:8000::1"))
    for text in ["10.80.3.0/33", "10.80/8", "fd00::g/8", "10.80.3.0/"] {
      #expect(throws: ReportError.self, "\(text)") { try SourcePattern(text) }
    }
  }

  @Test("a workload with its namespace is a pattern, and no network")
  func workloads() throws {
    for text in ["shop/web", "shop/*", "*/web", "node/worker-1", "a/24"] {
      #expect(try !SourcePattern(text).isNetwork, "\(text)")
    }
  }

  @Test("each filter limits what is counted, by host, source, path, outcome and time")
  func limits() throws {
    let fixture = try StoreFixture()
    func flows(_ set: (inout Filters) throws -> Void) throws -> Int64 {
      var filters = Filters()
      try set(&filters)
      return try total("hosts", filters, in: fixture)
    }
    #expect(try flows { _ in } == 64)
    #expect(try flows { $0.host = "*.EXAMPLE.com" } == 48)
    #expect(try flows { $0.source = try SourcePattern("sleep") } == 55)
    #expect(try flows { $0.source = try SourcePattern("sleep-*") } == 55)
    #expect(try flows { $0.source = try SourcePattern("10.80.3.12") } == 9)
    #expect(try flows { $0.source = try SourcePattern("10.80.3.8/29") } == 64)
    #expect(try flows { $0.source = try SourcePattern("192.0.2.0/24") } == 0)
    #expect(try flows { $0.paths = [.passthrough, .none] } == 17)
    #expect(try flows { $0.outcomes = [.timeout] } == 4)
    #expect(try flows { $0.sinceMs = noon + 64 * 60_000 } == 1)
    #expect(try flows { $0.untilMs = noon + 3 * 60_000 } == 2)
  }

  @Test(
    "the reports about flows take every filter",
    arguments: ["summary", "bypass", "blocked", "latency", "hosts", "sources", "timeline", "unproven", "flows"])
  func everywhere(name: String) throws {
    let query = try QueryCatalogue().report(named: name)
    for parameter in ["since_ms", "until_ms", "host", "sources", "path", "outcome"] {
      #expect(query.takes(parameter), "\(parameter)")
    }
  }

  @Test("a filter that a report does not know is an error, never ignored")
  func unknown() throws {
    let fixture = try StoreFixture()
    var filters = Filters()
    filters.host = "x"
    let error = #expect(throws: ReportError.self) { try total("rejected", filters, in: fixture) }
    #expect(error?.description == "report rejected has no filter --host; leave --host out")
  }

  private func total(_ name: String, _ filters: Filters, in fixture: StoreFixture) throws -> Int64 {
    let answer = try Answer(of: name, filters: filters, in: fixture.path)
    return answer.sum("flows")
  }
}
