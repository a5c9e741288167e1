public import EgressPolicy
public import FlowStore
public import Flows

/// Asks the policy about all facts of a store, and writes the verdicts into the open transaction.
///
/// The caller commits: rows and their verdicts become visible together.
public enum Rejudge {
  /// Does nothing when the store is judged already, by the same policy.
  /// - Parameter policy: nil for zero configuration.
  /// - Returns: the facts that were judged, when this was needed.
  @discardableResult
  public static func run(store: FlowStore, policy: Policy?) throws(StoreError) -> StoredFacts? {
    let hash = try store.judgedPolicyHash
    if store.isJudged, hash == (policy?.hash ?? "") { return nil }
    let facts = try store.facts()
    try store.apply(judge(facts, policy: policy))
    return facts
  }

  /// As `run`, for a store of which no new lines were read, and with what its logs look like by the new verdicts.
  public static func runAndNoteSigns(store: FlowStore, policy: Policy?) throws(StoreError) {
    guard try run(store: store, policy: policy) != nil else { return }
    try store.noteSigns(try store.looksByLog(), among: nil)
  }

  public static func judge(_ facts: StoredFacts, policy: Policy?) -> Judgement {
    Judge(
      policy: policy, sources: facts.sources, destinations: facts.destinations, outcomes: facts.outcomes,
      logs: facts.logs, topology: facts.topology
    ).judgement()
  }
}
