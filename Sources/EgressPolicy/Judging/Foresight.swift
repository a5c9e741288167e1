public import Flows

/// What will probably be said of flows that are not stored yet, judged by the facts known so far.
///
/// The same rules as those of `Judge`, asked of one source, one destination and one outcome at a time. Only a flow that is
/// certain not to be a finding and not to be an open question in any interval of the policy is called ordinary; a guess of
/// where a gateway is may stand behind that, as it does behind the verdict.
public final class Foresight {
  private var learned: Judge.Learned
  private let rules: [RouteRules]
  private var sources = ClassNumbers<SourceTraits>()
  private var contexts: [Pair: OutcomeContext?] = [:]

  private struct Pair: Hashable {
    var source, destination: Int
  }

  public init(
    policy: Policy?, sources: [(id: Int64, source: Source, logPath: String, declaredRole: Role?)],
    destinations: [(id: Int64, destination: Destination)], logs: [LogSpan], topology: ClusterRecord?
  ) {
    let judge = Judge(
      policy: policy, sources: sources, destinations: destinations, outcomes: [], logs: logs, topology: topology)
    learned = Judge.Learned(judge)
    let cuts = [Int64.min] + learned.index.boundaries
    rules = cuts.map { [learned] in learned.rules(at: $0) }
  }

  /// Those of one number are judged alike; numbers count from 0.
  public func number(of source: Source, declaredRole: Role?) -> Int {
    let fact = Judge.SourceFact(id: 0, source: source, logPath: "", declaredRole: declaredRole)
    return sources.number(of: learned.topology.traits(of: fact, learned.index, learned.addresses))
  }

  public func number(of destination: Destination) -> Int {
    learned.classifier.number(
      of: Judge.DestinationFact(
        id: 0, destination: destination, isNamed: learned.index.exceptions.count > 0,
        cluster: ClusterName(destination.cluster)))
  }

  /// The context in which the ends of flows from one to the other are to be read; nil where each of them is a finding or an
  /// open question, however it ended.
  public func context(source: Int, destination: Int) -> OutcomeContext? {
    let pair = Pair(source: source, destination: destination)
    if let known = contexts[pair] { return known }
    var context: OutcomeContext?
    for (place, rules) in rules.enumerated() {
      let verdict = rules.verdict(sources.members[source], learned.classifier.classes.members[destination])
      guard Foresight.isOrdinary(verdict), place == 0 || verdict.context == context else {
        context = nil
        break
      }
      context = verdict.context
    }
    contexts[pair] = .some(context)
    return context
  }

  private static func isOrdinary(_ verdict: RouteVerdict) -> Bool {
    verdict.bypass == nil && verdict.claim == nil && verdict.path != .unknown && verdict.role != .unknown
      && verdict.warnings.isEmpty
  }

  /// Whether an end leaves nothing to be looked into.
  public static func isOrdinary(_ outcome: Outcome, in context: OutcomeContext) -> Bool {
    let verdict = Ending.verdict(of: outcome, in: context)
    return !verdict.neverClears && [.ok, .challenge, .noise].contains(verdict.outcome)
  }

  public static func isSuccess(_ outcome: Outcome, in context: OutcomeContext) -> Bool {
    Ending.verdict(of: outcome, in: context).outcome == .ok
  }
}
