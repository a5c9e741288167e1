import Foundation
import Testing

/// Where things lie.
@Suite struct LayoutTests {
  @Test("the top level holds the package and nothing else")
  func topLevel() throws {
    let expected: Set = [
      "Package.swift", "Sources", "Tests", "Queries", "SampleLogs", "README.md", "LICENSE", "CHANGELOG.md",
    ]
    // Written by SwiftPM, and not part of the repository.
    let generated: Set = ["Package.resolved"]
    let found = try FileManager.default.contentsOfDirectory(atPath: SourceTree.root.path)
      .filter { !$0.hasPrefix(".") && !generated.contains($0) }
    #expect(Set(found) == expected)
  }

  @Test("each module has its folder of tests")
  func testsPerModule() {
    let tests = SourceTree.folders(in: "Tests")
    for module in ["Flows", "AccessLogs", "EgressPolicy", "FlowStore", "Ingestion", "Reports"] {
      #expect(tests.contains(module + "Tests"))
    }
  }

  @Test("no test target is a placeholder")
  func noPlaceholders() {
    #expect(SourceTree.files(under: "Tests", ending: "Placeholder.swift").isEmpty)
  }

  @Test("each subcommand has a file of its own", arguments: ["Ingest", "Report", "Query", "Alert", "Formats"])
  func oneFilePerSubcommand(name: String) {
    #expect(SourceTree.files(under: "Sources/gatewatch/Commands").contains("Sources/gatewatch/Commands/\(name).swift"))
  }

  @Test("each report and alert says in its header what it is, what it takes and what its columns mean")
  func queriesHaveHeaders() throws {
    let files =
      SourceTree.files(under: "Queries/Reports", ending: ".sql")
      + SourceTree.files(under: "Queries/Alerts", ending: ".sql")
    #expect(!files.isEmpty)
    for file in files {
      let lines = try SourceTree.lines(file)
      let header = lines.prefix { $0.hasPrefix("--") }
      #expect(header.first?.hasPrefix("-- title: ") == true, "\(file):1: no title")
      #expect(header.contains { $0.hasPrefix("-- about: ") }, "\(file): no about")
      #expect(header.contains { $0.hasPrefix("-- column: ") }, "\(file): no columns")
    }
  }

  @Test("each view and each part of the schema says in a comment what it holds")
  func viewsHaveComments() throws {
    let files =
      SourceTree.files(under: "Queries/Views", ending: ".sql")
      + SourceTree.files(under: "Queries/Schema", ending: ".sql")
    #expect(!files.isEmpty)
    for file in files {
      #expect(try SourceTree.lines(file).first?.hasPrefix("-- ") == true, "\(file):1: no comment")
    }
  }

  @Test("SQL keeps its manners: key words in small letters, no select *, an order in the end")
  func queriesAreMannered() throws {
    let shouting = try Regex(
      #"\b(SELECT|FROM|WHERE|JOIN|GROUP|ORDER|INSERT|UPDATE|DELETE|CREATE|VIEW|TABLE|WITH|UNION|CASE|WHEN)\b"#)
    for file in SourceTree.files(under: "Queries", ending: ".sql") {
      let code = try SourceTree.lines(file).map { line in
        line.firstRange(of: "--").map { line[..<$0.lowerBound] } ?? line
      }
      for (index, line) in code.enumerated() {
        #expect(line.firstMatch(of: shouting) == nil, "\(file):\(index + 1): \(line)")
        #expect(!line.contains("select *"), "\(file):\(index + 1): names its columns")
      }
      if file.hasPrefix("Queries/Reports/") {
        let text = code.joined(separator: "\n")
        let end = text.range(of: "\norder by", options: .backwards)
        #expect(end != nil && !text[end!.upperBound...].contains("\nfrom "), "\(file): no order of its rows")
      }
    }
  }

  @Test("the queries of a module are reached through links into Queries")
  func linksReachQueries() throws {
    let links = [
      "Sources/FlowStore/Schema": "Queries/Schema", "Sources/FlowStore/Views": "Queries/Views",
      "Sources/Reports/ReportQueries": "Queries/Reports", "Sources/Reports/AlertQueries": "Queries/Alerts",
    ]
    for (link, folder) in links {
      let target = SourceTree.root.appending(path: link).resolvingSymlinksInPath().path
      #expect(target == SourceTree.root.resolvingSymlinksInPath().appending(path: folder).path, "\(link)")
    }
  }
}
