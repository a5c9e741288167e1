internal import ArgumentParser
internal import EgressPolicy
internal import FlowStore
internal import Flows
internal import Ingestion
internal import Reports

/// `gatewatch policy`: the file that says what the mesh is and which bypasses are allowed.
struct PolicyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "policy",
    abstract: "The policy file: which addresses are the mesh, the gateways, the proxies; which bypasses are allowed.",
    discussion: """
      Draft one from the stored lines, look it through, check it, judge by it:

        gatewatch policy init > egress.yaml
        gatewatch policy check egress.yaml
        gatewatch report --policy egress.yaml
      """,
    subcommands: [PolicyInit.self, PolicyCheck.self])
}

/// `gatewatch policy check FILE`.
struct PolicyCheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Read a policy file as ingest and report would; name errors by line, and exceptions that end.",
    discussion: """
      Exit codes: 0 the file can be used, 1 it cannot (the message names file, line and column). Warnings go to the error \
      stream and change nothing. Where there is a database, the stored flows are judged by the file, in memory, and each \
      exception is shown with the number of flows that it allows: one that allows none is said to be never used.

        gatewatch policy check egress.yaml
        gatewatch policy check egress.yaml --soon 90 --db mesh.db
      """)

  @Argument(help: "The policy, a YAML file.")
  var file: String

  @Option(
    help: ArgumentHelp("An exception that expires within so many days is said to expire soon.", valueName: "days"))
  var soon = 30

  @Option(help: ArgumentHelp("How the answer is written.", valueName: "format"))
  var format = OutputFormat.table

  @OptionGroup var database: DatabaseOption

  func validate() throws {
    // A century: far beyond any exception, far from any overflow.
    guard (0...36_500).contains(soon) else { throw ValidationError("--soon takes a number of days") }
  }

  func run() throws {
    try Terminal.exiting {
      let policy = try StoreAccess.policy(file: file).policy
      policy.warnings.forEach { Terminal.complain("\($0)") }
      try write(policy, uses: try uses(of: policy), now: Terminal.now)
    }
  }

  private static let dayMs: Int64 = 86_400_000

  /// Flows that each exception allows, by its place in the file; nil where there is no database to ask.
  private func uses(of policy: Policy) throws -> [Int64]? {
    let reader: FlowReader
    do throws(StoreError) { reader = try FlowReader(path: database.path) } catch {
      // The usual database need not be there; one that was named must.
      if case .missing = error, database.db == nil { return nil }
      throw error
    }
    defer { reader.close() }
    var uses = [Int64](repeating: 0, count: policy.exceptions.count)
    guard !uses.isEmpty else { return uses }
    try reader.suppose(Rejudge.judge(try reader.facts(), policy: policy))
    try reader.query(
      "select exception_id, count(*) from bypass_flow where allowed = 1 group by exception_id order by exception_id"
    ) { row in
      if let id = row[0].integer.map({ Int($0) }), uses.indices.contains(id) { uses[id] = row[1].integer ?? 0 }
    }
    return uses
  }

  private func write(_ policy: Policy, uses: [Int64]?, now: Int64) throws {
    var renderer = format.renderer(Terminal.appearance, to: Terminal.write)
    try renderer.begin(
      Heading(
        name: "policy", title: "\(file) can be used",
        columns: [
          .init(name: "entry", kind: .text, text: "section of the file"), .init(name: "name", kind: .text),
          .init(name: "what", kind: .text, text: "hosts, addresses and the like"),
          .init(name: "owner", kind: .text), .init(name: "until", kind: .time, text: "when it stops holding"),
          .init(name: "state", kind: .text, text: "holds, not yet, soon over, over"),
          .init(name: "used", kind: .number, text: "stored flows that the exception allows; empty where not known"),
        ]))
    var ended = 0
    var ending = 0
    for entry in entries(of: policy) {
      let state = state(of: entry.validity, at: now)
      if state == .over { ended += 1 }
      if state == .soonOver { ending += 1 }
      let until: Value = entry.validity.untilMs == .max ? .null : .integer(entry.validity.untilMs)
      try renderer.row([
        .text(entry.section), .text(entry.name), .text(entry.what), entry.owner.isEmpty ? .null : .text(entry.owner),
        until,
        .text(state.rawValue), Value(entry.exception.flatMap { uses?[$0] }),
      ])
    }
    var notes: [String] = []
    if ended > 0 { notes.append("\(ended) \(ended == 1 ? "entry no longer holds" : "entries no longer hold")") }
    if ending > 0 { notes.append("\(ending) \(ending == 1 ? "entry ends" : "entries end") within \(soon) days") }
    if let uses {
      let unused = uses.filter { $0 == 0 }.count
      if unused > 0 {
        notes.append(
          "\(unused) \(unused == 1 ? "exception was" : "exceptions were") never used by the flows in \(database.path)")
      }
    } else if !policy.exceptions.isEmpty {
      notes.append("no database \(database.path): which exceptions are used is not known")
    }
    try renderer.end(Footing(notes: notes))
  }

  private enum State: String {
    case holds
    case notYet = "not yet"
    case soonOver = "soon over"
    case over
  }

  private func state(of validity: Policy.Validity, at now: Int64) -> State {
    if validity.untilMs <= now { return .over }
    if validity.fromMs > now { return .notYet }
    return validity.untilMs != .max && validity.untilMs - now <= Int64(soon) * PolicyCheck.dayMs ? .soonOver : .holds
  }

  private struct Entry {
    var section: String
    var name: String
    var what: String
    var owner = ""
    var validity: Policy.Validity
    /// Place among the exceptions.
    var exception: Int?
  }

  private func entries(of policy: Policy) -> [Entry] {
    var entries = policy.internal.map { item in
      let what = item.range.map { "\($0)" } ?? item.host?.pattern ?? ""
      return Entry(section: "mesh", name: what, what: "internal", validity: item.validity)
    }
    entries += policy.pods.map { pod in
      let sidecar = pod.hasSidecar.map { $0 ? ["with sidecar"] : ["without sidecar"] } ?? []
      return Entry(
        section: "pods", name: pod.name, what: (pod.addresses.map { "\($0)" } + sidecar).joined(separator: ", "),
        validity: pod.validity)
    }
    for (section, proxies) in [
      ("gateways", policy.gateways), ("sni_proxies", policy.sniProxies), ("forward_proxies", policy.forwardProxies),
    ] {
      entries += proxies.map { proxy in
        let what = proxy.hosts.map(\.pattern) + proxy.addresses.map { "\($0)" }
        return Entry(
          section: section, name: proxy.name, what: what.joined(separator: ", "), validity: proxy.validity)
      }
    }
    entries += policy.exceptions.enumerated().map { place, exception in
      var what = exception.hosts.map(\.pattern) + exception.addresses.map { "\($0)" }
      what += exception.ports.map { "port \($0)" } + exception.sources.map { "from \($0)" }
      return Entry(
        section: "exceptions", name: exception.label, what: what.joined(separator: ", "), owner: exception.owner,
        validity: exception.validity, exception: place)
    }
    entries += policy.expected.map { log in
      var what = log.role.map { [$0.rawValue] } ?? []
      if let silence = log.maxSilenceMs { what.append("silent for at most \(Quantities.duration(Double(silence)))") }
      return Entry(
        section: "expected", name: log.log.pattern, what: what.joined(separator: ", "), validity: log.validity)
    }
    return entries
  }
}
