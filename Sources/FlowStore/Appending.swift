public import Flows
internal import GRDB

extension FlowStore {
  /// Rejected lines whose text is kept, of one log: enough to see what is wrong with it. Counting goes on.
  public static let maxRejectedPerLog = 1_000
  /// Rejected lines whose text is kept, of all logs: at 4 KiB each, at most 400 MB.
  public static let maxRejected = 100_000

  /// Stores the rows of a batch and what they refer to, inside the open transaction.
  ///
  /// - Parameters:
  ///   - log: row id of the log that all of the batch comes from; stands in for the ordinal in its sources.
  ///   - firstLine: number of the first line the batch was parsed from.
  ///   - position: where that line begins, in bytes of the decompressed log.
  ///   - parser: which parser filled the batch, when there are several; each has local ids of its own.
  /// - Returns: the ids of its rows; nil when it has none.
  @discardableResult
  public func append(
    _ batch: FlowBatch, log: Int64, firstLine: Int64, position: Int64, parser: Int = 0
  ) throws(StoreError) -> ClosedRange<Int64>? {
    var record = LogRecord(path: "")
    record.id = log
    return try append(batch, log: record, firstLine: firstLine, position: position, parser: parser, sieve: nil)
  }

  /// The same, with rows only for the flows that need one: of the others the next commit writes sums. The rows of the batch
  /// are in another order afterwards.
  ///
  /// - Parameter log: with its row id; path and declared role are what its sources are judged by.
  @discardableResult
  public func append(
    _ batch: FlowBatch, log: LogRecord, firstLine: Int64, position: Int64, parser: Int = 0, sieve: (any FlowSieve)?
  ) throws(StoreError) -> ClosedRange<Int64>? {
    try write("append") { db throws(StoreError) in
      try self.writer.append(
        batch, log: log, firstLine: firstLine, position: position, parser: parser, sieve: sieve, on: db,
        beforeWrite: self.beforeWrite)
    }
  }
}
