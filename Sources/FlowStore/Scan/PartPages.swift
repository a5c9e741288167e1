/// A table of blobs by row id (`id integer primary key, content blob`) as pages of the file, for any thread: SQLite copies each
/// byte of a blob three times, one blob after the other, which takes longer than to count what they tell.
///
/// Pages are not trusted: every offset is checked, and what is not as SQLite writes it ends the reading.
struct PartPages: Sendable {
  typealias Unusable = PageFile.Unusable

  /// Where the content of a row lies.
  struct Place: Sendable {
    var id: Int64
    /// Bytes.
    var count: Int
    fileprivate var leaf: UInt32
    /// Those of the leaf.
    fileprivate var local: Range<Int>
    /// The first page of the others.
    fileprivate var overflow: UInt32
  }

  private let tree: TableTree
  private let file: PageFile

  init(_ tree: TableTree, _ file: PageFile) { (self.tree, self.file) = (tree, file) }

  /// Room for what one thread reads at a time; for the caller to deallocate.
  func makeBuffer() -> UnsafeMutableRawBufferPointer {
    .allocate(byteCount: FlowPages.pagesPerRead * file.pageSize + FlowPages.slack, alignment: 16)
  }

  /// The rows of a range of ids, in its order.
  func places(of ids: ClosedRange<Int64>) throws(Unusable) -> [Place] {
    var places: [Place] = []
    let buffer = makeBuffer()
    defer { buffer.deallocate() }
    for leaf in tree.leaves[tree.leaves(of: ids)] {
      try file.read(leaf, count: 1, into: buffer)
      let page = UnsafeRawBufferPointer(buffer)
      guard page[0] == TableTree.leaf else { throw Unusable() }
      let cells = page.number16(3)
      guard 8 + 2 * cells <= file.usableSize else { throw Unusable() }
      for cell in 0..<cells {
        let place = try place(page.number16(8 + 2 * cell), of: page, leaf)
        guard place.id > places.last?.id ?? .min else { throw Unusable() }
        if ids.contains(place.id) { places.append(place) }
      }
    }
    return places
  }

  /// What a cell says: bytes of the row, its id, the row, and the first page of what did not fit; section 1.6. A row begins with
  /// the length of its header and its types, which are here those of an id that stands elsewhere and of a blob; section 2.1.
  private func place(_ cell: Int, of page: UnsafeRawBufferPointer, _ leaf: UInt32) throws(Unusable) -> Place {
    // The slack behind the page holds what numbers at its end may seem to go on with.
    guard cell < file.usableSize else { throw Unusable() }
    let bytes = page.varint(cell)
    let id = page.varint(bytes.end)
    guard bytes.number >= 0, bytes.number <= Int64(file.pageCount) * Int64(file.pageSize) else { throw Unusable() }
    let local = localBytes(Int(bytes.number))
    let header = page.varint(id.end)
    let type = page.varint(header.end + 1)
    let content = type.end - id.end
    guard page[header.end] == 0, header.number == content, type.number >= 12, type.number & 1 == 0,
      (type.number - 12) / 2 == bytes.number - Int64(content), content <= local, id.end + local <= file.usableSize,
      local == bytes.number || id.end + local + 4 <= file.usableSize
    else { throw Unusable() }
    return Place(
      id: id.number, count: Int(bytes.number) - content, leaf: leaf, local: type.end..<id.end + local,
      overflow: local == bytes.number ? 0 : page.number32(id.end + local))
  }

  /// How many bytes of a row stand in its leaf; section 1.6.
  private func localBytes(_ bytes: Int) -> Int {
    let most = file.usableSize - 35
    guard bytes > most else { return bytes }
    let least = (file.usableSize - 12) * 32 / 255 - 23
    let usual = least + (bytes - least) % (file.usableSize - 4)
    return usual <= most ? usual : least
  }

  /// - Parameter memory: of `place.count` bytes.
  func read(
    _ place: Place, into memory: UnsafeMutableRawBufferPointer, _ buffer: UnsafeMutableRawBufferPointer
  ) throws(Unusable) {
    precondition(memory.count == place.count && buffer.count >= FlowPages.pagesPerRead * file.pageSize)
    try file.read(place.leaf, count: 1, into: buffer)
    memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[place.local]))
    var end = place.local.count
    var next = place.overflow
    // The pages of a chain mostly lie side by side.
    var ahead = FlowPages.pagesPerRead
    while end < memory.count {
      let first = next
      let count = run(from: first, atMost: min(ahead, (memory.count - end - 1) / (file.usableSize - 4) + 1))
      try file.read(first, count: count, into: buffer)
      let pages = UnsafeRawBufferPointer(buffer)
      var index = 0
      repeat {
        // A page begins with the number of the next one.
        let page = index * file.pageSize
        let bytes = min(file.usableSize - 4, memory.count - end)
        UnsafeMutableRawBufferPointer(rebasing: memory[end...]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: pages[page + 4..<page + 4 + bytes]))
        end += bytes
        next = pages.number32(page)
        index += 1
      } while index < count && next == first &+ UInt32(index)
      ahead = index == count ? min(2 * ahead, FlowPages.pagesPerRead) : 1
    }
  }

  /// How many pages from one on can be read at once.
  private func run(from page: UInt32, atMost most: Int) -> Int {
    guard !file.standsAlone(page) else { return 1 }
    var length = 1
    while length < most, page &+ UInt32(length) <= file.pageCount, !file.standsAlone(page &+ UInt32(length)) {
      length += 1
    }
    return length
  }
}
