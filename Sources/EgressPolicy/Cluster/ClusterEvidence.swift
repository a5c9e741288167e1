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
  private(set) var assumptions: [String] = []
  private var byAddress: [IPAddress: EntrySet] = [:]

  /// No topology.
  init() {}

  /// - Parameters:
  ///   - addresses: those that lines name.
  ///   - clients: those of them that came to a gateway or a proxy: only there it matters who has no sidecar.
  ///   - span: from the first line to the last; nil when there are none.
  init(
    _ history: ClusterHistory, addresses: Set<IPAddress>, clients: Set<IPAddress>, policy: Policy,
    span: (fromMs: Int64, untilMs: Int64)?
  ) {
    guard let span, !history.objects.isEmpty else { return }
    let index = RangeIndex(policy.pods.map(\.addresses))
    var podGroups: [PodGroup: [AddressRange]] = [:]
    var facts: [Entry: [IPAddress]] = [:]
    var budget = MomentBudget(limit: ClusterEvidence.momentLimit)
    let ordered = addresses.sorted { ($0.high, $0.low) < ($1.high, $1.low) }
    // gateways first: which way traffic went hangs on them
    for address in ordered {
      for holder in history.holders[address] ?? [] {
        guard let gateway = history.gateways[holder.object] else { continue }
        let validity = Policy.Validity(holder, within: span)
        guard validity.touches(span) else { continue }
        if budget.take(validity) {
          facts[Entry(fact: .gateway(gateway), validity: validity), default: []].append(address)
        } else {
          facts[Entry(fact: .gatewayAtTimes, validity: Policy.Validity()), default: []].append(address)
        }
      }
    }
    var turns: [(address: IPAddress, validity: Policy.Validity)] = []
    for address in ordered {
      let declared = index.entries(containing: address)
      let spoken = policy.pods.indices.filter { declared.contains($0) && policy.pods[$0].hasSidecar != nil }
      if let holders = history.holders[address] {
        let proxies = Set(holders.map { history.objects[$0.object].proxy ?? .none })
        // Nobody knows of an address that is called outside as well, nor of one that no pod had while lines were written.
        let isInside =
          !history.contradicted.contains(address)
          && holders.contains { Policy.Validity($0, within: span).touches(span) }
        if isInside {
          podGroups[PodGroup(hasSidecar: proxies == [.sidecar] && spoken.isEmpty ? true : nil), default: []]
            .append(AddressRange(address, prefixLength: 128))
        }
        guard clients.contains(address) else { continue }
        for holder in holders where history.objects[holder.object].proxy == ClusterObject.Proxy.none {
          var parts = [Policy.Validity(holder, within: span)]
          for entry in spoken { parts = parts.flatMap { $0.without(policy.pods[entry].validity) } }
          for part in parts where part.touches(span) { turns.append((address, part)) }
        }
      } else if let gateway = history.gatewayServices[address] {
        facts[Entry(fact: .gateway(gateway), validity: Policy.Validity()), default: []].append(address)
      } else if history.services[address] == nil, history.nodes[address] != nil,
        // What one object calls outside is not known to stay on the node.
        !history.contradicted.contains(address)
      {
        facts[Entry(fact: .node, validity: Policy.Validity()), default: []].append(address)
      } else if history.services[address] != nil || history.workloadEntries.contains(address) {
        facts[Entry(fact: .inside, validity: Policy.Validity()), default: []].append(address)
      } else if history.outside.contains(address) {
        facts[Entry(fact: .outside, validity: Policy.Validity()), default: []].append(address)
      }
    }
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
    pods = podGroups.sorted { $0.key.order < $1.key.order }.map { group, ranges in
      Policy.Pod(name: "", addresses: ranges, hasSidecar: group.hasSidecar, validity: group.validity)
    }
    entries = facts.keys.sorted { $0.order < $1.order }
    for (number, entry) in entries.enumerated() {
      for address in facts[entry] ?? [] {
        byAddress[address, default: EntrySet(of: entries.count)].insert(number)
      }
    }
    gatewayHosts = history.gatewayHosts
    if dropped > 0 {
      assumptions = [
        "pods without a sidecar came and went more often than is told apart by time: of \(dropped) of them nothing is known"
      ]
    }
  }

  /// At all times that lines are from.
  func isGatewayThroughout(_ address: IPAddress) -> Bool {
    guard let set = byAddress[address] else { return false }
    return entries.indices.contains {
      set.contains($0) && entries[$0] == ClusterEvidence.Entry(fact: .gateway(.certain), validity: Policy.Validity())
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

  /// Pods with equal facts.
  private struct PodGroup: Hashable {
    var hasSidecar: Bool?
    var validity = Policy.Validity()

    var order: (Int64, Int64, Int) {
      (validity.fromMs, validity.untilMs, hasSidecar.map { $0 ? 2 : 1 } ?? 0)
    }
  }
}

extension ClusterEvidence.Entry {
  fileprivate var order: (Int64, Int64, Int) {
    let kind =
      switch fact {
      case .gateway(.certain): 0
      case .gateway(.guessed): 1
      case .gatewayAtTimes: 2
      case .inside: 3
      case .outside: 4
      case .node: 5
      }
    return (validity.fromMs, validity.untilMs, kind)
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
  fileprivate init(_ holder: ClusterHistory.Holder, within span: (fromMs: Int64, untilMs: Int64)) {
    self.init()
    fromMs = holder.fromMs <= span.fromMs ? .min : holder.fromMs
    untilMs = holder.untilMs > span.untilMs ? .max : holder.untilMs
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
