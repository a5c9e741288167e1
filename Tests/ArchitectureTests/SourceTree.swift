import Foundation

/// The repository as it lies on disk, found from this file.
enum SourceTree {
  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// Files below a folder of the repository, by their path from its root; links are not followed.
  static func files(under folder: String, ending suffixes: String...) -> [String] {
    let base = root.appending(path: folder)
    let found = FileManager.default.enumerator(
      at: base, includingPropertiesForKeys: [.isRegularFileKey, .isSymbolicLinkKey], options: [.skipsHiddenFiles])
    var paths: [String] = []
    for case let file as URL in found ?? FileManager.DirectoryEnumerator() {
      let values = try? file.resourceValues(forKeys: [.isRegularFileKey, .isSymbolicLinkKey])
      guard values?.isRegularFile == true, values?.isSymbolicLink != true else { continue }
      guard suffixes.isEmpty || suffixes.contains(where: { file.path.hasSuffix($0) }) else { continue }
      paths.append(String(file.path.dropFirst(root.path.count + 1)))
    }
    return paths.sorted()
  }

  /// The folders directly below a folder of the repository.
  static func folders(in folder: String) -> [String] {
    let base = root.appending(path: folder)
    let names = (try? FileManager.default.contentsOfDirectory(atPath: base.path)) ?? []
    return names.filter { name in
      var isFolder: ObjCBool = false
      return FileManager.default.fileExists(atPath: base.appending(path: name).path, isDirectory: &isFolder)
        && isFolder.boolValue
    }.sorted()
  }

  static func text(_ path: String) throws -> String {
    // Fixtures may hold bytes that are no UTF-8.
    String(decoding: try Data(contentsOf: root.appending(path: path)), as: UTF8.self)
  }

  static func lines(_ path: String) throws -> [Substring] {
    try text(path).split(separator: "\n", omittingEmptySubsequences: false)
  }

  /// The lines of a Swift file without its comments and without what stands in its string literals.
  static func code(_ path: String) throws -> [String] {
    var scanner = SwiftScanner(Array(try text(path)))
    return scanner.code().split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }
}

/// Tells Swift code from comments and literals, as far as looking for calls needs it: what is interpolated into a literal
/// counts as part of the literal.
struct SwiftScanner {
  private let text: [Character]
  private var position = 0
  private var kept = ""

  init(_ text: [Character]) { self.text = text }

  mutating func code() -> String {
    while position < text.count {
      if starts(with: "//") {
        skip(to: "\n", including: false)
      } else if starts(with: "/*") {
        skip(to: "*/", including: true)
      } else if let literal = literalOpening() {
        skipLiteral(literal)
      } else {
        kept.append(text[position])
        position += 1
      }
    }
    return kept
  }

  private func starts(with word: String, at offset: Int = 0) -> Bool {
    let word = Array(word)
    let start = position + offset
    return start + word.count <= text.count && Array(text[start..<start + word.count]) == word
  }

  private mutating func skip(to end: String, including: Bool) {
    while position < text.count, !starts(with: end) {
      if text[position] == "\n" { kept.append("\n") }
      position += 1
    }
    if including { position = min(position + end.count, text.count) }
  }

  /// The number of `#` before the quotes, and the quotes.
  private func literalOpening() -> (pounds: String, quotes: String)? {
    var pounds = 0
    while position + pounds < text.count, text[position + pounds] == "#" { pounds += 1 }
    let prefix = String(repeating: "#", count: pounds)
    if starts(with: "\"\"\"", at: pounds) { return (prefix, "\"\"\"") }
    return starts(with: "\"", at: pounds) ? (prefix, "\"") : nil
  }

  private mutating func skipLiteral(_ literal: (pounds: String, quotes: String)) {
    position += literal.pounds.count + literal.quotes.count
    kept += "\"\""
    let end = literal.quotes + literal.pounds
    let escape = "\\" + literal.pounds
    while position < text.count, !starts(with: end) {
      if text[position] == "\n" { kept.append("\n") }
      position += starts(with: escape) ? escape.count + 1 : 1
    }
    position = min(position + end.count, text.count)
  }
}
