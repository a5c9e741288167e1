import FlowStore
import Foundation
import Glibc
import Testing

@testable import Ingestion

/// The logs of `SampleLogs/demo`, read in every order and in pieces.
@Suite struct JourneyOrderTests {
  static let logs = ["envoy-sidecars.log", "envoy-egressgateway.log", "nginx-sni-proxy.log", "squid.log"]
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "SampleLogs/demo").path

  static func content(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name)))
  }

  static func clocks(_ scene: Scene) throws -> [String] {
    try scene.texts(
      "select proxy_ip || '|' || hour || '|' || hex(minutes) from clock_hour order by log, proxy_ip, hour")
      + scene.texts(
        """
        select earlier_ip || '|' || later_ip || '|' || skew_ms || '|' || samples || '|' || least_ms || '|' || most_ms
          || '|' || first_ms || '|' || last_ms
        from clock_skew
        order by 1
        """)
      + scene.texts("select client_ip || '|' || from_ms || '|' || until_ms from own_log order by 1")
  }

  static func flows(_ scene: Scene) throws -> [String] {
    try scene.texts(
      """
      select l.path || '|' || f.line || '|' || coalesce(hex(j.journey), '-') || '|' || coalesce(w.warnings, '-') || '|' ||
        j.counted || '|' || case when j.sender_id <> j.source_id then coalesce(o.client_ip, '?') || ' ' else '' end ||
        coalesce(j.journey_place, 0)
      from judged_flow j
      join sender o on o.id = j.sender_id
      join flows w on w.id = j.id
      join flow f on f.id = j.id
      join log l on l.id = j.log_id
      order by l.path, f.line
      """
    ).map { $0.replacing(scene.folder, with: "") }
  }

  static func permutations(_ names: [String]) -> [[String]] {
    guard names.count > 1 else { return [names] }
    return names.flatMap { first in permutations(names.filter { $0 != first }).map { [first] + $0 } }
  }

  @Test("the journeys are the same in whatever order the logs are read, each in a run of its own")
  func order() throws {
    var first: [String]?
    for names in Self.permutations(Self.logs) {
      let scene = try Scene()
      for name in names {
        try scene.write(name, bytes: Self.content(name))
        try scene.ingest(name)
      }
      let flows = try Self.flows(scene)
      #expect(flows == first ?? flows, "\(names)")
      first = first ?? flows
    }
    #expect((first ?? []).count { !$0.hasSuffix("|0") } > 100)
    // What the gateway handed on to the SNI proxy in its pod is told under the pod that sent it.
    #expect((first ?? []).count { $0.split(separator: "|").last?.hasPrefix("10.80.3.") ?? false } > 5)
  }

  @Test("a tunnel of a day is joined and proven whichever of its lines comes first, each in a run of its own")
  func lateTunnel() throws {
    func line(_ start: String, _ life: Int, _ upstream: String, _ cluster: String, _ pair: String) -> String {
      "[2026-11-02T09:00:00.\(start)Z] \"- - -\" 0 - - - \"-\" 517 9000 \(life) - \"-\" \"-\" \"-\" \"-\" \"\(upstream)\" \(cluster) \(pair) a.example -\n"
    }
    let logs = [
      (
        "sidecar.log",
        line(
          "000", 86_400_000, "10.80.3.232:8443", "outbound|443||egress.istio-system.svc.cluster.local",
          "10.80.3.11:40000 203.0.113.9:443 10.80.3.11:50000")
      ),
      (
        "gateway.log",
        line(
          "020", 86_399_970, "203.0.113.9:443", "outbound|443||a.example",
          "10.80.3.232:41000 10.80.3.232:8443 10.80.3.11:40000")
      ),
    ]
    for order in [logs, logs.reversed()] {
      let scene = try Scene()
      for (name, text) in order {
        try scene.write(name, bytes: Array(text.utf8))
        try scene.ingest(name)
      }
      let flows = try Self.flows(scene)
      let journeys = flows.map { String($0.split(separator: "|")[2]) }
      #expect(flows.count == 2 && Set(journeys).count == 1 && journeys[0] != "-", "\(flows)")
      #expect(!flows.joined().contains("source-unproven"), "\(flows)")
    }
  }

  @Test(
    "the journeys are the same whether hops are read from the file's pages or by SQL, written at once or in many steps, and joined in memory or part by part from the disk",
    arguments: [
      sizes(), sizes { ($0.flowsPerCommit, $0.mostClockMinutes) = (1, 1) },
      sizes { ($0.flowsPerCommit, $0.mostClockMinutes) = (7, 3) },
      // In parts, most of which are joined at once.
      sizes { ($0.mostInMemory, $0.mostInParts) = (1, 1_000_000) },
      sizes { ($0.mostInMemory, $0.mostInParts, $0.blockRows, $0.partHops) = (1, 1_000_000, 7, 5) },
      // In parts, all of which are joined stretch by stretch.
      sizes {
        ($0.mostInMemory, $0.mostInParts, $0.blockRows, $0.partHops) = (1, 50, 3, 20)
        ($0.mostOfPart, $0.mostOfStretch) = (1, 2)
      },
      // By SQL.
      sizes { ($0.worthPages, $0.mostInMemory, $0.blockRows, $0.partHops) = (.max, 1, 9, 4) },
    ])
  func ways(sizes: JoinSizes) throws {
    let whole = try Scene()
    for name in Self.logs { try whole.write(name, bytes: Self.content(name)) }
    try whole.ingest(Self.logs)
    let scene = try Scene()
    scene.options.joinsHops = false
    for name in Self.logs { try scene.write(name, bytes: Self.content(name)) }
    try scene.ingest(Self.logs)
    #expect(try Self.flows(scene) != Self.flows(whole))
    let store = try FlowStore(path: scene.database)
    let tooDense = try JoinHops.run(store: store, sizes: sizes)
    #expect(tooDense == 0)
    try store.refreshOwnLogs()
    try store.commit()
    store.close()
    #expect(try Self.flows(scene) == Self.flows(whole))
    #expect(try Self.clocks(scene) == Self.clocks(whole))
    #expect(try Self.ends(scene) == Self.ends(whole))
    let left = try FileManager.default.contentsOfDirectory(atPath: scene.folder + "/store").filter {
      $0.contains("-hops-")
    }
    #expect(left.isEmpty)
  }

  /// How far the logs of each source go.
  static func ends(_ scene: Scene) throws -> [String] {
    try scene.texts(
      """
      select ifnull(client_ip, '') || '|' || ifnull(proxy_ip, '') || '|' || ifnull(first_end_ms, '') || '|'
        || ifnull(last_end_ms, '') || '|' || ifnull(logs_success, '')
      from source
      order by 1
      """)
  }

  /// All read from pages, and committed once.
  static func sizes(_ change: (inout JoinSizes) -> Void = { _ in }) -> JoinSizes {
    var sizes = JoinSizes()
    (sizes.worthPages, sizes.flowsPerCommit, sizes.mostClockMinutes) = (0, .max, .max)
    change(&sizes)
    return sizes
  }

  /// What the store holds of verdicts and signs, as text.
  static func verdicts(_ scene: Scene) throws -> [String] {
    try [
      "select id || '|' || coalesce(class, '-') || '|' || coalesce(name, '-') from source order by id",
      "select id || '|' || coalesce(class, '-') from destination order by id",
      "select key || '|' || role || '|' || path || '|' || coalesce(bypass, '-') || '|' || rule from route_verdict order by key",
      "select key || '|' || result || '|' || duplicate_view || '|' || left_hop from outcome_verdict order by key",
      "select log || '|' || stored || '|' || coalesce(roles, '-') || '|' || has_success || '|' || is_tail from log_sign order by log",
      "select key || '|' || value from meta where key in ('judged', 'judgement', 'log_signs') order by key",
    ].flatMap { try scene.texts($0) }
  }

  @Test(
    "verdicts, journeys and signs are the same whether a store is judged before what was read is committed, or meanwhile",
    arguments: [1, 2])
  func judgedMeanwhile(runs: Int) throws {
    let scenes = [try Scene(), try Scene()]
    for (scene, manyRows) in zip(scenes, [Int64.max, 0]) {
      scene.options.limits.manyRows = manyRows
      for run in 1...runs {
        for name in Self.logs {
          let lines = try Self.content(name).split(separator: 0x0A)
          try scene.overwrite(name, lines[..<(lines.count * run / runs)])
        }
        let summary = try scene.ingest(Self.logs)
        #expect(summary.files.allSatisfy { !$0.role.isEmpty && $0.role != "unknown" })
      }
    }
    #expect(try Self.verdicts(scenes[1]) == Self.verdicts(scenes[0]))
    #expect(try Self.flows(scenes[1]) == Self.flows(scenes[0]))
    #expect(try Self.clocks(scenes[1]) == Self.clocks(scenes[0]))
    #expect(try Self.verdicts(scenes[1]).contains("judged|1"))
  }

  @Test("stretches hold every minute once, with what lies around them within the bounds unless one minute has more")
  func stretches() {
    // The same numbers in every run (Knuth's MMIX generator).
    var state: UInt64 = 1
    func random(_ range: ClosedRange<Int64>) -> Int64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return range.lowerBound + Int64(state >> 33) % (range.upperBound - range.lowerBound + 1)
    }
    for _ in 0..<200 {
      var counts: [(minute: Int64, flows: Int64)] = []
      var minute: Int64 = 0
      while minute < 400 {
        counts.append((minute, random(1...60_000)))
        minute += random(1...40)
      }
      let stretches = JoinHops.stretches(0, 400, counts, most: 60_000, mostOfFew: 200_000) { Issue.record("too dense") }
      var seen: Set<Int64> = []
      func flows(_ first: Int64, _ last: Int64) -> Int64 {
        let around = first - JoinHops.influence...last + JoinHops.influence
        return counts.filter { around.contains($0.minute) }.reduce(0) { $0 + $1.flows }
      }
      for stretch in stretches {
        #expect(stretch.flows == flows(stretch.first, stretch.last))
        #expect(stretch.isDense == (stretch.flows > 60_000))
        // As few minutes as that would have been too many flows for one in memory.
        let fewEnd = min(stretch.first + JoinHops.fewMinutes, stretch.last)
        #expect(
          !stretch.isDense || (stretch.flows <= 200_000 && flows(stretch.first, fewEnd) > 60_000)
            || stretch.flows == flows(stretch.first, stretch.first))
        for minute in stretch.first...stretch.last { #expect(seen.insert(minute).inserted) }
      }
      #expect(counts.allSatisfy { seen.contains($0.minute) })
    }
  }

  @Test("the journeys are the same however the logs were cut over the runs", arguments: [2, 3, 7])
  func pieces(count: Int) throws {
    let whole = try Scene()
    for name in Self.logs { try whole.write(name, bytes: Self.content(name)) }
    try whole.ingest(Self.logs)
    let scene = try Scene()
    for name in Self.logs { try scene.write(name, bytes: []) }
    for piece in 0..<count {
      // The logs run ahead of each other.
      for (index, name) in Self.logs.enumerated() where (piece + index) % 2 == 0 || piece == count - 1 {
        let lines = try Self.content(name).split(separator: 0x0A, omittingEmptySubsequences: false)
        let end = piece == count - 1 ? lines.count - 1 : lines.count * (piece + 1) / count
        try scene.overwrite(name, bytes: Array(lines[..<end].joined(separator: [0x0A])) + [0x0A])
        try scene.ingest(name)
      }
    }
    #expect(try Self.flows(scene) == Self.flows(whole))
  }
}

extension Scene {
  fileprivate func overwrite(_ name: String, _ lines: ArraySlice<ArraySlice<UInt8>>) throws {
    let bytes = Array(lines.joined(separator: [0x0A])) + [0x0A]
    if access(path(name), F_OK) == 0 { try overwrite(name, bytes: bytes) } else { try write(name, bytes: bytes) }
  }
}
