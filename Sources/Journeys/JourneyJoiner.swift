public import Flows

/// Joins hops into journeys: a pure function of the hops of a stretch of time.
///
/// A wrong join is worse than none: two hops are joined when, among all hops whose clocks could allow it, each is the
/// other's only candidate. The rules run from the strongest to the weakest, and what stays ambiguous under one is not
/// offered to the next:
///
/// 1. the connection (UL = DR, UH = DL) with equal bytes, and for HTTP the request id, authority, method and path;
/// 2. the connection and everything a request shows, where the gateway gave it another id or none is logged;
/// 3. repeated attempts of a request, by its id and the client's address;
/// 4. the connection alone, where it is TCP to the earlier hop and one HTTP request to the later;
/// 5. for proxies that log no client port: client address, server name (or CONNECT), bytes, and the end of both;
/// 6. at Squid, plain requests by the same, and failed tunnels by the end of both alone.
///
/// Where a Squid logs no address of its own, the last two prove nothing unless most of the client's other lines of that time
/// lead to the same place.
public struct JourneyJoiner: Sendable {
  private let traits: HopTraits

  public init(_ traits: HopTraits) { self.traits = traits }

  /// The hops among `hops` that began at `from..<until` and belong to a journey, in their order.
  ///
  /// Right for all of them when `hops` holds everything within `JoinLimits.influenceMs` of that stretch.
  public func join(_ hops: [Hop], from: Int64, until: Int64) -> [JoinedHop] {
    joined(hops, links(hops), from: from, until: until)
  }

  /// What is found among `hops`: all of them, or those of one part (`HopParts`).
  public func links(_ hops: [Hop], part: Int = 0, of parts: Int = 1) -> JoinLinks {
    precondition(hops.count < Int(Int32.max) / 4, "a window has too many hops")
    return traits.withTables { traits in
      hops.withUnsafeBufferPointer { hops in
        let window = JoinWindow(hops, traits, part: part, of: parts)
        defer { window.deallocate() }
        guard !window.ins.isEmpty else { return JoinLinks() }
        // Where nothing dialled out, as in the log of a lone forward proxy, there are no pairs.
        let hasPairs = !window.outs.isEmpty
        if hasPairs { join(window) }
        window.markAbsence()
        if hasPairs { window.markClocks() }
        return JoinLinks(window)
      }
    }
  }

  private func join(_ window: JoinWindow) {
    window.joinByConnection()
    window.joinBySignature()
    window.joinRepeated()
    window.joinOpened()
    window.joinWithoutPorts()
    window.joinAtSquid()
    window.claimWithoutWitness()
  }

  /// Those of `hops` that began at `from..<until` and belong to a journey, by what was found among them.
  public func joined(_ hops: [Hop], _ links: JoinLinks, from: Int64, until: Int64) -> [JoinedHop] {
    guard !links.isEmpty else { return [] }
    return WindowHops.with(hops, links, traits, asksNames: true) { decided in
      Journeys(traits: traits, links: decided).journeys(of: hops, numberedFrom: 0, from: from, until: until)
    }
  }

  /// The addresses of clocks as texts.
  public func named(_ skews: ClockSkews) -> [ClockSkew] {
    let texts = traits.texts(of: skews.addresses)
    return skews.named { texts[$0] ?? "" }
  }
}

/// Which hop comes before which, and what was learned of clocks on the way.
public struct JoinLinks: Sendable {
  private(set) var earlier: [Int32] = []
  private(set) var marks: [JoinWindow.Mark] = []
  private(set) var minutes: [ClockMinute] = []
  /// Of whom something was heard in which minute: `ClockMinutes.sign(_:_:_:)`.
  private(set) var signs = KeySet()
  /// Some hops may show how right a clock is.
  private(set) var tellsOfClocks = false

  /// No hop has another.
  public var isEmpty: Bool { earlier.isEmpty }

  public init() {}

  init(_ window: JoinWindow) {
    minutes = window.clockMinutes()
    signs = window.clockSigns()
    tellsOfClocks = window.tellsOfClocks
    earlier = Array(window.earlier)
    marks = Array(window.marks)
  }

  /// What was learned of clocks in the minutes from `from` on.
  public func clocks(from: Int64, until: Int64) -> ClockSkews { JoinLinks.clocks(minutes, from: from, until: until) }

  static func clocks(_ minutes: [ClockMinute], from: Int64, until: Int64) -> ClockSkews {
    var skews = ClockSkews()
    for minute in minutes where minute.ms >= from && minute.ms < until {
      skews.add(minute.pair, skewMs: minute.skewMs, samples: minute.samples, at: minute.ms)
    }
    return skews
  }

  /// Both by the place of the hop.
  struct Tables {
    let earlier: UnsafeBufferPointer<Int32>
    let marks: UnsafeBufferPointer<JoinWindow.Mark>
  }

  /// Valid while `body` runs.
  func withTables<Result>(_ body: (Tables) -> Result) -> Result {
    earlier.withUnsafeBufferPointer { earlier in
      marks.withUnsafeBufferPointer { marks in body(Tables(earlier: earlier, marks: marks)) }
    }
  }
}
