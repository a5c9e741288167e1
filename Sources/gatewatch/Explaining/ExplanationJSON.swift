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

  func text(
    _ finding: FoundFinding?, _ flows: [FlowExplanation], _ journeys: [Int64: JourneyExplanation]
  ) -> String {
    let parts = flows.map { "    " + flow($0, journeys[$0.id], finding?.largest) }.joined(separator: ",\n")
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
      ("allowed", String(finding.allowed)), ("allowed_by", list(finding.allowedBy.map { JSON.string($0) })),
      ("first_seen", time(finding.firstMs)), ("last_seen", time(finding.lastMs)),
      ("id", finding.recorded.map { String($0.id) } ?? "null"),
      ("severity", text(finding.recorded?.severity)), ("state", text(finding.recorded?.state)),
      ("alerts", finding.recorded.map { String($0.alerts) } ?? "null"),
      ("signs", list(finding.signs.map { JSON.string($0) })),
    ])
  }

  private func flow(_ flow: FlowExplanation, _ journey: JourneyExplanation?, _ largest: Int64?) -> String {
    object([
      ("flow", object(flow.columns.map { ($0.name, value($0.value)) })),
      ("verdict", verdict(flow)),
      ("policy_entries", list((flow.grounds?.entries ?? []).map(entry))),
      ("exceptions", list((flow.grounds?.exceptions ?? []).map(exception))),
      ("exceptions_not_listed", String(flow.grounds?.otherExceptions ?? 0)),
      ("topology", list((flow.grounds?.topology ?? []).map { JSON.string($0) })),
      ("would_change", list((flow.grounds?.changes ?? []).map { JSON.string($0) })),
      ("evidence", evidence(flow.evidence)),
      ("is_largest", flow.id == largest ? "true" : "false"),
      ("journey", journey.map(self.journey) ?? "null"),
      ("next_hop", flow.nextHop.map(nextHop) ?? "null"),
    ])
  }

  private func nextHop(_ hop: FlowExplanation.NextHop) -> String {
    object([
      ("gap", text(hop.gap)), ("role", JSON.string(hop.role)), ("address", text(hop.address)),
      ("shown_by", list(hop.shownBy.map { JSON.string($0) })),
    ])
  }

  private func journey(_ journey: JourneyExplanation) -> String {
    let hops = journey.hops.enumerated().map { index, hop in
      let flow = hop.flow
      let before = index > 0 ? journey.hops[index - 1].flow.integer("started_at_ms") : nil
      return object([
        ("hop", String(index + 1)), ("flow", String(flow.id)), ("role", text(flow.text("role"))),
        ("started_at", text(flow.text("started_at"))),
        ("before_ms", number(before.flatMap { before in flow.integer("started_at_ms").map { $0 - before } })),
        ("duration_ms", number(flow.duration)), ("bytes_sent", number(flow.integer("bytes_sent"))),
        ("bytes_received", number(flow.integer("bytes_received"))), ("status", number(flow.integer("status"))),
        ("path", text(flow.text("path"))), ("outcome", text(flow.text("outcome"))),
        ("reason", text(flow.text("reason"))), ("repeated", hop.isRepeated ? "true" : "false"),
        ("by_request_id_alone", hop.isByRequestIDAlone ? "true" : "false"),
        ("by_bytes_or_times_alone", hop.isByLooksAlone ? "true" : "false"),
        ("past_gateway", hop.isPastGateway ? "true" : "false"), ("evidence", evidence(flow.evidence)),
      ])
    }
    let time = TimeSpent(journey)
    return object([
      ("id", JSON.string(journey.id)), ("hops", list(hops)), ("hops_not_shown", String(journey.hopsNotShown)),
      ("end", end(journey)), ("mesh_ms", number(time?.mesh)), ("retried_ms", number(time?.retried)),
      ("gateway_ms", number(time?.gateway)),
      ("external_ms", number(time?.external)), ("answer_began_ms", number(time?.answerBegan)),
      ("clocks", text(journey.clockNote)),
    ])
  }

  private func end(_ journey: JourneyExplanation) -> String {
    guard let end = WayEnd(journey) else { return "null" }
    return object([
      ("outcome", JSON.string(end.outcome)), ("reason", text(end.reason)), ("role", JSON.string(end.role)),
      ("host", text(end.host)), ("port", number(end.port)),
    ])
  }

  private func verdict(_ flow: FlowExplanation) -> String {
    let verdict = flow.verdict
    let allowedBy = verdict.exception.flatMap { exceptions.indices.contains($0) ? exceptions[$0].label : nil }
    return object([
      ("severity", JSON.string(verdict.severity)), ("rule", text(verdict.rule)),
      ("rule_text", text(verdict.rule.flatMap { Judge.explanation(ofRule: $0) })),
      ("bypass_reason", text(verdict.claim?.reason.rawValue)),
      ("bypass_reason_text", text(verdict.claim.map { Judge.explanation(of: $0.reason) })),
      ("around", text(verdict.claim?.around ?? (flow.text("bypass") == nil ? nil : BypassedHop.gateway.rawValue))),
      ("shown_by", list((verdict.claim?.shownBy ?? []).map { JSON.string($0) })),
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
  private func number(_ number: Int64?) -> String { number.map { String($0) } ?? "null" }
  private func text(_ text: String?) -> String { text.map(JSON.string) ?? "null" }
  private func time(_ ms: Int64?) -> String { ms.map { JSON.string(Quantities.iso($0)) } ?? "null" }
}
