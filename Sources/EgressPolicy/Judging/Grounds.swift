public import Flows

/// What one verdict rests on, for a person who has to defend it: the entries of the policy behind the rule, the
/// exceptions that were considered and why each did or did not apply, and what would make the verdict another one.
public struct Grounds: Sendable, Equatable {
  /// An entry of the policy file.
  public struct Entry: Sendable, Equatable {
    /// `gateways`, `mesh.internal`, ...
    public var section: String
    public var name: String
    /// Line of the policy file.
    public var line: Int
  }

  public struct ConsideredException: Sendable, Equatable {
    public var label: String
    public var owner: String
    public var line: Int
    public var expiresMs: Int64?
    /// Why it does not apply, one sentence part each; empty when it does.
    public var misses: [String]
    public var applies: Bool { misses.isEmpty }
  }

  public internal(set) var verdict: RouteVerdict
  public internal(set) var ending: OutcomeVerdict
  /// Entries the rule rests on; empty where the line alone decides, or an assumption does.
  public internal(set) var entries: [Entry] = []
  /// What the imported topology says of the flow's addresses at its time.
  public internal(set) var topology: [String] = []
  /// Only for a bypass: nearest first, at most `maxExceptions`.
  public internal(set) var exceptions: [ConsideredException] = []
  /// Exceptions of the policy beyond those.
  public internal(set) var otherExceptions = 0
  /// What would change the verdict, one sentence each.
  public internal(set) var changes: [String] = []

  /// Exceptions that are named one by one: who has hundreds wants the nearest.
  public static let maxExceptions = 5
}

/// What is known of a proxy's client beyond the proxy's own line.
public enum ClientStanding: Sendable, Equatable {
  /// What the verdict says.
  case open
  /// The connection shows the hop before.
  case proven
  /// The client came around the hop that should stand before.
  case bypassed(BypassReason)
}

extension Judge {
  /// The grounds of the verdict on one flow; nil where the facts do not hold its source, destination or outcome.
  /// - Parameter atMs: the start of the flow, for entries that hold for a time only.
  public func grounds(
    source: Int64, destination: Int64, outcome: Int64, atMs: Int64, client: ClientStanding = .open
  ) -> Grounds? {
    GroundsFinder(self).grounds(
      source: source, destination: destination, outcome: outcome, atMs: atMs, client: client)
  }

  /// Finds the grounds of flow after flow: what is learned of all facts is learned once.
  public struct GroundsFinder {
    private let judge: Judge
    private let learned: Learned

    public init(_ judge: Judge) {
      self.judge = judge
      learned = Learned(judge)
    }

    /// As `Judge.grounds`.
    public func grounds(
      source: Int64, destination: Int64, outcome: Int64, atMs: Int64, client: ClientStanding = .open
    ) -> Grounds? {
      judge.grounds(
        source: source, destination: destination, outcome: outcome, atMs: atMs, client: client, learned)
    }
  }

  private func grounds(
    source: Int64, destination: Int64, outcome: Int64, atMs: Int64, client: ClientStanding, _ learned: Learned
  ) -> Grounds? {
    guard let sourceFact = sources.first(where: { $0.id == source }),
      let place = destinations.firstIndex(where: { $0.id == destination }),
      let outcomeFact = outcomes.first(where: { $0.id == outcome })
    else { return nil }
    let destination = wholeDestinations[place].destination
    let (policy, addresses) = (learned.index.policy, learned.addresses)
    var classifier = learned.classifier
    let rules = learned.rules(at: atMs)
    let from = learned.topology.traits(of: sourceFact, learned.index, addresses)
    let to = classifier.traits(of: destinations[place])
    let verdict = rules.verdict(from, to)
    var grounds = Grounds(
      verdict: verdict, ending: Ending.verdict(of: outcomeFact.outcome, in: verdict.context))
    guard let rule = Rule(rawValue: verdict.rule) else { return grounds }
    let lookup = EntryLookup(policy: policy, active: rules.active)
    grounds.entries = lookup.entries(behind: rule, from, to)
    let (logged, proxy) = (sourceFact.source.clientIP, sourceFact.source.proxy)
    if client == .bypassed(.clientHasNoSidecar), let address = addresses.parse(logged) {
      grounds.entries += lookup.withoutSidecar(learned.index.pods.entries(containing: address))
    }
    grounds.topology = statements(of: sourceFact.source, destination, atMs: atMs, learned)
    let isClaimed = if case .bypassed = client { true } else { false }
    if grounds.ending.left, verdict.bypass != nil || isClaimed {
      let naming: ExceptionCheck.Naming =
        isClaimed ? (proxy == .envoy ? .byRegistry : .byProxy) : .of(destination)
      let checks = policy.exceptions.map {
        ExceptionCheck(
          exception: $0, atMs: atMs, source: exceptionSource(sourceFact, learned),
          destination: destination, name: destination.loggedName,
          addresses: addresses, naming: naming
        ).considered
      }
      let nearest = checks.enumerated().sorted {
        ($0.element.misses.count, $0.offset) < ($1.element.misses.count, $1.offset)
      }
      grounds.exceptions = nearest.prefix(Grounds.maxExceptions).map(\.element)
      grounds.otherExceptions = max(0, checks.count - Grounds.maxExceptions)
    }
    grounds.changes =
      Remedies(
        rule: rule, verdict: verdict, ending: grounds.ending, source: sourceFact.source,
        destination: destination, client: client
      ).sentences
    return grounds
  }

  private func statements(
    of source: Source, _ destination: Destination, atMs: Int64, _ learned: Learned
  ) -> [String] {
    guard let history = learned.history else { return [] }
    var seen: Set<IPAddress> = []
    let client = source.clientIsForwarded ? nil : source.clientIP
    return [client, source.proxyIP, destination.upstream?.ip, destination.dialled?.ip].compactMap { text in
      guard let address = learned.addresses.parse(text), seen.insert(address).inserted else { return nil }
      return history.statement(of: address, atMs: atMs).map { "\(address) is \($0)" }
    }
  }

  /// The address that an exception's `source` is compared with.
  private func exceptionSource(_ fact: SourceFact, _ learned: Learned) -> IPAddress? {
    let source = fact.source
    let connected = source.clientIsForwarded ? nil : learned.addresses.parse(source.clientIP)
    return learned.sends(fact) ? learned.addresses.parse(source.proxyIP) ?? connected : connected
  }
}

/// Names the entries of the policy that a rule went by.
private struct EntryLookup {
  let policy: Policy
  let active: ActiveEntries

  func entries(behind rule: Rule, _ source: SourceTraits, _ destination: DestinationTraits) -> [Grounds.Entry] {
    let upstream: AddressEntries? =
      if case .address(let upstream) = destination.target { upstream.entries } else { nil }
    let hosts = destination.hosts
    switch rule {
    case .gatewayAddress: return gateways(upstream?.gateways)
    case .sniProxyAddress: return sniProxies(upstream?.sniProxies)
    case .forwardProxyAddress: return forwardProxies(upstream?.forwardProxies)
    case .gatewayHost: return gateways(hosts?.gateways)
    case .upstreamNotLogged: return gateways(hosts?.gateways)
    case .sniProxyHost: return sniProxies(hosts?.sniProxies)
    case .forwardProxyHost: return forwardProxies(hosts?.forwardProxies)
    case .meshDeclared: return internals(upstream?.internals) + pods(upstream?.pods)
    case .meshHost: return internals(hosts?.internals)
    case .ingress: return internals(upstream?.internals) + pods(upstream?.pods)
    case .gatewayLine: return gateways(source.own?.gateways)
    case .sniProxyLine: return sniProxies(source.own?.sniProxies)
    case .forwardProxyLine: return forwardProxies(source.own?.forwardProxies)
    default: return []
    }
  }

  private func internals(_ set: EntrySet?) -> [Grounds.Entry] {
    (set?.intersection(active.internals).members ?? []).map { number in
      let entry = policy.internal[number]
      return Grounds.Entry(
        section: "mesh.internal", name: entry.range.map { "\($0)" } ?? entry.host?.pattern ?? "", line: entry.line)
    }
  }

  private func pods(_ set: EntrySet?) -> [Grounds.Entry] {
    // Behind the policy's own pods stand those of the imported topology.
    (set?.intersection(active.pods).members ?? []).filter { policy.pods[$0].line > 0 }.map {
      Grounds.Entry(section: "pods", name: policy.pods[$0].name, line: policy.pods[$0].line)
    }
  }

  /// The pod of the policy that the client is, and that carries no sidecar.
  func withoutSidecar(_ set: EntrySet) -> [Grounds.Entry] {
    let spoken = set.intersection(active.pods).members.first {
      policy.pods[$0].line > 0 && policy.pods[$0].hasSidecar != nil
    }
    guard let spoken, policy.pods[spoken].hasSidecar == false else { return [] }
    return [
      Grounds.Entry(
        section: "pods", name: "\(policy.pods[spoken].name), sidecar: false", line: policy.pods[spoken].line)
    ]
  }

  private func gateways(_ set: EntrySet?) -> [Grounds.Entry] {
    proxies(set?.intersection(active.gateways), policy.gateways, "gateways")
  }

  private func sniProxies(_ set: EntrySet?) -> [Grounds.Entry] {
    proxies(set?.intersection(active.sniProxies), policy.sniProxies, "sni_proxies")
  }

  private func forwardProxies(_ set: EntrySet?) -> [Grounds.Entry] {
    proxies(set?.intersection(active.forwardProxies), policy.forwardProxies, "forward_proxies")
  }

  private func proxies(_ set: EntrySet?, _ list: [Policy.Proxy], _ section: String) -> [Grounds.Entry] {
    (set?.members ?? []).map { Grounds.Entry(section: section, name: list[$0].name, line: list[$0].line) }
  }
}

/// One exception held against one bypass, criterion by criterion.
private struct ExceptionCheck {
  let exception: Policy.Exception
  let atMs: Int64
  let source: IPAddress?
  let destination: Destination
  /// What the client called the destination.
  let name: String?
  let addresses: AddressReader
  let naming: Naming

  /// What an exception's host is compared with.
  enum Naming {
    /// Nothing that the mesh's configuration wrote: addresses decide.
    case undeclared
    /// The registry host of the cluster.
    case byRegistry
    /// The name that the proxy resolved itself.
    case byProxy

    static func of(_ destination: Destination) -> Naming {
      let kind = ClusterName(destination.cluster).kind
      return kind == .passthrough || kind == .none ? .undeclared : .byRegistry
    }
  }

  var considered: Grounds.ConsideredException {
    Grounds.ConsideredException(
      label: exception.label, owner: exception.owner, line: exception.line, expiresMs: exception.expiresMs,
      misses: time + addressAndHost + port + sender)
  }

  private var time: [String] {
    if atMs < exception.validity.fromMs { return ["it did not hold yet"] }
    return atMs >= exception.validity.untilMs ? ["it had ended by then"] : []
  }

  private var port: [String] {
    let dialled = naming == .byProxy ? nil : destination.upstream
    let port = dialled.map { $0.port != 0 ? $0.port : destination.port } ?? destination.port
    let shown = dialled != nil && destination.showsPort && destination.port != port ? destination.port : nil
    guard !exception.ports.isEmpty, !exception.ports.contains(port), !exception.ports.contains(shown ?? port) else {
      return []
    }
    let asked = exception.ports.map(String.init).joined(separator: ", ")
    return ["it is for port \(asked), not \(shown.map { "\($0) or " } ?? "")\(port)"]
  }

  private var sender: [String] {
    guard !exception.sources.isEmpty else { return [] }
    guard let source else { return ["it is for certain sources, and the line does not prove who sent this"] }
    return exception.sources.contains { $0.contains(source) } ? [] : ["its sources do not hold \(source)"]
  }

  private var addressAndHost: [String] {
    let cluster = ClusterName(destination.cluster)
    let isUndeclared = naming == .undeclared
    var misses: [String] = []
    if naming == .byRegistry, cluster.kind == .passthrough {
      misses.append("what a gateway sends on undeclared is allowed by none")
    }
    let upstream = addresses.parse(destination.upstream?.ip)
    if isUndeclared, exception.addresses.isEmpty {
      misses.append(
        "it names no addresses, and undeclared traffic is allowed by addresses only (a client writes host names)")
    } else if !exception.addresses.isEmpty {
      if let upstream {
        if !exception.addresses.contains(where: { $0.contains(upstream) }) {
          misses.append("its addresses do not hold \(upstream)")
        }
      } else {
        misses.append("it is for certain addresses, and the line logs none")
      }
    }
    guard !exception.hosts.isEmpty else { return misses }
    let host = naming == .byRegistry ? cluster.registryHost : name
    guard let host else {
      // Without a name the address is enough, for traffic that no registry declares.
      return isUndeclared ? misses : misses + ["it is for certain hosts, and the cluster names none"]
    }
    if !exception.hosts.contains(where: { $0.matches(host) }) { misses.append("its hosts do not match \(host)") }
    return misses
  }
}
