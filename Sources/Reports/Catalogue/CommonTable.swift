internal import FlowStore

/// The rows of one of a report's common tables (`with NAME as (...)`), found by other means than its SQL: the rest of the
/// report is asked as it stands, so that each word and each order is defined in one place.
struct CommonTable {
  var name: String
  var columns: [String]
  var rows: [[Value]]

  /// The parameter that brings the rows.
  var parameter: String { "tallied_\(name)" }

  /// A JSON list of lists.
  var json: Value {
    let texts = rows.map { "[" + $0.map { JSON.value($0, .number) }.joined(separator: ",") + "]" }
    return .text("[" + texts.joined(separator: ",") + "]")
  }

  /// `sql` with this table's rows taken from its parameter; nil where it has no such table.
  func replacing(in sql: String) -> String? {
    guard let body = CommonTable.body(of: name, in: sql) else { return nil }
    let columns = columns.enumerated().map { "value ->> \($0.offset) as \($0.element)" }.joined(separator: ", ")
    let bytes = Array(sql.utf8)
    return String(decoding: bytes[..<body.lowerBound], as: UTF8.self)
      + "select \(columns) from json_each(:\(parameter))"
      + String(decoding: bytes[body.upperBound...], as: UTF8.self)
  }

  /// Where the query of a common table stands between its parentheses, in bytes.
  static func body(of name: String, in sql: String) -> Range<Int>? {
    var scanner = SQLParameters.Scanner(bytes: Array(sql.utf8))
    var depth = 0
    var begin: Int?
    // Words outside of all parentheses since the last comma.
    var words: [String] = []
    while let byte = scanner.peek() {
      switch byte {
      case UInt8(ascii: "("):
        let isBody =
          depth == 0 && (words.suffix(2) == [name, "as"] || words.suffix(3) == [name, "as", "materialized"])
        scanner.advance()
        depth += 1
        if isBody { begin = scanner.index }
      case UInt8(ascii: ")"):
        depth -= 1
        if depth == 0, let begin { return begin..<scanner.index }
        scanner.advance()
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"):
        let word = scanner.takeWord()
        if depth == 0 { words.append(word) }
      default: scanner.passOver()
      }
    }
    return nil
  }
}
