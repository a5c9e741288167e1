import AccessLogs

/// A plan as text, one piece a line: what the golden files hold.
func described(_ plan: FormatPlan) -> String {
  var lines = ["dialect \(plan.dialect.rawValue)"]
  switch plan.body {
  case .text(let pieces): lines += pieces.map(described)
  case .json(let keys):
    for key in keys {
      lines.append("key \(key.path.joined(separator: " > "))")
      lines += key.pieces.map { "  " + described($0) }
    }
  }
  lines += plan.notUnderstood.map { "not understood \($0)" }
  return lines.joined(separator: "\n") + "\n"
}

private func described(_ piece: FormatPiece) -> String {
  switch piece {
  case .literal(let bytes): return "literal \(String(decoding: bytes, as: UTF8.self).debugDescription)"
  case .field(let field):
    var text = "\(field.role) \(field.syntax) \(field.name)"
    if field.escaping != .raw { text += " escaping=\(field.escaping)" }
    if field.unit != .one { text += " unit=\(field.unit)" }
    if field.padded { text += " padded" }
    if field.paddedAtEnd { text += " padded-at-end" }
    if let length = field.maxLength { text += " max=\(length)" }
    if field.mayBeEmpty { text += " may-be-empty" }
    if let time = field.time { text += " time=" + described(time) }
    return text
  }
}

func described(_ time: TimeFormat) -> String {
  var text = time.parts.map { part in
    if case .literal(let bytes) = part { return String(decoding: bytes, as: UTF8.self).debugDescription }
    return "\(part)"
  }.joined(separator: "|")
  if time.lacksZone { text += " lacks-zone" }
  if time.lacksDate { text += " lacks-date" }
  if time.lacksHour { text += " lacks-hour" }
  return text
}
