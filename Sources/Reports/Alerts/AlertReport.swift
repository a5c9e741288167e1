internal import FlowStore
public import Flows

/// What one run of `gatewatch alert` has to say.
public struct AlertReport: Sendable, Equatable {
  /// Findings with one kind, host and port: one cause, however many sources.
  public struct Group: Sendable, Equatable {
    public var kind: String
    public var severity: Severity
    public var host: String
    public var port: Int64
    public var sources: [String]
    /// The same, with who sent what a proxy handed on in place of that proxy.
    public var senders: [String] = []
    /// Flows that were not told before.
    public var newFlows: Int64
    public var flows: Int64
    public var firstSeenMs: Int64?
    public var lastSeenMs: Int64?
    public var cause: AlertLedger.Cause
    /// What was bypassed, by what proof, in the flows that were looked at.
    public var ways: Set<BypassedWay> = []
  }

  public var groups: [Group] = []
  /// External hosts met in the very first run, when every host is new: told as a number.
  public var firstHosts = 0
  /// Why this run cannot vouch for silence.
  public var problems: [String] = []
  public var coverage = ""
  public var isFirstRun = false

  /// 0 nothing new, 1 warning, 2 critical, 3 could not tell. Findings outrank 3.
  public var exitCode: Int32 {
    if groups.contains(where: { $0.severity == .critical }) { return 2 }
    if !groups.isEmpty || firstHosts > 0 { return 1 }
    return problems.isEmpty ? 0 : 3
  }

  public var isSilent: Bool { exitCode == 0 }

  public init(problems: [String] = []) { self.problems = problems }

  /// A run that ended before anything was asked.
  public static func couldNotTell(_ problem: String) -> AlertReport { AlertReport(problems: [problem]) }

  /// Takes what is told of a step, by its causes.
  mutating func add(_ step: AlertLedger.Step, isFirstRun: Bool) {
    self.isFirstRun = isFirstRun
    var last: StoredFinding.Key?
    var senders: Set<String> = []
    for one in step.told {
      let finding = step.changed[one.place]
      if finding.key.kind == AlertLedger.newHost, isFirstRun {
        firstHosts += 1
        continue
      }
      // Those of one cause follow each other.
      if !(last.map { $0.isOfHost(of: finding.key) } ?? false) {
        closeGroup(senders)
        senders.removeAll(keepingCapacity: true)
        groups.append(Group(finding, one))
      }
      last = finding.key
      groups[groups.count - 1].add(finding, one)
      if !finding.key.source.isEmpty {
        if one.senders.isEmpty { senders.insert(finding.key.source) } else { senders.formUnion(one.senders) }
      }
    }
    closeGroup(senders)
    tellNewHostsOnce()
    sortGroups()
  }

  private mutating func closeGroup(_ senders: Set<String>) {
    guard !groups.isEmpty else { return }
    let sorted = senders.sorted()
    let sources = groups[groups.count - 1].sources
    // One list where both are the same: there may be very many.
    groups[groups.count - 1].senders = sorted == sources ? sources : sorted
  }

  /// A new host that was reached around the gateway is told once, as what it is.
  private mutating func tellNewHostsOnce() {
    guard groups.contains(where: { $0.kind == AlertLedger.newHost }) else { return }
    let bypassHosts = Set(groups.lazy.filter { Bypass(rawValue: $0.kind) != nil }.map(\.host))
    groups.removeAll { $0.kind == AlertLedger.newHost && bypassHosts.contains($0.host) }
  }

  /// The most severe first, and of these the most frequent. Numbers are sorted, and groups moved once.
  private mutating func sortGroups() {
    var order = Array(groups.indices)
    order.sort { one, other in
      if groups[one].severity != groups[other].severity { return groups[one].severity > groups[other].severity }
      if groups[one].newFlows != groups[other].newFlows { return groups[one].newFlows > groups[other].newFlows }
      // They stand in the order of their keys.
      return one < other
    }
    for start in order.indices {
      // Each round of places once: from each place goes what stands where the next one is to be taken from.
      var place = start
      while order[place] != start {
        let from = order[place]
        groups.swapAt(place, from)
        order[place] = place
        place = from
      }
      order[place] = place
    }
  }
}

extension AlertReport.Group {
  fileprivate init(_ finding: StoredFinding, _ told: AlertLedger.Told) {
    self.init(
      kind: finding.key.kind, severity: .info, host: finding.key.host, port: finding.key.port, sources: [],
      newFlows: 0, flows: 0, cause: told.cause)
  }

  fileprivate mutating func add(_ finding: StoredFinding, _ told: AlertLedger.Told) {
    severity = max(severity, Severity(rawValue: finding.severity) ?? .info)
    if !told.ways.isSubset(of: ways) { ways.formUnion(told.ways) }
    if !finding.key.source.isEmpty { sources.append(finding.key.source) }
    newFlows = newFlows.plus(told.newFlows)
    flows = flows.plus(finding.count)
    firstSeenMs = [firstSeenMs, finding.firstSeenMs].compactMap { $0 }.min()
    lastSeenMs = [lastSeenMs, finding.lastSeenMs].compactMap { $0 }.max()
  }
}

/// The words of an alert: a block for a mail, one line for a monitor, an object for a machine.
extension AlertReport {
  /// Findings and sources that are named; the rest are counted.
  static let namedGroups = 20
  static let namedSources = 3

  /// Empty when nothing is new.
  public var text: String {
    guard !isSilent else { return "" }
    var lines = ["gatewatch \(word): \(headline(namesProblem: false))"]
    for group in groups.prefix(AlertReport.namedGroups) {
      let port = group.port == 0 ? "" : ":\(group.port)"
      let host = group.host.isEmpty ? "(no host)" : AlertReport.short(group.host)
      lines.append("  \(group.severity.rawValue)  \(TerminalText.safe(group.kind))  \(host)\(port)\(note(group))")
      // What the topology shows has no flows.
      var details =
        group.kind == AlertLedger.optedOut
        ? "seen in the topology" : "\(Quantities.grouped(group.newFlows)) \(group.newFlows == 1 ? "flow" : "flows")"
      if !group.senders.isEmpty { details += " from " + AlertReport.named(group.senders) }
      if let first = group.firstSeenMs, let last = group.lastSeenMs {
        details +=
          ", \(Quantities.iso(first, showsMilliseconds: false)) to \(Quantities.iso(last, showsMilliseconds: false))"
      }
      lines.append("      " + details)
      for way in group.ways.sorted() where !way.reason.isEmpty {
        lines.append("      around the \(TerminalText.safe(way.around)): \(TerminalText.safe(way.reason))")
      }
    }
    if groups.count > AlertReport.namedGroups {
      let rest = groups.dropFirst(AlertReport.namedGroups)
      let flows = rest.reduce(Int64(0)) { $0.plus($1.newFlows) }
      lines.append(
        "  and \(rest.count) more, \(Quantities.grouped(flows)) flows: gatewatch report bypass, gatewatch report blocked"
      )
    }
    if firstHosts > 0 {
      lines.append(
        "  first run: \(Quantities.grouped(Int64(firstHosts))) external \(firstHosts == 1 ? "host is" : "hosts are") known from now on (gatewatch report hosts)"
      )
    }
    for problem in problems {
      // An error's help stands in a line of its own.
      let words = problem.split(whereSeparator: \.isNewline).map { $0.trimmingPrefix(while: \.isWhitespace) }
      lines.append("  could not tell: \(TerminalText.safe(words.joined(separator: "; ")))")
    }
    if !coverage.isEmpty { lines.append("  read: \(coverage)") }
    return lines.joined(separator: "\n") + "\n"
  }

  /// One line as monitoring plugins print it, also when nothing is new: so it says of what.
  public func statusLine(perfdata: Bool = true) -> String {
    var line = "GATEWATCH \(word): \(headline(namesProblem: true))"
    if !coverage.isEmpty { line += "; read: \(AlertReport.beforePerfdata(coverage))" }
    guard perfdata else { return line + "\n" }
    func count(_ isMeant: (Group) -> Bool) -> Int { groups.count(where: isMeant) }
    return line
      + "|bypass=\(count { Bypass(rawValue: $0.kind) != nil }) blocked=\(count { $0.kind == AlertLedger.blocked })"
      + " new_hosts=\(count { $0.kind == AlertLedger.newHost } + firstHosts) problems=\(problems.count)\n"
  }

  public var json: String {
    let findings = groups.map { group in
      """
          {"kind":\(JSON.string(group.kind)),"severity":"\(group.severity.rawValue)","cause":"\(group.cause.rawValue)",\
      "host":\(JSON.string(group.host)),"port":\(group.port == 0 ? "null" : String(group.port)),\
      "sources":[\(group.sources.map(JSON.string).joined(separator: ","))],\
      "senders":[\(group.senders.map(JSON.string).joined(separator: ","))],\
      "around":\(AlertReport.list(group.ways.map(\.around))),"reasons":\(AlertReport.list(group.ways.map(\.reason))),\
      "new_flows":\(group.newFlows),"flows":\(group.flows),\
      "first_seen":\(AlertReport.time(group.firstSeenMs)),"last_seen":\(AlertReport.time(group.lastSeenMs))}
      """
    }
    return """
      {
        "status": "\(word.lowercased())",
        "exit_code": \(exitCode),
        "first_run": \(isFirstRun),
        "first_hosts": \(firstHosts),
        "findings": [\(findings.isEmpty ? "" : "\n" + findings.joined(separator: ",\n") + "\n  ")],
        "could_not_tell": [\(problems.map(JSON.string).joined(separator: ","))],
        "coverage": \(JSON.string(coverage))
      }

      """
  }

  private var word: String { ["OK", "WARNING", "CRITICAL", "UNKNOWN"][Int(exitCode)] }

  /// - Parameter namesProblem: the first reason for doubt stands here, because no line follows that names it.
  private func headline(namesProblem: Bool) -> String {
    var parts: [String] = []
    if !groups.isEmpty { parts.append("\(groups.count) new \(groups.count == 1 ? "finding" : "findings")") }
    if firstHosts > 0 { parts.append("first run") }
    if let first = problems.first {
      let more = problems.count > 1 ? " (and \(problems.count - 1) more)" : ""
      parts.append("could not tell" + (namesProblem ? ": \(TerminalText.safe(first))\(more)" : ""))
    }
    return parts.isEmpty ? "nothing new" : AlertReport.beforePerfdata(parts.joined(separator: "; "))
  }

  /// The vertical bar opens the performance data of a monitoring plugin.
  static func beforePerfdata(_ text: String) -> String {
    var plain = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { plain.append(scalar == "|" ? "/" : scalar) }
    return String(plain)
  }

  private func note(_ group: Group) -> String {
    switch group.cause {
    case .new: ""
    case .reopened: "  (again)"
    case .raised: "  (more severe than before)"
    case .ongoing: "  (goes on)"
    }
  }

  /// Longest host or source that is shown whole: a client may write what it likes.
  private static let longestName = 100

  private static func short(_ name: String) -> String {
    TerminalText.clipped(TerminalText.safe(name), to: longestName)
  }

  private static func named(_ sources: [String]) -> String {
    let named = sources.prefix(namedSources).map(short).joined(separator: ", ")
    return sources.count > namedSources ? "\(named) and \(sources.count - namedSources) more" : named
  }

  /// Each word once, as JSON.
  private static func list(_ words: [String]) -> String {
    let words = Set(words).filter { !$0.isEmpty }.sorted()
    return "[" + words.map(JSON.string).joined(separator: ",") + "]"
  }

  private static func time(_ milliseconds: Int64?) -> String {
    milliseconds.map { "\"\(Quantities.iso($0))\"" } ?? "null"
  }
}
