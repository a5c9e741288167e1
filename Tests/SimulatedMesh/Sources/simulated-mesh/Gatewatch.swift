internal import Foundation

/// The program that is judged, run as its users run it.
struct Gatewatch {
  let executable: String
  let database: String
  private let joins: [String]

  /// - Parameter executable: the path of a build.
  init(executable: String, database: String) throws {
    self.executable = executable
    self.database = database
    let help = try Gatewatch.run(executable, ["ingest", "--help"])
    let text = String(decoding: help, as: UTF8.self)
    joins = text.contains("--join-hops") && !text.contains("--no-join-hops") ? ["--join-hops"] : []
  }

  struct Sums {
    var read = 0
    var stored = 0
    var seconds = 0.0
  }

  /// - Returns: lines read and stored, of this run.
  func ingest(_ paths: [String], _ mesh: MeshFiles) throws -> Sums {
    let began = ContinuousClock.now
    let answer = try Gatewatch.run(
      executable,
      ["ingest"] + paths
        + ["--db", database, "--policy", mesh.policy, "--log-format", "@\(mesh.format)", "--format", "json"] + joins)
    guard let summary = try JSONSerialization.jsonObject(with: answer) as? [String: Any],
      let lines = summary["lines"] as? [String: Any], let read = lines["read"] as? Int,
      let stored = lines["stored"] as? Int
    else { throw SimulationError("ingest: no summary in \(String(decoding: answer.prefix(300), as: UTF8.self))") }
    return Sums(read: read, stored: stored, seconds: (ContinuousClock.now - began) / .seconds(1))
  }

  func query(_ sql: String) throws -> Data {
    try Gatewatch.run(executable, ["query", "--db", database, "--format", "csv", "--limit", "0", "-e", sql])
  }

  func report(_ name: String) throws -> String {
    let answer = try Gatewatch.run(
      executable, ["report", name, "--db", database, "--format", "json", "--limit", "0"])
    return String(decoding: answer, as: UTF8.self)
  }

  private static func run(_ executable: String, _ arguments: [String]) throws -> Data {
    let process = Process()
    process.executableURL = URL(filePath: executable)
    process.arguments = arguments
    let output = FileManager.default.temporaryDirectory.appending(path: "simulated-mesh-\(UUID().uuidString).out")
    defer { try? FileManager.default.removeItem(at: output) }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle.new(output.path)
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    let complaint = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw SimulationError(
        "gatewatch \(arguments.prefix(2).joined(separator: " ")): exit \(process.terminationStatus): "
          + String(decoding: complaint, as: UTF8.self))
    }
    return try Data(contentsOf: output)
  }
}

/// What Gatewatch says of a line.
struct Answer: Equatable {
  /// 0 for none.
  var journey: UInt64 = 0
  var bypass: Line.Bypass?
  var outcome: Line.Outcome = .any
  var isUnproven = false
  var isFound = false
}

/// Reads the answers to all lines, by their place in the list of lines.
struct Answers {
  private static let page = 500_000

  static func read(_ gatewatch: Gatewatch, _ mesh: MeshFiles, count: Int) throws -> [Answer] {
    var answers = Array(repeating: Answer(), count: count)
    var kinds: [String: Int] = [:]
    for log in 0..<World.logs {
      kinds[mesh.path(of: log, isLate: false)] = log
      kinds[mesh.path(of: log, isLate: true)] = World.logs + log
    }
    let last = try gatewatch.query("select coalesce(max(id), 0) as last from flows")
    let rows = String(decoding: last, as: UTF8.self).split(whereSeparator: \.isNewline)
    guard let last = rows.last.flatMap({ Int($0) }) else { throw SimulationError("no number of flows") }
    var first = 0
    while first < last {
      let text = try gatewatch.query(
        "select log, line, journey, bypass, outcome, warnings from flows where id > \(first) and id <= \(first + page)")
      for row in text.split(separator: UInt8(ascii: "\n")).dropFirst() {
        let fields = row.split(separator: UInt8(ascii: ","), maxSplits: 5, omittingEmptySubsequences: false)
        guard fields.count == 6, let line = Int(String(decoding: fields[1], as: UTF8.self)),
          let kind = kinds[String(decoding: fields[0], as: UTF8.self)], line <= mesh.ranges[kind].count
        else { throw SimulationError("not a line of the mesh: \(String(decoding: row, as: UTF8.self))") }
        let place = Int(mesh.order[mesh.ranges[kind].lowerBound + line - 1])
        guard !answers[place].isFound else {
          throw SimulationError("stored twice: \(String(decoding: row, as: UTF8.self))")
        }
        answers[place] = Answer(
          journey: fields[2].isEmpty ? 0 : hash(fields[2]), bypass: bypass(fields[3]), outcome: outcome(fields[4]),
          isUnproven: String(decoding: fields[5], as: UTF8.self).contains("source-unproven"), isFound: true)
      }
      first += page
    }
    return answers
  }

  private static func hash(_ text: Data.SubSequence) -> UInt64 {
    text.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 } | 1
  }

  /// nil for a word that no line of this mesh deserves.
  private static func bypass(_ text: Data.SubSequence) -> Line.Bypass? {
    guard !text.isEmpty else { return Line.Bypass.none }
    let word = String(decoding: text, as: UTF8.self)
    return (1...5).lazy.compactMap { Line.Bypass(rawValue: $0) }.first { $0.word == word }
  }

  private static func outcome(_ text: Data.SubSequence) -> Line.Outcome {
    let word = String(decoding: text, as: UTF8.self)
    return (1...5).lazy.compactMap { Line.Outcome(rawValue: $0) }.first { $0.word == word } ?? .any
  }
}
