internal import AccessLogs
internal import FlowStore

/// Reads again what was read of a file before, to recognise it and to go on behind it.
struct PrefixReplay {
  let store: FlowStore?
  let options: IngestOptions

  /// Hashes the first `length` bytes anew, and counts their lines; `file` stands behind them afterwards.
  func prefix(of file: LogFile, length: UInt64) throws(ReadError) -> (
    prefix: ConsumedPrefix, lines: Int64
  ) {
    var prefix = ConsumedPrefix()
    guard length > 0 else { return (prefix, 0) }
    try file.rewind()
    var lines: Int64 = 0
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: options.limits.chunkBytes, alignment: 16)
    defer { buffer.deallocate() }
    while prefix.position < length {
      let wanted = Int(clamping: min(UInt64(buffer.count), length - prefix.position))
      let count = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]))
      guard count > 0 else { throw ReadError(message: "became shorter while it was read; run again") }
      for byte in buffer[..<count] where byte == 0x0A { lines += 1 }
      prefix.consume(
        UnsafeRawBufferPointer(rebasing: buffer[..<count]), isInsideLine: prefix.position + UInt64(count) < length)
    }
    return (prefix, lines)
  }

  /// Moves on over the lines behind `prefix` that are stored as lines of `former`.
  func passStoredLines(
    of former: KnownLog, _ file: LogFile, _ name: LogName, _ prefix: inout ConsumedPrefix, _ lines: inout Int64
  ) throws(ReadError) {
    // With a distance of 1 every line end is remembered.
    guard let store, former.record.id != 0, prefix.position > 0, let spacing = former.prefix?.spacing, spacing > 1
    else { return }
    // Remembered places lie less than twice the distance and a line apart.
    let size = Int(clamping: min(2 * spacing, UInt64(options.limits.chunkBytes))) + options.limits.chunkBytes
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size + 2 * LogReader.slack, alignment: 64)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    let window = UnsafeMutableRawBufferPointer(rebasing: memory[LogReader.slack..<LogReader.slack + size])
    let count = try file.read(into: window)
    let lastLine = lines + Int64(window[..<count].count { $0 == 0x0A })
    if lastLine > lines {
      let stored: StoredLines
      do throws(StoreError) { stored = try store.storedLines(log: former.record.id, in: lines + 1...lastLine) } catch {
        throw ReadError(message: "cannot be compared with what is stored: \(error)")
      }
      let context = LogContext(
        ordinal: 0, nextLine: lines + 1, namespace: name.namespace, pod: name.pod, container: name.container,
        writtenAtMs: file.modifiedNs / 1_000_000)
      let stretch = StoredStretch(
        in: UnsafeRawBufferPointer(rebasing: window[..<count]), context: context, formats: options.formats,
        stored: stored)
      prefix.consume(UnsafeRawBufferPointer(rebasing: window[..<stretch.bytes]))
      lines += stretch.lines
    }
    try file.rewind()
    try file.advance(to: Int64(prefix.position), chunkBytes: options.limits.chunkBytes)
  }

  /// Whether the file ends where it stands; it stands there afterwards, too.
  func isAtEnd(_ file: LogFile) throws(ReadError) -> Bool {
    let place = file.position
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
    defer { buffer.deallocate() }
    let isAtEnd = try file.read(into: buffer) == 0
    try file.rewind()
    try file.advance(to: place, chunkBytes: options.limits.chunkBytes)
    return isAtEnd
  }
}
