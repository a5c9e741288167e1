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
    if !heading.title.isEmpty { try sink("\n") }
  }

  mutating func row(_ values: [Value]) throws {
    rowCount += 1
    if widths == nil {
      buffered.append(values)
      if buffered.count == TextTable.sampledRows { try layOut(with: nil) }
    } else {
      try write(values.enumerated().map { cell($1, column: $0) }, values)
    }
  }

  mutating func end(_ footing: Footing) throws {
    if widths == nil { try layOut(with: footing.others) }
    if rowCount == 0 { try line("nothing found", style: .aside) }
    if let others = footing.others {
      var cells = others.values.enumerated().map { $1.isNull ? "" : cell($1, column: $0) }
      if let labelColumn { cells[labelColumn] = others.label }
      try write(cells, others.values, style: .aside)
    }
    if !leftOut.isEmpty {
      try sink("\n")
      try line(
        "no room for \(leftOut.joined(separator: ", ")); a wider terminal, --format csv or a pipe shows all columns",
        style: .aside)
    }
    guard !footing.notes.isEmpty else { return }
    try sink("\n")
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
    let names = columns.indices.map { TerminalText.safe(columns[$0].name) }
    try write(names, nil, style: .header)
    for values in buffered { try write(values.enumerated().map { cell($1, column: $0) }, values) }
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
    TerminalText.safe(value.readable(columns[column].kind))
  }

  // MARK: Writing

  private enum Style { case title, header, aside, note, plain }

  private func write(_ cells: [String], _ values: [Value]?, style: Style = .plain) throws {
    guard let widths else { preconditionFailure("a row before its widths") }
    var parts: [String] = []
    for (index, cell) in cells.enumerated() where widths[index] > 0 {
      let isPath = columns[index].name == TextTable.pathColumn
      let text =
        isPath
        ? TerminalText.clippedPath(cell, to: widths[index]) : TerminalText.clipped(cell, to: widths[index])
      let space = String(repeating: " ", count: widths[index] - TerminalText.width(text))
      let isNumeric = columns[index].kind.isRightAligned || (values?[index].isNumber ?? false)
      let coloured = style == .plain ? emphasised(text) : text
      parts.append(isNumeric ? space + coloured : coloured + space)
    }
    var text = parts.joined(separator: TextTable.gap)
    while text.last == " " { text.removeLast() }
    try sink(styled(text, style) + "\n")
  }

  private func line(_ text: String, style: Style) throws {
    try sink(styled(TerminalText.safe(text), style) + "\n")
  }

  /// Words that a tired reader must not miss.
  private func emphasised(_ text: String) -> String {
    guard appearance.hasColours else { return text }
    return switch text {
    case "critical": "\u{1b}[1;31m\(text)\u{1b}[0m"
    case "warning": "\u{1b}[33m\(text)\u{1b}[0m"
    default: text
    }
  }

  private func styled(_ text: String, _ style: Style) -> String {
    guard appearance.hasColours, !text.isEmpty else { return text }
    return switch style {
    case .title: "\u{1b}[1m\(text)\u{1b}[0m"
    case .header: "\u{1b}[4m\(text)\u{1b}[0m"
    case .aside: "\u{1b}[2m\(text)\u{1b}[0m"
    case .note, .plain: text
    }
  }
}

extension Value {
  /// As people read it: grouped counts, bytes and durations with their units, times to the second; not escaped for
  /// anything.
  func readable(_ kind: Query.Kind) -> String {
    switch self {
    case .null: kind == .text ? "-" : ""
    case .integer(let number):
      switch kind {
      case .bytes: Quantities.bytes(number)
      case .ms: Quantities.duration(Double(number))
      case .time, .first, .last: Quantities.short(number)
      case .share: Quantities.fixed(Double(number) * 100, digits: 1) + " %"
      case .count: Quantities.grouped(number)
      case .number, .text: String(number)
      }
    case .real(let number):
      switch kind {
      case .ms: Quantities.duration(number)
      case .share: Quantities.fixed(number * 100, digits: 1) + " %"
      default: plainReal(number)
      }
    case .text(let text): text
    case .blob: plain(kind) ?? ""
    }
  }
}
