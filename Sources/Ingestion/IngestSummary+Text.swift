internal import Foundation

extension IngestSummary {
  /// The summary for people. Paths and reasons go through `shown`, which makes them safe for a terminal.
  ///
  ///     access.log  squid  forward-proxy
  ///       1,012 lines read = 1,000 stored + 2 rejected + 10 skipped; bytes 0 to 152,310, 14 pending
  ///
  ///     total: 1,012 lines read = 1,000 stored + 2 rejected + 10 skipped; 1 file in 0.02 s
  ///     rejected: 2 unrecognised (access.log:12, access.log:15); see: gatewatch report rejected
  ///     skipped: 10 blank
  public func text(shown: (String) -> String) -> String {
    var text = ""
    let (quiet, read) = files.reduce(into: ([File](), [File]())) { parts, file in
      if file.read == 0 && file.from == file.to { parts.0.append(file) } else { parts.1.append(file) }
    }
    for file in read {
      let facts = [shown(file.path), shown(file.format), file.role].filter { !$0.isEmpty }.joined(separator: "  ")
      let pending = file.pending > 0 ? ", \(grouped(file.pending)) pending" : ""
      text += """
        \(facts)
          \(sums(file.read, file.stored, file.rejected, file.skipped)); \
        bytes \(grouped(file.from)) to \(grouped(file.to))\(pending)

        """
    }
    let pending = quiet.reduce(0) { $0 + $1.pending }
    if !quiet.isEmpty {
      text += "\(quiet.count) \(quiet.count == 1 ? "file" : "files") without new lines"
      text += pending > 0 ? ", \(grouped(pending)) bytes of unfinished lines pending\n" : "\n"
    }
    if !text.isEmpty { text += "\n" }
    text += "total: \(sums(lines.read, lines.stored, lines.rejected, lines.skipped)); "
    text += "\(files.count) \(files.count == 1 ? "file" : "files") in \(rounded(seconds)) s\n"
    if !rejected.isEmpty {
      let reasons = ranked(rejected).map { reason, count in
        "\(grouped(Int64(count))) \(shown(reason)) (\((rejectedPlaces[reason] ?? []).map(shown).joined(separator: ", ")))"
      }
      text += "rejected: \(reasons.joined(separator: "; ")); see: gatewatch report rejected\n"
    }
    if !skipped.isEmpty {
      text += "skipped: \(ranked(skipped).map { "\(grouped(Int64($1))) \(shown($0))" }.joined(separator: ", "))\n"
    }
    return text
  }

  /// One line of JSON: the contract, keys sorted.
  public func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
  }

  private func sums(_ read: Int, _ stored: Int, _ rejected: Int, _ skipped: Int) -> String {
    """
    \(grouped(Int64(read))) \(read == 1 ? "line" : "lines") read = \(grouped(Int64(stored))) stored + \(grouped(Int64(rejected))) rejected \
    + \(grouped(Int64(skipped))) skipped
    """
  }

  private func ranked(_ counts: [String: Int]) -> [(String, Int)] {
    counts.sorted { $0.value != $1.value ? $0.value > $1.value : $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  private func grouped(_ number: Int64) -> String {
    let digits = Array(String(number))
    return digits.enumerated().map { index, digit in
      (index > 0 && (digits.count - index) % 3 == 0 ? "," : "") + String(digit)
    }.joined()
  }

  private func rounded(_ seconds: Double) -> String {
    let hundredths = Int((seconds * 100).rounded())
    return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
  }
}
