internal import Flows
internal import GRDB

/// Writes down who sent what one proxy handed on to another: table `relayed_flow`, and for each source with each of its
/// senders a row of `source` that no line has.
///
/// Few flows have a sender of their own, and most stores none: those are passed over without a look at the flows.
final class SenderWriter {
  /// Sources that are needed though no line has them.
  static let keptSources = "and sender is null and id not in (select sender from source where sender is not null)"

  private struct Pair: Hashable {
    var source, sender: Int64
  }

  private let db: Database
  private let stored, source, insert, delete, insertSource: Statement
  /// Row ids of sources with their senders, once they were read.
  private var known: [Pair: Int64] = [:]
  private var isRead = false
  private var changedBlocks: Set<Int64> = []
  /// Some flow of the store has a sender.
  private var isNeeded: Bool

  init(_ db: Database) throws(StoreError) {
    self.db = db
    stored = try db.statement("select flow, source from relayed_flow where flow between ? and ? order by flow")
    source = try db.statement("select source from flow where id = ?")
    insert = try db.statement("insert or replace into relayed_flow (flow, source) values (?, ?)")
    delete = try db.statement("delete from relayed_flow where flow = ?")
    let columns = (["class", "name"] + Source.storedColumns).joined(separator: ", ")
    insertSource = try db.statement(
      "insert into source (\(columns), received_as, sender) select \(columns), id, ?2 from source where id = ?1")
    let any = try db.statement("select exists (select 1 from relayed_flow)")
    isNeeded = try any.step() && any.int(0) == 1
    any.reset()
  }

  /// The flows of `span` that are not in `joined` with a sender have none.
  /// - Parameter joined: ascending by flow, all within `span`.
  func set(_ span: ClosedRange<Int64>, _ joined: ArraySlice<JoinedHop>) throws(StoreError) {
    var next = joined.startIndex
    func advance() { while next < joined.endIndex, joined[next].sender == 0 { next += 1 } }
    advance()
    guard isNeeded || next < joined.endIndex else { return }
    isNeeded = true
    var present: [(flow: Int64, source: Int64)] = []
    stored.bind(span.lowerBound, at: 1)
    stored.bind(span.upperBound, at: 2)
    while try stored.step() { present.append((stored.int(0), stored.int(1))) }
    stored.reset()
    var old = 0
    while next < joined.endIndex || old < present.count {
      let hop = next < joined.endIndex ? joined[next] : nil
      if old < present.count, hop == nil || present[old].flow < hop!.flow {
        try delete.run(.integer(present[old].flow))
        changedBlocks.insert(present[old].flow / HopBlocks.flows)
        old += 1
        continue
      }
      guard let hop else { break }
      let id = try sourceID(of: hop)
      let isSame = old < present.count && present[old].flow == hop.flow && present[old].source == id
      if old < present.count, present[old].flow == hop.flow { old += 1 }
      if let id, !isSame {
        try insert.run(.integer(hop.flow), .integer(id))
        changedBlocks.insert(hop.flow / HopBlocks.flows)
      }
      next += 1
      advance()
    }
  }

  /// Drops the rollups in which a flow has another sender now.
  func finish() throws(StoreError) {
    try FlowStore.dropRollups(touching: changedBlocks.sorted(), db)
    changedBlocks.removeAll()
  }

  /// nil for a flow that is not there.
  private func sourceID(of hop: JoinedHop) throws(StoreError) -> Int64? {
    source.bind(hop.flow, at: 1)
    defer { source.reset() }
    guard try source.step() else { return nil }
    let pair = Pair(source: source.int(0), sender: Int64(hop.sender))
    if !isRead { try read() }
    if let id = known[pair] { return id }
    try insertSource.run(.integer(pair.source), .integer(pair.sender))
    known[pair] = db.lastInsertedRowID
    return db.lastInsertedRowID
  }

  private func read() throws(StoreError) {
    isRead = true
    let rows = try db.statement("select id, received_as, sender from source where sender is not null order by id")
    while try rows.step() { known[Pair(source: rows.int(1), sender: rows.int(2))] = rows.int(0) }
  }
}

/// The sources of flows with a sender, by row id of the flow: for those who look at rows and not through `judged_flow`.
struct RelayedFlows {
  /// Where the sources of a block's flows begin in `sources`; -1 where none of them has a sender.
  private var blocks: [Int32] = []
  private var sources: [Int32] = []
  /// The first of `blocks`.
  private var base: Int64 = 0

  /// Reads what is said of the flows in `ranges` of row ids, ascending.
  init(of ranges: [ClosedRange<Int64>], _ db: Database) throws(StoreError) {
    let rows = try db.statement("select flow, source from relayed_flow where flow between ? and ? order by flow")
    for range in ranges {
      rows.bind(range.lowerBound, at: 1)
      rows.bind(range.upperBound, at: 2)
      while try rows.step() {
        let (block, offset) = rows.int(0).quotientAndRemainder(dividingBy: HopBlocks.flows)
        if blocks.isEmpty { base = block }
        let place = Int(block - base)
        // What another hand wrote of flows that cannot be is no flow's.
        guard offset >= 0, place >= 0, place < RelayedFlows.mostBlocks else { continue }
        if place >= blocks.count { blocks += repeatElement(-1, count: place + 1 - blocks.count) }
        if blocks[place] < 0 {
          blocks[place] = Int32(sources.count)
          sources += repeatElement(-1, count: Int(HopBlocks.flows))
        }
        sources[Int(blocks[place]) + Int(offset)] = Int32(clamping: rows.int(1))
      }
      rows.reset()
    }
  }

  /// As many flows as an array of 32-bit numbers can tell of.
  private static let mostBlocks = 1 << 20

  var isEmpty: Bool { blocks.isEmpty }

  /// The source that a flow is summed up under: `source` itself where it has no sender.
  @inline(__always)
  func source(of flow: Int64, _ source: Int64) -> Int64 {
    if blocks.isEmpty { return source }
    let place = flow / HopBlocks.flows - base
    guard place >= 0, place < blocks.count, blocks[Int(place)] >= 0 else { return source }
    let found = sources[Int(blocks[Int(place)]) + Int(flow % HopBlocks.flows)]
    return found < 0 ? source : Int64(found)
  }
}
