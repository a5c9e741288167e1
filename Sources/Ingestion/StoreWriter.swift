internal import Dispatch
internal import Flows
internal import FlowStore

/// The second thread of a run: takes batches off the hand-over, stores them, and commits rows and reading positions
/// together.
///
/// `@unchecked Sendable`: everything below `start` is touched by the writing thread only, until `finish` has waited for
/// its end; the two queues are the only road between the threads.
final class StoreWriter: @unchecked Sendable {
  /// A batch with where it begins, and the state of its log after it; or a state alone.
  struct Parcel: Sendable {
    var batch: FlowBatch?
    var firstLine: Int64 = 0
    var position: Int64 = 0
    var ordinal: Int64
    var record: LogRecord
    var prefix: ConsumedPrefix?
    /// A good place to commit.
    var isEndOfFile = false
  }

  let filled: HandOver<Parcel>
  let empty: HandOver<FlowBatch>

  private let store: FlowStore?
  private let sieve: (any FlowSieve)?
  private let limits: IngestLimits
  private let seconds: @Sendable () -> Double
  /// Runs on the caller's thread: what `--overlap` notes has to be in the transaction of the rows it stands for.
  private let isInline: Bool
  private var rowIDs: [Int64: Int64] = [:]
  private var dirty: [Int64: Parcel] = [:]
  /// What this run has stored so far.
  private(set) var addedRows = AddedRows()
  private var rowsSinceCommit = 0
  private var lastCommit: Double
  private var failure: StoreError?
  private let ended = DispatchSemaphore(value: 0)

  /// - Parameter sieve: says which flows need no row; nil gives one to each.
  init(store: FlowStore?, known: [KnownLog], options: IngestOptions, sieve: (any FlowSieve)? = nil) {
    self.store = store
    self.sieve = sieve
    limits = options.limits
    seconds = options.seconds
    lastCommit = options.seconds()
    isInline = options.dropsSeenLines
    filled = HandOver(capacity: limits.batches)
    empty = HandOver(capacity: limits.batches)
    for _ in 0..<limits.batches { _ = empty.send(FlowBatch(capacity: limits.batchRows)) }
    for log in known where log.record.id != 0 { rowIDs[log.ordinal] = log.record.id }
  }

  func start() {
    if isInline { return }
    DispatchQueue(label: "gatewatch.writer").async { [self] in
      while let parcel = filled.receive() { take(parcel) }
      ended.signal()
    }
  }

  /// False when the store failed: there is no use in reading on.
  func send(_ parcel: Parcel) -> Bool {
    guard isInline else { return filled.send(parcel) }
    take(parcel)
    return failure == nil
  }

  /// Waits until all is stored, and leaves the transaction open for what the caller adds to it.
  func finish() throws(StoreError) {
    filled.close()
    if !isInline { ended.wait() }
    // The memory of the batches is free for what follows.
    empty.close()
    while empty.receive() != nil {}
    if let failure {
      try? store?.rollback()
      throw failure
    }
    try flush()
  }

  /// Row id of a log, once a parcel of it was stored.
  func rowID(_ ordinal: Int64) -> Int64? { rowIDs[ordinal] }

  /// The store failed outside of a parcel; only where parcels are taken on the caller's thread.
  func fail(_ error: StoreError) {
    precondition(isInline)
    failure = failure ?? error
  }

  private func take(_ parcel: Parcel) {
    if failure == nil {
      do throws(StoreError) { try keep(parcel) } catch {
        failure = error
        // The reader must not wait for a place that never gets free.
        filled.close()
      }
    }
    if let batch = parcel.batch {
      batch.reset()
      _ = empty.send(batch)
    }
  }

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
        batch, log: parcel.record, firstLine: parcel.firstLine, position: parcel.position, sieve: sieve)
      if let rows { addedRows.add(rows, of: id) }
      rowsSinceCommit += batch.linesRead
    }
    parcel.batch = nil
    parcel.record.id = id
    dirty[parcel.ordinal] = parcel
    let isLate = parcel.isEndOfFile && seconds() - lastCommit >= limits.secondsPerCommit
    if isLate || rowsSinceCommit >= limits.rowsPerCommit {
      try flush()
      try store.commit()
      rowsSinceCommit = 0
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
