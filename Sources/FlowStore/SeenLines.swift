internal import GRDB

extension FlowStore {
  /// Notes a line of an input without identity, in the open transaction: the `ordinal`-th line with this hash.
  /// - Returns: false when it was noted before, so that the line is stored already.
  public func noteLine(hash: UInt64, ordinal: Int64) throws(StoreError) -> Bool {
    try write("seen line") { db throws(StoreError) in
      try db.statement("insert or ignore into seen_line (hash, ordinal) values (?, ?)", isKept: true)
        .run(.integer(Int64(bitPattern: hash)), .integer(ordinal))
      return db.changesCount > 0
    }
  }

  /// Takes back what `noteLine` noted.
  public func forgetLine(hash: UInt64, ordinal: Int64) throws(StoreError) {
    try write("seen line") { db throws(StoreError) in
      try db.statement("delete from seen_line where hash = ? and ordinal = ?", isKept: true)
        .run(.integer(Int64(bitPattern: hash)), .integer(ordinal))
    }
  }
}
