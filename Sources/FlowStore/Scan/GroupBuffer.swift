internal import Glibc

/// Groups side by side that one thread appends to, without a look at who else may hold them.
///
/// `@unchecked Sendable`: one thread at a time has it.
struct GroupBuffer: @unchecked Sendable {
  /// Gives the memory back to the system with the last copy: it is large, and what a process keeps for itself of what it
  /// outgrew would be as large again.
  private final class Owner {
    var memory: UnsafeMutableRawPointer?
    var byteCount = 0
    deinit { giveBack() }

    func giveBack() { if let memory { munmap(memory, byteCount) } }
  }

  /// Nothing is taken from the system before it is written to.
  private static let firstCapacity = 1 << 19

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
    let wider = max(2 * capacity, GroupBuffer.firstCapacity)
    let byteCount = wider * MemoryLayout<Tally.Group>.stride
    guard
      let memory = mmap(
        nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      memory != MAP_FAILED
    else { fatalError("out of memory") }
    let groups = memory.bindMemory(to: Tally.Group.self, capacity: wider)
    // In bounds: there is more room than before.
    if let base { groups.initialize(from: base, count: count) }
    owner.giveBack()
    (owner.memory, owner.byteCount) = (memory, byteCount)
    (base, capacity) = (groups, wider)
  }

  /// What several hold, who are empty then.
  static func joined(_ buffers: inout [GroupBuffer]) -> [Tally.Group] {
    [Tally.Group](unsafeUninitializedCapacity: buffers.reduce(0) { $0 + $1.count }) { groups, count in
      for index in buffers.indices {
        guard let base = buffers[index].base else { continue }
        // In bounds: the capacity is the sum of all counts.
        (groups.baseAddress! + count).initialize(from: base, count: buffers[index].count)
        count += buffers[index].count
        buffers[index] = GroupBuffer()
      }
    }
  }
}
