internal import CLanes

// How a format becomes steps: once per format, so nothing here is in a hurry.

extension TextPlan {
  /// What stands before the first column, the columns, and what stands behind each.
  static func columns(
    of pieces: [FormatPiece]
  ) -> (prefix: [UInt8], fields: [FormatField], literals: [[UInt8]]) {
    var prefix: [UInt8] = []
    var fields: [FormatField] = []
    var literals: [[UInt8]] = []
    for piece in pieces {
      switch piece {
      case .literal(let bytes):
        if fields.isEmpty { prefix += bytes } else { literals[literals.count - 1] += bytes }
      case .field(let field):
        fields.append(field)
        literals.append([])
      }
    }
    return (prefix, fields, literals)
  }

  /// The column stands in quotes of its own.
  static func isQuoted(_ i: Int, prefix: [UInt8], literals: [[UInt8]]) -> Bool {
    (i == 0 ? prefix : literals[i - 1]).last == ASCII.quote && literals[i].first == ASCII.quote
  }

  /// Per column the delimiters that it may not hold if `matchForward` is to be sure.
  ///
  /// Quotes cut the line into stretches, spaces cut a stretch into words, other literals cut a word into columns. A column in
  /// quotes of its own is a whole stretch and ends at its quote, so nothing else matters. Any other free column may hold no
  /// quote, no space, and none of the delimiters of its word.
  static func forbidden(prefix: [UInt8], literals: [[UInt8]], steps: UnsafeMutablePointer<Step>) -> [[UInt8]] {
    func isFree(_ i: Int) -> Bool { [.text, .token, .escapedText].contains(steps[i].kind) }
    func isQuoted(_ i: Int) -> Bool { Self.isQuoted(i, prefix: prefix, literals: literals) }
    let hasQuotes = literals.indices.contains { isFree($0) && isQuoted($0) }
    var all = literals.map { _ in [UInt8]() }
    var first = 0
    for i in literals.indices {
      let isLast = i == literals.count - 1
      guard isLast || literals[i].contains(ASCII.space) || literals[i].contains(ASCII.quote) else { continue }
      let word = first...i
      let inner = word.dropLast().filter(isFree).compactMap { literals[$0].first }
      for column in word where isFree(column) && !isQuoted(column) {
        var bytes: [UInt8] = [ASCII.space]
        if hasQuotes { bytes.append(ASCII.quote) }
        for byte in inner where !bytes.contains(byte) { bytes.append(byte) }
        all[column] = bytes.filter { $0 != steps[column].stop }
      }
      first = i + 1
    }
    return all
  }

  static let destinationRoles: RoleSet = [
    .authority, .upstreamHost, .upstreamRemote, .upstreamCluster, .serverName, .routeName, .downstreamLocal,
    .upstreamHostIP, .upstreamHostPort, .downstreamLocalIP, .downstreamLocalPort, .targetPort, .scheme,
  ]
  static let outcomeRoles: RoleSet = [
    .protocol, .method, .status, .responseFlags, .responseDetails, .terminationDetails, .transportFailure, .squidTag,
    .squidHierarchy, .squidError, .accessLogType, .grpcStatus,
  ]

  /// Neighbouring columns of one key are hashed and compared as one stretch of the line: the literals between them are the
  /// same in every line of the plan.
  static func runs(of wanted: RoleSet, in fields: [FormatField]) -> [lanes_run] {
    var runs: [lanes_run] = []
    var open = false
    var seen = RoleSet()
    var repeated = RoleSet()
    for field in fields {
      // A role that occurs twice cannot anchor a run: its slot may hold either value.
      let isSecond = !seen.insert(field.role)
      if isSecond { repeated.insert(field.role) }
      let isRepeat = isSecond && field.role != .ignored
      if wanted.contains(field.role), !isRepeat {
        if open {
          runs[runs.count - 1].last = field.role.rawValue
        } else {
          runs.append(lanes_run(first: field.role.rawValue, last: field.role.rawValue))
        }
        open = true
      } else {
        open = false
      }
    }
    if !repeated.isDisjoint(with: wanted) {
      // Rare: fall back to one slice per role.
      return wanted.intersection(seen).map { lanes_run(first: $0.rawValue, last: $0.rawValue) }
    }
    return runs
  }
}

extension TextPlan.Step {
  /// - Parameters:
  ///   - literal: behind the column.
  ///   - isQuoted: it stands in quotes of its own.
  ///   - isRepeat: an earlier step has the same role.
  init(_ field: FormatField, literal: [UInt8], isQuoted: Bool, isRepeat: Bool) {
    let stop = literal.first ?? ASCII.newline
    let counted = min(literal.count, 8)
    self.init(
      kind: TextPlan.Kind(field, isQuoted: isQuoted), slot: field.role.rawValue, stop: stop, padded: field.padded,
      paddedAtEnd: field.paddedAtEnd, isRepeat: isRepeat, forbiddenCount: 0, forbidden: 0,
      ends: (SIMD16(repeating: stop), SIMD16(repeating: stop)), moreForbidden: 0, moreForbiddenCount: 0,
      mayBeEmpty: field.mayBeEmpty || field.syntax == .text || field.syntax == .list,
      literal: TextPlan.Step.word(literal.prefix(8)), literalMask: counted == 8 ? .max : (1 << UInt64(8 * counted)) - 1,
      literalCount: Int32(literal.count), scale: 1, divisor: 1, timeIndex: -1, maxLength: Int32(field.maxLength ?? 0))
    switch field.unit {
    case .seconds: scale = 1000
    case .microseconds: divisor = 1000
    case .nanoseconds: divisor = 1_000_000
    case .one, .milliseconds: break
    }
    if kind == .integer, scale != 1 || divisor != 1 { kind = .decimal }
  }

  /// Up to eight bytes, the first at the low end.
  private static func word(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// - Parameter isLast: no literal is behind it: the line's end stops the column, and both places of `ends` are free.
  mutating func forbid(_ bytes: [UInt8], isLast: Bool) {
    // Eight different delimiters in one neighbourhood are more than anybody writes; the slow twin needs no list.
    let bytes = bytes.prefix(8)
    forbiddenCount = UInt8(bytes.count)
    forbidden = TextPlan.Step.word(bytes)
    let places = isLast ? 2 : 1
    if isLast, let first = bytes.first { ends.0 = SIMD16(repeating: first) }
    if let last = bytes.prefix(places).last { ends.1 = SIMD16(repeating: last) }
    let more = bytes.dropFirst(places)
    moreForbiddenCount = UInt8(more.count)
    moreForbidden = TextPlan.Step.word(more)
  }

  /// What the lanes call columns of this kind; nil for those that they do not read.
  func laneKind(before literal: [UInt8]) -> UInt8? {
    switch kind {
    case .text, .token: UInt8(lanes_text)
    // A longer number would end where the literal begins.
    case .integer: literal.first.map(ASCII.isDigit) == true ? nil : UInt8(lanes_number)
    case .protocol: literal.first.map(TextPlan.isProtocolByte) == true ? nil : UInt8(lanes_protocol)
    case .decimal: scale == 1000 && divisor == 1 ? UInt8(lanes_thousandths) : nil
    case .time: UInt8(lanes_time)
    case .escapedText: nil
    }
  }

  /// Whether the fast path needs no more than the place of the literal.
  func mayBePlain(_ kind: UInt8, before literal: [UInt8], isLast: Bool) -> Bool {
    guard !literal.contains(where: { $0 == ASCII.newline || $0 == ASCII.carriageReturn }),
      !padded || kind == UInt8(lanes_number), !paddedAtEnd, !isRepeat, moreForbiddenCount == 0
    else { return false }
    return 1...8 ~= literal.count || literal.isEmpty && isLast && kind != UInt8(lanes_protocol)
  }

  /// As the lanes know it.
  func column(_ kind: UInt8?, moment: UnsafePointer<lanes_moment>?) -> lanes_column {
    lanes_column(
      literal: literal, literal_mask: literalMask, literal_count: UInt8(truncatingIfNeeded: literalCount),
      least: mayBeEmpty ? 0 : 1, ends: (ends.0[0], ends.1[0]), kind: kind ?? 0, slot: slot, is_padded: padded ? 1 : 0,
      moment: moment)
  }
}

extension TextPlan.Kind {
  init(_ field: FormatField, isQuoted: Bool) {
    switch field.syntax {
    case .text, .list: self = [.json, .backslash, .shell].contains(field.escaping) ? .escapedText : .text
    case .token, .flags, .address, .ip, .method: self = isQuoted ? .text : .token
    case .integer, .status: self = .integer
    case .decimal: self = .decimal
    case .protocol: self = .protocol
    case .time: self = .time
    }
  }
}
