import Flows
import Journeys

/// A few hops written by hand; each call adds one and gives its number, from 1.
struct Way {
  private(set) var hops: [Hop] = []
  private var sources: [Source] = []
  private var destinations: [Destination] = []
  private var outcomes: [Outcome] = []

  static let pod = "10.80.3.11"
  static let gateway = "10.80.3.232"
  static let noon: Int64 = 1_793_620_800_000

  /// A request or (with an SNI) a connection that a sidecar sent to the gateway.
  @discardableResult
  mutating func sidecar(
    _ at: Int64, life: Int64 = 40, port: UInt16 = 40_000, id: UInt64 = 0, path: Int32 = 1, host: String = "a.example",
    isTCP: Bool = false, sent: Int64 = 10, received: Int64 = 20, status: Int = 200, pod: String = Way.pod,
    to gateway: String = Way.gateway, container: String? = nil, isForwarded: Bool = false, isNameless: Bool = false,
    clientPort: UInt16 = 0, isToItself: Bool = false,
    cluster: String? = nil
  ) -> Int {
    add(
      Source(
        log: 1, proxy: .envoy, shape: isForwarded ? .outboundForwarded : isToItself ? .gateway : .outbound,
        clientIP: isForwarded ? "1.2.3.4" : pod, clientIsForwarded: isForwarded, proxyIP: pod, container: container),
      Destination(
        host: host, port: 443, traffic: isTCP ? .tcp : .http, authority: isTCP ? nil : host,
        sni: isTCP && !isNameless ? host : nil, cluster: cluster,
        upstream: Endpoint(ip: gateway, port: 8443), dialled: Endpoint(ip: "203.0.113.9", port: 443)),
      Outcome(method: isTCP ? nil : "GET", status: status), at, life, sent, received, id, path, local: port,
      client: clientPort)
  }

  /// What the gateway wrote of it.
  @discardableResult
  mutating func gateway(
    _ at: Int64, life: Int64 = 38, port: UInt16 = 40_000, id: UInt64 = 0, path: Int32 = 1, host: String = "a.example",
    isTCP: Bool = false, sent: Int64 = 10, received: Int64 = 20, status: Int = 200, pod: String = Way.pod,
    own gateway: String = Way.gateway, isForwarded: Bool = false, feedsProxy: Bool = false, name: String? = nil
  ) -> Int {
    add(
      Source(
        log: 2, proxy: .envoy, shape: feedsProxy ? .gatewayToLoopback : .gateway, clientIP: pod,
        clientIsForwarded: isForwarded, proxyIP: gateway, namespace: name == nil ? nil : "egress", pod: name),
      Destination(
        host: host, port: 443, traffic: isTCP ? .tcp : .http, authority: isTCP ? nil : host, sni: isTCP ? host : nil,
        upstream: feedsProxy ? Endpoint(ip: "127.0.0.1", port: 8443) : Endpoint(ip: "203.0.113.9", port: 443),
        dialled: Endpoint(ip: gateway, port: 8443)),
      Outcome(method: isTCP ? nil : "GET", status: status), at, life, sent, received, id, path,
      local: 50_000, client: isForwarded ? 0 : port)
  }

  /// What nginx wrote of it, in the walk-through's format: no port, whole seconds.
  @discardableResult
  mutating func nginx(
    endsAt end: Int64, life: Int64 = 36, host: String = "a.example", sent: Int64 = 10, received: Int64 = 20,
    name: String? = nil, client: String = "127.0.0.1", port: UInt16 = 0
  ) -> Int {
    let whole = (Way.noon + end) / 1_000 * 1_000
    return add(
      Source(
        log: 3, proxy: .nginxStream, shape: .server, clientIP: client, namespace: name == nil ? nil : "egress",
        pod: name),
      Destination(host: host, hostOrigin: .sni, traffic: .tcp, sni: host), Outcome(protocol: "TCP", status: 200),
      whole - life - Way.noon, life, sent, received, 0, -1, client: port)
  }

  /// A tunnel as Squid wrote it, in its own format: no port, and no address of its own.
  @discardableResult
  mutating func squid(
    endsAt end: Int64, life: Int64 = 36, received: Int64 = 20, status: Int = 200, port: UInt16 = 0, own: String? = nil,
    log: Int64 = 4, name: String? = nil
  ) -> Int {
    add(
      Source(
        log: log, proxy: .squid, shape: .server, clientIP: Way.pod, proxyIP: own,
        namespace: name == nil ? nil : "egress", pod: name),
      Destination(host: "a.example", hostOrigin: .target, port: 443, traffic: .tcp),
      Outcome(method: "CONNECT", status: status), end - life, life, -1, received, 0, -1, client: port)
  }

  /// A tunnel through the sidecar to Squid, as both wrote it.
  mutating func tunnel(
    _ at: Int64, port: UInt16, received: Int64, to proxy: String = "10.80.2.87", cluster: String? = nil,
    log: Int64 = 4, name: String? = nil
  ) {
    sidecar(at, life: 40, port: port, isTCP: true, received: received, to: proxy, isNameless: true, cluster: cluster)
    squid(endsAt: at + 39, life: 37, received: received, log: log, name: name)
  }

  /// Adds connections that are joined beyond doubt: what shows how the clocks of the sidecar and the gateway differ.
  mutating func showClocks(atLeast count: Int = 2) {
    for number in 0..<count {
      let (at, port) = (Int64(number) * 100 + 20_000, UInt16(20_000 + number))
      sidecar(at, port: port, host: "clock.example", isTCP: true)
      gateway(at + 2, port: port, host: "clock.example", isTCP: true)
    }
  }

  private mutating func add(
    _ source: Source, _ destination: Destination, _ outcome: Outcome, _ at: Int64, _ life: Int64, _ sent: Int64,
    _ received: Int64, _ id: UInt64, _ path: Int32, local: UInt16 = 0, client: UInt16 = 0
  ) -> Int {
    sources.append(source)
    destinations.append(destination)
    outcomes.append(outcome)
    let place = Int32(hops.count)
    hops.append(
      Hop(
        flow: Int64(place) + 1, startedAtMs: Way.noon + at, durationMs: life, sent: sent, received: received,
        requestHash: id, line: Int64(place) + 1, source: place, destination: place, outcome: place,
        pathTemplate: destination.traffic == .http ? path : -1, sourcePort: client, localPort: local))
    return hops.count
  }

  var joined: [JoinedHop] {
    JourneyJoiner(
      HopTraits(
        sources: sources.enumerated().map { (Int64($0), $1) },
        destinations: destinations.enumerated().map { (Int64($0), $1) },
        outcomes: outcomes.enumerated().map { (Int64($0), $1) })
    ).join(hops, from: .min, until: .max)
  }

  /// The numbers of the hops of each journey, ascending.
  var journeys: [[Int]] {
    Dictionary(grouping: joined.filter { $0.journey != 0 }, by: \.journey).values.map {
      $0.map { Int($0.flow) }.sorted()
    }
    .sorted { $0[0] < $1[0] }
  }

  func place(_ number: Int) -> JourneyPlace? { joined.first { $0.flow == number }?.place }
}
