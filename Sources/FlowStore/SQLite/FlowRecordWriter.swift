internal import Flows

/// One row of the table `flow` as SQLite itself would write it: the counterpart of `FlowRecord`.
///
/// sqlite.org/fileformat2.html section 2.1: a header of its own length and one serial type per column, then the values, each
/// in the fewest big-endian bytes that hold it; the column `id` is NULL there, for the row id stands before the record.
struct FlowRecordWriter {
  /// Bytes of the header: its length, and a type for each of 12 columns.
  static let headerSize = 1 + 1 + BatchTable.columns.count
  /// Bytes of the longest record.
  static let longest = headerSize + 8 * BatchTable.columns.count

  /// `headerSize` + a value of 8 bytes behind the longest record can be written.
  static let scratchSize = longest + 8

  private let scratch: UnsafeMutableRawPointer

  /// - Parameter scratch: `scratchSize` bytes.
  init(scratch: UnsafeMutableRawPointer) {
    self.scratch = scratch
    scratch.storeBytes(of: UInt8(FlowRecordWriter.headerSize), as: UInt8.self)
    scratch.storeBytes(of: 0, toByteOffset: 1, as: UInt8.self)
  }

  /// Makes the record of a row of `content`, whose ids were checked; returns its length. It stands at the scratch memory.
  @inline(__always)
  func write(_ content: BatchTable.Content, _ index: Int) -> Int {
    let row = content.rows! + index
    var type = 2
    var end = FlowRecordWriter.headerSize
    put(row.pointee.startedAtMs, &type, &end)
    putLogged(row.pointee.durationMs, &type, &end)
    put(content.sources![Int(row.pointee.source)], &type, &end)
    put(content.destinations![Int(row.pointee.destination)], &type, &end)
    put(content.outcomes![Int(row.pointee.outcome)], &type, &end)
    if row.pointee.pathTemplate >= 0 {
      put(content.pathTemplates![Int(row.pointee.pathTemplate)], &type, &end)
    } else {
      putNull(&type)
    }
    put(BatchTable.ports(of: row.pointee), &type, &end)
    putLogged(row.pointee.sent, &type, &end)
    putLogged(row.pointee.received, &type, &end)
    if row.pointee.requestHash != 0 {
      put(Int64(bitPattern: row.pointee.requestHash), &type, &end)
    } else {
      putNull(&type)
    }
    put(row.pointee.line, &type, &end)
    return end
  }

  @inline(__always)
  private func putLogged(_ value: Int64, _ type: inout Int, _ end: inout Int) {
    if value >= 0 { put(value, &type, &end) } else { putNull(&type) }
  }

  @inline(__always)
  private func putNull(_ type: inout Int) {
    scratch.storeBytes(of: 0, toByteOffset: type, as: UInt8.self)
    type &+= 1
  }

  /// 0 and 1 are types of their own (8 and 9); else 1, 2, 3, 4, 6 or 8 bytes (types 1 to 6).
  @inline(__always)
  private func put(_ value: Int64, _ type: inout Int, _ end: inout Int) {
    let code: UInt8
    if UInt64(bitPattern: value) < 2 {
      code = 8 | UInt8(truncatingIfNeeded: value)
    } else {
      // Bits with the sign, in two's complement.
      let bits = 65 &- (value ^ (value >> 63)).leadingZeroBitCount
      let size: Int
      switch (bits &+ 7) >> 3 {
      case 1: (code, size) = (1, 1)
      case 2: (code, size) = (2, 2)
      case 3: (code, size) = (3, 3)
      case 4: (code, size) = (4, 4)
      case 5, 6: (code, size) = (5, 6)
      default: (code, size) = (6, 8)
      }
      // Eight bytes are written, `size` of them stay.
      scratch.storeBytes(of: (value << Int64(64 &- 8 &* size)).bigEndian, toByteOffset: end, as: Int64.self)
      end &+= size
    }
    scratch.storeBytes(of: code, toByteOffset: type, as: UInt8.self)
    type &+= 1
  }

  // MARK: Numbers of variable length

  /// Bytes of a number in SQLite's variable-length form (fileformat2 section 1.6): seven bits in each, from the highest on;
  /// a ninth byte has eight.
  @inline(__always)
  static func length(of number: UInt64) -> Int {
    let bits = 64 &- number.leadingZeroBitCount
    return bits <= 7 ? 1 : min((bits &+ 6) / 7, 9)
  }

  /// Writes the number in this form; returns its length.
  @inline(__always)
  static func write(_ number: UInt64, to start: UnsafeMutableRawPointer) -> Int {
    let length = length(of: number)
    var rest = number
    var at = length &- 1
    if length == 9 {
      start.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: 8, as: UInt8.self)
      rest >>= 8
      at = 7
    }
    var mark: UInt8 = length == 9 ? 0x80 : 0
    while at >= 0 {
      start.storeBytes(of: UInt8(truncatingIfNeeded: rest & 0x7F) | mark, toByteOffset: at, as: UInt8.self)
      rest >>= 7
      mark = 0x80
      at &-= 1
    }
    return length
  }
}
