internal import CLanes
internal import Glibc

/// Gives each distinct key a small number, in the order of first sight.
///
/// Open addressing, linear probing, half full at most. An entry remembers the whole hash and where the key's bytes lie in an
/// arena, so a look-up that hits costs one cache line of the table and one comparison with the arena. Nothing is allocated
/// for a key that is known. When the arena or the table would outgrow its bound, the interner starts anew (`restart`):
/// memory stays bounded whatever clients invent, and the store resolves the repeated entries.
struct Interner: ~Copyable {
  private var table: UnsafeMutablePointer<lanes_entry>
  private var mask: Int
  private(set) var count = 0
  private var arena: UnsafeMutablePointer<UInt8>
  private var arenaUsed = 0
  /// Some 20,000 keys. Of what none of them reaches the system gives no memory.
  private var arenaCapacity = 4 << 20
  let maxCount: Int
  let maxArena: Int

  init(capacity: Int = 1 << 12, maxCount: Int = 1 << 19, maxArena: Int = 32 << 20) {
    var size = 16
    while size < capacity { size *= 2 }
    table = .allocate(capacity: size)
    table.initialize(repeating: lanes_entry(hash: 0, offset: 0, id: -1), count: size)
    mask = size - 1
    arena = Self.resized(nil, arenaCapacity)
    self.maxCount = maxCount
    self.maxArena = maxArena
  }

  deinit {
    table.deallocate()
    free(arena)
  }

  /// The id of the key, or -1: the slow twin of what the lanes do for a group of lines.
  func find(_ hash: UInt64, _ key: Slice) -> Int32 {
    var index = Int(truncatingIfNeeded: hash >> 20) & mask
    while true {
      let entry = table[index]
      if entry.id < 0 { return -1 }
      if entry.hash == hash, matches(entry.offset, key) { return entry.id }
      index = (index &+ 1) & mask
    }
  }

  /// Tells the lanes where the keys lie; again after each `add`.
  func show(in keys: UnsafeMutablePointer<lanes_keys>) {
    keys.pointee.entries = UnsafePointer(table)
    keys.pointee.mask = UInt64(truncatingIfNeeded: mask)
    keys.pointee.arena = UnsafePointer(arena)
  }

  @inline(__always) private func matches(_ offset: UInt32, _ key: Slice) -> Bool {
    let p = UnsafePointer(arena) + Int(offset)
    let length = Int(UnsafeRawPointer(p).loadUnaligned(as: UInt32.self))
    return length == key.count && Scan.isEqual(p + 4, key.start, length)
  }

  /// The interner has no room for this key within its bounds: the caller restarts it and tells the batch.
  func isFull(for key: Slice) -> Bool {
    count + 1 >= maxCount || arenaUsed + key.count + 4 + Self.longestKey > maxArena
  }

  /// One more key may pass the bound; ids stay valid until the owner restarts.
  var isAlmostFull: Bool { count + 1 >= maxCount || arenaUsed + Self.longestKey > maxArena }
  /// Keys are columns of one line; their sum is below the longest line.
  static let longestKey = 1 << 20

  /// Adds a key that `find` did not find and returns its id.
  mutating func add(_ hash: UInt64, _ key: Slice) -> Int32 {
    while arenaUsed + key.count + 4 > arenaCapacity { growArena() }
    let offset = arenaUsed
    UnsafeMutableRawPointer(arena + offset).storeBytes(of: UInt32(key.count), as: UInt32.self)
    memcpy(arena + offset + 4, key.start, key.count)
    arenaUsed += 4 + key.count
    if (count + 1) * 2 > mask { growTable() }
    let id = Int32(count)
    insert(lanes_entry(hash: hash, offset: UInt32(offset), id: id))
    count += 1
    return id
  }

  /// Forgets all keys; ids start at 0 again.
  mutating func restart() {
    for index in 0...mask { table[index].id = -1 }
    count = 0
    arenaUsed = 0
  }

  private mutating func insert(_ entry: lanes_entry) {
    var index = Int(truncatingIfNeeded: entry.hash >> 20) & mask
    while table[index].id >= 0 { index = (index &+ 1) & mask }
    table[index] = entry
  }

  private mutating func growTable() {
    let old = table
    let oldSize = mask + 1
    table = .allocate(capacity: oldSize * 2)
    table.initialize(repeating: lanes_entry(hash: 0, offset: 0, id: -1), count: oldSize * 2)
    mask = oldSize * 2 - 1
    for index in 0..<oldSize where old[index].id >= 0 { insert(old[index]) }
    old.deallocate()
  }

  private mutating func growArena() {
    arenaCapacity *= 2
    arena = Self.resized(arena, arenaCapacity)
  }

  /// So much memory comes from the system by itself, mostly, which makes room by moving pages instead of copying bytes.
  private static func resized(_ arena: UnsafeMutablePointer<UInt8>?, _ capacity: Int) -> UnsafeMutablePointer<UInt8> {
    guard let memory = realloc(arena, capacity + LineParser.slack) else { fatalError("out of memory") }
    return memory.assumingMemoryBound(to: UInt8.self)
  }
}
