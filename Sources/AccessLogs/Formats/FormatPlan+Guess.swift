extension FormatPlan {
  /// Compiles a format string whose language has to be told from the string itself: `%NAME%`, `$name` or `%code`.
  ///
  /// A whole directive (`log_format NAME '...';`, `logformat NAME ...`) will do too.
  public static func guess(_ format: String) throws(FormatError) -> FormatPlan {
    switch format.split(maxSplits: 1, whereSeparator: \.isWhitespace).first {
    case "log_format":
      if let found = try FormatFile.nginxConf(format.contains(";") ? format : format + ";").first {
        return try nginx(found.format, escape: found.escape, name: found.name)
      }
    case "logformat":
      if let found = try FormatFile.squidConf(format).first { return try squid(found.format, name: found.name) }
    default: break
    }
    return try guessDialect(format)
  }

  private static func guessDialect(_ format: String) throws(FormatError) -> FormatPlan {
    switch dialect(of: format) {
    case .envoy?: try envoy(format)
    case .nginxHTTP?, .nginxStream?: try nginx(format, escape: looksLikeJSON(format) ? .json : .default)
    case .squid?: try squid(format)
    case nil:
      throw FormatError(
        format: format, range: 0..<format.utf8.count, message: "this is no format string of Envoy, nginx or Squid",
        help:
          "write columns as %NAME% (Envoy), $name (nginx) or %code (Squid), or give @FILE to read a configuration file")
    }
  }

  /// The language with the most columns in the text; Envoy's `%NAME` cannot be Squid's, whose codes are short and mostly small.
  private static func dialect(of format: String) -> Dialect? {
    let text = FormatText(format)
    var envoy = 0
    var nginx = 0
    var squid = 0
    var index = 0
    while index + 1 < text.bytes.count {
      let byte = text.bytes[index]
      let nameStart = index + 1
      if byte == ASCII.dollar {
        let first = text.bytes[nameStart]
        if first == UInt8(ascii: "{") || (ASCII.isName(first) && !ASCII.isDigit(first)) { nginx += 1 }
      } else if byte == ASCII.percent {
        let end = text.endOfRun(from: nameStart, where: ASCII.isName)
        let name = text.bytes[nameStart..<end]
        let capitals = name.prefix { ASCII.isUpper($0) || ASCII.isDigit($0) || $0 == 0x5F }
        let isClosed = end < text.bytes.count && [ASCII.percent, UInt8(ascii: "(")].contains(text.bytes[end])
        // `%REQ(...)`, `%CEL(...)`: three capitals; a misspelt or small-lettered operator is still closed by a percent sign.
        if capitals.count >= 3 && ASCII.isUpper(name.first ?? 0) || isClosed && name.count >= 5 {
          envoy += 1
          // Over what belongs to this operator, or the percent sign that closes it would open another.
          index = isClosed && text.bytes[end] == ASCII.percent ? end : index
        } else if !name.isEmpty || "<>{[\"'#/-".utf8.contains(text.bytes[nameStart]) {
          squid += 1
        }
      }
      index += 1
    }
    if envoy > 0 { return .envoy }
    if nginx > 0, nginx >= squid { return .nginxStream }
    return squid > 0 ? .squid : nil
  }

  private static func looksLikeJSON(_ format: String) -> Bool {
    format.utf8.first { !ASCII.isBlank($0) } == UInt8(ascii: "{")
  }
}
