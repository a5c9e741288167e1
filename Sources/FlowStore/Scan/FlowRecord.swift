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
    var record = FlowRecord()
    return try forEachRow(in: page, usableSize: usableSize, layouts) { id, payload, layout in
      record.id = id
      record.startedAtMs = layout.pointee.startedAtMs.value(in: payload)
      record.durationMs = layout.pointee.durationMs.value(in: payload)
      record.source = layout.pointee.source.value(in: payload)
      record.destination = layout.pointee.destination.value(in: payload)
      record.outcome = layout.pointee.outcome.value(in: payload)
      record.sent = layout.pointee.sent.value(in: payload)
      record.received = layout.pointee.received.value(in: payload)
      record.hasSent = layout.pointee.hasSent
      record.hasReceived = layout.pointee.hasReceived
      try body(record)
    }
  }

  /// The same with each row's id, its payload, and where its values lie there.
  @inline(__always)
  static func forEachRow(
    in page: UnsafeRawPointer, usableSize: Int, _ layouts: RowLayouts,
    _ body: (Int64, UnsafeRawPointer, UnsafePointer<RowLayouts.Layout>) throws -> Void
  ) rethrows -> Bool {
    guard page.load(as: UInt8.self) == 0x0D else { return false }
    let count = Int(UInt16(bigEndian: page.loadUnaligned(fromByteOffset: 3, as: UInt16.self)))
    guard 8 + 2 * count <= usableSize else { return false }
    for index in 0..<count {
      let offset = Int(UInt16(bigEndian: page.loadUnaligned(fromByteOffset: 8 + 2 * index, as: UInt16.self)))
      // The shortest cell: two numbers of a byte and the header.
      guard offset + 2 + RowLayouts.columnCount + 1 <= usableSize else { return false }
      let cell = page + offset
      // A row of integers has less than 128 bytes, so its length is one byte.
      let length = Int(cell.load(as: UInt8.self))
      guard length < 128 else { return false }
      var at = 1
      var id: UInt64 = 0
      // At most nine bytes, the last with eight bits; a cell holds at least 15.
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
      guard offset + at + length <= usableSize, length > RowLayouts.columnCount else { return false }
      let payload = cell + at
      // In bounds: a layout's values lie within the row, whose end is followed by the page's or by its slack.
      guard let layout = layouts.layout(of: payload), Int(layout.pointee.length) <= length else { return false }
      try body(Int64(bitPattern: id), payload, layout)
    }
    return true
  }
}
