internal import Flows

/// What the imported topology adds to the policy: evidence about the addresses that lines name.
///
/// The policy wins where both speak, and no evidence makes a public IPv4 address part of the mesh. Pods go beside the
/// policy's own pods, all with equal facts in one entry. Time is kept only where it matters and lines lie on both sides:
/// for gateways, and for pods without a sidecar, whose address another pod may have had before. That an address lies in
/// the mesh holds for all lines where a pod had it while some of them were written.
struct ClusterEvidence: Sendable {
  /// Moments at which an entry about gateways, or one about pods without a sidecar, may begin or end. Each makes an
  /// interval, and verdicts are written for every pair of classes in every interval.
  static let momentLimit = 16

  enum Fact: Hashable, Sendable {
    case gateway(ClusterHistory.Gateway)
    /// A gateway at some of the times, which were too many to tell apart.
    case gatewayAtTimes
    /// A node at which a gateway with `hostNetwork` listens, among others.
    case gatewayNode
    /// A pod that is no gateway, of an address that a gateway's log was read for.
    case workload
    /// A Service, a machine with a WorkloadEntry: in the cluster, and no pod.
    case inside
    /// A node: whatever listens on it, or stands behind one of its ports.
    case node
    case outside
  }

  struct Entry: Hashable, Sendable {
    var fact: Fact
    var validity: Policy.Validity
  }

  private(set) var pods: [Policy.Pod] = []
  private(set) var entries: [Entry] = []
  private(set) var gatewayHosts: Set<String> = []
  /// Registry hosts of all other Services with pods behind them, where gateways share addresses with those.
  private(set) var otherHosts: Set<String> = []
  /// An egress gateway was there that had not gone before the first line, whether lines name it or not. Who says that it was not
  /// there before its first pod that is known? So it counts for all lines.
  private(set) var knownGateway: ClusterHistory.Gateway?
  private(set) var assumptions: [String] = []
  private var byAddress: [IPAddress: EntrySet] = [:]

  /// No topology.
  init() {}

  /// - Parameters:
  ///   - addresses: those that lines name.
  ///   - clients: those of them that came to a gateway or a proxy: only there it matters who has no sidecar.
  ///   - gateways: those of them of which a log was read with the role `gateway`.
  ///   - span: from the first line to the last; nil when there are none.
  init(
    _ history: ClusterHistory, addresses: Set<IPAddress>, clients: Set<IPAddress>, gateways: Set<IPAddress>,
    policy: Policy, span: (fromMs: Int64, untilMs: Int64)?
  ) {
    guard let span, !history.objects.isEmpty else { return }
    var gathering = EvidenceGathering(history, clients: clients, policy: policy, span: span)
    let ordered = addresses.sorted { ($0.high, $0.low) < ($1.high, $1.low) }
    // gateways first: which way traffic went hangs on them
    for address in ordered { gathering.addGateways(at: address, isOneByRole: gateways.contains(address)) }
    for address in ordered { gathering.add(address) }
    let dropped = gathering.closeTurns()
    pods = gathering.pods
    entries = gathering.facts.keys.sorted { $0.order < $1.order }
    for (number, entry) in entries.enumerated() {
      for address in gathering.facts[entry] ?? [] {
        byAddress[address, default: EntrySet(of: entries.count)].insert(number)
      }
    }
    gatewayHosts = history.gatewayHosts
    if !history.gatewayNodes.isEmpty { otherHosts = history.serviceHosts.subtracting(gatewayHosts) }
    knownGateway = [.certain, .guessed].first { gateway in
      history.gatewayLives[gateway]?.contains { $0.linesUntilMs > span.fromMs } ?? false
    }
    if knownGateway == .guessed, policy.gateways.isEmpty { assumptions.append(ClusterEvidence.guessedGateway) }
    if dropped > 0 {
      assumptions.append(
        "pods without a sidecar came and went more often than is told apart by time: of \(dropped) of them nothing is known"
      )
    }
  }

  static let guessedGateway =
    "a gateway of the imported topology is taken for an egress gateway by its name, or because nothing exposes it"

  /// At all times that lines are from.
  func isGatewayThroughout(_ address: IPAddress) -> Bool {
    guard let set = byAddress[address] else { return false }
    return entries.indices.contains {
      set.contains($0) && entries[$0] == ClusterEvidence.Entry(fact: .gateway(.certain), validity: Policy.Validity())
    }
  }

  /// At some time, or perhaps.
  func isGatewayAtAnyTime(_ address: IPAddress) -> Bool {
    guard let set = byAddress[address] else { return false }
    return entries.indices.contains { number in
      guard set.contains(number) else { return false }
      switch entries[number].fact {
      case .gateway, .gatewayAtTimes, .gatewayNode: return true
      case .workload, .inside, .outside, .node: return false
      }
    }
  }

  func entries(of address: IPAddress) -> EntrySet {
    byAddress[address] ?? EntrySet(of: entries.count)
  }

  var boundaries: [Policy.Validity] { entries.map(\.validity) }

  func active(at ms: Int64) -> EntrySet {
    var set = EntrySet(of: entries.count)
    for (number, entry) in entries.enumerated() where entry.validity.contains(ms) { set.insert(number) }
    return set
  }
}

extension ClusterEvidence.Entry {
  fileprivate var order: (Int64, Int64, Int) {
    let kind =
      switch fact {
      case .gateway(.certain): 0
      case .gateway(.guessed): 1
      case .gatewayAtTimes: 2
      case .workload: 3
      case .inside: 4
      case .outside: 5
      case .node: 6
      case .gatewayNode: 7
      }
    return (validity.fromMs, validity.untilMs, kind)
  }
}
