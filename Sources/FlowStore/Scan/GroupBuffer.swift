internal import Glibc

/// Groups side by side that one thread appends to, without a look at who else may hold them.
///
/// `@unchecked Sendable`: one thread at a time has it.
struct GroupBuffer: @unchecked Sendable {
  /// Frees the memory with the last copy.
  private final class Owner {
    var memory: UnsafeMutablePointer<Tally.Group>?
    deinit { free(memory) }
  }

  private let owner = Owner()
  private var base: UnsafeMutablePointer<Tally.Group>?
  private(set) var count = 0
  private var capacity = 0

  /// - Parameter slot: below `count`.
  @inline(__always)
  subscript(slot: Int) -> Tally.Group {
    // In bounds: what is below `count` was appended.
    unsafeAddress {
      precondition(slot >= 0 && slot < count)
      return UnsafePointer(base.unsafelyUnwrapped + slot)
    }
    unsafeMutableAddress {
      precondition(slot >= 0 && slot < count)
      return base.unsafelyUnwrapped + slot
    }
  }

  /// - Returns: its number.
  @inline(__always)
  mutating func append(_ group: Tally.Group) -> Int {
    if count == capacity { grow() }
    base.unsafelyUnwrapped[count] = group
    count += 1
    return count - 1
  }

  @inline(never)
  private mutating func grow() {
    capacity = max(2 * capacity, 1024)
    guard let memory = realloc(base, capacity * MemoryLayout<Tally.Group>.stride) else { fatalError("out of memory") }
    base = memory.bindMemory(to: Tally.Group.self, capacity: capacity)
    owner.memory = base
  }

  /// What several hold.
  static func joined(_ buffers: [GroupBuffer]) -> [Tally.Group] {
    [Tally.Group](unsafeUninitializedCapacity: buffers.reduce(0) { $0 + $1.count }) { groups, count in
      for buffer in buffers {
        guard let base = buffer.base else { continue }
        // In bounds: the capacity is the sum of all counts.
        (groups.baseAddress! + count).initialize(from: base, count: buffer.count)
        count += buffer.count
      }
    }
  }
}
