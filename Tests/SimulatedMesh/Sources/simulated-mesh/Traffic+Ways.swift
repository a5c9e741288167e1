/// What is meant to happen: through the gateways, the SNI proxies, Squid, and within the mesh.
extension Traffic {
  /// HTTP through a gateway, on a connection that many requests share, with repeated attempts.
  mutating func request(_ pod: Int, _ time: Int64) {
    let edge = random.below(3)
    let keepsIDs = edge != World.Edge.renamingIDs.rawValue
    // Some ask for the same again and again, and some of those with one id for all.
    let isPoll = random.once(in: 15)
    let host = isPoll ? World.throughGateway.lowerBound + pod % 50 : pick(World.throughGateway)
    let ending = isPoll ? .none : pickEnding(keepsIDs)
    let isForged = random.once(in: 60)
    let isRetried = !isForged && !isPoll && ending == .none && random.once(in: 50)
    let attempts = isRetried ? random.within(2...3) : 1
    let pause: Int64 = 25
    let attempt = ending == .timeout ? 15_000 : Int64(random.within(1...(random.once(in: 8) ? 4_000 : 300)))
    let life = attempt + Int64(attempts - 1) * (pause + 40) + Int64(random.below(3))
    let isHTTP2 = pod % 2 == 0
    let port = connections.pooled(pod, edge, at: time, until: time + life, isHTTP2: isHTTP2, &random)

    var first = sidecar(pod, .http, at: time, life, host: host, port: port)
    first.client.port = connections.single(pod, at: time, until: time + life, &random)
    first.cluster = .gateway
    first.upstream = Endpoint(World.gateway(edge, isV6: isV6(pod)), 8080)
    first.id = isPoll && random.once(in: 3) ? UInt64(0xABCD_0000 + pod) : newID()
    first.page = isPoll ? 1 : Int32(random.below(60))
    first.sent = !isPoll && random.once(in: 4) ? Int64(random.within(1...20_000)) : 0
    if isPoll { (first.status, first.received) = (200, 612) } else { answer(&first, ending) }
    if isForged {
      // The sidecar believes the header: its client's address is what the client wrote.
      first.client = Endpoint(random.once(in: 2) ? World.forged : World.pod(random.below(World.pods)), 0)
      first.forwardedFor = first.client.address
    }
    let earlier = log(first)

    var start = time
    for number in 1...attempts {
      start += Int64(random.below(4))
      let isLast = number == attempts
      let isElsewhere = !isLast && random.once(in: 2)
      var second = gateway(
        edge, .http, at: start, isLast ? life - (start - time) - Int64(random.below(2)) : 40, host: host,
        from: Endpoint(
          World.pod(pod), isElsewhere ? connections.single(pod, at: start, until: start + 40, &random) : port),
        pod, local: connections.single(1_000 + edge, at: start, until: start + attempt, &random))
      // A client outside of the mesh, as the header has it, is given an id of the gateway's.
      second.id = keepsIDs && first.forwardedFor < 0 ? first.id : newID()
      second.page = first.page
      second.sent = first.sent
      second.forwardedFor = World.pod(pod)
      second.before = earlier
      if isLast {
        refuse(&second, ending, by: first)
      } else {
        second.status = 503
        second.received = random.once(in: 3) ? first.received : 91
        second.outcome = .failed
      }
      log(second)
      start += 40 + pause
    }
    if keepsIDs, attempts == 1, first.forwardedFor < 0 { latest[pod] = first }
  }

  private mutating func pickEnding(_ keepsIDs: Bool) -> Line.Ending {
    switch random.below(1_000) {
    case ..<12: .rbacHTTP
    case ..<24: .refused
    case ..<28: .timeout
    case ..<34 where keepsIDs: .clientGone
    default: .none
    }
  }

  /// What the sidecar writes of the answer.
  private mutating func answer(_ line: inout Line, _ ending: Line.Ending) {
    line.status = 200
    line.received =
      random.percent(60) ? usualSize(Int(line.host), Int(line.page) % 3) : Int64(random.within(1...200_000))
    switch ending {
    case .rbacHTTP: (line.status, line.received) = (403, 19)
    case .refused: (line.status, line.received, line.outcome) = (503, 121, .failed)
    case .timeout: (line.status, line.received, line.outcome) = (504, 24, .any)
    case .clientGone:
      (line.status, line.ending, line.outcome) = (0, .clientGone, .clientGone)
    default:
      if random.once(in: 30) { line.status = 404 }
      if random.once(in: 60) { (line.status, line.outcome) = (500, .failed) }
    }
  }

  /// What the gateway writes of it.
  private mutating func refuse(_ line: inout Line, _ ending: Line.Ending, by first: Line) {
    (line.status, line.received, line.outcome, line.ending) = (first.status, first.received, first.outcome, ending)
    switch ending {
    case .rbacHTTP:
      line.outcome = .blocked
      line.local = .none
      line.upstream = .none
    case .refused: line.local = .none
    case .timeout: line.outcome = .timeout
    case .clientGone:
      // Some of it had come this far.
      line.received += Int64(random.below(5_000))
    default: break
    }
  }

  /// TLS that a gateway passes on by its server name.
  mutating func passthrough(_ pod: Int, _ time: Int64, isTunnel: Bool) {
    let edge = random.below(3)
    let host = pick(World.throughGateway)
    let isDenied = !isTunnel && random.once(in: 40)
    let (start, life) = isTunnel ? hours(until: time) : (time, isDenied ? 1 : self.life())
    let port = isTunnel ? connections.tunnel(pod) : connections.single(pod, at: start, until: start + life, &random)
    var first = sidecar(pod, .tcp, at: start, life, host: host, port: port)
    first.cluster = .gateway
    first.upstream = Endpoint(World.gateway(edge, isV6: isV6(pod)), 8443)
    (first.sent, first.received) = isDenied ? (517, 0) : bytes(host)
    if isDenied { first.outcome = .any }
    let earlier = log(first)
    var second = gateway(
      edge, .tcp, at: start + Int64(random.below(29)), life - Int64(random.below(9)), host: host,
      from: Endpoint(World.pod(pod), port), pod,
      local: connections.single(1_000 + edge, at: start, until: start + life, &random))
    (second.sent, second.received) = (first.sent, first.received)
    second.before = earlier
    if isDenied { (second.ending, second.outcome) = (.rbacTCP, .blocked) }
    log(second)
  }

  /// A wildcard host: sidecar, gateway, and the SNI proxy in the gateway's pod.
  mutating func wildcard(_ pod: Int, _ time: Int64) {
    let edge = World.Edge.sniWithoutPorts.rawValue + random.below(2)
    let host = pick(World.wildcard)
    let fails = random.once(in: 12)
    let life = fails ? Int64(random.within(2...40)) : self.life()
    let port = connections.single(pod, at: time, until: time + life, &random)
    var first = sidecar(pod, .tcp, at: time, life, host: host, port: port)
    first.cluster = .sniGateway
    first.upstream = Endpoint(World.gateway(edge, isV6: isV6(pod)), 443)
    let hello = Int64(random.once(in: 5) ? random.within(1_500...1_900) : 517)
    let (sent, received) = fails ? (0, 0) : bytes(host)
    (first.sent, first.received) = (hello + sent, received)
    if fails { first.outcome = .any }
    let earlier = log(first)
    throughSNIProxy(
      edge, pod, from: Endpoint(World.pod(pod), port), at: time, life: life, host: host, hello, sent, received, fails,
      before: earlier)
  }

  /// The hops from the gateway on.
  mutating func throughSNIProxy(
    _ edge: Int, _ pod: Int, from client: Endpoint, at time: Int64, life: Int64, host: Int, _ hello: Int64,
    _ sent: Int64, _ received: Int64, _ fails: Bool, before: Int32, claim: Line.Claim = .none
  ) {
    let start = time + Int64(random.below(20))
    let port = connections.single(1_000 + edge, at: start, until: start + life, &random)
    var second = gateway(
      edge, .tcp, at: start, max(life - (start - time) - 1, 1), host: host, from: client, pod, local: port)
    second.cluster = .sniProxy
    if claim != .none { (second.bypass, second.claim) = (.noSidecar, claim) }
    second.local.address = World.loopback
    second.upstream = Endpoint(World.loopback, 8443)
    (second.sent, second.received) = (hello + sent, received)
    if fails { second.outcome = .any }
    second.before = before
    let middle = log(second)
    var third = sniProxy(
      edge, at: start + Int64(random.below(4)), max(second.duration - Int64(random.below(8)), 0), host: host,
      from: Endpoint(World.loopback, port))
    (third.sent, third.received) = (sent, received)
    if fails { (third.status, third.outcome) = (random.once(in: 2) ? 502 : 500, .failed) }
    third.before = middle
    log(third)
  }

  func sniProxy(_ edge: Int, at time: Int64, _ duration: Int64, host: Int, from client: Endpoint) -> Line {
    var line = Line(
      way: ways, log: Int16(World.sniProxyLog(edge)),
      shape: edge == World.Edge.sniWithPorts.rawValue ? .nginxWithPorts : .nginx, start: time, duration: duration,
      host: Int32(host), cluster: .host, client: client, local: .none, dialled: .none,
      upstream: Endpoint(World.host(host), 443))
    line.status = 200
    return line
  }

  /// A CONNECT through the sidecar to Squid.
  mutating func squid(_ pod: Int, _ time: Int64, isTunnel: Bool) {
    let host = pick(World.throughSquid)
    let (start, life) = isTunnel ? hours(until: time) : (time, self.life())
    let port = isTunnel ? connections.tunnel(pod) : connections.single(pod, at: start, until: start + life, &random)
    var first = sidecar(pod, .tcp, at: start, life, host: host, port: port)
    first.cluster = .squid
    first.dialled = Endpoint(World.squid, 3128)
    first.upstream = first.dialled
    (first.sent, first.received) = bytes(host)
    var second = atSquid(host, at: start + Int64(random.below(4)), max(life - Int64(random.below(26)), 0), pod)
    second.received = first.received
    if !isTunnel, random.once(in: 25) {
      second.status = 403
      second.outcome = .blocked
      second.received = 3_900 + Int64(host)
      first.received = second.received
      second.duration = 0
      first.duration = 2
    } else if !isTunnel, random.once(in: 40) {
      // Squid counts nothing of the error page that it sends.
      (second.status, second.outcome, second.received, first.received) = (503, .failed, 0, 3_300 + Int64(host % 9))
      (first.duration, second.duration, first.outcome) = (2, 1, .any)
    }
    second.before = log(first)
    log(second)
  }

  func atSquid(_ host: Int, at time: Int64, _ duration: Int64, _ pod: Int) -> Line {
    var line = Line(
      way: ways, log: Int16(World.squidLog), shape: .squid, start: time, duration: duration, host: Int32(host),
      cluster: .host, client: Endpoint(World.pod(pod), 0), local: .none, dialled: .none,
      upstream: Endpoint(World.host(host), 443))
    line.status = 200
    return line
  }

  /// A connection to Squid, or to a gateway's own address, that carries several requests: TCP to the sidecar, which logs it
  /// at its end; one line for each request at the proxy. Some never end.
  mutating func kept(_ pod: Int, _ time: Int64) {
    let isToSquid = random.once(in: 2) || isV6(pod)
    let count = random.within(1...4)
    let pause = Int64(random.within(50...5_000))
    let life = Int64(count) * (pause + 40)
    let isOpen = random.once(in: 4)
    let port = isOpen ? connections.tunnel(pod) : connections.single(pod, at: time, until: time + life, &random)
    let host = pick(isToSquid ? World.throughSquid : World.throughGateway)
    let edge = random.below(3)
    var first = sidecar(pod, .tcp, at: time, life, host: host, port: port)
    first.cluster = isToSquid ? .squid : .passthrough
    first.dialled = isToSquid ? Endpoint(World.squid, 3128) : Endpoint(World.gateway(edge), 8080)
    first.upstream = first.dialled
    first.isNameless = true
    var requests: [Line] = []
    for number in 0..<count {
      let at = time + Int64(number) * (pause + 40) + 3
      let duration = Int64(random.within(1...40))
      var line =
        isToSquid
        ? atSquid(host, at: at, duration, pod)
        : gateway(
          edge, .http, at: at, duration, host: host, from: first.local, pod,
          local: connections.single(1_000 + edge, at: at, until: at + duration, &random))
      line.status = 200
      line.page = Int32(random.below(60))
      line.received = usualSize(host, random.below(3))
      if !isToSquid {
        line.id = newID()
        line.forwardedFor = World.pod(pod)
      }
      line.isKept = count > 1 || isToSquid
      first.sent += 120
      first.received += line.received + 200
      requests.append(line)
    }
    if isOpen { first.fate = .open }
    let place = log(first)
    for var line in requests {
      line.before = place
      log(line)
    }
  }

  /// A call to another pod: its client's line and its server's.
  mutating func service(_ pod: Int, _ time: Int64) {
    var server = random.below(150)
    if server == pod || isV6(pod) != isV6(server) { server = isV6(pod) ? 150 + (pod - 149) % 15 : (pod + 1) % 150 }
    let life = Int64(random.within(1...200))
    let port = connections.single(pod, at: time, until: time + life, &random)
    var first = sidecar(pod, .http, at: time, life, host: server, port: port)
    first.cluster = .service
    first.upstream = Endpoint(World.pod(server), 9080)
    first.dialled = first.upstream
    first.id = newID()
    first.page = Int32(random.below(60))
    first.status = 200
    first.received = Int64(random.within(1...50_000))
    let earlier = log(first)
    var second = first
    second.log = Int16(server)
    second.cluster = .inbound
    second.start = time + Int64(random.below(3))
    second.duration = max(life - 2, 0)
    second.client = first.local
    second.local = Endpoint(World.serverLoopback, 40_000 + UInt16(random.below(20_000)))
    second.before = earlier
    log(second)
  }

  /// A connection that was made up to six hours before it ends at `time`.
  private mutating func hours(until time: Int64) -> (start: Int64, life: Int64) {
    let life = Int64(random.within(60_000...6 * 3_600_000))
    return (time - life, life)
  }
}
