internal import Flows

/// What an earlier hop must share with one of the later ones: the connection, or the request id and the address; where the
/// address connected to a proxy, the address alone.
///
/// Logs of sidecars alone hold next to no later hops, for each line that was refused may be one, and behind a gateway there
/// may be nobody who writes lines; this tells of nearly all other lines that they need not be looked at.
struct Meetings {
  private var keys: KeyFilter
  /// By number of the address: it connected to a gateway or a proxy. These may log no port, and of what reached them it is
  /// asked whether any line of the client could be the hop before.
  private var isAtProxies: [Bool] = []
  /// Some later hops may show how right a clock is.
  private(set) var tellsOfClocks = false

  /// Bits of the filter per key, beyond what `KeyFilter` has: it is asked twice for each of many hops.
  private static let thinning = 4

  init(_ ins: [HopEnd], _ hops: UnsafeBufferPointer<Hop>, _ traits: HopTraits.Tables) {
    func source(_ end: HopEnd) -> HopTraits.SourceTraits { traits.sources[Int(hops[Int(end.hop)].source)] }
    self.init(expecting: ins.count { Meetings.tellOf(source($0)) })
    for end in ins { note(end, source(end)) }
  }

  /// Of no later hops yet.
  /// - Parameter count: how many of them this tells of by their keys, about.
  init(expecting count: Int) { keys = KeyFilter(count: count * 2 * Meetings.thinning) }

  @inline(__always) mutating func note(_ end: HopEnd, _ source: HopTraits.SourceTraits) {
    guard Meetings.tellOf(source) else {
      tellsOfClocks = true
      let address = Int(end.address)
      if address >= isAtProxies.count {
        isAtProxies += repeatElement(false, count: address + 1 - isAtProxies.count)
      }
      isAtProxies[address] = true
      return
    }
    if end.port != 0 { keys.add(Meetings.key(end.address, UInt64(end.port))) }
    if end.requestHash != 0 { keys.add(Meetings.key(end.address, end.requestHash)) }
  }

  /// Adds another that expected as many.
  mutating func add(_ other: Meetings) {
    keys.formUnion(other.keys)
    if other.isAtProxies.count > isAtProxies.count {
      isAtProxies += repeatElement(false, count: other.isAtProxies.count - isAtProxies.count)
    }
    for (address, isAtProxy) in other.isAtProxies.enumerated() where isAtProxy { isAtProxies[address] = true }
    tellsOfClocks = tellsOfClocks || other.tellsOfClocks
  }

  /// All that such a hop is joined with shares a key with it.
  static func tellOf(_ source: HopTraits.SourceTraits) -> Bool { source.proxy == .envoy && !source.isAtProxy }

  @inline(__always) func mayHold(_ out: HopEnd) -> Bool {
    // Numbers of addresses are not negative.
    if Int(out.address) < isAtProxies.count, isAtProxies[Int(out.address)] { return true }
    return (out.port != 0 && keys.mayHold(Meetings.key(out.address, UInt64(out.port))))
      || (out.requestHash != 0 && keys.mayHold(Meetings.key(out.address, out.requestHash)))
  }

  @inline(__always) private static func key(_ address: Int32, _ value: UInt64) -> UInt64 {
    var mixer = Mixer()
    mixer.add(value &+ UInt64(UInt32(bitPattern: address)) << 32)
    return mixer.value
  }
}
