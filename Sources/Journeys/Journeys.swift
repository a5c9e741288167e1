internal import Flows

/// Chains of joined hops, named by the content of their first.
struct Journeys<Links: DecidedHops> {
  let traits: HopTraits
  let links: Links

  /// Those of `hops`, numbered from `base` on, that began at `from..<until` and belong to a journey.
  func journeys(of hops: [Hop], numberedFrom base: Int, from: Int64, until: Int64) -> [JoinedHop] {
    var joined: [JoinedHop] = []
    // Room that is not written to takes no memory.
    joined.reserveCapacity(hops.count)
    for (offset, hop) in hops.enumerated() {
      let index = base + offset
      let mark = links.mark(of: index)
      // The hop is one of several, or what stands before it was found to be missing.
      let isTold =
        links.earlier(than: index) >= 0 || !mark.isDisjoint(with: [.hasLater, .isUnaccounted, .isFromSidecar])
      guard isTold, hop.startedAtMs >= from, hop.startedAtMs < until else { continue }
      var place: JourneyPlace = []
      if mark.contains(.isUnaccounted) { place.insert(.isUnaccounted) }
      if mark.contains(.isFromSidecar) {
        // At the SNI proxy a sidecar's connection is one that went past the gateway: no proof of a way, but the contrary.
        let isAtSNIProxy = traits.sources[Int(hop.source)].proxy == .nginxStream
        place.insert(isAtSNIProxy ? .hasClaimedEarlier : .isFromSidecar)
      }
      guard links.earlier(than: index) >= 0 || mark.contains(.hasLater) else {
        joined.append(JoinedHop(flow: hop.flow, journey: 0, place: place))
        continue
      }
      var first = index
      var length = 1
      while case let before = links.earlier(than: first), before >= 0, length <= JoinLimits.longestChain {
        first = before
        length += 1
      }
      // A circle is no way.
      guard length <= JoinLimits.longestChain else { continue }
      if first != index {
        // At the SNI proxy only a gateway before it shows that the way was the right one: a sidecar there went past it.
        let before = links.source(ofEarlier: links.earlier(than: index))
        let isPastGateway =
          traits.sources[Int(hop.source)].proxy == .nginxStream && !traits.sources[Int(before)].isGateway
        place.insert(mark.contains(.isClaimed) || isPastGateway ? .hasClaimedEarlier : .hasEarlier)
      }
      if mark.contains(.hasLater) { place.insert(.hasLater) }
      if mark.contains(.leadsByLooks) { place.insert(.leadsByLooks) }
      if mark.contains(.isRepeated) { place.insert(.isRepeated) }
      joined.append(
        JoinedHop(
          flow: hop.flow, journey: links.name(ofEarlier: first), place: place,
          sender: first == index ? 0 : sender(hop, index, first)))
    }
    return joined
  }

  /// The source of `first`, where a proxy stands between it and `hop`; 0 where none does, or where a request id alone joins
  /// two of the hops, which a client can write.
  private func sender(_ hop: Hop, _ index: Int, _ first: Int) -> Int32 {
    let source = links.source(ofEarlier: first)
    var next = (source: hop.source, index: index)
    let before = traits.sources[Int(links.source(ofEarlier: links.earlier(than: index)))]
    guard before.receives || traits.isLoopback(hop), source != hop.source else { return 0 }
    while next.index != first {
      // nginx logs no request ids: there it is the connection.
      if links.mark(of: next.index).contains(.isClaimed), traits.sources[Int(next.source)].proxy != .nginxStream {
        return 0
      }
      let before = links.earlier(than: next.index)
      next = (links.source(ofEarlier: before), before)
    }
    return source
  }
}

extension HopTraits {
  /// What the journey that begins with a hop is called.
  func digest(of hop: Hop) -> UInt64 {
    var mixer = Mixer()
    mixer.add(sourceDigests[Int(hop.source)])
    mixer.add(destinationDigests[Int(hop.destination)])
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
