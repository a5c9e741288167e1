internal import CLanes
internal import Glibc

/// A JSON format compiled for the engine: a small table from key to column. Keys may come in any order, be missing, or be
/// unknown; nothing is allocated per line.
final class JSONPlan {
  struct Key {
    let name: [UInt8]
    /// The single column that the value is, or nil for an object or a text of several columns.
    let field: FormatField?
    let kind: TextPlan.Kind
    let text: TextPlan?
    let children: [Key]
    let timeIndex: Int
  }

  let plan: FormatPlan
  let index: Int
  /// The parser has no other plan for JSON lines.
  var isOnlyOne = true
  let keys: [Key]
  let fields: [FormatField]
  let roles: RoleSet
  private let times: UnsafeMutablePointer<TimeReader>
  private let timeCount: Int
  /// Unescaped values of the line at hand.
  private let scratch: UnsafeMutablePointer<UInt8>
  private var scratchUsed = 0
  private let scratchCapacity: Int
  /// Bytes of the scratch buffer: a line is at most 1 MiB, and unescaping only shortens.
  static let scratchBytes = LineParser.maxLine + 2 * LineParser.slack
  /// Nested objects and arrays deeper than this make a line no access line.
  static let maxDepth = 32
  /// Keys of the line that was read last which the plan has a use for.
  private(set) var known = 0
  /// Roles whose keys the line has, whatever their values: bit by raw value.
  private var present: UInt64 = 0
  /// A text of several columns in the line that was read last can be split in more than one way, or in none.
  private(set) var isAmbiguous = false
  /// Work that is left for such texts of the line at hand.
  private var effortLeft = 0
  private let keysNeeded: Int
  /// What makes an object a proxy's line, as far as the plan has it: one of these roles (bit by raw value), a time, a result. Its
  /// keys are common words, which an application's own JSON may share.
  private let hopRoles: UInt64
  private let needsTime: Bool
  private let needsResult: Bool
  private let table: UnsafeMutablePointer<JSONKeyTable>
  let order = JSONOrder()
  /// The order by which the fields of a lane were filled last, 0 when by none; fields of one order need no reset.
  let generations: UnsafeMutablePointer<Int>
  /// What may end the plain part of a string.
  private let quoteOrBackslash = (SIMD16<UInt8>(repeating: ASCII.quote), SIMD16<UInt8>(repeating: ASCII.backslash))

  init(_ plan: FormatPlan, keys: [JSONKey], index: Int) {
    self.plan = plan
    self.index = index
    var times: [TimeReader] = []
    var all: [FormatField] = []
    func build(_ keys: [JSONKey]) -> [Key] {
      var order: [String] = []
      var groups: [String: [JSONKey]] = [:]
      for key in keys {
        guard let name = key.path.first else { continue }
        if groups[name] == nil { order.append(name) }
        groups[name, default: []].append(JSONKey(path: Array(key.path.dropFirst()), pieces: key.pieces))
      }
      return order.map { name in
        let group = groups[name]!
        if let leaf = group.first(where: { $0.path.isEmpty }) {
          var single: FormatField?
          if leaf.pieces.count == 1, case .field(let field) = leaf.pieces[0] { single = field }
          for case .field(let field) in leaf.pieces { all.append(field) }
          var timeIndex = -1
          if let single, single.syntax == .time {
            timeIndex = times.count
            times.append(TimeReader(single.time ?? .iso8601Milliseconds))
          }
          return Key(
            name: Array(name.utf8), field: single, kind: Self.kind(single),
            text: single == nil ? TextPlan(plan, pieces: leaf.pieces, index: index) : nil, children: [],
            timeIndex: timeIndex)
        }
        return Key(name: Array(name.utf8), field: nil, kind: .text, text: nil, children: build(group), timeIndex: -1)
      }
    }
    self.keys = build(keys)
    timeCount = times.count
    self.times = .allocate(capacity: max(1, times.count))
    self.times.initialize(from: times, count: times.count)
    fields = all
    roles = RoleSet(all.map(\.role))
    keysNeeded = min(2, all.count)
    let isEnvoy = plan.dialect == .envoy
    hopRoles = isEnvoy ? roles.intersection(Self.hops).bits : 0
    needsTime = isEnvoy && !roles.isDisjoint(with: [.startTime, .endTime])
    needsResult = isEnvoy && !roles.isDisjoint(with: [.bytesReceived, .duration, .status])
    table = .allocate(capacity: 1)
    table.initialize(to: JSONKeyTable(self.keys))
    generations = .allocate(capacity: LineParser.group)
    generations.initialize(repeating: 0, count: LineParser.group)
    scratchCapacity = Self.scratchBytes
    scratch = .allocate(capacity: scratchCapacity)
  }

  deinit {
    scratch.deallocate()
    generations.deallocate()
    times.deinitialize(count: timeCount).deallocate()
    table.pointee.deallocate()
    table.deallocate()
  }

  private static func kind(_ field: FormatField?) -> TextPlan.Kind {
    switch field?.syntax {
    case .integer, .status: field?.unit == .one || field?.unit == .milliseconds ? .integer : .decimal
    case .decimal: .decimal
    case .time: .time
    default: .text
    }
  }

  func runs(of wanted: RoleSet) -> [lanes_run] {
    wanted.intersection(roles).map { lanes_run(first: $0.rawValue, last: $0.rawValue) }
  }

  func setReference(_ ms: Int64) {
    for i in 0..<timeCount { times[i].reference = ms }
  }

  /// Reads the object into `target`; false when the line is no JSON object with at least two of the plan's keys, and what a proxy's
  /// line has.
  /// - Parameters:
  ///   - isFirst: what lines before it unescaped is no longer needed.
  ///   - effort: what may be spent on texts of several columns, and what is left of it.
  func match(_ line: Slice, into target: borrowing Fields, isFirst: Bool, effort: inout Int) -> Bool {
    effortLeft = effort
    defer { effort = effortLeft }
    isAmbiguous = false
    var line = line.trimmingSpaces()
    if line.count > 1, line.end[-1] == ASCII.carriageReturn { line = Slice(line.start, line.end - 1) }
    guard line.count >= 2, line[0] == ASCII.openBrace, line.end[-1] == ASCII.closeBrace else { return false }
    target.resetValues()
    if isFirst {
      // The fields are those of the first lane.
      generations[0] = 0
      forgetUnescaped()
    }
    order.begin()
    known = 0
    present = 0
    var p = line.start
    guard object(&p, line.end, table, target, depth: 0), p == line.end, known >= keysNeeded else { return false }
    return isProxyLine(target)
  }

  /// The next lines with the keys of the one that was read last are this plan's, without a look at other plans.
  func learnOrder() { order.learn() }

  /// What lines before unescaped is no longer needed.
  func forgetUnescaped() { scratchUsed = 0 }

  /// What is left to do with an object that the lanes have read; as the end of `match`.
  func finish(_ target: borrowing Fields) -> Bool {
    guard order.known >= keysNeeded else { return false }
    for index in 0..<order.otherCount {
      let entry = order.others[index]
      let slot = Int(entry.pointee.slot)
      target.setNumber(Numbers.missing, slot)
      let value = target.slice(slot)
      if !value.isMissing { setNumber(entry, value, target) }
    }
    present = order.present
    return isProxyLine(target)
  }

  private static let hops: RoleSet = [.responseFlags, .upstreamHost, .upstreamRemote, .upstreamCluster]

  private func isProxyLine(_ target: borrowing Fields) -> Bool {
    let hasTime = target.number(.startTime) != Numbers.missing || target.number(.endTime) != Numbers.missing
    let hasResult =
      target.number(.bytesReceived) != Numbers.missing || target.number(.duration) != Numbers.missing
      || target.number(.status) != Numbers.missing
    // The keys count, not their values: a request that was refused has neither flags nor a host nor a cluster.
    return (hasTime || !needsTime) && (present & hopRoles != 0 || hopRoles == 0) && (hasResult || !needsResult)
  }

  /// An object whose known keys stand in `table`; nil reads it over.
  private func object(
    _ p: inout Bytes, _ end: Bytes, _ table: UnsafeMutablePointer<JSONKeyTable>?, _ target: borrowing Fields, depth: Int
  ) -> Bool {
    guard depth < Self.maxDepth else { return false }
    p += 1
    skipSpace(&p, end)
    if p < end, p.pointee == ASCII.closeBrace {
      p += 1
      return true
    }
    var last = -1
    while p < end {
      skipSpace(&p, end)
      let name = p + 1
      var key = table?.pointee.takeLikely(&p, to: end, after: &last)
      if key == nil {
        guard p < end, p.pointee == ASCII.quote else { return false }
        let nameEnd = stringEnd(from: p + 1, to: end).close
        guard nameEnd < end else { return false }
        let name = Slice(p + 1, nameEnd)
        p = nameEnd + 1
        skipSpace(&p, end)
        guard p < end, p.pointee == ASCII.colon else { return false }
        p += 1
        key = table?.pointee.find(name, after: &last)
        if depth == 0 { order.meet(name, key) }
      } else if depth == 0, let key {
        order.meet(Slice(name, name + key.pointee.nameCount), key)
      }
      skipSpace(&p, end)
      guard p < end else { return false }
      if p.pointee == ASCII.quote {
        guard string(&p, end, key, target) else { return false }
      } else if !(key.map { plainWord(&p, end, $0, target) } ?? false) {
        if p.pointee == ASCII.openBrace || p.pointee == ASCII.openBracket { order.refuse() }
        guard value(&p, end, key, target, depth: depth) else { return false }
      }
      skipSpace(&p, end)
      guard p < end else { return false }
      if p.pointee == ASCII.closeBrace {
        p += 1
        return true
      }
      guard p.pointee == ASCII.comma else { return false }
      p += 1
    }
    return false
  }

  /// Where the string that begins at `start` ends, and whether there is an escape in it.
  @inline(__always) private func stringEnd(from start: Bytes, to end: Bytes) -> (close: Bytes, isEscaped: Bool) {
    let close = Scan.findEither(quoteOrBackslash, from: start, to: end)
    if close == end || close.pointee == ASCII.quote { return (close, false) }
    return (TextPlan.findUnescaped(ASCII.quote, from: start, to: end), true)
  }

  @inline(__always)
  private func string(
    _ p: inout Bytes, _ end: Bytes, _ key: UnsafeMutablePointer<JSONKeyTable.Entry>?, _ target: borrowing Fields
  ) -> Bool {
    let start = p + 1
    let (close, isEscaped) = stringEnd(from: start, to: end)
    guard close < end else { return false }
    p = close + 1
    if let key { take(key, isEscaped ? unescaped(Slice(start, close)) : Slice(start, close), target) }
    return true
  }

  /// The two commonest words, `null` and a number without a fraction, where a comma or brace stands behind them; whatever
  /// else there is, is left to `value`.
  @inline(__always)
  private func plainWord(
    _ p: inout Bytes, _ end: Bytes, _ key: UnsafeMutablePointer<JSONKeyTable.Entry>, _ target: borrowing Fields
  ) -> Bool {
    func isEnd(_ byte: UInt8) -> Bool { byte == ASCII.comma || byte == ASCII.closeBrace }
    if end - p > 4, UnsafeRawPointer(p).loadUnaligned(as: UInt32.self) == Self.null, isEnd(p[4]) {
      p += 4
      take(key, .null, target)
      return true
    }
    let slot = Int(key.pointee.slot)
    guard key.pointee.isField, key.pointee.kind == .integer, target.slice(slot).isMissing else { return false }
    let start = p
    guard let number = Numbers.digits(&p, to: end), p < end, isEnd(p.pointee) else {
      p = start
      return false
    }
    known += 1
    present |= 1 << UInt64(slot)
    target.setSlice(Slice(start, p), slot)
    target.setNumber(number, slot)
    return true
  }

  /// `null` as a word.
  private static let null: UInt32 = 0x6C6C_756E

  private func value(
    _ p: inout Bytes, _ end: Bytes, _ key: UnsafeMutablePointer<JSONKeyTable.Entry>?, _ target: borrowing Fields,
    depth: Int
  ) -> Bool {
    guard p < end else { return false }
    switch p.pointee {
    case ASCII.openBrace:
      return object(&p, end, key?.pointee.children, target, depth: depth + 1)
    case ASCII.openBracket:
      return skipArray(&p, end, target, depth: depth)
    case ASCII.quote:
      return string(&p, end, key, target)
    default:
      let start = p
      while p < end, p.pointee != ASCII.comma, p.pointee != ASCII.closeBrace, p.pointee != ASCII.closeBracket,
        p.pointee != ASCII.space
      {
        p += 1
      }
      let word = Slice(start, p)
      guard !word.isEmpty else { return false }
      if word.equals("null") {
        if let key { take(key, .null, target) }
        return true
      }
      let first = word[0]
      guard ASCII.isDigit(first) || first == ASCII.minus || word.equals("true") || word.equals("false") else {
        return false
      }
      if let key { take(key, word, target) }
      return true
    }
  }

  @inline(__always)
  private func take(
    _ key: UnsafeMutablePointer<JSONKeyTable.Entry>, _ value: Slice, _ target: borrowing Fields
  ) {
    if let text = key.pointee.text {
      known += 1
      text._withUnsafeGuaranteedRef { text in
        present |= text.roles.bits
        if !text.matchForward(value, into: target), !value.isMissing { matchSlowly(text, value, target) }
      }
      return
    }
    guard key.pointee.isField else { return }
    known += 1
    let slot = Int(key.pointee.slot)
    present |= 1 << UInt64(slot)
    if slot != Int(FieldRole.ignored.rawValue), !target.slice(slot).isMissing { return }
    target.setSlice(value, slot)
    if !value.isMissing { setNumber(key, value, target) }
  }

  /// As `Backtracking` does for a line: the client may have put columns into one of the texts.
  @inline(never)
  private func matchSlowly(_ text: TextPlan, _ value: Slice, _ target: borrowing Fields) {
    let budget = min(Backtracking.budget, effortLeft)
    var ways = Backtracking(text, value, budget: budget)
    // What is not split as its format says proves as little as what can be split in two ways.
    if ways.match(into: target) != .unique { isAmbiguous = true }
    effortLeft -= budget - ways.budgetLeft
  }

  private func setNumber(
    _ key: UnsafeMutablePointer<JSONKeyTable.Entry>, _ value: Slice, _ target: borrowing Fields
  ) {
    let slot = Int(key.pointee.slot)
    var p = value.start
    switch key.pointee.kind {
    case .integer:
      if let number = Numbers.digits(&p, to: value.end), p == value.end {
        target.setNumber(number, slot)
      } else {
        p = value.start
        if let number = Numbers.decimal(&p, to: value.end, scale: 1) { target.setNumber(number, slot) }
      }
    case .decimal:
      if let number = Numbers.decimal(&p, to: value.end, scale: key.pointee.scale) {
        target.setNumber(Numbers.scaledDown(number, by: key.pointee.divisor), slot)
      }
    case .time:
      if let time = times[Int(key.pointee.timeIndex)].read(&p, to: value.end) { target.setNumber(time, slot) }
    default: break
    }
  }

  private func unescaped(_ slice: Slice) -> Slice {
    let bytes = Unescape.backslashes(slice)
    guard scratchUsed + bytes.count + LineParser.slack < scratchCapacity else { return slice }
    let start = scratch + scratchUsed
    bytes.withUnsafeBufferPointer { if let base = $0.baseAddress { memcpy(start, base, bytes.count) } }
    scratchUsed += bytes.count + 8
    return Slice(UnsafePointer(start), UnsafePointer(start) + bytes.count)
  }

  private func skipArray(_ p: inout Bytes, _ end: Bytes, _ target: borrowing Fields, depth: Int) -> Bool {
    guard depth < Self.maxDepth else { return false }
    p += 1
    while p < end {
      skipSpace(&p, end)
      guard p < end else { return false }
      if p.pointee == ASCII.closeBracket {
        p += 1
        return true
      }
      if p.pointee == ASCII.openBracket {
        guard skipArray(&p, end, target, depth: depth + 1) else { return false }
      } else {
        guard value(&p, end, nil, target, depth: depth + 1) else { return false }
      }
      skipSpace(&p, end)
      if p < end, p.pointee == ASCII.comma { p += 1 }
    }
    return false
  }

  private func skipSpace(_ p: inout Bytes, _ end: Bytes) {
    while p < end, p.pointee == ASCII.space || p.pointee == ASCII.tab || p.pointee == ASCII.carriageReturn { p += 1 }
  }
}
