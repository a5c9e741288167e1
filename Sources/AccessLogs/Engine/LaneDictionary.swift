internal import CLanes
internal import Glibc

/// A dictionary, and the keys that the lines of a group have in it.
///
/// In steps, each for all lines before the next one, so that what they touch in memory is on its way in time:
///
///     dictionary.tags[lane] = tag      // for each line
///     dictionary.hash(runs, count)
///     dictionary.expect(count)
///     dictionary.find(0..<count)
///     dictionary.ids[lane]             // below 0: new, or as new as that of a line before it in the group
///
/// The bytes of a key are those of columns, hashed and compared in place.
struct LaneDictionary: ~Copyable {
  private(set) var interner: Interner
  /// What a key says beside its columns, by line.
  let tags: UnsafeMutablePointer<UInt64>
  let hashes: UnsafeMutablePointer<UInt64>
  let ids: UnsafeMutablePointer<Int32>
  private let keys: UnsafeMutablePointer<lanes_keys>

  /// - Parameters:
  ///   - slices: those of the lines of a group.
  ///   - secrets: outlive the dictionary.
  init(_ interner: consuming Interner, _ slices: LaneSlices, _ secrets: KeySecrets) {
    self.interner = interner
    tags = .allocate(capacity: LineParser.group)
    tags.initialize(repeating: 0, count: LineParser.group)
    hashes = .allocate(capacity: LineParser.group)
    hashes.initialize(repeating: 0, count: LineParser.group)
    ids = .allocate(capacity: LineParser.group)
    ids.initialize(repeating: -1, count: LineParser.group)
    keys = .allocate(capacity: 1)
    keys.initialize(to: lanes_keys())
    keys.pointee.tags = tags
    keys.pointee.hashes = hashes
    keys.pointee.ids = ids
    // The same memory under the name that C has for it.
    keys.pointee.slices = UnsafeRawPointer(slices).assumingMemoryBound(to: lanes_slice.self)
    keys.pointee.slots = UInt64(Fields.slots)
    keys.pointee.secrets = UnsafePointer(secrets.words)
    self.interner.show(in: keys)
  }

  deinit {
    tags.deallocate()
    hashes.deallocate()
    ids.deallocate()
    keys.deallocate()
  }

  /// Hashes the keys of `count` lines and asks for the memory in which their look-ups begin.
  @inline(__always) func hash(_ runs: KeyRuns, _ count: Int, _ kernels: borrowing lanes_kernels) {
    keys.pointee.runs = runs.baseAddress
    keys.pointee.run_count = UInt64(truncatingIfNeeded: runs.count)
    kernels.hash(keys, UInt32(truncatingIfNeeded: count))
  }

  /// Asks for the memory with which the keys are compared that were hashed last.
  @inline(__always) func expect(_ count: Int) { lanes_expect(keys, UInt32(truncatingIfNeeded: count)) }

  /// Looks up the keys that were hashed last.
  @inline(__always) func find(_ lines: Range<Int>, _ kernels: borrowing lanes_kernels) {
    kernels.find(keys, UInt32(truncatingIfNeeded: lines.lowerBound), UInt32(truncatingIfNeeded: lines.upperBound))
  }

  /// Adds a key that `find` did not find.
  mutating func add(_ hash: UInt64, _ key: Slice) -> Int32 {
    let id = interner.add(hash, key)
    interner.show(in: keys)
    return id
  }

  mutating func restart() { interner.restart() }
}

/// The slices of a group of lines: those of the next line `Fields.slots` behind.
typealias LaneSlices = UnsafePointer<Slice>

/// Random words that keep who writes a log from aiming for keys of equal hashes.
final class KeySecrets {
  let words: UnsafeMutablePointer<UInt64>

  init() {
    words = .allocate(capacity: 6)
    for index in 0..<6 { (words + index).initialize(to: UInt64.random(in: 1 ... .max)) }
  }

  deinit { words.deallocate() }
}
