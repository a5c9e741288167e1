public import Flows
internal import Glibc

/// What the parts of many hops have found, at up to 20 bytes for each of them, where the hops themselves should not be in memory.
///
/// `@unchecked Sendable`: parts are added by several threads. Of a hop, one part alone looks at what comes before it, and one at
/// what comes after: they write to different places. What is learned beside is under the caller's lock.
public final class LinkTable: @unchecked Sendable {
  private let traits: HopTraits
  private let parts: HopParts
  private let count: Int
  /// One more than the number of the hop before, 0 for none.
  private let earlier: UnsafeMutablePointer<UInt32>
  /// As a later hop, and as an earlier one alone.
  private let marks: UnsafeMutablePointer<(JoinWindow.Mark, JoinWindow.Mark)>
  /// Of hops that are before another; one more than the source.
  private let sources: UnsafeMutablePointer<UInt32>
  private let names: UnsafeMutablePointer<UInt64>
  private var minutes: [ClockMinute] = []
  private var signs = KeySet()
  private var tellsOfClocks = false
  /// No part had a hop that may have an earlier one.
  private var isEmpty = true

  /// - Parameter count: of all hops.
  public init(_ traits: HopTraits, _ parts: HopParts, count: Int) {
    self.traits = traits
    self.parts = parts
    self.count = count
    earlier = LinkTable.zeros(count)
    marks = LinkTable.zeros(count)
    sources = LinkTable.zeros(count)
    names = LinkTable.zeros(count)
  }

  /// Memory that the system gives page by page, where something is written: lines of one proxy follow each other, and most
  /// of them are all before others, or all behind.
  private static func zeros<Number>(_ count: Int) -> UnsafeMutablePointer<Number> {
    guard let memory = calloc(max(count, 1), MemoryLayout<Number>.stride) else { fatalError("out of memory") }
    return memory.bindMemory(to: Number.self, capacity: count)
  }

  deinit {
    for memory in [UnsafeMutableRawPointer(earlier), .init(marks), .init(sources), .init(names)] { free(memory) }
  }

  /// Adds what was found among hops of a part, which have their numbers in `flow`.
  ///
  /// - Parameters:
  ///   - from, until: when the hops began of which this decides.
  public func add(_ links: JoinLinks, of hops: [Hop], part: Int, from: Int64, until: Int64) {
    guard !links.isEmpty else { return }
    precondition(links.earlier.count == hops.count, "links of other hops")
    traits.withTables { tables in
      links.withTables { found in
        for (index, hop) in hops.enumerated() where hop.startedAtMs >= from && hop.startedAtMs < until {
          let number = self.number(hop)
          let mark = found.marks[index]
          guard parts.isLater(hop, in: part, tables) else {
            if !mark.isEmpty { marks[number].1 = mark }
            continue
          }
          if !mark.isEmpty { marks[number].0 = mark }
          guard found.earlier[index] >= 0 else { continue }
          let before = hops[Int(found.earlier[index])]
          let beforeNumber = self.number(before)
          earlier[number] = UInt32(beforeNumber) + 1
          guard names[beforeNumber] == 0 else { continue }
          sources[beforeNumber] = UInt32(before.source) + 1
          names[beforeNumber] = traits.digest(of: before)
        }
      }
    }
  }

  private func number(_ hop: Hop) -> Int {
    precondition(hop.flow >= 0 && hop.flow < count, "a hop of a part has no number")
    return Int(hop.flow)
  }

  /// Adds what else was learned of these hops: of clocks, and that there was something to join; one thread at a time.
  public func learn(_ links: JoinLinks, from: Int64, until: Int64) {
    guard !links.isEmpty else { return }
    isEmpty = false
    minutes += links.minutes.filter { $0.ms >= from && $0.ms < until }
    signs.formUnion(links.signs)
    tellsOfClocks = tellsOfClocks || links.tellsOfClocks
  }

  /// The journeys of hops that are numbered from `first` on, once all parts were added.
  public func joined(_ hops: [Hop], numberedFrom first: Int, from: Int64, until: Int64) -> [JoinedHop] {
    guard !isEmpty else { return [] }
    return Journeys(traits: traits, links: Decided(self)).journeys(
      of: hops, numberedFrom: first, from: from, until: until)
  }

  /// Notes what they show of clocks.
  public func note(_ hops: [Hop], numberedFrom first: Int, in clocks: inout ClockMinutes, from: Int64, until: Int64) {
    guard !isEmpty else { return }
    clocks.note(
      hops, numberedFrom: first, Decided(self), signs: signs, tellsOfClocks: tellsOfClocks, from: from, until: until)
  }

  /// What was learned of clocks in the minutes from `from` on.
  public func clocks(from: Int64, until: Int64) -> ClockSkews { JoinLinks.clocks(minutes, from: from, until: until) }

  private struct Decided: DecidedHops {
    private let count: Int
    private let earlier: UnsafeMutablePointer<UInt32>
    private let marks: UnsafeMutablePointer<(JoinWindow.Mark, JoinWindow.Mark)>
    private let sources: UnsafeMutablePointer<UInt32>
    private let names: UnsafeMutablePointer<UInt64>

    init(_ table: LinkTable) {
      count = table.count
      (earlier, marks, sources, names) = (table.earlier, table.marks, table.sources, table.names)
    }

    @inline(__always) private func checked(_ hop: Int) -> Int {
      precondition(hop >= 0 && hop < count)
      return hop
    }

    @inline(__always) func earlier(than hop: Int) -> Int { Int(earlier[checked(hop)]) - 1 }
    @inline(__always) func mark(of hop: Int) -> JoinWindow.Mark {
      let (later, alone) = marks[checked(hop)]
      return later.union(alone)
    }
    @inline(__always) func source(ofEarlier hop: Int) -> Int32 { Int32(sources[checked(hop)]) - 1 }
    @inline(__always) func name(ofEarlier hop: Int) -> UInt64 { names[checked(hop)] }
  }
}
