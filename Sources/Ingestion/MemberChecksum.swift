internal import CLanes
internal import CZlib
internal import Synchronization

/// The CRC-32 of what a gzip member gave so far.
///
/// Inflating is what all wait for: its thread may leave the bytes of a member's middle to others, who have them at hand
/// anyway. At the member's end it takes what is still missing upon itself, so that a wrong one is noticed where it stands.
///
///     bytes given    | stretch | stretch | stretch | held  | to come
///     computed by    | whoever reads its lines     | `value`
struct MemberChecksum {
  /// Bytes somebody else may take the sum of.
  ///
  /// `@unchecked Sendable`: the bytes stay as they are until `compute` was called, which who hands them on sees to.
  final class Stretch: @unchecked Sendable {
    private let bytes: UnsafeRawBufferPointer
    private let sum = Mutex<UInt?>(nil)

    fileprivate init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Looks at the bytes the first time only; who comes meanwhile waits.
    @discardableResult
    func compute() -> UInt {
      sum.withLock { sum in
        if let sum { return sum }
        let computed = MemberChecksum.sum(0, with: bytes)
        sum = computed
        return computed
      }
    }

    fileprivate var count: Int { bytes.count }
  }

  /// Bytes are kept to be handed out, and have to stay as they are until then.
  var holdsBack = false
  /// Of the bytes before the first stretch.
  private var sum: UInt = 0
  private var stretches: [Stretch] = []
  private var held = UnsafeRawBufferPointer(start: nil, count: 0)

  /// More than there are pieces under way: the sum of the first one is known.
  private static let mostStretches = 256

  /// Takes in the next bytes of the member.
  mutating func take(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress, bytes.count > 0 else { return }
    if held.count > 0, held.baseAddress! + held.count != start { settle() }
    held = UnsafeRawBufferPointer(start: held.count > 0 ? held.baseAddress : start, count: held.count + bytes.count)
    if !holdsBack { settle() }
  }

  /// What was held back since the last time.
  mutating func handOut() -> Stretch? {
    guard held.count > 0 else { return nil }
    let stretch = Stretch(held)
    held = UnsafeRawBufferPointer(start: nil, count: 0)
    stretches.append(stretch)
    if stretches.count > MemberChecksum.mostStretches { add(stretches.removeFirst()) }
    return stretch
  }

  /// Of all bytes so far.
  mutating func value() -> UInt32 {
    settle()
    return UInt32(truncatingIfNeeded: sum)
  }

  /// Another member begins.
  mutating func reset() {
    settle()
    sum = 0
  }

  private mutating func settle() {
    for stretch in stretches { add(stretch) }
    stretches.removeAll(keepingCapacity: true)
    sum = MemberChecksum.sum(sum, with: held)
    held = UnsafeRawBufferPointer(start: nil, count: 0)
  }

  private mutating func add(_ stretch: Stretch) {
    sum = crc32_combine(sum, stretch.compute(), stretch.count)
  }

  private static let hasVectors = lanes_has_crc32() != 0

  /// `sum` with more bytes behind; most of them by vectors where the processor has these, the rest by zlib.
  ///
  /// - Parameter byVectors: false for zlib alone, the slow twin.
  static func sum(_ sum: UInt, with bytes: UnsafeRawBufferPointer, byVectors: Bool = hasVectors) -> UInt {
    // Of no bytes at all zlib gives the sum to begin with.
    guard let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count > 0 else { return sum }
    guard byVectors, bytes.count >= Int(LANES_CRC32_LEAST) else { return crc32_z(sum, start, bytes.count) }
    let rest = bytes.count % Int(LANES_CRC32_STEP)
    let most = lanes_crc32(UInt32(truncatingIfNeeded: sum), start, UInt64(bytes.count - rest))
    return crc32_z(UInt(most), start + (bytes.count - rest), rest)
  }
}
