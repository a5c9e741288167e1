internal import FlowStore

/// RFC 4180, with a header line and CRLF.
///
/// A spreadsheet runs a cell that opens with `=`, `+`, `-`, `@`, a tab or a carriage return as a formula (CWE-1236), and a log may bring one.
/// Such a text gets an apostrophe in front, and control characters are shown as codes; `isRaw` leaves all as it is.
struct CSV: Renderer {
  private let isRaw: Bool
  private let sink: TextSink
  private var kinds: [Query.Kind] = []

  init(isRaw: Bool, sink: @escaping TextSink) {
    self.isRaw = isRaw
    self.sink = sink
  }

  mutating func begin(_ heading: Heading) throws {
    kinds = heading.columns.map(\.kind)
    try sink(heading.columns.map { cell($0.name) }.joined(separator: ",") + "\r\n")
  }

  mutating func row(_ values: [Value]) throws {
    let cells = zip(kinds, values).map { kind, value in
      value.isNumber ? value.plain(kind) ?? "" : value.plain(kind).map(cell) ?? ""
    }
    try sink(cells.joined(separator: ",") + "\r\n")
  }

  mutating func end(_ footing: Footing) throws {
    guard let others = footing.others else { return }
    try row(others.labelled(kinds))
  }

  private func cell(_ text: String) -> String {
    guard !isRaw else { return CSV.quoted(text) }
    let isFormula = CSV.opensFormula(text) && !CSV.isNumber(text)
    return CSV.quoted((isFormula ? "'" : "") + TerminalText.safe(text))
  }

  /// Also behind white space, which spreadsheets strip, and in the full-width forms that some read alike.
  static func opensFormula(_ text: String) -> Bool {
    for scalar in text.unicodeScalars {
      switch scalar {
      case "=", "+", "-", "@", "\t", "\r", "\n", "\u{FF1D}", "\u{FF0B}", "\u{FF0D}", "\u{FF20}", "|", "%": return true
      case " ", "\u{A0}", "\u{FEFF}", "\0": continue
      default: return false
      }
    }
    return false
  }

  /// A plain decimal number such as `-12.5`: no formula, whatever it opens with.
  static func isNumber(_ text: String) -> Bool {
    var digits = 0
    var points = 0
    for (index, byte) in text.utf8.enumerated() {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digits += 1
      case UInt8(ascii: "."): points += 1
      case UInt8(ascii: "-"), UInt8(ascii: "+"): guard index == 0 else { return false }
      default: return false
      }
    }
    return digits > 0 && points <= 1
  }

  static func quoted(_ text: String) -> String {
    let needsQuotes =
      text.utf8.contains { $0 == 0x22 || $0 == 0x2C || $0 == 0x0A || $0 == 0x0D } || text.first == " "
      || text.last == " "
    return needsQuotes ? "\"" + text.replacing("\"", with: "\"\"") + "\"" : text
  }
}
