/// Which sources were met with each group of destinations: a bit for each.
///
/// `@unchecked Sendable`: one thread at a time has it. Copies are one.
struct SourceSets: @unchecked Sendable {
  private let owner: OwnedMemory<UInt64>
  private let base: UnsafeMutablePointer<UInt64>
  private let destinations: Int
  /// Of each set.
  private let length: Int

  /// 64 sources each, in all: each thread has as many.
  private static let mostWords = 1 << 21

  /// nil where the request does not ask for them, or there would be more than should be in memory.
  init?(_ request: TallyRequest) {
    guard request.collectsSources, !request.tellsTimes, let sources = request.sourceGroups,
      let destinations = request.destinationGroups
    else { return nil }
    length = Int(max(sources.max() ?? 0, 0)) / 64 + 1
    self.destinations = Int(max(destinations.max() ?? 0, 0)) + 1
    let (count, isOver) = length.multipliedReportingOverflow(by: self.destinations)
    guard !isOver, count <= SourceSets.mostWords else { return nil }
    let words = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: count)
    words.initialize(repeating: 0)
    owner = OwnedMemory(words)
    base = words.baseAddress!
  }

  /// - Parameters: groups of the request.
  @inline(__always)
  func add(_ source: Int32, _ destination: Int32) {
    precondition(source >= 0 && Int(source) / 64 < length && destination >= 0 && destination < destinations)
    base[Int(destination) * length + Int(source) / 64] |= 1 << UInt64(source % 64)
  }

  /// - Parameter other: of the same request.
  func add(_ other: SourceSets) {
    precondition(other.owner.elements.count == owner.elements.count)
    for index in 0..<owner.elements.count { base[index] |= other.base[index] }
  }

  /// By group of destinations.
  var sets: [[UInt64]] {
    (0..<destinations).map { Array(UnsafeBufferPointer(start: base + $0 * length, count: length)) }
  }
}
