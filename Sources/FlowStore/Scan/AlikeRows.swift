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
///
/// What a row holds is written as bytes that compare as SQLite compares the columns, so that telling two rows apart and
/// ordering them is one look at their bytes.
private struct AlikeRows {
  private(set) var values: [[Value]] = []
  private var hashes: [UInt64] = []
  /// Where the bytes of each group begin, and the last one's end.
  private var begins = [0]
  private var keys: [UInt8] = []
  /// The bytes of the row that is looked at.
  private var row = [UInt8](repeating: 0, count: 256)
  /// Numbers of groups plus one; 0 is free.
  private var places = [Int32](repeating: 0, count: 4096)
  /// What stands in the columns, clients wrote; nobody can know how to make many collide.
  private let seed = UInt64.random(in: .min ... .max)

  mutating func group(of statement: Statement) -> Int32 {
    var count = 0
    for column in 1..<statement.columnCount { append(statement, column, &count) }
    let hash = row.withUnsafeBytes { AlikeRows.hash(UnsafeRawBufferPointer(rebasing: $0[..<count]), seed) }
    var place = Int(truncatingIfNeeded: hash) & (places.count - 1)
    while places[place] > 0 {
      let group = Int(places[place]) - 1
      if hashes[group] == hash, isAlike(group, count) { return Int32(group) }
      place = (place + 1) & (places.count - 1)
    }
    values.append((1..<statement.columnCount).map { statement.value($0) })
    hashes.append(hash)
    keys += row[..<count]
    begins.append(keys.count)
    places[place] = Int32(values.count)
    // At most half full, so that look-ups stay short.
    if values.count * 2 > places.count { widen() }
    return Int32(values.count - 1)
  }

  /// - Parameter groups: of each id.
  func inOrder(_ groups: [Int32]) -> (groups: [Int32], values: [[Value]]) {
    let order = keys.withUnsafeBytes { keys in
      values.indices.sorted {
        AlikeRows.order(keys[begins[$0]..<begins[$0 + 1]], keys[begins[$1]..<begins[$1 + 1]]) < 0
      }
    }
    var places = [Int32](repeating: 0, count: values.count)
    for (place, group) in order.enumerated() { places[group] = Int32(place) }
    return (groups.map { $0 < 0 ? -1 : places[Int($0)] }, order.map { values[$0] })
  }

  private mutating func widen() {
    places = [Int32](repeating: 0, count: 4 * places.count)
    for (group, hash) in hashes.enumerated() {
      var place = Int(truncatingIfNeeded: hash) & (places.count - 1)
      while places[place] > 0 { place = (place + 1) & (places.count - 1) }
      places[place] = Int32(group + 1)
    }
  }

  /// NULL before numbers, these before texts, and these before blobs. Texts and blobs end with two zeros, and a zero in them
  /// is followed by a one: so a shorter one comes before those it begins.
  ///
  /// - Parameter count: of the bytes before, and then of all.
  private mutating func append(_ statement: Statement, _ column: Int32, _ count: inout Int) {
    switch statement.type(column) {
    case SQLITE_NULL: put(0, &count)
    case SQLITE_INTEGER:
      // Negative ones first.
      put(1, UInt64(bitPattern: statement.int(column)) ^ 1 << 63, &count)
    case SQLITE_FLOAT: put(2, statement.value(column).real.map { $0.bitPattern } ?? 0, &count)
    case let type:
      put(type == SQLITE_TEXT ? 3 : 4, &count)
      statement.withBlob(column) { bytes in
        makeRoom(count + bytes.count)
        // In bounds: of as many bytes as there are, for which there is room.
        if bytes.isEmpty || memchr(bytes.baseAddress!, 0, bytes.count) == nil {
          row.withUnsafeMutableBytes {
            UnsafeMutableRawBufferPointer(rebasing: $0[count...]).copyMemory(from: bytes)
          }
          count += bytes.count
        } else {
          for byte in bytes {
            put(byte, &count)
            if byte == 0 { put(1, &count) }
          }
        }
      }
      put(0, &count)
      put(0, &count)
    }
  }

  private mutating func put(_ byte: UInt8, _ count: inout Int) {
    makeRoom(count + 1)
    row[count] = byte
    count += 1
  }

  private mutating func put(_ byte: UInt8, _ number: UInt64, _ count: inout Int) {
    makeRoom(count + 9)
    row[count] = byte
    let begin = count + 1
    // In bounds: there is room for eight bytes more.
    row.withUnsafeMutableBytes { $0.storeBytes(of: number.bigEndian, toByteOffset: begin, as: UInt64.self) }
    count += 9
  }

  private mutating func makeRoom(_ count: Int) {
    if count > row.count { row += repeatElement(0, count: count) }
  }

  private static func hash(_ bytes: UnsafeRawBufferPointer, _ seed: UInt64) -> UInt64 {
    var hash = seed
    func mix(_ word: UInt64) {
      let product = (hash ^ word).multipliedFullWidth(by: 0xA076_1D64_78BD_642F)
      hash = product.high ^ product.low &+ 0xE703_7ED1_A0B4_28DB
    }
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
    return hash
  }

  /// Whether a group's bytes are the first `count` of the row.
  private func isAlike(_ group: Int, _ count: Int) -> Bool {
    keys.withUnsafeBytes { keys in
      row.withUnsafeBytes { AlikeRows.order(keys[begins[group]..<begins[group + 1]], $0[..<count]) == 0 }
    }
  }

  private static func order(_ one: Slice<UnsafeRawBufferPointer>, _ other: Slice<UnsafeRawBufferPointer>) -> Int {
    let (one, other) = (UnsafeRawBufferPointer(rebasing: one), UnsafeRawBufferPointer(rebasing: other))
    let count = min(one.count, other.count)
    // In bounds: of both there are as many bytes as the shorter has.
    let order = count == 0 ? 0 : memcmp(one.baseAddress!, other.baseAddress!, count)
    return order != 0 ? Int(order) : one.count - other.count
  }
}
