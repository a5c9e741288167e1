import AccessLogs
import FlowStore
import Flows
import Foundation
import Ingestion
import Testing

/// The examples of README.md, run as they stand there.
///
/// The `console` blocks are one session in a folder that holds a copy of `SampleLogs` and the files that other blocks show
/// (a `yaml` block whose first line is `# NAME`). Only commands that begin with `$ gatewatch` are run. In the output
/// shown, a line `...` stands for any lines, and `...` within a line for any text.
@Suite("the examples of README.md") struct ReadmeTests {
  @Test("each example prints what is shown below it")
  func examples() throws {
    let readme = try String(contentsOf: Readme.root.appending(path: "README.md"), encoding: .utf8)
    let examples = Readme.examples(in: readme)
    #expect(examples.count >= 10)
    let folder = try Session()
    defer { folder.remove() }
    for (name, text) in Readme.files(in: readme) { try folder.write(text, to: name) }
    for example in examples {
      let output = try folder.run(example.command)
      #expect(
        Readme.fits(output, example.output),
        "README.md:\(example.line): $ \(example.command)\n--- shown\n\(example.output)\n--- printed\n\(output)")
    }
  }

  @Test("the handbook names each subcommand and each report")
  func handbookIsComplete() throws {
    let readme = try String(contentsOf: Readme.root.appending(path: "README.md"), encoding: .utf8)
    for name in [
      "ingest", "report", "flows", "query", "explain", "whatif", "alert", "formats", "policy", "topology", "db",
    ] {
      #expect(readme.contains("`\(name) ") || readme.contains("`\(name)`"), "\(name)")
    }
    let reports = try FileManager.default.contentsOfDirectory(
      atPath: Readme.root.appending(path: "Queries/Reports").path)
    for report in reports where report.hasSuffix(".sql") {
      #expect(readme.contains("\n\(report.dropLast(4))  "), "report \(report) is not in the list of reports")
    }
  }

  @Test("every subcommand has a help text with an example")
  func everySubcommandHasHelp() throws {
    let folder = try Session()
    defer { folder.remove() }
    let commands = [
      "", "ingest", "report", "flows", "query", "explain", "whatif", "alert", "formats", "formats list", "formats test",
      "policy",
      "policy init",
      "policy check", "topology", "topology import", "topology show", "db", "db info", "db check", "db prune",
      "db snapshot",
    ]
    for command in commands {
      let help = try folder.run("gatewatch \(command) --help")
      #expect(help.hasPrefix("OVERVIEW: "), "gatewatch \(command) --help")
      let overview = help.split(separator: "\nUSAGE: ").first ?? ""
      #expect(overview.contains("gatewatch \(command)"), "gatewatch \(command) --help")
    }
  }

  @Test("the handbook's table of columns is that of the view flows, in its order")
  func columnsOfFlows() throws {
    let folder = try Session()
    defer { folder.remove() }
    let output = try folder.run("gatewatch ingest SampleLogs/demo > said.txt; gatewatch flows --format csv --limit 1")
    let printed = try #require(output.split(whereSeparator: \.isNewline).first).split(separator: ",").map(String.init)
    let readme = try String(contentsOf: Readme.root.appending(path: "README.md"), encoding: .utf8)
    let section = try #require(readme.split(separator: "\n## The database\n").last?.split(separator: "\n## ").first)
    let table = section.split(separator: "\n").drop { !$0.hasPrefix("| `") }.prefix { $0.hasPrefix("| `") }
    let named = table.flatMap { row in
      row.split(separator: "|")[0].split(separator: ",").map { $0.filter { $0 != "`" && $0 != " " } }
    }
    #expect(named == printed)
  }

  @Test("the handbook names each warning and each word of the vocabularies")
  func words() throws {
    let readme = try String(contentsOf: Readme.root.appending(path: "README.md"), encoding: .utf8)
    var words = Warnings.names.map(\.name) + ProxyKind.allCases.map(\.rawValue) + Role.allCases.map(\.rawValue)
    words += Flows.Path.allCases.map(\.rawValue) + OutcomeKind.allCases.map(\.rawValue)
    for word in words { #expect(readme.contains("`\(word)`"), "\(word)") }
  }

  @Test("the limits that the handbook states are those of the code")
  func limits() throws {
    let readme = try String(contentsOf: Readme.root.appending(path: "README.md"), encoding: .utf8)
    let limits = IngestLimits()
    let queries = QueryLimits()
    #expect(LineParser.maxLine == 1 << 20 && limits.maxLineBytes == LineParser.maxLine)
    #expect(readme.contains("| a line that is parsed | 1 MiB;"))
    #expect(RejectedLine.maxText == 4096 && FlowStore.maxRejectedPerLog == 1000 && FlowStore.maxRejected == 100_000)
    #expect(readme.contains("4,096 bytes, of 1,000 lines per log and 100,000 per database"))
    #expect(limits.maxInflationRatio == 500 && limits.unratedInflatedBytes == 256 << 20)
    #expect(readme.contains("500 times its compressed size, once it gave 256 MiB"))
    #expect(limits.overlapWindow == 500_000)
    #expect(readme.contains("within one input | 500,000 to 1,000,000 |"))
    #expect(limits.linesPerCommit == 100_000 && limits.secondsPerCommit == 2)
    #expect(readme.contains("100,000 lines, or, at the end of a file, 2 seconds"))
    #expect(queries.sqlBytes == 1 << 20 && queries.time == .seconds(60) && queries.valueBytes == 16 << 20)
    #expect(readme.contains("1 MiB of text, 60 seconds, 16 MiB per value"))
  }

  @Test("dots stand for any lines, or for any text within a line")
  func wildcards() {
    #expect(Readme.fits("a\nb\nc\n", "a\n...\nc"))
    #expect(Readme.fits("a\nc\n", "a\n...\nc"))
    #expect(Readme.fits("in 0.02 s\n", "in ... s"))
    #expect(!Readme.fits("a\nb\nc\n", "a\nc"))
    #expect(!Readme.fits("in 0.02 s, late\n", "in ... s"))
    #expect(Readme.fits("", ""))
    #expect(!Readme.fits("something\n", ""))
  }
}

/// What README.md shows.
enum Readme {
  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  struct Example {
    var line: Int
    var command: String
    var output: String
  }

  static func examples(in text: String) -> [Example] {
    var examples: [Example] = []
    for block in blocks(of: "console", in: text) {
      for (index, line) in block.lines.enumerated() {
        if line.hasPrefix("$ ") {
          examples.append(Example(line: block.line + index + 1, command: String(line.dropFirst(2)), output: ""))
        } else if !examples.isEmpty {
          examples[examples.count - 1].output += line + "\n"
        }
      }
    }
    return examples.filter { $0.command.hasPrefix("gatewatch") }
  }

  static func files(in text: String) -> [(name: String, text: String)] {
    blocks(of: "yaml", in: text).compactMap { block in
      guard let first = block.lines.first, first.hasPrefix("# "), !first.dropFirst(2).contains(" ") else { return nil }
      return (String(first.dropFirst(2)), block.lines.joined(separator: "\n") + "\n")
    }
  }

  private static func blocks(of language: String, in text: String) -> [(line: Int, lines: [String])] {
    var blocks: [(line: Int, lines: [String])] = []
    var isInside = false
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      if line == "```" + language {
        isInside = true
        blocks.append((index + 1, []))
      } else if line.hasPrefix("```") {
        isInside = false
      } else if isInside {
        blocks[blocks.count - 1].lines.append(String(line))
      }
    }
    return blocks
  }

  /// Whether the lines printed are those shown.
  static func fits(_ printed: String, _ shown: String) -> Bool {
    func lines(_ text: String) -> [Substring] {
      // CSV ends its lines with CR LF, which Swift takes for one character.
      var lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
      while lines.last?.isEmpty == true { lines.removeLast() }
      return lines
    }
    return fits(lines(printed)[...], lines(shown)[...])
  }

  private static func fits(_ printed: ArraySlice<Substring>, _ shown: ArraySlice<Substring>) -> Bool {
    guard let pattern = shown.first else { return printed.isEmpty }
    if pattern == "..." {
      return (0...printed.count).contains { fits(printed.dropFirst($0), shown.dropFirst()) }
    }
    guard let line = printed.first, fits(line: line, pattern) else { return false }
    return fits(printed.dropFirst(), shown.dropFirst())
  }

  private static func fits(line: Substring, _ pattern: Substring) -> Bool {
    let parts = pattern.split(separator: "...", omittingEmptySubsequences: false)
    guard parts.count > 1, let first = parts.first, let last = parts.last else { return line == pattern }
    guard line.hasPrefix(first) else { return false }
    var rest = line.dropFirst(first.count)
    for part in parts.dropFirst().dropLast() where !part.isEmpty {
      guard let found = rest.firstRange(of: part) else { return false }
      rest = rest[found.upperBound...]
    }
    return rest.hasSuffix(last)
  }
}

/// A folder of its own, in which the built program runs.
struct Session {
  let folder: URL

  init() throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "gatewatch-readme-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try FileManager.default.copyItem(
      at: Readme.root.appending(path: "SampleLogs"), to: folder.appending(path: "SampleLogs"))
  }

  func remove() { try? FileManager.default.removeItem(at: folder) }

  func write(_ text: String, to name: String) throws {
    try Data(text.utf8).write(to: folder.appending(path: name))
  }

  private static let programs = URL(filePath: Sandbox.program).deletingLastPathComponent().path

  /// The standard output of a command line; the standard error is left out.
  func run(_ command: String) throws -> String {
    try #require(FileManager.default.isExecutableFile(atPath: Session.programs + "/gatewatch"))
    let process = Process()
    process.executableURL = URL(filePath: "/bin/bash")
    process.arguments = ["-c", command]
    process.currentDirectoryURL = folder
    var environment = ProcessInfo.processInfo.environment
    environment["PATH"] = Session.programs + ":" + (environment["PATH"] ?? "/usr/bin:/bin")
    environment["GATEWATCH_DB"] = nil
    environment["COLUMNS"] = nil
    process.environment = environment
    let output = Pipe()
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let bytes = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: bytes, as: UTF8.self)
  }
}
