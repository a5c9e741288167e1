/// Groups side by side in blocks, as they were counted: copied into an array, they would be in memory twice.
///
/// `@unchecked Sendable`: nothing changes after it is made.
public struct GroupList: RandomAccessCollection, @unchecked Sendable {
  /// Has the memory of the blocks.
  @usableFromInline let owner: AnyObject
  /// Where each block begins. All but the last are full.
  @usableFromInline let blocks: UnsafePointer<UnsafeMutablePointer<Tally.Group>>
  public let endIndex: Int

  /// A block nearly fills a large page.
  @usableFromInline static let blockBits = 15
  static let blockLength = 1 << blockBits

  @inlinable public var startIndex: Int { 0 }

  @inlinable public subscript(index: Int) -> Tally.Group {
    precondition(index >= 0 && index < endIndex)
    // In bounds: there are as many blocks as all groups need.
    return blocks[index >> GroupList.blockBits][index & (1 << GroupList.blockBits - 1)]
  }

  init(_ groups: [Tally.Group]) {
    self.init(capacity: groups.count) { place in
      if let place, !groups.isEmpty {
        groups.withUnsafeBufferPointer { place.initialize(from: $0.baseAddress!, count: groups.count) }
      }
      return groups.count
    }
  }

  /// - Parameters:
  ///   - capacity: what nobody writes to costs nothing.
  ///   - fill: writes groups side by side from a place on, and says how many.
  init(capacity: Int, _ fill: (UnsafeMutablePointer<Tally.Group>?) -> Int) {
    guard capacity > 0 else {
      self.init(GroupBlocks(), 0)
      return
    }
    let memory = ReservedMemory(capacity * MemoryLayout<Tally.Group>.stride, small: GroupBlocks.small)
    let begin = memory.start.bindMemory(to: Tally.Group.self, capacity: capacity)
    let count = fill(begin)
    precondition(count <= capacity)
    let blocks = GroupBlocks()
    for first in stride(from: 0, to: count, by: GroupList.blockLength) { blocks.append(begin + first, in: memory) }
    self.init(blocks, count)
  }

  fileprivate init(_ blocks: GroupBlocks, _ count: Int) {
    owner = blocks
    self.blocks = UnsafePointer(blocks.begins)
    endIndex = count
  }
}

/// Where blocks of groups begin, and their memory.
private final class GroupBlocks {
  /// Bytes: most reports have few groups.
  static let small = 1 << 16

  private(set) var begins = UnsafeMutablePointer<UnsafeMutablePointer<Tally.Group>>.allocate(capacity: 1)
  private var room = 1
  private(set) var count = 0
  private(set) var memory: [ReservedMemory] = []

  deinit { begins.deallocate() }

  func append(_ begin: UnsafeMutablePointer<Tally.Group>, in owner: ReservedMemory) {
    if count == room {
      let wider = UnsafeMutablePointer<UnsafeMutablePointer<Tally.Group>>.allocate(capacity: 2 * room)
      wider.moveInitialize(from: begins, count: count)
      begins.deallocate()
      (begins, room) = (wider, 2 * room)
    }
    (begins + count).initialize(to: begin)
    count += 1
    if memory.last !== owner { memory.append(owner) }
  }

  func appendEmpty() {
    let block = ReservedMemory(
      GroupList.blockLength * MemoryLayout<Tally.Group>.stride, small: count == 0 ? GroupBlocks.small : 0)
    append(block.start.bindMemory(to: Tally.Group.self, capacity: GroupList.blockLength), in: block)
  }
}

/// Groups that one thread appends to, without a look at who else may hold them.
///
/// `@unchecked Sendable`: one thread at a time has it.
struct GroupBuffer: @unchecked Sendable {
  private let blocks = GroupBlocks()
  private var begins: UnsafeMutablePointer<UnsafeMutablePointer<Tally.Group>>?
  private(set) var count = 0
  private var capacity = 0

  @inline(__always)
  private func address(_ slot: Int) -> UnsafeMutablePointer<Tally.Group> {
    // In bounds: there is a block for each slot below `capacity`.
    begins.unsafelyUnwrapped[slot >> GroupList.blockBits] + slot & (GroupList.blockLength - 1)
  }

  /// - Parameter slot: below `count`.
  @inline(__always)
  subscript(slot: Int) -> Tally.Group {
    unsafeAddress {
      precondition(slot >= 0 && slot < count)
      return UnsafePointer(address(slot))
    }
    unsafeMutableAddress {
      precondition(slot >= 0 && slot < count)
      return address(slot)
    }
  }

  /// - Returns: its number.
  @inline(__always)
  mutating func append(_ group: Tally.Group) -> Int {
    if count == capacity { grow() }
    address(count).initialize(to: group)
    count += 1
    return count - 1
  }

  @inline(never)
  private mutating func grow() {
    blocks.appendEmpty()
    begins = blocks.begins
    capacity += GroupList.blockLength
  }

  /// What several hold, which nobody may append to any more: whole blocks first, and then what is left of each, that of the
  /// one with most of it where it is.
  static func joined(_ buffers: [GroupBuffer]) -> GroupList {
    let all = GroupBlocks()
    var count = 0
    func take(_ buffer: GroupBuffer, _ blocks: Range<Int>) {
      for block in blocks { all.append(buffer.blocks.begins[block], in: buffer.blocks.memory[block]) }
    }
    for buffer in buffers {
      take(buffer, 0..<wholeCount(buffer.count) / GroupList.blockLength)
      count += wholeCount(buffer.count)
    }
    let order = restOrder(buffers.map(\.count))
    guard let first = order.first, var rest = buffers[first].rest else { return GroupList(all, count) }
    for other in order.dropFirst() {
      let other = buffers[other]
      for slot in wholeCount(other.count)..<other.count { _ = rest.append(other[slot]) }
    }
    take(rest, 0..<rest.blocks.count)
    return GroupList(all, count + rest.count)
  }

  /// What belongs to each of their groups, in the same order.
  static func joined<Element>(_ parts: [[Element]]) -> [Element] {
    let rests = restOrder(parts.map(\.count)).map { parts[$0] }
    return parts.flatMap { $0[..<wholeCount($0.count)] } + rests.flatMap { $0[wholeCount($0.count)...] }
  }

  /// Of some buffers those that have a block that is not full, the one with most in it first.
  private static func restOrder(_ counts: [Int]) -> [Int] {
    let rests = counts.map { $0 - wholeCount($0) }
    return rests.indices.filter { rests[$0] > 0 }.sorted { (rests[$1], $0) < (rests[$0], $1) }
  }

  /// The block that is not full, to append to.
  private var rest: GroupBuffer? {
    let whole = GroupBuffer.wholeCount(count)
    guard whole < count, let memory = blocks.memory.last else { return nil }
    var rest = GroupBuffer()
    rest.blocks.append(blocks.begins[blocks.count - 1], in: memory)
    rest.begins = rest.blocks.begins
    (rest.count, rest.capacity) = (count - whole, GroupList.blockLength)
    return rest
  }

  /// Of so many groups, those in blocks that are full.
  private static func wholeCount(_ count: Int) -> Int { count & ~(GroupList.blockLength - 1) }
}
