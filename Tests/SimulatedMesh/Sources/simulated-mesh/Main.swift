internal import Foundation

/// `simulated-mesh [--requests N] ...`: simulates, lets Gatewatch read, compares, prints one table.
@main
struct SimulatedMesh {
  static let usage = """
    simulated-mesh [--requests N] [--seed N] [--gatewatch FILE] [--keep FOLDER] [--lost PERCENT] [--late PERCENT]
                   [--only-logs] [--plain]

      --requests N      requests and connections to simulate (default 20000; a million is the measure)
      --seed N          another mesh (default 7)
      --gatewatch FILE  the program (default: the newest build of this package)
      --keep FOLDER     leave logs, policy, truth.tsv and databases here
      --lost PERCENT    of the lines (default 3)
      --late PERCENT    of the lines, in files of their own that later runs read (default 2)
      --only-logs       write the mesh into the folder of --keep, and judge nothing
      --plain           only requests through gateways, two lines each, and nothing lost: for measuring time; with --keep

    Exit 0: all targets are met. 1: one is missed. 2: it could not be judged.
    """

  static func main() {
    do {
      var words = Array(CommandLine.arguments.dropFirst())
      func value(_ name: String) throws -> String? {
        guard let index = words.firstIndex(of: name) else { return nil }
        guard index + 1 < words.count else { throw SimulationError("\(name) needs a value\n\(usage)") }
        defer { words.removeSubrange(index...index + 1) }
        return words[index + 1]
      }
      func flag(_ name: String) -> Bool {
        guard let index = words.firstIndex(of: name) else { return false }
        words.remove(at: index)
        return true
      }
      if flag("--help") || flag("-h") { return print(usage) }
      let requests = try value("--requests").map { Int($0) ?? 0 } ?? 20_000
      let seed = try value("--seed").map { UInt64($0) ?? 0 } ?? 7
      let lost = try value("--lost").map { Int($0) ?? -1 } ?? 3
      let late = try value("--late").map { Int($0) ?? -1 } ?? 2
      let gatewatch = try value("--gatewatch")
      let kept = try value("--keep")
      let (isOnlyLogs, isPlain) = (flag("--only-logs"), flag("--plain"))
      guard words.isEmpty, requests > 0, lost >= 0, late >= 0, lost + late <= 100,
        kept != nil || !(isOnlyLogs || isPlain)
      else { throw SimulationError(usage) }

      let folder =
        kept.map { URL(filePath: $0) }
        ?? FileManager.default.temporaryDirectory.appending(path: "simulated-mesh-\(UUID().uuidString)")
      defer { if kept == nil { try? FileManager.default.removeItem(at: folder) } }
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      if isPlain { return try PlainTraffic.write(requests: requests, seed: seed, to: folder) }
      let trial = try Trial(requests: requests, seed: seed, lost: lost, late: late, in: folder)
      if isOnlyLogs { return try trial.mesh.writeTruth(trial.lines) }
      if kept != nil { try trial.mesh.writeTruth(trial.lines) }
      let isPassed = try trial.run(try executable(gatewatch))
      // Swift's exit runs no deferred removal.
      if kept == nil { try? FileManager.default.removeItem(at: folder) }
      exit(isPassed ? 0 : 1)
    } catch {
      FileHandle.standardError.write(Data("simulated-mesh: \(error)\n".utf8))
      exit(2)
    }
  }

  private static func executable(_ path: String?) throws -> String {
    let root = URL(filePath: #filePath).appending(path: "../../../../..").standardized
    let builds = ["release", "debug"].map { root.appending(path: ".build/\($0)/gatewatch").path }
    guard let found = (path.map { [$0] } ?? builds).first(where: FileManager.default.isExecutableFile) else {
      throw SimulationError(
        "no program at \(path ?? builds.joined(separator: " or ")); build it, or name it with --gatewatch")
    }
    return found
  }
}

/// One mesh, read in one run, and in many runs of another order.
struct Trial {
  let lines: [Line]
  let mesh: MeshFiles
  private let seed: UInt64

  init(requests: Int, seed: UInt64, lost: Int, late: Int, in folder: URL) throws {
    self.seed = seed
    let began = ContinuousClock.now
    let traffic = Traffic(requests: requests, seed: seed, lostPercent: lost, latePercent: late)
    mesh = try MeshFiles(traffic, in: folder)
    var lines = traffic.lines
    Joinable.mark(&lines)
    self.lines = lines
    say("\(requests) requests, \(mesh.order.count) lines to read of \(lines.count), seed \(seed)", since: began)
  }

  /// - Returns: all targets are met.
  func run(_ executable: String) throws -> Bool {
    let once = try read(executable, "once", [[mesh.logs, mesh.late]])
    var judgement = Judgement(lines, mesh, once.answers, unlogged: once.unlogged)
    let parts = try read(executable, "parts", runs())
    judgement.compareOrder(parts.answers)
    print(judgement.card.table, terminator: "")
    print("simulated mesh: \(judgement.card.isPassed ? "all targets met" : "targets MISSED")")
    return judgement.card.isPassed
  }

  /// Some logs in each run, in an order of chance, and what came late in the end.
  private func runs() -> [[String]] {
    var random = Randomness(seed: seed ^ 0x0DD)
    var logs: [String] = []
    var late: [String] = []
    for log in 0..<World.logs {
      if !mesh.ranges[log].isEmpty { logs.append(mesh.path(of: log, isLate: false)) }
      if !mesh.ranges[World.logs + log].isEmpty { late.append(mesh.path(of: log, isLate: true)) }
    }
    logs.shuffle(using: &random)
    late.shuffle(using: &random)
    let quarter = (logs.count + 3) / 4
    return stride(from: 0, to: logs.count, by: quarter).map { Array(logs[$0..<min($0 + quarter, logs.count)]) }
      + [Array(late.prefix(late.count / 2)), Array(late.dropFirst(late.count / 2))].filter { !$0.isEmpty }
  }

  private func read(
    _ executable: String, _ name: String, _ runs: [[String]]
  ) throws -> (answers: [Answer], unlogged: String) {
    let database = mesh.folder.appending(path: "\(name).db").path
    for ending in ["", "-wal", "-shm", ".lock"] { try? FileManager.default.removeItem(atPath: database + ending) }
    let gatewatch = try Gatewatch(executable: executable, database: database)
    let began = ContinuousClock.now
    var sums = Gatewatch.Sums()
    for paths in runs {
      let part = try gatewatch.ingest(paths, mesh)
      sums.read += part.read
      sums.stored += part.stored
      sums.seconds += part.seconds
    }
    guard sums.read == mesh.order.count, sums.stored == sums.read else {
      throw SimulationError("\(mesh.order.count) lines were written, \(sums.read) read, \(sums.stored) stored")
    }
    say("\(name): \(runs.count) runs of ingest, \(sums.seconds.formatted(.number.precision(.fractionLength(1)))) s")
    let answers = try Answers.read(gatewatch, mesh, count: lines.count)
    let unlogged = try gatewatch.report("unlogged")
    say("\(name): answers", since: began)
    return (answers, unlogged)
  }

  private func say(_ text: String, since: ContinuousClock.Instant? = nil) {
    let time = since.map { ", \((((ContinuousClock.now - $0) / .seconds(1)) * 10).rounded() / 10) s" } ?? ""
    FileHandle.standardError.write(Data("simulated mesh: \(text)\(time)\n".utf8))
  }
}
