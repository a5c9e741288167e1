/// Compares the content of a file with all logs that begin with the same line, in one pass over the file.
///
///     log     |----rung----rung----rung----consumed|
///     file    |====================|                      covered: every line was read already
///     file    |====================================|...   whole: read on at the end of what was consumed
///     file    |==============|xxxxxxxxxx                  diverges after a rung: another file, or one rewritten
struct ContentMatch {
  struct Candidate {
    let log: KnownLog
    fileprivate let prefix: ConsumedPrefix
    fileprivate var nextRung = 0
    /// The file is known to equal the log up to here.
    fileprivate(set) var matched: UInt64 = 0
    fileprivate(set) var hasDiverged = false
    /// All that was consumed of the log is the beginning of the file.
    fileprivate(set) var isWhole = false

    fileprivate var isOpen: Bool { !hasDiverged && !isWhole }
    fileprivate var nextCheck: UInt64 {
      nextRung < prefix.rungs.count ? prefix.rungs[nextRung].position : prefix.position
    }

    fileprivate mutating func check(_ hash: RunningHash) {
      let digest = hash.digest
      if nextRung < prefix.rungs.count {
        hasDiverged = digest != prefix.rungs[nextRung].digest
        nextRung += 1
      }
      if !hasDiverged && hash.length == prefix.position {
        isWhole = digest == prefix.digest
        hasDiverged = !isWhole
      }
      if !hasDiverged { matched = hash.length }
    }
  }

  private(set) var candidates: [Candidate] = []
  /// End of the last whole line seen; bytes behind it are an unfinished line.
  private var lastLineEnd: UInt64 = 0

  /// Reads `file` from its first byte; afterwards it stands at the end of the longest whole match, if the last
  /// candidate in question was one, or anywhere.
  init(file: LogFile, logs: [KnownLog], chunkBytes: Int) throws(ReadError) {
    candidates = logs.compactMap { log in log.prefix.map { Candidate(log: log, prefix: $0) } }
    try file.rewind()
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunkBytes, alignment: 16)
    defer { buffer.deallocate() }
    var hash = RunningHash()
    while let limit = candidates.filter(\.isOpen).map(\.prefix.position).min() {
      // Never beyond the end of a candidate, so that the file can be read on from there.
      let wanted = Int(clamping: min(UInt64(chunkBytes), limit - hash.length))
      let count = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]))
      if count == 0 { break }
      let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
      let start = hash.length
      if let newline = bytes.lastIndex(of: 0x0A) { lastLineEnd = start + UInt64(newline) + 1 }
      var done = 0
      while let next = candidates.filter(\.isOpen).map(\.nextCheck).min(), next <= start + UInt64(count) {
        let end = Int(next - start)
        hash.update(UnsafeRawBufferPointer(rebasing: bytes[done..<end]))
        done = end
        for index in candidates.indices where candidates[index].isOpen && candidates[index].nextCheck == next {
          candidates[index].check(hash)
        }
      }
      hash.update(UnsafeRawBufferPointer(rebasing: bytes[done...]))
    }
  }

  /// The log to read on with: the one of which most was read.
  var whole: KnownLog? {
    candidates.filter(\.isWhole).max { $0.prefix.position < $1.prefix.position }?.log
  }

  /// A log that holds every whole line of the file already: one of its rungs stands where the last line ends.
  /// (While a candidate is open, the file was read to its end.)
  var covering: KnownLog? {
    candidates.filter { $0.isOpen && $0.matched > 0 && $0.matched >= lastLineEnd }
      .max { $0.prefix.position < $1.prefix.position }?.log
  }

  /// A log that equals the file up to its last rung inside, where rungs lie so far apart that whole lines may follow
  /// behind it: from there to the end of the file nothing is known.
  var perhapsCovering: (log: KnownLog, unknown: Range<UInt64>)? {
    candidates.filter {
      $0.isOpen && $0.matched > 0 && $0.matched < lastLineEnd && lastLineEnd - $0.matched < 2 * $0.prefix.spacing
    }
    .max { $0.matched < $1.matched }.map { ($0.log, $0.matched..<lastLineEnd) }
  }

  /// Up to which byte the file equals `log`.
  func matched(_ log: KnownLog) -> UInt64 {
    candidates.first { $0.log === log }?.matched ?? 0
  }
}
