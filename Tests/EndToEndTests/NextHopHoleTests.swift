import Testing

/// Times for which the log of a gateway was not read, between two others, as built: what went there then is in every total.
@Suite struct NextHopHoleTests: MinuteByMinute {
  static let step = 5
  private let session: Session

  init() throws { session = try Session() }

  /// TLS connections through the gateway, as the sidecar and the gateway log them.
  private func write(_ minutes: ClosedRange<Int>, host: String, to log: String?) throws {
    var (sidecar, gateway) = ("", "")
    for minute in stride(from: minutes.lowerBound, through: minutes.upperBound, by: Self.step) {
      let port = 40_000 + minute
      sidecar +=
        "[\(time(minute)).000Z] \"- - -\" 0 - - - \"-\" 500 7000 100 - \"-\" \"-\" \"-\" \"-\" \"10.80.3.232:8443\" outbound|443||istio-egressgateway.istio-system.svc.cluster.local 10.80.3.11:\(port) 198.51.100.9:443 10.80.3.11:\(port + 9000) \(host) -\n"
      gateway +=
        "[\(time(minute)).001Z] \"- - -\" 0 - - - \"-\" 500 7000 99 - \"-\" \"-\" \"-\" \"-\" \"198.51.100.9:443\" outbound|443||\(host) 10.80.3.232:\(port) 10.80.3.232:8443 10.80.3.11:\(port) \(host) -\n"
    }
    _ = try session.run("printf '%s' '\(sidecar)' >> sidecar.log")
    if let log { try session.write(gateway, to: log) }
  }

  @Test("flows that were handed on between two logs of the gateway count at the sidecar, are told of, and are a doubt")
  func betweenTwoLogs() throws {
    defer { session.remove() }
    try session.write(Self.policy, to: "egress.yaml")
    try write(0...60, host: "a.example", to: "gateway-1.log")
    _ = try session.run("gatewatch alert --ingest '*.log' --policy egress.yaml > first.txt")
    try write(65...120, host: "new.example", to: nil)
    try write(125...180, host: "a.example", to: "gateway-3.log")
    let alert = try session.run("gatewatch alert --ingest '*.log'; echo \"exit code $?\"")
    #expect(alert.contains("new-host  new.example") && alert.hasSuffix("exit code 1\n"), "\(alert)")
    let hosts = try session.run("gatewatch report hosts --format csv | cut -d, -f1-2 | sort")
    #expect(hosts.contains("new.example"), "\(hosts)")
    #expect(
      try session.run("gatewatch query --format csv -e 'select count(*) from counted_flow' | tail -n 1 | tr -d '\\r'")
        == "37\n")
    let bypass = try session.run("gatewatch report bypass")
    #expect(bypass.contains("12 flows were handed on to a gateway or proxy whose log was not read"), "\(bypass)")
  }
}
