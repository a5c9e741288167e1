internal import AccessLogs
internal import FlowStore
internal import Flows
internal import Glibc

/// Leaves out lines that an earlier input held already: for `kubectl logs` exports and pipes, which overlap and have no
/// identity of their own.
///
/// A line is the same when pod, container and text are, and when it is the n-th of its kind in this input as it was the
/// n-th in an earlier one: two equal lines in one log are two flows.
final class OverlapFilter {
  /// Lines left out are counted under this kind.
  static let kind = "seen-before"

  /// Where the lines that were stored are noted.
  struct Notes {
    /// Notes a line and its ordinal; false when both were noted before.
    var note: (UInt64, Int64) -> Bool
    /// Takes back what was noted last.
    var forget: (UInt64, Int64) -> Void
  }

  private let notes: Notes
  private let window: Int
  private let label: String?
  private var salt = RunningHash()
  /// How often a line came up in this input. Equal lines carry equal times, so they stand close together: two windows,
  /// the older of which is dropped when the newer is full, bound the memory.
  private var counts: [UInt64: Int64] = [:]
  private var olderCounts: [UInt64: Int64] = [:]

  init(window: Int, label: String?, notes: Notes) {
    self.notes = notes
    self.window = window
    self.label = label
  }

  func begin(_ record: LogRecord) {
    salt = RunningHash()
    for part in [record.namespace, record.pod, record.container, label] {
      Array(((part ?? "") + "\u{0}").utf8).withUnsafeBytes { salt.update($0) }
    }
    counts.removeAll(keepingCapacity: true)
    olderCounts.removeAll(keepingCapacity: true)
  }

  /// Takes lines for lines that this input gave before: a log that grows goes on with the counts it had.
  /// - Parameter bytes: whole lines.
  func recall(_ bytes: UnsafeRawBufferPointer) {
    var place = 0
    while place < bytes.count, let end = lineEnd(in: bytes, from: place, isFinal: true) {
      _ = count(digest(of: UnsafeRawBufferPointer(rebasing: bytes[place..<end])))
      place = end
    }
  }

  /// As `LineParser.parse`, without the lines seen before; they are counted as skipped.
  func parse(_ bytes: UnsafeRawBufferPointer, isFinal: Bool, parser: LineParser, into batch: FlowBatch) -> Int {
    // Nothing more comes: the parser may still hold the beginning of a record.
    if bytes.isEmpty { return parser.parse(bytes, isFinal: isFinal, into: batch) }
    var place = 0
    while place < bytes.count {
      guard let end = lineEnd(in: bytes, from: place, isFinal: isFinal) else { break }
      let line = UnsafeRawBufferPointer(rebasing: bytes[place..<end])
      let digest = digest(of: line)
      let ordinal = count(digest)
      if notes.note(digest, ordinal) {
        let consumed = parser.parse(line, isFinal: isFinal && end == bytes.count, into: batch)
        guard consumed == line.count else {
          // It is given again with the next batch: noted now, it would count as stored, should this one be the last.
          notes.forget(digest, ordinal)
          counts[digest] = ordinal - 1
          return place + consumed
        }
      } else {
        parser.nextLine += 1
        batch.skippedCount += 1
        batch.skippedByKind[OverlapFilter.kind, default: 0] += 1
      }
      place = end
    }
    return place
  }

  private func lineEnd(in bytes: UnsafeRawBufferPointer, from place: Int, isFinal: Bool) -> Int? {
    if let newline = memchr(bytes.baseAddress! + place, 0x0A, bytes.count - place) {
      return UnsafeRawPointer(newline) - bytes.baseAddress! + 1
    }
    return isFinal ? bytes.count : nil
  }

  private func digest(of line: UnsafeRawBufferPointer) -> UInt64 {
    var text = line
    // A last line without its newline is the same line.
    if text.last == 0x0A { text = UnsafeRawBufferPointer(rebasing: text.dropLast()) }
    var hash = salt
    hash.update(text)
    return hash.digest
  }

  /// Counts a line: the how-manieth of its kind it is in this input.
  private func count(_ digest: UInt64) -> Int64 {
    let ordinal = (counts[digest] ?? olderCounts[digest] ?? 0) + 1
    if counts.count >= window {
      olderCounts = counts
      counts = [:]
    }
    counts[digest] = ordinal
    return ordinal
  }
}
