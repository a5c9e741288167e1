public import FlowStore

/// The ways an answer can be written.
public enum OutputFormat: String, Sendable, CaseIterable {
  case table, json, ndjson, csv, markdown, html
}

/// What stands above an answer.
public struct Heading: Sendable {
  /// The query's name; empty for a query typed by the user.
  public var name: String
  public var title: String
  /// Filters and parameters that were set.
  public var parameters: [(name: String, value: String)]
  /// What was read, in one sentence, because an answer is only as good as that; nil for raw queries.
  public var coverage: String?
  public var columns: [Query.Column]

  public init(
    name: String = "", title: String = "", parameters: [(name: String, value: String)] = [], coverage: String? = nil,
    columns: [Query.Column]
  ) {
    self.name = name
    self.title = title
    self.parameters = parameters
    self.coverage = coverage
    self.columns = columns
  }
}

/// The rows that a limit cut off, as one.
public struct Others: Sendable {
  public var rows: Int
  /// Sums and extremes; NULL in columns that have none.
  public var values: [Value]

  public init(rows: Int, values: [Value]) {
    self.rows = rows
    self.values = values
  }

  var label: String { "(\(Quantities.grouped(Int64(rows))) \(rows == 1 ? "other" : "others"))" }

  /// The values, with the label in the first column of text.
  func labelled(_ kinds: [Query.Kind]) -> [Value] {
    var values = values
    if let first = kinds.firstIndex(of: .text) { values[first] = .text(label) }
    return values
  }
}

/// What stands below an answer.
public struct Footing: Sendable {
  /// The sums of the rows that the limit cut off; nil when all rows are there.
  public var others: Others?
  /// Sentences the reader needs to judge the answer.
  public var notes: [String]

  public init(others: Others? = nil, notes: [String] = []) {
    self.others = others
    self.notes = notes
  }
}

/// Takes the finished text, piece by piece.
public typealias TextSink = (OutputText) throws -> Void

/// One output format: told the heading, then each row, then the footing; writes as early as its layout allows.
public protocol Renderer {
  mutating func begin(_ heading: Heading) throws
  mutating func row(_ values: [Value]) throws
  mutating func end(_ footing: Footing) throws
}

/// How text may look where it goes.
public struct Appearance: Sendable {
  /// Columns of the terminal; nil where nothing has to fit (a pipe, a file).
  public var width: Int?
  public var hasColours: Bool
  /// CSV exactly as stored, for programs: without protection against formulas and control characters.
  public var keepsCSVRaw: Bool

  public init(width: Int? = nil, hasColours: Bool = false, keepsCSVRaw: Bool = false) {
    self.width = width
    self.hasColours = hasColours
    self.keepsCSVRaw = keepsCSVRaw
  }
}

extension OutputFormat {
  /// - Parameter aside: takes the notes of a format that has no place for them; nil leaves them out.
  public func renderer(
    _ appearance: Appearance, to sink: @escaping TextSink, aside: ((String) -> Void)? = nil
  ) -> any Renderer {
    switch self {
    case .table: TextTable(appearance: appearance, sink: sink)
    case .json: JSONDocument(sink: sink)
    case .ndjson: NDJSON(sink: sink).telling(aside, showsOthers: false)
    case .csv: CSV(isRaw: appearance.keepsCSVRaw, sink: sink).telling(aside, showsOthers: true)
    case .markdown: Markdown(sink: sink)
    case .html: HTML(sink: sink)
    }
  }
}

extension Renderer {
  fileprivate func telling(_ aside: ((String) -> Void)?, showsOthers: Bool) -> any Renderer {
    guard let aside else { return self }
    return NotesAside(self, showsOthers: showsOthers, tell: aside)
  }
}

extension OutputText {
  /// A value in formats without types of their own: times in ISO 8601, bytes in hexadecimal, nothing for NULL.
  /// - Parameter escape: writes a text.
  @inline(__always)
  mutating func append(
    plain value: Value, _ kind: Query.Kind, _ escape: (inout OutputText, String) -> Void
  ) {
    switch value {
    case .null: break
    case .integer(let number): kind.isTime ? append(iso: number) : append(number)
    case .real(let number): kind == .share ? append(fixed: number, digits: 6) : append(plain: number)
    case .text(let text): escape(&self, text)
    case .blob(let bytes): append(hexadecimal: bytes)
    }
  }

  mutating func append(hexadecimal bytes: [UInt8]) {
    append("0x")
    for byte in bytes {
      for digit in [byte >> 4, byte & 15] {
        append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit)
      }
    }
  }
}

extension Value {
  var isNumber: Bool {
    switch self {
    case .integer, .real: true
    default: false
    }
  }
}

extension Query.Kind {
  var isTime: Bool { self == .time || self == .first || self == .last }
  var isRightAligned: Bool { self != .text }
}
