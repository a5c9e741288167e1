@testable import AccessLogs

/// Writes lines of a format with values that are legal for it, seeded, so that every run writes the same ones.
///
/// Nasty values stand where a client can put them: quotes and spaces in columns that the proxy does not escape.
struct LineGenerator {
  var random: SplitMix
  /// Of a hundred free-text values, so many are nasty.
  var nastiness = 30

  init(seed: UInt64, nastiness: Int = 30) {
    random = SplitMix(state: seed)
    self.nastiness = nastiness
  }

  mutating func line(of pieces: [FormatPiece], dialect: Dialect) -> [UInt8] {
    pieces.flatMap { piece -> [UInt8] in
      switch piece {
      case .literal(let bytes): bytes
      case .field(let field): value(of: field, dialect: dialect)
      }
    }
  }

  private static let agents = [
    "curl/8.5.0", "Mozilla/5.0 (X11; Linux x86_64)", "-", "", #"quote"inside"ua"#, #"" 200 - "-" "forged" 0 0"#,
    #"trailing backslash\"#, "tab\there", #"a" "b"#,
    #"x" "b2d6f0f8-1111-4abc-9def-000000000000" "evil.test" "10.0.0.1:80"#,
    "\u{2028}\u{202E}", #"[2020-08-28T06:32:00.597Z] "GET / HTTP/1.1" 200"#, "  ", "\"", "\" ", " \"",
  ]
  private static let words = [
    "-", "via_upstream", "direct_response", "default", "block_all", "x", "a.b_c-d",
    "rbac_access_denied_matched_policy[none]",
  ]
  private static let addresses = [
    "-", "10.80.3.11:443", "[fd00::1]:80", "203.0.113.9:8443", "127.0.0.1:15001", "@/var/run/x", "/run/s.sock",
    "envoy://internal/x",
  ]

  private mutating func pick<Value>(_ values: [Value]) -> Value {
    values[Int.random(in: 0..<values.count, using: &random)]
  }

  private mutating func value(of field: FormatField, dialect: Dialect) -> [UInt8] {
    var text: String
    switch field.syntax {
    case .integer, .status:
      text = pick(["-", "0", "200", "7", "12345678", "123456789", "1598596320597", "99999999999999999999"])
      if field.syntax == .status { text = pick(["200", "404", "000", "503"]) }
      if text == "-", field.padded { text = "0" }
    case .decimal: text = pick(["0.001", "12.345", "0.000", "3"])
    case .protocol: text = pick(["HTTP/1.1", "HTTP/2", "-"])
    case .time: text = time(field.time ?? .iso8601Milliseconds)
    case .method: text = pick(["GET", "POST", "-", "CONNECT", "M-SEARCH"])
    case .flags: text = pick(["-", "UF,URX", "NR", "DC"])
    case .address: text = dialect == .envoy ? pick(Self.addresses) : pick(["10.0.0.1:80", "unix:/x", "fd00::1:443"])
    case .ip: text = pick(["10.80.3.11", "fd00:80::321", "192.0.2.7"])
    case .token: text = pick(Self.words)
    case .text, .list:
      text = Int.random(in: 0..<100, using: &random) < nastiness ? pick(Self.agents) : pick(Self.words)
    }
    if field.role == .requestID {
      text = pick(["-", "b2d6f0f8-1111-4abc-9def-00000000000\(Int.random(in: 0...9, using: &random))"])
    }
    var bytes = escaped(Array(text.utf8), field.escaping)
    if bytes.isEmpty, !field.mayBeEmpty, field.syntax != .text, field.syntax != .list { bytes = [ASCII.minus] }
    if field.padded { bytes = Array(repeating: ASCII.space, count: Int.random(in: 0...3, using: &random)) + bytes }
    if field.paddedAtEnd { bytes += Array(repeating: ASCII.space, count: Int.random(in: 0...3, using: &random)) }
    return bytes
  }

  private func escaped(_ bytes: [UInt8], _ escaping: FormatField.Escaping) -> [UInt8] {
    func hex(_ byte: UInt8) -> [UInt8] {
      Array("0123456789ABCDEF".utf8)[Int(byte >> 4)...][...].prefix(1) + [
        Array("0123456789ABCDEF".utf8)[Int(byte & 15)]
      ]
    }
    switch escaping {
    case .raw: return bytes
    case .nginx:
      return bytes.flatMap {
        $0 == ASCII.quote || $0 == ASCII.backslash || $0 < 32 || $0 > 126 ? Array("\\x".utf8) + hex($0) : [$0]
      }
    case .json, .backslash:
      return bytes.flatMap { $0 == ASCII.quote || $0 == ASCII.backslash ? [ASCII.backslash, $0] : [$0] }
    case .percent:
      return bytes.flatMap {
        $0 <= 32 || $0 > 126 || [0x22, 0x25, 0x5B, 0x5D].contains($0) ? [ASCII.percent] + hex($0) : [$0]
      }
    case .shell: return bytes.filter { $0 != ASCII.space && $0 != ASCII.quote && $0 != ASCII.backslash }
    }
  }

  private mutating func two(_ range: ClosedRange<Int>) -> String {
    let value = Int.random(in: range, using: &random)
    return value < 10 ? "0\(value)" : "\(value)"
  }

  mutating func time(_ format: TimeFormat) -> String {
    var text = ""
    for part in format.parts {
      switch part {
      case .year4: text += "\(Int.random(in: 1970...2060, using: &random))"
      case .year2: text += two(0...99)
      case .month2: text += two(1...12)
      case .monthName:
        text += pick(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])
      case .day2: text += two(1...28)
      case .dayPadded:
        let day = Int.random(in: 1...28, using: &random)
        text += day < 10 ? " \(day)" : "\(day)"
      case .hour2: text += two(0...23)
      case .hour12: text += two(1...12)
      case .amPm: text += pick(["AM", "PM", "am", "pm"])
      case .minute2, .second2: text += two(0...59)
      case .fraction(let digits): for _ in 0..<digits { text += "\(Int.random(in: 0...9, using: &random))" }
      case .epochSeconds: text += "\(Int.random(in: 0...4_000_000_000, using: &random))"
      case .epochMilliseconds: text += "\(Int.random(in: 0...4_000_000_000_000, using: &random))"
      case .zone: text += pick(["Z", "+0000", "-0730", "+05:45"])
      case .zoneName: text += pick(["UTC", "GMT"])
      case .yearDay3: text += String("\(1000 + Int.random(in: 1...365, using: &random))".dropFirst())
      case .weekdayName: text += pick(["Mon", "Thu"])
      case .literal(let bytes): text += String(decoding: bytes, as: UTF8.self)
      }
    }
    return text
  }
}
