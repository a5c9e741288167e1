public import Flows

/// Shares hops out by the addresses that they have in common with others, so that each part can be joined by itself.
///
/// All that joins needs one address at both ends: where the earlier hop dialled out, the later one has its client. A hop in
/// the middle of a way has two parts.
public struct HopParts: Sendable {
  private let traits: HopTraits
  public let count: Int
  /// What an earlier hop must have to be asked about, where later ones tell; nil where they do not.
  private let meetings: Meetings?

  /// - Parameter meetings: what was noted of all hops, where `asksFirst`.
  public init(_ traits: HopTraits, count: Int, _ meetings: NotedMeetings? = nil) {
    precondition(count > 0)
    self.traits = traits
    self.count = count
    self.meetings = meetings?.meetings
  }

  /// Next to no hop may have an earlier one, so that it is worth to look first what these ask for.
  public static func asksFirst(_ traits: HopTraits) -> Bool { traits.withTables { !$0.hasProxies } }

  /// The parts of each hop, side by side; `none` for one, or both, that a hop does not have.
  public func parts(of hops: [Hop], _ parts: inout [Pair]) {
    parts.removeAll(keepingCapacity: true)
    parts.reserveCapacity(hops.count)
    traits.withTables { traits in
      for hop in hops {
        var pair = Pair(earlier: Pair.none, later: Pair.none)
        if let source = traits.source(of: hop) {
          if source.pointee.hasEarlier {
            pair.later = UInt32(JoinWindow.part(of: source.pointee.client, count))
          }
          if let out = JoinWindow.out(hop, 0, source, traits), meetings?.mayHold(out) ?? true {
            let part = UInt32(JoinWindow.part(of: out.address, count))
            if part != pair.later { pair.earlier = part }
          }
        }
        parts.append(pair)
      }
    }
  }

  /// Where a hop is looked at: as a later one, perhaps as an earlier one too, and as an earlier one alone.
  public struct Pair: Sendable {
    public var earlier: UInt32
    public var later: UInt32
    public static let none = UInt32.max
  }

  /// Calls `body` with the hops of a part that have to be in memory to join it: later ones, and those that one of these may
  /// ask for.
  ///
  /// - Parameter meetings: what was noted of all hops of the part.
  public func forEachNeeded(
    of hops: some Sequence<Hop>, in part: Int, _ meetings: NotedMeetings, _ body: (Hop) -> Void
  ) {
    traits.withTables { traits in
      for hop in hops {
        guard let source = traits.source(of: hop) else { continue }
        if isLater(hop, in: part, traits) {
          body(hop)
        } else if let out = JoinWindow.out(hop, 0, source, traits), meetings.meetings.mayHold(out) {
          body(hop)
        }
      }
    }
  }

  /// Whether a hop of this part is looked at there as a later one.
  @inline(__always)
  func isLater(_ hop: Hop, in part: Int, _ traits: HopTraits.Tables) -> Bool {
    guard let source = traits.source(of: hop), source.pointee.hasEarlier else { return false }
    return JoinWindow.part(of: source.pointee.client, count) == part
  }
}

/// What hops ask for that may have an earlier one, of so many that they should not be in memory.
public struct NotedMeetings: Sendable {
  private let traits: HopTraits
  fileprivate private(set) var meetings: Meetings
  /// No hop may have an earlier one: nothing can be joined.
  public private(set) var isEmpty = true

  /// - Parameter expected: hops of which a part may have an earlier one.
  public init(_ traits: HopTraits, expecting expected: Int) {
    self.traits = traits
    meetings = Meetings(expecting: expected)
  }

  public mutating func note(_ hops: some Sequence<Hop>) {
    traits.withTables { traits in
      for hop in hops {
        guard let source = traits.source(of: hop), source.pointee.hasEarlier else { continue }
        isEmpty = false
        meetings.note(JoinWindow.in(hop, 0, source, traits), source.pointee)
      }
    }
  }

  /// Adds what another, made for as many, has noted.
  public mutating func add(_ other: NotedMeetings) {
    meetings.add(other.meetings)
    isEmpty = isEmpty && other.isEmpty
  }
}
