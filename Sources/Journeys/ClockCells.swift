/// What is known of two clocks in a minute.
struct Skew {
  /// Stands for unknown.
  static let none = Int32.min
  /// The later log's clock minus the earlier's, transit included.
  var ms = Skew.none
  /// As `ms`, by fewer pairs, which agree: enough to choose between candidates, not enough to refuse one.
  var hint = Skew.none
  /// Requests were joined by their ids: this gateway keeps them, at the port it was reached at (0 for any).
  private var keepsIDs = false
  private var portKeepingIDs: UInt16 = 0
  /// The pairs that it was learned from, and the hops of one of them.
  var samples: Int32 = 0
  var example: (earlier: Int32, later: Int32) = (-1, -1)

  mutating func noteKeptID(at port: UInt16) {
    portKeepingIDs = !keepsIDs || portKeepingIDs == port ? port : 0
    keepsIDs = true
  }

  func keepsIDs(at port: UInt16) -> Bool { keepsIDs && (portKeepingIDs == 0 || portKeepingIDs == port) }
}

/// Pairs of clocks, minute by minute, by the hash of both: a number for each, and what is known of it.
struct ClockCells {
  struct Key: Equatable {
    /// A hash of both clocks.
    var clocks: UInt64
    /// Unix time in minutes.
    var minute: Int64
  }

  private(set) var skews: [Skew] = []
  private var keys: [Key] = []
  private var places: [Int32] = Array(repeating: -1, count: 1024)

  /// Pairs come in the order of time. So the cells of a minute are looked for side by side first, where the processor's
  /// cache has them, and where all may be when that place is taken.
  @inline(__always) private func place(of key: Key) -> Int {
    let mask = places.count - 1
    var place = Int(truncatingIfNeeded: UInt64(bitPattern: key.minute) << 9 &+ key.clocks >> 55) & mask
    if places[place] < 0 || keys[Int(places[place])] == key { return place }
    place = Int(truncatingIfNeeded: (key.clocks ^ UInt64(bitPattern: key.minute)) &* 0x9E37_79B9_7F4A_7C15 >> 32) & mask
    while places[place] >= 0, keys[Int(places[place])] != key { place = (place + 1) & mask }
    return place
  }

  /// Gives each pair the number of its cell, made where there is none.
  @inline(__always)
  mutating func number(_ edges: inout [JoinEdge], _ key: (JoinEdge) -> Key) {
    reserve(keys.count + min(edges.count, ClockCells.mostReserved))
    edges.withUnsafeMutableBufferPointer { edges in
      for index in edges.indices {
        let key = key(edges[index])
        let place = place(of: key)
        edges[index].clocks = places[place] >= 0 ? places[place] : add(key, at: place)
      }
    }
  }

  /// Pods are many, and what one asks for in a minute is little: often every second pair has a cell of its own.
  private static let mostReserved = 1 << 15

  /// Makes room for so many cells in all.
  private mutating func reserve(_ count: Int) {
    guard count * 2 > places.count else { return }
    keys.reserveCapacity(count)
    skews.reserveCapacity(count)
    var size = places.count
    while size < count * 2 { size *= 2 }
    spread(over: size)
  }

  private mutating func spread(over size: Int) {
    places = Array(repeating: -1, count: size)
    for index in keys.indices { places[self.place(of: keys[index])] = Int32(truncatingIfNeeded: index) }
  }

  /// What is known of all cells, by their numbers.
  @inline(__always)
  mutating func withSkews(_ body: (UnsafeMutableBufferPointer<Skew>) -> Void) {
    skews.withUnsafeMutableBufferPointer { body($0) }
  }

  @inline(never) private mutating func add(_ key: Key, at place: Int) -> Int32 {
    let number = Int32(truncatingIfNeeded: keys.count)
    keys.append(key)
    skews.append(Skew())
    places[place] = number
    // At most half full, so that look-ups stay short.
    if keys.count * 2 > places.count { spread(over: places.count * 2) }
    return number
  }

  func skew(of key: Key) -> Skew {
    let place = place(of: key)
    return places[place] >= 0 ? skews[Int(places[place])] : Skew()
  }

  @inline(__always) subscript(_ number: Int32) -> Skew {
    get { skews[Int(number)] }
    _modify { yield &skews[Int(number)] }
  }
}
