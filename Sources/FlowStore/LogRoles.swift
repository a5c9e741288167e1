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

  func merged(with other: LogLook) -> LogLook {
    let all = roles + other.roles
    let known = Role.allCases.filter { $0 != .unknown && all.contains($0) }
    // A role that is known says more than one that some lines leave open.
    return LogLook(
      roles: known.isEmpty && !all.isEmpty ? [.unknown] : known, hasSuccess: hasSuccess || other.hasSuccess)
  }

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

extension FlowStore {
  /// Flows whose verdict is looked up to see which roles a log has: at a microsecond each, a blink.
  private static let lookedAt: Int64 = 50_000

  /// The number that the next flow will be higher than.
  public var lastFlow: Int64 {
    get throws(StoreError) {
      try access { db throws(StoreError) in
        let row = try db.statement("select coalesce(max(id), 0) from flow")
        return try row.step() ? row.int(0) : 0
      }
    }
  }

  /// The roles that lines of each log have by the last judgement, by row id of the log, among the flows after `flow`, and
  /// whether any tells of a success. Every flow is looked at where they are few, evenly spread ones where they are many: what
  /// is found is so, though what is rare may be missing.
  public func looksByLog(after flow: Int64 = 0) throws(StoreError) -> [Int64: LogLook] {
    let last = try lastFlow
    guard last > flow else { return [:] }
    let stride = max(1, (last - flow) / FlowStore.lookedAt)
    return try access { db throws(StoreError) in
      try LogLook.read(
        try db.statement(
          """
          with recursive looked_at (id) as (
            select \(flow + 1)
            union all
            select id + \(stride)
            from looked_at
            where id + \(stride) <= \(last)
          )
          select judged_flow.log_id, judged_flow.role, max(judged_flow.outcome = 'ok')
          from looked_at
          cross join judged_flow on judged_flow.id = looked_at.id
          group by judged_flow.log_id, judged_flow.role
          order by judged_flow.log_id, judged_flow.role
          """))
    }
  }

  public func rolesByLog(after flow: Int64 = 0) throws(StoreError) -> [Int64: [Role]] {
    try looksByLog(after: flow).mapValues(\.roles)
  }
}
