import Flows
import Foundation
import GRDB
import Testing

@testable import FlowStore

@Suite("verdicts and views")
struct ViewTests {
  /// A store with `count` flows of one source to one destination, all GET 200.
  private static func store(
    in folder: ScratchFolder, flows count: Int = 4, sources: Int = 1, destinations: Int = 1
  ) throws -> FlowStore {
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: count, sources: sources, destinations: destinations), into: &log)
    try store.commit()
    return store
  }

  private static func apply(
    _ route: RouteVerdict?, to store: FlowStore,
    ending: (Outcome) -> OutcomeVerdict = { _ in OutcomeVerdict(outcome: .ok) }
  ) throws {
    try store.apply(judgement(of: store.facts(), route: route, ending: ending))
    try store.commit()
  }

  @Test("every bit of Warnings has its word in the view, in the order of Warnings.names")
  func warnings() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    let batch = maker.batch(count: Warnings.names.count + 1, sources: 1, destinations: 1)
    batch.newOutcomes =
      Warnings.names.map { Outcome(warnings: $0.warning) }
      + [Outcome(warnings: Warnings(Warnings.names.map(\.warning)))]
    for index in 0..<batch.count { batch.rows[index].outcome = Int32(index) }
    try store.store(batch, into: &log)
    var verdict = RouteVerdict(role: .gateway, path: .gateway, context: .egress, rule: "r")
    verdict.warnings = ["source-unproven", "late"]
    try Self.apply(verdict, to: store)
    let names = Warnings.names.map(\.name)
    let expected = (names + [names.joined(separator: ",")]).map { Value.text($0 + ",source-unproven,late") }
    #expect(
      try FlowReader(path: folder.path()).rows("select warnings from flows order by id").rows.map { $0[0] } == expected)
  }

  @Test("lines that may be a missing hop are looked up, not gone through for each flow that misses one")
  func missingHopIsLookedUp() throws {
    let folder = try ScratchFolder()
    _ = try Self.store(in: folder)
    let plan = try FlowReader(path: folder.path()).rows("explain query plan select * from missing_hop_flow").rows
    let steps = plan.compactMap { $0[3].text }.filter { $0.split(separator: " ").dropFirst().first == "n" }
    #expect(steps.count == 4)
    #expect(steps.allSatisfy { $0.hasPrefix("SEARCH n USING AUTOMATIC") }, "\(steps)")
  }

  @Test("a flow without a verdict is unknown, unproven, and never an all-clear")
  func unjudged() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder, flows: 4)
    #expect(!store.isJudged)
    let reader = try FlowReader(path: folder.path())
    let all = "select distinct role, path, outcome, bypass from flows order by 1"
    #expect(try reader.rows(all).rows == [["unknown", "unknown", "unknown", nil]])
    #expect(try reader.rows("select why, count(*) from unproven_flow group by why").rows == [["not-judged", 4]])
    #expect(try reader.value("select count(*) from counted_flow") == 4)
  }

  @Test("a passthrough is a bypass; blocked or unsent, its path is none and it is none")
  func bypass() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder, flows: 4)
    try Self.apply(nil, to: store) {
      $0.status == 200
        ? OutcomeVerdict(outcome: .ok) : OutcomeVerdict(outcome: .blocked, reason: "registry-only-http", left: false)
    }
    #expect(store.isJudged)
    let reader = try FlowReader(path: folder.path())
    #expect(
      try reader.rows("select path, outcome, reason, bypass, source, count(*) from flows group by 1 order by 1").rows
        == [
          ["none", "blocked", "registry-only-http", nil, "workload-of-sleep-0", 2],
          ["passthrough", "ok", nil, "passthrough", "workload-of-sleep-0", 2],
        ])
    #expect(
      try reader.rows("select id, severity, allowed from bypass_flow order by id").rows
        == [[1, "critical", 0], [3, "critical", 0]])
    #expect(
      try reader.rows("select id, reason from blocked_flow order by id").rows
        == [[2, "registry-only-http"], [4, "registry-only-http"]])
    #expect(try reader.value("select count(*) from unproven_flow") == 0)
    // A flow that never left has no latency to a destination.
    #expect(
      try reader.rows("select id, host, path, vantage from latency_flow order by id").rows
        == [[1, "host-0.example.com", "passthrough", "sidecar"], [3, "host-0.example.com", "passthrough", "sidecar"]])
  }

  @Test("an exception allows a bypass, except of a line with ambiguous columns")
  func exceptions() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder, flows: 2)
    let verdict = RouteVerdict(
      role: .sidecar, path: .passthrough, bypass: .passthrough, severity: .critical, context: .egress, rule: "r",
      exception: 0)
    try Self.apply(verdict, to: store) { OutcomeVerdict(outcome: .ok, neverClears: $0.status != 200) }
    let reader = try FlowReader(path: folder.path())
    #expect(
      try reader.rows("select id, bypass, allowed, severity from bypass_flow order by id").rows == [
        [1, "passthrough", 1, "info"], [2, "passthrough", 0, "critical"],
      ])
  }

  @Test("a line with ambiguous columns proves no path")
  func ambiguous() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder, flows: 2)
    let verdict = RouteVerdict(role: .gateway, path: .gateway, context: .egress, rule: "r")
    try Self.apply(verdict, to: store) { OutcomeVerdict(outcome: .ok, neverClears: $0.status != 200) }
    let reader = try FlowReader(path: folder.path())
    #expect(try reader.rows("select path from flows order by id").rows == [["gateway"], ["unknown"]])
    #expect(try reader.rows("select id, why from unproven_flow order by id").rows == [[2, "ambiguous-columns"]])
  }

  @Test(
    "what rests on an assumption, on an unknown path or on an unproven source is listed apart",
    arguments: [
      (Path.gateway, "taken for a gateway", [], "assumption"), (.unknown, nil, [], "path-unknown"),
      (.proxy, nil, ["late", "source-unproven"], "source-unproven"),
    ] as [(Path, String?, [String], String)])
  func unproven(path: Path, assumption: String?, warnings: [String], why: String) throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder, flows: 1)
    try Self.apply(
      RouteVerdict(
        role: .gateway, path: path, context: .egress, rule: "r", assumption: assumption, warnings: warnings), to: store)
    let reader = try FlowReader(path: folder.path())
    #expect(try reader.rows("select why, assumption from unproven_flow").rows == [[.text(why), Value(assumption)]])
    #expect(try reader.value("select count(*) from bypass_flow") == 0)
  }

  @Test("an earlier hop counts only outside the time of the next hop's log; a second view never")
  func counted() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder, flows: 6)
    let verdict = RouteVerdict(
      role: .sidecar, path: .gateway, context: .egress, rule: "r", nextHop: .gateway, nextHopFromMs: noon + 1,
      nextHopUntilMs: noon + 3)
    try Self.apply(verdict, to: store)
    let reader = try FlowReader(path: folder.path())
    let counted = "select id from counted_flow order by id"
    #expect(try reader.rows(counted).rows == [[1], [5], [6]])
    try Self.apply(verdict, to: store) { OutcomeVerdict(outcome: .ok, isDuplicateView: $0.status == 200) }
    #expect(try reader.rows(counted).rows == [[6]])
    // Forged columns can name a gateway that never saw the request: nothing hides behind it.
    try Self.apply(verdict, to: store) { _ in OutcomeVerdict(outcome: .ok, neverClears: true) }
    #expect(try reader.rows(counted).rows == [[1], [2], [3], [4], [5], [6]])
    // Nothing left: there is no next hop that could count it.
    try Self.apply(verdict, to: store) { _ in OutcomeVerdict(outcome: .blocked, left: false) }
    #expect(try reader.rows(counted).rows == [[1], [2], [3], [4], [5], [6]])
  }

  @Test("what lies between two logs of the next hop counts here, and was not read there")
  func holes() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder, flows: 6)
    func gaps(_ holes: [ClosedRange<Int64>]) throws -> [[Value]] {
      let verdict = RouteVerdict(
        role: .sidecar, path: .gateway, context: .egress, rule: "r", nextHop: .gateway, nextHopFromMs: noon,
        nextHopUntilMs: noon + 5, nextHopHoles: holes)
      try Self.apply(verdict, to: store)
      return try FlowReader(path: folder.path()).rows(
        "select id, counted from judged_flow where next_hop_gap = 'next-hop-not-read' order by id"
      ).rows
    }
    #expect(try gaps([]) == [])
    #expect(try gaps([noon + 1...noon + 1, noon + 3...noon + 4]) == [[2, 1], [4, 1], [5, 1]])
    #expect(try gaps([noon + 3...noon + 4]) == [[4, 1], [5, 1]])
    let rows = try FlowReader(path: folder.path()).rows("select id from counted_flow order by id").rows
    #expect(rows == [[4], [5]])
  }

  @Test("each interval of the policy has its own verdict; between two there is none")
  func intervals() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder, flows: 6)
    var judgement = judgement(of: try store.facts())
    judgement.intervals = [
      PolicyInterval(id: 4, fromMs: noon + 4, untilMs: .max), PolicyInterval(id: 1, fromMs: .min, untilMs: noon + 2),
    ]
    judgement.routes = [(1, Path.direct), (4, Path.gateway)].map {
      Judgement.Route(
        interval: $0, sourceClass: 0, destinationClass: 0,
        verdict: RouteVerdict(role: .sidecar, path: $1, context: .egress, rule: "r"))
    }
    try store.apply(judgement)
    try store.commit()
    #expect(
      try FlowReader(path: folder.path()).rows("select path from flows order by id").rows == [
        ["direct"], ["direct"], ["unknown"], ["unknown"], ["gateway"], ["gateway"],
      ])
  }

  @Test("classes find their verdict by all three numbers")
  func classes() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder, flows: 6, sources: 2, destinations: 3)
    var judgement = judgement(of: try store.facts())
    let largest = 1 << 20 - 1
    judgement.sourceClasses = [(1, largest, nil), (2, 1, nil)]
    judgement.destinationClasses = [(1, 0,), (2, largest), (3, 1)]
    judgement.routes = [(largest, 0), (1, largest), (largest, 1), (1, 0), (largest, largest), (1, 1)].map {
      Judgement.Route(
        interval: 0, sourceClass: $0, destinationClass: $1,
        verdict: RouteVerdict(role: .sidecar, path: .direct, context: .squid, rule: "\($0)/\($1)"))
    }
    judgement.endings = []
    try store.apply(judgement)
    try store.commit()
    #expect(
      try FlowReader(path: folder.path()).rows("select rule from judged_flow order by id").rows.map { $0[0] }
        == [
          "\(largest)/0", "1/\(largest)", "\(largest)/1", "1/0", "\(largest)/\(largest)", "1/1",
        ].map { Value.text($0) })
  }

  @Test("the keys of verdicts are the same in the view as where they are written")
  func keys() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder, flows: 1)
    var judgement = judgement(of: try store.facts())
    let route = RouteKey(
      interval: RouteKey.intervals - 1, sourceClass: RouteKey.classes - 1, destinationClass: RouteKey.classes - 2)
    judgement.intervals = [PolicyInterval(id: route.interval, fromMs: .min, untilMs: .max)]
    judgement.sourceClasses = [(1, route.sourceClass, nil)]
    judgement.destinationClasses = [(1, route.destinationClass)]
    judgement.routes = [
      Judgement.Route(
        interval: route.interval, sourceClass: route.sourceClass, destinationClass: route.destinationClass,
        verdict: RouteVerdict(role: .sidecar, path: .direct, context: .unknown, rule: "r"))
    ]
    judgement.endings = [
      Judgement.Ending(context: .unknown, outcome: 1, verdict: OutcomeVerdict(outcome: .ok))
    ]
    try store.apply(judgement)
    try store.commit()
    let ending = EndingKey(.unknown, outcome: 1)
    #expect(RouteKey(stored: route.stored) == route && EndingKey(stored: ending.stored) == ending)
    #expect(
      try FlowReader(path: folder.path()).rows(
        """
        select route_key, ending_key, \(RouteKey.sourceClass(of: "route_key")), \(EndingKey.outcome(of: "ending_key"))
        from judged_flow
        """
      ).rows == [
        [.integer(route.stored), .integer(ending.stored), Value(route.sourceClass), .integer(ending.outcome)]
      ])
  }

  @Test("another judgement replaces the first, and the same one writes nothing")
  func again() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder, flows: 2)
    try Self.apply(nil, to: store)
    let reader = try FlowReader(path: folder.path())
    let first = try store.meta("judgement")
    let changes = { try store.access { db throws(StoreError) in db.totalChangesCount } }
    let before = try changes()
    try Self.apply(nil, to: store)
    #expect(try changes() == before)
    #expect(try store.meta("judgement") == first)
    try Self.apply(RouteVerdict(role: .gateway, path: .gateway, context: .egress, rule: "r"), to: store)
    #expect(try reader.rows("select distinct role, path from flows").rows == [["gateway", "gateway"]])
    #expect(try reader.value("select count(*) from route_verdict") == 1)
    #expect(try store.judgedPolicyHash == "cafe")
  }

  @Test("a source that changes its class makes another judgement, a new source does not")
  func reclassified() throws {
    let folder = try ScratchFolder()
    let store = try Self.store(in: folder, flows: 4, sources: 2)
    var judgement = judgement(of: try store.facts())
    var known = judgement
    known.sourceClasses.removeLast()
    try store.apply(known)
    let first = try store.meta("judgement")
    try store.apply(judgement)
    #expect(try store.meta("judgement") == first)
    judgement.sourceClasses[0].class = 5
    try store.apply(judgement)
    let second = try store.meta("judgement")
    #expect(second != first)
    judgement.destinationClasses[0].class = 5
    try store.apply(judgement)
    #expect(try store.meta("judgement") != second)
  }

  @Test("new sources, another policy or a longer log void the judgement in the same transaction")
  func voided() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    func judge() throws {
      try Self.apply(nil, to: store)
      #expect(store.isJudged)
    }
    try store.store(maker.batch(count: 3), into: &log)
    try judge()
    try store.store(maker.batch(count: 0), into: &log)
    #expect(store.isJudged, "nothing new")
    try store.store(maker.batch(count: 3, destinations: 4), into: &log)
    #expect(!store.isJudged, "a new destination")
    try store.rollback()
    #expect(store.isJudged, "taken back with its transaction")
    try store.setPolicy(text: "mesh: {}", file: "policy.yaml")
    #expect(!store.isJudged)
    try judge()
    try store.setPolicy(text: "mesh: {}", file: "elsewhere.yaml")
    #expect(store.isJudged, "the same text")
    #expect(try store.policyText == "mesh: {}")
    #expect(try store.policyFile == "elsewhere.yaml")
    log = try store.logs()[0]
    log.lastMs = log.lastMs! + 1
    try store.update(log: log)
    #expect(!store.isJudged, "the log covers more time: hops may be counted elsewhere")
    try store.commit()
    store.close()
    #expect(try !FlowStore(path: folder.path()).isJudged)
  }

  @Test("the facts come back as they were given")
  func facts() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "pods/a.log")
    log.declaredRole = .gateway
    let batch = maker.batch(count: 3)
    batch.newSources[1] = Source(
      log: 0, proxy: .squid, shape: .server, clientIP: "::1", clientIsForwarded: true, proxyIP: "10.0.0.1",
      namespace: "n", pod: "p", container: "c", peer: "spiffe://x")
    batch.newOutcomes[1] = Outcome(
      protocol: "TCP", method: "CONNECT", status: 0, flags: "UF,URX", details: "d", termination: "t", failure: "f",
      recordType: "TcpConnectionEnd", pseudoTarget: "p", warnings: [.zoneAssumed])
    try store.store(batch, into: &log)
    let facts = try store.facts()
    #expect(facts.sources.map(\.logPath) == ["pods/a.log", "pods/a.log"])
    #expect(facts.sources.map(\.declaredRole) == [.gateway, .gateway])
    let stored = batch.newSources.map { source in
      var source = source
      source.log = log.id
      return source
    }
    #expect(facts.sources.map(\.source) == stored)
    #expect(facts.destinations.map(\.destination) == maker.destinations)
    #expect(facts.outcomes.map(\.outcome) == batch.newOutcomes)
    #expect(facts.logs == [LogSpan(log: log.id, firstMs: noon, lastMs: noon + 3)])
  }

  @Test("the views find everything by row id in one pass over the flows, and look up only what is asked for")
  func plans() throws {
    let folder = try ScratchFolder()
    _ = try Self.store(in: folder)
    let reader = try FlowReader(path: folder.path())
    func plan(_ sql: String) throws -> [String] {
      try reader.rows("explain query plan " + sql).rows.compactMap {
        $0[3].text?.replacing(" LEFT-JOIN", with: "")
      }
    }
    #expect(
      try plan("select count(*) from judged_flow where bypass is not null") == [
        "SCAN f", "SEARCH s USING INTEGER PRIMARY KEY (rowid=?)", "SEARCH d USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH i USING INTEGER PRIMARY KEY (rowid<?)", "SEARCH rv USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH ov USING INTEGER PRIMARY KEY (rowid=?)", "SEARCH hp USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH br USING INTEGER PRIMARY KEY (rowid=?)",
        // Of the few flows that could be a bypass their client's own log alone proves.
        "CORRELATED SCALAR SUBQUERY 9", "SEARCH o USING PRIMARY KEY (client_ip=? AND from_ms<?)",
        "CORRELATED SCALAR SUBQUERY 10", "SEARCH c USING PRIMARY KEY (log=? AND proxy_ip=? AND from_ms<?)",
        "CORRELATED SCALAR SUBQUERY 11", "SEARCH m USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
      ])
    let views = Schema.views.compactMap { $0.name.split(separator: "-").last?.dropLast(4) }
    // Names are looked for among all destinations, signs of spoofing compare these with each other, pauses the lines of a log, missing hops two logs, ways their hops.
    let comparing = [
      "suspicious_destination", "suspicious_flow", "log_pause", "missing_hop_flow", "opted_out_pod", "journey_flow",
      "destination_name", "named_source", "sender", "unlogged_source", "hop_log", "unread_pod",
      "silence_evidence", "silent_sidecar", "telemetry_opt_out", "ending",
    ]
    for view in views where !comparing.contains(String(view)) {
      for step in try plan("select * from \(view)") {
        #expect(
          step == "SCAN f" || step.contains("USING INTEGER PRIMARY KEY (rowid")
            || step.hasPrefix("CORRELATED SCALAR SUBQUERY")
            // Addresses of pods, of which there are not many: once, and only where a log is named after a pod.
            || step.hasPrefix("LIST SUBQUERY") || step == "SCAN o"
            // Whether any flow is kept as sums alone: asked once, and answered by the first row.
            || step.hasPrefix("SCALAR SUBQUERY") || step == "SCAN tallied_minute"
            || step.hasPrefix("SEARCH o USING PRIMARY KEY (client_ip=?")
            || step.hasPrefix("SEARCH c USING PRIMARY KEY (log=? AND proxy_ip=?"),
          "\(view): \(step)")
      }
    }
    // Pods and sources are no flows.
    for view in [
      "opted_out_pod", "named_source", "sender", "unlogged_source", "hop_log", "unread_pod",
      "silence_evidence", "silent_sidecar", "telemetry_opt_out",
    ] {
      #expect(try !plan("select * from \(view)").contains { $0.hasPrefix("SCAN f") || $0.hasPrefix("SEARCH f ") })
    }
    #expect(try plan("select * from journey_flow").count { $0 == "SCAN f" } == 1)
    // For what was handed on, to logs that were read and that were not, for when logs were silent, for what was received: and
    // not once per flow.
    #expect(try plan("select * from missing_hop_flow").count { $0 == "SCAN f" } == 4)
    // They pass over the flows once for what proxies resolved, and once, from a flow on, for who went there.
    let signs = try plan("select kind, count(*) from suspicious_flow where id > 5 group by kind")
    #expect(signs.count { $0 == "SCAN f" } == 1, "\(signs)")
    #expect(signs.count { $0 == "SEARCH f USING INTEGER PRIMARY KEY (rowid>?)" } == 1, "\(signs)")
    let unused = try plan("select id, started_at, bytes_sent from flows order by id")
    // What the reason of a bypass is made of is looked up, as SQLite sees it, for the joining of its word.
    for table in ["t", "l", "o", "br", "hj"] {
      #expect(!unused.contains { $0.hasPrefix("SEARCH \(table) ") }, "\(table) is looked up for nothing: \(unused)")
    }
  }

  @Test("each view file makes the view of its name and runs without functions of this program")
  func plainSQLite() throws {
    let folder = try ScratchFolder()
    _ = try Self.store(in: folder)
    #expect(Schema.views.count >= 7)
    let shell = Process()
    shell.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    let names = Schema.views.map { $0.name.dropFirst("Views/NNN-".count).dropLast(".sql".count) }
    shell.arguments =
      ["sqlite3", "-readonly", folder.path()] + [names.map { "select count(*) from \($0);" }.joined(separator: " ")]
    let output = Pipe()
    shell.standardOutput = output
    try shell.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    shell.waitUntilExit()
    // 127: there is no sqlite3 shell here; then the files are at least known to compile.
    guard shell.terminationStatus != 127 else { return }
    #expect(shell.terminationStatus == 0)
    #expect(text.split(separator: "\n").count == names.count)
  }
}
