internal import Foundation

/// The table of targets, and the same as JSON.
final class Scorecard: Codable {
  struct Row: Codable {
    enum Verdict: String, Codable { case pass, miss, absent, info }
    var work: String
    var target: String
    var measured: String
    /// What the target is about; nil where nothing was measured.
    var value: Double?
    var verdict: Verdict
  }

  var date: String
  var machine: String
  var cores: Int
  var load: Double
  var form: String
  var rows: [Row] = []
  /// All costs by work, round by round, in seconds and megabytes.
  var costs: [String: [Command.Cost]] = [:]

  init(form: String) {
    date = Date().formatted(.iso8601)
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let model = text.split(separator: "\n").first { $0.hasPrefix("model name") }
    machine =
      model.flatMap { $0.split(separator: ":").last }.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown"
    cores = ProcessInfo.processInfo.activeProcessorCount
    let loads = (try? String(contentsOfFile: "/proc/loadavg", encoding: .utf8)) ?? ""
    load = loads.split(separator: " ").first.flatMap { Double($0) } ?? 0
    self.form = form
  }

  /// At least `target`.
  func atLeast(_ target: Double, _ work: String, _ value: Double, _ measured: String) {
    rows.append(
      Row(
        work: work, target: ">= \(Scorecard.short(target))", measured: measured, value: value,
        verdict: value >= target ? .pass : .miss))
  }

  /// At most `target`.
  func atMost(_ target: Double, _ unit: String, _ work: String, _ value: Double, _ measured: String) {
    rows.append(
      Row(
        work: work, target: "<= \(Scorecard.short(target)) \(unit)", measured: measured, value: value,
        verdict: value <= target ? .pass : .miss))
  }

  func absent(_ work: String, _ why: String) {
    rows.append(Row(work: work, target: "", measured: why, value: nil, verdict: .absent))
  }

  func note(_ work: String, _ measured: String, _ value: Double? = nil) {
    rows.append(Row(work: work, target: "", measured: measured, value: value, verdict: .info))
  }

  func keep(_ rounds: Rounds) {
    costs.merge(rounds.costs) { $0 + $1 }
  }

  static func short(_ number: Double) -> String {
    let text = String(format: number.magnitude >= 100 ? "%.0f" : number.magnitude >= 10 ? "%.1f" : "%.2f", number)
    return text.hasSuffix(".00") ? String(text.dropLast(3)) : text
  }

  var table: String {
    let header = Row(work: "work", target: "target", measured: "measured", value: nil, verdict: .info)
    let all = [header] + rows
    let work = all.map(\.work.count).max() ?? 0
    let target = all.map(\.target.count).max() ?? 0
    var text = "\(date), \(machine), \(cores) cores, load \(Scorecard.short(load)), \(form)\n\n"
    for (index, row) in all.enumerated() {
      let verdict = index == 0 ? "" : row.verdict == .info ? "" : row.verdict.rawValue
      text += verdict.padding(toLength: 7, withPad: " ", startingAt: 0)
      text += row.work.padding(toLength: work + 2, withPad: " ", startingAt: 0)
      text += row.target.padding(toLength: target + 2, withPad: " ", startingAt: 0)
      text += row.measured + "\n"
    }
    let misses = rows.count { $0.verdict == .miss }
    let passes = rows.count { $0.verdict == .pass }
    return text + "\n\(passes) of \(passes + misses) targets met\n"
  }

  func json() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return try encoder.encode(self)
  }
}
