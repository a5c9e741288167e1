internal import Flows

/// What an earlier hop must share with one of the later ones: the connection, or the request id and the address.
///
/// Logs of sidecars alone hold next to no later hops, for each line that was refused may be one; this tells of nearly all
/// other lines that they need not be looked at.
struct Meetings {
  private var keys: KeyFilter

  /// Bits of the filter per key, beyond what `KeyFilter` has: it is asked twice for each of many hops.
  private static let thinning = 4

  /// - Parameter ins: the later hops.
  /// - Returns: nil where a hop may be looked at for another reason: nginx and Squid may log no port, and of what reached
  ///   a proxy it is asked whether any line of its client could be the hop before.
  init?(_ ins: [Int32], _ hops: [Hop], _ traits: HopTraits) {
    keys = KeyFilter(count: ins.count * 2 * Meetings.thinning)
    for index in ins {
      let hop = hops[Int(index)]
      let source = traits.sources[Int(hop.source)]
      guard source.proxy == .envoy, !source.isAtProxy else { return nil }
      if hop.sourcePort != 0 { keys.add(Meetings.key(source.client, UInt64(hop.sourcePort))) }
      if hop.requestHash != 0 { keys.add(Meetings.key(source.client, hop.requestHash)) }
    }
  }

  /// - Parameter address: where the hop dialled out.
  @inline(__always) func mayHold(_ hop: Hop, _ address: Int32) -> Bool {
    (hop.localPort != 0 && keys.mayHold(Meetings.key(address, UInt64(hop.localPort))))
      || (hop.requestHash != 0 && keys.mayHold(Meetings.key(address, hop.requestHash)))
  }

  @inline(__always) private static func key(_ address: Int32, _ value: UInt64) -> UInt64 {
    var mixer = Mixer()
    mixer.add(value &+ UInt64(UInt32(bitPattern: address)) << 32)
    return mixer.value
  }
}
