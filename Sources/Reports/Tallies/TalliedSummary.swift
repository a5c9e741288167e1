internal import FlowStore

extension TalliedAnswer {
  /// What left, which way, and how it ended.
  static func summary(_ arguments: [String: Value], _ findings: Bool, _ store: FlowReader) throws -> TalliedAnswer? {
    let words = """
      select
        f.role,
        f.path,
        f.outcome,
        f.bypass,
        f.exception_id is not null as is_allowed,
        f.counted,
        f.duplicate_view,
        case
          when f.path = 'none' or f.duplicate_view = 1 then null
          when f.bypass is not null
            then case when f.exception_id is not null and f.assumption is not null then 'exception-assumed' end
          when f.rule is null then 'not-judged'
          when f.never_clears = 1 then 'ambiguous-columns'
          when f.path = 'unknown' then 'path-unknown'
          when f.assumption is not null then 'assumption'
          when instr(',' || f.verdict_warnings || ',', ',source-unproven,') > 0 then 'source-unproven'
        end as unproven
      from judged_flow f
      where f.id = :example
        and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
        and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
      order by f.id
      """
    var request = try placeless(arguments, store)
    let sources = try Concerned(arguments, store)
    request.sourceGroups = sources?.groups
    // Findings are of who came to the proxy: with others among the flows they need a pass of their own.
    let findings = findings && sources?.holdsOthers != true
    request.totals = findings ? TalliedFindings.words : nil
    guard let tally = try store.tally(request, words: words, arguments: verdictFilters(arguments)) else { return nil }

    struct Part: Hashable {
      var place: Int
      var part: String
      var what: Value
    }
    var parts: [Part: TallySum] = [:]
    var whole: Int64 = 0
    func add(_ place: Int, _ part: String, _ what: Value, _ group: Tally.Group) {
      let key = Part(place: place, part: part, what: what)
      parts[key, default: TallySum()].add(group)
    }
    for group in tally.groups {
      let verdict = tally.verdicts[group.verdict]
      let isSecondView = verdict[6].integer == 1
      let concerned = Concerned.Group(rawValue: group.source) ?? .both
      if concerned == .received {
        // Counted under who sent it.
      } else if verdict[5].integer == 1 {
        whole &+= group.flows
        add(1, "total", "flows", group)
        add(2, "path", verdict[1], group)
        add(3, "outcome", verdict[2], group)
        add(4, "role", verdict[0], group)
      } else {
        add(8, "not counted", isSecondView ? "second views" : "earlier hops", group)
      }
      guard concerned != .sent else { continue }
      if !verdict[3].isNull, !isSecondView {
        let isAllowed = verdict[4].integer == 1
        add(isAllowed ? 6 : 5, isAllowed ? "bypass allowed" : "bypass", verdict[3], group)
      }
      if !verdict[7].isNull { add(7, "unproven", verdict[7], group) }
    }
    let ordered = parts.sorted { one, other in
      if one.key.place != other.key.place { return one.key.place < other.key.place }
      if one.value.flows != other.value.flows { return one.value.flows > other.value.flows }
      return precedesInSQL(one.key.what, other.key.what)
    }
    return TalliedAnswer(
      columns: ["part", "what", "flows", "share", "sent", "received", "first_seen", "last_seen"],
      rows: try ordered.map { part, sum in
        // Rounded by SQLite, so that a half is rounded alike wherever it is asked.
        let share = try store.value(
          "select round(100.0 * :flows / nullif(:whole, 0), 1)",
          arguments: ["flows": .integer(sum.flows), "whole": .integer(whole)])
        return [
          .text(part.part), part.what, .integer(sum.flows), part.place < 7 ? share ?? .null : .null, Value(sum.sent),
          Value(sum.received),
          .integer(sum.firstMs), .integer(sum.lastMs),
        ]
      }, findings: findings ? TalliedFindings(tally.totals) : nil)
  }

  /// The sources asked about, by whether they sent the flows or came to the proxy that logged them.
  private struct Concerned {
    enum Group: Int { case both, sent, received }

    private(set) var groups: [Int32] = []
    /// Some sent what another proxy handed on.
    private(set) var holdsOthers = false

    /// nil where all are asked about.
    init?(_ arguments: [String: Value], _ store: FlowReader) throws {
      guard arguments["sources"]?.isNull == false else { return nil }
      let sent = ShownAlike.only(try .senders(arguments, in: store))
      let received = ShownAlike.only(try .sources(arguments, in: store))
      for id in 0..<max(sent.count, received.count) {
        let isSent = id < sent.count && sent[id] >= 0
        let isReceived = id < received.count && received[id] >= 0
        guard isSent || isReceived else {
          groups.append(-1)
          continue
        }
        let group: Group = isSent && isReceived ? .both : isSent ? .sent : .received
        holdsOthers = holdsOthers || group == .sent
        groups.append(Int32(group.rawValue))
      }
    }
  }

  /// All flows within the filters of time, host and source, not told apart by place.
  /// - Parameter bySender: the filter for sources means who sent it, and not who came to the proxy.
  static func placeless(
    _ arguments: [String: Value], bySender: Bool = false, _ store: FlowReader
  ) throws -> TallyRequest {
    var request = request(arguments)
    if arguments["host"]?.isNull == false {
      request.destinationGroups = ShownAlike.only(try .destinations(by: ["host"], arguments, in: store))
    }
    if arguments["sources"]?.isNull == false {
      request.sourceGroups = ShownAlike.only(
        try bySender ? .senders(arguments, in: store) : .sources(arguments, in: store))
    }
    return request
  }
}

/// What stands for and against an all-clear: the query `Standing.findings` from a tally.
struct TalliedFindings {
  private(set) var rows: [(what: String?, gap: String?, flows: Int64)] = []

  /// Asks for them by verdict.
  static let words = """
    select
      \(Standing.proofWord("f")) as what,
      f.next_hop_gap
    from judged_flow f
    where f.id = :example
      and f.duplicate_view = 0
    order by f.id
    """

  /// - Parameter totals: of the rows of `words`.
  init(_ totals: [(words: [Value], flows: Int64)]) {
    rows = totals.map { ($0.words[0].text, $0.words[1].text, $0.flows) }
  }

  /// By a pass of their own; nil when this store, at this moment, cannot be tallied.
  init?(_ arguments: [String: Value], in store: FlowReader) throws {
    guard let tally = try store.tally(try TalliedAnswer.placeless(arguments, store), words: TalliedFindings.words)
    else { return nil }
    self.init(tally.groups.map { (tally.verdicts[$0.verdict], $0.flows) })
  }
}
