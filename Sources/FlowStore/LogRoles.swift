public import Flows
internal import GRDB

extension FlowStore {
  /// The roles that the lines of each log have by the last judgement, by row id of the log; logs without lines are left out.
  public func rolesByLog() throws(StoreError) -> [Int64: [Role]] {
    try access { db throws(StoreError) in
      let rows = try db.statement(
        """
        with log_class as (
          select distinct log, class
          from source
        ), class_role as (
          select distinct (key >> 20) & 1048575 as class, role
          from route_verdict
        )
        select log, role
        from log_class
        join class_role using (class)
        order by log, role
        """)
      var found: [Int64: Set<Role>] = [:]
      while try rows.step() {
        if let role = rows.text(1).flatMap(Role.init(rawValue:)) { found[rows.int(0), default: []].insert(role) }
      }
      return found.mapValues { roles in
        // A role that is known says more than one that some routes leave open.
        let known = Role.allCases.filter { roles.contains($0) && $0 != .unknown }
        return known.isEmpty ? [.unknown] : known
      }
    }
  }
}
