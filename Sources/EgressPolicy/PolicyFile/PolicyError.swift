/// A policy file that cannot be used: what is wrong, where, and what to write instead.
public struct PolicyError: Error, Equatable, Sendable, CustomStringConvertible {
  public var file: String
  /// 1-based.
  public var line: Int
  /// 1-based, in Unicode scalars.
  public var column: Int
  public var message: String
  public var help: String?

  public init(file: String, line: Int, column: Int, message: String, help: String? = nil) {
    self.file = file
    self.line = line
    self.column = column
    self.message = message
    self.help = help
  }

  public var description: String {
    "\(file):\(line):\(column): \(message)" + (help.map { "\n  help: \($0)" } ?? "")
  }
}

/// The known word nearest to a mistyped one, when it is near enough to be meant.
func nearMiss(_ word: String, among known: [String]) -> String? {
  let limit = max(1, word.count / 3)
  return known.map { (word: $0, distance: editDistance(Array(word.utf8), Array($0.utf8))) }
    .filter { $0.distance <= limit }
    .min { ($0.distance, $0.word) < ($1.distance, $1.word) }?.word
}

/// Levenshtein distance, one row at a time.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var row = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let above = row[j + 1]
      row[j + 1] = min(above + 1, row[j] + 1, diagonal + (x == y ? 0 : 1))
      diagonal = above
    }
  }
  return row[b.count]
}
