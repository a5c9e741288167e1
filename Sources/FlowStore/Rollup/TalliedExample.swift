/// A flow that stands for some that have no row, so that SQL can be asked for the words of their verdict.
struct TalliedExample {
  var source, destination, outcome, startedAtMs: Int64

  /// A query over one flow, `:example`, turned into the same query over a flow that no table holds: this program's views
  /// are spelled out in front of it, over a table `flow` of one row. What the views say stays written once. The flow has a
  /// duration, since `latency_flow` shows no other; who counts flows asks nothing that depends on it.
  static func query(_ words: String) -> String {
    var parts = [
      """
      flow as (
        select
          0 as id, :tallied_start as started_at_ms, 0 as duration_ms, :tallied_source as source,
          :tallied_destination as destination, :tallied_outcome as outcome, null as path_template,
          -2147483648 as ports, null as sent, null as received, null as request_hash, null as line
      )
      """, "hop_place as (select null as block, null as places where false)",
      "hop_journey as (select null as block, null as journeys where false)",
    ]
    for view in Schema.views {
      guard let begin = view.sql.firstRange(of: "create view "),
        let name = view.sql[begin.upperBound...].firstRange(of: " as\n"), let end = view.sql.lastIndex(of: ";")
      else { preconditionFailure("\(view.name) makes a view") }
      parts.append("\(view.sql[begin.upperBound..<name.lowerBound]) as (\(view.sql[name.upperBound..<end]))")
    }
    return "with \(parts.joined(separator: ",\n")) \(words)"
  }

  /// Binds a statement of `query`, whose parameters are `names`.
  func bind(_ statement: Statement, _ names: [String]) {
    for (index, name) in names.enumerated() {
      let value: Int64? =
        switch name {
        case "example": 0
        case "tallied_start": startedAtMs
        case "tallied_source": source
        case "tallied_destination": destination
        case "tallied_outcome": outcome
        default: nil
        }
      if let value { statement.bind(.integer(value), at: Int32(index + 1)) }
    }
  }
}
