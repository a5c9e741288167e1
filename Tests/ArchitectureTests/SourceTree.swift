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
    if let code = codeOfSources[path] { return code }
    return lines(ofCode: try text(path))
  }

  /// Of every file in `Sources`, read once: each test looks at all of them.
  private static let codeOfSources: [String: [String]] = {
    var code: [String: [String]] = [:]
    for file in files(under: "Sources", ending: ".swift") {
      if let text = try? text(file) { code[file] = lines(ofCode: text) }
    }
    return code
  }()

  private static func lines(ofCode text: String) -> [String] {
    var scanner = SwiftScanner(text)
    return scanner.code().split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }
}

/// Tells Swift code from comments and literals, as far as looking for calls needs it: what is interpolated into a literal
/// counts as part of the literal.
struct SwiftScanner {
  private let text: [UInt8]
  private var position = 0
  private var kept: [UInt8] = []

  init(_ text: String) { self.text = Array(text.utf8) }

  mutating func code() -> String {
    while position < text.count {
      switch text[position] {
      case UInt8(ascii: "/") where starts(with: "//"): skip(to: "\n", including: false)
      case UInt8(ascii: "/") where starts(with: "/*"): skip(to: "*/", including: true)
      case UInt8(ascii: "#"), UInt8(ascii: "\""):
        if let literal = literalOpening() { skipLiteral(literal) } else { keep() }
      default: keep()
      }
    }
    return String(decoding: kept, as: UTF8.self)
  }

  private mutating func keep() {
    kept.append(text[position])
    position += 1
  }

  private func starts(with word: String, at offset: Int = 0) -> Bool {
    text[min(position + offset, text.count)...].starts(with: word.utf8)
  }

  /// Newlines stay, so that line numbers do.
  private mutating func skip(to end: String, including: Bool) {
    while position < text.count, !starts(with: end) { skipByte() }
    if including { position = min(position + end.utf8.count, text.count) }
  }

  private mutating func skipByte() {
    if position < text.count, text[position] == UInt8(ascii: "\n") { kept.append(UInt8(ascii: "\n")) }
    position += 1
  }

  /// The `#` before the quotes, and the quotes.
  private func literalOpening() -> (pounds: String, quotes: String)? {
    let pounds = text[position...].prefix { $0 == UInt8(ascii: "#") }.count
    let prefix = String(repeating: "#", count: pounds)
    if starts(with: "\"\"\"", at: pounds) { return (prefix, "\"\"\"") }
    return starts(with: "\"", at: pounds) ? (prefix, "\"") : nil
  }

  private mutating func skipLiteral(_ literal: (pounds: String, quotes: String)) {
    position += literal.pounds.count + literal.quotes.count
    kept += Array("\"\"".utf8)
    let end = literal.quotes + literal.pounds
    let escape = "\\" + literal.pounds
    while position < text.count, !starts(with: end) {
      if starts(with: escape) { position += escape.utf8.count }
      skipByte()
    }
    position = min(position + end.utf8.count, text.count)
  }
}
