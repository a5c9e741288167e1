import Foundation

// embed-queries OUTPUT.swift FILE.sql ...: writes the files as string literals, in the order of their names.

let output = URL(fileURLWithPath: CommandLine.arguments[1])
let files = CommandLine.arguments.dropFirst(2).map { URL(fileURLWithPath: $0) }
  .sorted { $0.path < $1.path }

/// A file is known to the program by the name of its folder, as the target calls it, and its own: `Views/020-flows.sql`.
func name(of file: URL) -> String {
  file.deletingLastPathComponent().lastPathComponent + "/" + file.lastPathComponent
}

/// Raw literals with this delimiter hold any SQL but SQL that contains the delimiter itself, or their escape.
let delimiter = "\"\"\"###"
let escape = "\\###"

var source = "/// The `.sql` files of `Queries/` that this module carries, by folder and file name.\n"
source += "enum EmbeddedQueries {\n  static let all: [(name: String, sql: String)] = [\n"
for file in files {
  let sql = try String(contentsOf: file, encoding: .utf8)
  guard !sql.contains(delimiter), !sql.contains(escape) else {
    FileHandle.standardError.write(
      Data("\(file.path): contains \(delimiter) or \(escape), which cannot be embedded\n".utf8))
    exit(1)
  }
  source += "    (\n      name: \"\(name(of: file))\",\n      sql: ###\"\"\"\n\(sql)\n\(delimiter)\n    ),\n"
}
source += "  ]\n}\n"
try source.write(to: output, atomically: true, encoding: .utf8)
