internal import ArgumentParser
internal import Dispatch
internal import EgressPolicy
internal import FlowStore
internal import Flows
internal import Foundation
internal import Ingestion
internal import Reports

/// `gatewatch alert`: for cron. Tells what is new since the last run, and nothing when nothing is.
struct AlertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "alert",
    abstract: "New findings since the last run; silent when there are none.",
    discussion: """
      Exit codes: 0 nothing new, 1 warning, 2 critical, 3 could not tell (findings outrank 3). A finding is told when its \
      verdict first becomes one, again after 24 h if it goes on, then after 48 h, and so on. It is recorded after it was \
      printed: a run that is killed in between tells it again.

        gatewatch alert --ingest /var/log/pods --policy egress.yaml
        gatewatch alert --status-line
      """)

  /// What a monitor takes for "unknown"; also for wrong usage.
  static let couldNotTell: Int32 = 3

  /// A monitor knows no exit code 64: where `alert` was typed wrongly, prints the usage and exits with 3.
  ///
  /// - Parameter arguments: without the program's name.
  static func exitIfMisused(_ error: any Error, arguments: [String]) {
    guard arguments.first == configuration.commandName,
      Gatewatch.exitCode(for: error) == ExitCode.validationFailure
    else { return }
    Terminal.writeError(Gatewatch.fullMessage(for: error) + "\n")
    Gatewatch.exit(withError: ExitCode(couldNotTell))
  }

  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

  @Option(help: ArgumentHelp("How the answer is written.", valueName: "format"))
  var format = Format.text

  @Flag(help: "One line with performance data, as monitoring plugins print it; also when nothing is new.")
  var statusLine = false

  @Option(
    help: ArgumentHelp("Refusals of one host since the last run from which on they are told.", valueName: "flows"))
  var blockedThreshold: Int64 = 100

  @Option(help: ArgumentHelp("How long to wait for another run to end.", valueName: "seconds"))
  var wait = 60

  @Option(
    parsing: .upToNextOption, help: ArgumentHelp("Read these logs first (files, patterns, folders).", valueName: "path")
  )
  var ingest: [String] = []

  @OptionGroup var formats: FormatOptions

  @Option(help: ArgumentHelp("Role of the proxy that wrote the logs that are read.", valueName: "role"))
  var role: Role?

  @Option(help: ArgumentHelp("A name of your own for the logs that are read.", valueName: "text"))
  var label: String?

  @Flag(help: "Leave out lines that were read before, as ingest does: for pipes and exports, which overlap.")
  var overlap = false

  @OptionGroup var coverage: CoverageOptions
  @OptionGroup var store: ReadOptions

  func validate() throws {
    guard formats.logFormat.isEmpty || !ingest.isEmpty else { throw ValidationError("--log-format goes with --ingest") }
    for (name, isGiven) in [("role", role != nil), ("label", label != nil), ("overlap", overlap)]
    where isGiven && ingest.isEmpty {
      throw ValidationError("--\(name) goes with --ingest")
    }
    guard blockedThreshold > 0 else { throw ValidationError("--blocked-threshold takes a number above 0") }
    guard wait >= 0 else { throw ValidationError("--wait takes a number of seconds") }
  }

  func run() throws {
    try Terminal.exiting(with: AlertCommand.couldNotTell) {
      var told: AlertReport?
      let report: AlertReport
      do {
        report = try check { report in
          try tell(report)
          told = report
        }
      } catch let error as OutputError {
        throw error
      } catch {
        // One answer: what was told stands, and is told again by the next run.
        if let told {
          Terminal.complain("what was told could not be recorded: \(error)")
          throw ExitCode(told.isSilent ? AlertCommand.couldNotTell : told.exitCode)
        }
        report = .couldNotTell("\(error)")
        try tell(report)
      }
      if report.exitCode != 0 { throw ExitCode(report.exitCode) }
    }
  }

  /// - Parameter tell: prints the answer.
  private func check(_ tell: (AlertReport) throws -> Void) throws -> AlertReport {
    let path = store.database
    let catalogue = try store.catalogue()
    let policy = try store.policy.map { try StoreAccess.policy(file: $0) }
    // With --ingest the database may be made, by the reading of logs; alert alone never makes one.
    if ingest.isEmpty { try FlowReader(path: path).close() }
    let flowStore = try FlowStore(path: path, wait: .seconds(wait))
    defer { flowStore.close() }
    if let policy { try StoreAccess.keep(policy, file: store.policy, in: flowStore) }
    let judgedBy = try policy?.policy ?? StoreAccess.storedPolicy(flowStore)
    let problems = try readLogs(into: flowStore, policy: judgedBy)
    try Rejudge.runAndNoteSigns(store: flowStore, policy: judgedBy)
    try flowStore.commit()

    var rules = AlertLedger.Rules(now: Terminal.now)
    rules.blockedThreshold = blockedThreshold
    var run = AlertRun(
      queries: catalogue.alerts, rules: rules, expected: AlertCommand.expected(judgedBy, now: rules.now),
      inputProblems: problems)
    run.requirements = try coverage.parsed()
    let report = try run.run(in: flowStore, tell: tell)
    // Told and recorded: that a line could not be kept takes nothing from that.
    do {
      try EvidenceKeeper(store: flowStore, nowMs: rules.now, formats: try formats.plans()).keep(report.groups)
    } catch {
      try? flowStore.rollback()
      Terminal.complain("the lines of the findings could not be kept: \(error)")
    }
    return report
  }

  private func readLogs(into flowStore: FlowStore, policy: Policy?) throws -> [String] {
    guard !ingest.isEmpty else { return [] }
    var options = IngestOptions(
      nowMs: { Terminal.now }, seconds: { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 })
    options.database = store.database
    options.formats = try formats.plans()
    options.role = role
    options.label = label
    options.dropsSeenLines = overlap
    // Cron's time limit ends the reading, not the alert.
    StopRequest.listen()
    let summary = try IngestPipeline(store: flowStore, options: options).run(paths: ingest, policy: policy)
    var problems = summary.problems.filter { $0.kind == .error }.map { "\($0.path): \($0.message)" }
    problems += AlertRun.problems(ofReading: summary.files.map { ($0.path, $0.read - $0.skipped, $0.rejected) })
    // Of a pipe: that its lines count again when they come again is said in no report.
    for problem in summary.problems where problem.kind == .warning && problem.path == IngestPipeline.standardInput {
      Terminal.complain("\(problem.path): warning: \(problem.message)")
    }
    if summary.files.contains(where: { $0.path == IngestPipeline.standardInput && $0.to == 0 && $0.pending == 0 }) {
      problems.append(
        "\(IngestPipeline.standardInput): gave nothing: the command that should have written to it may have failed")
    }
    if let signal = summary.stoppedBy { problems.append("the reading of the logs was stopped by signal \(signal)") }
    return problems
  }

  /// What the policy expects at this time.
  private static func expected(_ policy: Policy?, now: Int64) -> [ExpectedLog] {
    (policy?.expected ?? []).filter { $0.validity.contains(now) }
      .map {
        ExpectedLog(
          log: $0.log.pattern, role: $0.role, maxSilenceMs: $0.maxSilenceMs,
          knowsGateways: !(policy?.gateways.isEmpty ?? true))
      }
  }

  private func tell(_ report: AlertReport) throws {
    switch (format, statusLine) {
    case (.json, _): try Terminal.write(report.json)
    case (.text, true): try Terminal.write(report.statusLine())
    case (.text, false): try Terminal.write(report.text)
    }
    // Recorded as told only when it is out of this process.
    try Terminal.flush()
  }
}
