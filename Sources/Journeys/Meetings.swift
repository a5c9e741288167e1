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
  init?(_ ins: [HopEnd], _ hops: UnsafeBufferPointer<Hop>, _ traits: HopTraits.Tables) {
    self.init(expecting: ins.count)
    for end in ins {
      guard Meetings.tellOf(traits.sources[Int(hops[Int(end.hop)].source)]) else { return nil }
      note(end)
    }
  }

  /// Of no later hops yet, each of which has to be one that this tells of.
  init(expecting count: Int) { keys = KeyFilter(count: count * 2 * Meetings.thinning) }

  @inline(__always) mutating func note(_ end: HopEnd) {
    if end.port != 0 { keys.add(Meetings.key(end.address, UInt64(end.port))) }
    if end.requestHash != 0 { keys.add(Meetings.key(end.address, end.requestHash)) }
  }

  /// Adds another that expected as many.
  mutating func add(_ other: Meetings) { keys.formUnion(other.keys) }

  /// All that such a hop is joined with shares something with it.
  static func tellOf(_ source: HopTraits.SourceTraits) -> Bool { source.proxy == .envoy && !source.isAtProxy }

  @inline(__always) func mayHold(_ out: HopEnd) -> Bool {
    (out.port != 0 && keys.mayHold(Meetings.key(out.address, UInt64(out.port))))
      || (out.requestHash != 0 && keys.mayHold(Meetings.key(out.address, out.requestHash)))
  }

  @inline(__always) private static func key(_ address: Int32, _ value: UInt64) -> UInt64 {
    var mixer = Mixer()
    mixer.add(value &+ UInt64(UInt32(bitPattern: address)) << 32)
    return mixer.value
  }
}
