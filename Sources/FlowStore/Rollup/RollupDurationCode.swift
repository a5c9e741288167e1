/// Writes the durations of one destination.
struct RollupDurationWriter {
  private(set) var bytes = RollupBytes()
  private let scale: RollupScale

  init(_ scale: RollupScale) { self.scale = scale }

  mutating func begin() { bytes.removeAll() }

  /// Three varints, a kind and three numbers.
  private static let mostOfHead = 3 * 10 + 1 + 3 * 8

  @inline(__always)
  private static func put(
    _ entry: RollupDurations, count: UInt64, _ scale: RollupScale, at place: inout UnsafeMutableRawPointer
  ) {
    place.put(varint: UInt64(bitPattern: entry.outcome))
    place.put(byte: entry.kind)
    place.put(varint: UInt64(bitPattern: entry.source))
    place.put(varint: count)
    place.put(entry.firstMs &- scale.firstMs, scale.timeBytes)
    if count > 1 { place.put(entry.lastMs &- scale.firstMs, scale.timeBytes) }
    place.put(entry.example &- scale.firstFlow, scale.flowBytes)
  }

  /// The same of a single duration.
  mutating func append(_ entry: RollupDurations, single duration: Int64) {
    bytes.write(atMost: RollupDurationWriter.mostOfHead + 10) { place in
      RollupDurationWriter.put(entry, count: 1, scale, at: &place)
      place.put(varint: UInt64(min(max(duration, 0), Histogram.maxValue)))
    }
  }

  mutating func append(_ entry: RollupDurations, _ durations: RollupHistogram) {
    let scale = scale
    bytes.write(atMost: RollupDurationWriter.mostOfHead + 10 * RollupCode.mostValues) { place in
      RollupDurationWriter.put(entry, count: durations.count, scale, at: &place)
      var before: Int64 = 0
      durations.forEachValue { value in
        place.put(varint: UInt64(value - before))
        before = value
      }
    }
    guard durations.hasBuckets else { return }
    bytes.varint(durations.sum)
    bytes.varint(durations.min)
    bytes.varint(durations.max - durations.min)
    var before = Histogram.bucket(of: durations.min)
    durations.forEachBucket { bucket, count in
      bytes.write(atMost: 2 * 10) { place in
        place.put(varint: UInt64(bucket - before))
        place.put(varint: count)
      }
      before = bucket
    }
  }
}

/// Durations on their way into a rollup: single values while they are few, buckets afterwards. Made once and used again.
struct RollupHistogram {
  private(set) var count: UInt64 = 0
  private(set) var sum: UInt64 = 0
  private(set) var min: Int64 = .max
  private(set) var max: Int64 = -1
  /// Sorted, as long as there are no buckets.
  private var few = [Int64](repeating: 0, count: RollupCode.mostValues)
  private(set) var hasBuckets = false
  private var buckets = [UInt64](repeating: 0, count: Histogram.bucketCount)

  mutating func removeAll() {
    if hasBuckets, max >= min {
      for bucket in Histogram.bucket(of: min)...Histogram.bucket(of: max) { buckets[bucket] = 0 }
    }
    hasBuckets = false
    (count, sum, min, max) = (0, 0, .max, -1)
  }

  @inline(__always)
  mutating func add(_ duration: Int64) {
    let value = Swift.min(Swift.max(duration, 0), Histogram.maxValue)
    sum &+= UInt64(value)
    min = Swift.min(min, value)
    max = Swift.max(max, value)
    if !hasBuckets {
      if count < UInt64(RollupCode.mostValues) { return insert(value) }
      spread()
    }
    count += 1
    buckets[Histogram.bucket(of: value)] += 1
  }

  private mutating func insert(_ value: Int64) {
    var place = Int(count)
    while place > 0, few[place - 1] > value {
      few[place] = few[place - 1]
      place -= 1
    }
    few[place] = value
    count += 1
  }

  private mutating func spread() {
    for value in few[..<Int(count)] { buckets[Histogram.bucket(of: value)] += 1 }
    hasBuckets = true
  }

  /// From the least on; none where there are buckets.
  func forEachValue(_ body: (Int64) -> Void) {
    guard !hasBuckets else { return }
    for value in few[..<Int(count)] { body(value) }
  }

  func forEachBucket(_ body: (Int, UInt64) -> Void) {
    for bucket in Histogram.bucket(of: min)...Histogram.bucket(of: max) where buckets[bucket] > 0 {
      body(bucket, buckets[bucket])
    }
  }

  /// Of an entry that was written as buckets; false where they cannot have been.
  mutating func add(_ reader: inout RollupDurationReader) -> Bool {
    reader.forEach(value: { add($0) }) { sum, least, most, pairs in
      if !hasBuckets { spread() }
      self.sum &+= sum
      min = Swift.min(min, least)
      max = Swift.max(max, most)
      while let (bucket, count) = pairs() {
        buckets[bucket] &+= count
        self.count &+= count
      }
    }
  }
}

/// Reads the durations of one destination.
struct RollupDurationReader {
  private var reader: RollupReader
  private let scale: RollupScale
  private(set) var entry = RollupDurations()
  private(set) var count: UInt64 = 0

  init(_ block: UnsafeRawBufferPointer, _ scale: RollupScale) {
    reader = RollupReader(block)
    self.scale = scale
  }

  var isBroken: Bool { reader.isBroken }

  /// Moves to the next entry, whose durations are to be read before the one after it.
  mutating func next() -> Bool {
    guard !reader.isAtEnd else { return false }
    entry.outcome = reader.varint()
    entry.kind = reader.byte() & UInt8(JourneyPlaces.kinds - 1)
    entry.source = reader.varint()
    count = UInt64(bitPattern: reader.varint())
    entry.firstMs = scale.firstMs &+ Int64(bitPattern: reader.fixed(scale.timeBytes))
    entry.lastMs = count == 1 ? entry.firstMs : scale.firstMs &+ Int64(bitPattern: reader.fixed(scale.timeBytes))
    entry.example = scale.firstFlow &+ Int64(bitPattern: reader.fixed(scale.flowBytes))
    return count > 0 && !reader.isBroken
  }

  /// What stands before the buckets of an entry.
  private struct Ends {
    var sum: UInt64
    var least, most: Int64
    /// The last bucket that was read, and the last there can be.
    var bucket, lastBucket: Int64
    /// Durations whose buckets are not read yet.
    var left: UInt64
  }

  private var hasBuckets: Bool { count > UInt64(RollupCode.mostValues) }

  /// nil where the bytes make no sense.
  @inline(__always)
  private mutating func ends() -> Ends? {
    let sum = UInt64(bitPattern: reader.varint())
    let least = reader.varint()
    let width = reader.varint()
    guard !reader.isBroken, least >= 0, least <= Histogram.maxValue, width >= 0, width <= Histogram.maxValue - least
    else { return nil }
    return Ends(
      sum: sum, least: least, most: least + width, bucket: Int64(Histogram.bucket(of: least)),
      lastBucket: Int64(Histogram.bucket(of: least + width)), left: count)
  }

  /// The next bucket, at most `lastBucket`, and what is in it; nil where the bytes make no sense.
  @inline(__always)
  private mutating func bucket(_ ends: inout Ends) -> (bucket: Int, count: UInt64)? {
    guard !reader.isAtEnd else { return nil }
    ends.bucket &+= reader.varint()
    let amount = UInt64(bitPattern: reader.varint())
    guard ends.bucket >= 0, ends.bucket <= ends.lastBucket, amount > 0, amount <= ends.left, !reader.isBroken
    else { return nil }
    ends.left -= amount
    return (Int(ends.bucket), amount)
  }

  /// The next of durations that stand one by one, the last of which was `last`.
  @inline(__always)
  private mutating func value(_ last: inout Int64) -> Bool {
    guard !reader.isAtEnd else { return false }
    last &+= reader.varint()
    return !reader.isBroken
  }

  /// Reads on over the entry's durations: one by one, or as sum, least, most, and pairs of bucket and count. False where the
  /// bytes make no sense.
  mutating func forEach(
    value: (Int64) -> Void, buckets: (UInt64, Int64, Int64, () -> (Int, UInt64)?) -> Void
  ) -> Bool {
    guard hasBuckets else {
      var last: Int64 = 0
      for _ in 0..<count {
        guard self.value(&last) else { return false }
        value(last)
      }
      return true
    }
    guard var ends = ends() else { return false }
    var isGood = true
    buckets(ends.sum, ends.least, ends.most) {
      guard ends.left > 0, isGood else { return nil }
      let next = bucket(&ends)
      isGood = next != nil
      return next
    }
    return isGood && ends.left == 0
  }

  /// Reads on over the entry's durations; false where the bytes make no sense.
  mutating func skip() -> Bool {
    forEach(value: { _ in }) { _, _, _, pairs in while pairs() != nil {} }
  }

  /// Adds the entry's durations; false where the bytes make no sense, and then some may have been added.
  mutating func add(to histogram: inout OpenHistogram) -> Bool {
    guard hasBuckets else {
      var last: Int64 = 0
      for _ in 0..<count {
        guard value(&last) else { return false }
        histogram.add(last)
      }
      return true
    }
    guard var ends = ends() else { return false }
    histogram.note(count, sum: ends.sum, ends.least, ends.most)
    while ends.left > 0 {
      guard let (bucket, count) = bucket(&ends) else { return false }
      histogram.add(count, to: bucket)
    }
    return true
  }
}
