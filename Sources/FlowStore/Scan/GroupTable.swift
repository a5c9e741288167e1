/// Groups by their key: an open-addressing table of numbers, and what they number side by side.
struct GroupTable {
  private(set) var entries: [Tally.Group] = []
  private(set) var histograms: [Histogram] = []
  private(set) var ends: [Int64] = []
  /// Numbers of entries plus one; 0 is free.
  private var places: [Int32] = Array(repeating: 0, count: 1024)
  private var lastKey = UInt64.max
  private var lastSlot = 0

  /// Sums stay at the end of the range.
  @inline(__always)
  static func sum(_ one: Int64, _ other: Int64) -> Int64 {
    let (sum, isOver) = one.addingReportingOverflow(other)
    return isOver ? (other > 0 ? .max : .min) : sum
  }

  @inline(__always)
  mutating func slot(of key: UInt64) -> Int {
    if key == lastKey { return lastSlot }
    let mask = places.count - 1
    var place = GroupTable.place(of: key, mask)
    while true {
      let number = places[place]
      if number == 0 { break }
      if entries[Int(number) - 1].key == key {
        lastKey = key
        lastSlot = Int(number) - 1
        return lastSlot
      }
      place = (place + 1) & mask
    }
    return insert(key, at: place)
  }

  @inline(__always)
  private static func place(of key: UInt64, _ mask: Int) -> Int {
    Int(truncatingIfNeeded: (key &* spread) >> 32) & mask
  }

  /// Fibonacci hashing: the product's high bits depend on all bits of the key.
  static let spread: UInt64 = 0x9E37_79B9_7F4A_7C15

  @inline(never)
  private mutating func insert(_ key: UInt64, at place: Int) -> Int {
    entries.append(Tally.Group(key: key))
    places[place] = Int32(entries.count)
    lastKey = key
    lastSlot = entries.count - 1
    // At most half full, so that look-ups stay short.
    if entries.count * 2 > places.count {
      let mask = places.count * 2 - 1
      places = Array(repeating: 0, count: mask + 1)
      for (index, entry) in entries.enumerated() {
        var place = GroupTable.place(of: entry.key, mask)
        while places[place] != 0 { place = (place + 1) & mask }
        places[place] = Int32(index + 1)
      }
    }
    return lastSlot
  }

  @inline(__always)
  mutating func add(startedAtMs: Int64, sent: Int64?, received: Int64?, to slot: Int) {
    entries[slot].add(startedAtMs: startedAtMs, sent: sent, received: received)
  }

  /// A flow of which the duration is measured.
  @inline(__always)
  mutating func note(_ startedAtMs: Int64, _ slot: Int) {
    entries[slot].add(flows: 1, firstMs: startedAtMs, lastMs: startedAtMs)
  }

  @inline(__always)
  mutating func measure(_ duration: Int64, _ slot: Int) {
    while histograms.count < entries.count { histograms.append(Histogram()) }
    histograms[slot].add(duration)
  }

  /// When a flow ended.
  @inline(__always)
  mutating func note(end: Int64, _ slot: Int) {
    while ends.count < entries.count { ends.append(.min) }
    ends[slot] = max(ends[slot], end)
  }

  var sums: GroupSums { GroupSums(groups: GroupList(entries), durations: histograms, ends: ends) }

  mutating func add(_ sums: GroupSums) { add(sums.groups, sums.durations, sums.ends) }

  mutating func add(_ group: Tally.Group) { entries[slot(of: group.key)].add(group) }

  /// - Parameter groups: those whose histograms and ends the others are, or some of these.
  mutating func add<Groups: RandomAccessCollection>(
    _ groups: Groups, _ durations: [Histogram], _ ends: [Int64] = []
  ) where Groups.Element == Tally.Group, Groups.Index == Int {
    for index in groups.indices {
      let group = groups[index]
      let slot = slot(of: group.key)
      entries[slot].add(group)
      if index < durations.count {
        while histograms.count < entries.count { histograms.append(Histogram()) }
        histograms[slot].merge(durations[index])
      }
      if index < ends.count { note(end: ends[index], slot) }
    }
  }

  mutating func add(_ other: GroupTable) {
    if entries.isEmpty {
      self = other
    } else {
      add(other.entries, other.histograms, other.ends)
    }
  }
}

/// Groups that were counted, each once: what a table holds, for those who look nothing up in it.
struct GroupSums {
  var groups = GroupList([])
  /// Of each group, where they are measured.
  var durations: [Histogram] = []
  /// Of each group, where they are asked for.
  var ends: [Int64] = []
  /// Where sources are collected.
  var sources: SourceSets?
}
