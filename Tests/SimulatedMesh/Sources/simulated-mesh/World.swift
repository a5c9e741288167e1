/// What does not change while traffic flows: pods, proxies, hosts, their addresses, their clocks.
struct World {
  /// How the pods of a kind reach the outside, and what is known of them.
  enum PodKind {
    case plain, ipv6
    /// A sidecar under REGISTRY_ONLY.
    case registryOnly
    /// Declared in the policy as having no sidecar.
    case noSidecar
    /// Has a sidecar, and part of its traffic does not pass it.
    case skipping
    /// Has a sidecar whose log nobody collects.
    case uncollected
  }

  /// A choice of proxy at the edge; the raw value counts in `gateways`.
  enum Edge: Int {
    case keepingIDs = 0
    /// Gives each request an id of its own, as Envoy does without `internal_address_config`.
    case renamingIDs = 1
    case keepingIDsToo = 2
    /// Feeds an SNI proxy whose format has no port, the walk-through's.
    case sniWithoutPorts = 3
    /// Feeds an SNI proxy whose format has ports and milliseconds.
    case sniWithPorts = 4
  }

  static let pods = 200
  static let gateways = 5
  static let hosts = 2_000
  /// Nodes of the pods, then one for each gateway, then Squid's.
  static let podNodes = 40
  static let nodes = podNodes + gateways + 1
  /// A node that lost its time server: ten minutes fast.
  static let lostNode = 39
  static let lostNodeMs: Int64 = 600_000
  /// 2026-11-02T09:00:00Z in Unix milliseconds.
  static let start: Int64 = 1_793_610_000_000

  // Logs: a sidecar or server log of each pod, gateways, SNI proxies, Squid.
  static func gatewayLog(_ gateway: Int) -> Int { pods + gateway }
  static func sniProxyLog(_ gateway: Int) -> Int { pods + gateways + gateway - Edge.sniWithoutPorts.rawValue }
  static let squidLog = pods + gateways + 2
  static let logs = squidLog + 1

  /// Hosts by what the mesh does with them.
  static let throughGateway = 0..<1_500
  static let wildcard = 1_500..<1_700
  static let throughSquid = 1_700..<1_850
  static let undeclared = 1_850..<1_930
  static let direct = 1_930..<2_000

  // Addresses, as places in `addresses`.
  static func pod(_ pod: Int) -> Int32 { Int32(pod) }
  static func gateway(_ gateway: Int, isV6: Bool = false) -> Int32 { Int32(pods + gateway + (isV6 ? gateways : 0)) }
  static let squid = Int32(pods + 2 * gateways)
  static let loopback = squid + 1
  static let serverLoopback = squid + 2
  static let forged = squid + 3
  private static let firstHost = squid + 4
  static func host(_ host: Int, isV6: Bool = false) -> Int32 { firstHost + Int32(host + (isV6 ? hosts : 0)) }

  private(set) var addresses: [String] = []
  private(set) var hostNames: [String] = []
  private(set) var podNames: [String] = []
  private var clocks: [(offset: Double, drift: Double)] = []

  private let lostMs: Int64

  /// - Parameter isPlain: no clock is off by minutes.
  init(seed: UInt64, isPlain: Bool = false) {
    lostMs = isPlain ? 0 : World.lostNodeMs
    var random = Randomness(seed: seed ^ 0x5EED)
    for pod in 0..<World.pods {
      let isV6 = World.kind(of: pod) == .ipv6
      addresses.append(isV6 ? "fd00:10:1::\(hex(pod + 1))" : "10.1.\(pod / 100).\(pod % 100 + 1)")
      let words = ["orders", "cart", "search", "billing", "batch", "mailer", "crawler", "sync"]
      podNames.append("\(words[pod % words.count])-7c9d8f6b5d-\(letters(pod))")
    }
    for gateway in 0..<World.gateways { addresses.append("10.2.0.\(gateway + 1)") }
    for gateway in 0..<World.gateways { addresses.append("fd00:10:2::\(hex(gateway + 1))") }
    addresses += ["10.2.0.30", "127.0.0.1", "127.0.0.6", "1.2.3.4"]
    for host in 0..<World.hosts {
      addresses.append("93.184.\(host / 250).\(host % 250 + 1)")
      let zone =
        World.wildcard.contains(host) ? "wild.example" : ["vendor.example", "acme.example", "cdn.example"][host % 3]
      hostNames.append("\(["api", "img", "data", "auth"][host % 4])-\(host).\(zone)")
    }
    for host in 0..<World.hosts { addresses.append("2606:2800:220::\(hex(host + 1))") }
    for _ in 0..<World.nodes {
      // Two clocks differ by up to 2 s: up to 0.8 s of constant and 0.2 s of drift in an hour, either way.
      clocks.append((Double(random.within(-800...800)), Double(random.within(-55...55)) * 1e-6))
    }
  }

  static func kind(of pod: Int) -> PodKind {
    switch pod {
    case 0..<150: .plain
    case 150..<165: .ipv6
    case 165..<175: .registryOnly
    case 175..<182: .noSidecar
    case 182..<188: .skipping
    default: .uncollected
    }
  }

  /// The node whose clock stamps the lines of a log. An SNI proxy runs in its gateway's pod.
  static func node(of log: Int) -> Int {
    switch log {
    case ..<pods: log % podNodes
    case ..<(pods + gateways): podNodes + log - pods
    case squidLog: podNodes + gateways
    default: podNodes + log - pods - gateways + Edge.sniWithoutPorts.rawValue
    }
  }

  /// What the node's clock shows at a true time (milliseconds from the start).
  func clock(of log: Int, at time: Int64) -> Int64 {
    let node = World.node(of: log)
    let clock = clocks[node]
    return time + (node == World.lostNode ? lostMs : 0)
      + Int64((clock.offset + clock.drift * Double(time)).rounded())
  }

  /// The folder and file of a log as the kubelet names them.
  func folder(of log: Int) -> String {
    let namespace = log < World.pods ? "shop" : "istio-system"
    let container = log < World.pods + World.gateways ? "istio-proxy" : log == World.squidLog ? "squid" : "sni-proxy"
    let pod =
      switch log {
      case ..<World.pods: podNames[log]
      case World.squidLog: "squid-0"
      default: "egress-\(World.node(of: log) - World.podNodes)"
      }
    return "\(namespace)_\(pod)_00000000-0000-4000-8000-\(padded(World.node(of: log), log))/\(container)"
  }

  private func hex(_ number: Int) -> String { String(number, radix: 16) }

  private func padded(_ node: Int, _ log: Int) -> String {
    // Containers of one pod share its id.
    let text = String(log < World.pods ? log : 1_000 + node)
    return String(repeating: "0", count: 12 - text.count) + text
  }

  private func letters(_ pod: Int) -> String {
    let alphabet = Array("bcdfghjklmnpqrstvwxz")
    return String([alphabet[pod / 20 % 20], "2", alphabet[pod % 20], "x", "q"])
  }
}
