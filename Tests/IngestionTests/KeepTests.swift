import EgressPolicy
import Flows
import Foundation
import Glibc
import Testing

@testable import FlowStore
@testable import Ingestion

/// `--keep exceptions`: rows for what may have to be looked into, sums for all else.
@Suite("Flows that get no row")
struct KeepTests {
  let scene: Scene

  init() throws {
    scene = try Scene()
    scene.options.keep = .exceptions(slowMs: 1_000)
    scene.options.joinsHops = false
  }

  /// A sidecar's request to the egress gateway, 8 ms long; its bytes received tell its number. Every 50th is a bypass, every
  /// 20th is refused.
  private static func line(_ number: Int, durationMs: Int = 8) -> String {
    let time = "2026-11-02T\(two(9 + number / 3_600_000 % 10)):\(two(number / 60_000 % 60)):\(two(number / 1000 % 60))"
    let client = "10.80.3.\(10 + number % 7)"
    let upstream = number % 50 == 0 ? "203.0.113.7:80" : "10.80.3.232:8080"
    let cluster =
      number % 50 == 0
      ? "PassthroughCluster" : "outbound|80|egress|istio-egressgateway.istio-system.svc.cluster.local"
    let end = number % 20 == 1 ? "403 - rbac_access_denied_matched_policy[none]" : "200 - via_upstream"
    return """
      [\(time).\(String(1000 + number % 1000).dropFirst())Z] \
      "GET /\(number % 9) HTTP/1.1" \(end) - "-" 10 \(number) \(durationMs) 7 "-" "curl/8" \
      "00000000-0000-4000-8000-\(String(1_000_000_000_000 + number).suffix(12))" \
      "host-\(number % 3).example" "\(upstream)" \(cluster) \(client):\(40_000 + number % 20_000) 203.0.113.9:80 \
      \(client):\(30_000 + number % 20_000) - default

      """
  }

  private static func two(_ number: Int) -> String { String(String(100 + number).dropFirst()) }

  private static func lines(_ numbers: some Sequence<Int>) -> [UInt8] {
    Array(numbers.map { line($0) }.joined().utf8)
  }

  private struct Counted: Equatable {
    var flows: Int64
    /// Numbers of all lines, added up.
    var sum: Int64
  }

  /// What all flows come to, with rows and without.
  private func counted() throws -> Counted {
    let reader = try FlowReader(path: scene.database)
    let tally = try #require(
      try reader.tally(TallyRequest(), words: "select 1 as one from judged_flow f where f.id = :example order by f.id"))
    return Counted(
      flows: tally.groups.reduce(0) { $0 + $1.flows }, sum: tally.groups.reduce(0) { $0 + ($1.received ?? 0) })
  }

  private func expectCounted(_ numbers: some Sequence<Int>, _ comment: Comment? = nil) throws {
    let numbers = Array(numbers)
    #expect(
      try counted() == Counted(flows: Int64(numbers.count), sum: Int64(numbers.reduce(0, +))), comment)
    #expect(try FlowReader(path: scene.database).check() == [], comment)
  }

  @Test("rows are kept of bypass, of what was refused, of slow requests, and of the first flow to each destination")
  func whatIsKept() throws {
    try scene.write("access.log", bytes: Self.lines(1...400) + Array(Self.line(407, durationMs: 1_000).utf8))
    try scene.ingest("access.log")
    try expectCounted(Array(1...400) + [407])
    let kept = try scene.stored()
    let bypass = stride(from: 50, through: 400, by: 50)
    let refused = stride(from: 1, through: 400, by: 20)
    #expect(Set(kept).isSuperset(of: Array(bypass) + Array(refused) + [407]))
    // The first lines to the three hosts.
    #expect(Set(kept).subtracting(Array(bypass) + Array(refused) + [407]) == [2, 3, 4])
    #expect(try scene.numbers("select tallied from log") == [401 - kept.count])
    // Nothing near flows without rows is joined.
    #expect(try scene.numbers("select count(*) from tallied_minute").first != 0)
  }

  @Test("what came before the gateway was known is kept, and so is whatever nobody can say the way of")
  func unknownIsKept() throws {
    let stranger = Self.line(2).replacing("10.80.3.232:8080", with: "10.99.0.1:8080").replacing(
      "|egress|istio-egressgateway.istio-system", with: "||something.else")
    try scene.write("access.log", bytes: Array((stranger + stranger).utf8))
    try scene.ingest("access.log")
    #expect(try scene.stored() == [2, 2])
  }

  @Test("a file read twice, and a file that grows, count each line once")
  func twiceAndGrown() throws {
    try scene.write("access.log", bytes: Self.lines(1...100))
    try scene.ingest("access.log")
    #expect(try scene.ingest("access.log").lines.read == 0)
    try expectCounted(1...100)
    for end in stride(from: 130, through: 400, by: 30) {
      try scene.append("access.log", bytes: Self.lines(end - 29...end))
      try scene.ingest("access.log")
    }
    try expectCounted(1...400)
    // Small sums become one.
    #expect(try scene.numbers("select count(*) from tally_run")[0] < 8)
    scene.rename("access.log", to: "access.log.1")
    try scene.gzip("access.log.1")
    try scene.write("access.log", bytes: Self.lines(401...420))
    try scene.ingest("access.log", "access.log.1.gz")
    try expectCounted(1...420)
  }

  @Test("what another policy makes a bypass is counted as one, and is no news of a later run")
  func anotherPolicy() throws {
    let generous = try Policy.load(
      yaml: "gateways: [ { name: both, addresses: [10.80.3.232, 203.0.113.7] } ]", file: "egress.yaml")
    func problems(_ policy: Policy?) throws -> Int {
      let store = try FlowStore(path: scene.database)
      defer { store.close() }
      let summary = try IngestPipeline(store: store, options: scene.options)
        .run(paths: [scene.path("access.log")], policy: policy)
      return summary.problems.count { $0.message.contains("turned out to be bypass") }
    }
    func bypasses() throws -> Int64 {
      let words = "select 1 as one from bypass_flow f where f.id = :example order by f.id"
      let tally = try #require(try FlowReader(path: scene.database).tally(TallyRequest(), words: words))
      return tally.groups.reduce(0) { $0 + $1.flows }
    }
    try scene.write("access.log", bytes: Self.lines(1...1_000))
    #expect(try problems(generous) == 0)
    #expect(try bypasses() == 0)
    let rows = try scene.stored().count { $0 % 50 == 0 }
    #expect(rows < 10)
    try scene.append("access.log", bytes: Self.lines(1_001...1_049))
    #expect(try problems(nil) == 0)
    #expect(try bypasses() == 20)
    #expect(try scene.stored().count { $0 % 50 == 0 } == rows)
    try expectCounted(1...1_049)
  }

  /// Knows of no exception until it is told better.
  private final class Blind: FlowSieve {
    func learn(
      sources: [(id: Int64, source: Source)], destinations: [(id: Int64, destination: Destination)],
      outcomes: [(id: Int64, outcome: Outcome)], of log: LogRecord
    ) {}
    func isOrdinary(source: Int64, destination: Int64, outcome: Int64, durationMs: Int64) -> Bool { true }
  }

  @Test("flows without rows that turn out to be bypass once all is read are counted, warned of, and news for alert")
  func lateBypass() throws {
    func ingest(_ sieve: (any FlowSieve)?) throws -> [String] {
      let store = try FlowStore(path: scene.database)
      defer { store.close() }
      let pipeline = IngestPipeline(store: store, options: scene.options)
      pipeline.sieveInstead = sieve
      return try pipeline.run(paths: [scene.path("access.log")], policy: nil).problems.map(\.message)
    }
    func judgement() throws -> String? { try scene.texts("select value from meta where key = 'judgement'").first }
    try scene.write("access.log", bytes: Self.lines(1...1_000))
    // Of the twenty, the first one to each of its destinations has a row.
    let warnings = try ingest(Blind())
    let rows = try scene.stored().count { $0 % 50 == 0 }
    #expect((1...3).contains(rows))
    #expect(
      warnings == [
        "\(20 - rows) flows turned out to be bypass once all lines were read; they are counted, and have no row"
      ])
    try expectCounted(1...1_000)
    // Alert looks at all flows again where verdicts are others than they were.
    let before = try #require(try judgement())
    #expect(before.hasSuffix("-1"))
    // What is known already is no news of the next run.
    try scene.append("access.log", bytes: Self.lines(1_001...1_010))
    #expect(try ingest(nil) == [])
    #expect(try judgement() == before)
    try expectCounted(1...1_010)
  }

  /// Does as another one, and remembers what it was asked in the end.
  private final class Heard: FlowSieve {
    let sieve: OrdinaryTraffic
    let answers: Bool
    private(set) var looks: [Int64: LogLook]?

    init(_ sieve: OrdinaryTraffic, answers: Bool) { (self.sieve, self.answers) = (sieve, answers) }

    func learn(
      sources: [(id: Int64, source: Source)], destinations: [(id: Int64, destination: Destination)],
      outcomes: [(id: Int64, outcome: Outcome)], of log: LogRecord
    ) {
      sieve.learn(sources: sources, destinations: destinations, outcomes: outcomes, of: log)
    }
    func isOrdinary(source: Int64, destination: Int64, outcome: Int64, durationMs: Int64) -> Bool {
      sieve.isOrdinary(source: source, destination: destination, outcome: outcome, durationMs: durationMs)
    }
    var destinations: [(id: Int64, destination: Destination)] { answers ? sieve.destinations : [] }
    func looks(by verdicts: VerdictIndex) -> [Int64: LogLook]? {
      looks = sieve.looks(by: verdicts)
      return answers ? looks : nil
    }
  }

  @Test("what a sieve says of the logs is what a look at all that it let pass shows")
  func heard() throws {
    var options = scene.options
    options.limits.batchRows = 64
    try scene.write("one.log", bytes: Self.lines(1...900))
    // Only these are a success in a log of their own; of the other, refused lines alone.
    try scene.write("two.log", bytes: Self.lines((1...900).filter { $0 % 20 != 1 }))
    try scene.write("three.log", bytes: Self.lines((1...900).filter { $0 % 20 == 1 }))
    var stores: [[String]] = []
    for answers in [true, false] {
      for suffix in ["", "-wal", "-shm", ".lock"] { scene.remove("store/flows.db" + suffix) }
      let store = try FlowStore(path: scene.database)
      defer { store.close() }
      let heard = Heard(OrdinaryTraffic(policy: nil, facts: try store.facts(), slowMs: 1_000), answers: answers)
      let pipeline = IngestPipeline(store: store, options: options)
      pipeline.sieveInstead = heard
      let summary = try pipeline.run(paths: ["one.log", "two.log", "three.log"].map(scene.path), policy: nil)
      #expect(summary.problems.isEmpty)
      let looks = try #require(heard.looks)
      #expect(looks == (try store.look(atTalliesAfter: 0).looks))
      #expect(looks.count == 2 && looks.values.allSatisfy { $0 == LogLook(roles: [.sidecar], hasSuccess: true) })
      stores.append(
        try scene.texts(
          """
          select path || ' ' || roles || ' ' || has_success || ' ' || is_tail || ' ' || tallied
          from log_sign join log on log.id = log_sign.log order by path
          """)
          + scene.texts("select id || ' ' || class from destination order by id"))
      try expectSampleAgrees(store)
      try expectDoubt(heard.sieve, store)
    }
    #expect(stores[0] == stores[1] && stores[0].count > 5)
  }

  /// Rows by a judgement in memory, and by what is stored of it.
  private func expectSampleAgrees(_ store: FlowStore) throws {
    let verdicts = try #require(VerdictIndex(Rejudge.judge(try store.facts(), policy: nil)))
    var rows = AddedRows()
    for (log, first, last) in try ranges() { rows.add(first...last, of: log) }
    let looks = try store.sample(among: rows).looks(by: verdicts)
    #expect(looks.count == 3)
    #expect(looks == (try store.looksByLog(among: rows)))
  }

  private func ranges() throws -> [(Int64, Int64, Int64)] {
    try scene.texts(
      """
      select s.log || ' ' || min(f.id) || ' ' || max(f.id) from flow f join source s on s.id = f.source group by s.log
      order by s.log
      """
    ).map { text in
      let numbers = text.split(separator: " ").map { Int64($0)! }
      return (numbers[0], numbers[1], numbers[2])
    }
  }

  /// Where the judgement may say something else of some flow than the sieve did, it has to be asked about each.
  private func expectDoubt(_ sieve: OrdinaryTraffic, _ store: FlowStore) throws {
    let judgement = Rejudge.judge(try store.facts(), policy: nil)
    func looks(_ change: (inout Judgement.Route) -> Void) throws -> [Int64: LogLook]? {
      var other = judgement
      for index in other.routes.indices { change(&other.routes[index]) }
      return sieve.looks(by: try #require(VerdictIndex(other)))
    }
    #expect(try looks { _ in } != nil)
    #expect(try looks { $0.verdict.bypass = .passthrough } == nil)
    #expect(
      try looks {
        $0.verdict.claim = BypassClaim(bypass: .noSidecar, severity: .warning, around: .gateway)
      } == nil)
    #expect(try looks { $0.verdict.context = .squid } == nil)
    #expect(
      try looks { $0.verdict.role = .waypoint }?.values.allSatisfy { $0.roles == [.waypoint] } == true)
    // A class that the sieve did not tell apart.
    var divided = judgement
    let more = (judgement.destinationClasses.map(\.class).max() ?? 0) + 1
    for index in divided.destinationClasses.indices.dropLast() where index % 2 == 0 {
      divided.destinationClasses[index].class = more
    }
    divided.routes += judgement.routes.filter { $0.destinationClass == 0 }.map {
      var route = $0
      route.destinationClass = more
      route.verdict.bypass = .passthrough
      return route
    }
    #expect(sieve.looks(by: try #require(VerdictIndex(divided))) == nil)
  }

  @Test("a log cut in the middle is continued: lines without rows are recognised, too")
  func cutInTheMiddle() throws {
    try scene.write("access.log", bytes: Self.lines(1...9000))
    try scene.ingest("access.log")
    try scene.overwrite("access.log", bytes: Self.lines(1...5001))
    try scene.append("access.log", bytes: Self.lines(20_000..<20_100))
    try scene.ingest("access.log")
    try expectCounted(Array(1...9000) + Array(20_000..<20_100))
  }

  @Test("a store that fails at the n-th write, whichever it is, ends the run; the next one completes it")
  func failingWrites() throws {
    var options = scene.options
    options.limits.batchRows = 64
    options.limits.linesPerCommit = 64
    try scene.write("one.log", bytes: Self.lines(1...150))
    try scene.write("two.log", bytes: Self.lines(201...260))
    for failing in 1...400 {
      var writes = 0
      let store = try FlowStore(path: scene.database)
      store.beforeWrite = { (_: String) throws(StoreError) in
        writes += 1
        if writes == failing { throw .sqlite(code: 13, message: "database or disk is full", sql: nil) }
      }
      defer { store.close() }
      do {
        _ = try IngestPipeline(store: store, options: options).run(
          paths: [scene.path("one.log"), scene.path("two.log")], policy: nil)
      } catch {
        #expect(error.isFull)
        continue
      }
      break
    }
    try expectCounted(Array(1...150) + Array(201...260))
    #expect(try scene.ingest("one.log", "two.log").lines.read == 0)
  }

  @Test(
    "runs that keep all and runs that keep exceptions, in turn and interrupted, count each line once", arguments: 1...8)
  func mixed(seed: UInt64) throws {
    var random = Seeded(seed: seed)
    scene.options.limits.batchRows = 34
    scene.options.limits.linesPerCommit = Int.random(in: 1...200, using: &random)
    var end = 0
    try scene.write("access.log", bytes: [])
    for round in 1...20 {
      let count = Int.random(in: 1...90, using: &random)
      try scene.append("access.log", bytes: Self.lines(end + 1...end + count))
      end += count
      scene.options.keep = Bool.random(using: &random) ? .all : .exceptions(slowMs: 1_000)
      scene.options.joinsHops = Bool.random(using: &random)
      if Bool.random(using: &random) {
        scene.dieIngesting(["access.log"], scene.options, atWrite: Int.random(in: 1...30, using: &random))
      }
      guard round % 4 == 0 else { continue }
      try scene.ingest("access.log")
      try expectCounted(1...end, "round \(round)")
    }
  }

  @Test("times far apart get runs of their own, or rows; none is lost")
  func farTimes() throws {
    let days = (0..<40).flatMap { day in
      (0..<30).map {
        Self.line(day * 30 + $0 + 2).replacing(
          "2026-11-02", with: "2026-\(Self.two(1 + day / 4))-\(Self.two(1 + day % 4 * 7))")
      }
    }
    try scene.write("access.log", bytes: Array(days.joined().utf8))
    try scene.ingest("access.log")
    try expectCounted(2..<1_202)
  }

  @Test("near flows without rows no hop is joined; far from them all are", arguments: [0, 6, 7, 8, 20])
  func apart(minute: Int64) {
    let parts = JoinHops.apart(from: [minute], [(0, 20)])
    let near = (minute - JoinHops.influence)...(minute + JoinHops.influence)
    let expected = (0...20).filter { !near.contains(Int64($0)) }
    #expect(parts.flatMap { Array($0.0...$0.1) } == expected.map { Int64($0) })
  }

  @Test("of many minutes and stretches, what lies apart is what lies apart from each", arguments: 1...30)
  func apartFromMany(seed: UInt64) {
    var random = Seeded(seed: seed)
    let minutes = Set(
      (0..<Int.random(in: 0...12, using: &random)).map { _ in Int64.random(in: 0...200, using: &random) }
    )
    .sorted()
    var stretches: [(Int64, Int64)] = []
    var next: Int64 = 0
    for _ in 0..<Int.random(in: 1...5, using: &random) {
      let first = next + Int64.random(in: 1...30, using: &random)
      let last = first + Int64.random(in: 0...40, using: &random)
      stretches.append((first, last))
      next = last + 1
    }
    let expected = stretches.flatMap { Array($0.0...$0.1) }.filter { minute in
      !minutes.contains { abs($0 - minute) <= JoinHops.influence }
    }
    #expect(JoinHops.apart(from: minutes, stretches).flatMap { Array($0.0...$0.1) } == expected)
  }
}
