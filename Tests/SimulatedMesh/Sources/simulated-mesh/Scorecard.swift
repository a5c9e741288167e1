/// The measures of one reading, and the misses by name.
struct Scorecard {
  struct Measure {
    var name: String
    var hits = 0
    var total = 0
    /// In hundredths of a percent; nil for what is only shown.
    var least: Int?

    var isMet: Bool { least.map { hits * 10_000 >= total * $0 } ?? true }
  }

  private(set) var measures: [Measure] = []
  private(set) var misses: [String: [String]] = [:]
  private static let shown = 5

  mutating func add(_ name: String, _ hits: Int, of total: Int, least: Int? = nil) {
    measures.append(Measure(name: name, hits: hits, total: total, least: least))
  }

  func hasRoom(for measure: String) -> Bool { (misses[measure]?.count ?? 0) < Scorecard.shown }
  mutating func miss(_ measure: String, _ text: String) { misses[measure, default: []].append(text) }

  var isPassed: Bool { measures.allSatisfy(\.isMet) }

  var table: String {
    var text = ""
    for measure in measures {
      let share = measure.total == 0 ? 1 : Double(measure.hits) / Double(measure.total)
      let percent = measure.total == 0 ? "-" : "\(Self.rounded(share * 100)) %"
      let target = measure.least.map {
        measure.isMet
          ? "at least \(Self.rounded(Double($0) / 100)) %" : "MISSED, at least \(Self.rounded(Double($0) / 100)) %"
      }
      text += "  \(pad(measure.name, 34))\(pad(percent, 12, isRight: true))  "
      text += "\(pad("\(measure.hits) of \(measure.total)", 22))  \(target ?? "")\n"
      for miss in misses[measure.name] ?? [] { text += "      \(miss)\n" }
    }
    return text
  }

  /// Never up to a whole: 99.9996 is not 100.
  private static func rounded(_ value: Double) -> String {
    let units = Int((value * 10_000).rounded(.down))
    let digits = String(units % 10_000 + 10_000).dropFirst()
    return "\(units / 10_000).\(digits)"
  }

  private func pad(_ text: String, _ width: Int, isRight: Bool = false) -> String {
    let blanks = String(repeating: " ", count: max(width - text.count, 0))
    return isRight ? blanks + text : text + blanks
  }
}
