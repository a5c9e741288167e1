public import Flows

/// Tells how single lines are understood, column by column: what `gatewatch formats test` shows.
///
/// It runs the real parser, so what it says of a line is what `ingest` does with it. Slow: for people, not for files.
public final class LineExplainer {
  public struct Column: Sendable {
    /// The directive of the format: `%REQ(:AUTHORITY)%`.
    public var directive: String
    /// What the column is for; nil when it is read over.
    public var role: FieldRole?
    /// The value with its escapes undone; nil when missing (`-`, null, empty) or read over.
    public var value: String?
  }

  public struct Stored: Sendable {
    public var format: String
    /// The wrappers that were peeled off, from the outside in.
    public var wrappers: [String]
    public var columns: [Column]
    public var row: FlowRow
    public var source: Source
    public var destination: Destination
    public var outcome: Outcome
    public var pathTemplate: String?
  }

  public enum Answer: Sendable {
    case stored(Stored)
    case skipped(kind: String)
    case rejected(RejectedLine)
    /// The record goes on in the next line.
    case joining
  }

  private let parser: LineParser
  private let batch = FlowBatch(capacity: LineParser.reservedRows * 2)
  private var sources: [Source] = []
  private var destinations: [Destination] = []
  private var outcomes: [Outcome] = []
  private var templates: [String] = []

  public init(formats: [FormatPlan] = FormatPlan.builtIn, log: LogContext = LogContext(ordinal: 0)) {
    parser = LineParser(formats: formats)
    parser.begin(log: log)
  }

  /// What becomes of the line (bytes without the newline). Usually one answer; two where a NUL glues two records.
  public func explain(_ line: some Sequence<UInt8>) -> [Answer] {
    var bytes = Array(line)
    bytes.append(ASCII.newline)
    let count = bytes.count
    bytes.append(contentsOf: repeatElement(0, count: LineParser.slack))
    batch.reset()
    return bytes.withUnsafeBytes { buffer in
      _ = parser.parse(UnsafeRawBufferPointer(rebasing: buffer[..<count]), isFinal: false, into: batch)
      keep(&sources, batch.newSources, from: batch.firstNewSource)
      keep(&destinations, batch.newDestinations, from: batch.firstNewDestination)
      keep(&outcomes, batch.newOutcomes, from: batch.firstNewOutcome)
      keep(&templates, batch.newPathTemplates, from: batch.firstNewPathTemplate)
      // Columns are slices of `bytes`: they have to be read here.
      return answers()
    }
  }

  private func keep<Entry>(_ known: inout [Entry], _ new: [Entry], from first: Int32) {
    known.removeLast(known.count - Int(first))
    known += new
  }

  private func answers() -> [Answer] {
    var answers: [Answer] = []
    for index in 0..<batch.count {
      let row = batch.rows[index]
      answers.append(
        .stored(
          Stored(
            format: parser.currentFormat, wrappers: parser.wrappers.map(\.name), columns: parser.columns(), row: row,
            source: sources[Int(row.source)], destination: destinations[Int(row.destination)],
            outcome: outcomes[Int(row.outcome)],
            pathTemplate: row.pathTemplate < 0 ? nil : templates[Int(row.pathTemplate)])))
    }
    for (kind, count) in batch.skippedByKind.sorted(by: { $0.key < $1.key }) {
      answers += repeatElement(.skipped(kind: kind), count: count)
    }
    answers += batch.rejected.map { .rejected($0) }
    return answers.isEmpty ? [.joining] : answers
  }
}

extension LineParser {
  /// Name of the format that understood the last line.
  var currentFormat: String { layouts[understoodBy].name }

  /// The columns of the last line that was understood, as long as its bytes are there.
  func columns() -> [LineExplainer.Column] {
    let columns: [FormatField] =
      switch plans[understoodBy] {
      case .text(let plan): plan.fields
      case .json(let plan): plan.fields.filter { !fields[$0.role].isEmpty }
      }
    return columns.map { field in
      LineExplainer.Column(
        directive: field.name, role: field.role == .ignored ? nil : field.role,
        value: field.role == .ignored ? nil : fields.text(field.role))
    }
  }
}
