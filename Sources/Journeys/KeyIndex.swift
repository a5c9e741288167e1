/// Hops by a 64-bit key: an open table of keys, with the hops of one key in a chain.
///
/// Filled first, sealed once, then asked; it is as large as what was added.
struct KeyIndex {
  private var keys: [UInt64] = []
  private var hops: [Int32] = []
  private var next: [Int32] = []
  /// Of each key the entry that was added last, -1 for none. Nothing else, so that many fit into the processor's cache.
  private var heads: [Int32] = []
  private var mask = 0
  var isEmpty: Bool { hops.isEmpty }

  /// - Parameter count: of the hops that will be added, at most.
  init(reserving count: Int) {
    keys.reserveCapacity(count)
    hops.reserveCapacity(count)
  }

  @inline(__always) mutating func add(_ hop: Int32, _ key: UInt64) {
    keys.append(key)
    hops.append(hop)
  }

  mutating func seal() {
    var size = 16
    while size < hops.count * 2 { size *= 2 }
    mask = size - 1
    heads = Array(repeating: -1, count: size)
    next = Array(repeating: -1, count: hops.count)
    for entry in hops.indices {
      let slot = slot(of: keys[entry])
      next[entry] = heads[slot]
      heads[slot] = Int32(truncatingIfNeeded: entry)
    }
  }

  @inline(__always) private func slot(of key: UInt64) -> Int {
    var slot = Int(truncatingIfNeeded: key ^ key >> 32) & mask
    while heads[slot] >= 0, keys[Int(heads[slot])] != key { slot = (slot + 1) & mask }
    return slot
  }

  /// The first entry of a key's chain; negative for none.
  @inline(__always) func chain(of key: UInt64) -> Int32 { heads[slot(of: key)] }

  /// The chain that begins with this entry has more than `count`.
  @inline(__always) func isLonger(_ first: Int32, than count: Int) -> Bool {
    var (entry, rest) = (first, count)
    while entry >= 0, rest >= 0 {
      entry = next[Int(entry)]
      rest -= 1
    }
    return rest < 0
  }

  @inline(__always) func forEach(from first: Int32, _ body: (Int32) -> Void) {
    var entry = first
    while entry >= 0 {
      body(hops[Int(entry)])
      entry = next[Int(entry)]
    }
  }

  /// Every hop with its key, of keys that have more than `count`.
  func forEachEntry(ofMoreThan count: Int, _ body: (_ hop: Int32, _ key: UInt64) -> Void) {
    for entry in hops.indices where isLonger(chain(of: keys[entry]), than: count) { body(hops[entry], keys[entry]) }
  }
}

/// Tells of most keys that they are not among those added: eight bits per key, of which it sets one.
struct KeyFilter {
  private var bits: [UInt64]
  private let mask: UInt64

  init(count: Int) {
    var size = 64
    while size < count * 8 { size *= 2 }
    bits = Array(repeating: 0, count: size / 64)
    mask = UInt64(size - 1)
  }

  @inline(__always) mutating func add(_ key: UInt64) {
    let bit = key >> 13 & mask
    bits[Int(bit >> 6)] |= 1 << (bit & 63)
  }

  @inline(__always) func mayHold(_ key: UInt64) -> Bool {
    let bit = key >> 13 & mask
    return bits[Int(bit >> 6)] & 1 << (bit & 63) != 0
  }
}
