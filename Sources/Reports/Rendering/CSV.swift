internal import FlowStore

/// RFC 4180, with a header line and CRLF.
///
/// A spreadsheet runs a cell that opens with `=`, `+`, `-`, `@`, a tab or a carriage return as a formula (CWE-1236), and a log may bring one.
/// Such a text gets an apostrophe in front, and control characters are shown as codes; `isRaw` leaves all as it is.
struct CSV: Renderer {
  private let isRaw: Bool
  private let sink: TextSink
  private var kinds: [Query.Kind] = []
  private var line = OutputText()

  init(isRaw: Bool, sink: @escaping TextSink) {
    self.isRaw = isRaw
    self.sink = sink
  }

  mutating func begin(_ heading: Heading) throws {
    kinds = heading.columns.map(\.kind)
    try write(heading.columns.map { .text($0.name) })
  }

  mutating func row(_ values: [Value]) throws { try write(values) }

  private mutating func write(_ values: [Value]) throws {
    line.removeAll()
    for column in values.indices {
      if column > 0 { line.append(UInt8(ascii: ",")) }
      line.append(plain: values[column], kinds[column]) { $0.append(cell: $1, isRaw: isRaw) }
    }
    line.append("\r\n")
    try sink(line)
  }

  mutating func end(_ footing: Footing) throws {
    guard let others = footing.others else { return }
    try row(others.labelled(kinds))
  }

  /// What stands for a text, whatever is in it.
  static func cell(_ text: String, isRaw: Bool) -> String {
    guard !isRaw else { return quoted(text) }
    return quoted((opensFormula(text) && !isNumber(text) ? "'" : "") + TerminalText.safe(text))
  }

  /// Needs no quotes, no apostrophe and no code: most texts of a log.
  static func isPlain(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let first = text.first, let last = text.last else { return true }
    switch first {
    case UInt8(ascii: "="), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "@"), UInt8(ascii: "|"),
      UInt8(ascii: "%"), UInt8(ascii: " "):
      return false
    default: break
    }
    return last != UInt8(ascii: " ")
      && text.allSatisfy { $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: ",") }
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

  /// By Unicode scalars: a quote with a combining mark behind it is one Character, and ends a cell all the same.
  static func quoted(_ text: String) -> String {
    let space = UInt8(ascii: " ")
    let needsQuotes =
      text.utf8.contains { $0 == 0x22 || $0 == 0x2C || $0 == 0x0A || $0 == 0x0D } || text.utf8.first == space
      || text.utf8.last == space
    guard needsQuotes else { return text }
    var quoted = "\""
    for scalar in text.unicodeScalars {
      if scalar == "\"" { quoted += "\"" }
      quoted.unicodeScalars.append(scalar)
    }
    return quoted + "\""
  }
}

extension OutputText {
  mutating func append(cell text: String, isRaw: Bool) {
    var text = text
    text.withUTF8 { CSV.isPlain($0) ? append($0) : append(CSV.cell(String(decoding: $0, as: UTF8.self), isRaw: isRaw)) }
  }
}
