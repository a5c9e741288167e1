/// Where the values of a row lie, by its header: rows of a store have few hundred different headers, and to go through one
/// type by type for each row takes longer than all else that is done with it.
///
/// Belongs to one thread.
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
  /// Headers in use at a time; two of a kind take turns.
  private static let count = 512
  private let layouts: UnsafeMutablePointer<Layout>

  init() {
    layouts = .allocate(capacity: RowLayouts.count)
    layouts.initialize(repeating: Layout(), count: RowLayouts.count)
  }

  func deallocate() { layouts.deallocate() }

  static let columnCount = 12

  /// The layout of a row; nil where it is none that the store writes.
  /// - Parameter payload: at least 13 bytes.
  @inline(__always)
  func layout(of payload: UnsafeRawPointer) -> UnsafePointer<Layout>? {
    let first = payload.loadUnaligned(as: UInt64.self)
    let last = payload.loadUnaligned(fromByteOffset: 5, as: UInt64.self)
    // Fibonacci hashing. In bounds: 9 bits of 64 are below `count`.
    let place = layouts + Int(truncatingIfNeeded: ((first ^ last &<< 7) &* 0x9E37_79B9_7F4A_7C15) >> 55)
    // A header begins with its length, so that none is the one of an unused place.
    if place.pointee.first == first, place.pointee.last == last { return UnsafePointer(place) }
    guard let layout = RowLayouts.read(payload, first, last) else { return nil }
    place.pointee = layout
    return UnsafePointer(place)
  }

  @inline(never)
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
