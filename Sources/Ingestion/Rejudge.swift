internal import Dispatch
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
    guard try isNeeded(store: store, policy: policy) else { return nil }
    let facts = try store.facts()
    try store.apply(judge(facts, policy: policy))
    return facts
  }

  static func isNeeded(store: FlowStore, policy: Policy?) throws(StoreError) -> Bool {
    let hash = try store.judgedPolicyHash
    return !store.isJudged || hash != (policy?.hash ?? "")
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

/// What a policy says of the facts of a store, found while the store does something else.
///
/// `@unchecked Sendable`: what another thread leaves is looked at after it was waited for.
final class Verdicts: @unchecked Sendable {
  private var facts: StoredFacts?
  private let group = DispatchGroup()
  private var found: Judgement?
  private var failure: StoreError?

  /// Found by a thread of its own.
  init(_ facts: StoredFacts, _ policy: Policy?) {
    self.facts = facts
    DispatchQueue.global(qos: .userInitiated).async(group: group) { [self] in
      found = Rejudge.judge(facts, policy: policy)
    }
  }

  /// Found by this thread, while another one writes: judging needs much memory, which this one has, and another would have to
  /// ask the system for.
  init(
    _ facts: StoredFacts, _ policy: Policy?, beside write: @escaping @Sendable () throws(StoreError) -> Void
  ) throws(StoreError) {
    self.facts = facts
    DispatchQueue.global(qos: .userInitiated).async(group: group) { [self] in
      do throws(StoreError) { try write() } catch { failure = error }
    }
    found = Rejudge.judge(facts, policy: policy)
    group.wait()
    if let failure { throw failure }
  }

  /// The facts, for who has use for them once more; they are let go as soon as all have used them.
  func takeFacts() -> StoredFacts? { facts.take() }

  /// Waits for it.
  var judgement: Judgement {
    group.wait()
    guard let found else { preconditionFailure("waited for, and not found") }
    return found
  }
}
