/// What is not meant to happen, and what a policy refused.
extension Traffic {
  /// Straight from the sidecar to the outside, declared by a ServiceEntry or not.
  mutating func around(_ pod: Int, _ time: Int64, isDeclared: Bool) {
    let host = pick(isDeclared ? World.direct : World.undeclared)
    let isHTTP = random.once(in: 2)
    let life = isHTTP ? Int64(random.within(1...900)) : self.life()
    var line = sidecar(
      pod, isHTTP ? .http : .tcp, at: time, life, host: host,
      port: connections.single(pod, at: time, until: time + life, &random))
    line.cluster = isDeclared ? .host : .passthrough
    line.upstream = line.dialled
    line.bypass = isDeclared ? .directServiceEntry : .passthrough
    (line.sent, line.received) = bytes(host)
    if isHTTP {
      (line.id, line.page, line.status) = (newID(), Int32(random.below(60)), 200)
      if random.once(in: 50) {
        line.client = Endpoint(World.forged, 0)
        line.forwardedFor = World.forged
      }
    }
    log(line)
  }

  /// REGISTRY_ONLY.
  mutating func refused(_ pod: Int, _ time: Int64) {
    let isHTTP = random.once(in: 2)
    var line = sidecar(
      pod, isHTTP ? .http : .tcp, at: time, Int64(random.below(3)), host: pick(World.undeclared),
      port: connections.single(pod, at: time, until: time, &random))
    line.client = line.local
    line.local = .none
    line.ending = isHTTP ? .registryOnly : .blackHole
    line.cluster = isHTTP ? .none : .blackHole
    line.outcome = .blocked
    if isHTTP { (line.id, line.page, line.status) = (newID(), Int32(random.below(60)), 502) }
    log(line)
  }

  /// With a sidecar, but to the SNI proxy itself, past the gateway before it.
  mutating func pastTheGateway(_ pod: Int, _ time: Int64) {
    let edge = World.Edge.sniWithoutPorts.rawValue + random.below(2)
    let host = pick(World.wildcard)
    let life = self.life()
    let port = isV6(pod) ? 0 : connections.single(pod, at: time, until: time + life, &random)
    guard port != 0 else { return around(pod, time, isDeclared: false) }
    var first = sidecar(pod, .tcp, at: time, life, host: host, port: port)
    first.cluster = .passthrough
    first.dialled = Endpoint(World.gateway(edge), 8443)
    first.upstream = first.dialled
    let (sent, received) = bytes(host)
    (first.sent, first.received) = (sent + 517, received)
    let earlier = log(first)
    var second = sniProxy(edge, at: time + 2, max(life - Int64(random.below(9)), 0), host: host, from: first.local)
    (second.sent, second.received) = (sent, received)
    second.before = earlier
    second.bypass = .sniProxyDirect
    second.claim = World.kind(of: pod) == .uncollected ? .open : .skipped
    log(second)
  }

  /// No sidecar on the way, for want of one or around it.
  mutating func evade(_ pod: Int, _ time: Int64, _ claim: Line.Claim) {
    switch random.below(10) {
    case ..<4: bareRequest(pod, time, claim)
    case ..<6: bareConnection(pod, time, claim)
    case ..<8: bareSNIProxy(pod, time, claim)
    default: bareSquid(pod, time, claim)
    }
  }

  /// To a gateway over HTTP; some send the id, the host and the path of another's request, or another's address.
  private mutating func bareRequest(_ pod: Int, _ time: Int64, _ claim: Line.Claim) {
    let edge = random.below(3)
    let life = Int64(random.within(1...900))
    // A pod that skips its sidecar repeats what it sent through it; a stranger what it saw of somebody.
    let victim = claim == .skipped ? latest[pod] : latest[random.below(150)]
    let imitated = random.once(in: 4) && (victim.map { $0.end + 3_000 < time } ?? false) ? victim : nil
    var line = gateway(
      edge, .http, at: time, life, host: imitated.map { Int($0.host) } ?? pick(World.throughGateway),
      from: Endpoint(World.pod(pod), connections.single(pod, at: time, until: time + life, &random)), pod,
      local: connections.single(1_000 + edge, at: time, until: time + life, &random))
    line.id = imitated?.id ?? newID()
    line.page = imitated?.page ?? Int32(random.below(60))
    line.status = 200
    line.received = imitated?.received ?? Int64(random.within(1...200_000))
    line.sent = imitated?.sent ?? 0
    line.forwardedFor = imitated.map { Int32($0.log) } ?? World.pod(pod)
    line.bypass = .noSidecar
    line.claim = claim
    log(line)
  }

  private mutating func bareConnection(_ pod: Int, _ time: Int64, _ claim: Line.Claim) {
    let life = self.life()
    let client = Endpoint(World.pod(pod), connections.single(pod, at: time, until: time + life, &random))
    let isWildcard = random.once(in: 2)
    let host = pick(isWildcard ? World.wildcard : World.throughGateway)
    let (sent, received) = bytes(host)
    if isWildcard {
      let edge = World.Edge.sniWithoutPorts.rawValue + random.below(2)
      return throughSNIProxy(
        edge, pod, from: client, at: time, life: life, host: host, 517, sent, received, false, before: -1, claim: claim)
    }
    let edge = random.below(3)
    var line = gateway(
      edge, .tcp, at: time, life, host: host, from: client, pod,
      local: connections.single(1_000 + edge, at: time, until: time + life, &random))
    (line.sent, line.received) = (sent, received)
    line.bypass = .noSidecar
    line.claim = claim
    log(line)
  }

  private mutating func bareSNIProxy(_ pod: Int, _ time: Int64, _ claim: Line.Claim) {
    let life = self.life()
    let host = pick(World.wildcard)
    var line = sniProxy(
      World.Edge.sniWithoutPorts.rawValue + random.below(2), at: time, life, host: host,
      from: Endpoint(World.pod(pod), connections.single(pod, at: time, until: time + life, &random)))
    (line.sent, line.received) = bytes(host)
    line.bypass = .sniProxyDirect
    line.claim = claim
    log(line)
  }

  private mutating func bareSquid(_ pod: Int, _ time: Int64, _ claim: Line.Claim) {
    let host = pick(World.throughSquid)
    var line = atSquid(host, at: time, life(), pod)
    line.received = bytes(host).received
    line.bypass = .squidDirect
    line.claim = claim
    log(line)
  }
}
