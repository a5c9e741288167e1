public import EgressPolicy
public import FlowStore
public import Flows

/// Asks the policy about all facts of a store, and writes the verdicts into the open transaction.
///
/// The caller commits: rows and their verdicts become visible together.
public enum Rejudge {
  /// Does nothing when the store is judged already, by the same policy.
  /// - Parameter policy: nil for zero configuration.
  /// - Returns: the judgement, when one was needed.
  @discardableResult
  public static func run(store: FlowStore, policy: Policy?) throws(StoreError) -> Judgement? {
    let hash = try store.judgedPolicyHash
    if store.isJudged, hash == (policy?.hash ?? "") { return nil }
    let facts = try store.facts()
    let judgement = judge(facts, policy: policy)
    try store.apply(judgement)
    return judgement
  }

  public static func judge(_ facts: StoredFacts, policy: Policy?) -> Judgement {
    Judge(
      policy: policy, sources: facts.sources, destinations: facts.destinations, outcomes: facts.outcomes,
      logs: facts.logs
    ).judgement()
  }

  /// The roles that each log's lines have by a judgement, by row id of the log.
  public static func roles(_ facts: StoredFacts, _ judgement: Judgement) -> [Int64: [Role]] {
    var rolesOfClass: [Int: Set<Role>] = [:]
    for route in judgement.routes { rolesOfClass[route.sourceClass, default: []].insert(route.verdict.role) }
    let classes = Dictionary(judgement.sourceClasses.map { ($0.source, $0.class) }, uniquingKeysWith: { $1 })
    var roles: [Int64: Set<Role>] = [:]
    for entry in facts.sources {
      guard let sourceClass = classes[entry.id] else { continue }
      roles[entry.source.log, default: []].formUnion(rolesOfClass[sourceClass] ?? [])
    }
    return roles.mapValues { found in
      // A role that is known says more than one that some routes leave open.
      let known = Role.allCases.filter { found.contains($0) && $0 != .unknown }
      return known.isEmpty ? [.unknown] : known
    }
  }
}
