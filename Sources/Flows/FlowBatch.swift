/// One flow as a row of integers: what does not repeat, and the ids of what does.
///
/// Ids are local to the parser that wrote the batch, count from 0, and are resolved by the `new...` lists of the batches
/// in the order in which the parser filled them.
public struct FlowRow: Sendable {
  /// Unix time in milliseconds of the start; computed from the end where the proxy logs the end.
  public var startedAtMs: Int64
  /// Milliseconds; -1 when not logged.
  public var durationMs: Int64
  /// Bytes towards the destination; -1 when not logged.
  public var sent: Int64
  /// Bytes from the destination; -1 when not logged.
  public var received: Int64
  /// 64-bit hash of the request id, version digit masked; 0 when there is none.
  public var requestHash: UInt64
  /// 1-based line in the log (of the file's present generation).
  public var line: Int64
  public var source: Int32
  public var destination: Int32
  public var outcome: Int32
  /// Templated URL path; -1 when there is none.
  public var pathTemplate: Int32
  /// The client's port (DR); 0 when not logged.
  public var sourcePort: UInt16
  /// The port this proxy dialled out from (UL); 0 when not logged.
  public var localPort: UInt16

  public init() {
    startedAtMs = 0
    durationMs = -1
    sent = -1
    received = -1
    requestHash = 0
    line = 0
    source = -1
    destination = -1
    outcome = -1
    pathTemplate = -1
    sourcePort = 0
    localPort = 0
  }
}

/// A line that nothing understood: counted, and kept within bounds.
public struct RejectedLine: Sendable, Equatable {
  /// A short machine word: `unrecognised`, `malformed-envoy`, `unknown-json`, `too-long`, `too-many-records`, ...
  public var reason: String
  /// 1-based line in the log.
  public var line: Int64
  /// What and where, for people: `column 34: expected a number, found "x"`; may be empty.
  public var detail: String
  /// At most `RejectedLine.maxText` bytes of the line, as they stand in the log.
  public var text: [UInt8]

  /// Bytes of a rejected line that are kept.
  public static let maxText = 4096

  public init(reason: String, line: Int64, detail: String = "", text: [UInt8]) {
    self.reason = reason
    self.line = line
    self.detail = detail
    self.text = text
  }
}

/// What one pass of the parser over one stretch of one log produced; the unit that crosses module borders.
///
/// A batch belongs to one stage at a time: the parser fills it, the store empties it, then it may be filled again.
/// `lines read == count + rejectedCount + skippedCount` always holds.
public final class FlowBatch: @unchecked Sendable {
  /// Rows a batch holds: small enough that a pool of them stays in the second-level cache, large enough that hand-over costs nothing per row.
  public static let defaultCapacity = 8192

  public let capacity: Int
  public let rows: UnsafeMutablePointer<FlowRow>
  public var count = 0

  /// New dictionary entries, in the order of their local ids. `first...` is the id of the first entry of the list: when it is
  /// lower than the number of ids known so far, the parser has started its dictionary anew and older ids are void.
  public var newSources: [Source] = []
  public var firstNewSource: Int32 = 0
  public var newDestinations: [Destination] = []
  public var firstNewDestination: Int32 = 0
  public var newOutcomes: [Outcome] = []
  public var firstNewOutcome: Int32 = 0
  public var newPathTemplates: [String] = []
  public var firstNewPathTemplate: Int32 = 0

  /// Rejected lines: all are counted, by reason; the first ones of a batch are kept.
  public var rejectedCount = 0
  public var rejectedByReason: [String: Int] = [:]
  public var rejected: [RejectedLine] = []
  /// Skipped lines by kind (`blank`, `envoy-log`, ...).
  public var skippedCount = 0
  public var skippedByKind: [String: Int] = [:]
  /// Stored lines by format name.
  public var storedByFormat: [String: Int] = [:]
  /// Earliest start and latest end of the rows (Unix milliseconds); `Int64.max`/`Int64.min` while there are none.
  public var firstMs = Int64.max
  public var lastMs = Int64.min

  /// Rejected lines that a batch keeps in full; the rest are only counted.
  public static let maxKeptRejected = 64

  /// Kinds of skipped lines: a block of NUL bytes inside of a log, where lines were or will be, as a crash or a write that came late
  /// leaves it; and one at its beginning, which a writer that kept its place makes of a log that was cut.
  public static let hole = "nul-hole"
  /// A few NUL bytes: no line.
  public static let nuls = "nul-block"
  public static let leadingHole = "nul-beginning"

  public init(capacity: Int = FlowBatch.defaultCapacity) {
    precondition(capacity > 0)
    self.capacity = capacity
    rows = .allocate(capacity: capacity)
  }

  deinit { rows.deallocate() }

  /// Counts something that is no line of traffic.
  public func skip(_ kind: String) {
    skippedCount += 1
    skippedByKind[kind, default: 0] += 1
  }

  /// So many NUL bytes stand for more than the glue between two records.
  public static let leastHole = 16

  /// That a block of NUL bytes which was counted stands at the beginning of the log, if one does.
  /// - Parameter beginning: the first bytes of the log.
  public func noteLeadingHole(_ beginning: UnsafeRawBufferPointer) {
    guard beginning.count >= FlowBatch.leastHole, beginning.prefix(FlowBatch.leastHole).allSatisfy({ $0 == 0 }),
      let holes = skippedByKind[FlowBatch.hole]
    else { return }
    skippedByKind[FlowBatch.hole] = holes > 1 ? holes - 1 : nil
    skippedByKind[FlowBatch.leadingHole] = 1
  }

  public var isEmpty: Bool { count == 0 && rejectedCount == 0 && skippedCount == 0 }
  public var linesRead: Int { count + rejectedCount + skippedCount }

  /// Empties the batch for its next use; the row memory stays.
  public func reset() {
    count = 0
    newSources.removeAll(keepingCapacity: true)
    newDestinations.removeAll(keepingCapacity: true)
    newOutcomes.removeAll(keepingCapacity: true)
    newPathTemplates.removeAll(keepingCapacity: true)
    rejectedCount = 0
    rejectedByReason.removeAll(keepingCapacity: true)
    rejected.removeAll(keepingCapacity: true)
    skippedCount = 0
    skippedByKind.removeAll(keepingCapacity: true)
    storedByFormat.removeAll(keepingCapacity: true)
    firstMs = .max
    lastMs = .min
  }
}
