internal import Flows

/// A table that a judgement fills anew, and how it fills it.
///
/// A judgement is written only when its hash is another, so what is written and what is hashed are one list.
struct JudgedTable: Sendable {
  let name: String
  /// The column that rows are told apart by; nil where no other row refers to them.
  let key: String?
  let columns: [String]
  /// In the order of the columns, numbers and texts.
  let rows: @Sendable (Judgement) -> AnySequence<[Value]>

  static let all = [
    JudgedTable(name: "policy_interval", key: "from_ms", columns: ["from_ms", "until_ms", "id"]) { judgement in
      let ordered = judgement.intervals.sorted { $0.fromMs < $1.fromMs }
      for (one, next) in zip(ordered, ordered.dropFirst()) {
        precondition(one.untilMs <= next.fromMs, "two intervals overlap: a flow would be counted twice")
      }
      return AnySequence(
        judgement.intervals.lazy.map { interval in
          precondition(interval.id >= 0 && interval.id < RouteKey.intervals, "an interval has its place in a key")
          return [.integer(interval.fromMs), .integer(interval.untilMs), Value(interval.id)]
        })
    },
    JudgedTable(name: "route_verdict", key: "key", columns: ["key"] + RouteVerdict.storedColumns) { judgement in
      let lists = judgement.holeLists
      return AnySequence(
        judgement.routes.lazy.map { route in
          [.integer(route.key.stored)] + route.verdict.storedValues(holes: lists[route.verdict.nextHopHoles])
        })
    },
    JudgedTable(name: "next_hop_hole", key: "id", columns: ["id", "from_ms", "until_ms"]) { judgement in
      AnySequence(
        judgement.holeLists.sorted { $0.value < $1.value }.flatMap { holes, list in
          holes.enumerated().map { place, hole in
            [Value(list * RouteVerdict.mostHoles + place), .integer(hole.lowerBound), .integer(hole.upperBound)]
          }
        })
    },
    JudgedTable(
      name: "outcome_verdict", key: "key", columns: ["key", "context", "outcome"] + OutcomeVerdict.storedColumns
    ) { judgement in
      AnySequence(
        judgement.endings.lazy.map { ending in
          precondition(
            ending.outcome >= 0 && ending.outcome < EndingKey.outcomes, "an outcome has its place in a key")
          return [.integer(ending.key.stored), .text(ending.context.rawValue), .integer(ending.outcome)]
            + ending.verdict.storedValues
        })
    },
    JudgedTable(name: "assumption", key: nil, columns: ["text"]) { judgement in
      AnySequence(judgement.assumptions.lazy.map { [.text($0)] })
    },
    JudgedTable(
      name: "policy_exception", key: "id", columns: ["id", "label", "owner", "reason", "expires_ms"]
    ) { judgement in
      AnySequence(
        judgement.exceptions.enumerated().lazy.map { index, entry in
          [Value(index), .text(entry.label), .text(entry.owner), .text(entry.reason), Value(entry.expiresMs)]
        })
    },
  ]
}

extension RouteVerdict {
  static let storedColumns = [
    "role", "path", "bypass", "severity", "context", "context_key", "rule", "assumption", "exception", "warnings",
    "next_hop", "next_hop_from_ms", "next_hop_until_ms", "next_hop_holes", "claim", "claim_severity", "claim_around",
    "claim_reason",
    "claim_needs_gateway",
  ]

  /// - Parameter holes: the number of `nextHopHoles` in `next_hop_hole`; nil where there are none.
  func storedValues(holes: Int?) -> [Value] {
    [
      .text(role.rawValue), .text(path.rawValue), Value(bypass?.rawValue), .text(severity.rawValue),
      .text(context.rawValue), .integer(EndingKey(context).stored), .text(rule), Value(assumption), Value(exception),
      warnings.isEmpty ? .null : .text(warnings.joined(separator: ",")), Value(nextHop?.rawValue),
      Value(nextHopFromMs), Value(nextHopUntilMs), Value(holes), Value(claim?.bypass.rawValue),
      Value(claim?.severity.rawValue),
      Value(claim?.around.rawValue), Value(claim?.reason?.number), Value(claim.map { $0.needsGateway ? 1 : 0 }),
    ]
  }
}

extension Judgement {
  /// Numbers of the lists of holes that verdicts have.
  fileprivate var holeLists: [[ClosedRange<Int64>]: Int] {
    var lists: [[ClosedRange<Int64>]: Int] = [:]
    for route in routes where !route.verdict.nextHopHoles.isEmpty {
      if lists[route.verdict.nextHopHoles] == nil { lists[route.verdict.nextHopHoles] = lists.count }
    }
    return lists
  }
}

extension OutcomeVerdict {
  static let storedColumns = ["result", "reason", "left_hop", "duplicate_view", "never_clears"]

  var storedValues: [Value] {
    [
      .text(outcome.rawValue), Value(reason), .integer(left ? 1 : 0), .integer(isDuplicateView ? 1 : 0),
      .integer(neverClears ? 1 : 0),
    ]
  }
}
