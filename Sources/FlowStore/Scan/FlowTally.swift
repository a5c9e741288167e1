internal import Dispatch
internal import Flows
internal import GRDB
internal import GRDBSQLite
internal import Glibc

/// What to count, and by what.
public struct TallyRequest: Sendable {
  /// First millisecond to include, and first no longer included; nil is no limit.
  public var sinceMs: Int64?
  public var untilMs: Int64?
  /// Group of each source and destination by row id; negative ones are left out, and so are ids beyond the end. nil puts
  /// all into group 0.
  public var sourceGroups: [Int32]?
  public var destinationGroups: [Int32]?
  /// Only flows with a duration, and a histogram of it for each group; sums of bytes are left out.
  public var measuresDurations = false
  /// Also when the last flow of each group ended.
  public var measuresEnds = false
  /// Groups are told apart by `Tally.Group.step`, steps of this length above 0, and no longer by source and destination:
  /// those with a group below 0 are left out, as ever.
  public var stepMs: Int64?
  /// Sources are not told apart in the groups; which of them each group of destinations was met with stands beside these.
  /// Where they are too many, they are told apart after all.
  public var collectsSources = false
  /// A second query over one flow, as the words of a tally, without other parameters: of how many flows each of its rows
  /// says what they have in common, wherever they came from and went. For what stands below a report, in the same pass.
  public var totals: String?

  var tellsTimes: Bool { stepMs != nil || measuresEnds }

  public init() {}
}

/// Flows counted by what their verdict says, by source and by destination.
public struct Tally: Sendable {
  /// Small, for there may be hundreds of thousands.
  public struct Group: Sendable {
    /// Verdict, source and destination, in this order from the high bits down; or verdict and step.
    let key: UInt64
    public var flows: Int64 = 0
    private var sentSum: Int64 = 0
    private var receivedSum: Int64 = 0
    public var firstMs = Int64.max
    public var lastMs = Int64.min
    private var hasSent = false
    private var hasReceived = false

    static let placeBits: UInt64 = 21
    static let placeMask: UInt64 = 1 << placeBits - 1

    init(key: UInt64) { self.key = key }

    @inline(__always)
    static func key(verdict: Int32, source: Int32, destination: Int32) -> UInt64 {
      UInt64(UInt32(bitPattern: verdict)) << (2 * placeBits) | UInt64(UInt32(bitPattern: source)) << placeBits
        | UInt64(UInt32(bitPattern: destination))
    }

    /// Index into `verdicts`.
    @inline(__always) public var verdict: Int { Int(key >> (2 * Group.placeBits)) }
    @inline(__always) public var source: Int { Int(key >> Group.placeBits & Group.placeMask) }
    @inline(__always) public var destination: Int { Int(key & Group.placeMask) }

    /// Of a request with steps: which one since 1970, negative before.
    @inline(__always) public var step: Int64 {
      Int64(key & (1 << (2 * Group.placeBits) - 1)) - Group.firstStep
    }

    /// Steps before 1970 that a key has room for, and as many after.
    static let firstStep: Int64 = 1 << (2 * Int64(placeBits) - 1)

    /// - Parameter step: at least `-firstStep`, and below `firstStep`.
    @inline(__always)
    static func key(verdict: Int32, step: Int64) -> UInt64 {
      UInt64(UInt32(bitPattern: verdict)) << (2 * placeBits) | UInt64(bitPattern: step + firstStep)
    }

    /// Sums of the bytes that were logged; they stay at the end of the range. nil where none were.
    public var sent: Int64? { hasSent ? sentSum : nil }
    public var received: Int64? { hasReceived ? receivedSum : nil }

    @inline(__always)
    mutating func add(startedAtMs: Int64, sent: Int64?, received: Int64?) {
      flows &+= 1
      if let sent { addSent(sent) }
      if let received { addReceived(received) }
      firstMs = min(firstMs, startedAtMs)
      lastMs = max(lastMs, startedAtMs)
    }

    mutating func add(_ other: Group) {
      flows &+= other.flows
      if other.hasSent { addSent(other.sentSum) }
      if other.hasReceived { addReceived(other.receivedSum) }
      firstMs = min(firstMs, other.firstMs)
      lastMs = max(lastMs, other.lastMs)
    }

    @inline(__always)
    mutating func add(flows: Int64, firstMs: Int64, lastMs: Int64) {
      self.flows &+= flows
      self.firstMs = min(self.firstMs, firstMs)
      self.lastMs = max(self.lastMs, lastMs)
    }

    /// What an entry of a rollup holds; its sums are 0 where it has none.
    @inline(__always)
    mutating func add(_ entry: RollupCount) {
      add(flows: entry.flows, firstMs: entry.firstMs, lastMs: entry.lastMs)
      sentSum = GroupTable.sum(sentSum, entry.sent)
      receivedSum = GroupTable.sum(receivedSum, entry.received)
      hasSent = hasSent || entry.hasSent
      hasReceived = hasReceived || entry.hasReceived
    }

    @inline(__always)
    mutating func addSent(_ bytes: Int64) {
      sentSum = GroupTable.sum(sentSum, bytes)
      hasSent = true
    }

    @inline(__always)
    mutating func addReceived(_ bytes: Int64) {
      receivedSum = GroupTable.sum(receivedSum, bytes)
      hasReceived = true
    }
  }

  /// The rows that the words of the verdicts gave, each once.
  public var verdicts: [[Value]] = []
  /// In no order.
  public let groups: GroupList
  /// Of each group, where they are measured.
  public var durations: [Histogram] = []
  /// Of each group the latest end of a flow in Unix milliseconds, where it is asked for.
  public var ends: [Int64] = []
  /// Where sources are collected: those met with each group of destinations, a bit for each from the lowest of the first
  /// word on. nil where the groups tell them apart.
  public var sources: [[UInt64]]?
  /// The rows of the request's second query, and of how many flows each tells; in no order.
  public var totals: [(words: [Value], flows: Int64)] = []

  init(_ verdicts: VerdictGroups, _ sums: GroupSums, _ totals: VerdictTotals?) {
    self.verdicts = verdicts.verdicts
    groups = sums.groups
    durations = sums.durations
    ends = sums.ends
    sources = sums.sources?.sets
    self.totals = totals?.rows ?? []
  }
}

extension TallyRequest {
  /// Row ids that are read rather than found out to be of no use.
  private static let gap: Int64 = 1 << 10

  /// Those of some row ids that flows of the request's time have, and few others; ascending, as `ranges` are.
  func rows(in ranges: [ClosedRange<Int64>], _ db: Database) throws(StoreError) -> [ClosedRange<Int64>] {
    guard sinceMs != nil || untilMs != nil else { return ranges }
    var spans = try FlowStore.spans(
      minutes: FlowStore.minute(of: sinceMs ?? .min), FlowStore.minute(of: untilMs ?? .max), gap: TallyRequest.gap, db
    )[...]
    var rows: [ClosedRange<Int64>] = []
    for range in ranges {
      while let span = spans.first, span.lowerBound <= range.upperBound {
        if span.overlaps(range) { rows.append(span.clamped(to: range)) }
        // The next range may begin within it.
        if span.upperBound > range.upperBound { break }
        spans.removeFirst()
      }
    }
    return rows
  }
}

extension FlowReader {
  /// Counts flows without SQLite's own loop over the rows, on all processors: those that rollups tell of from there, the
  /// others row by row. nil when the file cannot be read that way at the moment (another process is writing to it, say):
  /// then the same is to be asked in SQL. Tests hold all three ways equal.
  ///
  /// - Parameters:
  ///   - words: a query over one flow, `:example`, of those that have a verdict in common; its row is what the groups are
  ///     made by. Without a row, these flows are left out. It may ask for the words of the verdict and the protocol, which
  ///     all of them have in common, and for nothing else of the flow.
  ///   - arguments: the query's other parameters.
  ///   - places: gives the request its groups of sources and destinations. It may ask the reader, which answers from the
  ///     state that is counted, and takes no time as long as rollups are read meanwhile. Called again where another process's
  ///     write came between.
  public func tally(
    _ request: TallyRequest, words: String, arguments: [String: Value] = [:],
    places: (inout TallyRequest) throws -> Void = { _ in }
  ) throws -> Tally? {
    try tally(request, words: words, arguments: arguments, usingRollups: usesRollups, places: places)
  }

  func tally(
    _ request: TallyRequest, words: String, arguments: [String: Value], usingRollups: Bool,
    places: (inout TallyRequest) throws -> Void = { _ in }
  ) throws -> Tally? {
    do {
      let paged = try withPages { db, pages in
        let tallied = try RollupRun.tallies(db)
        let runs = usingRollups ? try RollupRun.all(db) : []
        let chunks = try ChunkReading(
          (runs + tallied).filter { !$0.isOutside(request) && $0.canAnswer(request) },
          request.measuresDurations ? 1 : 0, pages)
        defer { chunks.stop() }
        var request = request
        try places(&request)
        return try tally(request, words, arguments, pages, runs, tallied, db) { runs, _ in
          try chunks.chunks(of: runs)
        }
      }
      if let paged { return paged }
      return try access { db in
        guard !db.isInsideTransaction else { return nil }
        try db.execute(sql: "begin")
        defer { try? db.execute(sql: "rollback") }
        let tallied = try RollupRun.tallies(db)
        if tallied.isEmpty { return nil }
        var request = request
        try places(&request)
        return try tally(request, words, arguments, nil, [], tallied, db) { runs, kind in
          try ChunkReading.chunks(of: runs, kind, db)
        }
      }
    } catch is NotToBeTallied {
      // What has no row is in no answer of SQL.
      guard try talliedFlows() == 0 else {
        throw StoreError.file(path: path, reason: "holds more sources, destinations and verdicts than can be summed up")
      }
      return nil
    }
  }

  /// There are more of something than arrays should hold.
  private struct NotToBeTallied: Error {}

  /// - Parameters:
  ///   - pages: nil where they cannot be read; a test asks so in any case.
  ///   - runs: rollups that may be used.
  ///   - chunks: brings those of runs and of a kind into memory.
  func tally(
    _ request: TallyRequest, _ words: String, _ arguments: [String: Value], _ pages: FlowPages?, _ runs: [RollupRun],
    _ tallied: [RollupRun], _ db: Database, chunks: ([RollupRun], Int) throws -> [ChunkReading.Chunks]
  ) throws -> Tally? {
    guard let connection = db.sqliteConnection else { return nil }
    // Of flows without rows the hour is known.
    if let stepMs = request.stepMs, stepMs % RollupGroups.hourMs != 0, !tallied.isEmpty { return nil }
    guard let tables = try VerdictTables(db), FlowScan.hasRoom(for: request, tables) else { throw NotToBeTallied() }
    func prepared(
      _ sql: String, _ arguments: [String: Value] = arguments
    ) throws -> (statement: Statement, names: [String]) {
      let statement = try Statement(sql, on: connection)
      let names = statement.parameters.map { String($0.dropFirst()) }
      for (index, name) in names.enumerated() where name != "example" {
        statement.bind(arguments[name] ?? .null, at: Int32(index + 1))
      }
      return (statement, names)
    }
    let lock = DispatchSemaphore(value: 1)
    func groups(_ words: String, _ arguments: [String: Value] = arguments) throws -> VerdictGroups {
      let (statement, names) = try prepared(words, arguments)
      guard let example = names.firstIndex(of: "example") else { throw NotToBeTallied() }
      return VerdictGroups(
        statement, example: Int32(example + 1), count: tables.verdictCount * JourneyPlaces.kinds,
        tallied: tallied.isEmpty ? nil : try prepared(TalliedExample.query(words), arguments), lock: lock)
    }
    let verdicts = try groups(words)
    let totals = try request.totals.map { VerdictTotals(try groups($0, [:])) }
    var runs = runs.filter { $0.isUsable(for: request, tables) }
    while true {
      let counted = try RollupTally(request, runs + tallied, tables, verdicts, totals, chunks: chunks)
      let ranges = try request.rows(in: RollupRun.ranges(without: runs), db)
      guard let places = try JourneyPlaces(of: ranges, db) else { throw NotToBeTallied() }
      let scan = FlowScan(
        request, pages, ranges, tables, places, try RelayedFlows(of: ranges, db), verdicts, totals)
      var scanned = pages == nil ? nil : try scan.run()
      if scanned == nil, !tallied.isEmpty { scanned = try scan.run(db) }
      guard let scanned else { throw NotToBeTallied() }
      guard let counted else { return Tally(verdicts, scanned, scan.totals) }
      if let sums = try counted.run(adding: scanned) {
        return Tally(verdicts, sums, scan.totals.map { $0.adding(counted.totals) })
      }
      // Some have entries on which there is more than one verdict by now: their rows are looked at instead.
      runs.removeAll { counted.divided.contains($0.id) }
    }
  }
}
