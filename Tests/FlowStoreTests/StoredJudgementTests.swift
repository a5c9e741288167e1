import Flows
import Testing

@testable import FlowStore

@Suite("The judgement of a store")
struct StoredJudgementTests {
  /// Verdicts of some keys, each with one of a few contents.
  private struct Verdicts {
    var routes: [Int: Int] = [:]
    var endings: [Int64: Int] = [:]
    var policyHash = "cafe"
    var hasAssumption = false

    var judgement: Judgement {
      var judgement = Judgement()
      judgement.policyHash = policyHash
      judgement.routes = routes.sorted { $0.key < $1.key }.map { number, content in
        Judgement.Route(
          interval: 0, sourceClass: number / 4, destinationClass: number % 4,
          verdict: RouteVerdict(
            role: .sidecar, path: .passthrough, bypass: content == 0 ? nil : .passthrough, context: .egress,
            rule: "rule \(content)", nextHopFromMs: content == 2 ? noon : nil))
      }
      judgement.endings = endings.sorted { $0.key < $1.key }.map { outcome, content in
        Judgement.Ending(
          context: .egress, outcome: outcome,
          verdict: OutcomeVerdict(outcome: .ok, reason: content == 0 ? nil : "reason \(content)"))
      }
      judgement.assumptions = hasAssumption ? ["what is assumed"] : []
      return judgement
    }

    /// Whether all that `before` says stands here, too.
    func keeps(_ before: Verdicts) -> Bool {
      policyHash == before.policyHash && before.routes.allSatisfy { routes[$0.key] == $0.value }
        && before.endings.allSatisfy { endings[$0.key] == $0.value }
    }
  }

  private func tables(_ store: FlowStore) throws -> [String] {
    try store.access { db throws(StoreError) in
      var rows: [String] = []
      for table in JudgedTable.all {
        let row = try db.statement("select \(table.columns.joined(separator: ", ")) from \(table.name) order by 1")
        while try row.step() {
          rows.append(table.name + table.columns.indices.map { "|\(row.text(Int32($0)) ?? "-")" }.joined())
        }
      }
      return rows
    }
  }

  @Test(
    "has another name only where a verdict that was there is another, and its tables are as if they were written anew")
  func extended() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    let twin = try FlowStore(path: folder.path("twin.db"))
    var random = HistogramTests.Numbers(state: 11)
    var verdicts = Verdicts()
    var name = ""
    var kept = 0
    for step in 0..<120 {
      let before = verdicts
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        switch Int.random(in: 0..<40, using: &random) {
        case 0..<15: verdicts.routes[.random(in: 0..<16, using: &random)] = 1
        case 15..<32: verdicts.endings[.random(in: 1..<16, using: &random)] = 0
        case 32: verdicts.routes[.random(in: 0..<16, using: &random)] = .random(in: 0...2, using: &random)
        case 33: verdicts.endings[.random(in: 1..<16, using: &random)] = .random(in: 0...2, using: &random)
        case 34: verdicts.routes.keys.max().map { verdicts.routes[$0] = nil }
        case 35: verdicts.endings.keys.max().map { verdicts.endings[$0] = nil }
        case 36: verdicts.policyHash = "cafe" + String(step)
        default: verdicts.hasAssumption.toggle()
        }
      }
      try store.apply(verdicts.judgement)
      let present = try store.presentAlertMark().judgement
      #expect((present == name) == (step > 0 && verdicts.keeps(before)), "step \(step)")
      kept += present == name ? 1 : 0
      name = present
      #expect(try store.judgedPolicyHash == verdicts.policyHash)
      try twin.write("nothing judged") { db throws(StoreError) in try db.run("delete from meta where key = 'judgement'")
      }
      try twin.apply(verdicts.judgement)
      #expect(try tables(store) == tables(twin), "step \(step)")
    }
    #expect((30...110).contains(kept))
  }

  @Test("has another name where only what was added is gone again")
  func shrunk() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var names: [String] = []
    for routes in [[1: 1], [1: 1, 2: 1], [1: 1], [1: 1, 2: 1]] {
      var verdicts = Verdicts()
      verdicts.routes = routes
      try store.apply(verdicts.judgement)
      names.append(try store.presentAlertMark().judgement)
    }
    #expect(names[1] == names[0] && names[2] != names[1] && names[3] == names[2], "\(names)")
  }

  @Test(
    "has another name with every verdict that is added, where flows have no rows: alerts see them in looking at everything alone"
  )
  func tallied() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    _ = try store.insert(log: LogRecord(path: "a.log"))
    var verdicts = Verdicts()
    verdicts.routes = [1: 1]
    try store.apply(verdicts.judgement)
    let name = try store.presentAlertMark().judgement
    try store.write("tally") { db throws(StoreError) in try db.run("update log set tallied = 1") }
    try store.apply(verdicts.judgement)
    #expect(try store.presentAlertMark().judgement == name)
    verdicts.routes[2] = 1
    try store.apply(verdicts.judgement)
    #expect(try store.presentAlertMark().judgement != name)
  }

  @Test("keeps its name from a version that noted no hash of its tables")
  func withoutHash() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore.judged(flows: 20, in: folder)
    let name = try store.presentAlertMark().judgement
    try store.write("older version") { db throws(StoreError) in
      try db.run("delete from meta where key = 'judged_tables'")
    }
    try store.apply(judgement(of: store.facts()))
    #expect(try store.presentAlertMark().judgement == name)
  }
}
