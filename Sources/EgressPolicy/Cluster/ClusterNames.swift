internal import Flows

/// Names for addresses, by the time of the log that holds the lines: `namespace/workload`, or `node/NAME`.
///
/// A source of lines has one name. Where its address was of several workloads while its log was written, the name is that of
/// all of them, the latest one first: `shop/web or batch/job`. One alone would be blamed for what another did. Several pods
/// of one workload are one. A log that says which pod wrote it needs no address.
struct ClusterNames {
  static let or = " or "
  /// Workloads that are named; the others are counted.
  static let named = 3

  private let history: ClusterHistory?
  private let spans: [Int64: LogSpan]

  init(_ history: ClusterHistory?, logs: [LogSpan]) {
    self.history = history
    spans = Dictionary(logs.map { ($0.log, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The namespace of all who had the address while the log was written; nil where they are of several, or nobody knows them.
  func namespace(of address: IPAddress, log: Int64) -> String? {
    guard let history, let span = spans[log] else { return nil }
    let namespaces = Set(
      history.holders(of: address, from: span.firstMs, until: span.lastMs).map { history.objects[$0.object].namespace })
    return namespaces.count == 1 ? namespaces.first : nil
  }

  /// - Parameter source: whose own pod the name is for; nil when it is for a client.
  func name(of address: IPAddress?, writtenBy source: Source?, log: Int64) -> String? {
    guard let history else { return nil }
    if let pod = source?.pod, let namespace = source?.namespace, let name = history.workloads["\(namespace)/\(pod)"] {
      return name
    }
    guard let address, let span = spans[log] else { return nil }
    let holders = history.holders(of: address, from: span.firstMs, until: span.lastMs)
    guard !holders.isEmpty else { return history.nodes[address].map { "node/\($0)" } }
    var names: [String] = []
    for holder in holders.reversed() {
      let name = ClusterHistory.name(of: history.objects[holder.object])
      if !names.contains(name) { names.append(name) }
    }
    guard names.count > ClusterNames.named else { return names.joined(separator: ClusterNames.or) }
    let others = "\(names.count - ClusterNames.named) others"
    return (names.prefix(ClusterNames.named) + [others]).joined(separator: ClusterNames.or)
  }
}
