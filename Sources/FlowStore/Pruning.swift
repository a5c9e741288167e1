internal import GRDB

extension FlowStore {
  /// Removes the flows that began before a time (Unix milliseconds), inside the open transaction; returns how many. Flows
  /// without rows go by whole hours.
  ///
  /// What the removed flows alone referred to goes too. Reading positions stay, so nothing is read again; rejected
  /// lines stay within their own bounds. Parsers must start their dictionaries anew afterwards.
  public func prune(before startedAtMs: Int64) throws(StoreError) -> Int {
    try write("prune") { db throws(StoreError) in
      let counts = try db.statement(
        """
        update log set pruned = pruned + old.flows
        from (
          select s.log, count(*) as flows
          from flow f
          join source s on s.id = f.source
          where f.started_at_ms < ?
          group by s.log
        ) old
        where old.log = log.id
        """)
      try counts.run(.integer(startedAtMs))
      let unseen = try FlowStore.unseenRows(before: startedAtMs, db)
      var blocks: [Int64] = []
      let touched = try db.statement(
        "select distinct id / \(HopBlocks.flows) as block from flow where started_at_ms < ? order by block")
      touched.bind(startedAtMs, at: 1)
      while try touched.step() { blocks.append(touched.int(0)) }
      try self.beforeWrite?("prune tallies")
      let tallied = try TallyPruning.prune(before: startedAtMs, seen: FlowStore.lastSeenTally(db), db)
      try FlowStore.notePrunedUnseen(unseen + tallied.unseen, db)
      try self.beforeWrite?("prune rollups")
      try FlowStore.dropRollups(before: startedAtMs, db)
      try self.beforeWrite?("prune flows")
      try db.statement("delete from flow where started_at_ms < ?").run(.integer(startedAtMs))
      let removed = db.changesCount + Int(tallied.flows)
      try FlowStore.dropRollupsBehindLastRow(db)
      try FlowStore.lowerAlertMark(db)
      try self.beforeWrite?("prune evidence")
      try db.statement("delete from evidence where started_at_ms < ?").run(.integer(startedAtMs))
      guard removed > 0 else { return 0 }
      // What was left unread then is as old.
      try db.statement("update log set unread = null where last_read_at_ms < ?").run(.integer(startedAtMs))
      // No answer vouches for what was there before.
      try db.statement(
        """
        insert into meta (key, value) values ('pruned_before_ms', ?)
        on conflict (key) do update set value = max(cast(value as integer), cast(excluded.value as integer))
        """
      ).run(.integer(startedAtMs))
      try HopBlocks.clearGone(blocks: blocks, db)
      try db.run("delete from relayed_flow where flow not in (select id from flow)")
      // Of sources with senders, those that some flow is left of; a sender stays with them.
      try db.run("delete from source where sender is not null and id not in (select source from relayed_flow)")
      try db.statement("delete from flow_minute where minute < ?").run(.integer(FlowStore.minute(of: startedAtMs)))
      try db.statement("delete from open_minute where minute < ?").run(.integer(FlowStore.minute(of: startedAtMs)))
      try db.statement("delete from tallied_minute where minute < ?").run(
        .integer(FlowStore.minute(of: startedAtMs)))
      try db.run("delete from line_print where log in (select id from log where stored = pruned)")
      try TallyPruning.listReferences(db)
      try db.statement("delete from clock_hour where hour < ?").run(
        .integer(FlowStore.minute(of: startedAtMs) / 60))
      for (kind, table, column) in [
        (1, "source", "source"), (2, "destination", "destination"), (3, "outcome", "outcome"),
        (4, "path_template", "path_template"),
      ] {
        try self.beforeWrite?("prune \(table)")
        try db.run(
          """
          delete from \(table)
          where id not in (select \(column) from flow where \(column) is not null)
            and id not in (select id from temp.tallied_id where kind = \(kind))
            \(table == "source" ? SenderWriter.keptSources : "")
          """)
        try db.run("delete from dictionary_key where kind = \(kind) and id not in (select id from \(table))")
      }
      try db.run("delete from met_destination where destination not in (select id from destination)")
      try db.run("delete from outcome_verdict where outcome not in (select id from outcome)")
      // The judgement was of more than there is now.
      try db.run("delete from meta where key = 'judgement'")
      try self.writer.setJudged(false, on: db)
      try self.writer.forget(db)
      return removed
    }
  }

  /// Flows that no `alert` has looked at yet, also where the first one is yet to come.
  private static func unseenRows(before startedAtMs: Int64, _ db: Database) throws(StoreError) -> Int64 {
    let mark = try text(ofMeta: "alert_mark", db).flatMap(AlertMark.init(text:))
    let count = try db.statement("select count(*) from flow where id > ? and started_at_ms < ?")
    count.bind(mark?.flow ?? 0, at: 1)
    count.bind(startedAtMs, at: 2)
    return try count.step() ? count.int(0) : 0
  }

  /// The last tally that an `alert` has looked at; where one has, and did not note it, none counts as new.
  private static func lastSeenTally(_ db: Database) throws(StoreError) -> Int64 {
    guard try text(ofMeta: "alert_mark", db) != nil else { return 0 }
    return try text(ofMeta: "alert_tally", db).flatMap { Int64($0) } ?? .max
  }

  private static func text(ofMeta key: String, _ db: Database) throws(StoreError) -> String? {
    let row = try db.statement("select value from meta where key = ?")
    row.bind(key, at: 1)
    return try row.step() ? row.text(0) : nil
  }

  private static func notePrunedUnseen(_ flows: Int64, _ db: Database) throws(StoreError) {
    guard flows > 0 else { return }
    try db.statement(
      """
      insert into meta (key, value) values ('pruned_unseen', ?)
      on conflict (key) do update set value = cast(value as integer) + cast(excluded.value as integer)
      """
    ).run(.integer(flows))
  }

  /// The rows and tallies that come next get the ids behind the highest one that is left: where the newest flows went, those of
  /// flows that an `alert` had looked at.
  private static func lowerAlertMark(_ db: Database) throws(StoreError) {
    let row = try db.statement(
      "select value, (select coalesce(max(id), 0) from flow) from meta where key = 'alert_mark'")
    guard try row.step(), var mark = row.text(0).flatMap(AlertMark.init(text:)) else { return }
    mark.flow = min(mark.flow, row.int(1))
    row.reset()
    try db.statement("update meta set value = ? where key = 'alert_mark'").run(.text(mark.text))
    try db.run(
      """
      update meta
      set value = min(cast(value as integer), (select coalesce(max(id), 0) from tally_run))
      where key = 'alert_tally'
      """)
  }

  /// Flows that were pruned before an `alert` looked at them, since the last one.
  public var prunedUnseen: Int64 {
    get throws(StoreError) { try meta("pruned_unseen").flatMap { Int64($0) } ?? 0 }
  }

  /// Gives the pages of removed flows back to the file system; needs as much free space as the store is large.
  public func compact() throws(StoreError) {
    try commit()
    try access { db throws(StoreError) in
      // The copy that vacuum makes first must not lie in memory.
      try db.run("pragma temp_store = file")
      try db.run("vacuum")
      try db.run("pragma temp_store = memory")
    }
  }
}
