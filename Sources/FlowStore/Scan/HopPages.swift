internal import GRDB
internal import Glibc
public import Flows

/// The hops of a stretch of time, with what has to be decided.
public struct HopStretch: Sendable {
  /// Ascending by row id.
  public var hops: [Hop] = []
  /// Row ids of all flows that began in the inner stretch, also of those that can have no other hop.
  public var decided: [ClosedRange<Int64>] = []

  public init() {}

  /// Hops that may come; nil where that is not known.
  fileprivate var expected: Int?

  /// Empty, for at most so many.
  public mutating func reset(expecting count: Int) {
    expected = count
    hops.removeAll(keepingCapacity: true)
    decided.removeAll(keepingCapacity: true)
  }

  /// What was read of the row ids behind those of this one.
  public mutating func append(_ other: HopStretch) {
    hops += other.hops
    for ids in other.decided { decide(ids) }
  }

  @inline(__always)
  private mutating func decide(_ ids: ClosedRange<Int64>) {
    if let last = decided.last, last.upperBound &+ 1 == ids.lowerBound {
      decided[decided.count - 1] = last.lowerBound...ids.upperBound
    } else {
      decided.append(ids)
    }
  }

  @inline(__always)
  mutating func add(_ hop: Hop, _ request: HopRequest) {
    guard request.from <= hop.startedAtMs, hop.startedAtMs < request.until else { return }
    if request.decidesFrom <= hop.startedAtMs, hop.startedAtMs < request.decidesUntil {
      decide(hop.flow...hop.flow)
    }
    if request.isJoinable(hop) { hops.append(hop) }
  }
}

/// Which hops are asked for: those that began from `from` on and before `until`, Unix milliseconds, in row ids that
/// `spans` holds, ascending and without overlap.
public struct HopRequest: Sendable {
  public var spans: [ClosedRange<Int64>]
  public var from: Int64
  public var until: Int64
  /// The inner stretch, of which all flows are decided.
  public var decidesFrom: Int64
  public var decidesUntil: Int64
  /// By row id: whether its flows can have another hop.
  public var sources: [Bool]
  public var outcomes: [Bool]

  public init(
    spans: [ClosedRange<Int64>], from: Int64, until: Int64, decidesFrom: Int64, decidesUntil: Int64, sources: [Bool],
    outcomes: [Bool]
  ) {
    self.spans = spans
    self.from = from
    self.until = until
    self.decidesFrom = decidesFrom
    self.decidesUntil = decidesUntil
    self.sources = sources
    self.outcomes = outcomes
  }

  /// The same request, cut into so many of about equal size.
  public func shares(_ count: Int) -> [HopRequest] {
    let total = spans.reduce(0) { $0 + $1.upperBound - $1.lowerBound + 1 }
    var rest = spans[...]
    return (1...count).map { number in
      var share = self
      share.spans = []
      var room = total * Int64(number) / Int64(count) - total * Int64(number - 1) / Int64(count)
      while room > 0, let span = rest.popFirst() {
        let length = span.upperBound - span.lowerBound + 1
        if length <= room {
          share.spans.append(span)
          room -= length
        } else {
          let end = span.lowerBound + room
          share.spans.append(span.lowerBound...end - 1)
          rest = [end...span.upperBound] + rest
          room = 0
        }
      }
      return share
    }
  }

  @inline(__always) func isJoinable(_ hop: Hop) -> Bool {
    let (source, outcome) = (Int(hop.source), Int(hop.outcome))
    return sources.indices.contains(source) && sources[source] && outcomes.indices.contains(outcome)
      && outcomes[outcome]
  }
}

/// The hops of a store as pages of its file, for any thread; see `FlowPages` for when and why. `FlowStore.hops` gives the
/// same by SQL.
///
/// Right as long as the store's writer neither adds nor takes away flows, whatever else it writes and commits: nobody else
/// writes, so the pages of `flow` stay where they are and as they are.
public final class HopPages: Sendable {
  /// The pages are not as expected: SQL has to answer.
  public struct Unusable: Error {}

  private let pages: FlowPages

  init(_ pages: FlowPages) { self.pages = pages }

  public func read(_ request: HopRequest, into stretch: inout HopStretch) throws(Unusable) {
    let buffer = pages.makeBuffer()
    defer { buffer.deallocate() }
    let room = stretch.expected ?? request.spans.reduce(0) { $0 + $1.count }
    var isRead = false
    var decided = DecidedFlows(stretch.decided)
    stretch.hops.append(addingCapacity: room) { hops in
      isRead = request.sources.withUnsafeBufferPointer { sources in
        request.outcomes.withUnsafeBufferPointer { outcomes in
          for span in request.spans {
            for leaves in pages.stretches(of: span, leaves: 1 << 32) {
              let isRead = pages.forEachPage(in: leaves, buffer) { page in
                var fits = true
                let isRead = HopRecord.forEach(in: page, usableSize: pages.usableSize, buffer.layouts, ids: span) {
                  hop in
                  guard request.from <= hop.startedAtMs, hop.startedAtMs < request.until else { return }
                  if request.decidesFrom <= hop.startedAtMs, hop.startedAtMs < request.decidesUntil {
                    decided.add(hop.flow)
                  }
                  guard hop.source >= 0, Int(hop.source) < sources.count, sources[Int(hop.source)], hop.outcome >= 0,
                    Int(hop.outcome) < outcomes.count, outcomes[Int(hop.outcome)]
                  else { return }
                  // More than the store says there are.
                  guard !hops.isFull else {
                    fits = false
                    return
                  }
                  hops.append(hop)
                }
                return isRead && fits
              }
              if !isRead { return false }
            }
          }
          return true
        }
      }
    }
    stretch.decided = decided.finished()
    guard isRead else { throw Unusable() }
  }
}

/// Row ids that mostly follow each other, as ranges.
private struct DecidedFlows {
  private var ranges: [ClosedRange<Int64>]
  private var first: Int64 = 0
  private var last: Int64 = -1

  init(_ ranges: [ClosedRange<Int64>]) { self.ranges = ranges }

  @inline(__always) mutating func add(_ flow: Int64) {
    if last &+ 1 == flow, first <= last {
      last = flow
    } else {
      close()
      (first, last) = (flow, flow)
    }
  }

  private mutating func close() {
    guard first <= last else { return }
    if let before = ranges.last, before.upperBound &+ 1 == first {
      ranges[ranges.count - 1] = before.lowerBound...last
    } else {
      ranges.append(first...last)
    }
  }

  consuming func finished() -> [ClosedRange<Int64>] {
    close()
    return ranges
  }
}

extension FlowStore {
  /// Commits, has everything in the database file, and opens a write transaction in which its pages can be read; nil
  /// where that is not possible (a reader still needs an older state, or SQLite cannot read beside its own writing): the
  /// transaction is open all the same.
  public func hopPages() throws(StoreError) -> HopPages? {
    try commit()
    settleIfLogged()
    return try write("hop pages") { db throws(StoreError) in
      guard let connection = db.sqliteConnection, PageFile.readsByPlace(connection) else { return nil }
      do {
        return try FlowPages(db, path: self.path).map(HopPages.init)
      } catch let error as StoreError {
        throw error
      } catch {
        return nil
      }
    }
  }
}
