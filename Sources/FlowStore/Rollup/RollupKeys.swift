internal import GRDB

/// How what rows are sorted by is written as one number: destination within the stack, outcome, kind and source, from the high
/// bits down. Outcomes that are summed up together have one number, in the order of their lowest row ids.
struct RollupKeys {
  /// Destinations of a stack are alike but for so many bits.
  let destinationBits: UInt64
  let stackCount: Int
  // Row ids are below these.
  let destinationCount, outcomeCount, sourceCount: Int
  private let outcomeBits, sourceBits: UInt64
  private static let kindBits = UInt64(JourneyPlaces.bits)
  /// By row id.
  private let numbers: FixedArray<Int32>
  /// Lowest row ids by number.
  private let outcomes: [Int64]

  /// Fewer than those of a chunk.
  private static let mostDestinationBits = 9
  private static let mostDestinations = 1 << 24
  private static let mostSources = 1 << 20
  private static let mostOutcomes = 1 << 24

  /// - Parameter stackBits: see `RollupSizes`.
  /// - Returns: nil where the store has more than a key has room for.
  init?(_ groups: RollupGroups, stackBits: Int, _ db: Database) throws(StoreError) {
    func count(_ table: String) throws(StoreError) -> Int {
      let highest = try db.statement("select coalesce(max(id), 0) from \(table)")
      guard try highest.step() else { return 1 }
      return Int(clamping: max(highest.int(0), 0)) + 1
    }
    (destinationCount, outcomeCount, sourceCount) = (
      try count("destination"), try count("outcome"), try count("source")
    )
    guard destinationCount <= RollupKeys.mostDestinations, outcomeCount <= RollupKeys.mostOutcomes,
      sourceCount <= RollupKeys.mostSources
    else { return nil }
    let bits = min(
      max(RollupKeys.bits(destinationCount - 1) - stackBits, 0), RollupKeys.mostDestinationBits)
    destinationBits = UInt64(bits)
    stackCount = (destinationCount - 1) >> bits + 1
    outcomes = Set((0..<outcomeCount).map { groups.outcome(Int64($0)) }).sorted()
    var numberOf: [Int64: Int32] = [:]
    for (number, outcome) in outcomes.enumerated() { numberOf[outcome] = Int32(number) }
    numbers = FixedArray((0..<outcomeCount).map { numberOf[groups.outcome(Int64($0))]! })
    outcomeBits = UInt64(RollupKeys.bits(outcomes.count - 1))
    sourceBits = UInt64(RollupKeys.bits(sourceCount - 1))
  }

  private static func bits(_ highest: Int) -> Int { Int.bitWidth - highest.leadingZeroBitCount }

  /// Of a whole key.
  var bits: Int { Int(destinationBits + outcomeBits + RollupKeys.kindBits + sourceBits) }

  /// - Parameters: row ids within their bounds.
  @inline(__always)
  func key(destination: Int64, outcome: Int64, kind: Int, source: Int64) -> UInt64 {
    var key = UInt64(destination) & (1 << destinationBits - 1)
    key = key << outcomeBits | UInt64(numbers.element(at: outcome) ?? 0)
    key = key << RollupKeys.kindBits | UInt64(kind)
    return key << sourceBits | UInt64(source)
  }

  // Where in a key they begin.
  var kindShift: UInt64 { sourceBits }
  var destinationShift: UInt64 { sourceBits + RollupKeys.kindBits + outcomeBits }

  func source(of key: UInt64) -> Int64 { Int64(key & (1 << sourceBits - 1)) }
  func kind(of key: UInt64) -> UInt8 { UInt8(key >> sourceBits & (1 << RollupKeys.kindBits - 1)) }
  /// Of those that are summed up together, the one with the lowest row id.
  func outcome(of key: UInt64) -> Int64 {
    outcomes[Int(key >> (sourceBits + RollupKeys.kindBits) & (1 << outcomeBits - 1))]
  }
}
