public import Flows
internal import GRDB

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

  /// The roles that lines of each log have by the last judgement, by row id of the log, among the flows after `flow`.
  /// Every flow is looked at where they are few, evenly spread ones where they are many: each role named is one that a
  /// line has, though a rare one may be missing.
  public func rolesByLog(after flow: Int64 = 0) throws(StoreError) -> [Int64: [Role]] {
    let last = try lastFlow
    guard last > flow else { return [:] }
    let stride = max(1, (last - flow) / FlowStore.lookedAt)
    return try access { db throws(StoreError) in
      let rows = try db.statement(
        """
        with recursive looked_at (id) as (
          select \(flow + 1)
          union all
          select id + \(stride)
          from looked_at
          where id + \(stride) <= \(last)
        )
        select distinct judged_flow.log_id, judged_flow.role
        from looked_at
        cross join judged_flow on judged_flow.id = looked_at.id
        order by judged_flow.log_id, judged_flow.role
        """)
      var found: [Int64: Set<Role>] = [:]
      while try rows.step() {
        if let role = rows.text(1).flatMap(Role.init(rawValue:)) { found[rows.int(0), default: []].insert(role) }
      }
      return found.mapValues { roles in
        // A role that is known says more than one that some lines leave open.
        let known = Role.allCases.filter { roles.contains($0) && $0 != .unknown }
        return known.isEmpty ? [.unknown] : known
      }
    }
  }
}
