internal import Glibc

/// Works measured in turn, round after round: what else the machine does falls on all of them alike, so that their
/// ratios hold where single times do not.
struct Rounds {
  struct Work {
    let name: String
    /// One measured run; what it prepares it does before it takes the time.
    let run: () throws -> Command.Cost
  }

  /// Costs by work, one per round.
  private(set) var costs: [String: [Command.Cost]] = [:]

  init(_ count: Int, of works: [Work]) throws {
    for round in 0..<count {
      // Every other round backwards, so that no work always follows the same one.
      for work in round % 2 == 0 ? works : works.reversed() {
        Progress.show("round \(round + 1) of \(count): \(work.name)")
        // What the work before has left to be written is written by now, not while the next one is measured.
        sync()
        costs[work.name, default: []].append(try work.run())
      }
    }
  }

  func median(_ work: String, _ value: (Command.Cost) -> Double = { $0.wall }) -> Double {
    (costs[work] ?? []).map(value).median
  }

  /// How many times as long `slow` took as `fast`: the median of the ratios within the rounds.
  func ratio(_ slow: String, over fast: String) -> Double {
    zip(costs[slow] ?? [], costs[fast] ?? []).map { $0.wall / $1.wall }.median
  }

  func has(_ work: String) -> Bool { costs[work] != nil }
}

extension [Double] {
  var median: Double {
    guard !isEmpty else { return .nan }
    let sorted = sorted()
    return sorted.count % 2 == 1
      ? sorted[sorted.count / 2] : (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
  }
}
