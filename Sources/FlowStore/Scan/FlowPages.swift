internal import GRDB

/// The leaves of the table `flow`, as pages of the file: the way to look at every flow without SQLite's own loop, which
/// spends ten times as long on each row. `PageFile` says why they are one state of the store; where they cannot be had, the
/// reader asks SQL.
///
/// Pages are not trusted: every offset is checked, and what is not as the store writes it ends the reading.
final class FlowPages: Sendable {
  typealias Unusable = PageFile.Unusable

  private let tree: TableTree
  private let file: PageFile
  /// Where the tables of rollups begin.
  private let shelves: [RollupRun.Shelf: UInt32]
  var pageSize: Int { file.pageSize }
  var usableSize: Int { file.usableSize }

  /// Pages read at a time where they follow one another in the file.
  static let pagesPerRead = 16
  /// Readable bytes behind what was read: a damaged row's values may seem to lie this far behind its page (11 of at most
  /// 255 bytes each) before that is noticed.
  static let slack = 4096

  /// - Parameter db: inside a transaction; the first look that opens its snapshot is made here.
  init?(_ db: Database, path: String) throws {
    guard let connection = db.sqliteConnection else { return nil }
    var roots: [String: UInt32] = [:]
    file = try PageFile(connection, path: path) {
      let table = try db.statement("select name, rootpage from sqlite_schema where type = 'table'")
      while try table.step() { roots[table.text(0) ?? ""] = UInt32(exactly: table.int(1)) }
    }
    guard let root = roots["flow"] else { return nil }
    tree = try TableTree(root, in: file)
    shelves = Dictionary(
      uniqueKeysWithValues: RollupRun.Shelf.allCases.compactMap { shelf in roots[shelf.parts].map { (shelf, $0) } })
  }

  /// The parts of runs; nil where there is no such table.
  func parts(_ shelf: RollupRun.Shelf) throws(Unusable) -> PartPages? {
    guard let root = shelves[shelf] else { return nil }
    return PartPages(try TableTree(root, in: file), file)
  }

  // MARK: Rows

  /// Some leaves in a row, and which of their rows are meant.
  struct Stretch {
    var leaves: Range<Int>
    var ids: ClosedRange<Int64>
  }

  /// The leaves that hold rows of a range of ids, at most `count` to a stretch.
  func stretches(of ids: ClosedRange<Int64>, leaves count: Int) -> [Stretch] {
    let meant = tree.leaves(of: ids)
    return stride(from: meant.lowerBound, to: meant.upperBound, by: count).map {
      Stretch(leaves: $0..<min($0 + count, meant.upperBound), ids: ids)
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
        try file.read(tree.leaves[leaf], count: count, into: buffer.bytes)
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
    let (leaves, most) = (tree.leaves, min(FlowPages.pagesPerRead, end - index))
    guard !file.standsAlone(leaves[index]) else { return 1 }
    var length = 1
    while length < most, leaves[index + length] == leaves[index] &+ UInt32(length),
      !file.standsAlone(leaves[index + length])
    { length += 1 }
    return length
  }
}
