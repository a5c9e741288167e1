import EgressPolicy
import Flows
import Testing

/// A judge's input in the making: lines added one by one, as a parser would see them, each with its verdict.
final class Facts {
  typealias SourceFact = (id: Int64, source: Source, logPath: String, declaredRole: Role?)

  var policy: Policy?
  private(set) var sources: [SourceFact] = []
  private(set) var destinations: [(id: Int64, destination: Destination)] = []
  private(set) var outcomes: [(id: Int64, outcome: Outcome)] = []
  private(set) var lines: [(source: Int64, destination: Int64, outcome: Int64)] = []
  var logs: [LogSpan] = []
  var topology: ClusterRecord?

  init(policy: String? = nil) {
    self.policy = policy.map { try! Policy.load(yaml: $0, file: "policy.yaml") }
  }

  /// Adds a line and returns its number.
  @discardableResult
  func add(
    _ source: Source, _ destination: Destination, _ outcome: Outcome = Outcome(status: 200), role: Role? = nil
  ) -> Int {
    let id = Int64(lines.count + 1)
    sources.append((id, source, "\(source.log).log", role))
    destinations.append((id, destination))
    outcomes.append((id, outcome))
    lines.append((id, id, id))
    return lines.count - 1
  }

  func judgement(shuffledBy seed: UInt64? = nil) -> Judgement {
    var (sources, destinations, outcomes, logs) = (sources, destinations, outcomes, logs)
    if let seed {
      var generator = SplitMix(state: seed)
      sources.shuffle(using: &generator)
      destinations.shuffle(using: &generator)
      outcomes.shuffle(using: &generator)
      logs.shuffle(using: &generator)
    }
    return Judge(
      policy: policy, sources: sources, destinations: destinations, outcomes: outcomes, logs: logs, topology: topology
    ).judgement()
  }

  /// The verdict on one line at a moment.
  func verdict(_ line: Int, atMs ms: Int64 = 0, in judgement: Judgement? = nil) -> (
    route: RouteVerdict, ending: OutcomeVerdict
  ) {
    let judgement = judgement ?? self.judgement()
    let (source, destination, outcome) = lines[line]
    let interval = judgement.intervals.first { $0.fromMs <= ms && ms < $0.untilMs }!.id
    let sourceClass = judgement.sourceClasses.first { $0.source == source }!.class
    let destinationClass = judgement.destinationClasses.first { $0.destination == destination }!.class
    let route = judgement.routes.first {
      $0.interval == interval && $0.sourceClass == sourceClass && $0.destinationClass == destinationClass
    }!.verdict
    let ending = judgement.endings.first { $0.context == route.context && $0.outcome == outcome }!.verdict
    return (route, ending)
  }

  func route(_ line: Int, atMs ms: Int64 = 0) -> RouteVerdict { verdict(line, atMs: ms).route }
}

struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

// MARK: - Lines

func sidecar(_ pod: String = "10.80.3.11", log: Int64 = 1, forwarded: String? = nil) -> Source {
  Source(
    log: log, proxy: .envoy, shape: forwarded == nil ? .outbound : .outboundForwarded, clientIP: forwarded ?? pod,
    clientIsForwarded: forwarded != nil, proxyIP: pod)
}

func gateway(_ own: String = "10.80.3.232", client: String? = "10.80.3.11", log: Int64 = 2, loopback: Bool = false)
  -> Source
{
  Source(
    log: log, proxy: .envoy, shape: loopback ? .gatewayToLoopback : .gateway, clientIP: client, proxyIP: own)
}

func unsent(client: String, log: Int64 = 1) -> Source {
  Source(log: log, proxy: .envoy, shape: .notSent, clientIP: client)
}

func inbound(_ own: String, client: String, log: Int64 = 1, peer: String? = nil) -> Source {
  Source(log: log, proxy: .envoy, shape: .inbound, clientIP: client, proxyIP: own, peer: peer)
}

func squid(client: String, log: Int64 = 4) -> Source {
  Source(log: log, proxy: .squid, shape: .server, clientIP: client)
}
func nginx(client: String, log: Int64 = 3) -> Source {
  Source(log: log, proxy: .nginxStream, shape: .server, clientIP: client)
}

/// `ip:port` of IPv4.
func endpoint(_ text: String) -> Endpoint {
  let parts = text.split(separator: ":")
  return Endpoint(ip: String(parts[0]), port: UInt16(parts[1])!)
}

func to(
  _ upstream: String?, cluster: String? = nil, host: String? = nil, origin: Destination.HostOrigin? = .authority,
  dialled: String? = nil, route: String? = nil, sni: String? = nil, traffic: Destination.Traffic = .http
) -> Destination {
  Destination(
    host: host, hostOrigin: host == nil ? nil : origin, port: upstream.map { endpoint($0).port } ?? 0, traffic: traffic,
    authority: origin == .authority ? host : nil, sni: sni ?? (origin == .sni ? host : nil), cluster: cluster,
    routeName: route, upstream: upstream.map(endpoint), dialled: (dialled ?? upstream).map(endpoint))
}

func policy(_ text: String) throws -> Policy { try Policy.load(yaml: text, file: "policy.yaml") }
