internal import Dispatch
internal import FlowStore
internal import Flows
internal import Glibc
internal import Journeys

/// Hops on the disk, part by part: what does not fit into memory while it is joined.
///
///     block 0: | hops of part 0 | part 1 | ... |  block 1: | part 0 | ...
///
/// A file without a name beside the database, which the system removes with the process, whatever ends that; where the file
/// system knows none, one that loses its name as soon as it is made. Hops stand in it as in memory, with their place in the block
/// in `flow`.
///
/// `@unchecked Sendable`: blocks are written by several threads, each to room of its own; `lock` guards what tells where.
final class HopSpill: @unchecked Sendable {
  private let path: String
  private let file: Int32
  let parts: HopParts
  private let lock = DispatchSemaphore(value: 1)
  private var end: off_t = 0
  private var blocks: [Block]
  /// Of each block, the number of its first hop, once all are written.
  private var bases: [Int] = []

  private struct Block {
    /// That were read for it.
    var hops = 0
    /// When the first and the last of them began.
    var firstMs: Int64 = .max
    var lastMs: Int64 = .min
    /// Where each part begins, and the end behind the last.
    var begins: [off_t] = []
  }

  /// `O_TMPFILE` of open(2), which the module of the C library leaves out.
  private static let unnamed = 0o20000000 | O_DIRECTORY

  /// - Parameter database: the path of the database.
  init(beside database: String, _ parts: HopParts, blocks count: Int) throws(StoreError) {
    self.parts = parts
    blocks = Array(repeating: Block(), count: count)
    let folder = database.lastIndex(of: "/").map { String(database[...$0]) } ?? "."
    path = folder
    var file = open(folder, HopSpill.unnamed | O_RDWR | O_CLOEXEC, 0o600)
    if file < 0 {
      // Not every file system can.
      var name = Array("\(database)-hops-XXXXXX".utf8CString)
      file = mkstemp(&name)
      if file >= 0 { unlink(name) }
    }
    self.file = file
    guard file >= 0 else { throw failure("cannot make a temporary file") }
  }

  deinit { if file >= 0 { close(file) } }

  private func failure(_ what: String) -> StoreError {
    .file(path: path, reason: "\(what) for joining hops: \(String(cString: strerror(errno)))")
  }

  /// What one thread needs to write blocks.
  struct Scratch {
    fileprivate var pairs: [HopParts.Pair] = []
    fileprivate var hops: [Hop] = []
  }

  /// Writes the hops of a block, each to its parts.
  func write(_ hops: [Hop], block: Int, _ scratch: inout Scratch) throws(StoreError) {
    parts.parts(of: hops, &scratch.pairs)
    var begins = [Int](repeating: 0, count: parts.count + 1)
    for pair in scratch.pairs {
      if pair.later != HopParts.Pair.none { begins[Int(pair.later) + 1] += 1 }
      if pair.earlier != HopParts.Pair.none { begins[Int(pair.earlier) + 1] += 1 }
    }
    for part in 0..<parts.count { begins[part + 1] += begins[part] }
    let count = begins[parts.count]
    if scratch.hops.count < count {
      scratch.hops = Array(repeating: Hop(flow: 0, startedAtMs: 0, source: 0, destination: 0, outcome: 0), count: count)
    }
    var next = begins
    scratch.hops.withUnsafeMutableBufferPointer { sorted in
      for (place, pair) in scratch.pairs.enumerated() {
        var hop = hops[place]
        hop.flow = Int64(place)
        if pair.later != HopParts.Pair.none {
          sorted[next[Int(pair.later)]] = hop
          next[Int(pair.later)] += 1
        }
        if pair.earlier != HopParts.Pair.none {
          sorted[next[Int(pair.earlier)]] = hop
          next[Int(pair.earlier)] += 1
        }
      }
    }
    let size = MemoryLayout<Hop>.stride
    var written = Block(hops: hops.count)
    for hop in hops {
      written.firstMs = min(written.firstMs, hop.startedAtMs)
      written.lastMs = max(written.lastMs, hop.startedAtMs)
    }
    lock.wait()
    let place = end
    end += off_t(count * size)
    written.begins = begins.map { place + off_t($0 * size) }
    blocks[block] = written
    lock.signal()
    let isWritten = scratch.hops.withUnsafeBytes { bytes in
      HopSpill.all(bytes[..<(count * size)], at: place) { pwrite(file, $0, $1, $2) }
    }
    if !isWritten { throw failure("cannot write a temporary file") }
  }

  /// Once all blocks are written: how many hops were read for them.
  func number() -> Int {
    var count = 0
    bases = blocks.map { block in
      defer { count += block.hops }
      return count
    }
    return count
  }

  /// The number of the first hop of a block.
  func base(of block: Int) -> Int { bases[block] }

  /// How many hops a part has.
  func count(of part: Int) -> Int {
    blocks.reduce(0) { $0 + Int($1.begins[part + 1] - $1.begins[part]) } / MemoryLayout<Hop>.stride
  }

  /// Hands the hops of a part on that may have begun at `from..<until`, and some others, block by block, in the order of their
  /// row ids, with their numbers in `flow`.
  func forEach(
    of part: Int, from: Int64, until: Int64, _ buffer: inout [Hop], _ body: (ArraySlice<Hop>) -> Void
  ) throws(StoreError) {
    let size = MemoryLayout<Hop>.stride
    for (block, base) in zip(blocks, bases) where block.firstMs < until && block.lastMs >= from {
      let begin = block.begins[part]
      let count = Int(block.begins[part + 1] - begin) / size
      if buffer.count < count {
        buffer = Array(repeating: Hop(flow: 0, startedAtMs: 0, source: 0, destination: 0, outcome: 0), count: count)
      }
      let isRead = buffer.withUnsafeMutableBytes { bytes in
        HopSpill.all(UnsafeRawBufferPointer(rebasing: bytes[..<(count * size)])[...], at: begin) {
          pread(file, UnsafeMutableRawPointer(mutating: $0), $1, $2)
        }
      }
      if !isRead { throw failure("cannot read a temporary file") }
      for place in 0..<count { buffer[place].flow += Int64(base) }
      body(buffer[..<count])
    }
  }

  /// Moves all of `bytes` by as many calls as that takes.
  private static func all(
    _ bytes: Slice<UnsafeRawBufferPointer>, at place: off_t, _ move: (UnsafeRawPointer, Int, off_t) -> Int
  ) -> Bool {
    let bytes = UnsafeRawBufferPointer(rebasing: bytes)
    var done = 0
    while done < bytes.count {
      let moved = move(bytes.baseAddress! + done, bytes.count - done, place + off_t(done))
      if moved < 0, errno == EINTR { continue }
      if moved == 0 { errno = EIO }
      guard moved > 0 else { return false }
      done += moved
    }
    return true
  }
}
