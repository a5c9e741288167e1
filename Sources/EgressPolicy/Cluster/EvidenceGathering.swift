internal import Flows

/// Sorts the addresses that lines name by what an imported topology knows of them.
struct EvidenceGathering {
  private let history: ClusterHistory
  private let clients: Set<IPAddress>
  private let policyPods: [Policy.Pod]
  private let policyIndex: RangeIndex
  private let span: (fromMs: Int64, untilMs: Int64)

  private(set) var facts: [ClusterEvidence.Entry: [IPAddress]] = [:]
  private var podGroups: [PodGroup: [AddressRange]] = [:]
  /// When an address was that of a pod without a sidecar.
  private var turns: [(address: IPAddress, validity: Policy.Validity)] = []
  private var budget = MomentBudget(limit: ClusterEvidence.momentLimit)

  init(
    _ history: ClusterHistory, clients: Set<IPAddress>, policy: Policy, span: (fromMs: Int64, untilMs: Int64)
  ) {
    self.history = history
    self.clients = clients
    policyPods = policy.pods
    policyIndex = RangeIndex(policy.pods.map(\.addresses))
    self.span = span
  }

  private mutating func note(
    _ fact: ClusterEvidence.Fact, _ validity: Policy.Validity = Policy.Validity(), of address: IPAddress
  ) {
    facts[ClusterEvidence.Entry(fact: fact, validity: validity), default: []].append(address)
  }

  /// - Parameter isOneByRole: somebody said so of its log, which may have been that of the pod before or after.
  mutating func addGateways(at address: IPAddress, isOneByRole: Bool) {
    for holder in history.holders[address] ?? [] {
      let validity = Policy.Validity(holder.span, within: span)
      guard validity.touches(span) else { continue }
      guard let gateway = history.gateways[holder.object] else {
        let proxy = history.objects[holder.object].proxy ?? .none
        guard isOneByRole, proxy == .none || proxy == .sidecar else { continue }
        note(.workload, budget.take(validity) ? validity : Policy.Validity(), of: address)
        continue
      }
      if budget.take(validity) {
        note(.gateway(gateway), validity, of: address)
      } else {
        note(.gatewayAtTimes, of: address)
      }
    }
    for life in history.gatewayNodes[address] ?? [] {
      let validity = Policy.Validity(life, within: span)
      guard validity.touches(span) else { continue }
      note(.gatewayNode, budget.take(validity) ? validity : Policy.Validity(), of: address)
    }
  }

  /// All else that is known of it.
  mutating func add(_ address: IPAddress) {
    if let holders = history.holders[address] {
      addPods(holders, at: address)
    } else if let gateway = history.gatewayServices[address] {
      note(.gateway(gateway), of: address)
    } else if history.services[address] == nil, history.nodes[address] != nil,
      // What one object calls outside is not known to stay on the node.
      !history.contradicted.contains(address)
    {
      note(.node, of: address)
    } else if history.services[address] != nil || history.workloadEntries.contains(address) {
      note(.inside, of: address)
    } else if history.isOutside(address) {
      note(.outside, of: address)
    }
  }

  private mutating func addPods(_ holders: [PodLives.Hold], at address: IPAddress) {
    let declared = policyIndex.entries(containing: address)
    let spoken = policyPods.indices.filter { declared.contains($0) && policyPods[$0].hasSidecar != nil }
    let proxies = Set(holders.map { history.objects[$0.object].proxy ?? .none })
    // Nobody knows of an address that is called outside as well, nor of one that no pod had while lines were written.
    let isInside =
      !history.contradicted.contains(address)
      && holders.contains { Policy.Validity($0.span, within: span).touches(span) }
    if isInside {
      let group = PodGroup(hasSidecar: proxies == [.sidecar] && spoken.isEmpty ? true : nil)
      podGroups[group, default: []].append(AddressRange(address, prefixLength: 128))
    }
    guard clients.contains(address) else { return }
    for holder in holders where history.objects[holder.object].proxy == ClusterObject.Proxy.none {
      var parts = [Policy.Validity(holder.span, within: span)]
      for entry in spoken { parts = parts.flatMap { $0.without(policyPods[entry].validity) } }
      for part in parts where part.touches(span) { turns.append((address, part)) }
    }
  }

  /// Adds the pods without a sidecar, once all addresses are there.
  ///
  /// - Returns: how many turns are too short to be told apart.
  mutating func closeTurns() -> Int {
    let grid = MomentGrid(turns.map(\.validity), limit: ClusterEvidence.momentLimit)
    var dropped = 0
    for turn in turns {
      guard let validity = grid.inside(turn.validity) else {
        dropped += 1
        continue
      }
      podGroups[PodGroup(hasSidecar: false, validity: validity), default: []]
        .append(AddressRange(turn.address, prefixLength: 128))
    }
    turns = []
    return dropped
  }

  var pods: [Policy.Pod] {
    podGroups.sorted { $0.key.order < $1.key.order }.map { group, ranges in
      Policy.Pod(name: "", addresses: ranges, hasSidecar: group.hasSidecar, validity: group.validity)
    }
  }

  /// Pods with equal facts.
  private struct PodGroup: Hashable {
    var hasSidecar: Bool?
    var validity = Policy.Validity()

    var order: (Int64, Int64, Int) {
      (validity.fromMs, validity.untilMs, hasSidecar.map { $0 ? 2 : 1 } ?? 0)
    }
  }
}

/// Counts the moments that entries begin and end at.
private struct MomentBudget {
  let limit: Int
  private var moments: Set<Int64> = []

  init(limit: Int) { self.limit = limit }

  mutating func take(_ validity: Policy.Validity) -> Bool {
    let new = [validity.fromMs, validity.untilMs].filter { $0 != .min && $0 != .max && !moments.contains($0) }
    guard moments.count + new.count <= limit else { return false }
    moments.formUnion(new)
    return true
  }
}

/// The moments that validities may be cut to, so that they are few: every one, or every so-manieth.
private struct MomentGrid {
  private let moments: [Int64]

  init(_ validities: [Policy.Validity], limit: Int) {
    let all = Set(validities.flatMap { [$0.fromMs, $0.untilMs] }).subtracting([.min, .max]).sorted()
    moments = all.count <= limit ? all : (0..<limit).map { all[$0 * (all.count - 1) / (limit - 1)] }
  }

  /// What of it lies between two moments of the grid: less than the truth, never more; nil where nothing does.
  func inside(_ validity: Policy.Validity) -> Policy.Validity? {
    var result = validity
    if validity.fromMs != .min {
      guard let from = moments.first(where: { $0 >= validity.fromMs }) else { return nil }
      result.fromMs = from
    }
    if validity.untilMs != .max {
      guard let until = moments.last(where: { $0 <= validity.untilMs }) else { return nil }
      result.untilMs = until
    }
    return result.fromMs < result.untilMs ? result : nil
  }
}

extension Policy.Validity {
  /// Ends that no line lies beyond are left open, so that they cut no interval.
  fileprivate init(_ own: PodLives.Span, within span: (fromMs: Int64, untilMs: Int64)) {
    self.init()
    fromMs = own.fromMs <= span.fromMs ? .min : own.fromMs
    untilMs = own.untilMs > span.untilMs ? .max : own.untilMs
  }

  fileprivate func without(_ other: Policy.Validity) -> [Policy.Validity] {
    guard fromMs < other.untilMs, other.fromMs < untilMs else { return [self] }
    var parts: [Policy.Validity] = []
    if fromMs < other.fromMs {
      var before = self
      before.untilMs = other.fromMs
      parts.append(before)
    }
    if other.untilMs < untilMs {
      var after = self
      after.fromMs = other.untilMs
      parts.append(after)
    }
    return parts
  }

  fileprivate func touches(_ span: (fromMs: Int64, untilMs: Int64)) -> Bool {
    fromMs <= span.untilMs && untilMs > span.fromMs
  }
}
