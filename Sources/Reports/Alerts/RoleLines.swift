internal import FlowStore
internal import Flows

/// What the lines of a log show of who wrote it.
struct RoleLines {
  /// When the last line of each role ended; and of those that are certain to be a gateway's.
  private var ends: [Role: Int64] = [:]
  private var lastOfGateway: Int64?

  /// All its lines are of one role, or do not show which.
  var isOne: Bool { ends.keys.count { $0 != .unknown } == 1 }

  /// When the last line ended that counts for what is expected; nil where none does.
  func last(of role: Role, _ expected: ExpectedLog) -> Int64? {
    role == .gateway && expected.knowsGateways ? lastOfGateway : ends[role]
  }

  private mutating func add(_ role: String?, isAssumed: Bool, _ end: Int64) {
    guard let role = role.flatMap(Role.init(rawValue:)) else { return }
    ends[role] = max(ends[role] ?? end, end)
    if role == .gateway, !isAssumed { lastOfGateway = max(lastOfGateway ?? end, end) }
  }

  /// By row id of the log.
  static func byLog(in store: FlowReader) throws -> [Int64: RoleLines] {
    var logs: [Int64] = []
    var places: [Int64: Int32] = [:]
    var groups: [Int32] = []
    try store.query("select id, log from source order by id") { row in
      let (source, log) = (Int(row[0].integer ?? 0), row[1].integer ?? 0)
      let place = places[log] ?? Int32(logs.count)
      if places.updateValue(place, forKey: log) == nil { logs.append(log) }
      groups += repeatElement(-1, count: source - groups.count)
      groups.append(place)
    }
    var found: [Int64: RoleLines] = [:]
    var request = TallyRequest()
    request.sourceGroups = groups
    request.measuresEnds = true
    if let tally = try store.tally(request, words: "\(words) where f.id = :example order by f.id") {
      for (group, end) in zip(tally.groups, tally.ends) {
        let words = tally.verdicts[group.verdict]
        found[logs[group.source], default: RoleLines()].add(words[0].text, isAssumed: words[1] == 1, end)
      }
      return found
    }
    try store.query(
      """
      select role, is_assumed, log_id, max(started_at_ms + max(coalesce(duration_ms, 0), 0))
      from (\(words.replacing(" from ", with: ", f.log_id, f.started_at_ms, f.duration_ms from ")))
      group by role, is_assumed, log_id
      order by log_id, role, is_assumed
      """
    ) { row in
      found[row[2].integer ?? 0, default: RoleLines()]
        .add(row[0].text, isAssumed: row[1] == 1, row[3].integer ?? .min)
    }
    return found
  }

  /// A side log's lines stand for no Squid's log. Of what was refused a gateway's line shows nothing that a sidecar's does not.
  private static let words = """
    select case when f.reason is not '\(OutcomeVerdict.sideLog)' then f.role end as role, \
    rv.rule is not 'gateway-line' or rv.assumption is not null as is_assumed from judged_flow f \
    left join route_verdict rv on rv.key = f.route_key
    """
}
