internal import AccessLogs
internal import EgressPolicy
internal import FlowStore
internal import Flows
internal import Ingestion
internal import Reports

/// Lays an explanation out for programs: `{"finding":...,"flows":[{"flow":{...},"verdict":{...},...}]}`.
struct ExplanationJSON {
  let policyFile: String?
  let exceptions: [Policy.Exception]
  let redaction: Redaction
  let showsColumns: Bool

  func text(_ finding: FoundFinding?, _ flows: [FlowExplanation]) -> String {
    let parts = flows.map { "    " + flow($0) }.joined(separator: ",\n")
    return """
      {
        "finding": \(finding.map(self.finding) ?? "null"),
        "policy": \(text(policyFile)),
        "flows": [
      \(parts)
        ]
      }

      """
  }

  private func finding(_ finding: FoundFinding) -> String {
    object([
      ("kind", JSON.string(finding.key.kind)), ("source", JSON.string(finding.key.source)),
      ("host", JSON.string(finding.key.host)), ("port", String(finding.key.port)), ("flows", String(finding.flows)),
      ("first_seen", time(finding.firstMs)), ("last_seen", time(finding.lastMs)),
      ("id", finding.recorded.map { String($0.id) } ?? "null"),
      ("severity", text(finding.recorded?.severity)), ("state", text(finding.recorded?.state)),
      ("alerts", finding.recorded.map { String($0.alerts) } ?? "null"),
    ])
  }

  private func flow(_ flow: FlowExplanation) -> String {
    object([
      ("flow", object(flow.columns.map { ($0.name, value($0.value)) })),
      ("verdict", verdict(flow)),
      ("policy_entries", list((flow.grounds?.entries ?? []).map(entry))),
      ("exceptions", list((flow.grounds?.exceptions ?? []).map(exception))),
      ("exceptions_not_listed", String(flow.grounds?.otherExceptions ?? 0)),
      ("topology", list((flow.grounds?.topology ?? []).map { JSON.string($0) })),
      ("would_change", list((flow.grounds?.changes ?? []).map { JSON.string($0) })),
      ("evidence", evidence(flow.evidence)),
    ])
  }

  private func verdict(_ flow: FlowExplanation) -> String {
    let verdict = flow.verdict
    let allowedBy = verdict.exception.flatMap { exceptions.indices.contains($0) ? exceptions[$0].label : nil }
    return object([
      ("severity", JSON.string(verdict.severity)), ("rule", text(verdict.rule)),
      ("rule_text", text(verdict.rule.flatMap { Judge.explanation(ofRule: $0) })),
      ("assumption", text(verdict.assumption)), ("allowed_by", text(allowedBy)),
      ("counted", verdict.isCounted ? "true" : "false"),
      ("duplicate_view", verdict.isDuplicateView ? "true" : "false"),
      ("never_clears", verdict.neverClears ? "true" : "false"),
    ])
  }

  private func entry(_ entry: Grounds.Entry) -> String {
    object([
      ("section", JSON.string(entry.section)), ("name", JSON.string(entry.name)), ("line", String(entry.line)),
    ])
  }

  private func exception(_ exception: Grounds.ConsideredException) -> String {
    object([
      ("label", JSON.string(exception.label)), ("owner", JSON.string(exception.owner)),
      ("line", String(exception.line)), ("expires", time(exception.expiresMs)),
      ("applies", exception.applies ? "true" : "false"), ("misses", list(exception.misses.map { JSON.string($0) })),
    ])
  }

  private func evidence(_ evidence: FlowExplanation.Evidence) -> String {
    var fields = [("log", JSON.string(evidence.log)), ("line", String(evidence.line))]
    switch evidence.answer {
    case .found(let found):
      let values = found.parsed.columns.compactMap(\.value)
      let lines = found.lines.map { line in
        object([
          ("line", String(line.number)),
          ("text", JSON.string(redaction.text(String(decoding: line.bytes, as: UTF8.self), values: values))),
        ])
      }
      fields += [
        ("state", JSON.string("found")), ("path", JSON.string(found.path)),
        ("format", JSON.string(found.parsed.format)), ("lines", list(lines)),
      ]
      if showsColumns { fields.append(("columns", list(found.parsed.columns.map(column)))) }
    case .kept(let kept, let why):
      fields += [
        ("state", JSON.string("kept")), ("why", JSON.string(why)),
        ("lines", list([object([("line", String(evidence.line)), ("text", JSON.string(kept))])])),
      ]
    case .changed(let why): fields += [("state", JSON.string("changed")), ("why", JSON.string(why))]
    case .gone(let why): fields += [("state", JSON.string("gone")), ("why", JSON.string(why))]
    }
    return object(fields)
  }

  private func column(_ column: LineExplainer.Column) -> String {
    object([
      ("directive", JSON.string(column.directive)),
      ("role", column.role.map { JSON.string(ExplainedLines.words($0)) } ?? "null"),
      ("value", text(column.value.map { redaction.text($0) })),
    ])
  }

  private func value(_ value: Value) -> String {
    switch value {
    case .null, .blob: "null"
    case .integer(let number): String(number)
    case .real(let number): "\(number)"
    case .text(let text): JSON.string(text)
    }
  }

  private func object(_ fields: [(String, String)]) -> String {
    "{" + fields.map { "\(JSON.string($0.0)):\($0.1)" }.joined(separator: ",") + "}"
  }

  private func list(_ values: [String]) -> String { "[" + values.joined(separator: ",") + "]" }
  private func text(_ text: String?) -> String { text.map(JSON.string) ?? "null" }
  private func time(_ ms: Int64?) -> String { ms.map { JSON.string(Quantities.iso($0)) } ?? "null" }
}
