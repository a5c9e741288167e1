internal import Flows
internal import GRDB

/// What joining says of the flows: tables `hop_place` and `hop_journey`, a row of bytes per thousand flows.
enum HopBlocks {
  /// Flows of a block. Two rows of journeys fit into a page of the store, 16 of places.
  static let flows: Int64 = 1000
  static let placeBytes = Int(flows)
  static let journeyBytes = 8 * Int(flows)

  /// What no row means.
  static let emptyPlaces = [UInt8](repeating: 0, count: placeBytes)
  static let emptyJourneys = [UInt8](repeating: 0, count: journeyBytes)

  /// Moves the rows of `flow_hop`, which stores had before version 5.
  static func takeOver(_ db: Database) throws(StoreError) {
    let rows = try db.statement("select flow, journey, place from flow_hop order by flow")
    // Before there were rollups.
    let writer = try HopBlockWriter(db, dropsRollups: false)
    while try rows.step() {
      try writer.set(
        rows.int(0), place: UInt8(truncatingIfNeeded: rows.int(2)), journey: UInt64(bitPattern: rows.int(1)))
    }
    try writer.finish()
    rows.reset()
    try db.run("drop table flow_hop")
  }

  /// Clears what was said of flows that are gone, in blocks that had some of them: their ids are given out again.
  static func clearGone(blocks: [Int64], _ db: Database) throws(StoreError) {
    let left = try db.statement("select id from flow where id between ? and ? order by id")
    let writer = try HopBlockWriter(db)
    for block in blocks {
      left.bind(block * flows, at: 1)
      left.bind(block * flows + flows - 1, at: 2)
      var next = block * flows
      while try left.step() {
        for gone in next..<left.int(0) { try writer.set(gone, place: 0, journey: 0) }
        next = left.int(0) + 1
      }
      for gone in next..<(block + 1) * flows { try writer.set(gone, place: 0, journey: 0) }
    }
    try writer.finish()
  }
}

/// Writes what joining says of flows, block by block; fastest where they come in the order of their ids.
final class HopBlockWriter {
  private let readPlaces, readJourneys, writePlaces, writeJourneys, dropPlaces, dropJourneys: Statement
  private var block: Int64 = -1
  private var places = HopBlocks.emptyPlaces
  private var journeys = HopBlocks.emptyJourneys
  private var isChanged = false
  /// Nothing is stored of the block, and nothing was set.
  private var isBlank = true
  private var changedBlocks: [Int64] = []
  // Of blocks behind this one nothing is stored but what this writer has written: most blocks are new, and not asked for.
  private let lastStored: Int64
  private var written: Set<Int64> = []
  private let db: Database
  private let dropsRollups: Bool

  init(_ db: Database, dropsRollups: Bool = true) throws(StoreError) {
    self.db = db
    self.dropsRollups = dropsRollups
    readPlaces = try db.statement("select places from hop_place where block = ?")
    readJourneys = try db.statement("select journeys from hop_journey where block = ?")
    writePlaces = try db.statement("insert or replace into hop_place (block, places) values (?, ?)")
    writeJourneys = try db.statement("insert or replace into hop_journey (block, journeys) values (?, ?)")
    dropPlaces = try db.statement("delete from hop_place where block = ?")
    dropJourneys = try db.statement("delete from hop_journey where block = ?")
    let last = try db.statement(
      "select max(coalesce((select max(block) from hop_place), -1), coalesce((select max(block) from hop_journey), -1))"
    )
    lastStored = try last.step() ? last.int(0) : .max
    last.reset()
  }

  /// Place 0 and journey 0: joined with no other.
  @inline(__always)
  func set(_ flow: Int64, place: UInt8, journey: UInt64) throws(StoreError) {
    let (block, offset) = flow.quotientAndRemainder(dividingBy: HopBlocks.flows)
    if block != self.block { try turn(to: block) }
    let index = Int(offset)
    let isSame =
      places[index] == place
      && journeys.withUnsafeBytes {
        UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self)) == journey
      }
    if isSame { return }
    (isChanged, isBlank) = (true, false)
    places[index] = place
    journeys.withUnsafeMutableBytes {
      $0.storeBytes(of: journey.bigEndian, toByteOffset: 8 * index, as: UInt64.self)
    }
  }

  /// The same for flows of one block side by side: those in `joined`, ascending, and all others as joined with none.
  func set(_ flows: ClosedRange<Int64>, _ joined: ArraySlice<JoinedHop>) throws(StoreError) {
    let (block, offset) = flows.lowerBound.quotientAndRemainder(dividingBy: HopBlocks.flows)
    precondition(
      offset >= 0 && flows.upperBound / HopBlocks.flows == block
        && joined.allSatisfy { flows.contains($0.flow) }, "flows of more than one block")
    if block != self.block { try turn(to: block) }
    if joined.isEmpty, isBlank { return }
    let isSame = joined.withUnsafeBufferPointer { joined in
      places.withUnsafeMutableBufferPointer { places in
        journeys.withUnsafeMutableBytes { journeys in
          var isSame = true
          var next = 0
          // In bounds: the flows are of this block, whose arrays have room for each of them.
          for index in Int(offset)...Int(offset) + flows.count - 1 {
            var (place, journey) = (UInt8(0), UInt64(0))
            if next < joined.count, joined[next].flow == flows.lowerBound + Int64(index) - offset {
              (place, journey) = (joined[next].place.rawValue, joined[next].journey.bigEndian)
              next += 1
            }
            let stored = journeys.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self)
            isSame = isSame && places[index] == place && stored == journey
            places[index] = place
            journeys.storeBytes(of: journey, toByteOffset: 8 * index, as: UInt64.self)
          }
          precondition(next == joined.count, "joined flows are not in their order")
          return isSame
        }
      }
    }
    if !isSame { (isChanged, isBlank) = (true, false) }
  }

  /// Writes the last block, and drops the rollups in which a flow has another place now.
  func finish() throws(StoreError) {
    try turn(to: -1)
    if dropsRollups { try FlowStore.dropRollups(touching: changedBlocks, db) }
    changedBlocks.removeAll()
  }

  private func turn(to next: Int64) throws(StoreError) {
    if isChanged {
      changedBlocks.append(block)
      written.insert(block)
      if places == HopBlocks.emptyPlaces {
        try dropPlaces.run(.integer(block))
        try dropJourneys.run(.integer(block))
      } else {
        writePlaces.bind(block, at: 1)
        writePlaces.bind(places, at: 2)
        while try writePlaces.step() {}
        // A proxy's log alone has places, and no journeys.
        if journeys == HopBlocks.emptyJourneys {
          try dropJourneys.run(.integer(block))
        } else {
          writeJourneys.bind(block, at: 1)
          writeJourneys.bind(journeys, at: 2)
          while try writeJourneys.step() {}
        }
      }
    }
    isChanged = false
    block = next
    guard next >= 0 else { return }
    guard next <= lastStored || written.contains(next) else {
      (places, journeys, isBlank) = (HopBlocks.emptyPlaces, HopBlocks.emptyJourneys, true)
      return
    }
    places = try HopBlockWriter.stored(readPlaces, next, HopBlocks.emptyPlaces)
    journeys = try HopBlockWriter.stored(readJourneys, next, HopBlocks.emptyJourneys)
    isBlank = places == HopBlocks.emptyPlaces && journeys == HopBlocks.emptyJourneys
  }

  /// A row of another length was written by another hand; it is written anew.
  private static func stored(_ read: Statement, _ block: Int64, _ none: [UInt8]) throws(StoreError) -> [UInt8] {
    read.bind(block, at: 1)
    defer { read.reset() }
    guard try read.step(), let bytes = read.blob(0), bytes.count == none.count else { return none }
    return bytes
  }
}
