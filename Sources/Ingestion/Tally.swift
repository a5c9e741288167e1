internal import Flows

/// What one run read of one file.
struct Tally {
  var read = 0
  var stored = 0
  var rejected = 0
  var skipped = 0
  var rejectedByReason: [String: Int] = [:]
  var skippedByKind: [String: Int] = [:]
  var storedByFormat: [String: Int] = [:]
  /// The first lines rejected for each reason.
  var firstRejected: [String: [RejectedLine]] = [:]

  /// Places named per reason in the summary.
  static let maxPlaces = 3

  mutating func add(_ batch: FlowBatch) {
    precondition(
      batch.rejectedByReason.values.reduce(0, +) == batch.rejectedCount
        && batch.skippedByKind.values.reduce(0, +) == batch.skippedCount, "a batch whose sums disagree")
    read += batch.linesRead
    stored += batch.count
    rejected += batch.rejectedCount
    skipped += batch.skippedCount
    rejectedByReason.merge(batch.rejectedByReason, uniquingKeysWith: +)
    skippedByKind.merge(batch.skippedByKind, uniquingKeysWith: +)
    storedByFormat.merge(batch.storedByFormat, uniquingKeysWith: +)
    for line in batch.rejected where firstRejected[line.reason, default: []].count < Tally.maxPlaces {
      firstRejected[line.reason, default: []].append(line)
    }
  }
}
