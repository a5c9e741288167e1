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

  private static let columnCount = 12

  /// Calls `body` for each row of a leaf; false when something is not as the store writes it.
  /// - Parameter page: `usableSize` bytes of page, and `FlowPages.slack` more that can be read.
  @inline(__always)
  static func forEach(
    in page: UnsafeRawPointer, usableSize: Int, _ body: (FlowRecord) throws -> Void
  ) rethrows -> Bool {
    guard page.load(as: UInt8.self) == 0x0D else { return false }
    let count = Int(UInt16(bigEndian: page.loadUnaligned(fromByteOffset: 3, as: UInt16.self)))
    guard 8 + 2 * count <= usableSize else { return false }
    var record = FlowRecord()
    for index in 0..<count {
      let offset = Int(UInt16(bigEndian: page.loadUnaligned(fromByteOffset: 8 + 2 * index, as: UInt16.self)))
      // The shortest cell: two numbers of a byte and the header.
      guard offset + 2 + columnCount + 1 <= usableSize else { return false }
      guard record.read(page + offset, room: usableSize - offset) else { return false }
      try body(record)
    }
    return true
  }

  @inline(__always)
  private mutating func read(_ cell: UnsafeRawPointer, room: Int) -> Bool {
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
    guard at + length <= room, length > FlowRecord.columnCount else { return false }
    self.id = Int64(bitPattern: id)
    let types = cell + at
    guard types.load(as: UInt8.self) == UInt8(FlowRecord.columnCount + 1) else { return false }
    let end = types + length
    var value = types + FlowRecord.columnCount + 1
    // Column 0 is the row id, which a record keeps as NULL.
    guard types.load(fromByteOffset: 1, as: UInt8.self) == 0 else { return false }

    func type(_ column: Int) -> UInt8 { types.load(fromByteOffset: 1 + column, as: UInt8.self) }
    let started = FlowRecord.number(type(1), &value)
    let duration = FlowRecord.number(type(2), &value)
    let source = FlowRecord.number(type(3), &value)
    let destination = FlowRecord.number(type(4), &value)
    let outcome = FlowRecord.number(type(5), &value)
    value += FlowRecord.length(type(6)) + FlowRecord.length(type(7))
    let sent = FlowRecord.number(type(8), &value)
    let received = FlowRecord.number(type(9), &value)
    value += FlowRecord.length(type(10)) + FlowRecord.length(type(11))
    // Types of text, blobs and reals have a length of 255 here, which leads beyond the end; and NULL is none of these.
    guard value <= end, type(1) != 0, type(3) != 0, type(4) != 0, type(5) != 0 else { return false }
    startedAtMs = started
    durationMs = type(2) == 0 ? -1 : duration
    self.source = source
    self.destination = destination
    self.outcome = outcome
    self.sent = sent
    self.received = received
    hasSent = type(8) != 0
    hasReceived = type(9) != 0
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
