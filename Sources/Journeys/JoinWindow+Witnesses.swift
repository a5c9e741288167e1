internal import Flows

/// Where a Squid is reached that logs no address of its own.
///
/// Of its line each connection of the client may be the hop before, wherever that led: another pod's answer may have as many
/// bytes, and a failed tunnel has nothing but its life to compare. Where the proxy is, the client's other lines of that time
/// show, each joined with a line of the same log by its bytes or by its port: those are the witnesses.
///
///     sidecar  10.9.0.1:3128  3,000 B  ─── squid  3,000 B     most lead to 10.9.0.1:
///     sidecar  10.9.0.1:3128  4,100 B  ─── squid  4,100 B     they prove the way
///     sidecar  10.1.0.7:9000  7,321 B  ··· squid  7,321 B     equal bytes, elsewhere: claimed
extension JoinWindow {
  /// A pair of hops at such a proxy.
  private struct Pair {
    /// The client, and the proxy: its pod, whose log may have been read in several files, or else the log.
    var group: UInt64
    var at: Int64
    /// Where the earlier hop led: the host of a cluster that the mesh declares, 0 for none, and the address.
    var host: Int32
    var address: Int32
    /// A place among what was asked about.
    var number: Int32
  }

  /// How many witnesses a pair has, and how many there are for its client and log at that time.
  private struct Testimony {
    var agreeing = 0
    var all = 0
    /// Most lead where the pair does.
    var isFor: Bool { agreeing * 2 > all }
    var isAgainst: Bool { agreeing == 0 && all > 0 }
  }

  /// Marks what is joined at a place that most witnesses do not lead to. Where they lead there, the hop before says so of itself: one
  /// alone is its own witness, and only who knows where the proxy is can tell whether it went there.
  func claimWithoutWitness() {
    var (pairs, witnesses): ([Pair], [Pair]) = ([], [])
    forEachPairAtSquid { pair, isWitness in
      pairs.append(pair)
      if isWitness { witnesses.append(pair) }
    }
    testify(witnesses, of: pairs) { pair, testimony in
      // Who is not known to have gone to a proxy counts by itself, whatever the proxy's line may be.
      marks[Int(earlier[Int(pair.number)])].insert(.leadsByLooks)
      if !testimony.isFor { marks[Int(pair.number)].insert(.isClaimed) }
    }
  }

  /// Those of some pairs, found by their times alone, that no witness is against.
  func withoutContradiction(_ edges: [JoinEdge]) -> [JoinEdge] {
    var pairs: [Pair] = []
    for (number, edge) in edges.enumerated() {
      let (from, to) = (hops[Int(edge.earlier)], hops[Int(edge.later)])
      if isByLooks(from, to) { pairs.append(pair(from, to, number)) }
    }
    guard !pairs.isEmpty else { return edges }
    var witnesses: [Pair] = []
    forEachPairAtSquid { pair, isWitness in if isWitness { witnesses.append(pair) } }
    var isRefused = [Bool](repeating: false, count: edges.count)
    testify(witnesses, of: pairs) { pair, testimony in isRefused[Int(pair.number)] = testimony.isAgainst }
    return edges.enumerated().filter { !isRefused[$0.offset] }.map(\.element)
  }

  /// Nothing but what both lines count tells that they are one connection: the proxy's address is not logged. Each pod has a
  /// loopback of its own.
  private func isByLooks(_ earlier: Hop, _ later: Hop) -> Bool {
    source(later).proxy == .squid && source(later).own == 0 && !destination(earlier).isUpstreamLoopback
  }

  private func forEachPairAtSquid(_ take: (Pair, _ isWitness: Bool) -> Void) {
    for end in ins where earlier[Int(end.hop)] >= 0 && !marks[Int(end.hop)].contains(.isClaimed) {
      let (from, to) = (hops[Int(earlier[Int(end.hop)])], hops[Int(end.hop)])
      guard isByLooks(from, to) else { continue }
      // Where no byte came back, the two may have nothing in common but how long they lasted.
      let hasEqualPorts = from.localPort != 0 && from.localPort == to.sourcePort
      take(pair(from, to, Int(end.hop)), to.received > 0 || hasEqualPorts)
    }
  }

  private func pair(_ earlier: Hop, _ later: Hop, _ number: Int) -> Pair {
    let to = source(later)
    var group = Mixer()
    group.add(UInt64(UInt32(bitPattern: to.client)) << 32 | UInt64(UInt32(bitPattern: to.pod)))
    group.add(to.pod == 0 ? to.log : 0)
    return Pair(
      group: group.value, at: later.startedAtMs, host: traits.clusterHosts[Int(earlier.destination)],
      address: destination(earlier).upstream, number: Int32(truncatingIfNeeded: number))
  }

  /// Asks the witnesses of the same client and log from `JoinLimits.witnessReachMs` before each pair until as long after it.
  private func testify(_ witnesses: [Pair], of pairs: [Pair], _ take: (Pair, Testimony) -> Void) {
    func isBefore(_ one: Pair, _ other: Pair) -> Bool { (one.group, one.at) < (other.group, other.at) }
    let witnesses = witnesses.sorted(by: isBefore)
    var (first, end) = (0, 0)
    var places = Places()
    for pair in pairs.sorted(by: isBefore) {
      let (from, through) = (pair.at.plus(-JoinLimits.witnessReachMs), pair.at.plus(JoinLimits.witnessReachMs))
      while end < witnesses.count, (witnesses[end].group, witnesses[end].at) <= (pair.group, through) {
        places.add(witnesses[end])
        end += 1
      }
      while first < end, (witnesses[first].group, witnesses[first].at) < (pair.group, from) {
        places.remove(witnesses[first])
        first += 1
      }
      take(pair, Testimony(agreeing: places.count(agreeingWith: pair), all: end - first))
    }
  }

  /// Where the witnesses of a stretch of time lead.
  private struct Places {
    private var counts: [UInt64: Int] = [:]

    private static func key(_ pair: Pair) -> UInt64 {
      UInt64(UInt32(bitPattern: pair.host)) << 32 | UInt64(UInt32(bitPattern: pair.address))
    }

    mutating func add(_ pair: Pair) { counts[Places.key(pair), default: 0] += 1 }

    mutating func remove(_ pair: Pair) {
      let key = Places.key(pair)
      guard let count = counts[key] else { return }
      counts[key] = count > 1 ? count - 1 : nil
    }

    /// One proxy has several addresses under one name, or several names at one address.
    func count(agreeingWith pair: Pair) -> Int {
      // So many have nothing in common.
      guard counts.count <= JoinLimits.crowd else { return 0 }
      return counts.reduce(0) { sum, place in
        let host = Int32(truncatingIfNeeded: place.key >> 32)
        let address = Int32(truncatingIfNeeded: place.key)
        return sum + ((host != 0 && host == pair.host) || address == pair.address ? place.value : 0)
      }
    }
  }
}
