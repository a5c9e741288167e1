extension TimeFormat {
  /// Compiles a `strftime` pattern, with the additions of Envoy and of the library it uses (Abseil).
  ///
  /// - `%f` nine digits of a second's fraction, `%1f` to `%9f` that many; `%s` seconds since 1970
  ///   (Envoy, `configuration/advanced/substitution_formatter.rst`).
  /// - `%Ez` `+00:00`, `%E4Y`, `%ET` the letter T, `%E3S` seconds with three digits (Abseil `absl/time/time.h`).
  ///
  /// `isUTC`: the proxy prints UTC whatever the pattern says, so a pattern without a zone leaves nothing to assume.
  static func strftime(_ text: FormatText, _ range: Range<Int>, isUTC: Bool) throws(FormatError) -> TimeFormat {
    var compiler = StrftimeCompiler(text: text, index: range.lowerBound, end: range.upperBound)
    while compiler.index < compiler.end { try compiler.step() }
    guard compiler.parts.contains(where: { if case .literal = $0 { false } else { true } }) else {
      throw text.error(range, "the time pattern prints no time", help: "leave the argument out for the default pattern")
    }
    var format = TimeFormat(parts: compiler.parts)
    if isUTC { format.lacksZone = false }
    return format
  }

  /// `08/Sep/2020:05:32:32 +0000`: nginx `$time_local`, Squid `%tl` and `%tg`.
  static let commonLog = TimeFormat(parts: [
    .day2, .slash, .monthName, .slash, .year4, .colon, .hour2, .colon, .minute2, .colon, .second2, .blank, .zone,
  ])
  /// `2020-09-08T05:32:32+00:00`: nginx `$time_iso8601`.
  static let iso8601Seconds = TimeFormat(parts: [
    .year4, .dash, .month2, .dash, .day2, .literal([UInt8(ascii: "T")]), .hour2, .colon, .minute2, .colon, .second2,
    .zone,
  ])
  /// `1599543152`: Squid `%ts`.
  static let epochSeconds = TimeFormat(parts: [.epochSeconds])

  /// `1599543152.812`: nginx `$msec`, Squid `%tS`.
  static func epoch(fraction digits: Int) -> TimeFormat {
    TimeFormat(parts: digits == 0 ? [.epochSeconds] : [.epochSeconds, .dot, .fraction(digits)])
  }
}

extension TimeFormat.Part {
  fileprivate static let slash = Self.literal([UInt8(ascii: "/")])
  fileprivate static let colon = Self.literal([UInt8(ascii: ":")])
  fileprivate static let dash = Self.literal([UInt8(ascii: "-")])
  fileprivate static let dot = Self.literal([UInt8(ascii: ".")])
  fileprivate static let blank = Self.literal([ASCII.space])

  /// What one letter after `%` prints; nil for a letter whose output has no fixed shape here.
  fileprivate static func parts(of letter: UInt8) -> [Self]? {
    switch Unicode.Scalar(letter) {
    case "Y": [.year4]
    case "y": [.year2]
    case "m": [.month2]
    case "b", "h": [.monthName]
    case "d": [.day2]
    case "e": [.dayPadded]
    case "H": [.hour2]
    case "I": [.hour12]
    case "p": [.amPm]
    case "M": [.minute2]
    case "S": [.second2]
    case "s": [.epochSeconds]
    case "f": [.fraction(9)]
    case "z": [.zone]
    case "Z": [.zoneName]
    case "j": [.yearDay3]
    case "a": [.weekdayName]
    case "%": [.literal([ASCII.percent])]
    case "t": [.literal([ASCII.tab])]
    case "T", "X": [.hour2, .colon, .minute2, .colon, .second2]
    case "R": [.hour2, .colon, .minute2]
    case "r": [.hour12, .colon, .minute2, .colon, .second2, .blank, .amPm]
    case "F": [.year4, .dash, .month2, .dash, .day2]
    case "D", "x": [.month2, .slash, .day2, .slash, .year2]
    case "c":
      [
        .weekdayName, .blank, .monthName, .blank, .dayPadded, .blank, .hour2, .colon, .minute2, .colon, .second2,
        .blank, .year4,
      ]
    default: nil
    }
  }
}

/// One walk over a pattern.
private struct StrftimeCompiler {
  let text: FormatText
  var index: Int
  let end: Int
  var parts: [TimeFormat.Part] = []

  mutating func step() throws(FormatError) {
    let start = index
    guard text.bytes[index] == ASCII.percent else {
      append([.literal([text.bytes[index]])])
      index += 1
      return
    }
    index += 1
    var isExtended = false
    var digits: Int?
    if peek == UInt8(ascii: "E") || peek == UInt8(ascii: "O") {
      isExtended = peek == UInt8(ascii: "E")
      index += 1
    }
    if let byte = peek, ASCII.isDigit(byte) {
      digits = Int(byte - 0x30)
      index += 1
    }
    guard let letter = peek else {
      throw text.error(start..<end, "the time pattern ends after %", help: "write %% for a percent sign")
    }
    index += 1
    switch (isExtended, digits, letter) {
    case (true, 4, UInt8(ascii: "Y")): append([.year4])
    case (true, nil, UInt8(ascii: "T")): append([.literal([UInt8(ascii: "T")])])
    case (true, let digits?, UInt8(ascii: "S")):
      append(digits == 0 ? [.second2] : [.second2, .dot, .fraction(digits)])
    case (_, let digits?, UInt8(ascii: "f")) where digits > 0:
      try append(fraction: digits, start: start)
    case (false, nil, UInt8(ascii: "f")):
      try append(fraction: 9, start: start)
    case (_, nil, _):
      guard let known = TimeFormat.Part.parts(of: letter) else { throw unknown(start) }
      append(known)
    default: throw unknown(start)
    }
  }

  private var peek: UInt8? { index < end ? text.bytes[index] : nil }

  private mutating func append(fraction digits: Int, start: Int) throws(FormatError) {
    guard parts.last == .epochSeconds else { return append([.fraction(digits)]) }
    guard digits == 3 else {
      throw text.error(
        start..<index, "a fraction of \(digits) digits touches the seconds: only milliseconds (%s%3f) are read so",
        help: "put a dot between them: %s.%\(digits)f")
    }
    parts[parts.count - 1] = .epochMilliseconds
  }

  private mutating func append(_ new: [TimeFormat.Part]) {
    for part in new {
      if case .literal(let bytes) = part, case .literal(let before)? = parts.last {
        parts[parts.count - 1] = .literal(before + bytes)
      } else {
        parts.append(part)
      }
    }
  }

  private func unknown(_ start: Int) -> FormatError {
    let directive = text.string(start..<index)
    let help =
      switch text.bytes[index - 1] {
      case UInt8(ascii: "B"): "use %b, the month's name in three letters"
      case UInt8(ascii: "A"): "use %a, the weekday's name in three letters"
      case UInt8(ascii: "k"): "use %H, the hour in two digits"
      case UInt8(ascii: "l"): "use %I, the hour in two digits"
      case UInt8(ascii: "n"): "a record has to be one line of the log"
      default: "known are %Y %y %m %b %d %e %j %a %H %I %p %M %S %s %f %1f..%9f %z %Z %T %R %F %D %c %%"
      }
    return text.error(start..<index, "\(directive) is not understood in a time pattern", help: help)
  }
}
