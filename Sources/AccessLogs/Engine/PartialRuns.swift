internal import Glibc

/// The beginnings of records that their wrapper cut in parts (CRI `P` rows, docker parts), one run per stream.
struct PartialRuns {
  static let streams = 2
  private var runs: [[UInt8]] = [[], []]
  private var shorts = [false, false]
  /// The run taken last, with slack behind it.
  private var taken: [UInt8] = []

  init() {}

  /// From `serialised`: per stream a little-endian 32-bit length, its highest bit set where the run is short, and the bytes.
  init(_ serialised: [UInt8]) {
    var rest = serialised[...]
    for stream in 0..<Self.streams where rest.count >= 4 {
      let length = rest.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
      rest = rest.dropFirst(4)
      shorts[stream] = length & Self.shortBit != 0
      runs[stream] = Array(rest.prefix(length & ~Self.shortBit))
      rest = rest.dropFirst(runs[stream].count)
    }
  }

  private static let shortBit = 1 << 31

  var serialised: [UInt8] {
    guard runs.contains(where: { !$0.isEmpty }) else { return [] }
    return zip(runs, shorts).flatMap { run, isShort in
      let length = run.count | (isShort && !run.isEmpty ? Self.shortBit : 0)
      return (0..<4).map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) } + run
    }
  }

  func hasRun(_ stream: Int) -> Bool { !runs[stream].isEmpty }
  /// The run is a single short part, which may be a whole record.
  func isShort(_ stream: Int) -> Bool { hasRun(stream) && shorts[stream] }

  /// Adds a part; a run stops growing one byte past the longest line, which then is rejected as too long.
  mutating func append(_ part: Slice, to stream: Int, isShort: Bool = false) {
    shorts[stream] = isShort
    let room = LineParser.maxLine + 1 - runs[stream].count
    runs[stream].append(contentsOf: UnsafeBufferPointer(start: part.start, count: max(0, min(part.count, room))))
  }

  /// The joined record; valid until the next call.
  mutating func take(_ stream: Int) -> Slice {
    taken = runs[stream]
    runs[stream].removeAll(keepingCapacity: true)
    let count = taken.count
    taken.append(contentsOf: repeatElement(0, count: LineParser.slack))
    // The array is not touched until the next `take`, so its storage stays where it is.
    return taken.withUnsafeBufferPointer { Slice($0.baseAddress!, $0.baseAddress! + count) }
  }
}

/// Numbers for the writers that a wrapper names line by line (`[pod/NAME/CONTAINER]`), remembered between lines.
struct WriterNames {
  struct Writer {
    var number: UInt32
    var namespace: String?
    var pod: String?
    var container: String?
  }

  private var writers: [String: Writer] = [:]
  private var last: (key: [UInt8], writer: Writer) = ([], Writer(number: 0))
  private var given: UInt32 = 0
  /// Distinct writers that are remembered; the next one makes all be forgotten, and known ones get new numbers.
  static let maxWriters = 100_000

  mutating func writer(_ namespace: Slice, _ pod: Slice, _ container: Slice) -> Writer {
    // The names stand side by side in the line, so comparing from the first to the last compares all.
    let first = namespace.isEmpty ? pod.start : namespace.start
    let whole = Slice(min(first, container.start), container.end)
    let isSame =
      last.key.count == whole.count
      && last.key.withUnsafeBufferPointer { $0.count > 0 && memcmp($0.baseAddress!, whole.start, $0.count) == 0 }
    if isSame { return last.writer }
    let key = whole.string
    let writer: Writer
    if let known = writers[key] {
      writer = known
    } else {
      // Numbers stand in dictionary keys: one that was given once never means another writer.
      if writers.count >= Self.maxWriters { writers.removeAll(keepingCapacity: true) }
      given &+= 1
      writer = Writer(
        number: given, namespace: namespace.isEmpty ? nil : namespace.string, pod: pod.string,
        container: container.isEmpty ? nil : container.string)
      writers[key] = writer
    }
    last = (whole.bytes, writer)
    return writer
  }
}
