internal import ArgumentParser
internal import EgressPolicy
internal import FlowStore
internal import Flows
internal import Reports

/// `gatewatch policy`: the file that says what the mesh is and which bypasses are allowed.
struct PolicyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "policy",
    abstract: "The policy file: which addresses are the mesh, the gateways, the proxies; which bypasses are allowed.",
    discussion: """
      gatewatch policy init > egress.yaml
      gatewatch policy check egress.yaml
      """,
    subcommands: [PolicyInit.self, PolicyCheck.self])
}

/// `gatewatch policy init`.
struct PolicyInit: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Draft a policy from what the stored lines show, for you to check.",
    discussion: """
      Every entry comes commented out, with the ground for it beside it: a guess holds only after somebody looked at it. The \
      draft goes to the standard output; the database stays as it is.

        gatewatch policy init > egress.yaml
      """)

  @Option(help: ArgumentHelp("How long to wait for another run to end.", valueName: "seconds"))
  var wait = 10

  @OptionGroup var database: DatabaseOption

  func validate() throws {
    guard wait >= 0 else { throw ValidationError("--wait takes a number of seconds") }
  }

  func run() throws {
    try Terminal.exiting {
      // Opened to read first: a database that is not there must not be made.
      try FlowReader(path: database.path).close()
      let store = try FlowStore(path: database.path, wait: .seconds(wait))
      defer { store.close() }
      let facts = try store.facts()
      let judge = Judge(
        policy: nil, sources: facts.sources, destinations: facts.destinations, outcomes: facts.outcomes,
        logs: facts.logs)
      try Terminal.write(judge.draftPolicy())
    }
  }
}

/// `gatewatch policy check FILE`.
struct PolicyCheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Read a policy file as ingest and report would; name errors by line, and exceptions that end.",
    discussion: """
      Exit codes: 0 the file can be used, 1 it cannot (the message names file, line and column). Warnings go to the error \
      stream and change nothing.

        gatewatch policy check egress.yaml
        gatewatch policy check egress.yaml --soon 90
      """)

  @Argument(help: "The policy, a YAML file.")
  var file: String

  @Option(
    help: ArgumentHelp("An exception that expires within so many days is said to expire soon.", valueName: "days"))
  var soon = 30

  @Option(help: ArgumentHelp("table, json, ndjson, csv or markdown.", valueName: "format"))
  var format = OutputFormat.table

  func validate() throws {
    // A century: far beyond any exception, far from any overflow.
    guard (0...36_500).contains(soon) else { throw ValidationError("--soon takes a number of days") }
  }

  func run() throws {
    try Terminal.exiting {
      let policy = try StoreAccess.policy(file: file).policy
      policy.warnings.forEach { Terminal.complain("\($0)") }
      try write(policy, now: Terminal.now)
    }
  }

  private static let dayMs: Int64 = 86_400_000

  private func write(_ policy: Policy, now: Int64) throws {
    var renderer = format.renderer(Terminal.appearance, to: Terminal.write)
    try renderer.begin(
      Heading(
        name: "policy", title: "\(file) can be used",
        columns: [
          .init(name: "entry", kind: .text, text: "section of the file"), .init(name: "name", kind: .text),
          .init(name: "what", kind: .text, text: "hosts, addresses and the like"),
          .init(name: "owner", kind: .text), .init(name: "until", kind: .time, text: "when it stops holding"),
          .init(name: "state", kind: .text, text: "holds, not yet, soon over, over"),
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
        .text(state.rawValue),
      ])
    }
    var notes: [String] = []
    if ended > 0 { notes.append("\(ended) \(ended == 1 ? "entry no longer holds" : "entries no longer hold")") }
    if ending > 0 { notes.append("\(ending) \(ending == 1 ? "entry ends" : "entries end") within \(soon) days") }
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
    entries += policy.exceptions.map { exception in
      var what = exception.hosts.map(\.pattern) + exception.addresses.map { "\($0)" }
      what += exception.ports.map { "port \($0)" } + exception.sources.map { "from \($0)" }
      return Entry(
        section: "exceptions", name: exception.label, what: what.joined(separator: ", "), owner: exception.owner,
        validity: exception.validity)
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
