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

  @Test("several that share the work find what one finds")
  func parts() {
    let mesh = SimulatedMesh(requests: 20_000, seed: 5)
    let joiner = JourneyJoiner(mesh.traits)
    let whole = joiner.join(mesh.hops, from: .min, until: .max)
    for parts in [2, 3, 7] { #expect(joiner.join(mesh.hops, from: .min, until: .max, parts: parts) == whole) }
    let clocks = joiner.links(mesh.hops, part: 0, of: 1).clocks(from: .min, until: .max)
    let named = joiner.named(clocks)
    #expect(!named.isEmpty)
    #expect(named.allSatisfy { $0.leastMs <= $0.skewMs && $0.skewMs <= $0.mostMs && $0.mostMs - $0.leastMs < 60 })
  }
}
