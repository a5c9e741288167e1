public import Flows

/// When the lines of each sidecar's log ended, and whether they tell of more than exceptions: what absence from that log
/// is worth. And when the clients of gateways and proxies came: a sidecar whose log ends before may have gone on. Gathered
/// beside joining, which looks at every line once.
public struct LineEnds: Sendable {
  public struct Entry: Sendable {
    /// Row id of the source.
    public var source: Int
    public var firstMs: Int64
    public var lastMs: Int64
    public var hasSuccess: Bool
  }

  private let traits: HopTraits
  private var first: [Int64]
  private var last: [Int64]
  private var success: [Bool]

  public init(_ traits: HopTraits) {
    self.traits = traits
    first = Array(repeating: .max, count: traits.sources.count)
    last = Array(repeating: .min, count: traits.sources.count)
    success = Array(repeating: false, count: traits.sources.count)
  }

  /// Notes what another has noted.
  public mutating func add(_ other: LineEnds) {
    for source in first.indices {
      first[source] = min(first[source], other.first[source])
      last[source] = max(last[source], other.last[source])
      success[source] = success[source] || other.success[source]
    }
  }

  /// Notes hops.
  public mutating func note(_ hops: [Hop]) {
    hops.withUnsafeBufferPointer { hops in
      traits.withTables { traits in
        for hop in hops where traits.hold(hop) && traits.sources[Int(hop.source)].hasNotedEnds {
          let source = Int(hop.source)
          // A line whose life is not known was written some time after its start.
          let end = hop.startedAtMs &+ max(hop.durationMs, 0)
          if end < first[source] { first[source] = end }
          if end > last[source] { last[source] = end }
          if !success[source], LineEnds.isUnremarkable(hop, traits) { success[source] = true }
        }
      }
    }
  }

  /// Nothing failed, and the destination is declared: what filters for exceptions leave out.
  private static func isUnremarkable(_ hop: Hop, _ traits: HopTraits.Tables) -> Bool {
    let outcome = traits.outcomes[Int(hop.outcome)]
    return traits.destinationKinds[Int(hop.destination)].contains(.isDeclared) && !outcome.isFlagged
      && outcome.status < 400
  }

  /// What was noted, by source.
  public var entries: [Entry] {
    first.indices.filter { first[$0] <= last[$0] }.map {
      Entry(source: $0, firstMs: first[$0], lastMs: last[$0], hasSuccess: success[$0])
    }
  }
}
