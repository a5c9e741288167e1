/// One row in a leaf page: most who look at it need few of its values, so that each is read when it is asked for. Not to be
/// kept when the page goes.
struct PageRow {
  fileprivate let cell: UnsafeRawPointer
  fileprivate let payload: UnsafeRawPointer
  fileprivate let layout: UnsafePointer<RowLayouts.Layout>

  @inline(__always) var id: Int64 { FlowRecord.id(of: cell) }
  @inline(__always) var startedAtMs: Int64 { layout.pointee.startedAtMs.value(in: payload) }
  /// -1 when NULL.
  @inline(__always) var durationMs: Int64 { layout.pointee.durationMs.value(in: payload) }
  @inline(__always) var source: Int64 { layout.pointee.source.value(in: payload) }
  @inline(__always) var destination: Int64 { layout.pointee.destination.value(in: payload) }
  @inline(__always) var outcome: Int64 { layout.pointee.outcome.value(in: payload) }
  /// 0 when NULL.
  @inline(__always) var sent: Int64 { layout.pointee.sent.value(in: payload) }
  @inline(__always) var received: Int64 { layout.pointee.received.value(in: payload) }
  @inline(__always) var hasSent: Bool { layout.pointee.hasSent }
  @inline(__always) var hasReceived: Bool { layout.pointee.hasReceived }
}

/// One row of the table `flow` with all its values.
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

  init() {}

  @inline(__always)
  init(_ row: PageRow) {
    id = row.id
    startedAtMs = row.startedAtMs
    durationMs = row.durationMs
    source = row.source
    destination = row.destination
    outcome = row.outcome
    sent = row.sent
    received = row.received
    hasSent = row.hasSent
    hasReceived = row.hasReceived
  }

  /// Calls `body` with each row's id, its payload, and where its values lie there.
  @inline(__always)
  static func forEachRow(
    in page: UnsafeRawPointer, usableSize: Int, _ layouts: RowLayouts,
    _ body: (Int64, UnsafeRawPointer, UnsafePointer<RowLayouts.Layout>) throws -> Void
  ) rethrows -> Bool {
    try forEach(in: page, usableSize: usableSize, layouts) { try body($0.id, $0.payload, $0.layout) }
  }

  /// Calls `body` for each row of a leaf; false when something is not as the store writes it.
  /// - Parameter page: `usableSize` bytes of page, and `FlowPages.slack` more that can be read.
  @inline(__always)
  static func forEach(
    in page: UnsafeRawPointer, usableSize: Int, _ layouts: RowLayouts, _ body: (PageRow) throws -> Void
  ) rethrows -> Bool {
    guard page.load(as: UInt8.self) == 0x0D else { return false }
    let count = Int(UInt16(bigEndian: page.loadUnaligned(fromByteOffset: 3, as: UInt16.self)))
    guard 8 + 2 * count <= usableSize else { return false }
    let rows = layouts.rows
    var ahead = 0
    for index in 0..<count {
      let offset = Int(UInt16(bigEndian: page.loadUnaligned(fromByteOffset: 8 + 2 * index, as: UInt16.self)))
      // The shortest cell: two numbers of a byte and the header.
      guard offset + 2 + RowLayouts.columnCount + 1 <= usableSize else { return false }
      let cell = page + offset
      // A row of integers has less than 128 bytes, so its length is one byte.
      let length = Int(cell.load(as: UInt8.self))
      guard length < 128 else { return false }
      // The id's last byte is the first one without the high bit, or the ninth; a cell holds at least 15.
      let ends = ~UInt64(littleEndian: cell.loadUnaligned(fromByteOffset: 1, as: UInt64.self)) & 0x8080_8080_8080_8080
      let at = ends == 0 ? 10 : 2 + ends.trailingZeroBitCount / 8
      guard offset + at + length <= usableSize, length > RowLayouts.columnCount else { return false }
      let payload = cell + at
      if ahead == RowLayouts.rowsAhead || layouts.isFull {
        for row in 0..<ahead { try body(rows[row]) }
        ahead = 0
        if layouts.isFull { layouts.forget() }
      }
      // In bounds: a layout's values lie within the row, whose end is followed by the page's or by its slack.
      guard let layout = layouts.layout(of: payload), Int(layout.pointee.length) <= length else { return false }
      // In bounds: emptied when full.
      (rows + ahead).initialize(to: PageRow(cell: cell, payload: payload, layout: layout))
      ahead += 1
    }
    for row in 0..<ahead { try body(rows[row]) }
    return true
  }

  /// Behind the length, a varint: at most nine bytes, the last with eight bits.
  @inline(__always)
  fileprivate static func id(of cell: UnsafeRawPointer) -> Int64 {
    var id: UInt64 = 0
    for at in 1...8 {
      let byte = cell.load(fromByteOffset: at, as: UInt8.self)
      id = id << 7 | UInt64(byte & 0x7F)
      if byte < 0x80 { return Int64(bitPattern: id) }
    }
    return Int64(bitPattern: id << 8 | UInt64(cell.load(fromByteOffset: 9, as: UInt8.self)))
  }
}
