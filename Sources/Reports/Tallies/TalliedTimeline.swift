internal import FlowStore

extension TalliedAnswer {
  /// Traffic over time: one line per day, hour or minute in which there was any.
  static func timeline(_ arguments: [String: Value], _ limit: Int?, _ store: FlowReader) throws -> TalliedAnswer? {
    let by = arguments["by"] ?? .null
    guard let stepMs = by.isNull ? stepsMs["hour"] : stepsMs[by.text ?? ""] else { return nil }
    let words = """
      select
        case when f.outcome = 'mesh-fault' then 'failed' when f.outcome in ('ok', 'blocked', 'failed', 'timeout')
          then f.outcome else 'other' end as ending,
        f.bypass is not null and f.exception_id is null as is_bypass,
        f.counted
      from judged_flow f
      where f.id = :example
        and (f.counted = 1 or (f.bypass is not null and f.duplicate_view = 0))
        and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
        and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
      order by f.id
      """
    var request = try placeless(arguments, bySender: true, store)
    request.stepMs = stepMs
    guard let tally = try store.tally(request, words: words, arguments: verdictFilters(arguments)) else { return nil }

    let endings = tally.verdicts.map {
      TalliedAnswer.endings.firstIndex(of: $0[0].text ?? "") ?? TalliedAnswer.endings.count
    }
    let isBypass = tally.verdicts.map { $0[1].integer == 1 }
    let isCounted = tally.verdicts.map { $0[2].integer == 1 }
    let groups = tally.groups.sorted { $0.step < $1.step }
    var rows: [[Value]] = []
    var others = Step()
    var otherSteps = 0
    var begin = 0
    while begin < groups.count {
      let number = groups[begin].step
      let end = groups[begin...].firstIndex { $0.step != number } ?? groups.count
      let isShown = limit.map { rows.count < $0 } ?? true
      var step = isShown ? Step() : others
      for group in groups[begin..<end] {
        if isCounted[group.verdict] { step.count(group, ending: endings[group.verdict]) }
        if isBypass[group.verdict] { step.bypass &+= group.flows }
      }
      if isShown {
        rows.append(step.row(starts: .integer(number * stepMs)))
      } else {
        others = step
        otherSteps += 1
      }
      begin = end
    }
    return TalliedAnswer(
      columns: [
        "starts", "flows", "ok", "blocked", "failed", "timeouts", "other", "bypass", "sent", "received",
      ], rows: rows, others: otherSteps > 0 ? (otherSteps, others.row(starts: .null)) : nil)
  }

  private static let stepsMs: [String: Int64] = ["day": 86_400_000, "hour": 3_600_000, "minute": 60_000]
  /// In the order of their columns; behind them stands what is none of these.
  private static let endings = ["ok", "blocked", "failed", "timeout"]

  private struct Step {
    private var sum = TallySum()
    private var counts = [Int64](repeating: 0, count: endings.count + 1)
    /// Also of lines that are not counted.
    var bypass: Int64 = 0

    mutating func count(_ group: Tally.Group, ending: Int) {
      sum.add(group)
      counts[ending] &+= group.flows
    }

    func row(starts: Value) -> [Value] {
      [starts, .integer(sum.flows)] + counts.map { .integer($0) }
        + [.integer(bypass), Value(sum.sent), Value(sum.received)]
    }
  }
}
