import Foundation
import Testing

@testable import FlowStore

/// What was not read, or is not there any more, is never an all-clear: the built program, as a person and as cron run it.
@Suite struct LostInputTests {
  let sandbox: Sandbox

  init() throws {
    sandbox = try Sandbox()
    try sandbox.write(Self.policy, to: "egress.yaml")
    try sandbox.write(sidecar(20), to: "whole.log")
  }

  private static let policy = """
    mesh:
      internal: [10.80.0.0/16]
    gateways:
      - { name: egress, hosts: [istio-egressgateway.istio-system.svc.cluster.local], addresses: [10.80.3.232] }

    """

  /// Lines of a sidecar that went to the declared gateway, or around it.
  private func sidecar(_ count: Int, from second: Int = 0, isBypass: Bool = false) -> String {
    (second..<second + count).map { second in
      let time = "2026-11-02T09:\(String(format: "%02d:%02d", second / 60, second % 60)).000Z"
      let (upstream, cluster) =
        isBypass
        ? ("203.0.113.7:80", "PassthroughCluster")
        : ("10.80.3.232:8080", "outbound|80||istio-egressgateway.istio-system.svc.cluster.local")
      return
        "[\(time)] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 20 5 5 \"-\" \"curl/8\" \"-\" \"a.example\" \"\(upstream)\" \(cluster) 10.80.3.11:\(40_000 + second) 203.0.113.7:80 10.80.3.11:\(50_000 + second) - -\n"
    }.joined()
  }

  private func report(_ options: String = "") throws -> String {
    let outcome = try sandbox.shell("$GATEWATCH report bypass \(options)")
    return outcome.out + outcome.errors
  }

  /// Reads the whole log, and has the alert of a first run behind it.
  private func begin() throws {
    #expect(try sandbox.gatewatch("alert", "--ingest", "whole.log", "--policy", "egress.yaml").status == 1)
    #expect(try sandbox.gatewatch("alert").status == 0)
    #expect(try report().contains("no bypass found in what was read"))
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

  @Test("what was left unread is forgotten with all that was read at that time")
  func prunedRest() throws {
    try sandbox.shell(
      "(gzip -c whole.log; cat whole.log) > side.log.gz; $GATEWATCH ingest --policy egress.yaml side.log.gz")
    #expect(try report().contains("1 log was not read to the end"))
    try sandbox.shell("$GATEWATCH db prune --before 2026-11-02T09:00:10Z")
    #expect(try report().contains("1 log was not read to the end"))
    try sandbox.shell("$GATEWATCH db prune --before 2099-01-01T00:00:00Z")
    #expect(try !report().contains("not read to the end"))
  }

  @Test("following a pipe is ended by a signal, and leaves nothing unread")
  func endedPipe() throws {
    try sandbox.shell(
      "(cat whole.log; sleep 5) | timeout -s INT 1 $GATEWATCH ingest --policy egress.yaml - > i.txt 2>&1")
    let text = try report()
    #expect(text.contains("20 lines read") && !text.contains("not read to the end"), "\(text)")
  }

  @Test("an all-clear names the time from which on flows are kept, and is not said of what was before")
  func pruned() throws {
    try sandbox.write(sidecar(60, isBypass: true) + sidecar(60, from: 60), to: "side.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml side.log")
    #expect(try report().contains("60 flows left around the egress gateway"))
    try sandbox.shell("$GATEWATCH db prune --before 2026-11-02T09:01:00Z")
    let kept = try report()
    #expect(kept.contains("flows from 2026-11-02T09:01:00.000Z to"), "\(kept)")
    #expect(kept.contains("60 flows from before 2026-11-02T09:01:00.000Z were pruned"))
    #expect(try report("--since 2026-11-02T09:01").contains("no bypass found in what was read"))
    let before = try report("--since 2026-11-02T09:00 --until 2026-11-02T09:02")
    #expect(before.contains("no all-clear: 60 flows from before 2026-11-02T09:01:00.000Z were pruned"), "\(before)")
  }

  /// A request of another pod, as the server's own sidecar logs it.
  private func inbound(_ time: String) -> String {
    "[2026-11-02T\(time).000Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 20 5 5 \"-\" \"curl/8\" \"-\" \"catalog:9080\" \"10.80.3.14:9080\" inbound|9080|| 127.0.0.6:43383 10.80.3.14:9080 10.80.3.11:52377 outbound_.9080_._.catalog.shop.svc.cluster.local default\n"
  }

  @Test("a sidecar's log of which nothing is stored any more vouches for no time, by whatever policy")
  func prunedSidecar() throws {
    try sandbox.write(["09:40:00", "09:45:00", "09:50:00"].map(inbound).joined(), to: "server.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml whole.log server.log")
    try sandbox.shell("$GATEWATCH db prune --before 2026-11-02T09:30:00Z")
    try sandbox.write(Self.policy + "# Nothing else.\n", to: "other.yaml")
    for policy in ["", "--policy other.yaml", ""] {
      for limits in ["", "--since 2026-11-02T09:30"] {
        let text = try report("\(limits) \(policy)")
        #expect(
          text.contains("this is no all-clear: all flows of sidecars' logs were pruned: what pods send"), "\(text)")
      }
    }
    #expect(try sandbox.shell("$GATEWATCH report coverage --require-coverage role=sidecar").status == 0)
    // The log of another that goes on.
    try sandbox.write(sidecar(2, from: 2400) + sidecar(2, from: 3000), to: "next.log")
    try sandbox.gatewatch("ingest", "next.log")
    #expect(try report("--since 2026-11-02T09:30").contains("no bypass found in what was read"))
  }

  @Test("a connection of which the flow was pruned stands for no line of the time until it ended")
  func prunedLongFlow() throws {
    try sandbox.write(sidecar(1).replacing(" 0 20 5 5 ", with: " 0 20 3000000 5 "), to: "long.log")
    try sandbox.write(sidecar(1, from: 1860), to: "short.log")
    try sandbox.write(["09:31:00", "09:50:00"].map(inbound).joined(), to: "server.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml long.log short.log server.log")
    try sandbox.shell("$GATEWATCH db prune --before 2026-11-02T09:30:00Z")
    let text = try report("--since 2026-11-02T09:30")
    #expect(
      text.contains("no line of a sidecar's log is of the time from 2026-11-02T09:31:00.005Z until 2026-11-02T09:50"),
      "\(text)")
  }

  @Test("what a log told of successes and roles before its flows were pruned is not taken back by another policy")
  func prunedSigns() throws {
    try sandbox.write(sidecar(12), to: "old.log")
    let failed = sidecar(1, from: 2400).replacing("200 - via_upstream", with: "503 UF upstream_reset_before_response")
    try sandbox.write(sidecar(12, from: 60) + failed, to: "whole.log")
    try sandbox.write(sidecar(2, from: 3000), to: "new.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml old.log whole.log new.log")
    try sandbox.shell("$GATEWATCH db prune --before 2026-11-02T09:30:00Z")
    let signs = "$GATEWATCH query -e 'select log, roles, has_success from log_sign order by log' --format csv"
    let noted = try sandbox.shell(signs).out
    #expect(noted == "log,roles,has_success\r\n1,sidecar,1\r\n2,sidecar,1\r\n3,sidecar,1\r\n", "\(noted)")
    #expect(try report("--since 2026-11-02T09:30").contains("no bypass found in what was read"))
    try sandbox.write(Self.policy + "# Nothing else.\n", to: "other.yaml")
    let text = try report("--since 2026-11-02T09:30 --policy other.yaml")
    #expect(text.contains("no bypass found in what was read"), "\(text)")
    #expect(try sandbox.shell(signs).out == noted)
  }

  @Test("a rejected line of a log that was pruned to nothing says nothing of a time after its last reading")
  func prunedRejected() throws {
    try sandbox.append("[2026-11-02T09:10:00.000Z] another format\n", to: "whole.log")
    try sandbox.write(sidecar(20).replacing("[2026-", with: "[2126-"), to: "later.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml whole.log later.log")
    let later = "--since 2126-11-02T09:00"
    #expect(try report(later).contains("no all-clear: 1 rejected line"))
    try sandbox.shell("$GATEWATCH db prune --before 2026-11-03T00:00:00Z")
    let text = try report(later)
    #expect(text.contains("no bypass found in what was read"), "\(text)")
    for earlier in ["", "--since 2026-11-02T09:00"] {
      #expect(try report(earlier).contains("1 rejected line (see"), "\(earlier)")
    }
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

  @Test("flows that are pruned before an alert looked at them are no silence, and are told of once")
  func prunedUnseen() throws {
    try begin()
    try sandbox.write(sidecar(5, from: 60, isBypass: true), to: "late.log")
    #expect(try sandbox.gatewatch("ingest", "late.log").status == 0)
    try sandbox.append(sidecar(5, from: 600), to: "whole.log")
    #expect(try sandbox.gatewatch("ingest", "whole.log").status == 0)
    #expect(try sandbox.gatewatch("db", "prune", "--before", "2026-11-02T09:05").status == 0)
    let outcome = try sandbox.gatewatch("alert")
    #expect(
      outcome.status == 3 && outcome.out.contains("5 flows were pruned before any alert had looked at them"),
      "\(outcome)")
    #expect(try sandbox.gatewatch("alert").status == 0)
  }

  @Test("flows that are pruned before the first alert of all are told of, too")
  func prunedBeforeFirst() throws {
    try sandbox.write(sidecar(5, from: 60, isBypass: true), to: "late.log")
    try sandbox.append(sidecar(5, from: 600), to: "late.log")
    try sandbox.shell("$GATEWATCH ingest --policy egress.yaml late.log; $GATEWATCH db prune --before 2026-11-02T09:05")
    let outcome = try sandbox.gatewatch("alert")
    #expect(outcome.out.contains("5 flows were pruned before any alert had looked at them"), "\(outcome)")
    #expect(try sandbox.gatewatch("alert").status == 0)
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
      ("gzip l/b.log; mv l/b.log.gz l/b.log.1.gz", "1 log was rotated away"),
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
