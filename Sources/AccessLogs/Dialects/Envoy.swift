extension FormatPlan {
  /// Compiles a format of Envoy's command operators (`%START_TIME%`, `%REQ(:METHOD)%`, ...).
  ///
  /// A string that is a JSON object is taken as a `json_format`: its keys may then come in any order. A text format may
  /// end with the line break that Envoy wants inside it, as a newline or as the two characters `\n`.
  ///
  /// `omitsEmptyValues`: the `omit_empty_values` of the access logger, which prints nothing for a missing value.
  public static func envoy(
    _ format: String, name: String = "custom", about: String = "", omitsEmptyValues: Bool = false
  ) throws(FormatError) -> FormatPlan {
    var plan = FormatPlan(name: name, about: about, dialect: .envoy, source: format, body: .text([]))
    if let keys = try EnvoyCompiler.jsonKeys(format) {
      plan.body = .json(keys)
    } else {
      let pieces = try EnvoyCompiler.pieces(FormatText(format).withoutLineEnd, escaping: .raw)
      plan.body = .text(omitsEmptyValues ? pieces.map(\.allowingEmpty) : pieces)
    }
    return plan
  }
}

/// One walk over a string of command operators: `% NAME [(argument)] [:N] %`, or `%%`.
struct EnvoyCompiler {
  private let text: FormatText
  private let escaping: FormatField.Escaping
  private var builder: PieceBuilder
  private var index = 0

  static func pieces(_ text: FormatText, escaping: FormatField.Escaping) throws(FormatError) -> [FormatPiece] {
    var compiler = EnvoyCompiler(text: text, escaping: escaping)
    while compiler.index < text.bytes.count { try compiler.step() }
    return try compiler.builder.finish()
  }

  private init(text: FormatText, escaping: FormatField.Escaping) {
    self.text = text
    self.escaping = escaping
    builder = PieceBuilder(text)
  }

  /// The columns of a `json_format`; nil when the string is no JSON object.
  ///
  /// A text format may look like one (`{"d":%DURATION%}`): an operator outside quotes tells.
  static func jsonKeys(_ format: String) throws(FormatError) -> [JSONKey]? {
    guard let first = format.utf8.first(where: { !ASCII.isBlank($0) }), first == UInt8(ascii: "{") else { return nil }
    let members: [FormatJSON.Member]
    do {
      members = try FormatJSON.members(of: format)
    } catch {
      let bytes = Array(format.utf8)
      if error.range.lowerBound < bytes.count, bytes[error.range.lowerBound] == ASCII.percent { return nil }
      throw error
    }
    var keys: [JSONKey] = []
    for member in members where !member.isInArray && member.value.bytes.contains(ASCII.percent) {
      let text = FormatText(source: format, string: member.value)
      // A constant may hold percent signs too.
      if text.string(0..<text.bytes.count).replacingPercentPairs().utf8.contains(ASCII.percent) {
        keys.append(JSONKey(path: member.path, pieces: try pieces(text, escaping: .json)))
      }
    }
    guard !keys.isEmpty else {
      throw FormatError(
        format: format, range: 0..<format.utf8.count, message: "the format has no column",
        help: "give at least one key a command operator: {\"start_time\": \"%START_TIME%\"}")
    }
    return keys
  }

  private mutating func step() throws(FormatError) {
    let start = index
    guard text.bytes[start] == ASCII.percent else {
      let end = text.firstIndex(of: ASCII.percent, from: start) ?? text.bytes.count
      builder.append(literal: text.bytes[start..<end])
      index = end
      return
    }
    let nameEnd = text.endOfRun(from: start + 1, where: ASCII.isName)
    if nameEnd == start + 1, byte(at: nameEnd) == ASCII.percent {
      builder.append(literal: [ASCII.percent])
      index = nameEnd + 1
      return
    }
    let name = text.string(start + 1..<nameEnd)
    index = nameEnd
    guard !name.isEmpty else {
      throw text.error(
        start..<min(start + 2, text.bytes.count), "no command operator after %",
        help: "write %NAME% for a column, or %% for a percent sign")
    }
    let operation = EnvoyOperator.known[name]
    let argument = try takeArgument(start: start, operation: operation)
    let lengthStart = index
    let length = try takeLength(start: start)
    let lengthRange = lengthStart..<index
    guard byte(at: index) == ASCII.percent else {
      throw text.error(
        start..<index, "the command operator has no end: no % after \(text.string(start..<index))",
        help: operation == nil ? unknownHelp(name) : "close it: \(text.string(start..<index))%")
    }
    index += 1
    guard let operation else {
      throw text.error(start..<index, "unknown command operator %\(name)%", help: unknownHelp(name))
    }
    var field = try field(operation, name: name, range: start..<index, argument: argument)
    if let length {
      switch operation.syntax {
      case .integer, .decimal, .time, .status:
        throw text.error(
          lengthRange, "%\(name)% is not a text and takes no length", help: "leave \(text.string(lengthRange)) out")
      default: field.maxLength = length
      }
    }
    try builder.append(field, range: start..<index)
  }

  private func unknownHelp(_ name: String) -> String {
    nearMiss(of: name, in: EnvoyOperator.known.keys).map { "did you mean %\($0)%?" }
      ?? "the operators are listed in Envoy's documentation, \"Substitution Formatter\""
  }

  // MARK: - Argument and length

  /// The text between the brackets; nil when there are none.
  private mutating func takeArgument(start: Int, operation: EnvoyOperator?) throws(FormatError) -> Range<Int>? {
    guard byte(at: index) == UInt8(ascii: "(") else { return nil }
    let open = index
    let isFree = if case .free? = operation?.argument { true } else { false }
    guard let close = isFree ? freeEnd(after: open) : balancedEnd(after: open) else {
      throw text.error(
        start..<text.bytes.count, "unbalanced brackets: no ) for this (", help: "close the argument with )%")
    }
    index = close + 1
    return open + 1..<close
  }

  /// The bracket that closes the one at `open`, others inside counted.
  private func balancedEnd(after open: Int) -> Int? {
    var depth = 0
    for place in open..<text.bytes.count {
      switch text.bytes[place] {
      case UInt8(ascii: "("): depth += 1
      case UInt8(ascii: ")"):
        depth -= 1
        if depth == 0 { return place }
      default: break
      }
    }
    return nil
  }

  /// The first `)` that `%` or `:N%` follows: how Envoy itself finds the end, so quotes and brackets inside do not count.
  private func freeEnd(after open: Int) -> Int? {
    var place = open + 1
    while let close = text.firstIndex(of: UInt8(ascii: ")"), from: place) {
      var end = close + 1
      if byte(at: end) == UInt8(ascii: ":") { end = text.endOfRun(from: end + 1, where: ASCII.isDigit) }
      if byte(at: end) == ASCII.percent { return close }
      place = close + 1
    }
    return nil
  }

  private mutating func takeLength(start: Int) throws(FormatError) -> Int? {
    guard byte(at: index) == UInt8(ascii: ":") else { return nil }
    let colon = index
    let end = text.firstIndex(of: ASCII.percent, from: colon) ?? text.bytes.count
    guard let length = Int(text.string(colon + 1..<end)), length > 0 else {
      throw text.error(
        colon..<end, "\(text.string(colon..<end)) is no length", help: "write :N with a number of bytes, such as :64")
    }
    index = end
    return length
  }

  private func byte(at place: Int) -> UInt8? { place < text.bytes.count ? text.bytes[place] : nil }

  // MARK: - Fields

  private func field(
    _ operation: EnvoyOperator, name: String, range: Range<Int>, argument: Range<Int>?
  ) throws(FormatError) -> FormatField {
    var field = FormatField(
      role: operation.role, name: text.string(range), syntax: operation.syntax, escaping: escaping,
      unit: operation.unit, mayBeEmpty: operation.mayBeEmpty(name))
    let value = argument.map { text.string($0) } ?? ""
    switch operation.argument {
    case .none:
      if let argument {
        throw text.error(
          argument.lowerBound - 1..<argument.upperBound + 1, "%\(name)% takes no argument", help: "write %\(name)%")
      }
    case .optional:
      if name == "RESPONSE_CODE_DETAILS", value == "ALLOW_WHITESPACES" { field.syntax = .text }
      if name == "REQUESTED_SERVER_NAME", value.hasPrefix("HOST_FIRST") { field.role = .authority }
    case .required:
      guard !value.isEmpty else { throw missingArgument(name, range) }
      if name == "ENVIRONMENT", ["POD_NAME", "HOSTNAME"].contains(value) { field.role = .hostname }
      if name == "COMMON_DURATION" { try setCommonDuration(&field, value, argument: argument ?? range) }
    case .header:
      guard !value.isEmpty else { throw missingArgument(name, range) }
      setHeader(&field, value, isRequest: name.hasPrefix("REQ"))
    case .time:
      // The local variants print the machine's zone; the others UTC, whatever the pattern says of it.
      let isUTC = !name.hasSuffix("_LOCAL")
      var time = TimeFormat.iso8601Milliseconds
      if let argument, !argument.isEmpty { time = try .strftime(text, argument, isUTC: isUTC) }
      field.time = time
    case .mask:
      guard !value.isEmpty else { break }
      guard let bits = Int(value), (0...128).contains(bits) else {
        throw text.error(
          argument ?? range, "\(value) is no prefix length", help: "give a number of bits from 0 to 128, or no argument"
        )
      }
      // A network is not the address of anybody.
      field.role = .ignored
    case .free:
      guard let argument, !argument.isEmpty else { throw missingArgument(name, range) }
      if name == "COALESCE" { try setCoalesced(&field, argument: argument) }
    }
    return field
  }

  private func missingArgument(_ name: String, _ range: Range<Int>) -> FormatError {
    let example =
      switch name {
      case "REQ", "REQUEST_HEADER", "REQ_WITHOUT_QUERY": "(:AUTHORITY)"
      case "COMMON_DURATION": "(DS_RX_BEG:DS_TX_END:ms)"
      case "ENVIRONMENT": "(POD_NAME)"
      case "COALESCE": "({\"operators\": [\"REQUESTED_SERVER_NAME\"]})"
      default: "(...)"
      }
    return text.error(range, "%\(name)% needs an argument", help: "write %\(name)\(example)%")
  }

  /// `X?Y`: header `X`, or `Y` where that is missing.
  private func setHeader(_ field: inout FormatField, _ argument: String, isRequest: Bool) {
    let names = argument.utf8.split(separator: UInt8(ascii: "?"), maxSplits: 1).map { Substring($0).lowercased() }
    for name in names {
      guard let known = isRequest ? Self.requestHeaders[name] : Self.responseHeaders[name] else { continue }
      field.role = known.role
      field.syntax = known.syntax
      field.unit = known.unit
      field.mayBeEmpty = known.syntax == .text
      // The name that is not known may hold anything.
      if names.count > 1, names.contains(where: { Self.requestHeaders[$0] == nil }) {
        field.syntax = .text
        field.mayBeEmpty = true
      }
      return
    }
  }

  /// Only from the very beginning to the very end is it the duration that a row keeps.
  private func setCommonDuration(_ field: inout FormatField, _ value: String, argument: Range<Int>) throws(FormatError)
  {
    let parts = value.split(separator: ":", omittingEmptySubsequences: false)
    let units: [Substring: FormatField.Unit] = ["ms": .milliseconds, "us": .microseconds, "ns": .nanoseconds]
    guard parts.count == 3, let unit = units[parts[2]] else {
      throw text.error(
        argument, "(\(value)) is no START:END:PRECISION",
        help: "name two points of time and ms, us or ns: %COMMON_DURATION(DS_RX_BEG:DS_TX_END:ms)%")
    }
    field.unit = unit
    if ["DS_RX_BEG:DS_TX_END", "DS_CX_BEG:DS_CX_END"].contains("\(parts[0]):\(parts[1])") { field.role = .duration }
  }

  /// `{"operators": ["NAME", {"command": "NAME", "param": "X"}]}`: the first that has a value.
  ///
  /// A mixture of names is the name of the destination all the same; a mixture of other things is nothing that could be kept.
  private func setCoalesced(_ field: inout FormatField, argument: Range<Int>) throws(FormatError) {
    let members: [FormatJSON.Member]
    do {
      members = try FormatJSON.members(of: text.string(argument))
    } catch {
      let place = argument.lowerBound + error.range.lowerBound..<argument.lowerBound + error.range.upperBound
      throw text.error(
        place, "the argument of %COALESCE% is no JSON object: \(error.message)",
        help: "write {\"operators\": [\"NAME\", {\"command\": \"NAME\", \"param\": \"X\"}]}")
    }
    var commands: [(name: String, param: String?, element: String)] = []
    for member in members where member.path.first == "operators" && member.path.count >= 2 {
      let value = member.value.string
      switch member.path.dropFirst(2).first {
      case nil: commands.append((value, nil, member.path[1]))
      case "command": commands.append((value, nil, member.path[1]))
      default: break
      }
    }
    for member in members where member.path.count == 3 && member.path[2] == "param" {
      if let place = commands.firstIndex(where: { $0.element == member.path[1] }) {
        commands[place].param = member.value.string
      }
    }
    guard !commands.isEmpty else {
      throw text.error(
        argument, "%COALESCE% names no operator",
        help: "write {\"operators\": [\"NAME\", {\"command\": \"NAME\", \"param\": \"X\"}]}")
    }
    var roles: [FieldRole] = []
    for command in commands {
      guard let operation = EnvoyOperator.known[command.name] else {
        throw text.error(
          argument, "unknown command operator \(command.name) in %COALESCE%", help: unknownHelp(command.name))
      }
      var part = FormatField(role: operation.role, name: command.name)
      if case .header = operation.argument, let param = command.param {
        setHeader(&part, param, isRequest: command.name.hasPrefix("REQ"))
      }
      roles.append(part.role)
    }
    let names: Set<FieldRole> = [.authority, .serverName]
    if Set(roles).count == 1 {
      field.role = roles[0]
    } else if roles.allSatisfy({ names.contains($0) || $0 == .ignored }), roles.contains(.authority) {
      field.role = .authority
    }
  }

  private typealias Header = (role: FieldRole, syntax: FormatField.Syntax, unit: FormatField.Unit)

  /// Header names in lower case: HTTP does not tell cases apart.
  private static let requestHeaders: [String: Header] = [
    ":method": (.method, .method, .one),
    ":path": (.path, .text, .one),
    "x-envoy-original-path": (.path, .text, .one),
    ":scheme": (.scheme, .text, .one),
    "x-forwarded-proto": (.scheme, .text, .one),
    ":authority": (.authority, .text, .one),
    "host": (.authority, .text, .one),
    "x-envoy-original-host": (.authority, .text, .one),
    "user-agent": (.userAgent, .text, .one),
    "referer": (.referer, .text, .one),
    "x-forwarded-for": (.forwardedFor, .text, .one),
    "x-request-id": (.requestID, .text, .one),
  ]
  private static let responseHeaders: [String: Header] = [
    ":status": (.status, .integer, .one),
    "x-envoy-upstream-service-time": (.upstreamTime, .token, .milliseconds),
  ]
}

extension FormatPiece {
  fileprivate var allowingEmpty: FormatPiece {
    guard case .field(var field) = self else { return self }
    field.mayBeEmpty = true
    return .field(field)
  }
}

extension String {
  /// Without `%%`, which stands for a percent sign.
  fileprivate func replacingPercentPairs() -> String {
    var rest: [UInt8] = []
    for byte in utf8 {
      if byte == ASCII.percent, rest.last == ASCII.percent { rest.removeLast() } else { rest.append(byte) }
    }
    return String(decoding: rest, as: UTF8.self)
  }
}
