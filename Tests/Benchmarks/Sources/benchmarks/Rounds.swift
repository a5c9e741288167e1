internal import Glibc

/// Works measured in turn, round after round: what else the machine does falls on all of them alike, so that their
/// ratios hold where single times do not.
struct Rounds {
  struct Work {
    let name: String
    /// One measured run; what it prepares it does before it takes the time.
    let run: () throws -> Command.Cost
  }

  /// Works that are over quickly are measured for this long, or `mostRounds` times: one stall among three runs of half
  /// a second would be the answer.
  private static let leastSeconds = 20.0
  private static let mostRounds = 15

  /// Costs by work, one per round.
  private(set) var costs: [String: [Command.Cost]] = [:]

  /// At least `least` rounds of `works`.
  init(_ least: Int, of works: [Work]) throws {
    let start = ContinuousClock.now
    var round = 0
    while round < least || (round < Rounds.mostRounds && start.duration(to: .now) < .seconds(Rounds.leastSeconds)) {
      // Every other round backwards, so that no work always follows the same one.
      for work in round % 2 == 0 ? works : works.reversed() {
        Progress.show("round \(round + 1), \(least) at least: \(work.name)")
        // What the work before has left to be written is written by now, not while the next one is measured.
        sync()
        costs[work.name, default: []].append(try work.run())
      }
      round += 1
    }
  }

  func median(_ work: String, _ value: (Command.Cost) -> Double = { $0.wall }) -> Double {
    (costs[work] ?? []).map(value).median
  }

  /// How many times as long `slow` took as `fast`, round by round.
  func ratio(_ slow: String, over fast: String) -> Ratio {
    Ratio(rounds: zip(costs[slow] ?? [], costs[fast] ?? []).map { $0.wall / $1.wall })
  }

  func has(_ work: String) -> Bool { costs[work] != nil }
}

/// The median of the ratios within the rounds, shown with the two between which the middle half of them lies.
struct Ratio: CustomStringConvertible {
  let rounds: [Double]

  var value: Double { rounds.median }

  var description: String {
    let text = "\(Scorecard.short(value))x"
    guard rounds.count > 3 else { return text }
    let sorted = rounds.sorted()
    let quarter = rounds.count / 4
    return text + " [\(Scorecard.short(sorted[quarter]))-\(Scorecard.short(sorted[rounds.count - 1 - quarter]))]"
  }
}

extension [Double] {
  var median: Double {
    guard !isEmpty else { return .nan }
    let sorted = sorted()
    return sorted.count % 2 == 1
      ? sorted[sorted.count / 2] : (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
  }
}
