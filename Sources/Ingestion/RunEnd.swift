internal import EgressPolicy
internal import FlowStore
internal import Flows

/// What a run does once it has read its last line: all is judged, hops are joined, and logs and tallies looked at, in the
/// transaction that also holds the last lines.
struct RunEnd {
  let store: FlowStore
  let options: IngestOptions
  let policy: Policy?
  /// Let go as soon as it was asked: it knows as much as the store of all that is being judged, and joining needs the memory.
  var sieve: (any FlowSieve)?
  /// What the run has stored.
  let rows: AddedRows
  /// The number of the last tally before the run.
  let lastTally: Int64

  struct Found {
    /// What the logs with new lines look like, by row id of the log.
    var looks: [Int64: LogLook] = [:]
    var problems: [IngestProblem] = []
  }

  /// The caller commits.
  mutating func judge() throws(StoreError) -> Found {
    var found = Found()
    var rowLooks: [Int64: LogLook]?
    var passedLooks: [Int64: LogLook]?
    var tooDense = 0
    let isNew = try Rejudge.isNeeded(store: store, policy: policy)
    // Few rows are committed with their verdicts.
    if isNew, options.joinsHops, options.keep == .all, rows.count >= options.limits.manyRows {
      let verdicts = Verdicts(try facts(), policy)
      var sizes = JoinSizes()
      sizes.worthPages = options.limits.manyRows
      tooDense = try JoinHops.run(store: store, beside: verdicts, sizes: sizes) {
        judgement throws(StoreError) in
        try store.apply(judgement)
        rowLooks = try store.looksByLog(among: rows)
      }
    } else {
      var traits: ComingTraits?
      if isNew {
        let facts = try facts()
        // Near flows without rows nothing is joined.
        if options.joinsHops, options.keep == .all, rows.count > 0 { traits = ComingTraits(facts) }
        let sample = Sample(rows)
        let verdicts = try Verdicts(facts, policy) { [store] () throws(StoreError) in
          try store.closeTally()
          try sample.read(store)
        }
        if let index = VerdictIndex(verdicts.judgement) {
          rowLooks = sample.looks(by: index)
          passedLooks = sieve?.looks(by: index)
        }
        try store.apply(verdicts.judgement)
      } else {
        try store.closeTally()
      }
      sieve = nil
      if options.joinsHops { tooDense = try JoinHops.run(store: store, traits: traits) }
    }
    if options.joinsHops { try store.refreshOwnLogs() }
    if tooDense > 0 {
      found.problems.append(
        .warning(path: store.path, "\(tooDense) minutes hold too many flows to join hops; they stay unjoined"))
    }
    found.looks = if let rowLooks { rowLooks } else { try store.looksByLog(among: rows) }
    found.looks.merge(try lookAtTallies(passedLooks, &found.problems)) { $0.merged(with: $1) }
    if options.keep != .all {
      if try store.lastTally() > lastTally { try noteOtherJudgement() }
      try store.mergeTallies()
    }
    return found
  }

  /// What was left without rows by other verdicts than the last `alert` had: one that judges as that one did would look at rows alone.
  private func noteOtherJudgement() throws(StoreError) {
    guard let mark = try store.alertMark(), try store.presentAlertMark().judgement != mark.judgement else { return }
    try store.noteLateVerdicts()
  }

  private func facts() throws(StoreError) -> StoredFacts { try store.facts(knowing: sieve?.destinations ?? []) }

  /// - Parameter passed: what they show, where that is certain without a look.
  private func lookAtTallies(
    _ passed: [Int64: LogLook]?, _ problems: inout [IngestProblem]
  ) throws(StoreError) -> [Int64: LogLook] {
    if let passed { return passed }
    let tallies = try store.look(atTalliesAfter: lastTally)
    guard tallies.bypassed > 0 else { return tallies.looks }
    // Alert has seen none of their rows.
    try store.noteLateVerdicts()
    problems.append(
      .warning(
        path: store.path,
        "\(tallies.bypassed) flows turned out to be bypass once all lines were read; they are counted, and have no row"
      ))
    return tallies.looks
  }
}

/// Flows that are looked at, read while they are judged.
///
/// `@unchecked Sendable`: who reads it is waited for before it is looked at.
private final class Sample: @unchecked Sendable {
  private let rows: AddedRows
  private var flows = FlowSample()

  init(_ rows: AddedRows) { self.rows = rows }

  func read(_ store: FlowStore) throws(StoreError) { flows = try store.sample(among: rows) }

  func looks(by verdicts: VerdictIndex) -> [Int64: LogLook] { flows.looks(by: verdicts) }
}
