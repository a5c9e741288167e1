/// One question in SQL: a file of `Queries/Reports` or `Queries/Alerts` whose header says what it answers.
///
///     -- title: Traffic that went around the gateway
///     -- about: One line per kind, source and host. A text may go on in the next line,
///     --   indented.
///     -- parameter: since_ms  first millisecond to include (Unix time)
///     -- column: host     text   where the traffic went
///     -- column: flows    count  flows
///     -- function: latency_histogram
///     select ...
///
/// The header ends at the first line that is no comment. Parameters and header are held equal: one that the SQL uses is
/// declared, one that is declared is used. A parameter that is not given is NULL, which means "no limit".
public struct Query: Sendable, Equatable {
  /// What a column holds, which decides how it is shown and how the rows that a limit cuts off are summed up.
  public enum Kind: String, Sendable, CaseIterable {
    case text
    /// A number of things, which adds up over rows.
    case count
    /// Bytes, which add up over rows.
    case bytes
    /// A number that does not add up: a distinct count, a status.
    case number
    /// Milliseconds.
    case ms
    /// A share of the whole, 0...1, which adds up.
    case share
    /// Unix milliseconds; shown as ISO 8601 in UTC.
    case time
    /// As `time`, the earliest of something.
    case first
    /// As `time`, the latest of something.
    case last
  }

  public struct Parameter: Sendable, Equatable {
    public var name: String
    public var text: String
    public var line: Int
  }

  public struct Column: Sendable, Equatable {
    public var name: String
    public var kind: Kind
    public var text: String

    public init(name: String, kind: Kind, text: String = "") {
      self.name = name
      self.kind = kind
      self.text = text
    }
  }

  /// The file's name without `.sql`.
  public var name: String
  /// As messages name it: `Reports/bypass.sql`, or the path of a user's file.
  public var file: String
  public var title = ""
  public var about = ""
  public var parameters: [Parameter] = []
  /// In the order of the answer; a file may leave out columns, which then are text or number as their values are.
  public var columns: [Column] = []
  /// Functions of Gatewatch's own that the file needs; without any it runs as it is in the `sqlite3` shell.
  public var functions: [String] = []
  /// Shown whole in tables, whatever the default limit of rows: a time line, a list of files.
  public var showsAllRows = false
  /// The columns that a table on a terminal shows, and in which order; empty shows all as they come.
  public var tableColumns: [String] = []
  public var sql: String
  /// One of the questions the program was built with, not a user's file that took its name.
  public internal(set) var isBuiltIn = false

  /// A statement typed by the user; its parameters are what it uses.
  public init(typed sql: String) throws(ReportError) {
    self.init(name: "", file: "query", sql: sql)
    parameters = try SQLParameters.used(in: sql, file: file).map { Parameter(name: $0.name, text: "", line: $0.line) }
  }

  init(name: String, file: String, sql: String) {
    self.name = name
    self.file = file
    self.sql = sql
  }

  public func takes(_ parameter: String) -> Bool { parameters.contains { $0.name == parameter } }

  /// The declared column of that name, or one guessed from the name alone.
  public func column(named name: String) -> Column {
    columns.first { $0.name == name } ?? Column(name: name, kind: .text)
  }
}
