internal import Flows
internal import GRDB

/// What joining says of each flow, as far as verdicts depend on it: a byte per flow, by row id.
struct JourneyPlaces {
  /// Bit by bit: no hop to count; of the hop before nothing, one that the connection proves, one that it does not, or that none
  /// that was read could be it; it leads to the hop behind it by looks.
  static let kinds = 1 << bits
  static let bits = 4
  /// What a kind says of the hop before.
  static let proven = 1 << 1
  static let claimed = 2 << 1
  static let unaccounted = 3 << 1
  static let beforeMask = 3 << 1
  static let byLooks = 1 << 3
  /// Above this many bytes SQLite's own loop is asked instead.
  private static let most: Int64 = 256 << 20
  /// By the bits of a place.
  private static let kindOfPlace: [UInt8] = (UInt8.min...UInt8.max).map {
    let place = JourneyPlace(rawValue: $0)
    let before =
      !place.isDisjoint(with: [.hasEarlier, .isFromSidecar])
      ? proven : place.contains(.hasClaimedEarlier) ? claimed : place.contains(.isUnaccounted) ? unaccounted : 0
    let byLooks = place.contains(.leadsByLooks) ? byLooks : 0
    return UInt8(before + byLooks + (place.isDisjoint(with: [.hasLater, .isRepeated]) ? 0 : 1))
  }
  private var kinds: [UInt8] = []
  /// The flow that `kinds` begins with.
  private var base: Int64 = 0

  /// Reads what is said of the flows in `ranges` of row ids, ascending; nil when that is more than should be in memory.
  init?(of ranges: [ClosedRange<Int64>], _ db: Database) throws(StoreError) {
    let rows = try db.statement("select block, places from hop_place where block between ? and ? order by block")
    for range in ranges {
      rows.bind(range.lowerBound / HopBlocks.flows, at: 1)
      rows.bind(range.upperBound / HopBlocks.flows, at: 2)
      while try rows.step() {
        guard let places = rows.blob(1), places.count == HopBlocks.placeBytes else { return nil }
        let (block, isOver) = rows.int(0).multipliedReportingOverflow(by: HopBlocks.flows)
        if kinds.isEmpty { base = block }
        guard !isOver, block >= base, block - base < JourneyPlaces.most else { return nil }
        let first = Int(block - base)
        if first + places.count > kinds.count {
          kinds += repeatElement(0, count: first + places.count - kinds.count)
        }
        for (index, place) in places.enumerated() where place != 0 {
          kinds[first + index] = JourneyPlaces.kindOfPlace[Int(place)]
        }
      }
    }
  }

  /// Every flow is of kind 0.
  var isEmpty: Bool { kinds.isEmpty }

  @inline(__always) func kind(of flow: Int64) -> Int {
    let index = flow &- base
    return index >= 0 && index < kinds.count ? Int(kinds[Int(index)]) : 0
  }
}
