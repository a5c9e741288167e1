internal import GRDB
internal import GRDBSQLite
internal import Glibc

extension FlowReader {
  /// Row ids in groups of those whose other columns are the same: what SQL would sort thousands of rows for, to find a few
  /// hundred groups.
  ///
  /// - Parameter sql: row ids, and what is compared of them. Ids beyond `mostIDs` are left out.
  /// - Returns: the group of each id, -1 where there is none; and what each group has in common, in the order in which SQLite
  ///   sorts integers and texts.
  public func alike(
    _ sql: String, arguments: [String: Value], mostIDs: Int64
  ) throws -> (groups: [Int32], values: [[Value]]) {
    try access { db in
      guard let connection = db.sqliteConnection else {
        throw StoreError.sqlite(code: SQLITE_MISUSE, message: "the database is closed", sql: sql)
      }
      let statement = try Statement(sql, on: connection)
      try FlowReader.bind(arguments, to: statement)
      var rows = AlikeRows()
      var groups: [Int32] = []
      while try statement.step() {
        let id = statement.int(0)
        guard id >= 0, id < mostIDs else { continue }
        if groups.count <= Int(id) { groups += repeatElement(-1, count: Int(id) + 1 - groups.count) }
        groups[Int(id)] = rows.group(of: statement)
      }
      return rows.inOrder(groups)
    }
  }
}

/// Rows by what their columns behind the first hold: an open-addressing table of numbers.
private struct AlikeRows {
  private(set) var values: [[Value]] = []
  private var hashes: [UInt64] = []
  /// Numbers of groups plus one; 0 is free.
  private var places = [Int32](repeating: 0, count: 4096)
  /// What stands in the columns, clients wrote; nobody can know how to make many collide.
  private let seed = UInt64.random(in: .min ... .max)

  mutating func group(of row: Statement) -> Int32 {
    let hash = hash(row)
    var place = Int(truncatingIfNeeded: hash) & (places.count - 1)
    while places[place] > 0 {
      let group = Int(places[place]) - 1
      if hashes[group] == hash, isAlike(row, values[group]) { return Int32(group) }
      place = (place + 1) & (places.count - 1)
    }
    values.append((1..<row.columnCount).map { row.value($0) })
    hashes.append(hash)
    places[place] = Int32(values.count)
    // At most half full, so that look-ups stay short.
    if values.count * 2 > places.count { widen() }
    return Int32(values.count - 1)
  }

  /// - Parameter groups: of each id.
  func inOrder(_ groups: [Int32]) -> (groups: [Int32], values: [[Value]]) {
    let order = values.indices.sorted { AlikeRows.precedes(values[$0], values[$1]) }
    var places = [Int32](repeating: 0, count: values.count)
    for (place, group) in order.enumerated() { places[group] = Int32(place) }
    return (groups.map { $0 < 0 ? -1 : places[Int($0)] }, order.map { values[$0] })
  }

  private static func precedes(_ one: [Value], _ other: [Value]) -> Bool {
    for index in one.indices {
      switch (one[index], other[index]) {
      case (.null, .null): continue
      case (.null, _): return true
      case (_, .null): return false
      case (.integer(let one), .integer(let other)): if one != other { return one < other }
      case (.integer, _): return true
      case (_, .integer): return false
      case (.text(var one), .text(var other)):
        let order = one.withUTF8 { one in
          other.withUTF8 { other in
            // In bounds: of both there are as many bytes as the shorter has.
            let count = min(one.count, other.count)
            let order = count == 0 ? 0 : memcmp(one.baseAddress!, other.baseAddress!, count)
            return order != 0 ? Int(order) : one.count - other.count
          }
        }
        if order != 0 { return order < 0 }
      default: continue
      }
    }
    return false
  }

  private mutating func widen() {
    places = [Int32](repeating: 0, count: 4 * places.count)
    for (group, hash) in hashes.enumerated() {
      var place = Int(truncatingIfNeeded: hash) & (places.count - 1)
      while places[place] > 0 { place = (place + 1) & (places.count - 1) }
      places[place] = Int32(group + 1)
    }
  }

  private func hash(_ row: Statement) -> UInt64 {
    var hash = seed
    func mix(_ word: UInt64) {
      let product = (hash ^ word).multipliedFullWidth(by: 0xA076_1D64_78BD_642F)
      hash = product.high ^ product.low &+ 0xE703_7ED1_A0B4_28DB
    }
    for column in 1..<row.columnCount {
      let type = row.type(column)
      mix(UInt64(bitPattern: Int64(type)))
      switch type {
      case SQLITE_INTEGER: mix(UInt64(bitPattern: row.int(column)))
      case SQLITE_NULL: break
      default:
        row.withBlob(column) { bytes in
          mix(UInt64(bytes.count))
          var at = 0
          // In bounds: whole words, and then the rest byte by byte.
          while at + 8 <= bytes.count {
            mix(bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            at += 8
          }
          var rest: UInt64 = 0
          while at < bytes.count {
            rest = rest << 8 | UInt64(bytes[at])
            at += 1
          }
          mix(rest)
        }
      }
    }
    return hash
  }

  private func isAlike(_ row: Statement, _ values: [Value]) -> Bool {
    for (index, value) in values.enumerated() {
      let column = Int32(index + 1)
      switch value {
      case .integer(let number):
        guard row.type(column) == SQLITE_INTEGER, row.int(column) == number else { return false }
      case .text(var text):
        // Byte by byte, as SQLite compares.
        guard row.type(column) == SQLITE_TEXT, row.withBlob(column, { AlikeRows.isSame($0, &text) }) else {
          return false
        }
      default: guard row.value(column) == value else { return false }
      }
    }
    return true
  }

  private static func isSame(_ bytes: UnsafeRawBufferPointer, _ text: inout String) -> Bool {
    text.withUTF8 { text in
      // In bounds: both have as many bytes.
      text.count == bytes.count && (bytes.isEmpty || memcmp(text.baseAddress!, bytes.baseAddress!, bytes.count) == 0)
    }
  }
}
