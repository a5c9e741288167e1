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
  /// Only flows with a duration, and a histogram of it for each group.
  public var measuresDurations = false

  public init() {}
}

/// Flows counted by what their verdict says, by source and by destination.
public struct Tally: Sendable {
  public struct Group: Sendable {
    /// Index into `verdicts`.
    public var verdict: Int
    public var source: Int
    public var destination: Int
    public var flows: Int64 = 0
    /// Sums of the bytes that were logged; they stay at the end of the range. nil where none were.
    public var sent: Int64?
    public var received: Int64?
    public var firstMs: Int64 = .max
    public var lastMs: Int64 = .min
    /// Only where durations are measured.
    public var durations = Histogram()
  }

  /// The rows that the words of the verdicts gave, each once.
  public var verdicts: [[Value]] = []
  /// In no order.
  public var groups: [Group] = []
}

extension FlowReader {
  /// Counts flows without SQLite's own loop over the rows, on all processors; nil when the file cannot be read that way at
  /// the moment (another process is writing to it, say): then the same is to be asked in SQL. A test holds both ways equal.
  ///
  /// - Parameters:
  ///   - words: a query over one flow, `:example`, of those that have a verdict in common; its row is what the groups are
  ///     made by. Without a row, these flows are left out.
  ///   - arguments: the query's other parameters.
  public func tally(
    _ request: TallyRequest, words: String, arguments: [String: Value] = [:]
  ) throws -> Tally? {
    try access { db in
      guard let connection = db.sqliteConnection, !db.isInsideTransaction else { return nil }
      try db.execute(sql: "begin")
      defer { try? db.execute(sql: "rollback") }
      // The first look opens the snapshot that the pages are checked against.
      let table = try db.statement("select rootpage from sqlite_schema where type = 'table' and name = 'flow'")
      guard try table.step(), let root = UInt32(exactly: table.int(0)) else { return nil }
      table.reset()
      do {
        let pages = try FlowPages(connection: connection, path: path, root: root)
        guard let tables = try VerdictTables(db), let places = try JourneyPlaces(db) else { return nil }
        let statement = try Statement(words, on: connection)
        let names = statement.parameters.map { String($0.dropFirst()) }
        for (index, name) in names.enumerated() where name != "example" {
          statement.bind(arguments[name] ?? .null, at: Int32(index + 1))
        }
        guard let example = names.firstIndex(of: "example") else { return nil }
        let verdicts = VerdictGroups(
          statement, example: Int32(example + 1), count: tables.verdictCount * JourneyPlaces.kinds)
        return try FlowTallying(request, pages, tables, places, verdicts)?.run()
      } catch is FlowPages.Unusable {
        return nil
      }
    }
  }
}

/// What joining says of each flow, as far as verdicts depend on it: a byte per flow, by row id.
private struct JourneyPlaces {
  /// Nothing; a proven earlier hop; not the hop to count; both.
  static let kinds = 4
  /// Above this many bytes SQLite's own loop is asked instead.
  private static let most: Int64 = 256 << 20
  /// By the bits of a place.
  private static let kindOfPlace: [UInt8] = (UInt8(0)...15).map {
    let place = JourneyPlace(rawValue: $0)
    return (place.contains(.hasEarlier) ? 1 : 0) + (place.isDisjoint(with: [.hasLater, .isRepeated]) ? 0 : 2)
  }
  private var kinds: [UInt8] = []

  init?(_ db: Database) throws {
    let last = try db.statement("select max(block) from hop_place")
    guard try last.step(), let block = last.optionalInt(0) else { return }
    last.reset()
    guard block >= 0, block < JourneyPlaces.most / HopBlocks.flows else { return nil }
    kinds = Array(repeating: 0, count: Int((block + 1) * HopBlocks.flows))
    let rows = try db.statement("select block, places from hop_place order by block")
    while try rows.step() {
      guard let places = rows.blob(1), places.count == HopBlocks.placeBytes,
        let first = Int(exactly: rows.int(0) * HopBlocks.flows), kinds.indices.contains(first)
      else { return nil }
      for (index, place) in places.enumerated() where place != 0 {
        kinds[first + index] = JourneyPlaces.kindOfPlace[Int(place & 15)]
      }
    }
  }

  @inline(__always) func kind(of flow: Int64) -> Int {
    flow >= 0 && flow < kinds.count ? Int(kinds[Int(flow)]) : 0
  }
}

/// The group of each verdict, asked for when its first flow is met.
///
/// `@unchecked Sendable`: the statement runs under `lock`; each place of `groups` goes from unknown to its value once,
/// written under the lock and read without it as one aligned word, so that a reader sees either.
private final class VerdictGroups: @unchecked Sendable {
  static let unknown: Int32 = -2
  private let statement: Statement
  private let example: Int32
  let groups: UnsafeMutablePointer<Int32>
  private var known: [[Value]: Int32] = [:]
  private(set) var verdicts: [[Value]] = []
  private(set) var failure: StoreError?
  private let lock = DispatchSemaphore(value: 1)

  init(_ statement: Statement, example: Int32, count: Int) {
    self.statement = statement
    self.example = example
    groups = .allocate(capacity: count)
    groups.initialize(repeating: VerdictGroups.unknown, count: count)
  }

  deinit { groups.deallocate() }

  @inline(never)
  func ask(_ verdict: Int, _ flow: Int64) -> Int32 {
    lock.wait()
    defer { lock.signal() }
    if groups[verdict] != VerdictGroups.unknown { return groups[verdict] }
    var group: Int32 = -1
    do throws(StoreError) {
      statement.bind(.integer(flow), at: example)
      if try statement.step() {
        let row = (0..<statement.columnCount).map { statement.value($0) }
        group = known[row] ?? Int32(verdicts.count)
        if known.updateValue(group, forKey: row) == nil { verdicts.append(row) }
      }
      statement.reset()
    } catch {
      failure = failure ?? error
    }
    // Once, and when it is certain: the other threads read it without the lock.
    groups[verdict] = group
    return group
  }
}

/// One tally in the making: the leaves are shared out to the processors, and what each has counted is added up.
///
/// `@unchecked Sendable`: what is written while several threads run is under `lock`.
private final class FlowTallying: @unchecked Sendable {
  private let request: TallyRequest
  private let pages: FlowPages
  private let tables: VerdictTables
  private let places: JourneyPlaces
  private let verdicts: VerdictGroups
  private let lock = DispatchSemaphore(value: 1)
  private var nextLeaf = 0
  private var isUnusable = false
  private var total = GroupTable()

  /// Verdicts, and groups of one kind, that a key has room for.
  private static let maxVerdicts = 1 << 24
  private static let maxGroups: Int32 = 1 << 21
  /// More processors would wait for the file.
  private static let maxThreads = 8
  /// Leaves handed to a thread at a time: enough that asking costs nothing, few enough that all end together.
  private static let leavesPerShare = 16

  init?(
    _ request: TallyRequest, _ pages: FlowPages, _ tables: VerdictTables, _ places: JourneyPlaces,
    _ verdicts: VerdictGroups
  ) {
    guard tables.verdictCount <= FlowTallying.maxVerdicts / JourneyPlaces.kinds,
      request.sourceGroups?.max() ?? 0 < FlowTallying.maxGroups,
      request.destinationGroups?.max() ?? 0 < FlowTallying.maxGroups
    else { return nil }
    self.request = request
    self.pages = pages
    self.tables = tables
    self.places = places
    self.verdicts = verdicts
  }

  func run() throws -> Tally? {
    let shares = (pages.leaves.count + FlowTallying.leavesPerShare - 1) / FlowTallying.leavesPerShare
    let threads = max(1, min(FlowTallying.maxThreads, shares, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
    DispatchQueue.concurrentPerform(iterations: threads) { _ in countShares() }
    if let failure = verdicts.failure { throw failure }
    if isUnusable { return nil }
    return Tally(verdicts: verdicts.verdicts, groups: total.groups)
  }

  private func nextShare() -> Range<Int>? {
    lock.wait()
    defer { lock.signal() }
    guard nextLeaf < pages.leaves.count, !isUnusable else { return nil }
    let begin = nextLeaf
    nextLeaf = min(begin + FlowTallying.leavesPerShare, pages.leaves.count)
    return begin..<nextLeaf
  }

  private func countShares() {
    var table = GroupTable()
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: FlowPages.pagesPerRead * pages.pageSize + FlowPages.slack, alignment: 16)
    buffer.initializeMemory(as: UInt8.self, repeating: 0)
    defer { buffer.deallocate() }
    var isGood = true
    do {
      while isGood, let share = nextShare() {
        var leaf = share.lowerBound
        while isGood, leaf < share.upperBound {
          let count = pages.run(from: leaf, below: share.upperBound)
          try pages.read(pages.leaves[leaf], count: count, into: buffer)
          for page in 0..<count where isGood {
            isGood = self.count(UnsafeRawPointer(buffer.baseAddress! + page * pages.pageSize), into: &table)
          }
          leaf += count
        }
      }
    } catch {
      isGood = false
    }
    lock.wait()
    if isGood { total.add(table) } else { isUnusable = true }
    lock.signal()
  }

  private func count(_ page: UnsafeRawPointer, into table: inout GroupTable) -> Bool {
    let since = request.sinceMs ?? .min
    let until = request.untilMs ?? .max
    let isUnlimited = request.untilMs == nil
    let measures = request.measuresDurations
    return FlowRecord.forEach(in: page, usableSize: pages.usableSize) { flow in
      guard flow.startedAtMs >= since, flow.startedAtMs < until || isUnlimited else { return }
      if measures && flow.durationMs < 0 { return }
      var source: Int32 = 0
      if let groups = request.sourceGroups {
        guard flow.source >= 0, flow.source < groups.count else { return }
        source = groups[Int(flow.source)]
        if source < 0 { return }
      }
      var destination: Int32 = 0
      if let groups = request.destinationGroups {
        guard flow.destination >= 0, flow.destination < groups.count else { return }
        destination = groups[Int(flow.destination)]
        if destination < 0 { return }
      }
      guard let verdictNumber = tables.verdict(of: flow) else { return }
      let number = verdictNumber * JourneyPlaces.kinds + places.kind(of: flow.id)
      var verdict = verdicts.groups[number]
      if verdict == VerdictGroups.unknown { verdict = verdicts.ask(number, flow.id) }
      guard verdict >= 0 else { return }
      let key = UInt64(verdict) << 42 | UInt64(source) << 21 | UInt64(destination)
      let slot = table.slot(of: key)
      table.entries[slot].add(flow)
      if measures { table.measure(flow.durationMs, slot) }
    }
  }
}

/// Groups by their key: an open-addressing table of numbers, and what they number side by side.
private struct GroupTable {
  struct Entry {
    var key: UInt64
    var flows: Int64 = 0
    var sent: Int64 = 0
    var received: Int64 = 0
    var firstMs = Int64.max
    var lastMs = Int64.min
    var hasSent = false
    var hasReceived = false

    init(key: UInt64) { self.key = key }

    @inline(__always)
    mutating func add(_ flow: FlowRecord) {
      flows &+= 1
      if flow.hasSent {
        sent = GroupTable.sum(sent, flow.sent)
        hasSent = true
      }
      if flow.hasReceived {
        received = GroupTable.sum(received, flow.received)
        hasReceived = true
      }
      firstMs = min(firstMs, flow.startedAtMs)
      lastMs = max(lastMs, flow.startedAtMs)
    }
  }

  var entries: [Entry] = []
  private var histograms: [Histogram] = []
  /// Numbers of entries plus one; 0 is free.
  private var places: [Int32] = Array(repeating: 0, count: 1024)
  private var lastKey = UInt64.max
  private var lastSlot = 0

  @inline(__always)
  static func sum(_ one: Int64, _ other: Int64) -> Int64 {
    let (sum, isOver) = one.addingReportingOverflow(other)
    return isOver ? (other > 0 ? .max : .min) : sum
  }

  @inline(__always)
  mutating func slot(of key: UInt64) -> Int {
    if key == lastKey { return lastSlot }
    let mask = places.count - 1
    var place = GroupTable.place(of: key, mask)
    while true {
      let number = places[place]
      if number == 0 { break }
      if entries[Int(number) - 1].key == key {
        lastKey = key
        lastSlot = Int(number) - 1
        return lastSlot
      }
      place = (place + 1) & mask
    }
    return insert(key, at: place)
  }

  @inline(__always)
  private static func place(of key: UInt64, _ mask: Int) -> Int {
    // Fibonacci hashing: the product's high bits depend on all bits of the key.
    Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask
  }

  @inline(never)
  private mutating func insert(_ key: UInt64, at place: Int) -> Int {
    entries.append(Entry(key: key))
    places[place] = Int32(entries.count)
    lastKey = key
    lastSlot = entries.count - 1
    // At most half full, so that look-ups stay short.
    if entries.count * 2 > places.count {
      let mask = places.count * 2 - 1
      places = Array(repeating: 0, count: mask + 1)
      for (index, entry) in entries.enumerated() {
        var place = GroupTable.place(of: entry.key, mask)
        while places[place] != 0 { place = (place + 1) & mask }
        places[place] = Int32(index + 1)
      }
    }
    return lastSlot
  }

  @inline(__always)
  mutating func measure(_ duration: Int64, _ slot: Int) {
    while histograms.count < entries.count { histograms.append(Histogram()) }
    histograms[slot].add(duration)
  }

  mutating func add(_ other: GroupTable) {
    if entries.isEmpty {
      self = other
      return
    }
    for (index, entry) in other.entries.enumerated() {
      let slot = slot(of: entry.key)
      entries[slot].flows &+= entry.flows
      entries[slot].sent = GroupTable.sum(entries[slot].sent, entry.sent)
      entries[slot].received = GroupTable.sum(entries[slot].received, entry.received)
      entries[slot].firstMs = min(entries[slot].firstMs, entry.firstMs)
      entries[slot].lastMs = max(entries[slot].lastMs, entry.lastMs)
      entries[slot].hasSent = entries[slot].hasSent || entry.hasSent
      entries[slot].hasReceived = entries[slot].hasReceived || entry.hasReceived
      if index < other.histograms.count {
        while histograms.count < entries.count { histograms.append(Histogram()) }
        histograms[slot].merge(other.histograms[index])
      }
    }
  }

  var groups: [Tally.Group] {
    entries.indices.map { index in
      let entry = entries[index]
      var group = Tally.Group(
        verdict: Int(entry.key >> 42), source: Int(entry.key >> 21 & 0x1FFFFF), destination: Int(entry.key & 0x1FFFFF))
      group.flows = entry.flows
      group.sent = entry.hasSent ? entry.sent : nil
      group.received = entry.hasReceived ? entry.received : nil
      group.firstMs = entry.firstMs
      group.lastMs = entry.lastMs
      if index < histograms.count { group.durations = histograms[index] }
      return group
    }
  }
}
