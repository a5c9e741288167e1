import Foundation
import Glibc
import Testing

/// A folder of its own for one test, and the built program run in it as a person or cron would run it.
///
///     let sandbox = try Sandbox()
///     try sandbox.write(Lines.squid(1...10), to: "squid.log")
///     #expect(try sandbox.gatewatch("ingest", "squid.log").status == 0)
final class Sandbox {
  /// How one program ended, and what it said.
  struct Outcome {
    /// The exit code, or 128 and the number of the signal that ended it, as shells count.
    var status: Int32
    var outBytes: [UInt8]
    var errorBytes: [UInt8]
    var out: String { String(decoding: outBytes, as: UTF8.self) }
    var errors: String { String(decoding: errorBytes, as: UTF8.self) }
    var lines: [Substring] { out.split(whereSeparator: \.isNewline) }

    func json() throws -> [String: Any] {
      try #require(try JSONSerialization.jsonObject(with: Data(outBytes)) as? [String: Any], "\(out)\(errors)")
    }

    /// Each line of NDJSON.
    func rows() throws -> [[String: Any]] {
      try lines.map { line in
        try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
      }
    }
  }

  let folder: URL
  /// Output of the programs, beside the folder they work in, so that `ingest .` does not read it.
  private let outputs: URL
  private var runs = 0

  /// An optimised program that was built before, where one is named: it is what people run, and without optimisation three
  /// quarters of a run go into ArgumentParser's checks of the commands.
  static let optimised = ProcessInfo.processInfo.environment["GATEWATCH_OPTIMISED"]

  /// Else the program stands beside the test bundle.
  static let program =
    optimised
    ?? URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent().appending(path: "gatewatch").path

  init() throws {
    let root = FileManager.default.temporaryDirectory.appending(path: "gatewatch-test-\(UUID().uuidString)")
    folder = root.appending(path: "work")
    outputs = root.appending(path: "outputs")
    for each in [folder, outputs] {
      try FileManager.default.createDirectory(at: each, withIntermediateDirectories: true)
    }
    try #require(FileManager.default.isExecutableFile(atPath: Sandbox.program), "no program at \(Sandbox.program)")
  }

  deinit {
    // Folders that a test made unreadable would stay.
    _ = chmod(folder.path, 0o700)
    try? FileManager.default.removeItem(at: folder.deletingLastPathComponent())
  }

  func path(_ name: String) -> String { folder.appending(path: name).path }

  func write(_ text: String, to name: String) throws { try write(Array(text.utf8), to: name) }

  func write(_ bytes: [UInt8], to name: String) throws {
    let url = folder.appending(path: name)
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: url)
  }

  func append(_ text: String, to name: String) throws {
    let file = try #require(fopen(path(name), "ae"))
    defer { fclose(file) }
    fputs(text, file)
  }

  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }

  /// A file of `SampleLogs`, copied into the folder under its own name.
  func copySamples(_ folder: String) throws {
    let source = SampleCase.root.appending(path: folder)
    for name in try FileManager.default.contentsOfDirectory(atPath: source.path).sorted() where name.hasSuffix(".log") {
      try FileManager.default.copyItem(at: source.appending(path: name), to: self.folder.appending(path: name))
    }
  }

  /// Runs `gatewatch` with these arguments in the folder.
  @discardableResult
  func gatewatch(_ arguments: String..., input: String = "/dev/null", environment: [String: String] = [:]) throws
    -> Outcome
  {
    try run([Sandbox.program] + arguments, input: input, environment: environment)
  }

  /// Runs a script of the POSIX shell, in which `$GATEWATCH` is the program.
  @discardableResult
  func shell(_ script: String) throws -> Outcome { try run(["/bin/sh", "-c", script]) }

  /// How long a program takes here and now, to be killed somewhere on its way by `timeout`.
  func seconds(of script: String) throws -> Double {
    let start = ContinuousClock.now
    #expect(try shell(script).status == 0)
    return (ContinuousClock.now - start) / .seconds(1)
  }

  /// Kills a program at a part of the time that it takes.
  func shell(_ program: String, killedAt part: Double, of seconds: Double) throws -> Outcome {
    try shell("timeout -s KILL \(String(format: "%.4f", max(part * seconds, 0.001))) \(program)")
  }

  private func run(
    _ arguments: [String], input: String = "/dev/null", environment: [String: String] = [:]
  ) throws -> Outcome {
    runs += 1
    let (out, errors) = (outputs.appending(path: "\(runs).out"), outputs.appending(path: "\(runs).err"))
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
    for (descriptor, file) in [(Int32(1), out), (2, errors)] {
      posix_spawn_file_actions_addopen(&actions, descriptor, file.path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    }
    // A child begins with all signals as a login shell has them, whatever this process ignores or blocks.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var variables = ["PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "GATEWATCH": Sandbox.program, "LC_ALL": "C.UTF-8"]
    variables.merge(environment) { $1 }
    // `env -C`: the working folder of one child, while other tests start theirs.
    let argv = (["/usr/bin/env", "-C", folder.path] + arguments).map { strdup($0) } + [nil]
    let envp = variables.map { strdup("\($0)=\($1)") } + [nil]
    defer { for text in argv + envp { free(text) } }
    var child: pid_t = 0
    let failure = posix_spawn(&child, "/usr/bin/env", &actions, &attributes, argv, envp)
    try #require(failure == 0, "cannot start \(arguments): \(String(cString: strerror(failure)))")
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0 { try #require(errno == EINTR) }
    let signal = status & 0x7F
    return Outcome(
      status: signal == 0 ? (status >> 8) & 0xFF : 128 + signal, outBytes: Array(try Data(contentsOf: out)),
      errorBytes: Array(try Data(contentsOf: errors)))
  }

  // MARK: What is stored

  /// The answer to one statement, as CSV without its heading.
  func answer(_ sql: String, db: String = "gatewatch.db") throws -> String {
    let outcome = try gatewatch("query", "-e", sql, "--format", "csv", "--csv-raw", "--db", db)
    try #require(outcome.status == 0, "\(sql): \(outcome.errors)")
    return outcome.lines.dropFirst().joined(separator: "\n")
  }

  func stored(db: String = "gatewatch.db") throws -> Int { Int(try answer("select count(*) from flows", db: db)) ?? -1 }

  /// Everything that a run may say about what was read, but for the time of reading and the numbers of rows.
  func everything(db: String = "gatewatch.db") throws -> String {
    let flows = """
      select log, line, started_at, duration_ms, proxy, role, source_ip, source_port, source, host, port,
        destination_ip, protocol, method, url_path, status, path, outcome, reason, bypass, bytes_sent, bytes_received,
        upstream_cluster, route_name, response_flags, request_id, warnings
      from flows order by log, line
      """
    let logs = "select path, lines, position, read, stored, rejected, skipped, pending from log order by path"
    var text = try answer(flows, db: db) + "\n" + answer(logs, db: db) + "\n"
    for report in ["summary", "bypass", "blocked", "latency", "hosts", "sources", "timeline", "rejected", "unproven"] {
      text += try gatewatch("report", report, "--db", db, "--limit", "0").out
    }
    return text
  }
}
