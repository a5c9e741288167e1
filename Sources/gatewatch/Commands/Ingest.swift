public import ArgumentParser
internal import Dispatch
internal import EgressPolicy
internal import FlowStore
public import Flows
internal import Foundation
internal import Ingestion
internal import Reports

/// `gatewatch ingest`: reads logs into the store, each line once.
struct IngestCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ingest",
    abstract: "Read access logs into the database; every line once, however often it is run.",
    discussion: """
      Reads on where the last run stopped, also after the logs were rotated, compressed, copied or cut. A last line \
      without newline waits for its end.

      Exit codes: 0 everything that could be read was read, 1 an input could not be read (the others were), 2 the \
      database failed, or a policy or a format that was named is wrong, 3 another run holds the database, 130 and 143 ended by a signal (what was read until then is \
      stored).

        gatewatch ingest /var/log/pods
        gatewatch ingest 'logs/*.log*' --policy egress.yaml
        kubectl logs deploy/istio-egressgateway | gatewatch ingest - --overlap
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

  static let storeFailed: Int32 = 2
  static let storeIsHeld: Int32 = 3

  @Argument(help: "Files (plain or gzipped), 'patterns', folders, or - for standard input.")
  var paths: [String]

  @OptionGroup var store: StoreOptions

  @OptionGroup var formats: FormatOptions

  @Option(help: ArgumentHelp("How the summary is written.", valueName: "format"))
  var format = Format.text

  @Option(
    help: ArgumentHelp(
      "Role of the proxy that wrote these logs.",
      valueName: "role"))
  var role: Role?

  @Option(help: ArgumentHelp("A name of your own for these logs, for example the cluster's.", valueName: "text"))
  var label: String?

  @Flag(help: "The logs are finished: a last line without newline is a line.")
  var final = false

  @Flag(
    help: ArgumentHelp(
      "Leave out lines that were read before: for pipes and `kubectl logs` exports, which overlap.",
      discussion: "Lines are compared by pod, container, text, and their count within one input."))
  var overlap = false

  @Flag(
    inversion: .prefixedNo,
    help: ArgumentHelp(
      "Join the lines of one request or connection at several proxies into journeys.",
      discussion: """
        Fills the column journey, counts each joined way once, and proves clients of gateways and proxies by the hop \
        before. Also joins what earlier runs left open; what a run with --no-join-hops reads, the next one without joins.
        """))
  var joinHops = true

  enum KeptFlows: String, ExpressibleByArgument, CaseIterable { case all, exceptions }

  @Option(
    help: ArgumentHelp(
      "Which flows get a row of their own: all, or exceptions; every flow is counted.",
      discussion: """
        With exceptions, what went the sanctioned way, ended well and in good time is kept as sums alone: summary, bypass, \
        blocked, latency, hosts and sources stay whole, also under another policy, while single lines of such flows cannot be \
        shown, and their hops are not joined. Bypass, what was refused or failed, slow requests, and what nobody can say \
        the way of keep their rows.
        """, valueName: "what"))
  var keep = KeptFlows.all

  @Option(
    help: ArgumentHelp(
      "With --keep exceptions: requests that take this many milliseconds are slow (default: \(Keep.slowMs)).",
      valueName: "ms"))
  var slow: Int64?

  @Option(
    help: ArgumentHelp(
      "Threads that read and parse files (default: one per processor, at most 4).",
      discussion:
        "What is stored does not depend on their number, save for this: of more than 200,000 distinct path templates, which ones share one.",
      valueName: "count"))
  var threads: Int?

  @Option(
    help: ArgumentHelp(
      "Library that decompresses gzipped files: zlib, or isa-l (Debian: libisal2), which takes half of the time.",
      valueName: "name"))
  var inflate = InflateLibrary.zlib

  @Flag(help: "Read and count, and write nothing; every file from its beginning.")
  var dryRun = false

  func validate() throws {
    guard !paths.isEmpty else { throw ValidationError("name the logs to read, or - for standard input") }
    if let threads, !(1...64).contains(threads) { throw ValidationError("--threads takes a number from 1 to 64") }
    if let hindrance = inflate.hindrance { throw ValidationError("--inflate \(inflate.rawValue): \(hindrance)") }
    if let slow {
      guard keep == .exceptions else { throw ValidationError("--slow goes with --keep exceptions") }
      guard slow > 0 else { throw ValidationError("--slow takes a number of milliseconds") }
    }
  }

  func run() throws {
    var exit: Int32 = 0
    try Terminal.exiting(with: IngestCommand.storeFailed) {
      do {
        let summary = try ingest()
        complain(of: summary.problems)
        if summary.stoppedBy != nil {
          Terminal.complain("ended by a signal: what was read until then is stored, the next run goes on from there")
        }
        if dryRun { Terminal.complain("dry run: nothing was stored") }
        try tell(summary)
        exit = summary.stoppedBy.map { 128 + $0 } ?? (summary.hasErrors ? 1 : 0)
      } catch StoreError.locked(let path, let pid) {
        Terminal.complain(StoreError.locked(path: path, pid: pid).description)
        exit = IngestCommand.storeIsHeld
      }
    }
    if exit != 0 { throw ExitCode(exit) }
  }

  private func complain(of problems: [IngestProblem]) {
    for problem in problems {
      Terminal.complain("\(problem.path): \(problem.kind == .warning ? "warning: " : "")\(problem.message)")
    }
  }

  private func tell(_ summary: IngestSummary) throws {
    do {
      switch format {
      case .text: try Terminal.write(summary.text(shown: TerminalText.safe))
      case .json: try Terminal.write(summary.json())
      }
      try Terminal.flush()
    } catch let error as OutputError {
      Terminal.complain(dryRun ? "\(error)" : "what was read is stored, but: \(error)")
      throw ExitCode(1)
    }
  }

  private func ingest() throws -> IngestSummary {
    var options = IngestOptions(
      nowMs: { Terminal.now }, seconds: { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 })
    options.formats = try formats.plans()
    options.role = role
    options.label = label
    options.isFinal = final
    options.dropsSeenLines = overlap
    options.joinsHops = joinHops
    options.keep = keep == .all ? .all : .exceptions(slowMs: slow ?? Keep.slowMs)
    options.database = store.database
    if let threads { options.threads = threads }
    options.inflateLibrary = inflate
    let policy = try store.policy.map { try StoreAccess.policy(file: $0) }
    policy?.policy.warnings.forEach { Terminal.complain("\($0)") }
    let progress = ProgressLine()
    defer { progress.clear() }
    StopRequest.listen()
    if dryRun {
      return try read(IngestPipeline(store: nil, options: options, progress: progress.show), policy?.policy)
    }
    let flowStore = try FlowStore(
      path: store.database, wait: .seconds(store.wait),
      firstFill: IngestPipeline.canReadAgain(paths) ? .repeatable : .durable)
    defer { flowStore.close() }
    if let policy { try StoreAccess.keep(policy, file: store.policy, in: flowStore) }
    let judgedBy = try policy?.policy ?? StoreAccess.storedPolicy(flowStore)
    return try read(IngestPipeline(store: flowStore, options: options, progress: progress.show), judgedBy)
  }

  private func read(_ pipeline: IngestPipeline, _ policy: Policy?) throws -> IngestSummary {
    do { return try pipeline.run(paths: paths, policy: policy) } catch {
      // What had gone wrong until the store failed is not to be met by the next run alone.
      complain(of: pipeline.summary.problems)
      throw error
    }
  }
}

extension Role: ExpressibleByArgument {}

extension InflateLibrary: ExpressibleByArgument {}
