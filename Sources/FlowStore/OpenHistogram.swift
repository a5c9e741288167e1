/// A histogram that much is added to before anybody reads it: it has room for all buckets, and is used again for the next one.
///
/// `@unchecked Sendable`: one thread at a time has it. Copies are one.
struct OpenHistogram: @unchecked Sendable {
  private let owner: OwnedMemory<UInt64>
  private let buckets: UnsafeMutablePointer<UInt64>
  private var count: UInt64 = 0
  private var sum: UInt64 = 0
  private var min: Int64 = .max
  private var max: Int64 = -1

  init() {
    let memory = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: Histogram.bucketCount)
    memory.initialize(repeating: 0)
    owner = OwnedMemory(memory)
    buckets = memory.baseAddress!
  }

  /// What was added, and is not in here any more.
  mutating func take() -> Histogram {
    defer {
      if max >= min {
        let (first, last) = (Histogram.bucket(of: min), Histogram.bucket(of: max))
        (buckets + first).update(repeating: 0, count: last - first + 1)
      }
      (count, sum, min, max) = (0, 0, .max, -1)
    }
    return Histogram(buckets: buckets, count: count, sum: sum, min: min, max: max)
  }

  @inline(__always)
  mutating func add(_ value: Int64) {
    let value = Swift.min(Swift.max(value, 0), Histogram.maxValue)
    // In bounds: no value is larger.
    buckets[Histogram.bucket(of: value)] &+= 1
    note(1, sum: UInt64(value), value, value)
  }

  /// Part of what `note` tells the ends of.
  /// - Parameter bucket: of a histogram.
  @inline(__always)
  func add(_ count: UInt64, to bucket: Int) {
    precondition(bucket >= 0 && bucket < Histogram.bucketCount)
    buckets[bucket] &+= count
  }

  /// - Parameters:
  ///   - least: at least 0.
  ///   - most: at most `Histogram.maxValue`.
  @inline(__always)
  mutating func note(_ count: UInt64, sum: UInt64, _ least: Int64, _ most: Int64) {
    self.count &+= count
    self.sum &+= sum
    min = Swift.min(min, least)
    max = Swift.max(max, most)
  }

  mutating func merge(_ other: Histogram) {
    guard other.count > 0 else { return }
    other.add(to: buckets)
    note(other.count, sum: other.sum, other.min, other.max)
  }
}
