internal import Flows

/// What was decided of hops that have numbers.
protocol DecidedHops {
  /// The number of the hop before; negative for none.
  func earlier(than hop: Int) -> Int
  func mark(of hop: Int) -> JoinWindow.Mark
  /// The source of a hop that is before another.
  func source(ofEarlier hop: Int) -> Int32
  /// What the journey that begins with it is called: of a hop that is before another.
  func name(ofEarlier hop: Int) -> UInt64
}

/// Hops that are all in memory, numbered by their place.
struct WindowHops: DecidedHops {
  private let hops: UnsafeBufferPointer<Hop>
  private let links: JoinLinks.Tables
  private let traits: HopTraits
  /// Of each hop that was asked about; 0 for unknown.
  private let names: UnsafeMutableBufferPointer<UInt64>

  /// Valid while `body` runs.
  /// - Parameter asksNames: whether it asks for any.
  static func with<Result>(
    _ hops: [Hop], _ links: JoinLinks, _ traits: HopTraits, asksNames: Bool, _ body: (WindowHops) -> Result
  ) -> Result {
    precondition(links.isEmpty || links.earlier.count == hops.count, "links of other hops")
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: asksNames ? hops.count : 0) { names in
      names.initialize(repeating: 0)
      return hops.withUnsafeBufferPointer { hops in
        links.withTables { links in body(WindowHops(hops: hops, links: links, traits: traits, names: names)) }
      }
    }
  }

  @inline(__always) func earlier(than hop: Int) -> Int { Int(links.earlier[hop]) }
  @inline(__always) func mark(of hop: Int) -> JoinWindow.Mark { links.marks[hop] }
  @inline(__always) func source(ofEarlier hop: Int) -> Int32 { hops[hop].source }

  @inline(__always) func name(ofEarlier hop: Int) -> UInt64 {
    if names[hop] == 0 { names[hop] = traits.digest(of: hops[hop]) }
    return names[hop]
  }
}
