public import Flows

/// A judgement in arrays: the verdicts that `judged_flow` will show, for who asks while it is being written.
public struct VerdictIndex: Sendable {
  /// Of a route's verdict what is asked for here.
  public struct Way: Sendable, Equatable {
    public var role: Role
    public var context: OutcomeContext
    /// A flow on it may be a bypass.
    public var mayBypass: Bool
  }

  public let intervals: [PolicyInterval]
  /// Classes by row id; -1 for ids without one.
  private var sourceClasses: [Int32]
  private var destinationClasses: [Int32]
  private var destinationClassCount = 0
  private var routes: [Way] = []
  /// By interval, class of the source and class of the destination: which of `routes`, -1 for none.
  private var routeNumbers: [Int32] = []
  private var perInterval = 0
  /// Whether an outcome is a success, by context and row id.
  private var isSuccess: [OutcomeContext: [Bool]] = [:]

  /// Entries an array may have; a store with more is left to SQL.
  private static let mostEntries: Int64 = 1 << 20

  /// nil when the arrays would be larger than is worth it.
  public init?(_ judgement: Judgement) {
    intervals = judgement.intervals
    guard let sources = VerdictIndex.classes(judgement.sourceClasses.lazy.map { ($0.source, $0.class) }),
      let destinations = VerdictIndex.classes(judgement.destinationClasses.lazy.map { ($0.destination, $0.class) })
    else { return nil }
    (sourceClasses, destinationClasses) = (sources, destinations)
    destinationClassCount = Int(destinations.max() ?? -1) + 1
    perInterval = (Int(sources.max() ?? -1) + 1) * destinationClassCount
    guard Int64(perInterval) * Int64(intervals.count) <= VerdictIndex.mostEntries else { return nil }
    routeNumbers = [Int32](repeating: -1, count: perInterval * intervals.count)
    let places = Dictionary(uniqueKeysWithValues: intervals.enumerated().map { ($0.element.id, $0.offset) })
    for route in judgement.routes {
      guard let interval = places[route.interval], route.destinationClass < destinationClassCount else { continue }
      let place = route.sourceClass * destinationClassCount + route.destinationClass
      guard place < perInterval else { continue }
      routeNumbers[interval * perInterval + place] = Int32(routes.count)
      let verdict = route.verdict
      routes.append(
        Way(role: verdict.role, context: verdict.context, mayBypass: verdict.bypass != nil || verdict.claim != nil))
    }
    for ending in judgement.endings {
      guard ending.outcome >= 0, ending.outcome < VerdictIndex.mostEntries else { return nil }
      var known = isSuccess.removeValue(forKey: ending.context) ?? []
      let place = Int(ending.outcome)
      if place >= known.count { known += repeatElement(false, count: place + 1 - known.count) }
      known[place] = ending.verdict.outcome == .ok
      isSuccess[ending.context] = known
    }
  }

  private static func classes(_ entries: some Sequence<(Int64, Int)>) -> [Int32]? {
    var classes: [Int32] = []
    for (id, number) in entries {
      guard id >= 0, id < mostEntries else { return nil }
      let place = Int(id)
      if place >= classes.count { classes += repeatElement(-1, count: place + 1 - classes.count) }
      classes[place] = Int32(number)
    }
    return classes
  }

  public func sourceClass(of id: Int64) -> Int? { VerdictIndex.number(sourceClasses, id) }
  public func destinationClass(of id: Int64) -> Int? { VerdictIndex.number(destinationClasses, id) }

  private static func number(_ classes: [Int32], _ id: Int64) -> Int? {
    id >= 0 && id < classes.count && classes[Int(id)] >= 0 ? Int(classes[Int(id)]) : nil
  }

  /// - Parameter interval: counts `intervals`.
  public func route(interval: Int, sourceClass: Int, destinationClass: Int) -> Way? {
    let number = routeNumbers[interval * perInterval + sourceClass * destinationClassCount + destinationClass]
    return number >= 0 ? routes[Int(number)] : nil
  }

  /// What one flow shows of its log.
  func look(source: Int64, destination: Int64, outcome: Int64, startedAtMs: Int64) -> LogLook {
    guard let source = sourceClass(of: source), let destination = destinationClass(of: destination),
      let interval = intervals.firstIndex(where: { $0.fromMs <= startedAtMs && startedAtMs < $0.untilMs }),
      let route = route(interval: interval, sourceClass: source, destinationClass: destination)
    else { return LogLook(roles: [.unknown]) }
    let endings = isSuccess[route.context] ?? []
    return LogLook(
      roles: [route.role], hasSuccess: outcome >= 0 && outcome < endings.count && endings[Int(outcome)])
  }
}
