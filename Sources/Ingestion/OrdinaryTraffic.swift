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
  // By row id.
  @exclusivity(unchecked) private var sourcePlaces = GrowingNumbers<Int32>()
  @exclusivity(unchecked) private var destinationPlaces = GrowingNumbers<Int32>()
  @exclusivity(unchecked) private var outcomePlaces = GrowingNumbers<Int32>()
  @exclusivity(unchecked) private var sourceNumbers = GrowingNumbers<Int32>()
  /// Twice the number, and 1 more where the traffic is HTTP.
  @exclusivity(unchecked) private var destinationNumbers = GrowingNumbers<Int32>()
  /// What sources that have a number in common have in common.
  private var kinds = SourceKinds()
  /// By number of the source, in it by that of the destination: four times the number of the context, and in the low bits what
  /// has passed; `exception`, or `unasked`.
  @exclusivity(unchecked) private var contexts: UnsafeMutablePointer<GrowingNumbers<Int8>>
  @exclusivity(unchecked) private var contextRows = 0
  /// By number of the context, in it by row id of the outcome: what passes with it, 0 where none does, `unasked`.
  private let endings: UnsafeMutablePointer<GrowingNumbers<Int8>>
  /// What has passed before all was learned anew.
  private var past: [PassedTraffic] = []

  private static let unasked: Int8 = -1
  private static let exception: Int8 = -2
  /// All is learned anew when so many facts were added to a hundred: together half as much work again.
  private static let growth = 200

  init(policy: Policy?, facts: StoredFacts, slowMs: Int64) {
    self.policy = policy
    self.facts = facts
    self.slowMs = slowMs
    foresight = OrdinaryTraffic.foresight(policy, facts)
    contexts = .allocate(capacity: 0)
    endings = .allocate(capacity: OutcomeContext.allCases.count)
    endings.initialize(repeating: GrowingNumbers(), count: OutcomeContext.allCases.count)
    learned = facts.sources.count + facts.destinations.count
    for (place, fact) in facts.sources.enumerated() { OrdinaryTraffic.note(fact.id, place, &sourcePlaces) }
    for (place, fact) in facts.destinations.enumerated() { OrdinaryTraffic.note(fact.id, place, &destinationPlaces) }
    for (place, fact) in facts.outcomes.enumerated() { OrdinaryTraffic.note(fact.id, place, &outcomePlaces) }
  }

  deinit {
    for one in past + [passed] { one.removeAll() }
    sourcePlaces.removeAll()
    destinationPlaces.removeAll()
    outcomePlaces.removeAll()
    for context in OutcomeContext.allCases.indices { endings[context].removeAll() }
    endings.deallocate()
  }

  private var passed: PassedTraffic {
    PassedTraffic(
      logs: kinds.logs, sources: sourceNumbers, destinations: destinationNumbers, contexts: contexts, rows: contextRows)
  }

  private func forgetNumbers() {
    past.append(passed)
    (sourceNumbers, destinationNumbers, kinds) = (GrowingNumbers(), GrowingNumbers(), SourceKinds())
    (contexts, contextRows) = (.allocate(capacity: 0), 0)
  }

  private static func foresight(_ policy: Policy?, _ facts: StoredFacts) -> Foresight {
    Foresight(
      policy: policy, sources: facts.sources, destinations: facts.destinations, logs: facts.logs,
      topology: facts.topology)
  }

  /// - Returns: whether the place is new.
  @discardableResult
  private static func note(_ id: Int64, _ place: Int, _ places: inout GrowingNumbers<Int32>) -> Bool {
    guard places[Int(id)] < 0 else { return false }
    places.set(Int32(place), at: Int(id))
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
    forgetNumbers()
  }

  var destinations: [(id: Int64, destination: Destination)] {
    // Mostly they come in this order.
    let isSorted = facts.destinations.indices.dropFirst().allSatisfy {
      facts.destinations[$0 - 1].id < facts.destinations[$0].id
    }
    return isSorted ? facts.destinations : facts.destinations.sorted { $0.id < $1.id }
  }

  func isOrdinary(source: Int64, destination: Int64, outcome: Int64, durationMs: Int64) -> Bool {
    let (source, destination, outcome) = (Int(source), Int(destination), Int(outcome))
    var row = Int(sourceNumbers[source])
    if row < 0 { row = numberSource(source) }
    var column = Int(destinationNumbers[destination])
    if column < 0 { column = numberDestination(destination) }
    // In bounds: a number of a source has a row.
    var context = contexts[row][column >> 1]
    if context == OrdinaryTraffic.unasked { context = askContext(row, column >> 1) }
    guard context >= 0 else { return false }
    // In bounds: there is one of each context.
    var ending = endings[Int(context >> PassedTraffic.bits)][outcome]
    if ending == OrdinaryTraffic.unasked { ending = askEnding(outcome, Int(context >> PassedTraffic.bits)) }
    // How long a connection lives says nothing of how slow it was.
    guard ending != 0, durationMs < slowMs || column & 1 == 0 else { return false }
    if context | ending != context { contexts[row].set(context | ending, at: column >> 1) }
    return true
  }

  func looks(by verdicts: VerdictIndex) -> [Int64: LogLook]? {
    var looks: [Int64: LogLook] = [:]
    for one in past + [passed] {
      guard let found = one.looks(by: verdicts) else { return nil }
      looks.merge(found) { $0.merged(with: $1) }
    }
    return looks
  }

  @inline(never)
  private func numberSource(_ id: Int) -> Int {
    let fact = facts.sources[Int(sourcePlaces[id])]
    let kind = foresight.number(of: fact.source, declaredRole: fact.declaredRole)
    let number = kinds.number(of: kind, fact.source.log)
    sourceNumbers.set(Int32(number), at: id)
    if number >= contextRows { makeRows(number + 1) }
    return number
  }

  private func makeRows(_ count: Int) {
    let rows = max(count, 2 * contextRows)
    let larger = UnsafeMutablePointer<GrowingNumbers<Int8>>.allocate(capacity: rows)
    larger.initialize(repeating: GrowingNumbers(), count: rows)
    larger.update(from: contexts, count: contextRows)
    contexts.deallocate()
    (contexts, contextRows) = (larger, rows)
  }

  @inline(never)
  private func numberDestination(_ id: Int) -> Int {
    let destination = facts.destinations[Int(destinationPlaces[id])].destination
    let number = 2 * foresight.number(of: destination) + (destination.traffic == .http ? 1 : 0)
    destinationNumbers.set(Int32(number), at: id)
    return number
  }

  @inline(never)
  private func askContext(_ source: Int, _ destination: Int) -> Int8 {
    let context = foresight.context(source: kinds.kinds[source], destination: destination)
    let number =
      context.map { Int8(OutcomeContext.allCases.firstIndex(of: $0)!) << PassedTraffic.bits }
      ?? OrdinaryTraffic.exception
    contexts[source].set(number, at: destination)
    return number
  }

  @inline(never)
  private func askEnding(_ id: Int, _ context: Int) -> Int8 {
    let outcome = facts.outcomes[Int(outcomePlaces[id])].outcome
    var ending: Int8 = 0
    if Foresight.isOrdinary(outcome, in: OutcomeContext.allCases[context]) {
      let isSuccess = Foresight.isSuccess(outcome, in: OutcomeContext.allCases[context])
      ending = PassedTraffic.any | (isSuccess ? PassedTraffic.success : 0)
    }
    endings[context].set(ending, at: id)
    return ending
  }
}
