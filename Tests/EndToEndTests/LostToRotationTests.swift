import Foundation
import Testing

/// What was written to a log before it was rotated away, cut or replaced, and was not read, is never an all-clear.
@Suite struct LostToRotationTests: LostInput {
  let sandbox: Sandbox

  init() throws {
    sandbox = try Sandbox()
    try prepare()
  }

  @Test("what could not be opened stands against an all-clear also of later runs, until it was read or is gone")
  func unopenedLater() throws {
    try begin()
    try sandbox.shell(
      "mkdir logs; cp whole.log logs/a.log; ln -s loop.log logs/loop.log; echo x | xz > logs/b.log 2> e.txt || printf '\\xFD7zXZ\\0\\0\\0' > logs/b.log"
    )
    #expect(try sandbox.gatewatch("ingest", "logs").status == 1)
    #expect(try report().contains("no all-clear: 2 logs were not read to the end"))
    let alert = try sandbox.gatewatch("alert")
    #expect(
      alert.status == 3 && alert.out.contains("could not tell: logs/loop.log: it could not be read"), "\(alert.out)")
    // Another run, of something else, settles nothing.
    try sandbox.gatewatch("ingest", "whole.log")
    #expect(try report().contains("2 logs were not read to the end"))
    try sandbox.shell("rm logs/loop.log; $GATEWATCH ingest logs")
    #expect(try report().contains("1 log was not read to the end"))
    try sandbox.write(sidecar(20, from: 30), to: "logs/b.log")
    #expect(try sandbox.gatewatch("ingest", "logs").status == 0)
    #expect(try report().contains("no bypass found in what was read"))
    #expect(try sandbox.gatewatch("alert").status == 0)
  }

  @Test(
    "what was written to a log between its last reading and its rotation is a doubt, until a copy that holds it is read",
    arguments: [
      ("mkdir old; mv whole.log old/whole.log.1", "old/whole.log.1"),
      ("cp whole.log kept.txt; : > whole.log", "kept.txt"),
      ("mv whole.log whole.log.1; xz whole.log.1 || mv whole.log.1 whole.xz; mv *.xz kept.xz", nil),
    ])
  func lostTail(rotation: String, copy: String?) throws {
    try begin()
    try sandbox.append(sidecar(1, from: 60, isBypass: true), to: "whole.log")
    try sandbox.shell(rotation)
    try sandbox.append(sidecar(5, from: 120), to: "whole.log")
    for alert in ["alert --ingest whole.log", "alert"] {
      let outcome = try sandbox.shell("$GATEWATCH \(alert)")
      #expect(
        outcome.status == 3 && outcome.out.contains("what came after its last reading was not read"), "\(outcome)")
    }
    #expect(try report().contains("no all-clear: 1 log was rotated away, cut or written over"))
    #expect(try sandbox.gatewatch("report", "coverage").out.contains("unread-tail"))
    // The gap lies before the time asked about.
    #expect(try !report("--since 2100-01-01").contains("rotated away"))
    guard let copy else { return }
    let outcome = try sandbox.gatewatch("alert", "--ingest", copy)
    #expect(outcome.status == 2 && !outcome.out.contains("could not tell"), "\(outcome)")
    #expect(try !report().contains("rotated away"))
  }

  @Test("a rotation of which the copy is read in the same run leaves no doubt", arguments: [true, false])
  func readRotation(isCompressed: Bool) throws {
    try begin()
    try sandbox.append(sidecar(5, from: 60), to: "whole.log")
    try sandbox.shell("mv whole.log whole.log.1; \(isCompressed ? "gzip whole.log.1" : ":")")
    try sandbox.append(sidecar(5, from: 120), to: "whole.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "whole.log").status == 0)
    #expect(try report().contains("no bypass found in what was read"))
  }

  @Test("of a container that restarted twice between two runs, the end of its first life is a doubt")
  func restartedTwice() throws {
    let folder = "pods/shop_sleep-1_0f7e3d1a-1111-2222-3333-444455556666/istio-proxy"
    func cri(_ lines: String) -> String {
      lines.split(separator: "\n").map { "\($0.dropFirst().prefix { $0 != "]" }) stdout F \($0)\n" }.joined()
    }
    try sandbox.shell("mkdir -p \(folder)")
    try sandbox.write(cri(sidecar(12)), to: "\(folder)/0.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "pods", "--policy", "egress.yaml").status == 1)
    // One restart: the log of the life before is still there.
    try sandbox.write(cri(sidecar(12, from: 60)), to: "\(folder)/1.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "pods").status == 0)
    try sandbox.shell("rm \(folder)/0.log")
    try sandbox.write(cri(sidecar(12, from: 120)), to: "\(folder)/2.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "pods").status == 0)
    try sandbox.shell("rm \(folder)/1.log \(folder)/2.log")
    try sandbox.write(cri(sidecar(12, from: 180)), to: "\(folder)/3.log")
    try sandbox.write(cri(sidecar(12, from: 240)), to: "\(folder)/4.log")
    let outcome = try sandbox.gatewatch("alert", "--ingest", "pods")
    #expect(outcome.status == 3 && outcome.out.contains("2.log: it was rotated away"), "\(outcome)")
  }

  @Test("a doubt about a log is not taken back by another file under its name", arguments: ["unopened", "cut"])
  func otherFile(kind: String) throws {
    try begin()
    try sandbox.append(sidecar(5, from: 60), to: "whole.log")
    switch kind {
    // Not to be opened for one run.
    case "unopened":
      try sandbox.shell("mv whole.log kept.txt; ln -s whole.log whole.log; $GATEWATCH ingest whole.log; rm whole.log")
    default: try sandbox.shell("cp whole.log part; head -c 300 part > whole.log")
    }
    try sandbox.write(sidecar(5, from: 120), to: "next.log")
    try sandbox.shell("cat next.log > new.log; mv new.log whole.log; $GATEWATCH ingest whole.log")
    let outcome = try sandbox.gatewatch("alert")
    #expect(outcome.status == 3, "\(kind): \(outcome)")
    #expect(try report().contains("no all-clear"))
  }

  @Test("copies that logrotate made while nothing was new leave no doubt", arguments: [true, false])
  func quietCopy(isCompressed: Bool) throws {
    try begin()
    try sandbox.shell("cp whole.log whole.log.1; \(isCompressed ? "gzip whole.log.1;" : "") : > whole.log")
    try sandbox.append(sidecar(5, from: 120), to: "whole.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "whole.log").status == 0)
    #expect(try report().contains("no bypass found in what was read"))
  }

  /// Makes a file that can be seen and not be read, also by the superuser.
  private static let unreadable = #"printf '\375\067\172\130\132\000\000\000' >"#

  @Test("what could not be opened is not settled by a run that looked elsewhere, or while its mount is away")
  func unopenedElsewhere() throws {
    try begin()
    try sandbox.shell(
      "mkdir -p a/l b/l b/m; ln -s loop.log a/l/loop.log; cp whole.log a/l; cp whole.log b/l; cp whole.log b/m")
    #expect(try sandbox.shell("cd a; $GATEWATCH ingest --db ../gatewatch.db l").status == 1)
    let elsewhere = [
      "cd b; $GATEWATCH ingest --db ../gatewatch.db m", "cd b; $GATEWATCH ingest --db ../gatewatch.db l",
      "mv a away; $GATEWATCH ingest b/m; mv away a",
      "mv a away; mkdir -p a/l; $GATEWATCH ingest a/l; rm -r a; mv away a",
      "mv a away; $GATEWATCH ingest a/l; mv away a",
    ]
    for run in elsewhere {
      try sandbox.shell(run)
      let text = try report()
      #expect(text.contains("no all-clear: 1 log was not read to the end"), "\(run): \(text)")
    }
    try sandbox.shell("rm a/l/loop.log; cd b; $GATEWATCH ingest --db ../gatewatch.db ../a/l")
    #expect(try report().contains("no bypass found in what was read"))
  }

  @Test("two folders that are read under one name from two places are two: nothing was rotated away")
  func sameName() throws {
    try sandbox.shell("mkdir -p a/l b/l; cp whole.log a/l/side.log")
    try sandbox.write(sidecar(20, from: 60), to: "b/l/side.log")
    for folder in ["a", "b", "a"] {
      try sandbox.shell("cd \(folder); $GATEWATCH ingest --db ../gatewatch.db --policy ../egress.yaml l")
    }
    let text = try report()
    #expect(text.contains("no bypass found in what was read"), "\(text)")
  }

  @Test(
    "a log that could not be opened stays in doubt when another gets its name",
    arguments: [
      ("mv l/b.log l/b.log.1", "1 log was not read to the end"),
      ("mv l/b.log l/b.log.2; cp whole.log l/b.log.1", "1 log was not"),
      // Its number stays its own: a file of its name that gets it is what it would be if it could be opened.
      ("gzip -c l/b.log > l/b.log.1.gz; mv l/b.log old", "1 log was rotated away"),
      ("mv l/b.log kept", "1 log was rotated away"),
    ])
  func unopenedThenRotated(rotation: String, doubt: String) throws {
    try begin()
    try sandbox.shell("mkdir l; cp whole.log l/a.log; \(Self.unreadable) l/b.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "l/*.log").status == 3)
    try sandbox.shell(rotation)
    try sandbox.write(sidecar(20, from: 60), to: "next.log")
    try sandbox.shell("cat next.log > l/b.log")
    for _ in 0..<2 {
      let alert = try sandbox.gatewatch("alert", "--ingest", "l/*.log")
      #expect(alert.status == 3, "\(alert)")
      let text = try report()
      #expect(text.contains("no all-clear: \(doubt)"), "\(text)")
    }
  }

  @Test("what could not be opened and was rotated is read once it can be")
  func unopenedThenRead() throws {
    try begin()
    try sandbox.shell("mkdir l; \(Self.unreadable) l/b.log; $GATEWATCH ingest 'l/*.log'; mv l/b.log l/b.log.1")
    try sandbox.write(sidecar(20, from: 60, isBypass: true), to: "late.log")
    try sandbox.shell("cat late.log > l/b.log.1")
    try sandbox.write(sidecar(5, from: 120), to: "l/b.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "l/*.log").status == 2)
    #expect(try !report().contains("read to the end"))
  }

  @Test("a log that cannot be opened leaves the end of the one that had its name to be found")
  func unopenedSuccessor() throws {
    try begin()
    try sandbox.append(sidecar(5, from: 60, isBypass: true), to: "whole.log")
    try sandbox.shell("mv whole.log whole.log.1; \(Self.unreadable) whole.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "whole.log").status == 2)
    try sandbox.shell("mv whole.log.1 old.log; mv whole.log whole.log.1")
    try sandbox.write(sidecar(5, from: 120), to: "whole.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "whole.log").status == 3)
    let text = try report()
    #expect(text.contains("1 log was not read to the end"), "\(text)")
  }

  @Test(
    "of a log that was empty, what was written and rotated before the next run is read",
    arguments: [
      "cp side.log side.log.1; : > side.log", "cp side.log side.log.1; gzip side.log.1; : > side.log",
      "mv side.log side.log.1; : > side.log; gzip side.log.1", "mv side.log side.log.1; : > side.log",
    ], [0, 5])
  func emptyThenRotated(rotation: String, more: Int) throws {
    try begin()
    // Rotated before the first run, and named by nobody.
    try sandbox.write(sidecar(3, from: 300, isBypass: true), to: "side.log.3")
    try sandbox.shell("touch -d '1 hour ago' side.log.3; : > side.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "side.log").status == 0)
    try sandbox.append(sidecar(1, from: 60, isBypass: true), to: "side.log")
    try sandbox.shell("mv side.log.3 side.log.4; \(rotation)")
    try sandbox.append(sidecar(more, from: 120), to: "side.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "side.log").status == 2)
    let text = try report()
    #expect(text.contains("1 flow left around the egress gateway"), "\(text)")
  }

  @Test(
    "a log that grew, and of which nothing has the name any more: what it became is read to its end, or its end is a doubt",
    arguments: [
      ("mv logs/a.log logs/a.log.1", 2), ("mv logs/a.log logs/a.log.1; : once", 2),
      ("gzip -c logs/a.log > logs/a.log-20261102.gz; rm logs/a.log", 2),
      ("rm logs/a.log", 3), ("mv logs/a.log gone.txt; ln -s gone logs/a.log", 3),
      // Of a container, or a pod, that ended; and an export that was read once.
      ("rm logs/a.log; : once", 0),
      ("mkdir c; rm -r logs/c", 0),
    ] as [(String, Int32)])
  func vanished(how: String, status: Int32) throws {
    let log = how.hasSuffix("/c") ? "logs/c/a.log" : "logs/a.log"
    try sandbox.write(sidecar(3, from: 30), to: log)
    try sandbox.shell("cp whole.log logs/b.log; touch -d '1 hour ago' \(log)")
    let command = "$GATEWATCH alert --ingest 'logs/**/*.log' 'logs/*.log' --policy egress.yaml"
    #expect(try sandbox.shell(command).status == 1)
    if !how.contains("once") {
      // The time at which it was read first is that of the clock, which need not have gone on by two seconds.
      try sandbox.append(sidecar(1, from: 60), to: log)
      try sandbox.shell("touch -d '1 minute' \(log)")
      #expect(try sandbox.shell(command).status == 0)
    }
    try sandbox.append(sidecar(1, from: 120, isBypass: true), to: log)
    try sandbox.shell(how)
    let alert = try sandbox.shell(command)
    #expect(alert.status == status, "\(alert)")
    let text = try report()
    switch status {
    case 0: #expect(text.contains("no bypass found in what was read"), "\(text)")
    case 2: #expect(text.contains("1 flow left around") && !text.contains("rotated away"), "\(text)")
    default: #expect(text.contains("no all-clear: 1 log was rotated away, cut or written over"), "\(text)")
    }
  }

  @Test("the number of an empty log that is gone makes no other file that log: neither its role nor its pod")
  func numberOfAnEmptyLog() throws {
    try sandbox.shell("mkdir -p gw pods/shop_web-1_0a/istio-proxy pods/evil_miner-7_0b/istio-proxy side")
    let logs = ["gw/egress.log", "pods/shop_web-1_0a/istio-proxy/0.log"]
    try sandbox.shell(logs.map { ": > \($0)" }.joined(separator: "; "))
    try sandbox.gatewatch("ingest", "--role", "gateway", logs[0])
    try sandbox.gatewatch("ingest", logs[1])
    #expect(try sandbox.gatewatch("alert", "--ingest", "whole.log", "--policy", "egress.yaml").status == 1)
    let others = ["side/a.log", "pods/evil_miner-7_0b/istio-proxy/0.log"]
    // A file that gets the number of one that is gone, as file systems do it: the same file under another name.
    for (index, other) in others.enumerated() {
      try sandbox.shell("mv \(logs[index]) \(other)")
      try sandbox.append(sidecar(2, from: 60 + 10 * index, isBypass: true), to: other)
    }
    let alert = try sandbox.gatewatch("alert", "--ingest", others[0], others[1])
    #expect(alert.status == 2 && !alert.out.contains("web-1"), "\(alert)")
    let found = try sandbox.answer("select path, pod, declared_role from log where stored = 2 order by path")
    #expect(found == "pods/evil_miner-7_0b/istio-proxy/0.log,miner-7,\nside/a.log,,", "\(found)")
  }
}
