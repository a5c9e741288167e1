/// Where the values of a row lie, by its header: rows of a store have few hundred different headers, and to go through one
/// type by type for each row takes longer than all else that is done with it.
///
/// Belongs to one thread; copies are one.
struct RowLayouts {
  /// One value: the 8 bytes at `offset` behind the payload's beginning hold it in front, the high byte first.
  struct Place: BitwiseCopyable {
    var offset: UInt8 = 0
    /// Bits behind it.
    var shift: UInt8 = 0
    /// -1 where there are bytes of it; 0 for the types 0 and 1 and for NULL, which are `fixed`.
    var mask: Int8 = 0
    var fixed: Int8 = 0

    /// - Parameter payload: with 8 bytes to read at `offset`, as `FlowPages.slack` says.
    @inline(__always)
    func value(in payload: UnsafeRawPointer) -> Int64 {
      let bytes = Int64(bigEndian: payload.loadUnaligned(fromByteOffset: Int(offset), as: Int64.self))
      return bytes &>> Int64(shift) & Int64(mask) | Int64(fixed)
    }
  }

  struct Layout: BitwiseCopyable {
    /// The header's 13 bytes: the first 8, and the last 8 of them.
    var first: UInt64 = 0
    var last: UInt64 = 0
    var startedAtMs = Place()
    var durationMs = Place()
    var source = Place()
    var destination = Place()
    var outcome = Place()
    var pathTemplate = Place()
    var ports = Place()
    var sent = Place()
    var received = Place()
    var requestHash = Place()
    var line = Place()
    /// Bytes of the header and all values.
    var length: UInt8 = 0
    var hasSent = false
    var hasReceived = false
  }

  /// Duration, path template, bytes sent and received, and the request's hash.
  private static let nullable: Set<Int> = [2, 6, 8, 9, 10]
  /// Places for layouts, of which half are free, so that look-ups stay short.
  private static let count = 1024
  /// A layout has 64 bytes: one line of the processor's cache.
  private static let alignment = 64
  private let layouts: UnsafeMutablePointer<Layout>
  private let used: UnsafeMutablePointer<Int>

  /// Rows that are found before the first of them is looked at: what is done with one waits for memory, and finding the next
  /// would wait for that.
  static let rowsAhead = 128
  /// Room for as many.
  let rows: UnsafeMutablePointer<PageRow>

  init() {
    layouts = UnsafeMutableRawPointer.allocate(
      byteCount: RowLayouts.count * MemoryLayout<Layout>.stride, alignment: RowLayouts.alignment
    ).bindMemory(to: Layout.self, capacity: RowLayouts.count)
    layouts.initialize(repeating: Layout(), count: RowLayouts.count)
    used = .allocate(capacity: 1)
    used.initialize(to: 0)
    rows = .allocate(capacity: RowLayouts.rowsAhead)
  }

  func deallocate() {
    layouts.deallocate()
    used.deallocate()
    rows.deallocate()
  }

  /// Whether another header may find no place: time to forget all.
  @inline(__always) var isFull: Bool { used.pointee >= RowLayouts.count / 2 }

  /// No layout that was handed out before is used any more.
  func forget() {
    layouts.initialize(repeating: Layout(), count: RowLayouts.count)
    used.pointee = 0
  }

  static let columnCount = 12

  /// The layout of a row, which stays where it is until all are forgotten; nil where it is none that the store writes.
  /// - Parameter payload: at least 13 bytes.
  @inline(__always)
  func layout(of payload: UnsafeRawPointer) -> UnsafePointer<Layout>? {
    let first = payload.loadUnaligned(as: UInt64.self)
    let last = payload.loadUnaligned(fromByteOffset: 5, as: UInt64.self)
    // Fibonacci hashing. In bounds: 10 bits of 64 are below `count`.
    let index = Int(truncatingIfNeeded: ((first ^ last &<< 7) &* 0x9E37_79B9_7F4A_7C15) >> 54)
    let place = layouts + index
    if place.pointee.first == first, place.pointee.last == last { return UnsafePointer(place) }
    return layout(of: payload, first, last, from: index)
  }

  /// - Parameter start: the place where the search begins.
  @inline(never)
  private func layout(
    of payload: UnsafeRawPointer, _ first: UInt64, _ last: UInt64, from start: Int
  ) -> UnsafePointer<Layout>? {
    var index = start
    // A header begins with its length, so that none is the one of an unused place.
    while layouts[index].first != 0 {
      if layouts[index].first == first, layouts[index].last == last { return UnsafePointer(layouts + index) }
      index = (index + 1) & (RowLayouts.count - 1)
    }
    guard let layout = RowLayouts.read(payload, first, last) else { return nil }
    precondition(!isFull, "layouts were to be forgotten")
    layouts[index] = layout
    used.pointee += 1
    return UnsafePointer(layouts + index)
  }

  private static func read(_ header: UnsafeRawPointer, _ first: UInt64, _ last: UInt64) -> Layout? {
    // Column 0 is the row id, which a record keeps as NULL.
    guard header.load(as: UInt8.self) == UInt8(columnCount + 1), header.load(fromByteOffset: 1, as: UInt8.self) == 0
    else { return nil }
    var layout = Layout(first: first, last: last)
    var offset = columnCount + 1
    for column in 1..<columnCount {
      let type = header.load(fromByteOffset: 1 + column, as: UInt8.self)
      guard let length = length(of: type) else { return nil }
      let place = Place(
        offset: UInt8(offset), shift: length == 0 ? 0 : UInt8(64 - 8 * length), mask: length == 0 ? 0 : -1,
        fixed: type == 9 ? 1 : 0)
      offset += length
      switch column {
      case 1: layout.startedAtMs = place
      case 2: layout.durationMs = place
      case 3: layout.source = place
      case 4: layout.destination = place
      case 5: layout.outcome = place
      case 6: layout.pathTemplate = place
      case 7: layout.ports = place
      case 8: (layout.sent, layout.hasSent) = (place, type != 0)
      case 9: (layout.received, layout.hasReceived) = (place, type != 0)
      case 10: layout.requestHash = place
      default: layout.line = place
      }
      guard type != 0 || nullable.contains(column) else { return nil }
    }
    // What was not logged.
    if header.load(fromByteOffset: 1 + 2, as: UInt8.self) == 0 { layout.durationMs.fixed = -1 }
    if header.load(fromByteOffset: 1 + 6, as: UInt8.self) == 0 { layout.pathTemplate.fixed = -1 }
    layout.length = UInt8(offset)
    return layout
  }

  /// Bytes of a value by its serial type: NULL, integers of 1, 2, 3, 4, 6, 8 bytes, 0 and 1 without any; nil for all others,
  /// which are no integers.
  private static func length(of type: UInt8) -> Int? {
    switch type {
    case 0, 8, 9: 0
    case 1...4: Int(type)
    case 5: 6
    case 6: 8
    default: nil
    }
  }
}
