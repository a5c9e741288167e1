internal import Flows

/// Chains of joined hops, named by the content of their first.
struct Journeys {
  let hops: [Hop]
  let traits: HopTraits
  let links: JoinLinks

  func journeys(from: Int64, until: Int64) -> [JoinedHop] {
    var joined: [JoinedHop] = []
    // Room that is not written to takes no memory.
    joined.reserveCapacity(hops.count)
    // Of each first hop, once it is known; 0 for unknown.
    var digests = [UInt64](repeating: 0, count: hops.count)
    for index in hops.indices {
      guard isTold(index) else { continue }
      let mark = links.marks[index]
      let hop = hops[index]
      guard hop.startedAtMs >= from, hop.startedAtMs < until else { continue }
      var place: JourneyPlace = []
      if mark.contains(.isUnaccounted) { place.insert(.isUnaccounted) }
      if mark.contains(.isFromSidecar) {
        // At the SNI proxy a sidecar's connection is one that went past the gateway: no proof of a way, but the contrary.
        let isAtSNIProxy = traits.sources[Int(hop.source)].proxy == .nginxStream
        place.insert(isAtSNIProxy ? .hasClaimedEarlier : .isFromSidecar)
      }
      guard links.earlier[index] >= 0 || mark.contains(.hasLater) else {
        joined.append(JoinedHop(flow: hop.flow, journey: 0, place: place))
        continue
      }
      var first = index
      var length = 1
      while links.earlier[first] >= 0, length <= JoinLimits.longestChain {
        first = Int(links.earlier[first])
        length += 1
      }
      // A circle is no way.
      guard length <= JoinLimits.longestChain else { continue }
      if first != index {
        // At the SNI proxy only a gateway before it shows that the way was the right one: a sidecar there went past it.
        let before = hops[Int(links.earlier[index])]
        let isPastGateway =
          traits.sources[Int(hop.source)].proxy == .nginxStream && !traits.sources[Int(before.source)].isGateway
        place.insert(mark.contains(.isClaimed) || isPastGateway ? .hasClaimedEarlier : .hasEarlier)
      }
      if mark.contains(.hasLater) { place.insert(.hasLater) }
      if mark.contains(.isRepeated) { place.insert(.isRepeated) }
      if digests[first] == 0 { digests[first] = digest(hops[first]) }
      joined.append(
        JoinedHop(
          flow: hop.flow, journey: digests[first], place: place, sender: first == index ? 0 : sender(index, first)))
    }
    return joined
  }

  /// The source of `first`, where a proxy stands between it and `index`; 0 where none does, or where a request id alone joins
  /// two of the hops, which a client can write.
  private func sender(_ index: Int, _ first: Int) -> Int32 {
    let source = hops[first].source
    let before = traits.sources[Int(hops[Int(links.earlier[index])].source)]
    guard before.receives || traits.isLoopback(hops[index]), source != hops[index].source else { return 0 }
    var hop = index
    while hop != first {
      // nginx logs no request ids: there it is the connection.
      if links.marks[hop].contains(.isClaimed), traits.sources[Int(hops[hop].source)].proxy != .nginxStream { return 0 }
      hop = Int(links.earlier[hop])
    }
    return source
  }

  /// The hop is one of several, or what stands before it was found to be missing.
  @inline(__always) private func isTold(_ index: Int) -> Bool {
    links.earlier[index] >= 0 || !links.marks[index].isDisjoint(with: [.hasLater, .isUnaccounted, .isFromSidecar])
  }

  private func digest(_ hop: Hop) -> UInt64 {
    var mixer = Mixer()
    mixer.add(traits.sourceDigests[Int(hop.source)])
    mixer.add(traits.destinationDigests[Int(hop.destination)])
    mixer.add(hop.startedAtMs)
    mixer.add(hop.durationMs)
    mixer.add(hop.sent)
    mixer.add(hop.received)
    mixer.add(hop.requestHash)
    mixer.add(hop.line)
    mixer.add(UInt64(hop.sourcePort) << 16 | UInt64(hop.localPort))
    // 0 stands for none.
    return max(mixer.value, 1)
  }
}
