internal import Dispatch
internal import Glibc

/// Flows added up in groups of which there may be hundreds of thousands, by several threads. The groups are told apart by a part
/// of the key first, and the flows of a part are noted before they are added: the memory of one part's groups is at hand
/// then. As long as all notes fit into memory, each part is added up once, with what all threads noted.
///
/// `@unchecked Sendable`: belongs to one thread until all flows are noted, and then each part to one.
final class GroupParts: @unchecked Sendable {
  private static let partBits: UInt64 = 6
  static let count = 1 << Int(partBits)

  /// Flows of a part noted side by side.
  private static let notesPerChunk = 512
  /// Memory for the notes of all threads, in bytes.
  private static let mostNotes = 24 << 20
  /// Of one thread at least, so that each part has some chunks.
  private static let leastChunks = 4 * count

  /// Small, for what is noted goes to memory and back.
  private struct Noted: BitwiseCopyable {
    var lowKey, highKey: UInt32
    /// Behind the chunk's `baseMs`.
    var delayMs: UInt32
    /// `none` where they were not logged.
    var sent, received: UInt32

    static let none = UInt32.max
    @inline(__always) var key: UInt64 { UInt64(highKey) << 32 | UInt64(lowKey) }
  }

  private struct Chunk {
    var notes: UnsafeMutablePointer<Noted>
    var baseMs: Int64
  }

  /// Where the next flow of a part is noted.
  private struct Pen {
    var next, end: UnsafeMutablePointer<Noted>
    var baseMs: Int64 = 0
    var chunks: [Chunk] = []
  }

  private let tables: UnsafeMutablePointer<PartTable>
  private let pens: UnsafeMutablePointer<Pen>
  private let memory: NoteMemory
  private let durations: DurationParts?
  /// Whether notes are kept until all are there.
  private let keepsNotes: Bool

  /// - Parameters:
  ///   - hasManyGroups: also told apart by source; where they are not, groups are few.
  ///   - chunks: how many chunks of notes the thread may have; a test takes few.
  init(measuringDurations: Bool, hasManyGroups: Bool = true, threads: Int, chunks: Int? = nil) {
    keepsNotes = hasManyGroups && !measuringDurations
    let chunkBytes = GroupParts.notesPerChunk * MemoryLayout<Noted>.stride
    memory = NoteMemory(
      pieces: max(GroupParts.leastChunks, chunks ?? GroupParts.mostNotes / threads / chunkBytes), of: chunkBytes)
    tables = .allocate(capacity: GroupParts.count)
    pens = .allocate(capacity: GroupParts.count)
    for part in 0..<GroupParts.count {
      (tables + part).initialize(to: PartTable())
      let nowhere = memory.start.assumingMemoryBound(to: Noted.self)
      (pens + part).initialize(to: Pen(next: nowhere, end: nowhere))
    }
    durations = measuringDurations ? DurationParts(count: GroupParts.count) : nil
  }

  deinit {
    for part in 0..<GroupParts.count { tables[part].deallocate() }
    tables.deallocate()
    pens.deinitialize(count: GroupParts.count)
    pens.deallocate()
    durations?.deallocate()
  }

  @inline(__always)
  func note(_ flow: PageRow, _ key: UInt64) {
    if durations == nil {
      note(
        key, flow.startedAtMs, sent: flow.sent, received: flow.received, hasSent: flow.hasSent,
        hasReceived: flow.hasReceived)
    } else {
      note(key, flow.startedAtMs, sent: flow.durationMs, received: 0, hasSent: true, hasReceived: false)
    }
  }

  /// - Parameter sent: 0 where it was not logged; where durations are measured, the duration.
  @inline(__always)
  func note(
    _ key: UInt64, _ startedAtMs: Int64, sent: Int64, received: Int64, hasSent: Bool, hasReceived: Bool
  ) {
    // The highest bits of what a table looks a key up by the middle of; in bounds, for there are as many parts.
    let part = Int(truncatingIfNeeded: (key &* GroupTable.spread) >> (64 - GroupParts.partBits))
    let pen = pens + part
    if pen.pointee.next == pen.pointee.end { turn(part, startedAtMs) }
    let delayMs = UInt64(bitPattern: startedAtMs &- pen.pointee.baseMs)
    // What has no room in a note is added at once.
    guard (delayMs | UInt64(bitPattern: sent | received)) >> 31 == 0 else {
      return add(part, key, startedAtMs, sent: hasSent ? sent : nil, received: hasReceived ? received : nil)
    }
    // In bounds: there is another chunk where one is full.
    pen.pointee.next.initialize(
      to: Noted(
        lowKey: UInt32(truncatingIfNeeded: key), highKey: UInt32(truncatingIfNeeded: key >> 32),
        delayMs: UInt32(truncatingIfNeeded: delayMs), sent: hasSent ? UInt32(truncatingIfNeeded: sent) : Noted.none,
        received: hasReceived ? UInt32(truncatingIfNeeded: received) : Noted.none))
    pen.pointee.next += 1
  }

  @inline(never)
  private func add(_ part: Int, _ key: UInt64, _ startedAtMs: Int64, sent: Int64?, received: Int64?) {
    let slot = tables[part].slot(of: key, key &* GroupTable.spread)
    guard let durations else {
      return tables[part][slot].add(startedAtMs: startedAtMs, sent: sent, received: received)
    }
    tables[part][slot].add(flows: 1, firstMs: startedAtMs, lastMs: startedAtMs)
    durations.note(sent ?? 0, part, slot)
  }

  /// Takes the next chunk of a part; where there is none, what was noted is added first.
  @inline(never)
  private func turn(_ part: Int, _ startedAtMs: Int64) {
    if !keepsNotes, let chunk = pens[part].chunks.last {
      // The groups of a part are at hand soon enough, and its notes stay so.
      write(part, to: &tables[part])
      pens[part].next = chunk.notes
      pens[part].baseMs = startedAtMs &- 1 << 30
      pens[part].chunks[0].baseMs = pens[part].baseMs
      return
    }
    if memory.isTaken {
      for part in 0..<GroupParts.count { empty(part) }
      memory.giveBack()
    }
    let notes = memory.take().bindMemory(to: Noted.self, capacity: GroupParts.notesPerChunk)
    // Half of what a note can tell lies before the first flow, for logs are read in no order of time.
    let baseMs = startedAtMs &- 1 << 30
    pens[part].next = notes
    pens[part].end = notes + GroupParts.notesPerChunk
    pens[part].baseMs = baseMs
    pens[part].chunks.append(Chunk(notes: notes, baseMs: baseMs))
  }

  /// Adds what was noted of a part, all of it.
  private func empty(_ part: Int) {
    write(part, to: &tables[part])
    let nowhere = memory.start.assumingMemoryBound(to: Noted.self)
    pens[part].chunks.removeAll(keepingCapacity: true)
    (pens[part].next, pens[part].end) = (nowhere, nowhere)
  }

  /// Adds what was noted of a part to a table, which may be another thread's.
  private func write(_ part: Int, to table: inout PartTable) {
    let chunks = pens[part].chunks
    guard let last = chunks.last else { return }
    let noted = (chunks.count - 1) * GroupParts.notesPerChunk + (pens[part].next - last.notes)
    table.prepare(forFlows: noted)
    withUnsafeTemporaryAllocation(of: Int.self, capacity: GroupParts.notesPerChunk) { slots in
      for (index, chunk) in chunks.enumerated() {
        let count = index + 1 < chunks.count ? GroupParts.notesPerChunk : pens[part].next - chunk.notes
        if let durations {
          GroupParts.write(chunk, count, to: &table, durations, part)
        } else {
          GroupParts.write(chunk, count, to: &table, slots)
        }
      }
    }
  }

  /// - Parameter slots: room for a chunk's.
  @inline(never)
  private static func write(
    _ chunk: Chunk, _ count: Int, to table: inout PartTable, _ slots: UnsafeMutableBufferPointer<Int>
  ) {
    // Looked up before the first is added, so that none waits for another's memory.
    for index in 0..<count { slots[index] = table.firstSlot(of: chunk.notes[index].key) }
    for index in 0..<count {
      // In bounds: `count` of the chunk were noted.
      let flow = chunk.notes[index]
      var slot = slots[index]
      if slot < 0 || table[slot].key != flow.key { slot = table.slot(of: flow.key, flow.key &* GroupTable.spread) }
      table[slot].add(
        startedAtMs: chunk.baseMs &+ Int64(flow.delayMs), sent: flow.sent == Noted.none ? nil : Int64(flow.sent),
        received: flow.received == Noted.none ? nil : Int64(flow.received))
    }
  }

  @inline(never)
  private static func write(
    _ chunk: Chunk, _ count: Int, to table: inout PartTable, _ durations: DurationParts, _ part: Int
  ) {
    for index in 0..<count {
      // In bounds: `count` of the chunk were noted.
      let flow = chunk.notes[index]
      let slot = table.slot(of: flow.key, flow.key &* GroupTable.spread)
      let startedAtMs = chunk.baseMs &+ Int64(flow.delayMs)
      table[slot].add(flows: 1, firstMs: startedAtMs, lastMs: startedAtMs)
      durations.note(Int64(flow.sent), part, slot)
    }
  }

  /// To be called when there are no more flows.
  /// - Returns: false where there were more than can be counted.
  func close() -> Bool {
    guard let durations else { return true }
    for part in 0..<GroupParts.count { empty(part) }
    return durations.close()
  }

  /// What several threads found, each group once; their parts are empty then.
  static func joined(_ threads: [GroupParts]) -> GroupSums {
    guard let first = threads.first else { return GroupSums() }
    guard first.durations != nil else { return GroupSums(groups: added(threads)) }
    if threads.count > 1 {
      DispatchQueue.concurrentPerform(iterations: count) { part in
        for other in threads.dropFirst() { first.take(part, of: other) }
      }
    }
    return first.sums
  }

  private func take(_ part: Int, of other: GroupParts) {
    for index in 0..<other.tables[part].count {
      let group = other.tables[part][index]
      let slot = tables[part].slot(of: group.key, group.key &* GroupTable.spread)
      tables[part][slot].add(group)
      if let more = other.durations { durations?.take(part, slot, of: more, index) }
    }
    // Half of the memory is free before the answer takes its own.
    other.tables[part].deallocate()
  }

  /// All groups, part by part: a part's tables are freed before the next one's are made, in the same memory.
  private static func added(_ threads: [GroupParts]) -> GroupList {
    let first = threads[0]
    let most = threads.reduce(0) { sum, thread in
      (0..<count).reduce(sum) { $0 + thread.tables[$1].count } + thread.memory.taken * notesPerChunk
    }
    return GroupList(capacity: most) { base in
      guard let base else { return 0 }
      let target = Added(base: base)
      DispatchQueue.concurrentPerform(iterations: count) { part in
        for other in threads.dropFirst() { first.take(part, of: other) }
        for thread in threads { thread.write(part, to: &first.tables[part]) }
        // In bounds: no group is without a flow that was noted, or a place in a table.
        first.tables[part].initialize(target.place(for: first.tables[part].count))
        first.tables[part].deallocate()
      }
      return target.count
    }
  }

  /// `@unchecked Sendable`: places are handed out under the lock, each to one thread.
  private final class Added: @unchecked Sendable {
    private let base: UnsafeMutablePointer<Tally.Group>
    private let lock = DispatchSemaphore(value: 1)
    private(set) var count = 0

    init(base: UnsafeMutablePointer<Tally.Group>) { self.base = base }

    func place(for groups: Int) -> UnsafeMutablePointer<Tally.Group> {
      lock.wait()
      defer { lock.signal() }
      count += groups
      return base + (count - groups)
    }
  }

  /// What all parts hold, written into one array by several threads.
  private var sums: GroupSums {
    var begins = [0]
    for part in 0..<GroupParts.count { begins.append(begins[part] + tables[part].count) }
    var sums = GroupSums()
    func filled<Element>(_ write: @escaping (Int, UnsafeMutablePointer<Element>) -> Void) -> [Element] {
      [Element](unsafeUninitializedCapacity: begins[GroupParts.count]) { elements, count in
        count = begins[GroupParts.count]
        guard count > 0, let base = elements.baseAddress else { return }
        let target = Target(base: base, write: write)
        let begins = begins
        DispatchQueue.concurrentPerform(iterations: GroupParts.count) { part in
          // In bounds: the capacity is the sum of all counts.
          target.write(part, target.base + begins[part])
        }
      }
    }
    sums.groups = GroupList(filled { self.tables[$0].initialize($1) })
    if let durations { sums.durations = filled { durations.initialize($1, $0, self.tables[$0].count) } }
    return sums
  }

  /// `@unchecked Sendable`: each part is written by one thread, into places of its own.
  private struct Target<Element>: @unchecked Sendable {
    let base: UnsafeMutablePointer<Element>
    let write: (Int, UnsafeMutablePointer<Element>) -> Void
  }
}
