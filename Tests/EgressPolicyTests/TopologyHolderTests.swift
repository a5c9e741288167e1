@testable import EgressPolicy
import Flows
import Testing

/// Whose an address was at which time, and what it is called.
@Suite("Holders of addresses")
struct TopologyHolderTests: TopologyFacts {
  @Test("who had an address is known by time: from a pod's start until the next one's, or a look that does not find it")
  func holders() throws {
    var record = ClusterRecord()
    record.add([.pod("web-1", in: "shop", "10.80.3.50", started: 1_000)], from: 1_500, until: 1_500)
    record.add([.pod("job-1", in: "batch", "10.80.3.50", proxy: .none, started: 3_000)], from: 3_500, until: 3_500)
    record.look(at: [1_500, 3_500, 5_000])
    let history = ClusterHistory(record, from: nil)
    let address = try #require(IPAddress("10.80.3.50"))
    for (second, name) in [
      (900, nil), (1_000, "web-1"), (2_999, "web-1"), (3_000, "job-1"), (4_999, "job-1"), (5_000, nil),
    ]
      as [(Int64, String?)]
    {
      let there = history.holders(of: address, from: second * 1000, until: second * 1000)
      #expect(there.map { history.objects[$0.object].name } == [name].compactMap { $0 }, "\(second)")
    }
  }

  /// Who had the address at each of the seconds; the earlier one first, where there are several.
  private func holders(_ record: ClusterRecord, of text: String, at seconds: [Int64]) throws -> [String] {
    let history = ClusterHistory(record, from: nil)
    let address = try #require(IPAddress(text))
    return seconds.map { second in
      history.holders(of: address, from: second * 1000, until: second * 1000)
        .map { history.objects[$0.object].name }.joined(separator: " ")
    }
  }

  @Test("a pod that got another address has it from the look that shows it there, and what it had before until then")
  func otherAddress() throws {
    var record = ClusterRecord()
    record.add(
      [.pod("raw-1", in: "batch", "10.80.3.30", started: 500), .pod("web-2", in: "shop", "10.80.3.15", started: 900)],
      from: 1_000, until: 1_500)
    record.add([.pod("raw-1", in: "batch", "10.80.3.15", started: 500)], from: 2_000, until: 3_000)
    record.look(at: [1_000, 1_500, 2_000, 3_000])
    #expect(
      try holders(record, of: "10.80.3.15", at: [600, 900, 1_999, 2_000, 9_000])
        == ["", "web-2", "web-2", "raw-1", "raw-1"])
    #expect(try holders(record, of: "10.80.3.30", at: [499, 500, 1_999, 2_000]) == ["", "raw-1", "raw-1", ""])
    // Whoever went to a gateway from there before is not known.
    let facts = facts(record, log: (600, 800))
    facts.add(gateway(client: "10.80.3.15"), to("203.0.113.5:443", cluster: "outbound|443||a.example"))
    #expect(name(facts, 0) == nil)
  }

  @Test("a pod that waited for its address has it from the last look without it")
  func pending() throws {
    var waiting = ClusterObject.pod("web-1", in: "shop", "10.80.3.50", started: 900)
    waiting.addresses = []
    var record = ClusterRecord()
    record.add([waiting], from: 1_000, until: 1_000)
    record.add([.pod("web-1", in: "shop", "10.80.3.50", started: 900)], from: 2_000, until: 2_000)
    record.look(at: [1_000, 2_000])
    #expect(try holders(record, of: "10.80.3.50", at: [999, 1_000, 9_000]) == ["", "web-1", "web-1"])
  }

  @Test("two pods of one name are two: the first has no address any more once the second began")
  func namesakes() throws {
    var record = ClusterRecord()
    record.add([.pod("db-0", in: "shop", "10.80.3.50", started: 1_000)], from: 1_500, until: 1_500)
    record.add([.pod("db-0", in: "shop", "10.80.3.51", started: 2_000)], from: 2_500, until: 2_500)
    record.look(at: [1_500, 2_500])
    #expect(try holders(record, of: "10.80.3.50", at: [1_000, 1_999, 2_000]) == ["db-0", "db-0", ""])
    #expect(try holders(record, of: "10.80.3.51", at: [1_999, 2_000, 9_000]) == ["", "db-0", "db-0"])
  }

  @Test(
    "a pod that is over had its address until its end; where that is not told, until the look that shows it over",
    arguments: [(nil, 2_500), (1_800, 1_800), (1_100, 1_500)] as [(Int64?, Int64)])
  func over(ended: Int64?, last: Int64) throws {
    var over = ClusterObject.pod("job-1", in: "batch", "10.80.3.50", started: 1_000)
    over.endedMs = ended.map { $0 * 1000 }
    if ended == nil { over.traits = [ClusterObject.endUnknown] }
    for isSeenAlive in [true, false] {
      var record = ClusterRecord()
      if isSeenAlive {
        record.add([.pod("job-1", in: "batch", "10.80.3.50", started: 1_000)], from: 1_500, until: 1_500)
      }
      record.add([over], from: 2_500, until: 3_500)
      record.look(at: [1_500, 2_500, 3_500])
      // No end is before a look that shows it alive.
      let last = isSeenAlive ? last : ended ?? last
      #expect(try holders(record, of: "10.80.3.50", at: [999, 1_000, last - 1, last]) == ["", "job-1", "job-1", ""])
    }
  }

  // MARK: Names

  @Test("a client is called by its namespace and workload at the time of its log")
  func namesInTime() {
    var record = ClusterRecord()
    record.add([.pod("web-1", in: "shop", "10.80.3.50", started: 1_000)], from: 1_500, until: 1_500)
    record.add([.pod("job-1", in: "batch", "10.80.3.50", proxy: .none, started: 3_000)], from: 3_500, until: 3_500)
    record.look(at: [1_500, 3_500])
    for (span, expected) in [
      ((Int64(1_100), Int64(1_200)), "shop/web-1"), ((3_100, 9_000), "batch/job-1"),
      ((1_100, 3_100), "batch/job-1 or shop/web-1"), ((100, 900), nil),
    ] as [((Int64, Int64), String?)] {
      let facts = facts(record, log: span)
      facts.add(squid(client: "10.80.3.50"), to("203.0.113.5:443"))
      #expect(name(facts, 0) == expected)
    }
  }

  @Test("of an address that many workloads had, three are named and the others counted")
  func namesOfMany() {
    var record = ClusterRecord()
    for (number, name) in ["a", "b", "c", "d", "e"].enumerated() {
      let start = Int64(number + 1) * 1_000
      record.add([.pod(name, in: "shop", "10.80.3.50", started: start)], from: start + 500, until: start + 500)
      record.look(at: [start + 500])
    }
    let facts = facts(record, log: (1_100, 9_000))
    facts.add(squid(client: "10.80.3.50"), to("203.0.113.5:443"))
    #expect(name(facts, 0) == "shop/e or shop/d or shop/c or 2 others")
  }

  @Test("pods of one workload that follow each other are no ambiguity, and a node is a node")
  func sameWorkload() {
    var (one, two) = (
      ClusterObject.pod("web-1", in: "shop", "10.80.3.50", started: 1_000),
      ClusterObject.pod("web-2", in: "shop", "10.80.3.50", started: 2_000)
    )
    (one.workload, two.workload) = ("web", "web")
    var node = ClusterObject(kind: .node, namespace: "", name: "worker-1")
    node.addresses = ["10.0.0.5"]
    var agent = ClusterObject.pod("agent-1", in: "kube-system", "10.0.0.5", proxy: .none)
    agent.isHostNetwork = true
    var record = ClusterRecord()
    record.add([one], from: 1_500, until: 1_500)
    record.add([two, node, agent], from: 2_500, until: 2_500)
    record.look(at: [1_500, 2_500])
    let facts = facts(record)
    facts.add(squid(client: "10.80.3.50"), to("203.0.113.5:443"))
    facts.add(squid(client: "10.0.0.5"), to("203.0.113.5:443"))
    #expect(name(facts, 0) == "shop/web")
    #expect(name(facts, 1) == "node/worker-1")
  }

  @Test("a log that says which pod wrote it needs no address, and an address from a header names nobody")
  func namesOfLogs() {
    let facts = facts(cluster([.pod("web-1", in: "shop", "10.80.3.50")]))
    var own = sidecar("10.80.9.9")
    (own.namespace, own.pod) = ("shop", "web-1")
    facts.add(own, to("203.0.113.5:443"))
    facts.add(
      Source(log: 2, proxy: .envoy, shape: .gateway, clientIP: "10.80.3.50", clientIsForwarded: true),
      to("203.0.113.5:443"))
    #expect(name(facts, 0) == "shop/web-1")
    #expect(name(facts, 1) == nil)
  }
}
