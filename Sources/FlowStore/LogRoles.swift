public import Flows
internal import GRDB

/// What the lines of a log show of it.
public struct LogLook: Sendable, Equatable {
  /// Roles that lines of it have, each once.
  public var roles: [Role] = []
  /// One line at least tells of a success.
  public var hasSuccess = false

  public init(roles: [Role] = [], hasSuccess: Bool = false) {
    self.roles = roles
    self.hasSuccess = hasSuccess
  }

  public func merged(with other: LogLook) -> LogLook {
    let all = roles + other.roles
    let known = Role.allCases.filter { $0 != .unknown && all.contains($0) }
    // A role that is known says more than one that some lines leave open.
    return LogLook(
      roles: known.isEmpty && !all.isEmpty ? [.unknown] : known, hasSuccess: hasSuccess || other.hasSuccess)
  }

  /// Whether merging with another one changes nothing.
  func shows(_ other: LogLook) -> Bool { (hasSuccess || !other.hasSuccess) && other.roles.allSatisfy(roles.contains) }

  /// Rows of log, role, and whether one of these lines tells of a success.
  static func read(_ rows: Statement) throws(StoreError) -> [Int64: LogLook] {
    var looks: [Int64: LogLook] = [:]
    while try rows.step() {
      let look = LogLook(
        roles: rows.text(1).flatMap(Role.init(rawValue:)).map { [$0] } ?? [], hasSuccess: rows.int(2) == 1)
      looks[rows.int(0)] = (looks[rows.int(0)] ?? LogLook()).merged(with: look)
    }
    return looks
  }
}

/// Where rows stand that one run has added: row ids, by the row id of their log.
public struct AddedRows: Sendable {
  private(set) var stretches: [Int64: [ClosedRange<Int64>]] = [:]

  public init() {}

  public mutating func add(_ rows: ClosedRange<Int64>, of log: Int64) {
    // The batches of one log mostly follow each other.
    if let last = stretches[log]?.last, last.upperBound + 1 == rows.lowerBound {
      stretches[log]![stretches[log]!.count - 1] = last.lowerBound...rows.upperBound
    } else {
      stretches[log, default: []].append(rows)
    }
  }

  /// From the first to the last row of a log, with what lies between.
  func span(of log: Int64) -> ClosedRange<Int64>? {
    guard let own = stretches[log], let first = own.map(\.lowerBound).min(), let last = own.map(\.upperBound).max()
    else { return nil }
    return first...last
  }

  func count(of log: Int64) -> Int64 { (stretches[log] ?? []).reduce(0) { $0 + Int64($1.count) } }

  public var count: Int64 { stretches.values.joined().reduce(0) { $0 + Int64($1.count) } }

  /// Row ids spread over the rows of each log, `count` of each, or all where it has fewer.
  func sample(_ count: Int64) -> [Int64] { stretches.values.flatMap { AddedRows.sample($0, count) } }

  /// At least `count` of the rows in these stretches, evenly spread; all where there are fewer. Of many, neighbours are taken
  /// together: they lie on one page, and reading pages is what looking at flows costs.
  static func sample(_ stretches: [ClosedRange<Int64>], _ count: Int64) -> [Int64] {
    let rows = stretches.reduce(0) { $0 + Int64($1.count) }
    let run = max(1, min(32, count / 64))
    // In each period the first `run` rows.
    let period = max(run, run * rows / max(1, count))
    var sample: [Int64] = []
    var passed: Int64 = 0
    for stretch in stretches {
      var place: Int64 = 0
      while place < Int64(stretch.count) {
        let phase = (passed + place) % period
        if phase < run {
          sample.append(stretch.lowerBound + place)
          place += 1
        } else {
          place += period - phase
        }
      }
      passed += Int64(stretch.count)
    }
    return sample
  }
}

/// Some flows of each log, by their facts.
public struct FlowSample: Sendable {
  fileprivate var flows: [(log: Int64, source: Int64, destination: Int64, outcome: Int64, startedAtMs: Int64)] = []

  public init() {}

  public func looks(by verdicts: VerdictIndex) -> [Int64: LogLook] {
    var looks: [Int64: LogLook] = [:]
    for flow in flows {
      let look = verdicts.look(
        source: flow.source, destination: flow.destination, outcome: flow.outcome, startedAtMs: flow.startedAtMs)
      let known = looks[flow.log] ?? LogLook()
      // Mostly a flow shows nothing that another one has not shown.
      if !known.shows(look) { looks[flow.log] = known.merged(with: look) }
    }
    return looks
  }
}

extension FlowStore {
  /// Flows whose verdict is looked up to see which roles the logs have: at a microsecond each, no time.
  private static let lookedAt: Int64 = 8_192
  /// Of each log at least this many.
  private static let lookedAtOfEach: Int64 = 16

  /// The number that the next flow will be higher than.
  public var lastFlow: Int64 {
    get throws(StoreError) {
      try access { db throws(StoreError) in
        let row = try db.statement("select coalesce(max(id), 0) from flow")
        return try row.step() ? row.int(0) : 0
      }
    }
  }

  /// The roles that lines of each log have by the last judgement, by row id of the log, and whether any tells of a success.
  ///
  /// Every flow is looked at where they are few, runs of them that are evenly spread where they are many: what is found is so,
  /// though what is rare may be missing.
  public func looksByLog() throws(StoreError) -> [Int64: LogLook] {
    let last = try lastFlow
    guard last > 0 else { return [:] }
    // Logs are not known here: more are looked at, so that small ones are met.
    return try look(at: AddedRows.sample([1...last], 6 * FlowStore.lookedAt))
  }

  /// The same of logs with new rows, by these alone.
  public func looksByLog(among rows: AddedRows) throws(StoreError) -> [Int64: LogLook] {
    guard !rows.stretches.isEmpty else { return [:] }
    return try look(at: FlowStore.sample(rows))
  }

  private static func sample(_ rows: AddedRows) -> [Int64] {
    rows.sample(max(lookedAtOfEach, lookedAt / Int64(max(rows.stretches.count, 1))))
  }

  /// The flows that `looksByLog(among:)` looks at, to be looked at by a judgement that is not written yet.
  public func sample(among rows: AddedRows) throws(StoreError) -> FlowSample {
    guard !rows.stretches.isEmpty else { return FlowSample() }
    return try access { db throws(StoreError) in
      let row = try db.statement(
        """
        select s.log, f.source, f.destination, f.outcome, f.started_at_ms
        from json_each(?) looked_at
        cross join flow f on f.id = looked_at.value
        cross join source s on s.id = f.source
        """)
      row.bind(.text(FlowStore.list(FlowStore.sample(rows))), at: 1)
      var sample = FlowSample()
      while try row.step() { sample.flows.append((row.int(0), row.int(1), row.int(2), row.int(3), row.int(4))) }
      return sample
    }
  }

  private static func list(_ flows: [Int64]) -> String { "[" + flows.map(String.init).joined(separator: ",") + "]" }

  private func look(at flows: [Int64]) throws(StoreError) -> [Int64: LogLook] {
    try access { db throws(StoreError) in
      let rows = try db.statement(
        """
        select judged_flow.log_id, judged_flow.role, max(judged_flow.outcome = 'ok')
        from json_each(?) looked_at
        cross join judged_flow on judged_flow.id = looked_at.value
        group by judged_flow.log_id, judged_flow.role
        order by judged_flow.log_id, judged_flow.role
        """)
      rows.bind(.text(FlowStore.list(flows)), at: 1)
      return try LogLook.read(rows)
    }
  }
}
