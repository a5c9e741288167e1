/// Histograms of the durations in groups, by one thread: some durations are noted before they are counted, so that the
/// processor has the buckets of one part at hand and not those of all groups in turn.
///
/// All copies are one, for a class would be counted in and out with each flow.
struct DurationParts {
  /// Durations noted before they are counted.
  private static let room = 1024
  /// Of what is noted: a bucket, and above it the group.
  private static let bucketBits: UInt32 = 12
  /// A bucket counts no further than 32 bits, also what all threads found together.
  private static let mostFlows = UInt64(UInt32.max) / UInt64(FlowScan.maxThreads)

  private struct Counts {
    var buckets: UnsafeMutablePointer<UInt32>?
    var room = 0
    var sum: UInt64 = 0
    var min = Int64.max
    var max: Int64 = -1
  }

  private struct Part {
    /// By group.
    var counts: UnsafeMutablePointer<Counts>
    var room = 0
    /// How many of the groups have some; those behind are not initialized.
    var groups = 0
    var noted = 0
  }

  private let count: Int
  private let parts: UnsafeMutablePointer<Part>
  /// Room for `room` of each part.
  private let noted: UnsafeMutablePointer<UInt32>
  private let state: UnsafeMutablePointer<State>

  private struct State {
    /// Of all that was noted.
    var flows: UInt64 = 0
    var isGood = true
  }

  init(count: Int) {
    precondition(Histogram.bucketCount <= 1 << Int(DurationParts.bucketBits))
    self.count = count
    parts = .allocate(capacity: count)
    for part in 0..<count { (parts + part).initialize(to: Part(counts: .allocate(capacity: 0))) }
    noted = .allocate(capacity: count * DurationParts.room)
    state = .allocate(capacity: 1)
    state.initialize(to: State())
  }

  func deallocate() {
    for part in 0..<count {
      for group in 0..<parts[part].groups { parts[part].counts[group].buckets?.deallocate() }
      parts[part].counts.deallocate()
    }
    parts.deallocate()
    noted.deallocate()
    state.deallocate()
  }

  /// - Parameter group: the number of a group of the part; at most one more than those before.
  @inline(__always)
  func note(_ duration: Int64, _ part: Int, _ group: Int) {
    if group >= parts[part].groups { add(group, part) }
    let value = Swift.min(Swift.max(duration, 0), Histogram.maxValue)
    // In bounds: the group was just added.
    let counts = parts[part].counts + group
    counts.pointee.sum &+= UInt64(value)
    counts.pointee.min = Swift.min(counts.pointee.min, value)
    counts.pointee.max = Swift.max(counts.pointee.max, value)
    let at = parts[part].noted
    // In bounds: emptied when full.
    noted[part * DurationParts.room + at] =
      UInt32(truncatingIfNeeded: group) << DurationParts.bucketBits
      | UInt32(truncatingIfNeeded: Histogram.bucket(of: value))
    parts[part].noted = at + 1
    if at + 1 == DurationParts.room { empty(part) }
  }

  @inline(never)
  private func add(_ group: Int, _ part: Int) {
    if group >= parts[part].room {
      let room = Swift.max(64, 2 * group)
      let wider = UnsafeMutablePointer<Counts>.allocate(capacity: room)
      wider.moveInitialize(from: parts[part].counts, count: parts[part].groups)
      parts[part].counts.deallocate()
      (parts[part].counts, parts[part].room) = (wider, room)
    }
    while parts[part].groups <= group {
      (parts[part].counts + parts[part].groups).initialize(to: Counts())
      parts[part].groups += 1
    }
    // Beyond what a note can tell apart.
    if group >= 1 << (32 - Int(DurationParts.bucketBits)) { state.pointee.isGood = false }
  }

  @inline(never)
  private func empty(_ part: Int) {
    state.pointee.flows += UInt64(parts[part].noted)
    if state.pointee.flows > DurationParts.mostFlows { state.pointee.isGood = false }
    if state.pointee.isGood {
      for index in 0..<parts[part].noted {
        let note = noted[part * DurationParts.room + index]
        let counts = parts[part].counts + Int(note >> DurationParts.bucketBits)
        let bucket = Int(note & (1 << DurationParts.bucketBits - 1))
        if bucket >= counts.pointee.room { DurationParts.widen(counts, to: bucket + 1) }
        counts.pointee.buckets.unsafelyUnwrapped[bucket] &+= 1
      }
    }
    parts[part].noted = 0
  }

  private static func widen(_ counts: UnsafeMutablePointer<Counts>, to bucket: Int) {
    // A half more each time, in steps: the slowest flow of a group comes late.
    let room = Swift.min(Swift.max(bucket, counts.pointee.room * 3 / 2) | 63 + 1, 1 << Int(bucketBits))
    let wider = UnsafeMutablePointer<UInt32>.allocate(capacity: room)
    wider.initialize(repeating: 0, count: room)
    if let buckets = counts.pointee.buckets {
      wider.update(from: buckets, count: counts.pointee.room)
      buckets.deallocate()
    }
    (counts.pointee.buckets, counts.pointee.room) = (wider, room)
  }

  /// Counts what is only noted yet.
  /// - Returns: false where there is more than can be counted.
  func close() -> Bool {
    for part in 0..<count { empty(part) }
    return state.pointee.isGood
  }

  /// Adds the durations that another thread counted in one of its groups.
  func take(_ part: Int, _ group: Int, of other: DurationParts, _ otherGroup: Int) {
    let more = other.parts[part].counts + otherGroup
    if group >= parts[part].groups { add(group, part) }
    let counts = parts[part].counts + group
    counts.pointee.sum &+= more.pointee.sum
    counts.pointee.min = Swift.min(counts.pointee.min, more.pointee.min)
    counts.pointee.max = Swift.max(counts.pointee.max, more.pointee.max)
    if counts.pointee.room < more.pointee.room {
      swap(&counts.pointee.buckets, &more.pointee.buckets)
      swap(&counts.pointee.room, &more.pointee.room)
    }
    guard let buckets = counts.pointee.buckets, let others = more.pointee.buckets else { return }
    for bucket in 0..<more.pointee.room { buckets[bucket] &+= others[bucket] }
  }

  /// The histograms of the first `groups` groups of a part.
  func initialize(_ target: UnsafeMutablePointer<Histogram>, _ part: Int, _ groups: Int) {
    for group in 0..<groups {
      guard group < parts[part].groups, let buckets = parts[part].counts[group].buckets else {
        (target + group).initialize(to: Histogram())
        continue
      }
      let counts = parts[part].counts[group]
      (target + group).initialize(
        to: Histogram(
          buckets: UnsafeBufferPointer(start: buckets, count: counts.room), sum: counts.sum, min: counts.min,
          max: counts.max))
    }
  }
}
