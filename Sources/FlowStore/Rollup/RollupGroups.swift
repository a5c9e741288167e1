/// What is summed up together by the present judgement, and the times that must not be.
struct RollupGroups {
  /// By row id of an outcome or a source: the one with the lowest row id of those that are alike.
  private(set) var outcomes: [Int32]
  private(set) var sources: [Int32]
  let borders: [Int64]
  /// Each outcome and source for itself, and each hour.
  private(set) var isExact = false

  /// What is summed up together where no row can be looked at instead: nothing that some policy may tell apart.
  static let exact = RollupGroups()

  private init() {
    (outcomes, sources, borders) = ([], [], [])
    isExact = true
  }

  /// - Parameter classes: as `VerdictTables` has them.
  /// - Returns: those of outcomes.
  static func outcomes(_ classes: [Int32]) -> [Int32] {
    // What ends in no known way may have any protocol, and is summed up alone.
    lowest(classes) { $0 != 0 }
  }

  init(_ tables: VerdictTables) {
    outcomes = RollupGroups.outcomes(tables.outcomeClasses)
    sources = RollupGroups.lowest(tables.sourceClasses) { $0 >= 0 }
    borders = tables.borders
  }

  private static func lowest(_ classes: [Int32], _ isKnown: (Int32) -> Bool) -> [Int32] {
    var first: [Int32: Int32] = [:]
    return classes.enumerated().map { index, kind in
      guard isKnown(kind) else { return Int32(index) }
      if let known = first[kind] { return known }
      first[kind] = Int32(index)
      return Int32(index)
    }
  }

  func outcome(_ id: Int64) -> Int64 { RollupGroups.group(of: id, outcomes) }

  static func group(of id: Int64, _ groups: [Int32]) -> Int64 {
    id >= 0 && id < groups.count ? Int64(groups[Int(id)]) : id
  }

  func source(_ id: Int64) -> Int64 { RollupGroups.group(of: id, sources) }

  /// The borders that divide a time; none where there are too many to keep apart (then rows are looked at instead).
  func borders(from first: Int64, through last: Int64) -> [Int64] {
    if isExact {
      let hours = RollupGroups.hour(first) + 1..<max(RollupGroups.hour(last), RollupGroups.hour(first)) + 1
      precondition(Int64(hours.count) < RollupGroups.mostHours, "more hours than can be kept apart")
      return hours.map { $0 * RollupGroups.hourMs }
    }
    let inside = borders.filter { first < $0 && $0 <= last }
    return inside.count < 1 << RollupGroups.segmentBits - 1 ? inside : []
  }

  static let segmentBits = 6
  /// Hours that exact groups of one run can begin in.
  static let mostHours = Int64(1 << segmentBits - 2)
  static let hourMs: Int64 = 3_600_000

  static func hour(_ ms: Int64) -> Int64 { ms / hourMs - (ms % hourMs < 0 ? 1 : 0) }

  @inline(__always)
  static func segment(_ ms: Int64, _ borders: [Int64]) -> Int {
    var segment = 0
    for border in borders where border <= ms { segment += 1 }
    return segment
  }
}
