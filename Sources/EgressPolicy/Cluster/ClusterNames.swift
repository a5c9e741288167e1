internal import Flows

/// Names for addresses, by the time of the log that holds the lines: `namespace/workload`, or `node/NAME`.
///
/// A source of lines has one name. Where its address was of several workloads while its log was written, the latest one
/// stands for all of them and `(ambiguous)` says so; several pods of one workload are no ambiguity. A log that says
/// which pod wrote it needs no address.
struct ClusterNames {
  static let ambiguous = " (ambiguous)"

  private let history: ClusterHistory?
  private let spans: [Int64: LogSpan]

  init(_ history: ClusterHistory?, logs: [LogSpan]) {
    self.history = history
    spans = Dictionary(logs.map { ($0.log, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// - Parameter source: whose own pod the name is for; nil when it is for a client.
  func name(of address: IPAddress?, writtenBy source: Source?, log: Int64) -> String? {
    guard let history else { return nil }
    if let pod = source?.pod, let namespace = source?.namespace, let name = history.workloads["\(namespace)/\(pod)"] {
      return name
    }
    guard let address, let span = spans[log] else { return nil }
    let holders = history.holders(of: address, from: span.firstMs, until: span.lastMs)
    guard let last = holders.last else { return history.nodes[address].map { "node/\($0)" } }
    let names = Set(holders.map { ClusterHistory.name(of: history.objects[$0.object]) })
    let name = ClusterHistory.name(of: history.objects[last.object])
    return names.count == 1 ? name : name + ClusterNames.ambiguous
  }
}
