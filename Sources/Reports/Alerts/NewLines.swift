internal import FlowStore
internal import Flows

/// What is new of the logs, weighed: whether most of it was understood. A log that grows by a few lines between two runs is weighed
/// once there are enough of them.
struct NewLines {
  /// Logs of which most new lines were rejected, by path, and what is said of each.
  private(set) var rejected: [(path: String, problem: String)] = []
  private(set) var unknown: [String] = []
  /// To be kept once the problems are told.
  private(set) var weighed: [WeighedLines] = []
  private(set) var carried: [CarriedFlows] = []

  /// Of fewer lines than this nothing is said: the end of a log that was cut, a word of another program.
  static let few = 10

  /// Lines added up, and those of them that say nothing.
  private struct Count {
    var lines: Int64
    var mute: Int64
    /// What goes on as it was told is told again with the next line.
    var wasTold: Bool
    var isWell: Bool { mute * 2 <= lines }
    var isTold: Bool { !isWell && (wasTold || mute >= few) }
  }

  mutating func weighLines(in reader: FlowReader) throws {
    try reader.query(
      """
      select
        l.id, l.path, l.stored, l.rejected,
        l.stored - coalesce(w.stored, 0) as new_stored, l.rejected - coalesce(w.rejected, 0) as new_rejected,
        w.told_rejected
      from log l
      left join weighed_log w on w.log = l.id
      where (new_stored > 0 or new_rejected > 0)
        -- What prepares a pod for its sidecar writes no access lines.
        and coalesce(l.container, '') not in ('istio-init', 'istio-validation')
      order by l.path, l.id
      """
    ) { row in
      let (path, newRejected) = (row[1].text ?? "", row[5].integer ?? 0)
      let count = Count(
        lines: (row[4].integer ?? 0).plus(newRejected), mute: newRejected, wasTold: row[6].integer == 1)
      if count.isTold { rejected.append((path, AlertRun.mostlyRejected(path, count.mute, of: count.lines))) }
      guard count.isTold || count.isWell else { return }
      weighed.append(
        WeighedLines(
          log: row[0].integer ?? 0, stored: row[2].integer ?? 0, rejected: row[3].integer ?? 0, isTold: count.isTold))
    }
  }

  /// Flows of which nobody can say the way are no findings, and of a log that holds little else no bypass will ever be told: its
  /// format lacks the columns, or the policy what they mean. A web server's own log is none of traffic that left, and says nothing
  /// in either case.
  mutating func weighFlows(after: Int64?, in reader: FlowReader) throws {
    try reader.query(
      """
      select l.id, l.path, count(*), sum(j.path = 'unknown'),
        coalesce(w.flows, 0), coalesce(w.unknown, 0), coalesce(w.told_unknown, 0)
      from judged_flow j
      join log l on l.id = j.log_id
      left join weighed_log w on w.log = l.id
      where j.id > coalesce(:after, (select max(f.id) from flow f) - \(NewLines.flowsOfFirstLook))
        and j.path <> 'none'
        and j.duplicate_view = 0
        and (j.proxy <> 'nginx-http' or j.role <> 'unknown')
      group by j.log_id
      order by l.path, j.log_id
      """, arguments: ["after": Value(after)]
    ) { row in
      // Where all are new, what was carried is among them.
      let before = after == nil ? (flows: 0, unknown: 0) : (flows: row[4].integer ?? 0, unknown: row[5].integer ?? 0)
      let count = Count(
        lines: (row[2].integer ?? 0).plus(before.flows), mute: (row[3].integer ?? 0).plus(before.unknown),
        wasTold: row[6].integer == 1)
      if count.isTold {
        unknown.append(
          "\(row[1].text ?? ""): \(Quantities.grouped(count.mute)) of \(Quantities.grouped(count.lines)) new flows on an unknown path (see: gatewatch report unproven)"
        )
      }
      let isWeighed = count.isTold || count.isWell
      let rest = isWeighed ? (flows: 0, unknown: 0) : (flows: count.lines, unknown: count.mute)
      guard rest.flows != row[4].integer || rest.unknown != row[5].integer || count.isTold != count.wasTold else {
        return
      }
      carried.append(
        CarriedFlows(log: row[0].integer ?? 0, flows: rest.flows, unknown: rest.unknown, isTold: count.isTold))
    }
  }

  /// Where all are new, the newest are looked at: a log's format does not change from line to line.
  private static let flowsOfFirstLook = 100_000
}
