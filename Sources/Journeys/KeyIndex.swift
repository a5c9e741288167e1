/// Hops by a 64-bit key: an open table of keys, with the hops of one key in a chain.
struct KeyIndex {
  private var keys: [UInt64]
  private var heads: [Int32]
  private var counts: [Int32]
  private var next: [Int32] = []
  private var hops: [Int32] = []
  private let mask: Int

  /// - Parameter count: of the hops that will be added, at most.
  init(count: Int) {
    var size = 16
    while size < count * 2 { size *= 2 }
    keys = Array(repeating: 0, count: size)
    heads = Array(repeating: -1, count: size)
    counts = Array(repeating: 0, count: size)
    mask = size - 1
    next.reserveCapacity(count)
    hops.reserveCapacity(count)
  }

  @inline(__always) private func slot(of key: UInt64) -> Int {
    var slot = Int(truncatingIfNeeded: key ^ key >> 32) & mask
    while heads[slot] >= 0, keys[slot] != key { slot = (slot + 1) & mask }
    return slot
  }

  mutating func add(_ hop: Int32, _ key: UInt64) {
    let slot = slot(of: key)
    keys[slot] = key
    next.append(heads[slot])
    heads[slot] = Int32(hops.count)
    counts[slot] += 1
    hops.append(hop)
  }

  func count(of key: UInt64) -> Int { Int(counts[slot(of: key)]) }

  @inline(__always) func forEach(_ key: UInt64, _ body: (Int32) -> Void) {
    var entry = heads[slot(of: key)]
    while entry >= 0 {
      body(hops[Int(entry)])
      entry = next[Int(entry)]
    }
  }
}
