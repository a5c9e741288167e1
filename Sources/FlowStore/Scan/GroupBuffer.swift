internal import Dispatch

/// Groups side by side that one thread appends to, without a look at who else may hold them.
///
/// `@unchecked Sendable`: one thread at a time has it.
struct GroupBuffer: @unchecked Sendable {
  /// Gives the memory back to the system with the last copy: it is large, and what a process keeps for itself of what it
  /// outgrew would be as large again.
  private final class Owner { var memory: ReservedMemory? }

  private static let firstCapacity = 1 << 19
  /// Bytes: most reports have few groups.
  private static let small = 1 << 16

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
    let memory = ReservedMemory(wider * MemoryLayout<Tally.Group>.stride, small: GroupBuffer.small)
    let groups = memory.start.bindMemory(to: Tally.Group.self, capacity: wider)
    // In bounds: there is more room than before.
    if let base { groups.initialize(from: base, count: count) }
    owner.memory = memory
    (base, capacity) = (groups, wider)
  }

  /// What several hold, who are empty then.
  static func joined(_ buffers: inout [GroupBuffer]) -> [Tally.Group] {
    let parts = buffers
    buffers = buffers.map { _ in GroupBuffer() }
    let begins = parts.reduce(into: [0]) { $0.append($0.last! + $1.count) }
    return [Tally.Group](unsafeUninitializedCapacity: begins.last!) { groups, count in
      count = begins.last!
      // In bounds: the capacity is the sum of all counts. Each thread writes its own part.
      nonisolated(unsafe) let base = groups.baseAddress
      DispatchQueue.concurrentPerform(iterations: parts.count) { index in
        if let part = parts[index].base { (base! + begins[index]).initialize(from: part, count: parts[index].count) }
      }
    }
  }
}
