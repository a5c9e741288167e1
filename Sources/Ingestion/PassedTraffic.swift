internal import FlowStore
internal import Flows

/// What a sieve has let pass while it judged by the same facts, by the numbers that it told sources and destinations apart by.
///
///     what has passed       [number of the source][number of the destination]: context, any, success
///     a judgement           [class of the source][class of the destination]: role, context, bypass
///
/// Each number stands for some classes. Where the judgement says the same of all of them as the sieve did, it says so of each
/// flow, and none needs to be looked at.
struct PassedTraffic {
  /// By number of the source.
  let logs: [Int64]
  // By row id; -1 where nothing was asked. Of destinations twice the number, or 1 more.
  let sources: GrowingNumbers<Int32>
  let destinations: GrowingNumbers<Int32>
  /// By number of the source, in it by that of the destination: the number of the context, and in the low bits what has passed;
  /// below 0 nothing has.
  let contexts: UnsafeMutablePointer<GrowingNumbers<Int8>>
  let rows: Int

  /// The low bits.
  static let bits: Int8 = 2
  static let any: Int8 = 1
  static let success: Int8 = 2

  /// Who has it calls this in the end.
  func removeAll() {
    var (sources, destinations) = (sources, destinations)
    sources.removeAll()
    destinations.removeAll()
    for row in 0..<rows { contexts[row].removeAll() }
    contexts.deallocate()
  }

  /// nil where the judgement, for all that is known here, may call a flow a bypass, or has more than one word for what has
  /// passed.
  func looks(by verdicts: VerdictIndex) -> [Int64: LogLook]? {
    guard let sourceClasses = classes(sources, halved: false, verdicts.sourceClass(of:)),
      let destinationClasses = classes(destinations, halved: true, verdicts.destinationClass(of:))
    else { return nil }
    var looks: [Int64: LogLook] = [:]
    for row in 0..<min(rows, logs.count) {
      for column in destinationClasses.indices {
        let passed = contexts[row][column]
        guard passed >= 0, passed & PassedTraffic.any != 0 else { continue }
        guard
          let way = common(row < sourceClasses.count ? sourceClasses[row] : [], destinationClasses[column], verdicts),
          !way.mayBypass, way.context == OutcomeContext.allCases[Int(passed >> PassedTraffic.bits)]
        else { return nil }
        let look = LogLook(roles: [way.role], hasSuccess: passed & PassedTraffic.success != 0)
        looks[logs[row]] = (looks[logs[row]] ?? LogLook()).merged(with: look)
      }
    }
    return looks
  }

  /// The classes of what has a number, by number; nil where something has none.
  private func classes(
    _ numbers: GrowingNumbers<Int32>, halved: Bool, _ classOf: (Int64) -> Int?
  ) -> [Set<Int>]? {
    var classes: [Set<Int>] = []
    for id in 0..<numbers.count where numbers[id] >= 0 {
      let number = Int(numbers[id]) >> (halved ? 1 : 0)
      guard let found = classOf(Int64(id)) else { return nil }
      while classes.count <= number { classes.append([]) }
      classes[number].insert(found)
    }
    return classes
  }

  /// What is said of all pairs at all times, if it is the same.
  private func common(_ sources: Set<Int>, _ destinations: Set<Int>, _ verdicts: VerdictIndex) -> VerdictIndex.Way? {
    var common: VerdictIndex.Way?
    for source in sources {
      for destination in destinations {
        for interval in verdicts.intervals.indices {
          guard
            let way = verdicts.route(interval: interval, sourceClass: source, destinationClass: destination),
            common == nil || way == common
          else { return nil }
          common = way
        }
      }
    }
    return common
  }
}

/// Numbers sources by what the sieve asks of them, and by their log.
struct SourceKinds {
  private struct Member: Hashable {
    var kind: Int
    var log: Int64
  }
  private var numbers: [Member: Int] = [:]
  /// By number.
  private(set) var kinds: [Int] = []
  private(set) var logs: [Int64] = []

  mutating func number(of kind: Int, _ log: Int64) -> Int {
    let member = Member(kind: kind, log: log)
    if let known = numbers[member] { return known }
    numbers[member] = kinds.count
    kinds.append(kind)
    logs.append(log)
    return kinds.count - 1
  }
}
