/// Sorts numbers and remembers where each stood; equal ones stay in their order.
final class RadixSorter {
  /// To be filled in; sorted afterwards.
  private(set) var keys: UnsafeMutablePointer<UInt64>
  /// Where each key stood before.
  private(set) var places: UnsafeMutablePointer<UInt32>
  private var otherKeys: UnsafeMutablePointer<UInt64>
  private var otherPlaces: UnsafeMutablePointer<UInt32>
  private var capacity: Int

  init(capacity: Int) {
    self.capacity = capacity
    keys = .allocate(capacity: capacity)
    places = .allocate(capacity: capacity)
    otherKeys = .allocate(capacity: capacity)
    otherPlaces = .allocate(capacity: capacity)
  }

  deinit { deallocate() }

  private func deallocate() {
    keys.deallocate()
    places.deallocate()
    otherKeys.deallocate()
    otherPlaces.deallocate()
  }

  /// Makes room; what was filled in is gone where there was too little.
  func reserve(_ count: Int) {
    guard count > capacity else { return }
    deallocate()
    capacity = count + count / 2
    keys = .allocate(capacity: capacity)
    places = .allocate(capacity: capacity)
    otherKeys = .allocate(capacity: capacity)
    otherPlaces = .allocate(capacity: capacity)
  }

  /// Up to here moving one by one is faster.
  private static let few = 24

  /// Sorts the first `count`, byte by byte from the low end, leaving out the bytes that all have in common.
  func sort(_ count: Int) {
    precondition(count <= capacity)
    guard count > 0 else { return }
    var (keys, places, otherKeys, otherPlaces) = (keys, places, otherKeys, otherPlaces)
    var differing: UInt64 = 0
    for index in 0..<count {
      places[index] = UInt32(truncatingIfNeeded: index)
      differing |= keys[index] ^ keys[0]
    }
    if count <= RadixSorter.few { return insertionSort(count) }
    var begins = [Int](repeating: 0, count: 256)
    for shift in stride(from: UInt64(0), to: 64, by: 8) where differing >> shift & 0xFF != 0 {
      for index in 0..<256 { begins[index] = 0 }
      for index in 0..<count { begins[Int(keys[index] >> shift & 0xFF)] += 1 }
      var sum = 0
      for index in 0..<256 { (begins[index], sum) = (sum, sum + begins[index]) }
      for index in 0..<count {
        let digit = Int(keys[index] >> shift & 0xFF)
        otherKeys[begins[digit]] = keys[index]
        otherPlaces[begins[digit]] = places[index]
        begins[digit] += 1
      }
      swap(&keys, &otherKeys)
      swap(&places, &otherPlaces)
    }
    (self.keys, self.places, self.otherKeys, self.otherPlaces) = (keys, places, otherKeys, otherPlaces)
  }

  /// The same, by places that are filled in as well, and by the low `bits` alone, which are all that differ; equal keys stay in
  /// their order.
  func sort(_ count: Int, bits: Int) {
    precondition(count <= capacity)
    if count <= RadixSorter.few { return insertionSort(count) }
    // Fewer passes where the counting is little beside the moving.
    let most = count < RadixSorter.many ? 8 : 11
    let passes = (bits + most - 1) / most
    guard passes > 0 else { return }
    let width = (bits + passes - 1) / passes
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 1 << width) { begins in
      for pass in 0..<passes { move(count, by: UInt64(pass * width), width, begins) }
    }
  }

  private static let many = 4096

  private func move(_ count: Int, by shift: UInt64, _ width: Int, _ begins: UnsafeMutableBufferPointer<UInt32>) {
    let (keys, places, otherKeys, otherPlaces) = (keys, places, otherKeys, otherPlaces)
    let begins = begins.baseAddress!
    let mask = UInt64(1) << UInt64(width) - 1
    begins.update(repeating: 0, count: 1 << width)
    for index in 0..<count { begins[Int(keys[index] >> shift & mask)] &+= 1 }
    var sum: UInt32 = 0
    for digit in 0..<1 << width { (begins[digit], sum) = (sum, sum &+ begins[digit]) }
    for index in 0..<count {
      let digit = Int(keys[index] >> shift & mask)
      let place = Int(begins[digit])
      otherKeys[place] = keys[index]
      otherPlaces[place] = places[index]
      begins[digit] &+= 1
    }
    swap(&self.keys, &self.otherKeys)
    swap(&self.places, &self.otherPlaces)
  }

  private func insertionSort(_ count: Int) {
    let (keys, places) = (keys, places)
    for index in 1..<max(count, 1) {
      let (key, place) = (keys[index], places[index])
      var free = index
      while free > 0, keys[free - 1] > key {
        keys[free] = keys[free - 1]
        places[free] = places[free - 1]
        free -= 1
      }
      keys[free] = key
      places[free] = place
    }
  }
}
