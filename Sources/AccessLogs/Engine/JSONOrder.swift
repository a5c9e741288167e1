internal import CLanes
internal import Glibc

/// The keys of the last object that was read key by key, in their order: the lanes read lines that have the same ones in one go.
///
/// A line that differs (another order, an escape in a value, an object in an object) is read key by key, as if there were no
/// lanes; what comes out is the same.
final class JSONOrder {
  /// A key as it was met, and the entry that knows it.
  private struct Met {
    let name: Slice
    let entry: UnsafeMutablePointer<JSONKeyTable.Entry>?
  }

  static let maxKeys = 64
  /// Longest `,"name":`.
  private static let maxToken = 64

  let keys: UnsafeMutablePointer<lanes_json_key>
  private(set) var count = 0
  /// Keys that the plan has a use for, and the roles among them, bit by raw value.
  private(set) var known = 0
  private(set) var present: UInt64 = 0
  /// What is more than a text or a plain number.
  let others: UnsafeMutablePointer<UnsafeMutablePointer<JSONKeyTable.Entry>>
  private(set) var otherCount = 0
  /// Differs from order to order.
  private(set) var generation = 0
  private let tokens: UnsafeMutablePointer<UInt8>
  private let met: UnsafeMutablePointer<Met>
  private var metCount = 0
  private var isPlain = false
  /// Lines of another order, since the one at hand was learnt.
  private var strangers = 0
  /// An order is learnt anew at each of so many lines of another one: a log that mixes two is not to pay for both.
  private static let strangersPerOrder = 16

  init() {
    keys = .allocate(capacity: Self.maxKeys)
    tokens = .allocate(capacity: Self.maxKeys * Self.maxToken)
    met = .allocate(capacity: Self.maxKeys)
    others = .allocate(capacity: Self.maxKeys)
  }

  deinit {
    keys.deallocate()
    tokens.deallocate()
    met.deallocate()
    others.deallocate()
  }

  // MARK: - Learning

  /// A line is read key by key.
  func begin() {
    metCount = 0
    isPlain = true
  }

  func meet(_ name: Slice, _ entry: UnsafeMutablePointer<JSONKeyTable.Entry>?) {
    guard metCount < Self.maxKeys else { return isPlain = false }
    (met + metCount).initialize(to: Met(name: name, entry: entry))
    metCount += 1
  }

  /// The line has something that the lanes do not read whatever its keys.
  func refuse() { isPlain = false }

  /// The line was an object of the plan.
  func learn() {
    guard isPlain, metCount > 0, !isKnown else { return }
    strangers += 1
    guard count == 0 || strangers % Self.strangersPerOrder == 0 else { return }
    var slots: UInt64 = 0
    for index in 0..<metCount {
      let (name, entry) = (met[index].name, met[index].entry)
      let slot = entry.map { $0.pointee.isField ? $0.pointee.slot : FieldRole.ignored.rawValue } ?? 0
      let bit: UInt64 = 1 << UInt64(slot)
      // Of a role with two keys either value may count; a text of several columns sets slots of its own.
      let isTwice = slot != FieldRole.ignored.rawValue && slots & bit != 0
      guard name.count + 4 <= Self.maxToken, !isTwice, entry?.pointee.text == nil, entry?.pointee.children == nil,
        !(0..<name.count).contains(where: { name[$0] < ASCII.space })
      else { return }
      slots |= bit
    }
    count = 0
    known = 0
    present = 0
    otherCount = 0
    generation += 1
    for index in 0..<metCount { add(met[index]) }
  }

  private func add(_ key: Met) {
    let token = tokens + count * Self.maxToken
    token.initialize(repeating: 0, count: Self.maxToken)
    token[0] = count == 0 ? ASCII.openBrace : ASCII.comma
    token[1] = ASCII.quote
    (token + 2).update(from: key.name.start, count: key.name.count)
    token[key.name.count + 2] = ASCII.quote
    token[key.name.count + 3] = ASCII.colon
    var item = lanes_json_key(
      token: UnsafePointer(token), token_count: UInt32(key.name.count + 4), kind: UInt8(lanes_text),
      slot: FieldRole.ignored.rawValue)
    if let entry = key.entry, entry.pointee.isField {
      item.slot = entry.pointee.slot
      known += 1
      present |= 1 << UInt64(item.slot)
      switch entry.pointee.kind {
      case .integer: item.kind = UInt8(lanes_number)
      case .decimal, .time:
        (others + otherCount).initialize(to: entry)
        otherCount += 1
      default: break
      }
    }
    (keys + count).initialize(to: item)
    count += 1
  }

  /// The keys that were met are those of the order at hand.
  private var isKnown: Bool {
    metCount == count
      && (0..<count).allSatisfy { index in
        let (name, token) = (met[index].name, keys[index])
        return name.count + 4 == Int(token.token_count) && memcmp(name.start, token.token + 2, name.count) == 0
      }
  }
}

extension JSONPlan {
  /// Reads lines side by side: how many of them, from the first on, are of this plan.
  func match(
    _ group: UnsafePointer<lanes_group>, _ count: Int, into targets: UnsafeMutablePointer<Fields>,
    _ kernels: lanes_kernels
  ) -> Int {
    let lines = UnsafeRawPointer(group.pointee.lines!).assumingMemoryBound(to: Slice.self)
    let generation = order.generation
    var read: UInt32 = 0
    if order.count > 0 {
      for lane in 0..<count where generations[lane] != generation {
        targets[lane].resetValues()
        generations[lane] = generation
      }
      read = kernels.json(
        order.keys, UInt32(order.count), group, UInt32(truncatingIfNeeded: count), Slice.null.start)
    }
    forgetUnescaped()
    for lane in 0..<count {
      let isMatch: Bool
      if read & 1 << UInt32(truncatingIfNeeded: lane) != 0 {
        isMatch = finish(targets[lane])
      } else {
        // Which of several plans reads other keys is asked line by line.
        guard isOnlyOne else { return lane }
        generations[lane] = 0
        var effort = Backtracking.lineBudget
        // One that can be read in more than one way is left to who says so of it.
        isMatch = match(lines[lane], into: targets[lane], isFirst: false, effort: &effort) && !isAmbiguous
        if isMatch { learnOrder() }
      }
      if !isMatch { return lane }
    }
    return count
  }
}
