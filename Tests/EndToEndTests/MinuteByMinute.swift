import Foundation

/// A mesh with a declared gateway, and lines of its sidecars at minutes after nine o'clock.
protocol MinuteByMinute {
  /// Minutes from one line of a sidecar to the next.
  static var step: Int { get }
}

extension MinuteByMinute {
  static var policy: String {
    """
    mesh:
      internal: [10.80.0.0/16]
    gateways:
      - { name: egress, hosts: [istio-egressgateway.istio-system.svc.cluster.local], addresses: [10.80.3.232] }

    """
  }

  func time(_ minute: Int) -> String {
    let ofDay = 9 * 60 + minute
    return "2026-11-02T\(String(format: "%02d:%02d", ofDay / 60, ofDay % 60)):00"
  }

  /// Lines of a sidecar about what it sent to the declared gateway.
  func sidecar(_ address: String, _ minutes: ClosedRange<Int>) -> String {
    stride(from: minutes.lowerBound, through: minutes.upperBound, by: Self.step).map { minute in
      "[\(time(minute)).000Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 20 5 5 \"-\" \"curl/8\" \"-\" \"a.example\" \"10.80.3.232:8080\" outbound|80||istio-egressgateway.istio-system.svc.cluster.local \(address):\(40_000 + minute) 203.0.113.7:80 \(address):\(50_000 + minute) - -\n"
    }.joined()
  }
}
