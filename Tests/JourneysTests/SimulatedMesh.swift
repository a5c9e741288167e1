import Flows
import Journeys

/// A mesh that knows which of its lines are one way: pods with sidecars, gateways, an SNI proxy and a Squid that log no
/// client port, connections used by many requests, ports used again, repeated attempts, clocks that differ, lines lost.
struct SimulatedMesh {
  static let pods = 200
  static let gateways = 4
  static let hosts = 2_000
  /// Requests of the whole mesh in a second.
  static let rate = 280
  /// Clocks are off by up to this, either way: two of them differ by up to 2 s.
  static let clockMs: Int64 = 1_000

  private(set) var hops: [Hop] = []
  /// The way that each hop belongs to, by its place in `hops`; with the place of the hop before it, if that was logged.
  private(set) var ways: [Int] = []
  private(set) var before: [Int?] = []
  private(set) var sources: [Source] = []
  private(set) var destinations: [Destination] = []
  private(set) var outcomes: [Outcome] = []

  private var random: SplitMix
  private var clocks: [Int64] = []
  private var sourceIDs: [Source: Int32] = [:]
  private var destinationIDs: [Destination: Int32] = [:]
  private var connections: [Int: (port: UInt16, left: Int)] = [:]
  private var ports: [Int: UInt16] = [:]
  private var freed: [Int: (port: UInt16, at: Int64)] = [:]
  private var lines: [Int64: Int64] = [:]

  private static let sniProxy = pods + gateways
  private static let squid = sniProxy + 1

  init(requests: Int, seed: UInt64, lossPercent: Int = 5) {
    random = SplitMix(state: seed)
    clocks = (0...Self.squid).map { _ in Int64.random(in: -Self.clockMs...Self.clockMs, using: &random) }
    // The SNI proxies run in the gateways' pods, and have their clocks.
    outcomes = [
      Outcome(protocol: "HTTP/1.1", method: "GET", status: 200), Outcome(protocol: "TCP", status: 0),
      Outcome(protocol: "HTTP/1.1", method: "GET", status: 503, flags: "UF"),
      Outcome(method: "CONNECT", status: 200, flags: "TCP_TUNNEL"),
    ]
    for way in 0..<requests {
      let at = 1_793_000_000_000 + Int64(way) * 1_000 / Int64(Self.rate) + Int64.random(in: 0..<40, using: &random)
      let pod = Int.random(in: 0..<Self.pods, using: &random)
      let host = Int.random(in: 0..<Self.hosts, using: &random)
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<6: request(way, at, pod, host, lossPercent)
      case 6..<8: passthrough(way, at, pod, host, lossPercent)
      case 8: wildcard(way, at, pod, host, lossPercent)
      default: tunnel(way, at, pod, host, lossPercent)
      }
    }
  }

  var traits: HopTraits {
    HopTraits(
      sources: sources.enumerated().map { (Int64($0), $1) },
      destinations: destinations.enumerated().map { (Int64($0), $1) },
      outcomes: outcomes.enumerated().map { (Int64($0), $1) })
  }

  // MARK: - What happens

  private mutating func request(_ way: Int, _ at: Int64, _ pod: Int, _ host: Int, _ loss: Int) {
    let gateway = pod % Self.gateways
    var connection = connections[pod] ?? (0, 0)
    if connection.left == 0 { connection = (nextPort(pod, at), Int.random(in: 1...200, using: &random)) }
    connection.left -= 1
    connections[pod] = connection
    let id = UInt64.random(in: 1 ... .max, using: &random)
    let path = Int32.random(in: 0..<20, using: &random)
    let received = Int.random(in: 0..<3, using: &random) == 0 ? 612 : Int64.random(in: 1...200_000, using: &random)
    let life = Int64.random(in: 1...900, using: &random)
    let name = "h\(host).example"
    var attempts = 1
    while attempts < 3, Int.random(in: 0..<50, using: &random) == 0 { attempts += 1 }
    var start = at
    var delay: Int64 = 0
    let first = log(
      way, pod, at, life + Int64(attempts - 1) * 300, 0, received, id, 0, path, sidecar(pod), declared(name, gateway),
      local: connection.port, loss, nil)
    for attempt in 1...attempts {
      let isLast = attempt == attempts
      start = at + delay + Int64.random(in: 0...3, using: &random)
      // One of the gateways gives every request an id of its own.
      let seen = gateway == 0 ? UInt64.random(in: 1 ... .max, using: &random) : id
      _ = log(
        way, Self.pods + gateway, start, isLast ? max(life - 2, 0) : 200, 0, isLast ? received : 91, seen,
        isLast ? 0 : 2, path, gatewaySource(gateway, pod), gatewayDestination(name, gateway, isHTTP: true),
        client: isLast ? connection.port : nextPort(pod, at), loss, first,
        isJoinable: isLast || gateway != 0)
      delay += 300
    }
  }

  private mutating func passthrough(_ way: Int, _ at: Int64, _ pod: Int, _ host: Int, _ loss: Int) {
    let gateway = pod % Self.gateways
    let port = nextPort(pod, at)
    let name = "h\(host).example"
    let (sent, received) = bytes()
    let life = Int64.random(in: 5...60_000, using: &random)
    let first = log(
      way, pod, at, life, sent, received, 0, 1, -1, sidecar(pod), secured(name, gateway), local: port, loss, nil)
    _ = log(
      way, Self.pods + gateway, at + Int64.random(in: 0...28, using: &random), max(life - 8, 0), sent, received, 0, 1,
      -1, gatewaySource(gateway, pod), gatewayDestination(name, gateway, isHTTP: false), client: port, loss, first)
    freed[pod] = (port, at + life)
  }

  private mutating func wildcard(_ way: Int, _ at: Int64, _ pod: Int, _ host: Int, _ loss: Int) {
    let gateway = pod % Self.gateways
    let port = nextPort(pod, at)
    let name = "w\(host % 50).wikipedia.example"
    let (sent, received) = bytes()
    let life = Int64.random(in: 5...60_000, using: &random)
    let first = log(
      way, pod, at, life, sent + 517, received, 0, 1, -1, sidecar(pod), secured(name, gateway), local: port, loss, nil)
    let second = log(
      way, Self.pods + gateway, at + 5, max(life - 8, 0), sent + 517, received, 0, 1, -1,
      gatewaySource(gateway, pod, toLoopback: true), toSNIProxy(name, gateway), local: nextPort(1_000 + gateway, at),
      client: port, loss, first)
    let end = (at + max(life - 3, 0) + clocks[Self.pods + gateway]) / 1_000 * 1_000
    let source = self.source(
      Source(log: Int64(Self.sniProxy + gateway * 10), proxy: .nginxStream, shape: .server, clientIP: "127.0.0.1"))
    let destination = self.destination(Destination(host: name, hostOrigin: .sni, traffic: .tcp, sni: name))
    let session = max(life - 9, 0)
    _ = add(
      way, end - session, session, sent, received, 0, 1, -1, source, destination, 0, 0,
      Int64(Self.sniProxy + gateway * 10), loss, second, isJoinable: true)
  }

  private mutating func tunnel(_ way: Int, _ at: Int64, _ pod: Int, _ host: Int, _ loss: Int) {
    let port = nextPort(pod, at)
    let (sent, received) = bytes()
    let life = Int64.random(in: 20...60_000, using: &random)
    let toSquid = destination(
      Destination(
        host: "proxy.example", hostOrigin: .cluster, port: 3128, traffic: .tcp, cluster: "outbound|3128||proxy.example",
        upstream: Endpoint(ip: "10.9.0.1", port: 3128), dialled: Endpoint(ip: "10.9.0.1", port: 3128)))
    let first = log(way, pod, at, life, sent, received, 0, 1, -1, sidecar(pod), toSquid, local: port, loss, nil)
    let source = self.source(
      Source(log: Int64(Self.squid), proxy: .squid, shape: .server, clientIP: address(pod)))
    let target = destination(Destination(host: "t\(host).example", hostOrigin: .target, port: 443, traffic: .tcp))
    _ = add(
      way, at + 2 + clocks[Self.squid], max(life - 8, 0), -1, received, 0, 3, -1, source, target, 0, 0,
      Int64(Self.squid), loss, first, isJoinable: true)
  }

  private mutating func bytes() -> (Int64, Int64) {
    (Int64.random(in: 200...4_000, using: &random), Int64.random(in: 1_000...400_000, using: &random))
  }

  // MARK: - Lines

  private mutating func log(
    _ way: Int, _ clock: Int, _ at: Int64, _ life: Int64, _ sent: Int64, _ received: Int64, _ id: UInt64,
    _ outcome: Int32, _ path: Int32, _ source: Int32, _ destination: Int32, local: UInt16 = 0, client: UInt16 = 0,
    _ loss: Int, _ before: Int?, isJoinable: Bool = true
  ) -> Int? {
    add(
      way, at + clocks[clock], life, sent, received, id, outcome, path, source, destination, local, client,
      Int64(clock), loss, before, isJoinable: isJoinable)
  }

  private mutating func add(
    _ way: Int, _ at: Int64, _ life: Int64, _ sent: Int64, _ received: Int64, _ id: UInt64, _ outcome: Int32,
    _ path: Int32, _ source: Int32, _ destination: Int32, _ local: UInt16, _ client: UInt16, _ log: Int64, _ loss: Int,
    _ before: Int?, isJoinable: Bool
  ) -> Int? {
    lines[log, default: 0] += 1
    guard Int.random(in: 0..<100, using: &random) >= loss else { return nil }
    hops.append(
      Hop(
        flow: Int64(hops.count + 1), startedAtMs: at, durationMs: life, sent: sent, received: received, requestHash: id,
        line: lines[log]!, source: source, destination: destination, outcome: outcome, pathTemplate: path,
        sourcePort: client, localPort: local))
    ways.append(way)
    self.before.append(isJoinable ? before : nil)
    return hops.count - 1
  }

  /// The next of the pod's ports; now and then one that was given back a moment ago.
  private mutating func nextPort(_ pod: Int, _ at: Int64) -> UInt16 {
    if let last = freed[pod], last.at < at, at - last.at < 10_000, Int.random(in: 0..<4, using: &random) == 0 {
      freed[pod] = nil
      return last.port
    }
    let port = ports[pod] ?? 32_768
    ports[pod] = port >= 60_999 ? 32_768 : port + 1
    return port
  }

  // MARK: - Places

  private func address(_ pod: Int) -> String { "10.1.\(pod / 250).\(pod % 250 + 1)" }
  private func gatewayAddress(_ gateway: Int) -> String { "10.2.0.\(gateway + 1)" }

  private mutating func source(_ source: Source) -> Int32 {
    if let id = sourceIDs[source] { return id }
    sources.append(source)
    sourceIDs[source] = Int32(sources.count - 1)
    return Int32(sources.count - 1)
  }

  private mutating func destination(_ destination: Destination) -> Int32 {
    if let id = destinationIDs[destination] { return id }
    destinations.append(destination)
    destinationIDs[destination] = Int32(destinations.count - 1)
    return Int32(destinations.count - 1)
  }

  private mutating func sidecar(_ pod: Int) -> Int32 {
    source(
      Source(log: Int64(pod), proxy: .envoy, shape: .outbound, clientIP: address(pod), proxyIP: address(pod)))
  }

  private mutating func gatewaySource(_ gateway: Int, _ pod: Int, toLoopback: Bool = false) -> Int32 {
    source(
      Source(
        log: Int64(Self.pods + gateway), proxy: .envoy, shape: toLoopback ? .gatewayToLoopback : .gateway,
        clientIP: address(pod), proxyIP: gatewayAddress(gateway)))
  }

  private mutating func declared(_ name: String, _ gateway: Int) -> Int32 {
    destination(
      Destination(
        host: name, hostOrigin: .authority, port: 80, traffic: .http, authority: name,
        upstream: Endpoint(ip: gatewayAddress(gateway), port: 8080), dialled: Endpoint(ip: "203.0.113.1", port: 80)))
  }

  private mutating func secured(_ name: String, _ gateway: Int) -> Int32 {
    destination(
      Destination(
        host: name, hostOrigin: .sni, port: 443, traffic: .tcp, sni: name,
        upstream: Endpoint(ip: gatewayAddress(gateway), port: 8443), dialled: Endpoint(ip: "203.0.113.1", port: 443)))
  }

  private mutating func gatewayDestination(_ name: String, _ gateway: Int, isHTTP: Bool) -> Int32 {
    destination(
      Destination(
        host: name, hostOrigin: isHTTP ? .authority : .sni, port: 443, traffic: isHTTP ? .http : .tcp,
        authority: isHTTP ? name : nil, sni: isHTTP ? nil : name,
        upstream: Endpoint(ip: "203.0.113.1", port: 443),
        dialled: Endpoint(ip: gatewayAddress(gateway), port: isHTTP ? 8080 : 8443)))
  }

  private mutating func toSNIProxy(_ name: String, _ gateway: Int) -> Int32 {
    destination(
      Destination(
        host: name, hostOrigin: .sni, port: 8443, traffic: .tcp, sni: name,
        upstream: Endpoint(ip: "127.0.0.1", port: 8443),
        dialled: Endpoint(ip: gatewayAddress(gateway), port: 8443)))
  }
}

/// The same numbers in every run (Vigna's splitmix64).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
    return word ^ word >> 31
  }
}
