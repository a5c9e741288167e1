internal import GRDB

/// The leaves of the table `flow`, as pages of the file: the way to look at every flow without SQLite's own loop, which
/// spends ten times as long on each row. `PageFile` says why they are one state of the store; where they cannot be had, the
/// reader asks SQL.
///
/// Pages are not trusted: every offset is checked, and what is not as the store writes it ends the reading.
final class FlowPages: Sendable {
  typealias Unusable = PageFile.Unusable

  /// Numbers of the leaf pages, in the order of their row ids, and the highest id that each may hold.
  private let leaves: [UInt32]
  private let lastIDs: [Int64]
  private let file: PageFile
  var pageSize: Int { file.pageSize }
  var usableSize: Int { file.usableSize }

  /// Pages read at a time where they follow one another in the file.
  static let pagesPerRead = 16
  /// A tree of 2^32 pages is not this high.
  private static let maxHeight = 20
  /// Readable bytes behind what was read: a damaged row's values may seem to lie this far behind its page (11 of at most
  /// 255 bytes each) before that is noticed.
  static let slack = 4096

  /// - Parameter db: inside a transaction; the first look that opens its snapshot is made here.
  init?(_ db: Database, path: String) throws {
    guard let connection = db.sqliteConnection else { return nil }
    var root: UInt32?
    file = try PageFile(connection, path: path) {
      let table = try db.statement("select rootpage from sqlite_schema where type = 'table' and name = 'flow'")
      if try table.step() { root = UInt32(exactly: table.int(0)) }
    }
    guard let root else { return nil }
    var tree = Tree(file: file)
    let page = UnsafeMutableRawBufferPointer.allocate(byteCount: file.pageSize + FlowPages.slack, alignment: 16)
    defer { page.deallocate() }
    try tree.descend(to: root, height: 0, lastID: .max, page)
    (leaves, lastIDs) = (tree.leaves, tree.lastIDs)
  }

  /// Finds the leaves.
  private struct Tree {
    let file: PageFile
    var leaves: [UInt32] = []
    var lastIDs: [Int64] = []

    /// Collects the leaves below a page. Section 1.6: an interior page of a table has type 5, a header of 12 bytes with the
    /// right-most child at 8, and cells of a child's number and the highest row id below it, as a varint.
    mutating func descend(
      to number: UInt32, height: Int, lastID: Int64, _ page: UnsafeMutableRawBufferPointer
    ) throws(Unusable) {
      guard height < FlowPages.maxHeight else { throw Unusable() }
      try file.read(number, count: 1, into: page)
      if page[0] == 0x0D {
        leaves.append(number)
        lastIDs.append(lastID)
        return
      }
      guard page[0] == 0x05 else { throw Unusable() }
      func number16(_ at: Int) -> Int { Int(page[at]) << 8 | Int(page[at + 1]) }
      func number32(_ at: Int) -> UInt32 { UInt32(number16(at)) << 16 | UInt32(number16(at + 2)) }
      let count = number16(3)
      guard 12 + 2 * count <= file.usableSize else { throw Unusable() }
      var children: [UInt32] = []
      var ids: [Int64] = []
      for index in 0..<count {
        let cell = number16(12 + 2 * index)
        // The slack behind the page holds what a varint at its end may seem to go on with.
        guard cell + 4 <= file.usableSize else { throw Unusable() }
        children.append(number32(cell))
        ids.append(Tree.varint(UnsafeRawBufferPointer(page), at: cell + 4))
      }
      children.append(number32(8))
      ids.append(lastID)
      guard zip(ids, ids.dropFirst()).allSatisfy({ $0 <= $1 }), ids[0] > lastIDs.last ?? .min else { throw Unusable() }
      // All children of a page are of one kind: a look at the first tells whether they are leaves.
      try file.read(children[0], count: 1, into: page)
      if page[0] == 0x0D {
        leaves += children
        lastIDs += ids
        guard leaves.count <= Int(file.pageCount) else { throw Unusable() }
      } else {
        for (child, id) in zip(children, ids) { try descend(to: child, height: height + 1, lastID: id, page) }
      }
    }

    /// Section 1.6: at most nine bytes, the last with eight bits.
    private static func varint(_ bytes: UnsafeRawBufferPointer, at start: Int) -> Int64 {
      var number: UInt64 = 0
      for index in 0..<8 {
        let byte = bytes[start + index]
        number = number << 7 | UInt64(byte & 0x7F)
        if byte < 0x80 { return Int64(bitPattern: number) }
      }
      return Int64(bitPattern: number << 8 | UInt64(bytes[start + 8]))
    }
  }

  // MARK: Rows

  /// Some leaves in a row, and which of their rows are meant.
  struct Stretch {
    var leaves: Range<Int>
    var ids: ClosedRange<Int64>
  }

  /// The leaves that hold rows of a range of ids, at most `count` to a stretch.
  func stretches(of ids: ClosedRange<Int64>, leaves count: Int) -> [Stretch] {
    guard !leaves.isEmpty else { return [] }
    /// The first leaf that may hold an id or a higher one.
    func leaf(of id: Int64) -> Int {
      var (low, high) = (0, leaves.count - 1)
      while low < high {
        let middle = (low + high) / 2
        if lastIDs[middle] < id { low = middle + 1 } else { high = middle }
      }
      return low
    }
    let (first, last) = (leaf(of: ids.lowerBound), leaf(of: ids.upperBound))
    return stride(from: first, through: last, by: count).map {
      Stretch(leaves: $0..<min($0 + count, last + 1), ids: ids)
    }
  }

  /// Room for what `forEach` reads at a time, and what one thread knows of rows.
  struct Buffer {
    fileprivate let bytes: UnsafeMutableRawBufferPointer
    let layouts = RowLayouts()

    func deallocate() {
      bytes.deallocate()
      layouts.deallocate()
    }
  }

  /// For the caller to deallocate.
  func makeBuffer() -> Buffer {
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: FlowPages.pagesPerRead * pageSize + FlowPages.slack, alignment: 16)
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    return Buffer(bytes: bytes)
  }

  /// Calls `body` for each row of a stretch; false when something is not as the store writes it.
  @inline(__always)
  func forEach(
    in stretch: Stretch, _ buffer: Buffer, _ body: (PageRow) -> Void
  ) -> Bool {
    let isAll = stretch.ids == .min ... .max
    return forEachPage(in: stretch, buffer) { page in
      FlowRecord.forEach(in: page, usableSize: usableSize, buffer.layouts) { flow in
        if isAll || stretch.ids.contains(flow.id) { body(flow) }
      }
    }
  }

  /// Calls `body` for each leaf of a stretch until it says false; false then, and where a page cannot be read.
  @inline(__always)
  func forEachPage(
    in stretch: Stretch, _ buffer: Buffer, _ body: (UnsafeRawPointer) -> Bool
  ) -> Bool {
    do throws(Unusable) {
      var leaf = stretch.leaves.lowerBound
      while leaf < stretch.leaves.upperBound {
        let count = run(from: leaf, below: stretch.leaves.upperBound)
        try file.read(leaves[leaf], count: count, into: buffer.bytes)
        for page in 0..<count {
          guard body(UnsafeRawPointer(buffer.bytes.baseAddress! + page * pageSize)) else { return false }
        }
        leaf += count
      }
      return true
    } catch {
      return false
    }
  }

  /// How many of the leaves from `index` on lie side by side in the file, and fit into one read.
  private func run(from index: Int, below end: Int) -> Int {
    var length = 1
    guard !file.standsAlone(leaves[index]) else { return 1 }
    while length < FlowPages.pagesPerRead, index + length < end,
      leaves[index + length] == leaves[index] &+ UInt32(length), !file.standsAlone(leaves[index + length])
    { length += 1 }
    return length
  }
}
