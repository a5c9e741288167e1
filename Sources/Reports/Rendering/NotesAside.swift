internal import FlowStore

/// A format of rows alone has no place for what the reader must know: that is told beside it.
struct NotesAside: Renderer {
  private var rows: any Renderer
  private let showsOthers: Bool
  private let tell: (String) -> Void

  /// - Parameters:
  ///   - showsOthers: whether the format has a row for those that a limit cut off.
  ///   - tell: takes a sentence.
  init(_ rows: any Renderer, showsOthers: Bool, tell: @escaping (String) -> Void) {
    self.rows = rows
    self.showsOthers = showsOthers
    self.tell = tell
  }

  mutating func begin(_ heading: Heading) throws { try rows.begin(heading) }

  mutating func row(_ values: [Value]) throws { try rows.row(values) }

  mutating func end(_ footing: Footing) throws {
    try rows.end(footing)
    if !showsOthers, let others = footing.others {
      tell("\(others.label) \(others.rows == 1 ? "is" : "are") not shown: --limit 0 shows all")
    }
    footing.notes.forEach(tell)
  }
}
