public import Flows

/// Says of every logged fact where the traffic went and how it ended, by the policy or, without one, by what the lines show.
///
/// A pure function of its input: the order of the facts does not matter, nothing is read, no clock is asked. Sources and
/// destinations are sorted into classes of equal traits, and the verdicts are computed for every pair of classes in every
/// interval in which no policy entry begins or ends; so the work grows with the variety of the logs, not with their length.
public struct Judge: Sendable {
  typealias SourceFact = (id: Int64, source: Source, logPath: String, declaredRole: Role?)

  /// What is asked of a destination, read off it once, in a third of its memory: a scan leaves hundreds of thousands of them.
  struct DestinationFact: Sendable {
    let id: Int64
    let cluster: ClusterName
    let upstream: IPAddress?
    let dialled: IPAddress?
    /// 0 where none is logged.
    let upstreamPort: UInt16
    let dialledPort: UInt16
    /// As `Destination.port`.
    let port: UInt16
    /// The same where it is the one that was dialled, or that of the cluster; else 0: the client wrote it (`Host: a.example:443`).
    let provenPort: UInt16
    let traffic: Destination.Traffic
    /// An address or a name.
    let hasUpstream: Bool
    let logsUpstream: Bool
    let isBlockAll: Bool
    let isRequestTarget: Bool
    /// As `Destination.isWorkloadsOutput`.
    let isWorkloadsOutput: Bool
    /// The name the client gave, where an exception may ask for it.
    let name: String?
    /// The proxy looked that name up itself, as far as its line shows.
    let isNameResolved: Bool
    var resolvedName: String? { isNameResolved ? name : nil }

    /// - Parameters:
    ///   - isNamed: whether there are exceptions.
    ///   - cluster: what `destination.cluster` says.
    init(id: Int64, destination: Destination, isNamed: Bool, cluster: ClusterName) {
      self.id = id
      self.cluster = cluster
      upstream = destination.upstream.flatMap { IPAddress($0.ip) }
      dialled = destination.dialled.flatMap { IPAddress($0.ip) }
      upstreamPort = destination.upstream?.port ?? 0
      dialledPort = destination.dialled?.port ?? 0
      port = destination.port
      provenPort = isNamed && destination.showsPort ? destination.port : 0
      traffic = destination.traffic
      hasUpstream = destination.upstream != nil || destination.upstreamName != nil
      logsUpstream = destination.logsUpstream
      isBlockAll = destination.routeName == "block_all"
      isRequestTarget = destination.hostOrigin == .target
      isWorkloadsOutput = destination.isWorkloadsOutput
      name = isNamed ? destination.loggedName : nil
      isNameResolved = destination.hostOrigin != .authority
    }
  }

  let policy: Policy?
  let sources: [SourceFact]
  let destinations: [DestinationFact]
  /// In the same order, whole: nobody but who explains a verdict asks for more than the facts.
  let wholeDestinations: [(id: Int64, destination: Destination)]
  let outcomes: [(id: Int64, outcome: Outcome)]
  let logs: [LogSpan]
  private let cluster: ClusterRecord?

  /// - Parameter topology: what was imported of the cluster: evidence beside the policy, and names for addresses.
  public init(
    policy: Policy?, sources: [(id: Int64, source: Source, logPath: String, declaredRole: Role?)],
    destinations: [(id: Int64, destination: Destination)], outcomes: [(id: Int64, outcome: Outcome)],
    logs: [LogSpan], topology: ClusterRecord? = nil
  ) {
    self.policy = policy
    // Sorted, so that class numbers do not depend on the order of the input; mostly they are, and there may be very many. (By
    // index: elements in a row would be copied, with all their texts.)
    let isSorted = sources.indices.dropFirst().allSatisfy { sources[$0 - 1].id < sources[$0].id }
    self.sources = isSorted ? sources : sources.sorted { $0.id < $1.id }
    let isInOrder = destinations.indices.dropFirst().allSatisfy { destinations[$0 - 1].id < destinations[$0].id }
    let whole = isInOrder ? destinations : destinations.sorted { $0.id < $1.id }
    wholeDestinations = whole
    let isNamed = !(policy?.exceptions.isEmpty ?? true)
    var cluster = ClusterName(whole.first?.destination.cluster)
    self.destinations = whole.indices.map { index in
      // Those of a cluster mostly stand side by side.
      if index > 0, whole[index].destination.cluster != whole[index - 1].destination.cluster {
        cluster = ClusterName(whole[index].destination.cluster)
      }
      return DestinationFact(
        id: whole[index].id, destination: whole[index].destination, isNamed: isNamed, cluster: cluster)
    }
    self.outcomes = outcomes.sorted { $0.id < $1.id }
    self.logs = logs
    self.cluster = topology.flatMap { $0.isEmpty ? nil : $0 }
  }

  /// What is learned from all facts before a single one is judged.
  struct Learned {
    let addresses = AddressReader()
    let index: PolicyIndex
    let names: ClusterNames
    let history: ClusterHistory?
    let topology: Topology
    let strangers: Strangers
    var classifier: DestinationClassifier

    init(_ judge: Judge) {
      history = judge.cluster.map { ClusterHistory($0, from: judge.logs.map(\.firstMs).min()) }
      let policy = judge.policy ?? Policy()
      index = PolicyIndex(policy, evidence: judge.evidence(of: history, beside: policy, addresses))
      names = ClusterNames(history, logs: judge.logs)
      // Mostly there is none, and then nothing is copied.
      let isAnyPrinted = judge.destinations.contains { $0.isWorkloadsOutput }
      let evidence = isAnyPrinted ? judge.destinations.filter { !$0.isWorkloadsOutput } : judge.destinations
      topology = Topology(
        index: index, addresses: addresses, sources: judge.sources, destinations: evidence,
        printed: isAnyPrinted ? judge.destinations.filter { $0.isWorkloadsOutput } : [], logs: judge.logs)
      strangers = Strangers(judge.destinations, index: index, topology: topology)
      classifier = DestinationClassifier(
        index: index, topology: topology, addresses: addresses, strangers: strangers.numbers,
        resolved: index.exceptions.byHostAlone.isEmpty
          ? ResolvedHosts()
          : ResolvedHosts(
            evidence, Senders(judge.sources, topology, index, names), topology, history),
        count: judge.destinations.count)
    }

    /// The lines are a sidecar's, of what its own pod sends.
    func sends(_ fact: SourceFact) -> Bool {
      let shape = topology.shape(of: fact, own: addresses.parse(fact.source.proxyIP), index)
      return [.outbound, .outboundForwarded].contains(shape)
    }

    func rules(at ms: Int64) -> RouteRules {
      RouteRules(
        index: index, topology: topology, strangers: strangers.sentences, active: ActiveEntries(index, at: ms))
    }
  }

  public func judgement() -> Judgement {
    var learned = Learned(self)
    let (index, addresses, topology, strangers) = (
      learned.index, learned.addresses, learned.topology, learned.strangers
    )
    let policy = index.policy
    var result = Judgement()
    result.policyHash = self.policy?.hash ?? ""
    result.intervals = intervals(index)
    var sourceClasses = ClassNumbers<SourceTraits>()
    for fact in sources {
      let number = sourceClasses.number(of: topology.traits(of: fact, index, addresses))
      result.sourceClasses.append((fact.id, number, name(of: fact, learned)))
    }
    result.destinationClasses.reserveCapacity(destinations.count)
    for fact in destinations { result.destinationClasses.append((fact.id, learned.classifier.number(of: fact))) }
    for interval in result.intervals {
      let rules = learned.rules(at: interval.fromMs)
      for (sourceClass, source) in sourceClasses.members.enumerated() {
        for (destinationClass, destination) in learned.classifier.classes.members.enumerated() {
          result.routes.append(
            Judgement.Route(
              interval: interval.id, sourceClass: sourceClass, destinationClass: destinationClass,
              verdict: rules.verdict(source, destination)))
        }
      }
    }
    for (id, outcome) in outcomes {
      for context in OutcomeContext.allCases {
        result.endings.append(
          Judgement.Ending(context: context, outcome: id, verdict: Ending.verdict(of: outcome, in: context)))
      }
    }
    result.assumptions = Array(topology.sentences.dropFirst()) + strangers.summary
    if topology.usesSharedGuess { result.assumptions.append("more addresses are taken for gateways or proxies") }
    result.assumptions += index.evidence.assumptions + policy.sweeping
    result.exceptions = policy.exceptions.map { ($0.label, $0.owner, $0.reason, $0.expiresMs) }
    return result
  }

  /// From the beginning of time to its end, cut wherever a policy entry begins or ends.
  private func intervals(_ index: PolicyIndex) -> [PolicyInterval] {
    let cuts = [Int64.min] + index.boundaries + [Int64.max]
    return zip(cuts, cuts.dropFirst()).enumerated().map { id, range in
      PolicyInterval(id: id, fromMs: range.0, untilMs: range.1)
    }
  }

  /// Evidence about the addresses that lines name.
  private func evidence(
    of history: ClusterHistory?, beside policy: Policy, _ addresses: AddressReader
  ) -> ClusterEvidence {
    guard let history else { return ClusterEvidence() }
    var seen: Set<IPAddress> = []
    var clients: Set<IPAddress> = []
    var gateways: Set<IPAddress> = []
    for fact in sources {
      let sends = [.outbound, .outboundForwarded].contains(fact.source.effectiveShape)
      if !sends, !fact.source.clientIsForwarded, let client = addresses.parse(fact.source.clientIP) {
        clients.insert(client)
      }
      if fact.declaredRole == .gateway, let own = addresses.parse(fact.source.proxyIP) { gateways.insert(own) }
      for text in [fact.source.clientIP, fact.source.proxyIP] {
        if let address = addresses.parse(text) { seen.insert(address) }
      }
    }
    for fact in destinations {
      for address in [fact.upstream, fact.dialled] { if let address { seen.insert(address) } }
    }
    let span = logs.map(\.firstMs).min().flatMap { first in logs.map(\.lastMs).max().map { (first, $0) } }
    return ClusterEvidence(
      history, addresses: seen, clients: clients, gateways: gateways, policy: policy, span: span)
  }

  /// The name that the policy's `pods` give the address, at whatever time, or else the topology.
  private func name(of fact: SourceFact, _ learned: Learned) -> String? {
    let (source, index) = (fact.source, learned.index)
    let sends = learned.sends(fact)
    let text = sends ? source.proxyIP ?? source.clientIP : source.clientIsForwarded ? nil : source.clientIP
    let address = learned.addresses.parse(text)
    if let address, let entry = index.pods.entries(containing: address).intersection(index.declaredPods).first {
      return index.policy.pods[entry].name
    }
    return learned.names.name(of: address, writtenBy: sends ? source : nil, log: source.log)
  }
}

/// Numbers values in the order in which they are first met.
struct ClassNumbers<Traits: Hashable> {
  private var numbers: [Traits: Int] = [:]
  private(set) var members: [Traits] = []

  mutating func number(of traits: Traits) -> Int {
    if let number = numbers[traits] { return number }
    numbers[traits] = members.count
    members.append(traits)
    return members.count - 1
  }
}

/// Private destinations of which neither the policy nor any line says whether they are the mesh.
struct Strangers: Sendable {
  /// Addresses that get a sentence, and with it a class, of their own.
  static let named = 32
  static let shared = "a private address is neither in the policy nor the author or receiver of mesh lines"

  private(set) var numbers: [IPAddress: Int] = [:]
  private(set) var sentences: [String] = []
  private(set) var summary: [String] = []

  init(_ facts: [Judge.DestinationFact], index: PolicyIndex, topology: Topology) {
    var strangers: Set<IPAddress> = []
    let guessed = Set(topology.guessedForwardProxies.keys.map(\.address)).union(topology.guessedGateways.keys)
      .union(topology.guessedSNIProxies.keys).union(topology.declaredGateways)
    for fact in facts {
      guard let address = fact.upstream,
        [.linkLocal, .privateUse, .sharedSpace, .reserved, .special].contains(AddressKind(address)),
        !strangers.contains(address), !topology.meshAddresses.contains(address), !guessed.contains(address),
        [.outbound, .passthrough, .custom, .none].contains(fact.cluster.kind)
      else { continue }
      let entries = topology.entries(of: address, index)
      guard entries.internals.isEmpty, entries.pods.isEmpty, entries.gateways.isEmpty, entries.sniProxies.isEmpty,
        entries.forwardProxies.isEmpty, entries.cluster.isEmpty
      else { continue }
      strangers.insert(address)
    }
    let ordered = strangers.sorted { ($0.high, $0.low) < ($1.high, $1.low) }
    for address in ordered.prefix(Strangers.named) {
      numbers[address] = sentences.count
      sentences.append(
        "\(address) is a private address, neither in the policy nor the author or receiver of mesh lines")
    }
    guard !ordered.isEmpty else { return }
    let more = ordered.count > Strangers.named ? " and \(ordered.count - Strangers.named) more" : ""
    summary = [
      "where sidecars sent to these private addresses the path is unknown, because neither the policy nor any mesh line "
        + "knows them: \(ordered.prefix(Strangers.named).map(\.description).joined(separator: ", "))\(more)"
    ]
  }
}
