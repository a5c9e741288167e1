import Foundation
import Testing

@testable import FlowStore

@Suite("latency histograms")
struct HistogramTests {
  /// A generator of its own, so that every run sees the same numbers.
  struct Numbers: RandomNumberGenerator {
    var state: UInt64 = 7
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var word = state
      word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
      word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
      return word ^ word >> 31
    }
  }

  private static let distributions: [(name: String, values: [Int64])] = {
    var numbers = Numbers()
    let uniform = (0..<20_000).map { _ in Int64.random(in: 0...5_000, using: &numbers) }
    let lognormal = (0..<20_000).map { _ in
      let sum = (0..<12).reduce(0.0) { total, _ in total + Double.random(in: 0...1, using: &numbers) } - 6
      return Int64(exp(5 + 2 * sum))
    }
    let bimodal = (0..<20_000).map { _ in Bool.random(using: &numbers) ? Int64(3) : 30_000 }
    let huge = (0..<5_000).map { _ in Int64.random(in: 0...Histogram.maxValue, using: &numbers) }
    return [
      ("uniform", uniform), ("log-normal", lognormal), ("two peaks", bimodal), ("huge", huge), ("one", [777]),
      ("two", [1, 1_000_000]), ("all equal", Array(repeating: 12_345, count: 100)),
    ]
  }()

  @Test("every percentile is within 1 % of the exact one", arguments: distributions.indices)
  func percentiles(index: Int) {
    let (name, values) = Self.distributions[index]
    var histogram = Histogram()
    for value in values { histogram.add(value) }
    let sorted = values.sorted()
    for tenths in 0...1000 {
      let percent = Double(tenths) / 10
      // Nearest rank, in whole numbers.
      let rank = max((tenths * sorted.count + 999) / 1000, 1)
      let exact = sorted[rank - 1]
      let found = histogram.percentile(percent)!
      #expect(abs(Double(found - exact)) <= 0.01 * Double(exact), "\(name) p\(percent): \(found), not \(exact)")
    }
    #expect(histogram.count == UInt64(values.count))
    #expect(histogram.min == sorted.first)
    #expect(histogram.max == sorted.last)
    #expect(histogram.percentile(100) == sorted.last)
  }

  @Test("every bucket's middle is within 1 % of all its values, and buckets are in order")
  func buckets() {
    var value: Int64 = 0
    var last = -1
    while value <= Histogram.maxValue {
      let bucket = Histogram.bucket(of: value)
      #expect(bucket == last || bucket == last + 1)
      last = bucket
      #expect(abs(Histogram.middle(of: bucket) - value) * 100 <= value)
      value += max(value >> 8, 1)
    }
    #expect(Histogram.bucket(of: Histogram.maxValue) < Histogram.bucketCount)
  }

  @Test("parts add up to the whole, in any order, also through the blob")
  func merging() throws {
    var whole = Histogram()
    var parts = [Histogram(), Histogram(), Histogram(), Histogram()]
    for (index, value) in Self.distributions[1].values.enumerated() {
      whole.add(value)
      parts[index % 3].add(value)
    }
    for order in [[0, 1, 2, 3], [3, 2, 1, 0]] {
      var sum = Histogram()
      for part in order { sum.merge(try #require(Histogram(encoded: parts[part].encoded))) }
      #expect(sum == whole)
    }
    #expect(Histogram(encoded: whole.encoded) == whole)
    #expect(whole.encoded.count < 3_000)
  }

  @Test("values outside the range are cut to it")
  func range() {
    var histogram = Histogram()
    histogram.add(-5)
    histogram.add(.max)
    histogram.add(.min)
    #expect(histogram.min == 0)
    #expect(histogram.max == Histogram.maxValue)
    #expect(histogram.count == 3)
    #expect(Histogram().percentile(50) == nil)
    #expect(histogram.percentile(.nan) == nil)
    #expect(histogram.percentile(-1) == 0)
    #expect(histogram.percentile(1e300) == Histogram.maxValue)
  }

  @Test("bytes that no histogram wrote are refused, never a crash")
  func hostileBlobs() {
    var numbers = Numbers()
    var histogram = Histogram()
    for value in [1, 1000, 100_000] as [Int64] { histogram.add(value) }
    let good = histogram.encoded
    for length in 0..<good.count { #expect(Histogram(encoded: Array(good.prefix(length))) == nil) }
    for _ in 0..<20_000 {
      var bytes = good
      for _ in 0..<Int.random(in: 1...4, using: &numbers) {
        bytes[Int.random(in: 0..<bytes.count, using: &numbers)] = UInt8.random(in: 0...255, using: &numbers)
      }
      if let read = Histogram(encoded: bytes) { _ = (read.percentile(99), read.encoded) }
    }
    #expect(Histogram(encoded: [1, 1, 1, 1, 1] + Array(repeating: 255, count: 30)) == nil)
  }

  @Test("SQL sees the same histogram, merges it, and knows no rows from no values")
  func inSQL() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "a.log")
    try store.store(maker.batch(count: 1_000), into: &log)
    try store.commit()
    let reader = try FlowReader(path: folder.path())
    let row = try reader.rows(
      """
      with per_destination as (
        select destination_id, latency_histogram(duration_ms) as histogram
        from judged_flow
        group by destination_id
      )
      select histogram_count(histogram_merge(histogram)), histogram_percentile(histogram_merge(histogram), 50),
        histogram_max(histogram_merge(histogram)), histogram_min(histogram_merge(histogram)),
        histogram_mean(histogram_merge(histogram))
      from per_destination
      order by 1
      """
    ).rows
    #expect(row == [[1000, 49, 99, 0, .real(49.5)]])
    #expect(
      try reader.rows(
        """
        select latency_histogram(duration_ms), histogram_percentile(null, 50), histogram_count(null)
        from flow
        where 0
        """
      ).rows == [[nil, nil, nil]])
    #expect(throws: StoreError.self) { try reader.value("select histogram_percentile(x'00ff', 50)") }
    #expect(throws: StoreError.self) { try reader.value("select histogram_merge('text')") }
  }
}
