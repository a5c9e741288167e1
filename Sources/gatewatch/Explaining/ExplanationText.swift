internal import AccessLogs
internal import EgressPolicy
internal import FlowStore
internal import Flows
internal import Ingestion
internal import Reports

/// Lays an explanation out for people.
///
///     flow 12: GET edition.cnn.com:80 from sleep, 2026-11-01T10:00:00.123Z
///       verdict    passthrough (critical); path passthrough, outcome ok; seen at the sidecar
///       rule       passthrough-external: a sidecar sent to a public address that no ServiceEntry declares
///       policy     egress.yaml:12 ...
///       exceptions
///       would change  what would change the verdict
///       journey       2 hops ...
///       line          logs/sidecar.log:12
///                     [2026-11-01T10:00:00.123Z] "GET /?[redacted] HTTP/1.1" 200 ...
///       hop 2         logs/gateway.log:7
///                     ...
struct ExplanationText {
  let policyFile: String?
  let exceptions: [Policy.Exception]
  let redaction: Redaction
  let showsColumns: Bool
  /// Columns of the terminal; nil where nothing has to fit.
  let width: Int?

  private static let label = 14
  private static let indent = 2

  func text(_ finding: FoundFinding) -> String {
    let key = finding.key
    let source = key.source.isEmpty ? "" : " from \(key.source)"
    let port = key.port > 0 ? ":\(key.port)" : ""
    let host = key.host.isEmpty ? "-" : key.host
    var text = "finding \(safe(key.kind))\(safe(source)) to \(safe(host))\(port)\n"
    if key.kind == AlertLedger.optedOut {
      let isTelemetry = key.host.hasPrefix("telemetry-")
      text += row(
        "rule",
        isTelemetry
          ? "the imported topology shows a Telemetry that keeps lines of what pods send out of their sidecar's log"
          : "the imported topology shows that traffic of this workload can leave without a sidecar's line")
      text += row("flows", "none: what goes that way is in no log (see: gatewatch report opted-out, topology show)")
      let remedy = isTelemetry ? "the Telemetry" : "the pods' annotations"
      text += row("would change", "\(remedy), and a snapshot after that: gatewatch topology import")
    } else {
      text += row("flows", flows(finding))
    }
    for (index, sign) in finding.signs.enumerated() { text += row(index == 0 ? "sign" : "", sign) }
    if let first = finding.firstMs, let last = finding.lastMs {
      text += row("seen", "\(Quantities.iso(first)) to \(Quantities.iso(last))")
    }
    if let recorded = finding.recorded {
      let told =
        recorded.alerts == 0
        ? "never told"
        : "told \(recorded.alerts) \(recorded.alerts == 1 ? "time" : "times")"
          + (recorded.lastAlertedMs.map { ", last at \(Quantities.iso($0))" } ?? "")
      text += row("alert", "finding:\(recorded.id), \(recorded.severity), \(recorded.state), \(told)")
    } else {
      text += row("alert", "gatewatch alert has not recorded it")
    }
    let flows = finding.flows > 0 ? finding.flows : finding.allowed
    if flows > Int64(finding.evidence.count) {
      text += row(
        "evidence",
        "the first and the last \(FoundFinding.evidenceAtEachEnd) flows of \(Quantities.grouped(flows)), and the largest"
      )
    }
    return text
  }

  private func flows(_ finding: FoundFinding) -> String {
    guard finding.allowed > 0 else {
      return finding.flows == 0 ? "none by the present verdicts" : Quantities.grouped(finding.flows)
    }
    let exceptions = "exception\(finding.allowedBy.count == 1 ? "" : "s") \(finding.allowedBy.joined(separator: ", "))"
    let allowed = Quantities.grouped(finding.allowed)
    return finding.flows == 0
      ? "\(allowed), allowed by \(exceptions)"
      : "\(Quantities.grouped(finding.flows)), and \(allowed) more that are allowed by \(exceptions)"
  }

  /// - Parameter isEvidence: of a finding whose verdict was explained with its first flow: then the line is what counts.
  func text(
    _ flow: FlowExplanation, _ journey: JourneyExplanation?, isEvidence: Bool = false, isLargest: Bool = false
  ) -> String {
    var text = "flow \(flow.id)\(isLargest ? " (the largest)" : ""): \(heading(flow))\n"
    if !isEvidence {
      text += row("verdict", verdict(flow))
      text += row("rule", rule(flow))
      if let claim = flow.verdict.claim {
        text += row("reason", "\(claim.reason.rawValue): \(Judge.explanation(of: claim.reason))")
        for (index, sentence) in claim.shownBy.enumerated() { text += row(index == 0 ? "shown by" : "", sentence) }
      }
      for entry in flow.grounds?.entries ?? [] {
        text += row("policy", "\(place(entry.line)): \(entry.section), \(entry.name)")
      }
      if let policyFile {
        if flow.grounds?.entries.isEmpty ?? true { text += row("policy", "\(policyFile): no entry of it decided this") }
      } else {
        text += row("policy", "none: judged by what the lines show")
      }
      for (index, statement) in (flow.grounds?.topology ?? []).enumerated() {
        text += row(index == 0 ? "topology" : "", statement)
      }
      if let assumption = flow.verdict.assumption { text += row("assumed", assumption) }
      text += considered(flow)
      for (index, change) in (flow.grounds?.changes ?? []).enumerated() {
        text += row(index == 0 ? "would change" : "", change)
      }
    }
    text += self.journey(journey, of: flow)
    if let hop = flow.nextHop {
      text += row("next hop", hop.sentence)
      for sentence in hop.shownBy { text += row("", sentence) }
    }
    text += evidence(flow, "line")
    for (index, hop) in (journey?.hops ?? []).enumerated() where hop.flow.id != flow.id {
      text += evidence(hop.flow, "hop \(index + 1)")
    }
    return text
  }

  private func heading(_ flow: FlowExplanation) -> String {
    let verb = flow.text("method") ?? flow.text("protocol") ?? "connection"
    let port = flow.integer("port").map { ":\($0)" } ?? ""
    let path = flow.text("url_path") ?? ""
    let address = flow.text("source_ip")
    let name = flow.text("source")
    let source = name.map { name in address.map { "\(name) (\($0))" } ?? name } ?? address ?? "nobody named"
    return safe(
      "\(verb) \(flow.text("host") ?? "no host")\(port)\(path) from \(source), \(flow.text("started_at") ?? "")")
  }

  private func verdict(_ flow: FlowExplanation) -> String {
    var parts: [String] = []
    if let bypass = flow.text("bypass") {
      let around = flow.verdict.claim.map { " around the \($0.around)" } ?? ""
      parts.append("bypass \(bypass)\(around) (\(flow.verdict.severity))")
    } else {
      parts.append("no bypass" + (flow.verdict.severity == "info" ? "" : " (\(flow.verdict.severity))"))
    }
    parts.append("path \(flow.text("path") ?? "unknown")")
    parts.append("outcome \(flow.text("outcome") ?? "unknown")" + (flow.text("reason").map { ", reason \($0)" } ?? ""))
    parts.append("written by the \(flow.text("role") ?? "unknown")")
    if let exception = allowing(flow) { parts.append("allowed by exception \(exception.label)") }
    if let warnings = flow.text("warnings") { parts.append("warnings \(warnings)") }
    if flow.verdict.neverClears { parts.append("its columns can be read in more than one way, so it clears nothing") }
    if flow.verdict.isDuplicateView {
      parts.append("a second view of a flow that another line counts")
    } else if !flow.verdict.isCounted {
      parts.append("counted at its next hop, whose log was read for this time")
    }
    return parts.joined(separator: "; ")
  }

  private func rule(_ flow: FlowExplanation) -> String {
    guard let rule = flow.verdict.rule else { return "none: the flow was stored after the last judging" }
    return "\(rule): \(Judge.explanation(ofRule: rule) ?? "no words for this rule")"
  }

  private func allowing(_ flow: FlowExplanation) -> Policy.Exception? {
    flow.verdict.exception.flatMap { exceptions.indices.contains($0) ? exceptions[$0] : nil }
  }

  private func place(_ line: Int) -> String { line > 0 ? "\(policyFile ?? "policy"):\(line)" : policyFile ?? "policy" }

  private func considered(_ flow: FlowExplanation) -> String {
    guard let grounds = flow.grounds, flow.text("bypass") != nil else { return "" }
    if grounds.exceptions.isEmpty { return row("exceptions", "the policy has none") }
    var text = ""
    for (index, exception) in grounds.exceptions.enumerated() {
      let owner = exception.owner.isEmpty ? "" : ", owner \(exception.owner)"
      let expiry = exception.expiresMs.map { ", expires \(Quantities.iso($0, showsMilliseconds: false))" } ?? ""
      let why = exception.applies ? "allows it" : "does not apply: \(exception.misses.joined(separator: "; "))"
      text += row(
        index == 0 ? "exceptions" : "", "\(place(exception.line)): \(exception.label)\(owner)\(expiry): \(why)")
    }
    if grounds.otherExceptions > 0 {
      text += row("", "and \(grounds.otherExceptions) more that are further from applying")
    }
    return text
  }

  // MARK: The journey

  private func journey(_ journey: JourneyExplanation?, of flow: FlowExplanation) -> String {
    guard let journey else {
      return row("journey", "no line of another proxy is joined to this one")
    }
    let shown = journey.hopsNotShown > 0 ? ", the first \(journey.hops.count) of them" : ""
    var text = row("journey", "\(journey.id), \(journey.hops.count + journey.hopsNotShown) hops\(shown)")
    var before: Int64?
    for (index, hop) in journey.hops.enumerated() {
      text += row("", "\(index + 1) \(self.hop(hop, after: before))\(hop.flow.id == flow.id ? "  (this line)" : "")")
      before = hop.flow.integer("started_at_ms")
    }
    if let end = WayEnd(journey) { text += row("end", end.sentence) }
    for (index, sentence) in (TimeSpent(journey)?.sentences ?? []).enumerated() {
      text += row(index == 0 ? "time" : "", sentence)
    }
    if let note = journey.clockNote { text += row("clocks", note) }
    return text
  }

  private func hop(_ hop: JourneyExplanation.Hop, after before: Int64?) -> String {
    let flow = hop.flow
    var parts = [flow.text("role") ?? "unknown"]
    let start = flow.integer("started_at_ms")
    if let before, let start {
      parts[0] += ", \(start >= before ? "+" : "")\(start - before) ms"
    } else {
      parts[0] += ", \(flow.text("started_at") ?? "no time")"
    }
    parts.append(flow.duration.map { Quantities.duration(Double($0)) } ?? "no duration")
    parts.append(
      "\(flow.integer("bytes_sent").map(Quantities.bytes) ?? "?") sent, \(flow.integer("bytes_received").map(Quantities.bytes) ?? "?") received"
    )
    let status = flow.integer("status").map { $0 == 0 ? "" : "\($0) " } ?? ""
    parts.append("\(status)\(flow.text("outcome") ?? "unknown")" + (flow.text("reason").map { " (\($0))" } ?? ""))
    if hop.isRepeated { parts.append("an attempt that was repeated") }
    if hop.isByRequestIDAlone { parts.append("joined by its request id alone, which proves nothing") }
    if hop.isByLooksAlone {
      parts.append("joined by bytes or times alone, and the client's other lines do not show that it led here")
    }
    if hop.isPastGateway { parts.append("straight from a sidecar, with no gateway between, as the connection shows") }
    return parts.joined(separator: "; ") + "; \(flow.evidence.log):\(flow.evidence.line)"
  }

  // MARK: The line

  private func evidence(_ flow: FlowExplanation, _ label: String) -> String {
    let evidence = flow.evidence
    let place = "\(evidence.log):\(evidence.line)"
    switch evidence.answer {
    case .found(let found):
      let isMoved = found.path != evidence.log
      var text = row(label, isMoved ? "\(place), now \(found.path):\(evidence.line)" : place)
      let values = found.parsed.columns.compactMap(\.value)
      for line in found.lines {
        let raw = redaction.text(String(decoding: line.bytes, as: UTF8.self), values: values)
        // Never wrapped: a line of a log is copied and searched for.
        text += String(repeating: " ", count: ExplanationText.indent + ExplanationText.label) + safe(raw) + "\n"
      }
      if showsColumns { text += columns(found.parsed) }
      return text
    case .kept(let kept, let why):
      var text = row(label, "\(place), as kept in the database (\(why))")
      for raw in kept.split(separator: "\n", omittingEmptySubsequences: false) {
        text += String(repeating: " ", count: ExplanationText.indent + ExplanationText.label) + safe(String(raw)) + "\n"
      }
      return text
    case .changed(let why): return row(label, "\(place): log changed: \(why)")
    case .gone(let why): return row(label, "\(place): log gone: \(why)")
    }
  }

  private func columns(_ parsed: LineExplainer.Stored) -> String {
    let wrappers = parsed.wrappers.isEmpty ? "" : " in " + parsed.wrappers.joined(separator: " in ")
    var text = row("columns", "\(parsed.format)\(wrappers)")
    for line in ExplainedLines.columns(parsed.columns, value: { redaction.text($0) }) {
      text += String(repeating: " ", count: ExplanationText.indent + ExplanationText.label) + line + "\n"
    }
    return text
  }

  // MARK: Rows

  private func safe(_ text: String) -> String { TerminalText.safe(text) }

  private func row(_ label: String, _ text: String) -> String {
    let left = ExplanationText.indent + ExplanationText.label
    let filled =
      String(repeating: " ", count: ExplanationText.indent) + label
      + String(repeating: " ", count: max(1, ExplanationText.label - label.count))
    let lines = wrapped(safe(text), to: width.map { max(20, $0 - left) })
    return filled + lines.joined(separator: "\n" + String(repeating: " ", count: left)) + "\n"
  }

  /// At blanks, into lines of at most `columns`; a word that is longer stands alone.
  private func wrapped(_ text: String, to columns: Int?) -> [String] {
    guard let columns, text.count > columns else { return [text] }
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ", omittingEmptySubsequences: false) {
      if !line.isEmpty, line.count + 1 + word.count > columns {
        lines.append(line)
        line = String(word)
      } else {
        line += line.isEmpty ? String(word) : " \(word)"
      }
    }
    return lines + [line]
  }
}
