internal import Flows

/// One row of the table `flow` in a leaf page, with all that joining asks for; see `FlowRecord` for the form of a row.
enum HopRecord {
  private static let columnCount = 12

  /// Calls `body` for the rows with ids in `ids`; false when something is not as the store writes it.
  /// - Parameter page: `usableSize` bytes of page, and `FlowPages.slack` more that can be read.
  @inline(__always)
  static func forEach(
    in page: UnsafeRawPointer, usableSize: Int, ids: ClosedRange<Int64>, _ body: (Hop) -> Void
  ) -> Bool {
    guard page.load(as: UInt8.self) == 0x0D else { return false }
    let count = cellCount(page)
    guard 8 + 2 * count <= usableSize else { return false }
    var hop = Hop(flow: 0, startedAtMs: 0, source: 0, destination: 0, outcome: 0)
    for index in 0..<count {
      guard let cell = cell(index, in: page, usableSize: usableSize) else { return false }
      var types = cell + 1
      let id = rowID(&types)
      if id < ids.lowerBound { continue }
      if id > ids.upperBound { break }
      hop.flow = id
      // A row of integers has less than 128 bytes, so its length is one byte.
      let length = Int(cell.load(as: UInt8.self))
      guard length < 128, length > columnCount, types + length <= page + usableSize, read(types, length, &hop) else {
        return false
      }
      body(hop)
    }
    return true
  }

  @inline(__always) private static func cellCount(_ page: UnsafeRawPointer) -> Int {
    Int(UInt16(bigEndian: page.loadUnaligned(fromByteOffset: 3, as: UInt16.self)))
  }

  /// The shortest cell is two numbers of a byte and the header.
  @inline(__always)
  private static func cell(_ index: Int, in page: UnsafeRawPointer, usableSize: Int) -> UnsafeRawPointer? {
    let offset = Int(UInt16(bigEndian: page.loadUnaligned(fromByteOffset: 8 + 2 * index, as: UInt16.self)))
    return offset + 2 + columnCount + 1 <= usableSize ? page + offset : nil
  }

  /// At most nine bytes, the last with eight bits; a cell holds at least 15.
  @inline(__always) private static func rowID(_ at: inout UnsafeRawPointer) -> Int64 {
    var id: UInt64 = 0
    for _ in 0..<8 {
      let byte = at.load(as: UInt8.self)
      at += 1
      id = id << 7 | UInt64(byte & 0x7F)
      if byte < 0x80 { return Int64(bitPattern: id) }
    }
    id = id << 8 | UInt64(at.load(as: UInt8.self))
    at += 1
    return Int64(bitPattern: id)
  }

  @inline(__always)
  private static func read(_ types: UnsafeRawPointer, _ length: Int, _ hop: inout Hop) -> Bool {
    guard types.load(as: UInt8.self) == UInt8(columnCount + 1) else { return false }
    let end = types + length
    var value = types + columnCount + 1

    func type(_ column: Int) -> UInt8 { types.load(fromByteOffset: 1 + column, as: UInt8.self) }
    // Column 0 is the row id, which a record keeps as NULL.
    guard type(0) == 0, type(1) != 0, type(3) != 0, type(4) != 0, type(5) != 0, type(7) != 0 else { return false }
    let started = FlowRecord.number(type(1), &value)
    let duration = FlowRecord.number(type(2), &value)
    let source = FlowRecord.number(type(3), &value)
    let destination = FlowRecord.number(type(4), &value)
    let outcome = FlowRecord.number(type(5), &value)
    let pathTemplate = FlowRecord.number(type(6), &value)
    let ports = FlowRecord.number(type(7), &value)
    let sent = FlowRecord.number(type(8), &value)
    let received = FlowRecord.number(type(9), &value)
    let request = FlowRecord.number(type(10), &value)
    let line = FlowRecord.number(type(11), &value)
    // Types of text, blobs and reals have a length of 255 here, which leads beyond the end.
    guard value <= end else { return false }
    hop.startedAtMs = started
    hop.durationMs = type(2) == 0 ? -1 : duration
    hop.source = Int32(clamping: source)
    hop.destination = Int32(clamping: destination)
    hop.outcome = Int32(clamping: outcome)
    hop.pathTemplate = type(6) == 0 ? -1 : Int32(clamping: pathTemplate)
    let packed = UInt32(truncatingIfNeeded: ports &+ 1 << 31)
    hop.sourcePort = UInt16(packed >> 16)
    hop.localPort = UInt16(truncatingIfNeeded: packed)
    hop.sent = type(8) == 0 ? -1 : sent
    hop.received = type(9) == 0 ? -1 : received
    hop.requestHash = UInt64(bitPattern: request)
    hop.line = line
    return true
  }
}
