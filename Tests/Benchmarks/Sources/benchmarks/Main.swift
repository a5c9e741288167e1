internal import Foundation

/// `benchmarks [--quick] [--rounds N] [--gatewatch FILE] [--data FOLDER] [--json FILE]`: builds the yardsticks, makes the
/// data, runs everything in turn, and prints one table of targets.
@main
struct Benchmarks {
  static let usage = """
    benchmarks [--quick] [--rounds N] [--gatewatch FILE] [--data FOLDER] [--json FILE]

      --quick           the everyday form: one million lines, no ten million, no peers; some three minutes
      --rounds N        least rounds of each comparison (default 5, with --quick 3); short ones take up to 15 in 20 seconds
      --gatewatch FILE  measure this binary instead of building the release
      --data FOLDER     keep yardsticks and data here and use them again
      --json FILE       where the results go, readable by machines (default benchmarks.json in the data folder, or gatewatch-benchmarks.json in the temporary one)

    Run it on a quiet machine with at least 8 GB free for the data of the full form.
    """

  static func main() {
    do {
      var words = Array(CommandLine.arguments.dropFirst())
      func value(_ name: String) throws -> String? {
        guard let index = words.firstIndex(of: name) else { return nil }
        guard index + 1 < words.count else { throw BenchmarkError("\(name) needs a value\n\(usage)") }
        defer { words.removeSubrange(index...index + 1) }
        return words[index + 1]
      }
      func flag(_ name: String) -> Bool {
        guard let index = words.firstIndex(of: name) else { return false }
        words.remove(at: index)
        return true
      }
      if flag("--help") || flag("-h") { return print(usage) }
      let isQuick = flag("--quick")
      let rounds = try value("--rounds").flatMap { Int($0) } ?? (isQuick ? 3 : 5)
      let data = try value("--data")
      let json =
        try value("--json") ?? data.map { $0 + "/benchmarks.json" }
        ?? NSTemporaryDirectory() + "gatewatch-benchmarks.json"
      let gatewatch = try value("--gatewatch")
      guard words.isEmpty, rounds > 0 else { throw BenchmarkError(usage) }

      let workshop = try Workshop(gatewatch: gatewatch, data: data)
      defer { workshop.remove() }
      let suite = Suite(workshop: workshop, rounds: rounds, isQuick: isQuick)
      try suite.run()
      print(suite.card.table)
      try suite.card.json().write(to: URL(filePath: json))
      Progress.show("all figures in \(json)")
    } catch {
      FileHandle.standardError.write(Data("benchmarks: \(error)\n".utf8))
      exit(1)
    }
  }
}
