internal import Dispatch

/// Flows added up in groups of which there may be hundreds of thousands, by one thread. The groups are told apart by a part
/// of the key first, and some flows of a part are noted before they are added: the memory of one part's groups is at hand
/// then, and what two threads found is added up on both.
///
/// `@unchecked Sendable`: belongs to one thread until all flows are noted, and then each part to one.
final class GroupParts: @unchecked Sendable {
  static let count = 32

  /// Flows of a part noted before they are added.
  private static let room = 512

  private struct Noted: BitwiseCopyable {
    var key: UInt64
    var startedAtMs: Int64
    /// The lowest number for none.
    var sent, received: Int64
  }

  private let tables: UnsafeMutablePointer<PartTable>
  /// Room for `room` flows of each part; `counts` of them are in use.
  private let noted: UnsafeMutablePointer<Noted>
  private let counts: UnsafeMutablePointer<Int>
  private let durations: DurationParts?

  init(measuringDurations: Bool) {
    noted = .allocate(capacity: GroupParts.count * GroupParts.room)
    counts = .allocate(capacity: GroupParts.count)
    counts.initialize(repeating: 0, count: GroupParts.count)
    tables = .allocate(capacity: GroupParts.count)
    for part in 0..<GroupParts.count { (tables + part).initialize(to: PartTable()) }
    durations = measuringDurations ? DurationParts(count: GroupParts.count) : nil
  }

  deinit {
    for part in 0..<GroupParts.count { tables[part].deallocate() }
    tables.deallocate()
    noted.deallocate()
    counts.deallocate()
    durations?.deallocate()
  }

  @inline(__always)
  func note(_ flow: FlowRecord, _ key: UInt64) {
    let hash = key &* GroupTable.spread
    // The highest bits of what a table looks a key up by the middle of; in bounds, for there are 2^5 parts.
    let part = Int(truncatingIfNeeded: hash >> 59)
    // What stands for none is added at once.
    if durations == nil, flow.sent > .min, flow.received > .min {
      let at = counts[part]
      // In bounds: emptied when full.
      (noted + (part * GroupParts.room + at)).initialize(
        to: Noted(
          key: key, startedAtMs: flow.startedAtMs, sent: flow.hasSent ? flow.sent : .min,
          received: flow.hasReceived ? flow.received : .min))
      counts[part] = at + 1
      if at + 1 == GroupParts.room { empty(part) }
      return
    }
    // Where durations are measured, sources are not told apart, and groups few.
    let slot = tables[part].slot(of: key, hash)
    guard let durations else {
      return tables[part][slot].add(
        startedAtMs: flow.startedAtMs, sent: flow.hasSent ? flow.sent : nil,
        received: flow.hasReceived ? flow.received : nil)
    }
    tables[part][slot].add(flows: 1, firstMs: flow.startedAtMs, lastMs: flow.startedAtMs)
    durations.note(flow.durationMs, part, slot)
  }

  @inline(never)
  private func empty(_ part: Int) {
    let begin = noted + part * GroupParts.room
    let count = counts[part]
    counts[part] = 0
    let table = tables + part
    withUnsafeTemporaryAllocation(of: Int.self, capacity: GroupParts.room) { slots in
      // Looked up before the first is added, so that none waits for another's memory.
      for index in 0..<count { slots[index] = table.pointee.firstSlot(of: begin[index].key) }
      for index in 0..<count {
        let flow = begin[index]
        var slot = slots[index]
        if slot < 0 || table.pointee[slot].key != flow.key {
          slot = table.pointee.slot(of: flow.key, flow.key &* GroupTable.spread)
        }
        table.pointee[slot].add(
          startedAtMs: flow.startedAtMs, sent: flow.sent == .min ? nil : flow.sent,
          received: flow.received == .min ? nil : flow.received)
      }
    }
  }

  /// Adds what is only noted yet.
  /// - Returns: false where there were more flows than can be counted.
  func close() -> Bool {
    for part in 0..<GroupParts.count { empty(part) }
    return durations?.close() ?? true
  }

  /// What several threads found, each group once; their parts are empty then.
  static func joined(_ threads: [GroupParts]) -> GroupSums {
    guard let first = threads.first else { return GroupSums() }
    if threads.count > 1 {
      DispatchQueue.concurrentPerform(iterations: count) { part in
        for other in threads.dropFirst() { first.take(part, of: other) }
      }
    }
    return first.sums
  }

  private func take(_ part: Int, of other: GroupParts) {
    for index in 0..<other.tables[part].count {
      let group = other.tables[part][index]
      let slot = tables[part].slot(of: group.key, group.key &* GroupTable.spread)
      tables[part][slot].add(group)
      if let more = other.durations { durations?.take(part, slot, of: more, index) }
    }
    // Half of the memory is free before the answer takes its own.
    other.tables[part].deallocate()
  }

  /// What all parts hold, written into one array by several threads.
  private var sums: GroupSums {
    var begins = [0]
    for part in 0..<GroupParts.count { begins.append(begins[part] + tables[part].count) }
    var sums = GroupSums()
    func filled<Element>(_ write: @escaping (Int, UnsafeMutablePointer<Element>) -> Void) -> [Element] {
      [Element](unsafeUninitializedCapacity: begins[GroupParts.count]) { elements, count in
        count = begins[GroupParts.count]
        guard count > 0, let base = elements.baseAddress else { return }
        let target = Target(base: base, write: write)
        let begins = begins
        DispatchQueue.concurrentPerform(iterations: GroupParts.count) { part in
          // In bounds: the capacity is the sum of all counts.
          target.write(part, target.base + begins[part])
        }
      }
    }
    sums.groups = filled { self.tables[$0].initialize($1) }
    if let durations { sums.durations = filled { durations.initialize($1, $0, self.tables[$0].count) } }
    return sums
  }

  /// `@unchecked Sendable`: each part is written by one thread, into places of its own.
  private struct Target<Element>: @unchecked Sendable {
    let base: UnsafeMutablePointer<Element>
    let write: (Int, UnsafeMutablePointer<Element>) -> Void
  }
}

/// Groups by their key: an open-addressing table of numbers, and what they number, in chunks that stay where they are.
private struct PartTable {
  private static let chunkBits = 8
  private static let chunkLength = 1 << chunkBits

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
