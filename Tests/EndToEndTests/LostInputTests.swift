import Foundation
import Testing

@testable import FlowStore

/// What was not read is never an all-clear: the built program, as a person and as cron run it.
@Suite struct LostInputTests: LostInput {
  let sandbox: Sandbox

  init() throws {
    sandbox = try Sandbox()
    try prepare()
  }

  @Test("a log in a folder that cannot be opened is an error, by whatever way it is met, and an alert cannot tell")
  func unreadable() throws {
    try begin()
    try sandbox.shell("mkdir logs; ln -s loop.log logs/loop.log; cp whole.log logs/a.log")
    for path in ["logs", "'logs/*.log'", "'**/loop.log'"] {
      let ingest = try sandbox.shell("$GATEWATCH ingest \(path)")
      #expect(ingest.status == 1, "\(path)")
      #expect(
        ingest.errors.contains("logs/loop.log: cannot open: too many levels of symbolic links"), "\(ingest.errors)")
      let alert = try sandbox.shell("$GATEWATCH alert --ingest \(path)")
      #expect(alert.status == 3 && alert.out.contains("could not tell: logs/loop.log: cannot open"), "\(alert.out)")
    }
    // A pod that has gone leaves a link to nothing.
    try sandbox.shell("rm logs/loop.log; ln -s gone.log logs/link.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "logs").status == 0)
  }

  @Test("a name that is not UTF-8 is told, and not passed over")
  func oddName() throws {
    try begin()
    try sandbox.shell("mkdir logs; cp whole.log \"logs/$(printf 'w\\377').log\"")
    for path in ["logs", "'logs/w*.log'"] {
      let ingest = try sandbox.shell("$GATEWATCH ingest \(path)")
      #expect(ingest.status == 1 && ingest.errors.contains("its name is not UTF-8"), "\(ingest.errors)")
      #expect(try sandbox.shell("$GATEWATCH alert --ingest \(path)").status == 3)
    }
  }

  @Test(
    "a folder without a log is no input: nothing was mounted there, or it was mistyped",
    arguments: ["empty", "pipes", "links", "'links/*.log'"])
  func nothingThere(path: String) throws {
    try begin()
    try sandbox.shell("mkdir empty pipes links; mkfifo pipes/p; ln -s gone.log links/a.log")
    #expect(try sandbox.shell("$GATEWATCH ingest \(path)").status == 1)
    let alert = try sandbox.shell("$GATEWATCH alert --ingest \(path)")
    #expect(alert.status == 3 && alert.out.contains("could not tell: "), "\(alert.out)")
    // Met twice, a folder that holds one is none of these.
    #expect(try sandbox.shell("mkdir l; cp whole.log l; $GATEWATCH ingest l l/whole.log l").status == 0)
  }

  @Test("what was not read behind gzip data stands against an all-clear until it was", arguments: ["cut", "garbage"])
  func unreadRest(kind: String) throws {
    try begin()
    try sandbox.write(sidecar(20, from: 60), to: "one.log")
    try sandbox.write(sidecar(20, from: 90, isBypass: true), to: "two.log")
    try sandbox.shell("gzip one.log two.log; cat one.log.gz two.log.gz > all.gz")
    try sandbox.shell(
      kind == "cut"
        ? "(cat one.log.gz; head -c 60 two.log.gz) > side.log.gz; touch -d '2 days ago' side.log.gz"
        : "(cat one.log.gz; gzip -dc two.log.gz) > side.log.gz")
    try sandbox.shell("$GATEWATCH ingest side.log.gz")
    let unread = try report()
    #expect(unread.contains("no all-clear: 1 log was not read to the end"), "\(unread)")
    let alert = try sandbox.gatewatch("alert")
    #expect(alert.status == 3 && alert.out.contains("could not tell: side.log.gz: "), "\(alert.out)")
    let coverage = try sandbox.gatewatch("report", "coverage", "--format", "json").out
    #expect(coverage.contains("unread-\(kind)"))
    try sandbox.shell("cat all.gz > side.log.gz")
    #expect(try sandbox.gatewatch("alert", "--ingest", "side.log.gz").status == 2)
    let whole = try report()
    #expect(!whole.contains("not read to the end"), "\(whole)")
  }

  @Test("following a pipe is ended by a signal, and leaves nothing unread")
  func endedPipe() throws {
    // On a busy machine it may take a while until the lines were read.
    try sandbox.shell(
      """
      mkfifo pipe
      for seconds in 1 5 25; do
        rm -f gatewatch.db*
        (cat whole.log; exec sleep 100) > pipe &
        timeout -s INT $seconds $GATEWATCH ingest --policy egress.yaml - < pipe > i.txt 2>&1
        kill $!
        if grep -q "20 lines read" i.txt; then break; fi
      done
      """)
    let text = try report()
    #expect(text.contains("20 lines read") && !text.contains("not read to the end"), "\(text)")
  }

  @Test("an alert cannot tell while most of what comes is rejected, however much was stored before")
  func mostlyRejected() throws {
    try begin()
    let junk = String(repeating: "[2026-11-02T09:10:00.000Z] another format\n", count: 30)
    // A few are no reason.
    try sandbox.append(sidecar(10, from: 100) + String(junk.prefix(42 * 5)), to: "whole.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "whole.log").status == 0)
    try sandbox.append(String(junk.prefix(42 * 12)), to: "whole.log")
    let fresh = try sandbox.gatewatch("alert", "--ingest", "whole.log")
    #expect(fresh.status == 3 && fresh.out.contains("whole.log: 12 of 12 lines rejected"), "\(fresh.out)")
    #expect(try sandbox.gatewatch("alert").status == 0, "30 lines of it are flows")
    try sandbox.append(junk, to: "whole.log")
    try sandbox.gatewatch("ingest", "whole.log")
    let all = try sandbox.gatewatch("alert")
    #expect(all.status == 3 && all.out.contains("whole.log: 47 of 77 lines rejected"), "\(all.out)")
  }

  @Test("a line that is yet to come hides no silence")
  func future() throws {
    try begin()
    try sandbox.write(Self.policy + "expected:\n  - { log: \"whole.log\", max_silence: 15m }\n", to: "egress.yaml")
    let silent = try sandbox.gatewatch("alert", "--policy", "egress.yaml")
    #expect(silent.status == 3 && silent.out.contains("silent since 2026-11-02"), "\(silent.out)")
    try sandbox.append(sidecar(1, from: 100).replacing("2026-11-02", with: "2099-01-01"), to: "whole.log")
    let future = try sandbox.gatewatch("alert", "--ingest", "whole.log")
    #expect(
      future.status == 3 && future.out.contains("holds a line of 2099-01-01T09:01:40Z, which is yet to come"),
      "\(future.out)")
    let required = try sandbox.gatewatch("alert", "--require-coverage", "max-silence=1h")
    #expect(required.out.contains("coverage: log: holds a line of 2099-01-01T09:01:40Z"), "\(required.out)")
  }

  @Test("an answer nobody can hear goes into no file, and is given again")
  func closedStreams() throws {
    try begin()
    try sandbox.append(sidecar(1, from: 100, isBypass: true), to: "whole.log")
    let deaf = try sandbox.shell("$GATEWATCH alert --ingest whole.log >&-")
    #expect(deaf.status == 3, "\(deaf.errors)")
    #expect(try sandbox.shell("grep -l CRITICAL gatewatch.db gatewatch.db.lock").out.isEmpty)
    #expect(try sandbox.gatewatch("alert").status == 2)
    let mute = try sandbox.shell("$GATEWATCH ingest - <&-")
    #expect(mute.out.contains("0 lines read"), "\(mute.out)")
  }

  @Test("what was told and could not be recorded is one answer, and findings outrank that")
  func notRecorded() throws {
    try begin()
    let store = try FlowStore(path: sandbox.path("gatewatch.db"))
    try store.access { db throws(StoreError) in
      try db.run("create trigger full before insert on finding begin select raise(abort, 'no room'); end")
    }
    try store.commit()
    store.close()
    try sandbox.append(sidecar(1, from: 100, isBypass: true), to: "whole.log")
    let told = try sandbox.gatewatch("alert", "--ingest", "whole.log", "--format", "json")
    #expect(told.status == 2)
    #expect(try told.json()["exit_code"] as? Int == 2)
    #expect(told.errors.contains("what was told could not be recorded: "), "\(told.errors)")
    #expect(try sandbox.gatewatch("alert", "--status-line").out.split(separator: "\n").count == 1)
  }

  @Test("a damaged rest stays in doubt though its file could not be opened in between")
  func doubtKept() throws {
    try sandbox.shell("gzip -c whole.log > z.log.1.gz; printf garbage >> z.log.1.gz")
    #expect(try sandbox.gatewatch("ingest", "--policy", "egress.yaml", "z.log.1.gz").status == 0)
    try sandbox.shell(
      "mv z.log.1.gz kept; ln -s z.log.1.gz z.log.1.gz; $GATEWATCH ingest z.log.1.gz; rm z.log.1.gz; mv kept z.log.1.gz"
    )
    try sandbox.shell("$GATEWATCH ingest z.log.1.gz")
    #expect(try report().contains("not read to the end"))
  }

  @Test(
    "a policy file without a word in it is an error, and the stored policy stays",
    arguments: ["", "# Nothing.\n", "---\n", "null\n"])
  func emptiedPolicy(text: String) throws {
    try begin()
    try sandbox.write(text, to: "egress.yaml")
    let alert = try sandbox.gatewatch("alert", "--policy", "egress.yaml")
    #expect(alert.status == 3 && alert.out.contains("egress.yaml: holds no policy"), "\(alert)")
    #expect(try sandbox.gatewatch("ingest", "whole.log", "--policy", "egress.yaml").status == 2)
    #expect(try sandbox.gatewatch("policy", "check", "egress.yaml").status == 1)
    #expect(try report().contains("no bypass found in what was read"))
    try sandbox.write("mesh: {}\n", to: "egress.yaml")
    #expect(try sandbox.gatewatch("policy", "check", "egress.yaml").status == 0)
  }

  @Test("a log of which a few lines come at a time, and all are rejected, is told once there are ten")
  func rejectedDrip() throws {
    try begin()
    try sandbox.append(sidecar(30, from: 60), to: "whole.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "whole.log").status == 0)
    let junk = String(repeating: "[2026-11-02T09:10:00.000Z] another format\n", count: 6)
    for status: Int32 in [0, 3, 3] {
      try sandbox.append(junk, to: "whole.log")
      let alert = try sandbox.gatewatch("alert", "--ingest", "whole.log")
      #expect(alert.status == status, "\(alert)")
    }
    #expect(try sandbox.gatewatch("alert").status == 0, "nothing came")
    // Read by itself, and weighed by the next alert.
    try sandbox.append(junk, to: "whole.log")
    try sandbox.gatewatch("ingest", "whole.log")
    let apart = try sandbox.gatewatch("alert")
    #expect(apart.status == 3 && apart.out.contains("lines rejected (see: gatewatch report rejected)"), "\(apart)")
    // As before.
    try sandbox.append(sidecar(20, from: 120), to: "whole.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "whole.log").status == 0)
    try sandbox.append(junk, to: "whole.log")
    #expect(try sandbox.gatewatch("alert", "--ingest", "whole.log").status == 0)
  }

  @Test("a log whose few new flows are all on an unknown path is told once there are ten")
  func unknownDrip() throws {
    try begin()
    for (round, status) in [(0, 0), (1, 3), (2, 3)] as [(Int, Int32)] {
      try sandbox.append(unknown(6, from: 60 + 10 * round), to: "plain.log")
      let alert = try sandbox.gatewatch("alert", "--ingest", "plain.log")
      #expect(alert.status == status, "\(round): \(alert)")
    }
    #expect(try sandbox.gatewatch("alert").status == 0)
  }

  /// In Envoy's own default format, which names no cluster and no client.
  private func unknown(_ count: Int, from second: Int) -> String {
    (second..<second + count).map { second in
      "[2026-11-02T09:\(String(format: "%02d:%02d", second / 60, second % 60)).000Z] \"GET / HTTP/1.1\" 200 - 0 0 31 30 \"-\" \"curl\" \"-\" \"a.example\" \"203.0.113.140:80\"\n"
    }.joined()
  }

  @Test("a pipe that gave nothing is no silence, and what is read of one is said to count again")
  func pipes() throws {
    try begin()
    let nothing = try sandbox.gatewatch("alert", "--ingest", "-")
    #expect(nothing.status == 3 && nothing.out.contains("could not tell: -: gave nothing"), "\(nothing)")
    try sandbox.write(sidecar(5, from: 60), to: "more.log")
    let piped = try sandbox.shell("cat more.log | $GATEWATCH alert --ingest -")
    #expect(piped.status == 0 && piped.errors.contains("-: warning: has no identity"), "\(piped)")
    let told = try sandbox.shell("cat more.log more.log | $GATEWATCH alert --ingest - --overlap")
    #expect(told.status == 0 && told.errors.isEmpty, "\(told)")
    #expect(try sandbox.shell("$GATEWATCH alert --overlap").status == 3)
  }

  @Test("an export that repeats what was read before is a log like any other: nothing is new, and nothing is in doubt")
  func quietExport() throws {
    try begin()
    try sandbox.write(sidecar(3, from: 30), to: "export.log")
    for alerts in [[0, 0, 0], [2]] as [[Int32]] {
      for status in alerts {
        let alert = try sandbox.shell("cat export.log | $GATEWATCH alert --ingest - --overlap")
        #expect(alert.status == status, "\(alert)")
      }
      if alerts.count > 1 { #expect(try report().contains("no bypass found in what was read")) }
      try sandbox.append(sidecar(1, from: 90, isBypass: true), to: "export.log")
    }
  }

  @Test("a name that is not UTF-8 stands against an all-clear until it has another")
  func oddNameLater() throws {
    try begin()
    try sandbox.shell(
      "mkdir logs; cp whole.log logs; cp whole.log \"logs/$(printf 'w\\377').log\"; $GATEWATCH ingest logs")
    #expect(try report().contains("no all-clear: 1 log was not read to the end"))
    #expect(try sandbox.gatewatch("alert").status == 3)
    try sandbox.shell("cd logs; mv w?.log w.log; cd ..; $GATEWATCH ingest logs")
    #expect(try report().contains("no bypass found in what was read"))
  }

  @Test(
    "a file without a line end is not read, and says so: where it is long, or old",
    arguments: ["cat whole.log", "head -n 400 whole.log", "head -n 1 whole.log"])
  func endless(lines: String) throws {
    try begin()
    try sandbox.append(sidecar(400, from: 600), to: "whole.log")
    try sandbox.gatewatch("ingest", "whole.log")
    try sandbox.shell("\(lines) | tr -d '\\n' > joined.log; touch -d '3 days ago' joined.log")
    let ingest = try sandbox.gatewatch("ingest", "joined.log")
    #expect(ingest.errors.contains("joined.log: warning: no line ends in its last"), "\(ingest.errors)")
    #expect(try report().contains("no all-clear: 1 log was not read to the end"))
    #expect(try sandbox.gatewatch("alert").status == 3)
    // It may be what is being written.
    try sandbox.shell("head -n 1 whole.log | tr -d '\\n' > young.log; $GATEWATCH ingest young.log; rm joined.log")
    #expect(try report().contains("no all-clear: 1 log was not read to the end"))
  }

  @Test("a file of which nothing is text is none that waits for the end of its first line")
  func binaryWithoutLine() throws {
    try begin()
    try sandbox.shell(#"printf '\135\000\000\200\000\377\377abc' > side.log.1.lzma; $GATEWATCH ingest side.log.1.lzma"#)
    #expect(try report().contains("no all-clear: 1 log was not read to the end"))
    #expect(try sandbox.gatewatch("alert").status == 3)
    try sandbox.shell("printf '[2026-11-02T09:1' > young.log; $GATEWATCH ingest young.log; rm side.log.1.lzma")
    let text = try report()
    #expect(text.contains("1 log was not read to the end"), "\(text)")
  }

  @Test("a block of NULs inside of a log stands where lines were: no report is an all-clear")
  func nulHole() throws {
    try begin()
    try sandbox.shell("cp whole.log side.log; head -c 300 /dev/zero >> side.log")
    try sandbox.append(sidecar(20, from: 60), to: "side.log")
    try sandbox.gatewatch("ingest", "side.log")
    let text = try report()
    #expect(text.contains("no all-clear: 1 log holds NUL bytes where lines may have been"), "\(text)")
    #expect(try sandbox.gatewatch("report", "coverage", "--format", "json").out.contains("nul-holes"))
  }
}
