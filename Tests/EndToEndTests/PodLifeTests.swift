import Foundation
import Testing

/// Pods that have something in common, a name or an address, as built: what was read of one stands for no other.
@Suite struct PodLifeTests: MinuteByMinute {
  static let step = 1
  private let session: Session
  private static let other = "10.80.3.12"

  init() throws {
    session = try Session()
    try session.write(Self.policy, to: "egress.yaml")
    try session.write(sidecar(Self.other, 0...60), to: "other.log")
  }

  private struct Pod {
    var name: String
    var address: String
    /// Minutes after nine o'clock.
    var started = -60
    var phase = "Running"
    var containers = ""
    var isAmbient = false
  }

  /// A look at the cluster, at a minute: the pods, and the one whose log is there.
  private func look(_ pods: [Pod], at minute: Int) throws {
    let items = (pods + [Pod(name: "b-1", address: Self.other)]).map { pod in
      let sidecar = #"{"name": "istio-proxy", "image": "proxyv2:1.24.0", "args": ["proxy", "sidecar"]}"#
      let annotation =
        pod.isAmbient
        ? #""ambient.istio.io/redirection": "enabled""# : #""sidecar.istio.io/status": "{\"containers\":[]}""#
      return """
        {"apiVersion": "v1", "kind": "Pod",
          "metadata": {"name": "\(pod.name)", "namespace": "shop", "creationTimestamp": "\(time(pod.started))Z",
            "annotations": {\(annotation)}},
          "spec": {"nodeName": "worker-1", "containers": [{"name": "app"}\(pod.isAmbient ? "" : ", " + sidecar)]},
          "status": {"phase": "\(pod.phase)", "podIP": "\(pod.address)", "podIPs": [{"ip": "\(pod.address)"}],
            "startTime": "\(time(pod.started))Z"\(pod.containers)}}
        """
    }
    try session.write(
      "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\(items.joined(separator: ","))]}", to: "look.json")
    _ = try session.run("gatewatch topology import --at \(time(minute))Z look.json > t.txt")
  }

  private func ingest() throws {
    _ = try session.run("gatewatch ingest --policy egress.yaml *.log > i.txt")
  }

  private func bypass(_ options: String = "") throws -> String {
    try session.run("gatewatch report bypass --require-coverage sidecars=read \(options) 2>&1; echo \"exit code $?\"")
  }

  private func expectUnread(_ row: String, _ options: String = "", sourceLocation: SourceLocation = #_sourceLocation)
    throws
  {
    let text = try bypass(options)
    #expect(
      text.contains("nothing was read of 1 pod with a sidecar") && text.hasSuffix("exit code 3\n"), "\(text)",
      sourceLocation: sourceLocation)
    let rows = try session.run("gatewatch report unread \(options) --format csv")
    #expect(rows.contains(row), "\(rows)", sourceLocation: sourceLocation)
  }

  private func expectAllClear(_ options: String = "", sourceLocation: SourceLocation = #_sourceLocation) throws {
    let text = try bypass(options)
    #expect(
      text.contains("no bypass found in what was read") && text.hasSuffix("exit code 0\n"), "\(text)",
      sourceLocation: sourceLocation)
  }

  private static let ended =
    #", "containerStatuses": [{"state": {"terminated": {"finishedAt": "2026-11-02T08:10:00Z"}}}]"#

  @Test("the end of an earlier pod of its name is not that of a pod that runs", arguments: [false, true])
  func namesakeEnded(isAmbient: Bool) throws {
    defer { session.remove() }
    try ingest()
    let backup = Pod(name: "backup", address: "10.80.3.15", started: -10, isAmbient: isAmbient)
    let earlier = Pod(
      name: "backup", address: "10.80.3.14", started: -60, phase: "Succeeded", containers: Self.ended,
      isAmbient: isAmbient)
    try look([earlier], at: -30)
    try expectAllClear()
    try look([backup], at: 65)
    if isAmbient {
      #expect(try bypass().contains("1 pod is carried by ztunnel"))
    } else {
      try expectUnread("shop/backup,1,backup,10.80.3.15,2026-11-02T08:50:00.000Z,")
    }
  }

  @Test(
    "a pod whose end the cluster does not tell lived until the look that shows it over",
    arguments: [
      #", "containerStatuses": [{"state": {"terminated": {"reason": "ContainerStatusUnknown", "finishedAt": null}}}]"#,
      "", #", "reason": "NodeLost", "containerStatuses": [{"state": {"running": {}}}]"#,
    ])
  func evicted(containers: String) throws {
    defer { session.remove() }
    try ingest()
    let evicted = Pod(name: "gone-1", address: "10.80.3.14", phase: "Failed", containers: containers)
    let row = "shop/gone-1,1,gone-1,10.80.3.14,2026-11-02T08:00:00.000Z,2026-11-02T09:50:00.000Z"
    try look([evicted], at: 50)
    try expectUnread(row)
    try look([Pod(name: "gone-1", address: "10.80.3.14")], at: 40)
    try look([evicted], at: 70)
    try expectUnread(row)
    // Over is over, however long it stands there.
    try expectAllClear("--since \(time(51))Z")
  }

  @Test("of two pods of one name, each has lines of its own")
  func twoLives() throws {
    defer { session.remove() }
    let lives = [
      Pod(name: "db-0", address: "10.80.3.14", started: -60), Pod(name: "db-0", address: "10.80.3.15", started: 30),
    ]
    try session.write(sidecar("10.80.3.15", 31...60), to: "second.log")
    try ingest()
    try look([lives[0]], at: 20)
    try look([lives[1]], at: 65)
    try expectUnread("shop/db-0,1,db-0,10.80.3.14,2026-11-02T08:00:00.000Z,2026-11-02T09:30:00.000Z")
    try expectAllClear("--since \(time(30))Z")
    try session.write(sidecar("10.80.3.14", 0...29), to: "first.log")
    try ingest()
    try expectAllClear()
  }

  @Test("of two pods of one name, each has the lines under the name that are of its time")
  func linesByName() throws {
    defer { session.remove() }
    let folder = "pods/shop_db-0_0a1b/istio-proxy"
    _ = try session.run("mkdir -p \(folder)")
    // By addresses that no look shows.
    try session.write(sidecar("10.80.9.1", 0...20), to: "\(folder)/0.log")
    _ = try session.run("gatewatch ingest --policy egress.yaml pods > i.txt")
    try ingest()
    try look([Pod(name: "db-0", address: "10.80.3.14", started: -60)], at: 10)
    try expectAllClear()
    try look([Pod(name: "db-0", address: "10.80.3.15", started: 30)], at: 65)
    try expectUnread("shop/db-0,1,db-0,10.80.3.15,2026-11-02T09:30:00.000Z,")
    let second = "pods/shop_db-0_9f8e/istio-proxy"
    _ = try session.run("mkdir -p \(second)")
    try session.write(sidecar("10.80.9.2", 31...60), to: "\(second)/0.log")
    _ = try session.run("gatewatch ingest pods > i.txt")
    try expectAllClear()
  }

  @Test("a pod that was started anew under its name is no doubt where one log has the lines of both")
  func bothInOneLog() throws {
    defer { session.remove() }
    try session.write(sidecar("10.80.3.14", 0...29) + sidecar("10.80.3.15", 31...60), to: "both.log")
    try ingest()
    try look([Pod(name: "db-0", address: "10.80.3.14", started: -60)], at: 20)
    try look([Pod(name: "db-0", address: "10.80.3.15", started: 30)], at: 65)
    try expectAllClear()
  }

  @Test("lines that show an address are of the pod that had it then, not of the one before")
  func addressPassedOn() throws {
    defer { session.remove() }
    try session.write(sidecar("10.80.3.14", 26...60), to: "next.log")
    try ingest()
    try look([Pod(name: "a-1", address: "10.80.3.14", started: -60)], at: 20)
    try look([Pod(name: "a-2", address: "10.80.3.14", started: 25)], at: 65)
    try expectUnread("shop/a-1,1,a-1,10.80.3.14,2026-11-02T08:00:00.000Z,")
    let rows = try session.run("gatewatch report unread --format csv")
    #expect(!rows.contains("next.log"), "\(rows)")
    // Its own were in another log.
    try session.write(sidecar("10.80.3.14", 0...24), to: "former.log")
    try ingest()
    try expectAllClear()
  }

  @Test("who had an address is shown as verdicts have it, where a pod moved to another")
  func shown() throws {
    defer { session.remove() }
    try look([Pod(name: "raw-1", address: "10.80.3.30"), Pod(name: "web-2", address: "10.80.3.15")], at: 20)
    try look([Pod(name: "raw-1", address: "10.80.3.15")], at: 65)
    for (minute, address, name) in [
      (0, "10.80.3.15", "web-2"), (64, "10.80.3.15", "web-2"), (65, "10.80.3.15", "raw-1"), (99, "10.80.3.15", "raw-1"),
      (0, "10.80.3.30", "raw-1"), (64, "10.80.3.30", "raw-1"), (65, "10.80.3.30", nil),
    ] {
      let output = try session.run(
        "gatewatch topology show --address \(address) --at \(time(minute))Z --format csv | cut -d, -f3 | tail -n +2")
      #expect(output.split(whereSeparator: \.isNewline).map(String.init) == [name].compactMap { $0 }, "\(minute)")
    }
  }
}
