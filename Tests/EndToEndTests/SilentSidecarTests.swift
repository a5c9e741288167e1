import Foundation
import Testing

/// Sidecars whose log ends, or begins, where something else shows that their pod lived, as built.
@Suite struct SilentSidecarTests: MinuteByMinute {
  static let step = 5
  private let session: Session
  private static let (pod, other) = ("10.80.3.11", "10.80.3.12")

  init() throws {
    session = try Session()
    try session.write(Self.policy, to: "egress.yaml")
    try session.write(sidecar(Self.other, 0...360), to: "other.log")
  }

  /// What the gateway writes of the same.
  private func gateway(_ address: String, _ minutes: ClosedRange<Int>) -> String {
    stride(from: minutes.lowerBound, through: minutes.upperBound, by: 5).map { minute in
      "[\(time(minute)).000Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 20 4 4 \"-\" \"curl/8\" \"-\" \"a.example\" \"203.0.113.7:80\" outbound|80||a.example 10.80.3.232:41000 10.80.3.232:8080 \(address):\(40_000 + minute) - -\n"
    }.joined()
  }

  /// A line of a sidecar about what it refused: it shows the client alone.
  private func refused(_ address: String, _ minute: Int) -> String {
    "[\(time(minute)).000Z] \"- - -\" 0 UH - - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" BlackHoleCluster - 203.0.113.9:443 \(address):\(50_000 + minute) - -\n"
  }

  /// A look at the cluster, at a minute.
  private func look(_ pods: [(name: String, address: String)], at minute: Int, ended: Bool = false, started: Int? = nil)
    throws
  {
    let start = started.map { "\(time($0))Z" } ?? "2026-11-01T08:00:00Z"
    let items = pods.map { name, address in
      """
      {"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "\(name)", "namespace": "shop", "creationTimestamp": "\(start)",
          "annotations": {"sidecar.istio.io/status": "{\\"containers\\":[\\"istio-proxy\\"]}"}},
        "spec": {"nodeName": "worker-1", "restartPolicy": "Never", "containers": [
          {"name": "app", "image": "app"},
          {"name": "istio-proxy", "image": "proxyv2:1.24.0", "args": ["proxy", "sidecar"]}]},
        "status": {"phase": "\(ended ? "Succeeded" : "Running")", "podIP": "\(address)", "podIPs": [{"ip": "\(address)"}],
          "startTime": "\(start)"}}
      """
    }
    try session.write(
      "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\(items.joined(separator: ","))]}", to: "look.json")
    _ = try session.run("gatewatch topology import --at \(time(minute))Z look.json > t.txt")
  }

  private func ingest(_ logs: String = "*.log") throws {
    _ = try session.run("gatewatch ingest --policy egress.yaml \(logs) > i.txt")
  }

  private func report(_ options: String = "", _ name: String = "bypass") throws -> String {
    try session.run("gatewatch report \(name) \(options) 2>&1; echo \"exit code $?\"")
  }

  private func expectAllClear(_ options: String = "", sourceLocation: SourceLocation = #_sourceLocation) throws {
    let text = try report(options)
    #expect(text.contains("no bypass found in what was read"), "\(text)", sourceLocation: sourceLocation)
  }

  private static let silence =
    "no line of the sidecar of shop/a-1 (a.log) is of the time from 2026-11-02T11:00:00Z to 2026-11-02T14:00:00Z, though the imported topology shows its pod until then"

  @Test("a pod that a later look at the cluster shows stands against an all-clear, in each answer")
  func lookedAt() throws {
    defer { session.remove() }
    try session.write(sidecar(Self.pod, 0...120), to: "a.log")
    try ingest()
    // A log that ends is by itself no sign of anything.
    try expectAllClear()
    try look([("a-1", Self.pod), ("b-1", Self.other)], at: 115)
    try expectAllClear("--require-coverage sidecars=read")
    try look([("a-1", Self.pod), ("b-1", Self.other)], at: 300)
    for options in ["", "--since 2026-11-02T12:00:00Z --until 2026-11-02T13:00:00Z", "--host a.example"] {
      let text = try report(options)
      #expect(text.contains("no all-clear: \(Self.silence) (see: gatewatch report unread)"), "\(text)")
    }
    // The window is shorter than any gap, and nothing was read of all of it.
    #expect(try report("--since 2026-11-02T12:00:00Z --until 2026-11-02T12:05:00Z").contains(Self.silence))
    // While the log was there, and after the pod was last seen, it says nothing.
    try expectAllClear("--until 2026-11-02T11:10:00Z")
    try expectAllClear("--since 2026-11-02T14:00:00Z")
    let required = try report("--require-coverage sidecars=read")
    #expect(required.contains("coverage: \(Self.silence)") && required.hasSuffix("exit code 3\n"), "\(required)")
    #expect(try report("--limit 5", "summary").contains(Self.silence))
    let alert = try session.run("gatewatch alert > a.txt; gatewatch alert --status-line")
    #expect(alert.contains("GATEWATCH OK: nothing new; read: ") && alert.contains(Self.silence), "\(alert)")
    let unread = try session.run("gatewatch report unread --format csv")
    #expect(
      unread.contains("shop/a-1,1,a-1,") && unread.contains("2026-11-02T14:00:00.000Z,topology,a.log"), "\(unread)")
    let coverage = try session.run("gatewatch report coverage --format ndjson").split(separator: "\n")
    #expect(coverage.first { $0.contains("\"log\":\"a.log\"") }?.contains("pod-lived-on") ?? false, "\(coverage)")
    #expect(coverage.first { $0.contains("\"log\":\"other.log\"") }?.contains("\"signs\":null") ?? false, "\(coverage)")
    // What was missing is read after all.
    try session.write(sidecar(Self.pod, 125...360), to: "a2.log")
    try ingest()
    try expectAllClear("--require-coverage sidecars=read")
  }

  @Test("of a log of several pods, each is known by itself")
  func severalPods() throws {
    defer { session.remove() }
    try session.write(sidecar(Self.pod, 0...120) + sidecar(Self.other, 0...360), to: "other.log")
    try ingest()
    try look([("a-1", Self.pod), ("b-1", Self.other)], at: 300)
    #expect(try report().contains("no line of the sidecar of shop/a-1 (other.log)"))
    #expect(try !report().contains("shop/b-1"))
    // What the pod was refused is a line, too.
    try session.write(refused(Self.pod, 290), to: "more.log")
    _ = try session.run("cat more.log >> other.log; rm more.log")
    try ingest()
    try expectAllClear()
  }

  @Test("a pod that a look shows before its log begins stands against an all-clear")
  func before() throws {
    defer { session.remove() }
    try session.write(sidecar(Self.pod, 180...360), to: "a.log")
    try ingest()
    // Its start alone does not: logs begin when somebody begins to collect them.
    try look([("a-1", Self.pod), ("b-1", Self.other)], at: 300)
    try expectAllClear("--require-coverage sidecars=read")
    try look([("a-1", Self.pod), ("b-1", Self.other)], at: 60)
    let text = try report()
    #expect(
      text.contains(
        "is of the time from 2026-11-02T10:00:00Z to 2026-11-02T12:00:00Z, though the imported topology shows its pod from then"
      ), "\(text)")
    #expect(try session.run("gatewatch report coverage --format ndjson").contains("pod-lived-before"))
    try expectAllClear("--since 2026-11-02T12:00:00Z")
  }

  @Test("pods that ended, by the cluster's word, are no doubt")
  func ended() throws {
    defer { session.remove() }
    try session.write(sidecar(Self.pod, 0...120), to: "a.log")
    try ingest()
    // Rolled over: the next look does not show it any more.
    try look([("a-1", Self.pod), ("b-1", Self.other)], at: 110)
    try look([("b-1", Self.other)], at: 300)
    try expectAllClear("--require-coverage sidecars=read")
    // A job that is over stands there for hours.
    try look([("a-1", Self.pod)], at: 310, ended: true)
    try expectAllClear("--require-coverage sidecars=read")
  }

  @Test("a client of the gateway whose own log ends before stands against an all-clear for every host")
  func clientOfGateway() throws {
    defer { session.remove() }
    try session.write(sidecar(Self.pod, 120...180), to: "a.log")
    try session.write(gateway(Self.other, 0...360) + gateway(Self.pod, 0...300), to: "gateway.log")
    // Of a host that only the other pod went to, all that was read is clear.
    try session.write(
      sidecar(Self.other, 0...360) + sidecar(Self.other, 10...10).replacing("a.example", with: "b.example"),
      to: "other.log")
    try ingest()
    let text = try report("--host b.example")
    #expect(
      text.contains(
        "no line of the sidecar of \(Self.pod) (a.log) is of the time from 2026-11-02T12:00:00Z to 2026-11-02T14:00:00Z, though gateway.log shows it as a client until then"
      ), "\(text)")
    #expect(
      text.contains(
        "is of the time from 2026-11-02T09:00:00Z to 2026-11-02T11:00:00Z, though gateway.log shows it as a client from then"
      ), "\(text)")
    #expect(try session.run("gatewatch alert > a.txt; gatewatch alert --status-line").contains("shows it as a client"))
    // Who has had the address since is named as one of which nothing was read.
    try look([("a-1", Self.pod), ("b-1", Self.other)], at: 150)
    try look([("a-2", Self.pod), ("b-1", Self.other)], at: 200, started: 190)
    let later = try report("--host b.example")
    #expect(later.contains("nothing was read of 1 pod with a sidecar"), "\(later)")
    #expect(later.contains("shows it as a client from then") && !later.contains("as a client until then"), "\(later)")
  }

  @Test("a log that ends within a line, or was cut after it had been read, stands against an all-clear")
  func cut() throws {
    defer { session.remove() }
    try session.write(sidecar(Self.pod, 0...120) + sidecar(Self.pod, 125...125).prefix(90), to: "a.log")
    try ingest()
    let unfinished = "no line of a.log is of the time after 2026-11-02T11:00:00Z, and the log ends within a line"
    #expect(try report().contains(unfinished))
    try expectAllClear("--until 2026-11-02T11:10:00Z")
    try session.write(sidecar(Self.pod, 0...360), to: "a.log")
    try ingest()
    try expectAllClear()
    // Cut, with three hours missing.
    try session.write("", to: "other.log")
    try ingest()
    try session.write(sidecar(Self.other, 540...600), to: "other.log")
    try ingest()
    let lost = try report()
    #expect(
      lost.contains(
        "no line of other.log is of the time from 2026-11-02T15:00:00Z to 2026-11-02T18:00:00Z, and the log was cut or replaced after it had been read"
      ), "\(lost)")
  }

  /// A request of the pod that the gateway refused.
  private func refusedByGateway(_ address: String, _ minutes: ClosedRange<Int>) -> String {
    gateway(address, minutes).replacing("200 - via_upstream", with: "403 - rbac_access_denied_matched_policy[none]")
      .replacing("\"203.0.113.7:80\"", with: "\"-\"").replacing(" 10.80.3.232:41000 ", with: " - ")
  }

  @Test(
    "where a log between two of the sidecars' is missing, no answer about its time is an all-clear, and all others name it"
  )
  func holeBetweenLogs() throws {
    defer { session.remove() }
    _ = try session.run("rm other.log")
    try session.write(sidecar(Self.pod, 0...30), to: "a.log.1")
    try session.write(sidecar(Self.pod, 300...330), to: "a.log")
    try session.write(
      gateway(Self.pod, 0...30) + refusedByGateway(Self.pod, 35...295) + gateway(Self.pod, 300...330), to: "gateway.log"
    )
    try ingest("a.log.1 a.log gateway.log")
    let hole = "no line of a sidecar's log is of the time from 2026-11-02T09:30:00.005Z until 2026-11-02T14:00:00.005Z"
    for options in ["", "--since 2026-11-02T09:15:00Z --until 2026-11-02T14:10:00Z"] {
      #expect(try report(options).contains(hole))
    }
    let within = "--since 2026-11-02T11:00:00Z --until 2026-11-02T12:00:00Z"
    #expect(try report(within).contains("no all-clear: no log of a sidecar was read for the time asked about"))
    // The gateway shows that the pod was there.
    let text = try report()
    #expect(
      text.contains(
        "no all-clear: no line of the sidecar of 10.80.3.11 (a.log) is of the time from 2026-11-02T09:30:00Z to 2026-11-02T14:00:00Z, though gateway.log shows it as a client in between"
      ), "\(text)")
    let coverage = try session.run("gatewatch report coverage --format ndjson").split(separator: "\n")
    #expect(coverage.first { $0.contains("\"log\":\"a.log\"") }?.contains("pod-lived-before") ?? false, "\(coverage)")
    // A log of another pod, of all of the time, says nothing of this one.
    try session.write(sidecar(Self.other, 0...360), to: "other.log")
    try ingest("other.log")
    #expect(try !report().contains(hole))
    #expect(try report("--source \(Self.pod) " + within).contains("shows it as a client in between"))
    // The missing one is found.
    try session.write(sidecar(Self.pod, 35...295), to: "a.log.2")
    try ingest("a.log.2")
    #expect(try !report().contains("of the time from"))
  }

  @Test(
    "a pod that the cluster shows while none of its logs was read stands against an all-clear; one that nothing shows does not"
  )
  func holeOfKnownPod() throws {
    defer { session.remove() }
    let folder = "pods/shop_a-1_0a1b/istio-proxy"
    _ = try session.run("mkdir -p \(folder)")
    try session.write(sidecar(Self.pod, 0...30), to: "\(folder)/0.log.20261102-093000")
    try session.write(sidecar(Self.pod, 300...330), to: "\(folder)/0.log")
    try ingest("pods other.log")
    // Perhaps it was idle: nobody can tell.
    try expectAllClear()
    for minute in [40, 120, 180] { try look([("a-1", Self.pod), ("b-1", Self.other)], at: minute) }
    let text = try report("--require-coverage sidecars=read")
    #expect(
      text.contains(
        "is of the time from 2026-11-02T09:30:00Z to 2026-11-02T14:00:00Z, though the imported topology shows its pod in between"
      ), "\(text)")
    #expect(text.hasSuffix("exit code 3\n"), "\(text)")
    let unread = try session.run("gatewatch report unread --format csv")
    #expect(unread.contains("topology,\(folder)/0.log"), "\(unread)")
    try expectAllClear("--since 2026-11-02T14:00:00Z")
  }

  @Test("of many times without a sidecar's line the first are named, and the others counted")
  func manyHoles() throws {
    defer { session.remove() }
    _ = try session.run("rm other.log")
    for hour in 0..<6 { try session.write(sidecar(Self.pod, hour * 60...hour * 60 + 10), to: "\(hour).log") }
    try ingest()
    let text = try report()
    #expect(
      text.contains(
        "of the time from 2026-11-02T12:10:00.005Z until 2026-11-02T13:00:00.005Z; nor of 1 more such time;"), "\(text)"
    )
  }
}
