/// Finds the named parameters (`:name`, `@name`, `$name`) of a statement, outside strings, quoted names and comments.
enum SQLParameters {
  struct Use: Equatable {
    var name: String
    var line: Int
  }

  /// Each name once, where it stands first.
  static func used(in sql: String, file: String) throws(ReportError) -> [Use] {
    var uses: [Use] = []
    var scanner = Scanner(bytes: Array(sql.utf8))
    while let byte = scanner.peek() {
      switch byte {
      case UInt8(ascii: "?"):
        throw ReportError(
          file: file, line: scanner.line, "a parameter without a name (\"?\")", help: "name it, as in :host")
      case UInt8(ascii: ":"), UInt8(ascii: "@"), UInt8(ascii: "$"):
        let line = scanner.line
        let name = scanner.takeName()
        if !name.isEmpty, !uses.contains(where: { $0.name == name }) { uses.append(Use(name: name, line: line)) }
      default: scanner.passOver()
      }
    }
    return uses
  }

  struct Scanner {
    let bytes: [UInt8]
    var index = 0
    var line = 1

    func peek(_ offset: Int = 0) -> UInt8? { index + offset < bytes.count ? bytes[index + offset] : nil }

    mutating func advance() {
      if bytes[index] == UInt8(ascii: "\n") { line += 1 }
      index += 1
    }

    /// Over a byte, or over the string, quoted name or comment that it begins.
    mutating func passOver() {
      switch bytes[index] {
      case UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "`"): skipQuoted(bytes[index])
      case UInt8(ascii: "["): skip(through: [UInt8(ascii: "]")])
      case UInt8(ascii: "-") where peek(1) == UInt8(ascii: "-"): skip(through: [UInt8(ascii: "\n")])
      case UInt8(ascii: "/") where peek(1) == UInt8(ascii: "*"): skip(through: Array("*/".utf8))
      default: advance()
      }
    }

    /// Over a quoted stretch; a doubled quote is part of it.
    mutating func skipQuoted(_ quote: UInt8) {
      advance()
      while let byte = peek() {
        advance()
        guard byte == quote else { continue }
        guard peek() == quote else { return }
        advance()
      }
    }

    mutating func skip(through end: [UInt8]) {
      while index < bytes.count {
        if bytes[index...].starts(with: end) {
          for _ in end { advance() }
          return
        }
        advance()
      }
    }

    /// A name behind the byte that announces it.
    mutating func takeName() -> String {
      advance()
      return takeWord()
    }

    mutating func takeWord() -> String {
      let start = index
      while let byte = peek(), isNameByte(byte) { advance() }
      return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private func isNameByte(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
        true
      default: false
      }
    }
  }
}
