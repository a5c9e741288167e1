import Foundation
import Glibc
import Testing

@testable import FlowStore

/// Runs that are killed, stopped, starved of space, or meet one another: the database ends as that of one quiet run.
@Suite struct InterruptionTests {
  let sandbox: Sandbox
  private static let logs = ["gateway.log", "nginx.log", "sidecar.log", "squid.log"]

  init() throws { sandbox = try Sandbox() }

  /// Lets the four logs grow by these lines.
  private func grow(_ numbers: Range<Int>) throws {
    try sandbox.append(Lines.gateway(numbers), to: "gateway.log")
    try sandbox.append(Lines.nginx(numbers), to: "nginx.log")
    try sandbox.append(Lines.sidecar(numbers), to: "sidecar.log")
    try sandbox.append(Lines.squid(numbers), to: "squid.log")
  }

  /// What one undisturbed run makes of the logs as they are now.
  private func quietly() throws -> String {
    #expect(try sandbox.shell("$GATEWATCH ingest --db quiet.db *.log").status == 0)
    return try sandbox.everything(db: "quiet.db")
  }

  @Test("killed at any moment while its logs grow, and run again: every line once, every report the same to the byte")
  func killed() throws {
    var random = SeededGenerator(seed: 20)
    var killed = 0
    var pace = 0.0
    // Twenty rounds over sixty thousand lines.
    for round in 0..<20 {
      try grow(round * 750..<(round + 1) * 750)
      if round == 0 { pace = try sandbox.seconds(of: "$GATEWATCH ingest --db pace.db *.log") }
      // A run after killed ones has more to do.
      let outcome = try sandbox.shell(
        "$GATEWATCH ingest *.log", killedAt: .random(in: 0.02...1.5, using: &random), of: pace)
      if outcome.status == 137 { killed += 1 }
    }
    #expect(killed > 3, "nothing was interrupted")
    // The last one that was killed may hold its lock until the disk lets it go.
    let last = try sandbox.shell("$GATEWATCH ingest --wait 60 *.log")
    #expect(last.status == 0, "\(last.errors)")
    #expect(try sandbox.gatewatch("db", "check").status == 0)
    #expect(try sandbox.stored() == 60_000)
    #expect(try sandbox.everything() == quietly())
  }

  @Test("killed at each size its files can reach, and run again: no line is lost and none is stored twice")
  func killedAtWrites() throws {
    try grow(0..<600)
    var deaths = 0
    // The kernel kills a process whose file grows beyond the limit: here in steps of 8 KiB (dash counts 512 bytes).
    for step in 0..<40 {
      let outcome = try sandbox.shell("ulimit -c 0; ulimit -f \(step * 16); exec $GATEWATCH ingest *.log")
      if outcome.status == 0 { break }
      #expect(outcome.status == 128 + SIGXFSZ, "\(outcome.errors)")
      deaths += 1
      // Who reads before the next run finds the last commit.
      let report = try sandbox.gatewatch("report", "summary")
      #expect(report.status == 0 || report.errors.contains("no such database; create it"), "\(report.errors)")
    }
    #expect(deaths > 3)
    #expect(try sandbox.shell("$GATEWATCH ingest *.log").status == 0)
    #expect(try sandbox.everything() == quietly())
  }

  @Test("a full disk ends the run with a message and exit code 2; with space again the next one completes it")
  func fullDisk() throws {
    try grow(0..<600)
    for step in [2, 8, 20, 40, 80, 160] {
      let outcome = try sandbox.shell("trap '' XFSZ; ulimit -f \(step * 4); exec $GATEWATCH ingest *.log")
      if outcome.status == 0 { break }
      #expect(outcome.status == 2, "\(outcome.errors)")
      #expect(outcome.errors.hasPrefix("gatewatch: "), "\(outcome.errors)")
    }
    #expect(try sandbox.shell("$GATEWATCH ingest *.log").status == 0)
    #expect(try sandbox.gatewatch("db", "check").status == 0)
    #expect(try sandbox.everything() == quietly())
  }

  @Test("a store that was first filled when the machine stopped is believed by nobody, and left alone")
  func machineStopped() throws {
    try grow(0..<600)
    let store = try FlowStore(
      path: sandbox.path("filled.db"), firstFill: .repeatable, run: "another run of the machine")
    #expect(!store.isInTransaction, "and has been made")
    // As the disk has it while the store is open.
    try sandbox.shell("cp filled.db gatewatch.db")
    store.close()
    let commands = [
      "report bypass", "alert", "db check", "db snapshot copy.db", "query -e 'select 1'", "ingest *.log",
      "alert --ingest *.log",
    ]
    for command in commands {
      let outcome = try sandbox.shell("$GATEWATCH \(command)")
      // To a monitor, that nobody can tell is an answer.
      let said = command.hasPrefix("alert") ? outcome.out : outcome.errors
      #expect(outcome.status != 0 && said.contains("first filled: what it holds cannot be relied on"), "\(outcome)")
    }
    try sandbox.shell("rm filled.db* gatewatch.db; $GATEWATCH ingest *.log")
    #expect(try sandbox.everything() == quietly())
  }

  @Test("asked to end, a run stores what it read, says so, and the next one completes it", arguments: ["TERM", "INT"])
  func asked(signal: String) throws {
    try grow(0..<4000)
    let outcome = try sandbox.shell("timeout -s \(signal) --preserve-status 0.25 $GATEWATCH ingest --format json *.log")
    // On a busy machine the signal may come before the program listens: then it ends without a word.
    if outcome.status != 0, !outcome.out.isEmpty {
      #expect(outcome.status == (signal == "TERM" ? 143 : 130))
      #expect(try sandbox.stored() == (try outcome.json()["lines"] as? [String: Int])?["stored"])
    }
    #expect(try sandbox.shell("$GATEWATCH ingest *.log").status == 0)
    #expect(try sandbox.everything() == quietly())
  }

  @Test("two runs at once: one reads, the other leaves with exit code 3 or waits its turn; nothing is stored twice")
  func twoAtOnce() throws {
    try grow(0..<3000)
    let outcome = try sandbox.shell(
      """
      $GATEWATCH ingest *.log > one.txt 2>&1 & one=$!
      $GATEWATCH ingest *.log > two.txt 2>&1 & two=$!
      wait $one; first=$?; wait $two; second=$?
      $GATEWATCH ingest --wait 60 *.log > /dev/null & $GATEWATCH ingest --wait 60 *.log > /dev/null; third=$?
      wait $!; echo $first $second $third $?; cat one.txt two.txt >&2
      """)
    #expect(["0 3 0 0\n", "3 0 0 0\n", "0 0 0 0\n"].contains(outcome.out), "\(outcome.out)\(outcome.errors)")
    if outcome.out != "0 0 0 0\n" {
      #expect(outcome.errors.contains("is writing to it; wait for it to end, or use --wait"))
    }
    try sandbox.shell("rm one.txt two.txt")
    #expect(try sandbox.everything() == quietly())
  }

  @Test("a log cut in the middle is continued, however long it is")
  func cutInTheMiddle() throws {
    // More lines than the number of places the store remembers of one log.
    try sandbox.write(Lines.squid(0..<9000), to: "squid.log")
    #expect(try sandbox.gatewatch("ingest", "squid.log").status == 0)
    let cut = Lines.squid(0..<5001)
    try sandbox.write(cut, to: "new")
    try sandbox.shell("cat new > squid.log; rm new")
    try sandbox.append(Lines.squid(20_000..<20_100), to: "squid.log")
    let outcome = try sandbox.gatewatch("ingest", "squid.log")
    #expect(outcome.errors.contains("was cut after"))
    let twice = try sandbox.answer(
      "select started_at, count(*) from flows group by started_at, bytes_received having count(*) > 1")
    #expect(twice.isEmpty, "stored twice:\n\(twice)")
    #expect(try sandbox.stored() == 9100)
  }

  @Test("a folder that may not be written to is said so, and a snapshot can be read there")
  func readOnlyFolder() throws {
    try sandbox.write(Lines.squid(1...5), to: "squid.log")
    try sandbox.shell(
      "mkdir db && $GATEWATCH ingest --db db/g.db squid.log && $GATEWATCH db snapshot --db db/g.db db/copy.db")
    try sandbox.shell("rm -f db/g.db-shm db/g.db-wal; chmod 755 .. .; chmod 444 db/*; chmod 555 db")
    // Root may write anywhere: then nobody asks.
    let user = geteuid() == 0 ? "setpriv --reuid 65534 --regid 65534 --clear-groups " : ""
    let ingest = try sandbox.shell("\(user)$GATEWATCH ingest --db db/g.db squid.log")
    #expect(ingest.status == 2)
    #expect(ingest.errors.hasPrefix("gatewatch: ") && ingest.errors.contains("db/g.db"), "\(ingest.errors)")
    let live = try sandbox.shell("\(user)$GATEWATCH report --db db/g.db hosts")
    #expect(live.status == 1)
    #expect(live.errors.contains("its folder is not writable for this user; read a copy made by gatewatch db snapshot"))
    let copy = try sandbox.shell("\(user)$GATEWATCH report --db db/copy.db hosts")
    #expect(copy.status == 0, "\(copy.errors)")
    #expect(copy.out.contains("edition.cnn.com"))
    try sandbox.shell("chmod 755 db")
  }

  @Test("a database of another program, or of a newer version, is refused and left as it is")
  func foreignDatabases() throws {
    try sandbox.write(Lines.squid(1...5), to: "squid.log")
    try sandbox.gatewatch("ingest", "squid.log")
    // Bytes 60 to 63 of an SQLite file are its user version, 68 to 71 the number of the program it belongs to.
    func altered(_ offset: Int, _ value: UInt8) throws -> String {
      var bytes = Array(try Data(contentsOf: URL(filePath: sandbox.path("gatewatch.db"))))
      bytes[offset] = value
      try sandbox.write(bytes, to: "other\(offset).db")
      return "other\(offset).db"
    }
    let newer = try altered(63, 99)
    let foreign = try altered(71, 0xFE)
    for (name, words) in [(newer, "written by a newer gatewatch"), (foreign, "a database of another program")] {
      let before = try Data(contentsOf: URL(filePath: sandbox.path(name)))
      for (arguments, status) in [
        (["ingest", "squid.log"], 2), (["report"], 1), (["flows"], 1), (["query", "-e", "select 1"], 1), (["alert"], 3),
        (["db", "info"], 1),
      ] as [([String], Int32)] {
        let outcome = try sandbox.shell("$GATEWATCH \(arguments.map { "'\($0)'" }.joined(separator: " ")) --db \(name)")
        #expect(outcome.status == status, "\(arguments): \(outcome.errors)")
        #expect((outcome.out + outcome.errors).contains(words), "\(arguments): \(outcome.errors)")
      }
      #expect(try Data(contentsOf: URL(filePath: sandbox.path(name))) == before)
    }
  }
}
