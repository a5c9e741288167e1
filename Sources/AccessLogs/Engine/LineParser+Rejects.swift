internal import Flows

/// Lines that are not stored: counted, and told of.
extension LineParser {
  func skip(_ kind: String, into batch: FlowBatch) {
    batch.skip(kind)
  }

  func reject(_ reason: String, _ line: Slice, into batch: FlowBatch) {
    count(reason, into: batch) {
      RejectedLine(
        reason: reason, line: nextLine,
        detail: ["too-long", "too-many-records"].contains(reason) ? "" : detail(for: line),
        text: line.prefix(min(line.count, RejectedLine.maxText)).bytes)
    }
  }

  func count(_ reason: String, into batch: FlowBatch, _ rejected: () -> RejectedLine) {
    batch.rejectedCount += 1
    batch.rejectedByReason[reason, default: 0] += 1
    if batch.rejected.count < FlowBatch.maxKeptRejected { batch.rejected.append(rejected()) }
  }

  func reason(for line: Slice) -> String {
    if line.firstRange(of: "\taccess\t") != nil || line.firstRange(of: "\"scope\":\"access\"") != nil {
      return "ztunnel"
    }
    if line[0] == ASCII.openBrace { return "unknown-json" }
    if line[0] == ASCII.openBracket, line.count > 12, ASCII.isDigit(line[1]), line[5] == ASCII.minus {
      return "malformed-envoy"
    }
    return "unrecognised"
  }

  /// The place at which the closest format stopped fitting: `column 34: expected %BYTES_SENT% of istio-1.9`.
  private func detail(for line: Slice) -> String {
    guard line.count < 1 << 14 else { return "" }
    // A message is worth a fraction of what understanding the line is.
    var effort = Backtracking.lineBudget / 10
    var best: (column: Int, text: String) = (0, "")
    for plan in plans {
      guard case .text(let text) = plan else { continue }
      guard effort > 0 else { break }
      var ways = Backtracking(text, line, budget: effort)
      prepared = -1
      let answer = ways.match(into: fields)
      effort = ways.budgetLeft
      guard answer == .no else { continue }
      let (step, at) = ways.farthest
      let column = at - line.start
      guard column > best.column, step < text.fields.count else { continue }
      best = (column, "column \(column + 1): expected \(text.fields[step].name) of \(text.plan.name)")
    }
    return best.text
  }
}
