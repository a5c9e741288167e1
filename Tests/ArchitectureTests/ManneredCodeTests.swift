import Foundation
import Testing

/// Manners that the compiler does not know of.
@Suite struct ManneredCodeTests {
  /// What only the command line may do, by the calls that do it.
  static let reserved: [(deed: String, pattern: String)] = [
    ("prints", #"(^|[^.\w])(print|debugPrint|dump|puts|putchar|fputs|printf|vprintf)\("#),
    (
      "writes to the standard streams",
      #"FileHandle\.standard(Output|Error)|STDOUT_FILENO|STDERR_FILENO|\b(stdout|stderr)\b"#
    ),
    (
      "reads the clock",
      #"\bDate\(\)|\bDate\.now\b|\btime\(nil\)|\bgettimeofday\(|CLOCK_REALTIME|DispatchWallTime|\bNSDate\(\)"#
    ),
    ("exits", #"(^|[^.\w])(exit|_exit|quick_exit|abort)\("#),
    ("reads the environment", #"ProcessInfo\.processInfo\.(environment|arguments)|\bgetenv\(|CommandLine\.arguments"#),
  ]

  @Test(
    "only the command line prints, reads the clock and the environment, and exits",
    arguments: ManneredCodeTests.reserved)
  func onlyTheCommandLine(deed: String, pattern: String) throws {
    let calls = try Regex(pattern)
    // embed-queries is a command line of its own, for the build.
    for file in SourceTree.files(under: "Sources", ending: ".swift")
    where !file.hasPrefix("Sources/gatewatch/") && !file.hasPrefix("Sources/embed-queries/") {
      for (index, line) in try SourceTree.code(file).enumerated() {
        #expect(
          line.firstMatch(of: calls) == nil,
          "\(file):\(index + 1) \(deed): \(line.trimmingCharacters(in: .whitespaces))")
      }
    }
  }

  @Test("a call in a comment or a literal is none")
  func literalsAreNoCalls() throws {
    let calls = try Regex(Self.reserved[0].pattern)
    var scanner = SwiftScanner("let a = \"print(\" // print(1)\nsink.print(2)\nprint(3)")
    let lines = scanner.code().split(separator: "\n")
    #expect(lines.map { $0.firstMatch(of: calls) != nil } == [false, false, true])
  }

  @Test("the words that stand for unfinished work do not occur")
  func nothingUnfinished() throws {
    // Put together here, so that this file does not hold them.
    let words = ["TO" + "DO", "FIX" + "ME", "XX" + "X:", "HA" + "CK"]
    for file in SourceTree.files(under: "Sources", ending: ".swift")
      + SourceTree.files(under: "Queries", ending: ".sql")
    {
      for (index, line) in try SourceTree.lines(file).enumerated() {
        for word in words where line.contains(word) { Issue.record("\(file):\(index + 1): \(word)") }
      }
    }
  }

  @Test("names of Manager, Helper and Util kinds are not given")
  func namesSayTheRole() throws {
    let empty = try Regex(#"\b(class|struct|enum|protocol|actor)\s+\w*(Manager|Helper|Helpers|Util|Utils|Utilities)\b"#)
    for file in SourceTree.files(under: "Sources", ending: ".swift") {
      for (index, line) in try SourceTree.code(file).enumerated() {
        #expect(line.firstMatch(of: empty) == nil, "\(file):\(index + 1)")
      }
    }
  }

  @Test("nothing depends on where the repository lies or on whose machine")
  func noMachinePaths() throws {
    let folders = ["home", "root", "Users", "mnt", "tmp", "work"].joined(separator: "|")
    let homes = try Regex(#"(^|[^\w.:/\-])/(\#(folders))/[\w.]"#)
    let files =
      ["README.md", "CHANGELOG.md", "Package.swift", ".ci/run"]
      + SourceTree.files(under: "Sources", ending: ".swift", ".h", ".modulemap")
      + SourceTree.files(under: "Queries", ending: ".sql") + SourceTree.files(under: "Tests", ending: ".swift")
    for file in files {
      for (index, line) in try SourceTree.lines(file).enumerated() {
        // A folder of one short word ("/gw") would be found inside of other words.
        let isRootNamed = SourceTree.root.pathComponents.count > 2 && line.contains(SourceTree.root.path)
        #expect(!isRootNamed && line.firstMatch(of: homes) == nil, "\(file):\(index + 1): \(line)")
      }
    }
  }

  @Test("source files stay short enough to be read at once")
  func filesStayShort() throws {
    // About 400 lines is the aim; what is longer than this has two topics.
    let limit = 600
    for file in SourceTree.files(under: "Sources", ending: ".swift") {
      let count = try SourceTree.lines(file).count
      #expect(count <= limit, "\(file) has \(count) lines: split it by topic")
    }
  }
}
