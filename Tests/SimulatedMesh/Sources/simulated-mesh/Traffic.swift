/// Requests and connections of the mesh, one after the other, as the lines that they leave in the logs.
struct Traffic {
  let world: World
  var random: Randomness
  var lines: [Line] = []
  var connections = Connections()
  /// The latest request through a gateway that keeps ids, by pod: what a client may send again.
  var latest: [Int: Line] = [:]
  private(set) var ways: Int32 = 0
  /// Milliseconds of simulated time.
  let length: Int64

  let lostPercent: Int
  let latePercent: Int

  /// Requests per second at most; less where that would not make a quarter of an hour.
  static let rate = 280
  static let shortest: Int64 = 900_000

  init(requests: Int, seed: UInt64, lostPercent: Int, latePercent: Int) {
    world = World(seed: seed)
    random = Randomness(seed: seed)
    self.lostPercent = lostPercent
    self.latePercent = latePercent
    length = max(Traffic.shortest, Int64(requests) * 1_000 / Int64(Traffic.rate))
    lines.reserveCapacity(requests * 3)
    for request in 0..<requests {
      let time = length * Int64(request) / Int64(requests) + Int64(random.below(40))
      // A tenth of the pods send half of the requests.
      let pod = random.once(in: 2) ? random.below(World.pods / 10) * 10 : random.below(World.pods)
      send(from: pod, at: time)
      ways += 1
    }
    settleClaims()
  }

  private mutating func send(from pod: Int, at time: Int64) {
    switch World.kind(of: pod) {
    case .noSidecar: return evade(pod, time, .declared)
    case .skipping where random.percent(30): return evade(pod, time, .skipped)
    case .registryOnly where random.percent(40): return refused(pod, time)
    default: break
    }
    switch random.below(1_000) {
    case ..<590: request(pod, time)
    case ..<700: passthrough(pod, time, isTunnel: false)
    case ..<790: wildcard(pod, time)
    case ..<860: squid(pod, time, isTunnel: false)
    case ..<890: around(pod, time, isDeclared: false)
    case ..<920: around(pod, time, isDeclared: true)
    case ..<975: service(pod, time)
    case ..<990: kept(pod, time)
    case ..<995: pastTheGateway(pod, time)
    case ..<998: passthrough(pod, time, isTunnel: true)
    default: squid(pod, time, isTunnel: true)
    }
  }

  // MARK: - Lines

  /// Keeps a line, decides what becomes of it, and returns its place.
  @discardableResult
  mutating func log(_ line: Line) -> Int32 {
    var line = line
    let log = Int(line.log)
    line.written = line.end + (line.isEnvoy ? Int64(random.below(1_000)) : 0)
    let kind = log < World.pods ? World.kind(of: log) : .plain
    let draw = random.below(100)
    line.fate =
      switch kind {
      case _ where line.fate == .open: .open
      case .uncollected: .uncollected
      // What this log does not hold must be a proof.
      case .skipping: .read
      default: draw < lostPercent ? .lost : draw < lostPercent + latePercent ? .late : .read
      }
    lines.append(line)
    let place = Int32(lines.count - 1)
    // Collectors deliver at least once.
    if line.fate == .read, lostPercent + latePercent > 0, random.once(in: 400) { lines.append(line) }
    return place
  }

  /// An empty line of a pod's sidecar.
  func sidecar(_ pod: Int, _ shape: Line.Shape, at time: Int64, _ duration: Int64, host: Int, port: UInt16) -> Line {
    Line(
      way: ways, log: Int16(pod), shape: shape, start: time, duration: duration, host: Int32(host), cluster: .host,
      client: Endpoint(World.pod(pod), port &- 2 | 1), local: Endpoint(World.pod(pod), port),
      dialled: Endpoint(World.host(host, isV6: isV6(pod)), shape == .http ? 80 : 443), upstream: .none)
  }

  /// A line of a gateway for a client.
  func gateway(
    _ gateway: Int, _ shape: Line.Shape, at time: Int64, _ duration: Int64, host: Int, from client: Endpoint,
    _ pod: Int,
    local port: UInt16
  ) -> Line {
    let own = World.gateway(gateway, isV6: isV6(pod))
    return Line(
      way: ways, log: Int16(World.gatewayLog(gateway)), shape: shape, start: time, duration: max(duration, 0),
      host: Int32(host), cluster: .host, client: client, local: Endpoint(own, port),
      dialled: Endpoint(own, shape == .http ? 8080 : isSNI(gateway) ? 443 : 8443),
      upstream: Endpoint(World.host(host), shape == .http ? 80 : 443))
  }

  func isV6(_ pod: Int) -> Bool { World.kind(of: pod) == .ipv6 }
  func isSNI(_ gateway: Int) -> Bool { gateway >= World.Edge.sniWithoutPorts.rawValue }

  // MARK: - Numbers

  /// Most connections to a host carry one of a few sizes, as calls of one program do.
  mutating func bytes(_ host: Int) -> (sent: Int64, received: Int64) {
    guard random.percent(60) else {
      return (Int64(random.within(200...4_000)), Int64(random.within(1_000...400_000)))
    }
    return (Int64(300 + host * 7 % 500), usualSize(host, random.below(3)))
  }

  /// One of the sizes that answers of a host have.
  func usualSize(_ host: Int, _ kind: Int) -> Int64 { Int64(1_000 + host * 7_919 % 30_000 + kind * 13_007) }

  /// Of a connection: seconds, sometimes a minute.
  mutating func life() -> Int64 { Int64(random.within(5...(random.once(in: 5) ? 60_000 : 3_000))) }

  /// A third of all goes to a few.
  mutating func pick(_ hosts: Range<Int>) -> Int {
    random.once(in: 3)
      ? hosts.lowerBound + random.below(8)
      : hosts.lowerBound + min(random.below(hosts.count), random.below(hosts.count))
  }

  mutating func newID() -> UInt64 { random.next() | 1 }

  // MARK: - What can be proven

  /// A log proves that it does not hold a flow only when it was read from well before to well past the flow's end.
  private mutating func settleClaims() {
    let grace: Int64 = 120_000
    var first: [Int16: Int64] = [:]
    var last: [Int16: Int64] = [:]
    for line in lines where line.isRead {
      first[line.log] = min(first[line.log] ?? .max, line.written)
      last[line.log] = max(last[line.log] ?? .min, line.written)
    }
    for place in lines.indices where lines[place].claim == .skipped {
      let log = Int16(lines[place].client.address)
      let end = lines[place].end
      // What a log with a wrong clock lacks at a time it may hold at another.
      let hasLostClock = World.node(of: Int(log)) == World.lostNode
      if hasLostClock || (first[log] ?? .max) > end - grace || (last[log] ?? .min) < end + grace {
        lines[place].claim = .open
      }
    }
    for place in lines.indices where lines[place].before >= 0 {
      let before = lines[Int(lines[place].before)]
      guard Int(before.log) < World.pods, lines[place].bypass == .none else { continue }
      if before.fate == .uncollected, lines[place].isAtTheEdge { lines[place].claim = .unproven }
      if before.fate == .lost || before.fate == .open, lines[place].isAtTheEdge { lines[place].isBereft = true }
    }
  }
}
