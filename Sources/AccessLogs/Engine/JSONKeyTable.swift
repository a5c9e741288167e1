/// The keys of one JSON object as the reader looks them up: plain memory, so that a key costs no reference counting.
///
/// A proxy writes its keys in the same order line after line: each entry remembers which one followed it last, and that one
/// is compared first.
struct JSONKeyTable {
  struct Entry {
    let name: UnsafeMutablePointer<UInt8>
    let nameCount: Int
    /// The name in its quotes with the colon behind it, as a proxy writes it.
    let token: UnsafeMutablePointer<UInt8>
    let tokenCount: Int
    /// The entry that followed this one last time.
    var next: Int
    let kind: TextPlan.Kind
    let slot: UInt8
    /// The value is one column.
    let isField: Bool
    let timeIndex: Int32
    let scale: Int64
    let divisor: Int64
    /// The value is a text of several columns. The plan outlives the table.
    let text: Unmanaged<TextPlan>?
    /// The value is an object with known keys.
    let children: UnsafeMutablePointer<JSONKeyTable>?
  }

  private let entries: UnsafeMutablePointer<Entry>
  private let count: Int
  private var first = 0

  init(_ keys: [JSONPlan.Key]) {
    count = keys.count
    entries = .allocate(capacity: max(1, keys.count))
    for (index, key) in keys.enumerated() {
      let token = Self.copy([ASCII.quote] + key.name + [ASCII.quote, ASCII.colon])
      var children: UnsafeMutablePointer<JSONKeyTable>?
      if !key.children.isEmpty {
        children = .allocate(capacity: 1)
        children!.initialize(to: JSONKeyTable(key.children))
      }
      let unit = key.field?.unit
      (entries + index).initialize(
        to: Entry(
          name: Self.copy(key.name), nameCount: key.name.count, token: token, tokenCount: key.name.count + 3,
          next: index + 1, kind: key.kind, slot: key.field?.role.rawValue ?? 0,
          isField: key.field != nil, timeIndex: Int32(key.timeIndex), scale: unit == .seconds ? 1000 : 1,
          divisor: unit == .microseconds ? 1000 : unit == .nanoseconds ? 1_000_000 : 1,
          text: key.text.map(Unmanaged.passUnretained), children: children))
    }
  }

  private static func copy(_ bytes: [UInt8]) -> UnsafeMutablePointer<UInt8> {
    // What a comparison may read past them (`Scan.isEqual`).
    let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count + Scan.slack)
    copy.initialize(repeating: 0, count: bytes.count + Scan.slack)
    copy.update(from: bytes, count: bytes.count)
    return copy
  }

  func deallocate() {
    for index in 0..<count {
      entries[index].name.deallocate()
      entries[index].token.deallocate()
      entries[index].children?.pointee.deallocate()
      entries[index].children?.deallocate()
    }
    entries.deallocate()
  }

  /// The entry that followed last time, when its name and a colon stand at `p`, which moves behind them.
  @inline(__always)
  func takeLikely(_ p: inout Bytes, to end: Bytes, after last: inout Int) -> UnsafeMutablePointer<Entry>? {
    let likely = last < 0 ? first : entries[last].next
    guard likely < count else { return nil }
    let entry = entries + likely
    guard end - p > entry.pointee.tokenCount, Scan.isEqual(p, entry.pointee.token, entry.pointee.tokenCount) else {
      return nil
    }
    p += entry.pointee.tokenCount
    last = likely
    return entry
  }

  /// The entry of that name, or nil. `last` is the entry found before in the same object, -1 at its beginning.
  @inline(__always)
  mutating func find(_ name: Slice, after last: inout Int) -> UnsafeMutablePointer<Entry>? {
    let likely = last < 0 ? first : entries[last].next
    if likely < count, isName(likely, name) {
      last = likely
      return entries + likely
    }
    return search(name, after: &last)
  }

  @inline(never)
  private mutating func search(_ name: Slice, after last: inout Int) -> UnsafeMutablePointer<Entry>? {
    for index in 0..<count where isName(index, name) {
      if last < 0 { first = index } else { entries[last].next = index }
      last = index
      return entries + index
    }
    return nil
  }

  @inline(__always) private func isName(_ index: Int, _ name: Slice) -> Bool {
    entries[index].nameCount == name.count && Scan.isEqual(entries[index].name, name.start, name.count)
  }
}
