internal import Flows
internal import GRDB

extension BatchWriter {
  /// Lines of a batch that may be known by four bytes each; the flows of others get rows.
  fileprivate static let mostPrints: Int64 = 1 << 20

  /// Hands the flows that need no row to the tally, and moves the others to the front.
  /// - Returns: how many others there are.
  func sift(
    _ batch: FlowBatch, log: Int64, _ ids: IdMaps, _ sieve: any FlowSieve, _ statements: Statements, on db: Database,
    _ beforeWrite: ((String) throws(StoreError) -> Void)?
  ) throws(StoreError) -> Int {
    let rows = batch.rows
    if tally.room < batch.count { try tally.close(db, beforeWrite) }
    var isMet = if let known = self.isMet { known } else { try metDestinations(db) }
    // Given back as it is after a failure: then it is read anew.
    self.isMet = nil
    let firstLine = rows[0].line
    var prints = [UInt32](
      repeating: 0,
      count: Int(clamping: min(max(rows[batch.count - 1].line - firstLine, 0), BatchWriter.mostPrints)) + 1)
    var (kept, tallied) = (0, Int64(0))
    for index in 0..<batch.count {
      let row = rows[index]
      let destination = ids.destinations[Int(row.destination)]
      let (source, outcome) = (ids.sources[Int(row.source)], ids.outcomes[Int(row.outcome)])
      var needsRow = !sieve.isOrdinary(
        source: source, destination: destination, outcome: outcome, durationMs: row.durationMs)
      if !needsRow {
        let place = Int(destination)
        if place >= isMet.count { isMet += repeatElement(false, count: place + 1 - isMet.count) }
        let line = row.line - firstLine
        if !isMet[place] {
          // The first one is what can be shown of a host, and what tells alert of it.
          isMet[place] = true
          needsRow = true
          entries.pointee.append([.integer(destination)])
        } else if line < 0 || line >= prints.count {
          needsRow = true
        } else {
          if tally.isBehind(row.startedAtMs) {
            tally.note(tallied, of: log)
            tallied = 0
            try tally.close(db, beforeWrite)
          }
          needsRow = !tally.take(row, source: source, destination: destination, outcome: outcome, log: log)
          if !needsRow {
            tallied += 1
            if prints[Int(line)] == 0 { prints[Int(line)] = StoredLine(row).print.littleEndian }
          }
        }
      }
      if needsRow {
        if kept != index { rows[kept] = row }
        kept += 1
      }
    }
    if !entries.pointee.isEmpty { try EntryTable.Content.run(entries, statements.met) }
    self.isMet = isMet
    guard kept < batch.count else { return kept }
    tally.note(tallied, of: log)
    try beforeWrite?("line prints")
    try write(prints, log: log, firstLine: firstLine, statements.print)
    return kept
  }

  private func metDestinations(_ db: Database) throws(StoreError) -> [Bool] {
    var isMet: [Bool] = []
    let row = try db.statement("select destination from met_destination order by destination")
    while try row.step() {
      let place = Int(clamping: row.int(0))
      guard place >= 0, place < 1 << 31 else { continue }
      if place >= isMet.count { isMet += repeatElement(false, count: place + 1 - isMet.count) }
      isMet[place] = true
    }
    return isMet
  }

  private func write(_ prints: [UInt32], log: Int64, firstLine: Int64, _ insert: Statement) throws(StoreError) {
    insert.bind(log, at: 1)
    insert.bind(firstLine, at: 2)
    let failure = prints.withUnsafeBytes { insert.failure(withUnmoved: $0, at: 3) }
    if let failure { throw failure }
  }
}
