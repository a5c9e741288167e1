internal import GRDB

/// Up to where `gatewatch alert` has weighed the lines of a log.
public struct WeighedLines: Sendable, Equatable {
  public var log: Int64
  public var stored: Int64
  public var rejected: Int64
  /// It was told that most were rejected.
  public var isTold: Bool

  public init(log: Int64, stored: Int64, rejected: Int64, isTold: Bool) {
    self.log = log
    self.stored = stored
    self.rejected = rejected
    self.isTold = isTold
  }
}

/// New flows of a log that were too few for `gatewatch alert` to say anything of them, and are counted with the next ones.
public struct CarriedFlows: Sendable, Equatable {
  public var log: Int64
  public var flows: Int64
  /// Those on an unknown path.
  public var unknown: Int64
  /// Of those before, it was told that most were.
  public var isTold: Bool

  public init(log: Int64, flows: Int64, unknown: Int64, isTold: Bool) {
    self.log = log
    self.flows = flows
    self.unknown = unknown
    self.isTold = isTold
  }
}

extension FlowStore {
  /// Inside the open transaction.
  public func note(weighed: [WeighedLines], carried: [CarriedFlows]) throws(StoreError) {
    guard !weighed.isEmpty || !carried.isEmpty else { return }
    try write("weighed lines") { db throws(StoreError) in
      let lines = try db.statement(
        """
        insert into weighed_log (log, stored, rejected, told_rejected) values (?, ?, ?, ?)
        on conflict (log) do update set
          stored = excluded.stored, rejected = excluded.rejected, told_rejected = excluded.told_rejected
        """)
      for log in weighed {
        try lines.run(.integer(log.log), .integer(log.stored), .integer(log.rejected), .integer(log.isTold ? 1 : 0))
      }
      let flows = try db.statement(
        """
        insert into weighed_log (log, flows, unknown, told_unknown) values (?, ?, ?, ?)
        on conflict (log) do update set
          flows = excluded.flows, unknown = excluded.unknown, told_unknown = excluded.told_unknown
        """)
      for log in carried {
        try flows.run(.integer(log.log), .integer(log.flows), .integer(log.unknown), .integer(log.isTold ? 1 : 0))
      }
    }
  }
}
