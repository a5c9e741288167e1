internal import AccessLogs
internal import Flows
internal import Foundation
internal import Reports

/// Lays out what the parser made of single lines.
///
///     line 12: istio-1.9 in cri
///         %START_TIME%              start time      2020-08-05T11:00:00.000Z
///         %REQ(:METHOD)%            method          GET
///         %BYTES_SENT%              bytes received  12
///         => GET edition.cnn.com:80, status 200, 26 ms, from 10.80.3.11:41256, outbound
enum ExplainedLines {
  /// How many lines became what.
  struct Tally: Encodable {
    private(set) var stored = 0
    private(set) var skipped = 0
    private(set) var rejected = 0
    private(set) var joining = 0
    private(set) var formats: [String: Int] = [:]
    private(set) var kinds: [String: Int] = [:]
    private(set) var reasons: [String: Int] = [:]

    mutating func count(_ answer: LineExplainer.Answer) {
      switch answer {
      case .stored(let flow):
        stored += 1
        formats[flow.format, default: 0] += 1
      case .skipped(let kind):
        skipped += 1
        kinds[kind, default: 0] += 1
      case .rejected(let line):
        rejected += 1
        reasons[line.reason, default: 0] += 1
      case .joining: joining += 1
      }
    }

    var text: String {
      func list(_ counts: [String: Int]) -> String {
        let ranked = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        return ranked.isEmpty
          ? "" : " (\(ranked.map { "\(TerminalText.safe($0.key)) \($0.value)" }.joined(separator: ", ")))"
      }
      var text = "\(stored) understood\(list(formats)), \(skipped) skipped\(list(kinds)), "
      text += "\(rejected) rejected\(list(reasons))"
      if joining > 0 { text += ", \(joining) joined to a later line" }
      return text + "\n"
    }

    var json: String {
      get throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
      }
    }
  }

  // MARK: Text

  static func text(_ answers: [LineExplainer.Answer], number: Int) -> String {
    var text = ""
    for (index, answer) in answers.enumerated() {
      let record = answers.count > 1 ? ", record \(index + 1)" : ""
      text += "line \(number)\(record): "
      switch answer {
      case .stored(let flow): text += stored(flow)
      case .skipped(let kind): text += "skipped: \(TerminalText.safe(kind)), no access line\n\n"
      case .joining: text += "goes on in a later line\n\n"
      case .rejected(let line): text += rejected(line)
      }
    }
    return text
  }

  /// Widest directive that the second column is moved for.
  private static let widestDirective = 44

  private static func stored(_ flow: LineExplainer.Stored) -> String {
    let wrappers = flow.wrappers.isEmpty ? "" : " in " + flow.wrappers.joined(separator: " in ")
    var text = TerminalText.safe(flow.format) + wrappers + "\n"
    for line in columns(flow.columns) { text += "    " + line + "\n" }
    return text + "    => " + facts(flow).map(TerminalText.safe).joined(separator: ", ") + "\n\n"
  }

  /// Directive, meaning and value, one line per column; `value` changes what is shown of a value.
  static func columns(
    _ columns: [LineExplainer.Column], value: (String) -> String = { $0 }
  ) -> [String] {
    let rows = columns.map { column in
      (
        directive: TerminalText.safe(column.directive), role: column.role.map(words) ?? "(read over)",
        value: column.value.map { TerminalText.safe(value($0)) } ?? (column.role == nil ? "" : "(missing)")
      )
    }
    let directiveWidth = min(rows.map(\.directive.count).max() ?? 0, widestDirective)
    let roleWidth = rows.map(\.role.count).max() ?? 0
    return rows.map { row in
      "\(filled(row.directive, directiveWidth))  \(filled(row.role, roleWidth))  \(row.value)"
        .replacing(trailingSpaces, with: "")
    }
  }

  nonisolated(unsafe) private static let trailingSpaces = /\ +$/

  private static func filled(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  /// `bytesSent` as `bytes sent`, `upstreamHostIP` as `upstream host IP`.
  static func words(_ role: FieldRole) -> String {
    var words = ""
    var isInCapitals = false
    for letter in "\(role)" {
      if letter.isUppercase, !isInCapitals { words += " " }
      words.append(letter)
      isInCapitals = letter.isUppercase
    }
    return words.split(separator: " ").map {
      $0.count > 1 && $0.allSatisfy(\.isUppercase) ? String($0) : $0.lowercased()
    }
    .joined(separator: " ")
  }

  /// The flow as it goes into the store, before any policy is asked.
  private static func facts(_ flow: LineExplainer.Stored) -> [String] {
    var facts: [String] = []
    let (row, source, destination, outcome) = (flow.row, flow.source, flow.destination, flow.outcome)
    let port = destination.port > 0 ? ":\(destination.port)" : ""
    let target = destination.host.map { $0 + port } ?? "no host\(port)"
    facts.append(
      "\(outcome.method ?? outcome.protocol ?? destination.traffic.rawValue) \(target)\(flow.pathTemplate ?? "")")
    facts.append("at \(Quantities.iso(row.startedAtMs))")
    if let status = outcome.status { facts.append("status \(status)") }
    if let flags = outcome.flags { facts.append("flags \(flags)") }
    if row.durationMs >= 0 { facts.append("\(row.durationMs) ms") }
    if row.sent >= 0 { facts.append("\(row.sent) bytes sent") }
    if row.received >= 0 { facts.append("\(row.received) bytes received") }
    let clientPort = row.sourcePort > 0 ? ":\(row.sourcePort)" : ""
    facts.append("from \(source.clientIP.map { $0 + clientPort } ?? "nobody named")")
    if let upstream = destination.upstream {
      facts.append("to \(upstream.ip)" + (upstream.port > 0 ? ":\(upstream.port)" : ""))
    } else if destination.logsUpstream {
      facts.append(destination.upstreamName.map { "to \($0)" } ?? "nothing sent on")
    }
    facts.append("seen by \(source.proxy.rawValue) as \(source.shape.rawValue)")
    let warnings = Warnings.names.filter { outcome.warnings.contains($0.warning) }.map(\.name)
    if !warnings.isEmpty { facts.append("warnings: \(warnings.joined(separator: " "))") }
    return facts
  }

  // MARK: Rejected lines

  /// Bytes shown on either side of the place that does not fit.
  private static let excerpt = 50

  private static func rejected(_ line: RejectedLine) -> String {
    var text = "rejected: \(TerminalText.safe(line.reason))"
    if !line.detail.isEmpty { text += ", \(TerminalText.safe(line.detail))" }
    text += "\n"
    let column = place(in: line.detail).map { min($0 - 1, line.text.count) }
    let start = max(0, (column ?? 0) - excerpt)
    let end = min(line.text.count, max(column ?? 0, start) + 2 * excerpt)
    let before = start > 0 ? "…" : ""
    let after = end < line.text.count ? "…" : ""
    text += "    " + before + shown(line.text[start..<end]) + after + "\n"
    if let column {
      // As wide as what stands before it is shown.
      let width = before.count + shown(line.text[start..<column]).unicodeScalars.count
      text += "    " + String(repeating: " ", count: width) + "^\n"
    }
    return text + "\n"
  }

  private static func shown(_ bytes: ArraySlice<UInt8>) -> String {
    TerminalText.safe(String(decoding: bytes, as: UTF8.self))
  }

  /// The column that a detail begins with: `column 34: expected ...`.
  private static func place(in detail: String) -> Int? {
    guard detail.hasPrefix("column ") else { return nil }
    return Int(detail.dropFirst("column ".count).prefix { $0.isASCII && $0.isNumber }).flatMap { $0 > 0 ? $0 : nil }
  }

  // MARK: JSON

  static func json(_ answers: [LineExplainer.Answer], number: Int) -> String {
    answers.map { answer in
      let fields: [(String, String)] =
        switch answer {
        case .stored(let flow):
          [
            ("kind", JSON.string("stored")), ("format", JSON.string(flow.format)),
            ("wrappers", list(flow.wrappers.map(JSON.string))),
            ("columns", list(flow.columns.map(column))), ("flow", self.flow(flow)),
          ]
        case .skipped(let kind): [("kind", JSON.string("skipped")), ("what", JSON.string(kind))]
        case .joining: [("kind", JSON.string("joining"))]
        case .rejected(let line):
          [
            ("kind", JSON.string("rejected")), ("reason", JSON.string(line.reason)),
            ("detail", JSON.string(line.detail)),
            ("text", JSON.string(String(decoding: line.text, as: UTF8.self))),
          ]
        }
      return object([("line", String(number))] + fields)
    }.joined(separator: ",\n")
  }

  private static func column(_ column: LineExplainer.Column) -> String {
    object([
      ("directive", JSON.string(column.directive)), ("role", column.role.map { JSON.string(words($0)) } ?? "null"),
      ("value", text(column.value)),
    ])
  }

  private static func flow(_ flow: LineExplainer.Stored) -> String {
    let (row, source, destination, outcome) = (flow.row, flow.source, flow.destination, flow.outcome)
    let warnings = Warnings.names.filter { outcome.warnings.contains($0.warning) }.map(\.name)
    return object([
      ("started_at", JSON.string(Quantities.iso(row.startedAtMs))), ("duration_ms", number(row.durationMs)),
      ("proxy", JSON.string(source.proxy.rawValue)), ("shape", JSON.string(source.shape.rawValue)),
      ("source_ip", text(source.clientIP)), ("source_port", row.sourcePort == 0 ? "null" : String(row.sourcePort)),
      ("pod", text(source.pod)), ("namespace", text(source.namespace)), ("host", text(destination.host)),
      ("port", destination.port == 0 ? "null" : String(destination.port)),
      ("destination_ip", text(destination.upstream?.ip)), ("upstream_cluster", text(destination.cluster)),
      ("route_name", text(destination.routeName)), ("protocol", text(outcome.protocol)),
      ("method", text(outcome.method)), ("status", outcome.status.map { String($0) } ?? "null"),
      ("response_flags", text(outcome.flags)), ("url_path", text(flow.pathTemplate)), ("bytes_sent", number(row.sent)),
      ("bytes_received", number(row.received)), ("warnings", list(warnings.map(JSON.string))),
    ])
  }

  private static func object(_ fields: [(String, String)]) -> String {
    "{" + fields.map { "\(JSON.string($0)):\($1)" }.joined(separator: ",") + "}"
  }

  private static func list(_ values: [String]) -> String { "[" + values.joined(separator: ",") + "]" }
  private static func text(_ text: String?) -> String { text.map(JSON.string) ?? "null" }
  private static func number(_ number: Int64) -> String { number < 0 ? "null" : String(number) }
}
