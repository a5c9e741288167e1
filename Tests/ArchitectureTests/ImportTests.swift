import Foundation
import Testing

/// The arrows between the targets. The compiler refuses an arrow upward only; one downward that nobody declared compiles
/// silently wherever another target has built the module, hence these tests.
@Suite struct ImportTests {
  /// Everything that a target may import, modules of the system included.
  static let allowed: [String: Set<String>] = [
    // Floor 1.
    "Flows": [],
    // Floor 2: these four never meet.
    "AccessLogs": ["CLanes", "Flows", "Glibc"],
    "EgressPolicy": ["Flows", "Yams", "CYaml"],
    "Journeys": ["Flows", "Glibc"],
    "FlowStore": ["Flows", "CMalloc", "GRDB", "GRDBSQLite", "Dispatch", "Glibc", "Synchronization"],
    // Floor 3: these two never meet.
    "Ingestion": [
      "AccessLogs", "EgressPolicy", "FlowStore", "Flows", "Journeys", "CISAL", "CLanes", "CZlib", "Yams",
      "Dispatch", "Foundation", "Glibc", "Synchronization",
    ],
    "Reports": ["FlowStore", "Flows", "Foundation", "Glibc"],
    // Floor 4.
    "gatewatch": [
      "AccessLogs", "EgressPolicy", "FlowStore", "Flows", "Ingestion", "Reports", "ArgumentParser", "Yams",
      "Dispatch", "Foundation", "Glibc", "Synchronization",
    ],
    // At build time.
    "CISAL": [],
    "CLanes": [],
    "CMalloc": [],
    "CZlib": [],
    "EmbedQueries": ["PackagePlugin"],
    "embed-queries": ["Foundation"],
  ]

  @Test("each target has its row in the table of arrows, and each row its target")
  func tableIsComplete() {
    #expect(SourceTree.folders(in: "Sources") == Self.allowed.keys.sorted())
  }

  @Test("a target imports what its row allows", arguments: ImportTests.allowed.keys.sorted())
  func arrowsPointDown(target: String) throws {
    let allowed = try #require(Self.allowed[target])
    for file in SourceTree.files(under: "Sources/\(target)", ending: ".swift") {
      for (line, module) in try Self.imports(of: file) {
        #expect(allowed.contains(module), "\(file):\(line): \(target) may not import \(module)")
      }
    }
  }

  @Test(
    "the manifest declares no dependency that the table does not allow", arguments: ImportTests.allowed.keys.sorted())
  func manifestAgrees(target: String) throws {
    let manifest = try SourceTree.text("Package.swift")
    let names = Self.allowed.keys.joined(separator: "|")
    let products = "Yams|GRDB|GRDBSQLite|ArgumentParser"
    // From this target's name to the next target: its dependencies by name.
    let targets = manifest.split(
      separator: try Regex(#"\.(executableTarget|target|testTarget|systemLibrary|plugin)\("#))
    for text in targets.dropFirst() where text.contains("name: \"\(target)\"") && !text.contains("Tests\"") {
      for dependency in text.matches(of: try Regex("\"(\(names)|\(products))\"")) {
        let name = String(text[dependency.range].dropFirst().dropLast())
        let isItself = name == target || name == "EmbedQueries" || name == "embed-queries"
        #expect(isItself || Self.allowed[target]?.contains(name) == true, "Package.swift: \(target) depends on \(name)")
      }
    }
  }

  @Test("SQLite is known to FlowStore alone")
  func oneModuleKnowsSQLite() throws {
    for file in SourceTree.files(under: "Sources", ending: ".swift") where !file.hasPrefix("Sources/FlowStore/") {
      let code = try SourceTree.code(file).joined(separator: "\n")
      #expect(!code.contains("sqlite3_") && !code.contains("GRDB"), "\(file)")
    }
  }

  /// The modules that a file imports, whatever access and kind the import has, with their lines.
  static func imports(of file: String) throws -> [(line: Int, module: String)] {
    let statement = try Regex(
      #"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?import\s+"#
        + #"(?:(?:struct|class|enum|protocol|func|var|let|typealias|actor)\s+)?([A-Za-z_]\w*)"#,
      as: (Substring, Substring).self)
    return try SourceTree.code(file).enumerated().compactMap { index, line in
      try statement.firstMatch(in: line).map { (index + 1, String($0.output.1)) }
    }
  }

  @Test("imports are found in every spelling and not in comments or literals")
  func importsAreFound() throws {
    var scanner = SwiftScanner(
      """
      internal import Glibc // import Nothing
      /* import Nothing */ @testable import Flows
      let text = "import Nothing \\" import Nothing"; let raw = #"import " Nothing"#
      public import struct Foundation.Data
      """)
    let code = scanner.code()
    #expect(!code.contains("Nothing"))
    #expect(code.contains("@testable import Flows"))
    #expect(code.split(separator: "\n").count == 4)
  }
}
