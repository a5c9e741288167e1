/// Spreads keys over a table. What a client writes goes into keys, by functions that everybody can read; where a key lies
/// depends on a number of this run's own, so that nobody can make many lie at one place.
enum Spread {
  static let seed = UInt64.random(in: .min ... .max) | 1

  @inline(__always) static func slot(of key: UInt64, _ seed: UInt64, _ mask: Int) -> Int {
    Int(truncatingIfNeeded: (key &* seed) >> 32) & mask
  }
}

/// Hops by a 64-bit key: an open table of keys, with the hops of one key in a chain.
///
/// Filled once, then asked; it is as large as what it holds.
struct KeyIndex {
  /// Key, hop and the rest of the chain side by side: a look-up needs all three.
  struct Entry {
    var key: UInt64
    var hop: Int32
    /// The entry of this key that was added before, -1 for none.
    var next: Int32 = -1
  }

  private var entries: [Entry]
  /// Of each key the entry that was added last, -1 for none. Nothing else, so that many fit into the processor's cache.
  private var heads: [Int32]
  private let seed = Spread.seed
  var isEmpty: Bool { entries.isEmpty }

  init(_ entries: consuming [Entry]) {
    self.entries = entries
    heads = []
    guard !self.entries.isEmpty else { return }
    var size = 16
    while size < self.entries.count * 2 { size *= 2 }
    heads = Array(repeating: -1, count: size)
    let seed = seed
    self.entries.withUnsafeMutableBufferPointer { entries in
      heads.withUnsafeMutableBufferPointer { heads in
        for entry in entries.indices {
          let slot = KeyIndex.slot(
            of: entries[entry].key, seed, UnsafeBufferPointer(entries), UnsafeBufferPointer(heads))
          entries[entry].next = heads[slot]
          heads[slot] = Int32(truncatingIfNeeded: entry)
        }
      }
    }
  }

  /// At most half of `heads` is taken, so the search ends.
  @inline(__always)
  private static func slot(
    of key: UInt64, _ seed: UInt64, _ entries: UnsafeBufferPointer<Entry>, _ heads: UnsafeBufferPointer<Int32>
  ) -> Int {
    let mask = heads.count &- 1
    var slot = Spread.slot(of: key, seed, mask)
    while heads[slot] >= 0, entries[Int(heads[slot])].key != key { slot = (slot &+ 1) & mask }
    return slot
  }

  /// Asks as often as `body` likes.
  @inline(__always)
  func ask<Result>(_ body: (Asked) -> Result) -> Result {
    entries.withUnsafeBufferPointer { entries in
      heads.withUnsafeBufferPointer { heads in body(Asked(entries: entries, heads: heads, seed: seed)) }
    }
  }

  /// Valid while `ask` runs. Entries are numbered by the index itself, so all that it follows is inside.
  struct Asked {
    fileprivate let entries: UnsafeBufferPointer<Entry>
    fileprivate let heads: UnsafeBufferPointer<Int32>
    fileprivate let seed: UInt64

    /// The first entry of a key's chain; negative for none.
    @inline(__always) func chain(of key: UInt64) -> Int32 {
      heads.isEmpty ? -1 : heads[KeyIndex.slot(of: key, seed, entries, heads)]
    }

    @inline(__always) func hop(of entry: Int32) -> Int32 { entries[Int(entry)].hop }

    /// The chain that begins with this entry has more than `count`.
    @inline(__always) func isLonger(_ first: Int32, than count: Int) -> Bool {
      var (entry, rest) = (first, count)
      while entry >= 0, rest >= 0 {
        entry = entries[Int(entry)].next
        rest &-= 1
      }
      return rest < 0
    }

    @inline(__always) func forEach(from first: Int32, _ body: (Int32) -> Void) {
      var entry = first
      while entry >= 0 {
        body(entries[Int(entry)].hop)
        entry = entries[Int(entry)].next
      }
    }

    /// Every entry of keys that have more than `count`.
    func entries(ofMoreThan count: Int) -> [Entry] {
      entries.filter { isLonger(chain(of: $0.key), than: count) }
    }
  }
}

/// Tells of most keys that they are not among those added: eight bits per key, of which it sets one.
struct KeyFilter {
  private var bits: [UInt64]
  private let mask: UInt64

  /// - Parameter count: of the keys that will be added, about.
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

  /// Adds the keys of one that was made for as many.
  mutating func formUnion(_ other: KeyFilter) {
    precondition(other.mask == mask)
    for word in bits.indices { bits[word] |= other.bits[word] }
  }

  @inline(__always) func mayHold(_ key: UInt64) -> Bool {
    let bit = key >> 13 & mask
    return bits[Int(bit >> 6)] & 1 << (bit & 63) != 0
  }
}

/// A set of 64-bit keys that are hashes already.
struct KeySet: Sendable {
  /// 0 for none; so a key 0 is taken for 1.
  private var slots: [UInt64] = []
  private var count = 0
  private let seed = Spread.seed

  @inline(__always) private func slot(of key: UInt64) -> Int {
    let mask = slots.count &- 1
    var slot = Spread.slot(of: key, seed, mask)
    while slots[slot] != 0, slots[slot] != key { slot = (slot &+ 1) & mask }
    return slot
  }

  @inline(__always) func contains(_ key: UInt64) -> Bool {
    !slots.isEmpty && slots[slot(of: max(key, 1))] != 0
  }

  mutating func insert(_ key: UInt64) {
    // At most half full, so that the search ends soon.
    if (count + 1) * 2 > slots.count { grow() }
    let key = max(key, 1)
    let slot = slot(of: key)
    if slots[slot] == 0 { count += 1 }
    slots[slot] = key
  }

  mutating func formUnion(_ other: KeySet) {
    for key in other.slots where key != 0 { insert(key) }
  }

  private mutating func grow() {
    let keys = slots
    slots = Array(repeating: 0, count: max(64, keys.count * 2))
    for key in keys where key != 0 { slots[slot(of: key)] = key }
  }
}
