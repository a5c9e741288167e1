internal import Dispatch
internal import Flows
internal import FlowStore

/// Stores batches, and commits rows and reading positions together.
///
/// Who parses hands over on its own thread (`take`), or, where one thread does all the parsing, between `begin` and `end`
/// through a queue (`send`) that a thread of its own empties.
///
/// `@unchecked Sendable`: everything below the queues is touched by one thread at a time: that of the queue, from `begin` until
/// `end` has waited for its end, or by who calls.
final class StoreWriter: @unchecked Sendable {
  /// A batch with where it begins, and the state of its log after it; or a state alone.
  struct Parcel: Sendable {
    var batch: FlowBatch?
    /// Which parser filled it: each has local ids of its own.
    var parser = 0
    var firstLine: Int64 = 0
    var position: Int64 = 0
    var ordinal: Int64
    var record: LogRecord
    var prefix: ConsumedPrefix?
    /// A good place to commit.
    var isEndOfFile = false
    /// `record` and `prefix` say where to go on behind the batch.
    var isPlace = true
  }

  private var filled: HandOver<Parcel>?
  private(set) var empty: HandOver<FlowBatch>?
  private let ended = DispatchSemaphore(value: 0)

  private let store: FlowStore?
  private var sieve: (any FlowSieve)?
  private let limits: IngestLimits
  private let seconds: @Sendable () -> Double
  private var rowIDs: [Int64: Int64] = [:]
  private var dirty: [Int64: Parcel] = [:]
  /// What this run has stored so far.
  private(set) var addedRows = AddedRows()
  private var linesSinceCommit = 0
  private var lastCommit: Double
  private var failure: StoreError?

  /// - Parameter sieve: says which flows need no row; nil gives one to each.
  init(store: FlowStore?, known: [KnownLog], options: IngestOptions, sieve: (any FlowSieve)? = nil) {
    self.store = store
    self.sieve = sieve
    limits = options.limits
    seconds = options.seconds
    lastCommit = options.seconds()
    for log in known where log.record.id != 0 { rowIDs[log.ordinal] = log.record.id }
  }

  // MARK: By a thread of its own

  /// - Parameter isInline: on the caller's thread all the same: what `--overlap` notes has to be in the transaction of the rows
  ///   it stands for.
  func begin(isInline: Bool) {
    let empty = HandOver<FlowBatch>(capacity: limits.batches)
    for _ in 0..<limits.batches { _ = empty.send(FlowBatch(capacity: limits.batchRows)) }
    self.empty = empty
    guard !isInline else { return }
    let filled = HandOver<Parcel>(capacity: limits.batches)
    self.filled = filled
    DispatchQueue(label: "gatewatch.writer").async { [self] in
      while let parcel = filled.receive() {
        // The reader must not wait for a place that never gets free.
        if !take(parcel) { filled.close() }
        giveBack(parcel)
      }
      ended.signal()
    }
  }

  /// False when the store failed: there is no use in reading on.
  func send(_ parcel: Parcel) -> Bool {
    if let filled { return filled.send(parcel) }
    defer { giveBack(parcel) }
    return take(parcel)
  }

  private func giveBack(_ parcel: Parcel) {
    guard let batch = parcel.batch else { return }
    batch.reset()
    _ = empty?.send(batch)
  }

  /// Waits until all that was sent is stored.
  func end() {
    if let filled {
      filled.close()
      ended.wait()
    }
    (filled, empty) = (nil, nil)
  }

  // MARK: On the caller's thread

  /// False when the store failed: there is no use in reading on.
  func take(_ parcel: Parcel) -> Bool {
    guard failure == nil else { return false }
    do throws(StoreError) { try keep(parcel) } catch { failure = error }
    return failure == nil
  }

  /// The store failed outside of a parcel.
  func fail(_ error: StoreError) { failure = failure ?? error }

  /// Leaves the transaction open for what the caller adds to it.
  func finish() throws(StoreError) {
    if let failure {
      try? store?.rollback()
      throw failure
    }
    try flush()
  }

  /// The sieve, for who needs it behind the last line; it is gone from here.
  func takeSieve() -> (any FlowSieve)? { sieve.take() }

  /// Row id of a log, once a parcel of it was stored.
  func rowID(_ ordinal: Int64) -> Int64? { rowIDs[ordinal] }

  private func keep(_ parcel: Parcel) throws(StoreError) {
    guard let store else { return }
    var parcel = parcel
    let id: Int64
    if let known = rowIDs[parcel.ordinal] {
      id = known
    } else {
      id = try store.insert(log: parcel.record)
      rowIDs[parcel.ordinal] = id
    }
    if let batch = parcel.batch, !batch.isEmpty {
      parcel.record.id = id
      let rows = try store.append(
        batch, log: parcel.record, firstLine: parcel.firstLine, position: parcel.position, parser: parcel.parser,
        sieve: sieve)
      if let rows { addedRows.add(rows, of: id) }
      linesSinceCommit += batch.linesRead
    }
    guard parcel.isPlace else { return }
    parcel.batch = nil
    parcel.record.id = id
    dirty[parcel.ordinal] = parcel
    let isLate = parcel.isEndOfFile && seconds() - lastCommit >= limits.secondsPerCommit
    if isLate || linesSinceCommit >= limits.linesPerCommit {
      try flush()
      try store.commit()
      linesSinceCommit = 0
      lastCommit = seconds()
    }
  }

  /// Writes the reading positions that belong to the rows stored so far.
  private func flush() throws(StoreError) {
    guard let store else { return }
    for (_, parcel) in dirty.sorted(by: { $0.key < $1.key }) {
      var record = parcel.record
      if let prefix = parcel.prefix { record.prefixState = prefix.serialised }
      try store.update(log: record)
    }
    dirty.removeAll(keepingCapacity: true)
  }
}
