internal import Flows
internal import GRDB

/// The tables `pod_life` and `pod_address`: what `PodLives` makes of all imported snapshots, for SQL.
enum PodTables {
  /// Both anew; a snapshot between two others can end lives that are long over.
  static func fill(_ db: Database) throws(StoreError) {
    for table in ["pod_life", "pod_address"] { try db.run("delete from \(table)") }
    let record = try ClusterRecord(db)
    let lives = PodLives(record)
    var rows: [[Int64]] = []
    rows.reserveCapacity(lives.all.count)
    let addLife = try db.statement(
      """
      insert into pod_life (
        id, namespace, name, proxy, workload, started_ms, first_ms, until_ms, alive_first_ms, alive_last_ms,
        lines_from_ms, lines_until_ms
      )
      values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """)
    var id: Int64 = 0
    for life in lives.all {
      let states = life.objects.map { record.objects[$0] }
      let span = life.span
      var ids: [Int64] = []
      for proxy in Set(states.map(\.proxy)).sorted(by: { ($0?.rawValue ?? "") < ($1?.rawValue ?? "") }) {
        id += 1
        ids.append(id)
        try addLife.run(
          .integer(id), .text(states[0].namespace), .text(states[0].name),
          .text((proxy ?? ClusterObject.Proxy.none).rawValue),
          .text(states.map { $0.workload ?? $0.name }.max() ?? ""), Value(states[0].startedMs),
          .integer(span.fromMs), end(span.untilMs), Value(life.aliveMs?.lowerBound), Value(life.aliveMs?.upperBound),
          .integer(span.linesFromMs), .integer(span.linesUntilMs))
      }
      rows.append(ids)
    }
    let addAddress = try db.statement(
      """
      insert into pod_address (life, address, from_ms, until_ms, lines_from_ms, lines_until_ms) values (?, ?, ?, ?, ?, ?)
      """)
    for (address, holds) in lives.holds.sorted(by: { ($0.key.high, $0.key.low) < ($1.key.high, $1.key.low) }) {
      let text = Value.text(address.description)
      for hold in holds {
        for row in rows[hold.life] {
          try addAddress.run(
            .integer(row), text, .integer(hold.span.fromMs), end(hold.span.untilMs), .integer(hold.span.linesFromMs),
            .integer(hold.span.linesUntilMs))
        }
      }
    }
  }

  private static func end(_ ms: Int64) -> Value { ms == .max ? .null : .integer(ms) }
}
