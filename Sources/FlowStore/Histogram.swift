/// Counts of durations in buckets that are narrow in proportion, so that any percentile is within 1 % of the exact one.
///
/// Values below 128 have a bucket each; above, each power of two is cut into 64 buckets. A bucket is then at most 1/64 of its
/// lower end wide, and its middle at most 0.8 % from any value in it. Two histograms add up bucket by bucket, in any
/// order, to the histogram of all their values. The blob in the store (`encoded`) is sparse: variable-length numbers.
public struct Histogram: Sendable, Equatable {
  /// Values are cut to this, some 35 years of milliseconds.
  public static let maxValue: Int64 = 1 << 40
  static let subBucketBits = 6
  static let exactBits = 7
  static let bucketCount = (1 << exactBits) + (40 - exactBits + 1) << subBucketBits

  private var buckets: [UInt64] = []
  public private(set) var count: UInt64 = 0
  /// Sum of all values; wraps only beyond what 2^24 values of 35 years each would make.
  public private(set) var sum: UInt64 = 0
  public private(set) var min: Int64 = .max
  public private(set) var max: Int64 = -1

  public init() {}

  @inline(__always)
  static func bucket(of value: Int64) -> Int {
    if value < 1 << exactBits { return Int(value) }
    let exponent = 63 - value.leadingZeroBitCount
    let sub = Int(value >> Int64(exponent - subBucketBits)) & (1 << subBucketBits - 1)
    return 1 << exactBits + (exponent - exactBits) << subBucketBits + sub
  }

  /// The middle of a bucket.
  static func middle(of bucket: Int) -> Int64 {
    if bucket < 1 << exactBits { return Int64(bucket) }
    let above = bucket - 1 << exactBits
    let exponent = above >> subBucketBits + exactBits
    let width = Int64(1) << Int64(exponent - subBucketBits)
    let lower = (Int64(1) << Int64(subBucketBits) + Int64(above & (1 << subBucketBits - 1))) * width
    return lower + width / 2
  }

  public mutating func add(_ value: Int64, times: UInt64 = 1) {
    guard times > 0 else { return }
    let value = Swift.min(Swift.max(value, 0), Histogram.maxValue)
    let bucket = Histogram.bucket(of: value)
    if bucket >= buckets.count {
      buckets.append(contentsOf: repeatElement(0, count: bucket + 1 - buckets.count))
    }
    buckets[bucket] &+= times
    count &+= times
    sum &+= UInt64(value) &* times
    min = Swift.min(min, value)
    max = Swift.max(max, value)
  }

  /// Values of which all is known.
  /// - Parameter counts: by bucket, at least to that of `max`.
  init(buckets counts: UnsafeBufferPointer<UInt32>, sum: UInt64, min: Int64, max: Int64) {
    guard max >= 0 else { return }
    buckets = counts[...Histogram.bucket(of: max)].map { UInt64($0) }
    count = buckets.reduce(0, &+)
    (self.sum, self.min, self.max) = (sum, min, max)
  }

  public mutating func merge(_ other: Histogram) {
    guard other.count > 0 else { return }
    if other.buckets.count > buckets.count {
      buckets.append(contentsOf: repeatElement(0, count: other.buckets.count - buckets.count))
    }
    for (index, count) in other.buckets.enumerated() where count > 0 { buckets[index] &+= count }
    count &+= other.count
    sum &+= other.sum
    min = Swift.min(min, other.min)
    max = Swift.max(max, other.max)
  }

  /// Of a sum and ends that are known, and of buckets that hold all values: at least as many as that of `max` needs.
  init(buckets counts: UnsafePointer<UInt64>, count: UInt64, sum: UInt64, min: Int64, max: Int64) {
    guard max >= 0 else { return }
    buckets = Array(UnsafeBufferPointer(start: counts, count: Histogram.bucket(of: max) + 1))
    (self.count, self.sum, self.min, self.max) = (count, sum, min, max)
  }

  /// Adds the buckets to counts that have room for all there can be.
  func add(to counts: UnsafeMutablePointer<UInt64>) {
    for (index, count) in buckets.enumerated() where count > 0 { counts[index] &+= count }
  }

  public var mean: Double? { count == 0 ? nil : Double(sum) / Double(count) }

  /// The value below which `percent` of all lie (nearest rank), within 1 %; nil when there are none.
  public func percentile(_ percent: Double) -> Int64? {
    guard count > 0, !percent.isNaN else { return nil }
    if percent >= 100 { return max }
    // The rank of the value, counting from 1. Rounded before it is rounded up: 99.9 % of 1000 is 999, not 1000.
    let exact = Swift.max(percent, 0) / 100 * Double(count)
    let rank = UInt64(Swift.max((exact - exact.ulp * 4).rounded(.up), 1))
    if rank >= count { return max }
    if rank == 1 { return min }
    var seen: UInt64 = 0
    for (index, count) in buckets.enumerated() {
      seen &+= count
      if seen >= rank { return Swift.min(Swift.max(Histogram.middle(of: index), min), max) }
    }
    return max
  }

  // MARK: The blob

  private static let version: UInt8 = 1

  /// Version, count, sum, min, max, then pairs of (empty buckets skipped, count).
  public var encoded: [UInt8] {
    var bytes: [UInt8] = [Histogram.version]
    func append(_ number: UInt64) {
      var rest = number
      while rest >= 0x80 {
        bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
        rest >>= 7
      }
      bytes.append(UInt8(rest))
    }
    append(count)
    guard count > 0 else { return bytes }
    append(sum)
    append(UInt64(min))
    append(UInt64(max))
    var skipped: UInt64 = 0
    for count in buckets {
      if count == 0 {
        skipped += 1
        continue
      }
      append(skipped)
      append(count)
      skipped = 0
    }
    return bytes
  }

  /// nil for bytes that no histogram wrote.
  public init?(encoded bytes: [UInt8]) {
    var position = 1
    func next() -> UInt64? {
      var number: UInt64 = 0
      var shift: UInt64 = 0
      while position < bytes.count, shift < 64 {
        let byte = bytes[position]
        position += 1
        number |= UInt64(byte & 0x7F) << shift
        if byte < 0x80 { return number }
        shift += 7
      }
      return nil
    }
    guard bytes.first == Histogram.version, let count = next() else { return nil }
    guard count > 0 else { return }
    guard let sum = next(), let min = next(), let max = next(), min <= max, max <= Histogram.maxValue else {
      return nil
    }
    var total: UInt64 = 0
    while position < bytes.count {
      guard let skipped = next(), let amount = next(), skipped < Histogram.bucketCount,
        buckets.count + Int(skipped) < Histogram.bucketCount
      else { return nil }
      buckets.append(contentsOf: repeatElement(0, count: Int(skipped)))
      buckets.append(amount)
      total &+= amount
    }
    guard total == count else { return nil }
    self.count = count
    self.sum = sum
    self.min = Int64(min)
    self.max = Int64(max)
  }
}
