/// Collects the pieces of a text format and refuses what no reader could take apart again.
struct PieceBuilder {
  let text: FormatText
  private(set) var pieces: [FormatPiece] = []
  private var literal: [UInt8] = []
  private var lastFieldRange: Range<Int>?

  init(_ text: FormatText) { self.text = text }

  mutating func append(literal bytes: some Collection<UInt8>) { literal.append(contentsOf: bytes) }

  mutating func append(_ field: FormatField, range: Range<Int>) throws(FormatError) {
    if literal.isEmpty, case .field(let before)? = pieces.last, !before.endsItself, !field.endsItself {
      throw text.error(
        (lastFieldRange ?? range).lowerBound..<range.upperBound,
        "\(before.name) and \(field.name) touch: nothing in a line tells where one ends and the other begins",
        help: "put a space, a quote or another literal between them, in the proxy's configuration too")
    }
    endLiteral()
    pieces.append(.field(field))
    lastFieldRange = range
  }

  /// Takes `count` bytes off the end of the literal being collected; nil when it does not end with `suffix`.
  mutating func removeLiteral(suffix: String) -> Bool {
    let suffix = Array(suffix.utf8)
    guard literal.count >= suffix.count, literal.suffix(suffix.count).elementsEqual(suffix) else { return false }
    literal.removeLast(suffix.count)
    return true
  }

  /// Takes away the last field and the literal after it, when they are the wanted ones; nil, and nothing taken, otherwise.
  mutating func removeTail(
    literal expected: String, where isWanted: (FormatField) -> Bool
  ) -> FormatField? {
    guard literal.elementsEqual(expected.utf8), case .field(let field)? = pieces.last, isWanted(field) else {
      return nil
    }
    literal = []
    pieces.removeLast()
    // The literal before it is the one being collected again.
    if case .literal(let bytes)? = pieces.last {
      literal = bytes
      pieces.removeLast()
    }
    return field
  }

  /// The pieces; at least one of them is a column, and none holds a line break.
  mutating func finish() throws(FormatError) -> [FormatPiece] {
    endLiteral()
    guard pieces.contains(where: { if case .field = $0 { true } else { false } }) else {
      throw text.error(
        0..<text.bytes.count, "the format has no column", help: "give the proxy's whole format string")
    }
    if let index = text.bytes.firstIndex(of: ASCII.newline) {
      throw text.error(
        index..<index + 1, "the format spreads one record over several lines",
        help: "join the lines: a record has to be one line of the log")
    }
    return pieces
  }

  private mutating func endLiteral() {
    guard !literal.isEmpty else { return }
    pieces.append(.literal(literal))
    literal = []
  }
}
