/// The bytes of a rollup: entries by destination, outcome, place in a journey and source, sorted, so that most of a key is
/// left out.
///
///     chunk        blocks of destinations, ascending
///     block        destination minus the one before (from the chunk's first on), bytes, then entries
///     counts       tag, [outcome, kind], source minus the one before, [flows], sent, received, first start, [last], example
///     durations    outcome, kind, source, flows, first start, [last minus first], example, then values or buckets
///
/// Numbers are varints, seven bits a byte from the low end on. Sums, times and examples have a fixed number of bytes: a sum
/// as its tag says, a time and an example as the run needs for the distance from its first ones.
enum RollupCode {
  /// Destinations of a chunk.
  static let chunkBits: Int64 = 10
  static let version: Int64 = 2

  /// Bytes behind a buffer that may be read: more than an entry can have.
  static let slack = 128

  enum Tag {
    /// One flow: neither a number of flows nor a last start.
    static let single: UInt8 = 1
    /// Another outcome or kind than the entry before.
    static let turns: UInt8 = 2
    static let sentShift: UInt8 = 2
    static let receivedShift: UInt8 = 5
  }

  /// Durations of up to this many flows are kept one by one.
  static let mostValues = 8

  @inline(__always)
  static func bytes(of number: UInt64) -> Int { max(1, (64 - number.leadingZeroBitCount + 7) / 8) }
}

/// How the distances of a run are written.
struct RollupScale: Sendable {
  var firstMs: Int64
  var firstFlow: Int64
  let timeBytes: Int
  let flowBytes: Int

  init(firstMs: Int64, lastMs: Int64, firstFlow: Int64, lastFlow: Int64) {
    self.firstMs = firstMs
    self.firstFlow = firstFlow
    timeBytes = RollupCode.bytes(of: UInt64(bitPattern: lastMs &- firstMs))
    flowBytes = RollupCode.bytes(of: UInt64(bitPattern: lastFlow &- firstFlow))
  }
}

/// One entry of the counts.
struct RollupCount {
  /// Of those that are summed up together, the one with the lowest row id.
  var outcome: Int64 = 0
  var source: Int64 = 0
  var kind: UInt8 = 0
  var hasSent = false
  var hasReceived = false
  var flows: Int64 = 0
  /// Sums stay at the end of the range.
  var sent: Int64 = 0
  var received: Int64 = 0
  var firstMs: Int64 = 0
  var lastMs: Int64 = 0
  /// The row id of one of the flows.
  var example: Int64 = 0

  mutating func add(_ other: RollupCount) {
    flows &+= other.flows
    if other.hasSent {
      sent = GroupTable.sum(sent, other.sent)
      hasSent = true
    }
    if other.hasReceived {
      received = GroupTable.sum(received, other.received)
      hasReceived = true
    }
    firstMs = min(firstMs, other.firstMs)
    lastMs = max(lastMs, other.lastMs)
  }
}

/// One entry of the durations, without them.
struct RollupDurations {
  var outcome: Int64 = 0
  /// Of the sources that are summed up together, the one with the lowest row id.
  var source: Int64 = 0
  var kind: UInt8 = 0
  var firstMs: Int64 = 0
  var lastMs: Int64 = 0
  var example: Int64 = 0
}

struct RollupBytes: Sendable {
  /// The first `count` are in use, the others are room.
  private var room: [UInt8] = []
  private(set) var count = 0

  var bytes: [UInt8] { Array(room[..<count]) }

  init() {}

  /// - Parameter count: room for so many from the beginning.
  init(capacity count: Int) {
    // What is not in use is never read: memory that nothing is written to costs nothing.
    room = [UInt8](unsafeUninitializedCapacity: count) { $1 = count }
  }

  func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    room.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
  }

  @inline(__always)
  private mutating func makeRoom(_ more: Int) {
    if room.count - count < more { grow(more) }
  }

  @inline(never)
  private mutating func grow(_ more: Int) {
    var larger = RollupBytes(capacity: room.count + max(room.count, more, 64))
    larger.append(self)
    self = larger
  }

  @inline(__always)
  mutating func varint(_ number: UInt64) {
    makeRoom(10)
    var rest = number
    while rest >= 0x80 {
      room[count] = UInt8(truncatingIfNeeded: rest) | 0x80
      count += 1
      rest >>= 7
    }
    room[count] = UInt8(truncatingIfNeeded: rest)
    count += 1
  }

  @inline(__always)
  mutating func varint(_ number: Int64) { varint(UInt64(bitPattern: number)) }

  /// - Parameter bytes: at most 8.
  @inline(__always)
  mutating func fixed(_ number: UInt64, _ bytes: Int) {
    makeRoom(8)
    let begin = count
    // In bounds: there is room for eight bytes, whether or not all of them count.
    room.withUnsafeMutableBytes { $0.storeBytes(of: number.littleEndian, toByteOffset: begin, as: UInt64.self) }
    count += bytes
  }

  @inline(__always)
  mutating func byte(_ byte: UInt8) {
    makeRoom(1)
    room[count] = byte
    count += 1
  }

  mutating func append(_ other: RollupBytes) { append(other, 0..<other.count) }

  mutating func append(_ other: RollupBytes, _ range: Range<Int>) {
    precondition(range.upperBound <= other.count)
    makeRoom(range.count)
    let begin = count
    // In bounds: there is room for them here, and the range is in use there.
    room.withUnsafeMutableBytes { room in
      other.room.withUnsafeBytes {
        UnsafeMutableRawBufferPointer(rebasing: room[begin...]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: $0[range]))
      }
    }
    count += range.count
  }

  /// Appends what `body` writes, which moves the place it is given: at most `most` bytes, of which the last may be followed by
  /// seven that do not count.
  @inline(__always)
  mutating func write(atMost most: Int, _ body: (inout UnsafeMutableRawPointer) -> Void) {
    makeRoom(most + 8)
    let begin = count
    count = room.withUnsafeMutableBytes {
      var place = $0.baseAddress! + begin
      body(&place)
      return place - $0.baseAddress!
    }
  }

  mutating func removeAll() { count = 0 }
}

/// The pieces of an entry, each written at a place that then stands behind it; who writes has made room.
extension UnsafeMutableRawPointer {
  @inline(__always)
  mutating func put(byte: UInt8) {
    storeBytes(of: byte, as: UInt8.self)
    self += 1
  }

  @inline(__always)
  mutating func put(varint number: UInt64) {
    var rest = number
    while rest >= 0x80 {
      put(byte: UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    put(byte: UInt8(truncatingIfNeeded: rest))
  }

  /// Writes eight bytes, of which only some count.
  @inline(__always)
  mutating func put(_ number: Int64, _ bytes: Int) {
    storeBytes(of: number.littleEndian, as: Int64.self)
    self += bytes
  }
}

/// Writes the counts of one destination.
struct RollupCountWriter {
  private(set) var bytes = RollupBytes()
  private let scale: RollupScale
  private var outcome: Int64 = -1
  private var kind: UInt8 = 0
  private var source: Int64 = 0

  init(_ scale: RollupScale) { self.scale = scale }

  mutating func begin() {
    bytes.removeAll()
    outcome = -1
  }

  /// Entries come sorted by outcome, kind and source.
  mutating func append(_ entry: RollupCount) {
    let turns = entry.outcome != outcome || entry.kind != kind
    let sentCode = RollupCountWriter.code(entry.hasSent, entry.sent)
    let receivedCode = RollupCountWriter.code(entry.hasReceived, entry.received)
    let isSingle = entry.flows == 1
    let before = turns ? 0 : source
    // A tag, a kind, three varints and five numbers.
    bytes.write(atMost: 2 + 3 * 10 + 5 * 8) { place in
      place.put(
        byte: (isSingle ? RollupCode.Tag.single : 0) | (turns ? RollupCode.Tag.turns : 0)
          | UInt8(sentCode) << RollupCode.Tag.sentShift | UInt8(receivedCode) << RollupCode.Tag.receivedShift)
      if turns {
        place.put(varint: UInt64(bitPattern: entry.outcome))
        place.put(byte: entry.kind)
      }
      place.put(varint: UInt64(bitPattern: entry.source &- before))
      if !isSingle { place.put(varint: UInt64(bitPattern: entry.flows)) }
      place.put(entry.sent, sentCode == 7 ? 8 : sentCode)
      place.put(entry.received, receivedCode == 7 ? 8 : receivedCode)
      place.put(entry.firstMs &- scale.firstMs, scale.timeBytes)
      if !isSingle { place.put(entry.lastMs &- scale.firstMs, scale.timeBytes) }
      place.put(entry.example &- scale.firstFlow, scale.flowBytes)
    }
    (outcome, kind, source) = (entry.outcome, entry.kind, entry.source)
  }

  private static func code(_ isThere: Bool, _ sum: Int64) -> Int {
    guard isThere else { return 0 }
    let bytes = RollupCode.bytes(of: UInt64(bitPattern: sum))
    return bytes == 7 ? 7 : bytes == 8 ? 7 : bytes
  }
}

/// Reads bytes that may be damaged: it never reads beyond `end` and the slack behind it, and says so when it would have.
struct RollupReader {
  private(set) var at: UnsafeRawPointer
  let end: UnsafeRawPointer

  init(_ bytes: UnsafeRawBufferPointer) {
    at = bytes.baseAddress!
    end = at + bytes.count
  }

  @inline(__always) var isAtEnd: Bool { at >= end }
  /// Something lay behind the end.
  @inline(__always) var isBroken: Bool { at > end }

  @inline(__always)
  mutating func byte() -> UInt8 {
    let byte = at.load(as: UInt8.self)
    at += 1
    return byte
  }

  @inline(__always)
  mutating func varint() -> Int64 {
    let first = at.load(as: UInt8.self)
    at += 1
    if first < 0x80 { return Int64(first) }
    var number = UInt64(first & 0x7F)
    var shift: UInt64 = 7
    while shift < 64 {
      let byte = at.load(as: UInt8.self)
      at += 1
      number |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { break }
      shift += 7
    }
    return Int64(bitPattern: number)
  }

  @inline(__always)
  mutating func fixed(_ count: Int) -> UInt64 {
    let word = UInt64(littleEndian: at.loadUnaligned(as: UInt64.self))
    at += count
    return word & RollupReader.mask(count)
  }

  /// What a word of eight bytes holds of the first `count`, without a branch: which numbers follow one another, nobody can
  /// foresee.
  @inline(__always)
  static func mask(_ count: Int) -> UInt64 {
    (UInt64.max &>> UInt64(truncatingIfNeeded: -8 * count)) & (0 &- UInt64(count == 0 ? 0 : 1))
  }

  /// A varint where `isThere` is 1, and no byte where it is 0: then the number is 1. Most have one byte.
  @inline(__always)
  mutating func varint(ifThere isThere: Int) -> Int64 {
    let first = Int64(at.load(as: UInt8.self))
    if first & Int64(isThere) << 7 != 0 { return varint() }
    at += isThere
    return 1 + (first - 1) & -Int64(isThere)
  }

  /// The bytes of a block that begins here, and moves behind it; nil where they do not fit.
  @inline(__always)
  mutating func block() -> UnsafeRawBufferPointer? {
    let count = varint()
    guard count >= 0, !isBroken, count <= end - at else { return nil }
    defer { at += Int(count) }
    return UnsafeRawBufferPointer(start: at, count: Int(count))
  }
}

/// Reads the counts of one destination.
struct RollupCountReader {
  private var reader: RollupReader
  private let scale: RollupScale
  private(set) var entry = RollupCount()

  init(_ block: UnsafeRawBufferPointer, _ scale: RollupScale) {
    reader = RollupReader(block)
    self.scale = scale
  }

  var isBroken: Bool { reader.isBroken }

  /// Moves to the next entry; false at the end.
  @inline(__always)
  mutating func next() -> Bool {
    guard !reader.isAtEnd else { return false }
    let tag = reader.byte()
    if tag & RollupCode.Tag.turns != 0 {
      entry.outcome = reader.varint()
      entry.kind = reader.byte() & UInt8(JourneyPlaces.kinds - 1)
      entry.source = 0
    }
    entry.source &+= reader.varint()
    let several = Int(~tag & RollupCode.Tag.single)
    entry.flows = reader.varint(ifThere: several)
    let sentCode = Int(tag >> RollupCode.Tag.sentShift & 7)
    let receivedCode = Int(tag >> RollupCode.Tag.receivedShift & 7)
    entry.hasSent = sentCode != 0
    entry.hasReceived = receivedCode != 0
    entry.sent = Int64(bitPattern: reader.fixed(sentCode + (sentCode == 7 ? 1 : 0)))
    entry.received = Int64(bitPattern: reader.fixed(receivedCode + (receivedCode == 7 ? 1 : 0)))
    let first = reader.fixed(scale.timeBytes)
    let last = reader.fixed(scale.timeBytes & -several)
    entry.firstMs = scale.firstMs &+ Int64(bitPattern: first)
    entry.lastMs = scale.firstMs &+ Int64(bitPattern: last | first & ~(0 &- UInt64(several)))
    entry.example = scale.firstFlow &+ Int64(bitPattern: reader.fixed(scale.flowBytes))
    return !reader.isBroken
  }
}
