/// Groups by their key: an open-addressing table of numbers, and what they number, in chunks that stay where they are.
struct PartTable {
  private static let chunkBits = 8
  private static let chunkLength = 1 << chunkBits
  /// Where flows are told apart by all that a report shows, two or three of them are of one group.
  private static let flowsPerPlace = 2

  private(set) var count = 0
  /// Numbers of groups plus one; 0 is free.
  private var places: UnsafeMutablePointer<Int32>
  private var mask: Int
  private var chunks: UnsafeMutablePointer<UnsafeMutablePointer<Tally.Group>>
  private var chunkRoom: Int

  init() {
    mask = 255
    places = .allocate(capacity: mask + 1)
    places.initialize(repeating: 0, count: mask + 1)
    chunkRoom = 16
    chunks = .allocate(capacity: chunkRoom)
  }

  /// Makes room for the groups of so many flows, while there are none yet, as far as that can be guessed.
  mutating func prepare(forFlows flows: Int) {
    guard count == 0 else { return }
    let wanted = min(flows / PartTable.flowsPerPlace, 1 << 20)
    while mask < wanted { mask = 4 * mask + 3 }
    places.deallocate()
    places = .allocate(capacity: mask + 1)
    places.initialize(repeating: 0, count: mask + 1)
  }

  /// It holds nothing then, and can take nothing more.
  mutating func deallocate() {
    guard chunkRoom > 0 else { return }
    for chunk in 0..<(count + PartTable.chunkLength - 1) >> PartTable.chunkBits { chunks[chunk].deallocate() }
    chunks.deallocate()
    places.deallocate()
    (count, chunkRoom) = (0, 0)
  }

  /// - Parameter slot: below `count`.
  @inline(__always)
  subscript(slot: Int) -> Tally.Group {
    unsafeAddress { UnsafePointer(address(slot)) }
    unsafeMutableAddress { address(slot) }
  }

  /// In bounds: there is a chunk for each slot below `count`.
  @inline(__always)
  private func address(_ slot: Int) -> UnsafeMutablePointer<Tally.Group> {
    assert(slot >= 0 && slot < count)
    return chunks[slot >> PartTable.chunkBits] + (slot & (PartTable.chunkLength - 1))
  }

  /// The group at the place of a key, which may be another one's; negative where there is none.
  @inline(__always)
  func firstSlot(of key: UInt64) -> Int {
    Int(places[Int(truncatingIfNeeded: (key &* GroupTable.spread) >> 32) & mask]) - 1
  }

  /// - Parameter hash: of the key.
  @inline(__always)
  mutating func slot(of key: UInt64, _ hash: UInt64) -> Int {
    var place = Int(truncatingIfNeeded: hash >> 32) & mask
    while true {
      // In bounds: the mask is one less than the number of places, of which half are free.
      let slot = Int(places[place]) - 1
      if slot < 0 { break }
      if address(slot).pointee.key == key { return slot }
      place = (place + 1) & mask
    }
    return insert(key, at: place)
  }

  @inline(never)
  private mutating func insert(_ key: UInt64, at place: Int) -> Int {
    if count & (PartTable.chunkLength - 1) == 0 { addChunk() }
    let slot = count
    count += 1
    address(slot).initialize(to: Tally.Group(key: key))
    places[place] = Int32(slot + 1)
    // At most half full, so that look-ups stay short.
    if count * 2 > mask { widen() }
    return slot
  }

  private mutating func addChunk() {
    let number = count >> PartTable.chunkBits
    if number == chunkRoom {
      let wider = UnsafeMutablePointer<UnsafeMutablePointer<Tally.Group>>.allocate(capacity: 2 * chunkRoom)
      wider.initialize(from: chunks, count: chunkRoom)
      chunks.deallocate()
      (chunks, chunkRoom) = (wider, 2 * chunkRoom)
    }
    (chunks + number).initialize(to: .allocate(capacity: PartTable.chunkLength))
  }

  private mutating func widen() {
    places.deallocate()
    mask = 4 * mask + 3
    places = .allocate(capacity: mask + 1)
    places.initialize(repeating: 0, count: mask + 1)
    for slot in 0..<count {
      var place = Int(truncatingIfNeeded: (address(slot).pointee.key &* GroupTable.spread) >> 32) & mask
      while places[place] != 0 { place = (place + 1) & mask }
      places[place] = Int32(slot + 1)
    }
  }

  /// Copies all groups to `target`, which has room for `count`.
  func initialize(_ target: UnsafeMutablePointer<Tally.Group>) {
    for begin in stride(from: 0, to: count, by: PartTable.chunkLength) {
      (target + begin).initialize(from: address(begin), count: min(PartTable.chunkLength, count - begin))
    }
  }
}
