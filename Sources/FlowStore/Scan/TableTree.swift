internal import GRDB

/// The leaves of a table as pages of the file, in the order of their row ids: sqlite.org/fileformat2.html section 1.6.
///
/// Pages are not trusted: what is not as SQLite writes it ends the reading.
struct TableTree: Sendable {
  private(set) var leaves: [UInt32] = []
  /// The highest row id that each leaf may hold.
  private(set) var lastIDs: [Int64] = []
  private let file: PageFile

  static let leaf: UInt8 = 0x0D
  private static let interior: UInt8 = 0x05
  /// A tree of 2^32 pages is not this high.
  private static let maxHeight = 20

  init(_ root: UInt32, in file: PageFile) throws(PageFile.Unusable) {
    self.file = file
    let page = UnsafeMutableRawBufferPointer.allocate(byteCount: file.pageSize + FlowPages.slack, alignment: 16)
    defer { page.deallocate() }
    try descend(to: root, height: 0, lastID: .max, page)
  }

  /// The leaves that may hold rows of a range of ids.
  func leaves(of ids: ClosedRange<Int64>) -> Range<Int> {
    /// The first leaf that may hold an id or a higher one.
    func leaf(of id: Int64) -> Int {
      var (low, high) = (0, leaves.count - 1)
      while low < high {
        let middle = (low + high) / 2
        if lastIDs[middle] < id { low = middle + 1 } else { high = middle }
      }
      return low
    }
    return leaf(of: ids.lowerBound)..<leaf(of: ids.upperBound) + 1
  }

  /// Collects the leaves below a page. An interior page has a header of 12 bytes with the right-most child at 8, and cells of a
  /// child's number and the highest row id below it, as a varint.
  private mutating func descend(
    to number: UInt32, height: Int, lastID: Int64, _ page: UnsafeMutableRawBufferPointer
  ) throws(PageFile.Unusable) {
    guard height < TableTree.maxHeight else { throw PageFile.Unusable() }
    try file.read(number, count: 1, into: page)
    if page[0] == TableTree.leaf {
      leaves.append(number)
      lastIDs.append(lastID)
      return
    }
    guard page[0] == TableTree.interior else { throw PageFile.Unusable() }
    let bytes = UnsafeRawBufferPointer(page)
    let count = bytes.number16(3)
    guard 12 + 2 * count <= file.usableSize else { throw PageFile.Unusable() }
    var children: [UInt32] = []
    var ids: [Int64] = []
    for index in 0..<count {
      let cell = bytes.number16(12 + 2 * index)
      // The slack behind the page holds what a varint at its end may seem to go on with.
      guard cell + 4 <= file.usableSize else { throw PageFile.Unusable() }
      children.append(bytes.number32(cell))
      ids.append(bytes.varint(cell + 4).number)
    }
    children.append(bytes.number32(8))
    ids.append(lastID)
    guard zip(ids, ids.dropFirst()).allSatisfy({ $0 <= $1 }), ids[0] > lastIDs.last ?? .min else {
      throw PageFile.Unusable()
    }
    // All children of a page are of one kind: a look at the first tells whether they are leaves.
    try file.read(children[0], count: 1, into: page)
    if page[0] == TableTree.leaf {
      leaves += children
      lastIDs += ids
      guard leaves.count <= Int(file.pageCount) else { throw PageFile.Unusable() }
    } else {
      for (child, id) in zip(children, ids) { try descend(to: child, height: height + 1, lastID: id, page) }
    }
  }
}

/// The numbers of a page. For the caller to stay within its bytes.
extension UnsafeRawBufferPointer {
  func number16(_ at: Int) -> Int { Int(self[at]) << 8 | Int(self[at + 1]) }

  func number32(_ at: Int) -> UInt32 { UInt32(number16(at)) << 16 | UInt32(number16(at + 2)) }

  /// Section 1.6: at most nine bytes, the last with eight bits.
  func varint(_ start: Int) -> (number: Int64, end: Int) {
    var number: UInt64 = 0
    for index in 0..<8 {
      let byte = self[start + index]
      number = number << 7 | UInt64(byte & 0x7F)
      if byte < 0x80 { return (Int64(bitPattern: number), start + index + 1) }
    }
    return (Int64(bitPattern: number << 8 | UInt64(self[start + 8])), start + 9)
  }
}
