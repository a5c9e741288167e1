/// What kept a question from being answered, in words for people: where, what, and what to do.
public struct ReportError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A query file, or nil when the question came from the command line.
  public var file: String?
  /// 1-based.
  public var line: Int?
  public var message: String
  /// What to do about it.
  public var help: String?

  public init(file: String? = nil, line: Int? = nil, _ message: String, help: String? = nil) {
    self.file = file
    self.line = line
    self.message = message
    self.help = help
  }

  public var description: String {
    var text = ""
    if let file { text += line.map { "\(file):\($0): " } ?? "\(file): " }
    text += message
    if let help { text += "; \(help)" }
    return text
  }
}

/// The name in `names` that was probably meant: the nearest one, if at most a third of its letters differ.
func nearMiss(_ name: String, in names: [String]) -> String? {
  let nearest = names.map { (name: $0, distance: editDistance($0, name)) }.min { $0.distance < $1.distance }
  guard let nearest, nearest.distance <= max(1, nearest.name.count / 3) else { return nil }
  return nearest.name
}

/// Letters to add, drop, replace or swap with their neighbour (optimal string alignment), over three rows of the table.
private func editDistance(_ first: String, _ second: String) -> Int {
  // Names on a command line may be of any length; nobody mistypes hundreds of letters.
  let a = Array(first.prefix(64))
  let b = Array(second.prefix(64))
  guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
  var twoAbove: [Int] = []
  var above = Array(0...b.count)
  for row in a.indices {
    var current = [row + 1]
    for column in b.indices {
      var least = min(
        above[column] + (a[row] == b[column] ? 0 : 1), above[column + 1] + 1, current[column] + 1)
      if row > 0, column > 0, a[row] == b[column - 1], a[row - 1] == b[column] {
        least = min(least, twoAbove[column - 1] + 1)
      }
      current.append(least)
    }
    (twoAbove, above) = (above, current)
  }
  return above[b.count]
}
