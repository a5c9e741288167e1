/// One row of the table `flow` as it lies in a leaf page.
///
/// sqlite.org/fileformat2.html section 2.1: a cell is the payload's length, the row id and the payload; the payload is a
/// header of serial types and the values. The store writes 12 columns, none of them long, so that every type is one byte
/// and the header 13; what looks different was written by another hand and is left to SQL.
struct FlowRecord {
  var id: Int64 = 0
  var startedAtMs: Int64 = 0
  /// -1 when NULL.
  var durationMs: Int64 = -1
  var source: Int64 = 0
  var destination: Int64 = 0
  var outcome: Int64 = 0
  var sent: Int64 = 0
  var received: Int64 = 0
  var hasSent = false
  var hasReceived = false

  /// Calls `body` for each row of a leaf; false when something is not as the store writes it.
  /// - Parameter page: `usableSize` bytes of page, and `FlowPages.slack` more that can be read.
  @inline(__always)
  static func forEach(
    in page: UnsafeRawPointer, usableSize: Int, _ layouts: RowLayouts, _ body: (FlowRecord) throws -> Void
  ) rethrows -> Bool {
    guard page.load(as: UInt8.self) == 0x0D else { return false }
    let count = Int(UInt16(bigEndian: page.loadUnaligned(fromByteOffset: 3, as: UInt16.self)))
    guard 8 + 2 * count <= usableSize else { return false }
    var record = FlowRecord()
    for index in 0..<count {
      let offset = Int(UInt16(bigEndian: page.loadUnaligned(fromByteOffset: 8 + 2 * index, as: UInt16.self)))
      // The shortest cell: two numbers of a byte and the header.
      guard offset + 2 + RowLayouts.columnCount + 1 <= usableSize else { return false }
      guard record.read(page + offset, room: usableSize - offset, layouts) else { return false }
      try body(record)
    }
    return true
  }

  @inline(__always)
  private mutating func read(_ cell: UnsafeRawPointer, room: Int, _ layouts: RowLayouts) -> Bool {
    // A row of integers has less than 128 bytes, so its length is one byte.
    let length = Int(cell.load(as: UInt8.self))
    guard length < 128 else { return false }
    var at = 1
    var id: UInt64 = 0
    // At most nine bytes, the last with eight bits; `room` holds at least 15.
    while true {
      let byte = cell.load(fromByteOffset: at, as: UInt8.self)
      at += 1
      if at == 10 {
        id = id << 8 | UInt64(byte)
        break
      }
      id = id << 7 | UInt64(byte & 0x7F)
      if byte < 0x80 { break }
    }
    guard at + length <= room, length > RowLayouts.columnCount else { return false }
    let payload = cell + at
    // In bounds: a layout's values lie within the row, whose end is followed by the page's or by its slack.
    guard let layout = layouts.layout(of: payload), Int(layout.pointee.length) <= length else { return false }
    self.id = Int64(bitPattern: id)
    startedAtMs = layout.pointee.startedAtMs.value(in: payload)
    durationMs = layout.pointee.durationMs.value(in: payload)
    source = layout.pointee.source.value(in: payload)
    destination = layout.pointee.destination.value(in: payload)
    outcome = layout.pointee.outcome.value(in: payload)
    sent = layout.pointee.sent.value(in: payload)
    received = layout.pointee.received.value(in: payload)
    hasSent = layout.pointee.hasSent
    hasReceived = layout.pointee.hasReceived
    return true
  }

  /// Bytes of a value by its serial type: NULL, integers of 1, 2, 3, 4, 6, 8 bytes, a real, 0 and 1 without any.
  @inline(__always)
  static func length(_ type: UInt8) -> Int {
    type <= 6 ? Int(0x8643210 >> (UInt64(type) * 4) & 0xF) : type == 8 || type == 9 ? 0 : 255
  }

  /// Moves on behind the value. Where the type is no integer's, the place moves beyond the record.
  @inline(__always)
  static func number(_ type: UInt8, _ value: inout UnsafeRawPointer) -> Int64 {
    let length = length(type)
    defer { value += length }
    if length == 0 { return type == 9 ? 1 : 0 }
    guard length <= 8 else { return 0 }
    return FlowRecord.loaded(value, length)
  }

  @inline(__always)
  private static func loaded(_ value: UnsafeRawPointer, _ length: Int) -> Int64 {
    Int64(bigEndian: value.loadUnaligned(as: Int64.self)) >> Int64(64 - 8 * length)
  }
}
