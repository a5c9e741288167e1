internal import FlowStore

/// A table for people: numbers to the right, readable bytes and durations, no wider than the terminal.
///
/// Column widths come from the first rows; what follows streams. Where the terminal is too narrow, long texts are clipped
/// first; columns that still find no room are left out, from the right, and named below the table.
struct TextTable: Renderer {
  private let appearance: Appearance
  private let sink: TextSink
  private var columns: [Query.Column] = []
  private var buffered: [[Value]] = []
  private var widths: [Int]?
  private var leftOut: [String] = []
  private var rowCount = 0
  private var labelColumn: Int?
  private var text = OutputText()
  private var scratch = OutputText()

  /// Rows that decide about the widths; a report has fewer, and flows may come by the million.
  static let sampledRows = 500
  /// Texts are clipped to this before a column is left out: most hosts can still be told apart.
  static let readable = 24
  /// Columns that are kept at any price; then texts are clipped further.
  static let essentialColumns = 3
  /// The column in which all reports show the path of a log.
  private static let pathColumn = "log"
  /// A text column is never clipped below this.
  static let narrowest = 10
  private static let gap = "  "

  init(appearance: Appearance, sink: @escaping TextSink) {
    self.appearance = appearance
    self.sink = sink
  }

  mutating func begin(_ heading: Heading) throws {
    columns = heading.columns
    if !heading.title.isEmpty { try line(heading.title, style: .title) }
    if !heading.parameters.isEmpty {
      try line(heading.parameters.map { "\($0.name) \($0.value)" }.joined(separator: ", "), style: .aside)
    }
    if let coverage = heading.coverage {
      try line(coverage + (columns.contains { $0.kind.isTime } ? "; times are UTC" : ""), style: .aside)
    }
    if !heading.title.isEmpty { try sink(OutputText("\n")) }
  }

  mutating func row(_ values: [Value]) throws {
    rowCount += 1
    if widths == nil {
      buffered.append(values)
      if buffered.count == TextTable.sampledRows { try layOut(with: nil) }
    } else {
      try write(values)
    }
  }

  mutating func end(_ footing: Footing) throws {
    if widths == nil { try layOut(with: footing.others) }
    if rowCount == 0 { try line("nothing found", style: .aside) }
    if let others = footing.others {
      var values = others.values.map { $0.isNull ? .text("") : $0 }
      if let labelColumn { values[labelColumn] = .text(others.label) }
      try write(values, style: .aside)
    }
    if !leftOut.isEmpty {
      try sink(OutputText("\n"))
      try line(
        "no room for \(leftOut.joined(separator: ", ")); a wider terminal, --format csv or a pipe shows all columns",
        style: .aside)
    }
    guard !footing.notes.isEmpty else { return }
    try sink(OutputText("\n"))
    for note in footing.notes { try line(note, style: .note) }
  }

  // MARK: Layout

  private mutating func layOut(with others: Others?) throws {
    let rows = buffered + (others.map { [$0.values] } ?? [])
    var widths = columns.enumerated().map { index, column in
      max(
        TerminalText.width(TerminalText.safe(column.name)),
        rows.map { TerminalText.width(cell($0[index], column: index)) }.max() ?? 0)
    }
    // The widest text has the most room for the words of the last line.
    labelColumn = columns.indices.filter { columns[$0].kind == .text }.max { widths[$0] < widths[$1] }
    if let labelColumn, let others { widths[labelColumn] = max(widths[labelColumn], others.label.count) }
    if let limit = appearance.width { fit(&widths, into: limit) }
    self.widths = widths
    try write(columns.map { .text($0.name) }, style: .header)
    for values in buffered { try write(values) }
    buffered = []
  }

  private mutating func fit(_ widths: inout [Int], into limit: Int) {
    func total() -> Int {
      let shown = widths.filter { $0 > 0 }
      return shown.reduce(0, +) + max(0, shown.count - 1) * TextTable.gap.count
    }
    while total() > limit {
      let shown = widths.indices.filter { widths[$0] > 0 }
      let least = shown.count > TextTable.essentialColumns ? TextTable.readable : TextTable.narrowest
      let clippable = shown.filter { columns[$0].kind == .text && widths[$0] > least }
      if let widest = clippable.max(by: { widths[$0] < widths[$1] }) {
        widths[widest] -= 1
      } else if shown.count > 1, let last = shown.last {
        widths[last] = 0
        leftOut.insert(TerminalText.safe(columns[last].name), at: 0)
        // The room it leaves goes back to the clipped texts.
        widths = grown(widths, by: limit - total())
      } else {
        return
      }
    }
  }

  private func grown(_ widths: [Int], by room: Int) -> [Int] {
    var widths = widths
    var room = room
    while room > 0 {
      let index = widths.indices.first { index in
        columns[index].kind == .text && widths[index] > 0
          && buffered.contains { TerminalText.width(cell($0[index], column: index)) > widths[index] }
      }
      guard let index else { return widths }
      widths[index] += 1
      room -= 1
    }
    return widths
  }

  private func cell(_ value: Value, column: Int) -> String {
    var text = OutputText()
    text.append(readable: value, columns[column].kind) { $0.append($1) }
    return TerminalText.safe(text.string)
  }

  // MARK: Writing

  private enum Style { case title, header, aside, note, plain }

  private mutating func write(_ values: [Value], style: Style = .plain) throws {
    guard let widths else { preconditionFailure("a row before its widths") }
    text.removeAll()
    let open = appearance.hasColours ? TextTable.code(style) : ""
    text.append(open)
    let start = text.utf8.count
    var isFirst = true
    for column in widths.indices where widths[column] > 0 {
      if !isFirst { text.append(TextTable.gap) }
      isFirst = false
      write(values[column], column, width: widths[column], isEmphasised: style == .plain && appearance.hasColours)
    }
    text.trim(from: start)
    if text.utf8.count == start {
      text.removeLast(open.utf8.count)
    } else if !open.isEmpty {
      text.append(TextTable.reset)
    }
    text.append(UInt8(ascii: "\n"))
    try sink(text)
  }

  private mutating func write(_ value: Value, _ column: Int, width: Int, isEmphasised: Bool) {
    scratch.removeAll()
    scratch.append(readable: value, columns[column].kind) { $0.append($1) }
    let isRight = columns[column].kind.isRightAligned || value.isNumber
    var used = scratch.utf8.count
    if used > width || !scratch.utf8.withUnsafeBufferPointer(\.isPrintableASCII) {
      var cell = TerminalText.safe(scratch.string)
      // Where nothing is too narrow, a row may be wider than those that the widths are from; half a number is another number.
      if appearance.width != nil, !isRight {
        cell =
          columns[column].name == TextTable.pathColumn
          ? TerminalText.clippedPath(cell, to: width) : TerminalText.clipped(cell, to: width)
      }
      scratch.removeAll()
      scratch.append(cell)
      used = TerminalText.width(cell)
    }
    if isRight { text.append(UInt8(ascii: " "), count: max(0, width - used)) }
    // Words that a tired reader must not miss.
    let code = isEmphasised ? TextTable.emphasis[scratch.utf8] : nil
    if let code { text.append(code) }
    text.append(scratch.utf8)
    if code != nil { text.append(TextTable.reset) }
    if !isRight { text.append(UInt8(ascii: " "), count: max(0, width - used)) }
  }

  private func line(_ text: String, style: Style) throws {
    let safe = TerminalText.safe(text)
    let open = appearance.hasColours && !safe.isEmpty ? TextTable.code(style) : ""
    try sink(OutputText(open + safe + (open.isEmpty ? "" : TextTable.reset) + "\n"))
  }

  private static let emphasis = [Array("critical".utf8): "\u{1b}[1;31m", Array("warning".utf8): "\u{1b}[33m"]
  private static let reset = "\u{1b}[0m"

  private static func code(_ style: Style) -> String {
    switch style {
    case .title: "\u{1b}[1m"
    case .header: "\u{1b}[4m"
    case .aside: "\u{1b}[2m"
    case .note, .plain: ""
    }
  }
}

extension OutputText {
  /// A value as people read it: grouped counts, bytes and durations with their units, times to the second.
  /// - Parameter escape: writes a text.
  @inline(__always)
  mutating func append(
    readable value: Value, _ kind: Query.Kind, _ escape: (inout OutputText, String) -> Void
  ) {
    switch value {
    case .null: if kind == .text { append(UInt8(ascii: "-")) }
    case .integer(let number):
      switch kind {
      case .bytes: append(bytes: number)
      case .ms: append(duration: Double(number))
      case .time, .first, .last: append(short: number)
      case .share: append(percent: Double(number))
      case .count: append(grouped: number)
      case .number, .text: append(number)
      }
    case .real(let number):
      switch kind {
      case .ms: append(duration: number)
      case .share: append(percent: number)
      default: append(plain: number)
      }
    case .text(let text): escape(&self, text)
    case .blob(let bytes): append(hexadecimal: bytes)
    }
  }

  private mutating func append(percent share: Double) {
    append(fixed: share * 100, digits: 1)
    append(" %")
  }
}
