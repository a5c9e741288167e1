internal import GRDB

/// What `gatewatch alert` knows of one thing it watches, from run to run.
public struct StoredFinding: Sendable, Equatable {
  /// What makes two observations the same finding.
  public struct Key: Sendable, Hashable {
    public var kind: String
    public var source: String
    public var host: String
    public var port: Int64

    public init(kind: String, source: String, host: String, port: Int64) {
      self.kind = kind
      self.source = source
      self.host = host
      self.port = port
    }
  }
  public enum State: String, Sendable {
    /// Recorded, and not worth a message so far: of severity info, or below its threshold.
    case watched
    /// Told.
    case open
    /// Told or watched once, and by the present verdicts no finding any more.
    case closed
  }

  public var key: Key
  public var severity: String
  public var count: Int64 = 0
  public var firstSeenMs: Int64?
  public var lastSeenMs: Int64?
  public var firstAlertedMs: Int64?
  public var lastAlertedMs: Int64?
  /// Times it was told.
  public var alerts: Int64 = 0
  /// `count` when it was told last.
  public var alertedCount: Int64 = 0
  public var state: State = .watched

  /// It was told, and has gone on since.
  public var isUntold: Bool { state == .open && count > alertedCount }

  public init(key: Key, severity: String) {
    self.key = key
    self.severity = severity
  }
}

/// How far `gatewatch alert` has looked.
public struct AlertMark: Sendable, Equatable {
  /// The highest row id of a flow that was looked at.
  public var flow: Int64
  /// The verdicts it was looked at with; other verdicts mean to look at everything again.
  public var judgement: String
  /// Flows removed by then: afterwards row ids may be given anew.
  public var pruned: Int64
  /// The highest row id of a destination by then; 0 where that was not noted.
  public var destination: Int64
  /// The hash of the policy it was judged by; nil where that was not noted.
  public var policy: String?

  public init(flow: Int64, judgement: String, pruned: Int64, destination: Int64 = 0, policy: String? = nil) {
    self.flow = flow
    self.judgement = judgement
    self.pruned = pruned
    self.destination = destination
    self.policy = policy
  }

  init?(text: String) {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false)
    guard let judgement = parts.last else { return nil }
    let numbers = parts.dropLast().prefix(3).map { Int64($0) }
    guard 2...3 ~= numbers.count, parts.count <= 5, let flow = numbers[0], let pruned = numbers[1] else { return nil }
    self.init(
      flow: flow, judgement: String(judgement), pruned: pruned,
      destination: (numbers.count == 3 ? numbers[2] : nil) ?? 0, policy: parts.count == 5 ? String(parts[3]) : nil)
  }

  var text: String { "\(flow) \(pruned) \(destination) \(policy.map { "\($0) " } ?? "")\(judgement)" }
}

extension FlowStore {
  /// Where the last `alert` stopped; nil before the first.
  public func alertMark() throws(StoreError) -> AlertMark? {
    try meta("alert_mark").flatMap(AlertMark.init(text:))
  }

  /// Where an `alert` that looks now will have stopped.
  public func presentAlertMark() throws(StoreError) -> AlertMark {
    let judgement = try meta("judgement") ?? ""
    let policy = try meta("policy_hash") ?? ""
    return try access { db throws(StoreError) in
      let row = try db.statement(
        """
        select
          (select coalesce(max(id), 0) from flow),
          (select coalesce(sum(pruned), 0) from log),
          (select coalesce(max(id), 0) from destination)
        """)
      guard try row.step() else { return AlertMark(flow: 0, judgement: judgement, pruned: 0) }
      return AlertMark(
        flow: row.int(0), judgement: judgement, pruned: row.int(1), destination: row.int(2), policy: policy)
    }
  }

  public func findings() throws(StoreError) -> [StoredFinding] {
    try access { db throws(StoreError) in
      var findings: [StoredFinding] = []
      let row = try db.statement(
        "select \(StoredFinding.columns) from finding order by kind, source, host, port")
      while try row.step() { findings.append(StoredFinding(row)) }
      return findings
    }
  }

  /// Of the findings with these keys, those that are known; and all of some kinds.
  public func findings(
    among keys: Set<StoredFinding.Key>, andOf kinds: Set<String> = []
  ) throws(StoreError) -> [StoredFinding] {
    try access { db throws(StoreError) in
      // As one transaction: each by itself would ask for the file's locks. In the order of the index, where neighbours lie on
      // one page.
      let isOne = !db.isInsideTransaction
      if isOne { try db.run("begin") }
      defer { if isOne { try? db.execute(sql: "commit") } }
      var findings: [StoredFinding] = []
      let row = try db.statement(
        "select \(StoredFinding.columns) from finding where kind = ? and source = ? and host = ? and port = ?")
      for key in keys.filter({ !kinds.contains($0.kind) }).sorted(by: {
        ($0.kind, $0.source, $0.host, $0.port) < ($1.kind, $1.source, $1.host, $1.port)
      }) {
        row.bind(key.kind, at: 1)
        row.bind(key.source, at: 2)
        row.bind(key.host, at: 3)
        row.bind(key.port, at: 4)
        while try row.step() { findings.append(StoredFinding(row)) }
      }
      let rows = try db.statement("select \(StoredFinding.columns) from finding where kind = ?")
      for kind in kinds {
        rows.bind(kind, at: 1)
        while try rows.step() { findings.append(StoredFinding(rows)) }
      }
      return findings
    }
  }

  /// What was told, and has gone on since.
  public func untoldFindings() throws(StoreError) -> [StoredFinding] {
    try access { db throws(StoreError) in
      var findings: [StoredFinding] = []
      let row = try db.statement(
        "select \(StoredFinding.columns) from finding where count > alerted_count and state = 'open'")
      while try row.step() { findings.append(StoredFinding(row)) }
      return findings
    }
  }

  /// When the first of the untold findings is to be told, in Unix milliseconds, as `save` noted it; nil where it did not.
  public func untoldDueMs() throws(StoreError) -> Int64? { try meta("finding_due_ms").flatMap { Int64($0) } }

  /// Writes findings, and how far was looked, inside the open transaction.
  /// - Parameter dueMs: when the first of the untold findings is to be told; nil where that is not known.
  public func save(_ findings: [StoredFinding], mark: AlertMark, dueMs: Int64? = nil) throws(StoreError) {
    try write("findings") { db throws(StoreError) in
      let insert = try db.statement(
        """
        insert into finding (
          kind, source, host, port, severity, count, first_seen_ms, last_seen_ms, first_alerted_ms,
          last_alerted_ms, alerts, alerted_count, state)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        on conflict (kind, source, host, port) do update set
          severity = excluded.severity,
          count = excluded.count,
          first_seen_ms = excluded.first_seen_ms,
          last_seen_ms = excluded.last_seen_ms,
          first_alerted_ms = excluded.first_alerted_ms,
          last_alerted_ms = excluded.last_alerted_ms,
          alerts = excluded.alerts,
          alerted_count = excluded.alerted_count,
          state = excluded.state
        """)
      for finding in findings {
        try insert.run(
          .text(finding.key.kind), .text(finding.key.source), .text(finding.key.host), .integer(finding.key.port),
          .text(finding.severity), .integer(finding.count), Value(finding.firstSeenMs), Value(finding.lastSeenMs),
          Value(finding.firstAlertedMs), Value(finding.lastAlertedMs), .integer(finding.alerts),
          .integer(finding.alertedCount), .text(finding.state.rawValue))
      }
      let note = try db.statement("insert or replace into meta (key, value) values (?, ?)")
      try note.run("alert_mark", .text(mark.text))
      try note.run("finding_due_ms", dueMs.map { .text(String($0)) } ?? .null)
      try db.run(
        "insert or replace into meta (key, value) select 'alert_tally', coalesce(max(id), 0) from tally_run")
      try db.run("delete from meta where key = 'pruned_unseen'")
    }
  }
}

extension StoredFinding {
  fileprivate static let columns = """
    kind, source, host, port, severity, count, first_seen_ms, last_seen_ms, first_alerted_ms, last_alerted_ms, alerts, \
    alerted_count, state
    """

  fileprivate init(_ row: Statement) {
    self.init(
      key: .init(kind: row.text(0) ?? "", source: row.text(1) ?? "", host: row.text(2) ?? "", port: row.int(3)),
      severity: row.text(4) ?? "")
    count = row.int(5)
    firstSeenMs = row.value(6).integer
    lastSeenMs = row.value(7).integer
    firstAlertedMs = row.value(8).integer
    lastAlertedMs = row.value(9).integer
    alerts = row.int(10)
    alertedCount = row.int(11)
    state = row.text(12).flatMap(State.init(rawValue:)) ?? .watched
  }
}
