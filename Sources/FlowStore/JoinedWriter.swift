public import Flows
internal import GRDB

/// Writes what joining finds, stretch by stretch, each inside the transaction that is open then. Belongs to the store's thread,
/// and is gone before the store is closed.
public final class JoinedWriter {
  private let store: FlowStore
  private let blocks: HopBlockWriter
  private let senders: SenderWriter

  public init(_ store: FlowStore) throws(StoreError) {
    self.store = store
    (blocks, senders) = try store.access { db throws(StoreError) in (try HopBlockWriter(db), try SenderWriter(db)) }
  }

  /// The flows of `decided` that are not in `joined` are joined with no other.
  /// - Parameter joined: ascending by flow, as `decided` is, which holds them all.
  public func write(_ joined: [JoinedHop], of decided: [ClosedRange<Int64>]) throws(StoreError) {
    guard !decided.isEmpty else { return }
    try store.write("hops") { _ throws(StoreError) in
      var next = 0
      for span in decided {
        var first = span.lowerBound
        let begin = next
        while first <= span.upperBound {
          let last = min(span.upperBound, (first / HopBlocks.flows + 1) * HopBlocks.flows - 1)
          var end = next
          while end < joined.count, joined[end].flow <= last { end += 1 }
          try blocks.set(first...last, joined[next..<end])
          (next, first) = (end, last + 1)
        }
        try senders.set(span, joined[begin..<next])
      }
      precondition(next == joined.count, "a joined flow is not among those that were decided")
      try blocks.finish()
      try senders.finish()
    }
  }
}
