internal import EgressPolicy
internal import FlowStore
internal import Flows

/// The sieve of `--keep exceptions`: a flow needs no row that went the sanctioned way, ended well and in good time.
///
/// Judged is by what the store knew when the run began and by what was read since. What is learned later may make of such a
/// flow an exception after all: then reports count it, and its row is missing.
final class OrdinaryTraffic: FlowSieve {
  private let policy: Policy?
  private let slowMs: Int64
  @exclusivity(unchecked) private var facts: StoredFacts
  private var foresight: Foresight
  /// Facts known when `foresight` was made.
  private var learned = 0
  // What each flow asks for is not checked for accesses that meet: who stores has the sieve alone.
  // By row id; -1 where there is none, or where it was not asked about yet.
  @exclusivity(unchecked) private var sourcePlaces: [Int32] = []
  @exclusivity(unchecked) private var destinationPlaces: [Int32] = []
  @exclusivity(unchecked) private var outcomePlaces: [Int32] = []
  @exclusivity(unchecked) private var sourceNumbers: [Int32] = []
  @exclusivity(unchecked) private var destinationNumbers: [Int32] = []
  /// By number of the source, in it by that of the destination: number of the context, `exception`, or `unasked`.
  @exclusivity(unchecked) private var contexts: [[Int8]] = []
  /// By number of the context, in it by row id of the outcome: 1 ordinary, 0 not, -1 not asked about yet.
  @exclusivity(unchecked) private var endings: [[Int8]]

  private static let unasked: Int8 = -1
  private static let exception: Int8 = -2
  /// All is learned anew when so many facts were added to a hundred: together half as much work again.
  private static let growth = 200

  init(policy: Policy?, facts: StoredFacts, slowMs: Int64) {
    self.policy = policy
    self.facts = facts
    self.slowMs = slowMs
    foresight = OrdinaryTraffic.foresight(policy, facts)
    endings = OutcomeContext.allCases.map { _ in [] }
    learned = facts.sources.count + facts.destinations.count
    for (place, fact) in facts.sources.enumerated() { OrdinaryTraffic.note(fact.id, place, &sourcePlaces) }
    for (place, fact) in facts.destinations.enumerated() { OrdinaryTraffic.note(fact.id, place, &destinationPlaces) }
    for (place, fact) in facts.outcomes.enumerated() { OrdinaryTraffic.note(fact.id, place, &outcomePlaces) }
  }

  private static func foresight(_ policy: Policy?, _ facts: StoredFacts) -> Foresight {
    Foresight(
      policy: policy, sources: facts.sources, destinations: facts.destinations, logs: facts.logs,
      topology: facts.topology)
  }

  /// - Returns: whether the place is new.
  @discardableResult
  private static func note(_ id: Int64, _ place: Int, _ places: inout [Int32]) -> Bool {
    let id = Int(id)
    if id >= places.count { places += repeatElement(-1, count: id + 1 - places.count) }
    guard places[id] < 0 else { return false }
    places[id] = Int32(place)
    return true
  }

  func learn(
    sources: [(id: Int64, source: Source)], destinations: [(id: Int64, destination: Destination)],
    outcomes: [(id: Int64, outcome: Outcome)], of log: LogRecord
  ) {
    for (id, source) in sources where OrdinaryTraffic.note(id, facts.sources.count, &sourcePlaces) {
      facts.sources.append((id, source, log.path, log.declaredRole))
    }
    for (id, destination) in destinations
    where OrdinaryTraffic.note(id, facts.destinations.count, &destinationPlaces) {
      facts.destinations.append((id, destination))
    }
    for (id, outcome) in outcomes where OrdinaryTraffic.note(id, facts.outcomes.count, &outcomePlaces) {
      facts.outcomes.append((id, outcome))
    }
    let count = facts.sources.count + facts.destinations.count
    guard count * 100 >= learned * (100 + OrdinaryTraffic.growth), count > learned else { return }
    learned = count
    foresight = OrdinaryTraffic.foresight(policy, facts)
    (sourceNumbers, destinationNumbers, contexts) = ([], [], [])
  }

  func isOrdinary(source: Int64, destination: Int64, outcome: Int64, durationMs: Int64) -> Bool {
    let (source, destination, outcome) = (Int(source), Int(destination), Int(outcome))
    if source >= sourceNumbers.count || sourceNumbers[source] < 0 { numberSource(source) }
    if destination >= destinationNumbers.count || destinationNumbers[destination] < 0 { numberDestination(destination) }
    let (row, column) = (Int(sourceNumbers[source]), Int(destinationNumbers[destination]))
    if row >= contexts.count || column >= contexts[row].count || contexts[row][column] == OrdinaryTraffic.unasked {
      askContext(row, column)
    }
    let context = Int(contexts[row][column])
    guard context >= 0 else { return false }
    if outcome >= endings[context].count || endings[context][outcome] < 0 { askEnding(outcome, context) }
    guard endings[context][outcome] == 1 else { return false }
    // How long a connection lives says nothing of how slow it was.
    return durationMs < slowMs || facts.destinations[Int(destinationPlaces[destination])].destination.traffic != .http
  }

  @inline(never)
  private func numberSource(_ id: Int) {
    let fact = facts.sources[Int(sourcePlaces[id])]
    OrdinaryTraffic.set(
      &sourceNumbers, id, Int32(foresight.number(of: fact.source, declaredRole: fact.declaredRole)), -1)
  }

  @inline(never)
  private func numberDestination(_ id: Int) {
    let fact = facts.destinations[Int(destinationPlaces[id])]
    OrdinaryTraffic.set(&destinationNumbers, id, Int32(foresight.number(of: fact.destination)), -1)
  }

  @inline(never)
  private func askContext(_ source: Int, _ destination: Int) {
    let context = foresight.context(source: source, destination: destination)
    let number = context.map { Int8(OutcomeContext.allCases.firstIndex(of: $0)!) } ?? OrdinaryTraffic.exception
    while contexts.count <= source { contexts.append([]) }
    OrdinaryTraffic.set(&contexts[source], destination, number, OrdinaryTraffic.unasked)
  }

  @inline(never)
  private func askEnding(_ id: Int, _ context: Int) {
    let outcome = facts.outcomes[Int(outcomePlaces[id])].outcome
    let isOrdinary = Foresight.isOrdinary(outcome, in: OutcomeContext.allCases[context])
    OrdinaryTraffic.set(&endings[context], id, isOrdinary ? 1 : 0, -1)
  }

  private static func set<Number>(_ numbers: inout [Number], _ place: Int, _ number: Number, _ empty: Number) {
    if place >= numbers.count { numbers += repeatElement(empty, count: place + 1 - numbers.count) }
    numbers[place] = number
  }
}
