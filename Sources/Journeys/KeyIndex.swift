/// Hops by a 64-bit key: an open table of keys, with the hops of one key in a chain.
///
/// Filled first, sealed once, then asked; it is as large as what was added.
struct KeyIndex {
  private struct Head {
    var first: Int32 = -1
    var count: Int32 = 0
  }

  private var keys: [UInt64] = []
  private var hops: [Int32] = []
  private var next: [Int32] = []
  private var heads: [Head] = []
  private var mask = 0
  /// Hops of the key that has most.
  private(set) var longest = 0

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
    heads = Array(repeating: Head(), count: size)
    next = Array(repeating: -1, count: hops.count)
    for entry in hops.indices {
      let slot = slot(of: keys[entry])
      next[entry] = heads[slot].first
      heads[slot].first = Int32(truncatingIfNeeded: entry)
      heads[slot].count &+= 1
      longest = max(longest, Int(heads[slot].count))
    }
  }

  @inline(__always) private func slot(of key: UInt64) -> Int {
    var slot = Int(truncatingIfNeeded: key ^ key >> 32) & mask
    while heads[slot].first >= 0, keys[Int(heads[slot].first)] != key { slot = (slot + 1) & mask }
    return slot
  }

  /// The chain of a key: its first entry, negative for none, and how many there are.
  @inline(__always) func chain(of key: UInt64) -> (first: Int32, count: Int32) {
    let head = heads[slot(of: key)]
    return (head.first, head.count)
  }

  @inline(__always) func forEach(from first: Int32, _ body: (Int32) -> Void) {
    var entry = first
    while entry >= 0 {
      body(hops[Int(entry)])
      entry = next[Int(entry)]
    }
  }

  /// Every hop with its key, and how many have that key.
  func forEachEntry(_ body: (_ hop: Int32, _ key: UInt64, _ count: Int32) -> Void) {
    for entry in hops.indices { body(hops[entry], keys[entry], chain(of: keys[entry]).count) }
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
