import Flows
import Foundation
import Journeys
import Testing

/// `GATEWATCH_SIMULATED_REQUESTS=1000000 swift test -c release --filter SimulationTests` runs the large mesh.
@Suite struct SimulationTests {
  static let requests =
    ProcessInfo.processInfo.environment["GATEWATCH_SIMULATED_REQUESTS"].flatMap(Int.init) ?? 20_000

  @Test("in a mesh that loses a twentieth of its lines, next to all hops are joined, and none to a stranger")
  func precisionAndRecall() {
    let mesh = SimulatedMesh(requests: Self.requests, seed: 7)
    let joined = JourneyJoiner(mesh.traits).join(mesh.hops, from: .min, until: .max).filter { $0.journey != 0 }
    var journeys = [UInt64?](repeating: nil, count: mesh.hops.count)
    for hop in joined { journeys[Int(hop.flow) - 1] = hop.journey }

    var joinable = 0
    var found = 0
    for (hop, before) in mesh.before.enumerated() {
      guard let before else { continue }
      joinable += 1
      if let journey = journeys[hop], journeys[before] == journey { found += 1 }
    }
    var firsts: [UInt64: Int] = [:]
    var wrong = 0
    for (hop, journey) in journeys.enumerated() {
      guard let journey else { continue }
      if let way = firsts[journey] {
        if way != mesh.ways[hop] { wrong += 1 }
      } else {
        firsts[journey] = mesh.ways[hop]
      }
    }
    let recall = Double(found) / Double(max(joinable, 1))
    let precision = 1 - Double(wrong) / Double(max(joined.count - firsts.count, 1))
    print("\(mesh.hops.count) hops, \(joinable) joinable pairs: precision \(precision), recall \(recall)")
    #expect(precision >= 0.9999)
    #expect(recall >= 0.995)
  }

  @Test("a stretch of time with what lies within its influence is joined as in the whole, in any order of the hops")
  func stretches() {
    let mesh = SimulatedMesh(requests: 280 * 60 * 9, seed: 11)
    let joiner = JourneyJoiner(mesh.traits)
    let whole = Set(joiner.join(mesh.hops, from: .min, until: .max))
    var random = SplitMix(state: 3)
    let shuffled = mesh.hops.shuffled(using: &random)
    let first = mesh.hops.map(\.startedAtMs).min()! / 60_000
    let last = mesh.hops.map(\.startedAtMs).max()! / 60_000
    var parts: Set<JoinedHop> = []
    for minute in first...last {
      let (from, until) = (minute * 60_000, (minute + 1) * 60_000)
      let seen = shuffled.filter {
        $0.startedAtMs >= from - JoinLimits.influenceMs && $0.startedAtMs < until + JoinLimits.influenceMs
      }
      parts.formUnion(joiner.join(seen, from: from, until: until))
    }
    #expect(parts == whole)
  }

  @Test("how far clocks are apart is known within some milliseconds")
  func clocks() {
    let mesh = SimulatedMesh(requests: 20_000, seed: 5)
    let joiner = JourneyJoiner(mesh.traits)
    let clocks = joiner.links(mesh.hops).clocks(from: .min, until: .max)
    let named = joiner.named(clocks)
    #expect(!named.isEmpty)
    #expect(named.allSatisfy { $0.leastMs <= $0.skewMs && $0.skewMs <= $0.mostMs && $0.mostMs - $0.leastMs < 60 })
  }

  @Test("addresses are spread over all parts, however many there are", arguments: [2, 19, 38, 126, 247])
  func spread(count: Int) {
    let sources = (1...3_000).map { number in
      // The pod's name has a number of its own, beside the address.
      (
        Int64(number),
        Source(
          log: 1, proxy: .envoy, shape: .gateway, clientIP: "10.80.\(number / 250).\(number % 250)",
          proxyIP: "10.80.99.1", namespace: "shop", pod: "web-\(number)")
      )
    }
    let traits = HopTraits(
      sources: sources, destinations: [(1, Destination(host: "api.search.example"))], outcomes: [(1, Outcome())])
    let hops = sources.map { Hop(flow: $0.0, startedAtMs: 0, source: Int32($0.0), destination: 1, outcome: 1) }
    var pairs: [HopParts.Pair] = []
    HopParts(traits, count: count).parts(of: hops, &pairs)
    var hopsOfPart = [Int](repeating: 0, count: count)
    for pair in pairs { hopsOfPart[Int(pair.later)] += 1 }
    #expect(hopsOfPart.allSatisfy { $0 > 0 && $0 < 4 * 3_000 / count })
  }

  @Test(
    "parts that are joined by themselves, and told of by numbers, find what one window finds",
    arguments: [1, 2, 3, 5, 7, 19, 64])
  func partsByNumber(count: Int) {
    let mesh = SimulatedMesh(requests: 20_000, seed: 5)
    Self.expectSame(mesh.hops, mesh.traits, count)
  }

  @Test("so they do where sidecars alone wrote lines, of which only those are looked at that somebody asks for")
  func partsOfSidecars() {
    // Every fourth line was refused; some of their requests went to another sidecar, under the same id.
    var hops: [Hop] = []
    let pods = (0..<40).map { "10.80.9.\($0)" }
    var sources = pods.map { Source(log: 1, proxy: .envoy, shape: .outbound, clientIP: $0, proxyIP: $0) }
    sources += pods.map { Source(log: 1, proxy: .envoy, shape: .inbound, clientIP: $0, proxyIP: "10.80.8.1") }
    let destination = Destination(
      host: "api.search.example", traffic: .http, authority: "api.search.example",
      upstream: Endpoint(ip: "10.80.8.1", port: 80), dialled: Endpoint(ip: "10.80.8.1", port: 80))
    let outcome = Outcome(protocol: "HTTP/1.1", method: "GET", status: 200)
    for number in 0..<3_000 {
      let (pod, start) = (Int32(number * 7 % 40), 1_793_000_000_000 + Int64(number) * 40)
      let hash = UInt64(number + 1) &* 0x9E37_79B9_7F4A_7C15
      hops.append(
        Hop(
          flow: Int64(hops.count), startedAtMs: start, durationMs: 20, sent: 5, received: 9, requestHash: hash,
          source: pod, destination: 0, outcome: 0, localPort: UInt16(20_000 + number % 9_000)))
      guard number % 4 == 0 else { continue }
      hops.append(
        Hop(
          flow: Int64(hops.count), startedAtMs: start + 1, durationMs: 18, sent: 5, received: 9, requestHash: hash,
          source: pod + 40, destination: 0, outcome: 0, sourcePort: UInt16(20_000 + number % 9_000)))
    }
    let traits = HopTraits(
      sources: sources.enumerated().map { (Int64($0), $1) }, destinations: [(0, destination)], outcomes: [(0, outcome)])
    #expect(HopParts.asksFirst(traits))
    Self.expectSame(hops, traits, 8)
  }

  private static func expectSame(_ hops: [Hop], _ traits: HopTraits, _ count: Int) {
    let joiner = JourneyJoiner(traits)
    let links = joiner.links(hops)
    let whole = joiner.joined(hops, links, from: .min, until: .max)
    #expect(whole.count > hops.count / 4)
    var wholeClocks = ClockMinutes(traits)
    wholeClocks.note(hops, links, from: .min, until: .max)

    var meetings: NotedMeetings?
    if HopParts.asksFirst(traits) {
      // By two hands, as the parts are.
      var (one, other) = (NotedMeetings(traits, expecting: 100), NotedMeetings(traits, expecting: 100))
      one.note(Array(hops[..<1_000]))
      other.note(Array(hops[1_000...]))
      one.add(other)
      #expect(!one.isEmpty)
      meetings = one
    }
    let parts = HopParts(traits, count: count, meetings)
    var pairs: [HopParts.Pair] = []
    parts.parts(of: hops, &pairs)
    let table = LinkTable(traits, parts, count: hops.count)
    var inParts = 0
    for part in 0..<count {
      var own: [Hop] = []
      for (number, pair) in pairs.enumerated() where pair.later == part || pair.earlier == part {
        own.append(hops[number])
        own[own.count - 1].flow = Int64(number)
      }
      inParts += own.count
      let links = joiner.links(own, part: part, of: count)
      table.add(links, of: own, part: part, from: .min, until: .max)
      table.learn(links, from: .min, until: .max)
    }
    #expect(meetings == nil || inParts < hops.count)
    var joined: [JoinedHop] = []
    var (clocks, others) = (ClockMinutes(traits), ClockMinutes(traits))
    for first in stride(from: 0, to: hops.count, by: 700) {
      let block = Array(hops[first..<min(first + 700, hops.count)])
      joined += table.joined(block, numberedFrom: first, from: .min, until: .max)
      if first % 1_400 == 0 {
        table.note(block, numberedFrom: first, in: &clocks, from: .min, until: .max)
      } else {
        table.note(block, numberedFrom: first, in: &others, from: .min, until: .max)
      }
    }
    clocks.add(others)
    #expect(joined == whole)
    #expect(clocks.hours(clocks.noted).map { "\($0)" } == wholeClocks.hours(wholeClocks.noted).map { "\($0)" })
    #expect(
      joiner.named(table.clocks(from: .min, until: .max)).map { "\($0)" }.sorted()
        == joiner.named(links.clocks(from: .min, until: .max)).map { "\($0)" }.sorted())
  }
}
