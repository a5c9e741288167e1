/// The bytes that log formats are made of.
enum ASCII {
  static let nul: UInt8 = 0x00
  static let tab: UInt8 = 0x09
  static let newline: UInt8 = 0x0A
  static let carriageReturn: UInt8 = 0x0D
  static let escape: UInt8 = 0x1B
  static let space: UInt8 = 0x20
  static let quote: UInt8 = 0x22
  static let dollar: UInt8 = 0x24
  static let percent: UInt8 = 0x25
  static let star: UInt8 = 0x2A
  static let plus: UInt8 = 0x2B
  static let comma: UInt8 = 0x2C
  static let minus: UInt8 = 0x2D
  static let dot: UInt8 = 0x2E
  static let slash: UInt8 = 0x2F
  static let zero: UInt8 = 0x30
  static let nine: UInt8 = 0x39
  static let colon: UInt8 = 0x3A
  static let semicolon: UInt8 = 0x3B
  static let less: UInt8 = 0x3C
  static let greater: UInt8 = 0x3E
  static let question: UInt8 = 0x3F
  static let at: UInt8 = 0x40
  static let upperT: UInt8 = 0x54
  static let upperZ: UInt8 = 0x5A
  static let openBracket: UInt8 = 0x5B
  static let backslash: UInt8 = 0x5C
  static let closeBracket: UInt8 = 0x5D
  static let underscore: UInt8 = 0x5F
  static let openBrace: UInt8 = 0x7B
  static let bar: UInt8 = 0x7C
  static let closeBrace: UInt8 = 0x7D
  static let delete: UInt8 = 0x7F

  @inline(__always) static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 <= 9 }
  @inline(__always) static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 <= 25 }

  @inline(__always) static func isUpper(_ byte: UInt8) -> Bool { byte &- 0x41 <= 25 }
  @inline(__always) static func isLower(_ byte: UInt8) -> Bool { byte &- 0x61 <= 25 }
  /// Letters, digits and `_`: the bytes of operator, variable and code names.
  static func isName(_ byte: UInt8) -> Bool { isDigit(byte) || isLetter(byte) || byte == underscore }
  static func isBlank(_ byte: UInt8) -> Bool {
    byte == space || byte == tab || byte == newline || byte == carriageReturn
  }

  /// 0...15 for a hexadecimal digit, 255 for anything else.
  @inline(__always) static func hexValue(_ byte: UInt8) -> UInt8 {
    if byte &- 0x30 <= 9 { return byte &- 0x30 }
    let letter = (byte | 0x20) &- 0x61
    return letter <= 5 ? letter &+ 10 : 255
  }

  @inline(__always) static func lower(_ byte: UInt8) -> UInt8 { byte &- 0x41 <= 25 ? byte | 0x20 : byte }
}
