internal import FlowStore

extension TalliedAnswer {
  /// Which logs were read, for which time. What would look at all flows is tallied: the common tables `tally`, `usual` and
  /// `gap`; the rest is asked as it stands.
  static func coverage(_ query: Query, _ arguments: [String: Value], _ store: FlowReader) throws -> TalliedAnswer? {
    // Sources of a log that the report does not tell apart stand for one another.
    var examples: [Int64] = []
    let sources = try ShownAlike(
      "select s.id, s.log, coalesce(s.pod, s.proxy_ip) from source s order by 2, 3, s.id", [:], in: store)
    for (id, group) in sources.groups.enumerated() where group >= 0 {
      if examples.count <= Int(group) { examples += repeatElement(-1, count: Int(group) + 1 - examples.count) }
      if examples[Int(group)] < 0 { examples[Int(group)] = Int64(id) }
    }
    let words = "select f.role, f.outcome from judged_flow f where f.id = :example order by f.id"
    var request = request(arguments)
    request.sourceGroups = sources.groups
    guard let tally = try store.tally(request, words: words),
      let minutes = try store.busyMinutes(sinceMs: request.sinceMs, untilMs: request.untilMs)
    else { return nil }
    let tallied = CommonTable(
      name: "tally", columns: ["log", "source_id", "role", "outcome", "flows", "first_ms", "last_ms"],
      rows: tally.groups.map { group in
        let verdict = tally.verdicts[group.verdict]
        return [
          sources.values[group.source][0], .integer(examples[group.source]), verdict[0], verdict[1],
          .integer(group.flows), .integer(group.firstMs), .integer(group.lastMs),
        ]
      })
    var usual = CommonTable(name: "usual", columns: ["log", "usual"], rows: [])
    var gap = CommonTable(name: "gap", columns: ["log", "gaps", "longest", "from_ms"], rows: [])
    for (log, minutes) in minutes.sorted(by: { $0.key < $1.key }) {
      let pauses = Pauses(minutes)
      guard pauses.count > 0 else { continue }
      usual.rows.append([.integer(log), Value(pauses.usualMs)])
      if let longest = pauses.longest {
        gap.rows.append([.integer(log), Value(pauses.gaps), .integer(longest.lengthMs), .integer(longest.fromMs)])
      }
    }
    return try answer(query, arguments, with: [tallied, usual, gap], store)
  }
}

/// The pauses between minutes in which a log was written, as the report `coverage` says them.
private struct Pauses {
  private(set) var count = 0
  /// The mean without the longest; nil of a single pause.
  private(set) var usualMs: Int64?
  private(set) var gaps = 0
  private(set) var longest: (fromMs: Int64, lengthMs: Int64)?

  /// A pause is no gap up to this long, nor up to this many times the usual one.
  private static let leastMs: Int64 = 900_000
  private static let factor: Int64 = 10

  init(_ minutes: [BusyMinute]) {
    let pauses = zip(minutes, minutes.dropFirst()).map { (fromMs: $0.lastMs, lengthMs: $1.firstMs - $0.lastMs) }
    count = pauses.count
    guard let most = pauses.map(\.lengthMs).max() else { return }
    if count > 1 { usualMs = (pauses.reduce(0) { $0 + $1.lengthMs } - most) / Int64(count - 1) }
    let limit = max(Pauses.leastMs, Pauses.factor * (usualMs ?? 0))
    for pause in pauses where pause.lengthMs > limit {
      gaps += 1
      if longest == nil || pause.lengthMs > longest!.lengthMs { longest = pause }
    }
  }
}
