/// One stored flow, seen as a step of a longer way: what joining needs of its row.
///
/// Ids of source, destination, outcome and path template are those of the store.
public struct Hop: Sendable {
  /// Row id of the flow.
  public var flow: Int64
  /// Unix milliseconds.
  public var startedAtMs: Int64
  /// -1 when not logged, as `sent` and `received`.
  public var durationMs: Int64
  public var sent: Int64
  public var received: Int64
  /// 0 when there is no request id.
  public var requestHash: UInt64
  public var line: Int64
  public var source: Int32
  public var destination: Int32
  public var outcome: Int32
  /// -1 when there is none.
  public var pathTemplate: Int32
  /// The client's port (DR); 0 when not logged.
  public var sourcePort: UInt16
  /// The port this proxy dialled out from (UL); 0 when not logged.
  public var localPort: UInt16

  public init(
    flow: Int64, startedAtMs: Int64, durationMs: Int64 = -1, sent: Int64 = -1, received: Int64 = -1,
    requestHash: UInt64 = 0, line: Int64 = 0, source: Int32, destination: Int32, outcome: Int32,
    pathTemplate: Int32 = -1, sourcePort: UInt16 = 0, localPort: UInt16 = 0
  ) {
    self.flow = flow
    self.startedAtMs = startedAtMs
    self.durationMs = durationMs
    self.sent = sent
    self.received = received
    self.requestHash = requestHash
    self.line = line
    self.source = source
    self.destination = destination
    self.outcome = outcome
    self.pathTemplate = pathTemplate
    self.sourcePort = sourcePort
    self.localPort = localPort
  }
}

/// The place of a flow in its journey.
public struct JourneyPlace: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// An earlier hop was found by the connection itself: its addresses and ports, or its bytes and times.
  public static let hasEarlier = JourneyPlace(rawValue: 1 << 0)
  public static let hasLater = JourneyPlace(rawValue: 1 << 1)
  /// An attempt that was repeated; the journey's answer is a later one.
  public static let isRepeated = JourneyPlace(rawValue: 1 << 2)
  /// The earlier hop was found by the request id alone, which a client can write; or by bytes and times alone, at a Squid of
  /// which nothing shows that it led there; or is a sidecar before an SNI proxy, past the gateway: it proves nothing.
  public static let hasClaimedEarlier = JourneyPlace(rawValue: 1 << 3)
  /// A proxy's line with no earlier hop, and no line that was read of the client's own could be it.
  public static let isUnaccounted = JourneyPlace(rawValue: 1 << 4)
  /// The connection is one that the client's own sidecar logged, though not which of its lines this one belongs to.
  public static let isFromSidecar = JourneyPlace(rawValue: 1 << 5)
  /// The later hop was found by bytes and times alone, at a Squid that does not say where it is: the two are one way only if this
  /// one led there.
  public static let leadsByLooks = JourneyPlace(rawValue: 1 << 6)
}

/// A flow that belongs to a journey of at least two hops, or whose hop before is missing.
public struct JoinedHop: Hashable, Sendable {
  /// Row id of the flow.
  public var flow: Int64
  /// Made of the first hop's own content: the same whenever and in whatever order the logs were read; 0 for a single hop.
  public var journey: UInt64
  public var place: JourneyPlace
  /// The source of the first hop, where another proxy handed this one on and the connections of all hops between prove it;
  /// 0 where the hop's own source is who sent it, as far as is known.
  public var sender: Int32

  public init(flow: Int64, journey: UInt64, place: JourneyPlace, sender: Int32 = 0) {
    self.flow = flow
    self.journey = journey
    self.place = place
    self.sender = sender
  }
}
