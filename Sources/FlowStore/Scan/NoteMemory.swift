/// Memory in pieces that are given back all at once.
final class NoteMemory {
  private let memory: ReservedMemory
  private let pieceBytes: Int
  private let pieces: Int
  private(set) var taken = 0

  init(pieces: Int, of pieceBytes: Int) {
    self.pieces = pieces
    self.pieceBytes = pieceBytes
    memory = ReservedMemory(pieces * pieceBytes, small: ReservedMemory.largePage)
  }

  var start: UnsafeMutableRawPointer { memory.start }

  var isTaken: Bool { taken == pieces }

  func take() -> UnsafeMutableRawPointer {
    precondition(taken < pieces, "no more was asked for")
    taken += 1
    // In bounds: there is room for all pieces behind the start.
    return start + (taken - 1) * pieceBytes
  }

  /// Nobody uses any of it now.
  func giveBack() { taken = 0 }
}
