internal import FlowStore

extension TalliedAnswer {
  /// Flows that are looked at one by one; of more SQL looks at all there are.
  private static let mostSuspicious = 500_000

  /// Signs of spoofing belong to destinations, mostly to few: the flows to those are found page by page, and what is odd about each
  /// of them is asked of the query itself.
  static func suspicious(_ query: Query, _ arguments: [String: Value], _ store: FlowReader) throws -> TalliedAnswer? {
    // What was kept as sums alone the answer has to say it leaves out.
    guard try store.talliedFlows() == 0 else { return nil }
    var marked: [Int64] = []
    try store.query("select distinct destination_id from suspicious_destination order by 1") { row in
      if let id = row[0].integer { marked.append(id) }
    }
    guard let flows = try store.flows(to: marked, atMost: mostSuspicious) else { return nil }
    guard !flows.isEmpty else {
      let columns = [
        "kind", "confidence", "address", "evidence", "source_id", "destination_id", "flows", "first_seen", "last_seen",
      ]
      return try answer(query, arguments, with: [CommonTable(name: "seen", columns: columns, rows: [])], store)
    }
    // In this order, or each flow there is would be compared with those found.
    let sql = query.sql.replacing(
      "from suspicious_flow f\n", with: "from json_each(:found) n cross join suspicious_flow f on f.id = n.value\n")
    guard sql != query.sql else { return nil }
    var arguments = arguments
    arguments["found"] = .text("[" + flows.map(String.init).joined(separator: ",") + "]")
    let answer = try store.rows(sql, arguments: arguments)
    return TalliedAnswer(columns: answer.columns, rows: answer.rows)
  }
}
