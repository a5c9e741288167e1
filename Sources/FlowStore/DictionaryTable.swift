internal import Flows
internal import GRDB

/// One of the four tables in which everything that repeats is kept once: finds the row with given values, or makes it.
///
/// A 64-bit hash of all columns in `dictionary_key` names the few candidates and the columns decide; an index over a
/// dozen columns that may be NULL would be larger than the table.
///
/// There are two ways to ask: `id` for one entry, and `add` for those of a batch, which puts off the inserting of what cannot
/// be in the store yet until it can be done at once. A test holds them equal.
final class DictionaryTable {
  let name: String
  let columns: [String]
  private let kind: Int64
  private let hash: ([Value]) -> Int64
  private let find: Statement
  private let insert: Statement
  private let insertKey: Statement
  private let insertAll: Statement
  private let insertKeys: Statement
  private let rows: UnsafeMutablePointer<EntryTable.Content>
  /// All hashes of this kind in the store, where that is known.
  private var known: HashSet64?
  /// Of the rows that are put off: hashes, and where their ids go.
  private var pending: [(hash: Int64, check: Int64, place: Int)] = []
  /// Entries that were asked for in this run: each parser asks for its own. A second hash with another seed stands for the
  /// columns, which are not at hand: that both agree by chance will not happen.
  private var recent: [Int64: (check: Int64, id: Int64)] = [:]
  private let checkSeed = UInt64.random(in: .min ... .max)

  /// Bytes of text that are put off.
  private static let mostPending = 1 << 20
  /// Hashes that are remembered: 8 MB of them.
  private static let mostKnown = 1 << 19
  private static let mostRecent = 1 << 15

  /// - Parameter rows: what the connection's `EntryTable` shows.
  init(
    _ name: String, kind: Int64, columns: [String], on db: Database, rows: UnsafeMutablePointer<EntryTable.Content>,
    hash: @escaping ([Value]) -> Int64
  ) throws(StoreError) {
    self.rows = rows
    self.hash = hash
    self.name = name
    self.kind = kind
    self.columns = columns
    let parameters = (0..<columns.count).map { "?\($0 + 3)" }
    let equalities = zip(columns, parameters).map { "d.\($0) is \($1)" }
    find = try db.statement(
      """
      select d.id
      from dictionary_key k
      cross join \(name) d on d.id = k.id
      where k.kind = ?1 and k.hash = ?2
        and \(equalities.joined(separator: " and "))
      order by d.id
      """, isKept: true)
    insert = try db.statement(
      """
      insert into \(name) (\(columns.joined(separator: ", ")))
      values (\(columns.map { _ in "?" }.joined(separator: ", ")))
      """, isKept: true)
    insertKey = try db.statement(
      "insert into dictionary_key (kind, hash, id) values (?, ?, ?)", isKept: true)
    insertAll = try db.statement(
      """
      insert into \(name) (\(columns.joined(separator: ", ")))
      select \(EntryTable.columns(columns.count).joined(separator: ", ")) from \(EntryTable.name)
      """, isKept: true)
    insertKeys = try db.statement(
      """
      insert into dictionary_key (kind, hash, id)
      select \(EntryTable.columns(3).joined(separator: ", ")) from \(EntryTable.name)
      """, isKept: true)
  }

  /// Looks at the store again: in an empty one, what was not added since cannot be there.
  func forget(_ db: Database) throws(StoreError) {
    rows.pointee.removeAll()
    pending.removeAll(keepingCapacity: true)
    recent.removeAll(keepingCapacity: true)
    let any = try db.statement("select exists (select 1 from dictionary_key where kind = ?)")
    any.bind(kind, at: 1)
    known = try any.step() && any.int(0) == 0 ? HashSet64() : nil
  }

  /// Appends the row ids of `count` entries to `map`, in their order; whether any of them was new.
  func add(
    _ count: Int, to map: inout [Int64], on db: Database, _ values: (Int) throws(StoreError) -> [Value]
  ) throws(StoreError) -> Bool {
    var hasNew = false
    for index in 0..<count {
      let values = try values(index)
      let hash = hash(values)
      let check = DictionaryTable.hash(values, seed: checkSeed)
      if let entry = recent[hash], entry.check == check {
        map.append(entry.id)
      } else if known?.insert(hash) ?? false {
        rows.pointee.append(values)
        pending.append((hash, check, map.count))
        map.append(0)
        if known!.count >= DictionaryTable.mostKnown { known = nil }
        if known == nil || rows.pointee.size >= DictionaryTable.mostPending { try insertPending(&map, on: db) }
        hasNew = true
      } else {
        // One of those that are put off, perhaps.
        try insertPending(&map, on: db)
        let (id, isNew) = try id(of: values, hash, on: db)
        map.append(id)
        remember(hash, check, id)
        hasNew = hasNew || isNew
      }
    }
    try insertPending(&map, on: db)
    return hasNew
  }

  private func remember(_ hash: Int64, _ check: Int64, _ id: Int64) {
    if recent.count >= DictionaryTable.mostRecent { recent.removeAll(keepingCapacity: true) }
    recent[hash] = (check, id)
  }

  /// Inserts the rows that were put off, and notes their ids in `map`.
  private func insertPending(_ map: inout [Int64], on db: Database) throws(StoreError) {
    if pending.isEmpty { return }
    try EntryTable.Content.run(rows, insertAll)
    // One insert gave its rows consecutive ids.
    let first = db.lastInsertedRowID - Int64(pending.count) + 1
    // They may be followed by others that were known.
    for (index, entry) in pending.enumerated() {
      map[entry.place] = first + Int64(index)
      remember(entry.hash, entry.check, first + Int64(index))
    }
    // In the order of the index, which then goes through its pages once.
    for index in pending.indices.sorted(by: { pending[$0].hash < pending[$1].hash }) {
      rows.pointee.append([.integer(kind), .integer(pending[index].hash), .integer(first + Int64(index))])
    }
    pending.removeAll(keepingCapacity: true)
    try EntryTable.Content.run(rows, insertKeys)
  }

  /// The row with these values, in the order of `columns`.
  func id(of values: [Value], on db: Database) throws(StoreError) -> (id: Int64, isNew: Bool) {
    try id(of: values, hash(values), on: db)
  }

  private func id(of values: [Value], _ hash: Int64, on db: Database) throws(StoreError) -> (id: Int64, isNew: Bool) {
    find.bind(kind, at: 1)
    find.bind(hash, at: 2)
    for (index, value) in values.enumerated() { find.bind(value, at: Int32(index + 3)) }
    let found = try find.step() ? find.int(0) : nil
    find.reset()
    if let found { return (found, false) }
    for (index, value) in values.enumerated() { insert.bind(value, at: Int32(index + 1)) }
    while try insert.step() {}
    let id = db.lastInsertedRowID
    try insertKey.run(.integer(kind), .integer(hash), .integer(id))
    return (id, true)
  }

  static func hash(_ values: [Value], seed: UInt64) -> Int64 {
    var hasher = StableHash(seed: seed)
    for value in values { hasher.combine(value) }
    return hasher.value
  }
}

/// Numbers that are hashes already: an open-addressing table, half full at most.
private struct HashSet64 {
  /// 0 is free.
  private var places: [Int64] = Array(repeating: 0, count: 1024)
  private(set) var count = 0

  /// False when the number was there. (0 is taken for 1: one look too many.)
  mutating func insert(_ hash: Int64) -> Bool {
    let hash = hash == 0 ? 1 : hash
    var place = HashSet64.place(of: hash, in: places)
    while places[place] != 0 {
      if places[place] == hash { return false }
      place = (place + 1) & (places.count - 1)
    }
    places[place] = hash
    count += 1
    if count * 2 > places.count { grow() }
    return true
  }

  private static func place(of hash: Int64, in places: [Int64]) -> Int {
    Int(truncatingIfNeeded: hash) & (places.count - 1)
  }

  private mutating func grow() {
    var larger = [Int64](repeating: 0, count: places.count * 2)
    for hash in places where hash != 0 {
      var place = HashSet64.place(of: hash, in: larger)
      while larger[place] != 0 { place = (place + 1) & (larger.count - 1) }
      larger[place] = hash
    }
    places = larger
  }
}
