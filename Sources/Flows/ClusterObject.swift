// What a cluster said of itself in snapshots of its objects: names for addresses, gateways, and who carries a sidecar.

/// One object of a Kubernetes cluster, with the few things that matter to a verdict.
///
/// Objects with equal facts are one object, in however many snapshots they stand; a pod that changes (it gets its
/// address, it ends) is several.
public struct ClusterObject: Hashable, Sendable {
  public enum Kind: String, Sendable, CaseIterable {
    case pod
    case service
    /// Endpoints or an EndpointSlice: of a Service, the addresses behind it that are no pods.
    case endpoints
    case node
    case namespace
    case serviceEntry = "service-entry"
    case workloadEntry = "workload-entry"
    /// Istio's Gateway: a selector for gateway pods.
    case gateway
    /// The Gateway API's Gateway: has pods of its own.
    case gatewayAPI = "gateway-api"
    case sidecar
    case networkPolicy = "network-policy"
    case meshConfig = "mesh-config"
    case destinationRule = "destination-rule"
    /// Istio's Telemetry, as far as it is about access logs.
    case telemetry

    public var isNamespaced: Bool { self != .node && self != .namespace }
  }

  /// Which part of the mesh a pod's `istio-proxy` container plays.
  public enum Proxy: String, Sendable, CaseIterable {
    case sidecar
    /// A gateway.
    case router
    case waypoint
    /// No container: ztunnel on the node carries the pod's traffic.
    case ambient
    case none
  }

  public var kind: Kind
  /// Empty for objects of the cluster as a whole.
  public var namespace: String
  public var name: String
  /// A pod's Deployment, StatefulSet, DaemonSet, CronJob, ...: the name that outlives it.
  public var workload: String?
  public var node: String?
  public var isHostNetwork = false
  public var proxy: Proxy?
  /// Canonical texts: a pod's, a Service's cluster addresses, a node's, those of a ServiceEntry's endpoints. A ServiceEntry may
  /// have ranges, too.
  public var addresses: [String] = []
  /// Registry hosts: of a Service its full name, of a ServiceEntry its hosts.
  public var hosts: [String] = []
  /// A selector; of a gateway's pod its labels.
  public var labels: [String: String] = [:]
  /// Machine words, some with a value: `type=ClusterIP`, `location=MESH_EXTERNAL`, `outbound-traffic-policy=ALLOW_ANY`,
  /// `end-unknown`.
  public var traits: [String] = []
  /// How a pod stays out of the mesh's interception: `inject-false`, `host-network`, `exclude-outbound-ip-ranges=...`.
  public var optOuts: [String] = []
  public var startedMs: Int64?
  /// Of a pod that is over, unless `traits` says that nobody knows when that was.
  public var endedMs: Int64?

  /// With a value, a trait of a ServiceEntry: what stands among its addresses and is none.
  public static let unreadAddress = "unread-address"

  /// A trait of a pod that is over since some moment before the look that shows it so.
  public static let endUnknown = "end-unknown"

  public init(kind: Kind, namespace: String, name: String) {
    self.kind = kind
    self.namespace = namespace
    self.name = name
  }

  /// The value of `WORD=value` among the traits.
  public func trait(_ word: String) -> String? {
    traits.first { $0.hasPrefix(word + "=") }.map { String($0.dropFirst(word.count + 1)) }
  }
}

/// One dump of a cluster's objects, at one moment.
public struct ClusterSnapshot: Sendable {
  public var atMs: Int64
  /// Where the moment is from, for people: `--at`, `the newest time in it`, `the file's time`.
  public var timeFrom: String
  public var file: String
  public var objects: [ClusterObject]
  /// Objects by the kind as written, those that are not used too; where two API groups have the kind, with the group.
  public var kinds: [String: Int]
  /// What the snapshot speaks of: who is of that kind and in that place, and not in it, was gone.
  public var scopes: Set<ClusterScope>

  /// - Parameter scopes: nil where all objects are of one list.
  public init(
    atMs: Int64, timeFrom: String, file: String, objects: [ClusterObject], kinds: [String: Int],
    scopes: Set<ClusterScope>? = nil
  ) {
    self.scopes = scopes ?? ClusterScope.all(of: objects)
    self.atMs = atMs
    self.timeFrom = timeFrom
    self.file = file
    self.objects = objects
    self.kinds = kinds
  }

}

/// A kind of objects in one namespace, or in all of them.
public struct ClusterScope: Hashable, Sendable {
  public var kind: ClusterObject.Kind
  /// nil: in all.
  public var namespace: String?

  public init(kind: ClusterObject.Kind, namespace: String?) {
    self.kind = kind
    self.namespace = namespace
  }

  /// What a list of objects speaks of. One of one namespace alone says nothing of the others.
  public static func all(of objects: some Sequence<ClusterObject>) -> Set<ClusterScope> {
    let namespaces = Set(objects.lazy.filter { $0.kind.isNamespaced }.map(\.namespace))
    let only = namespaces.count == 1 ? namespaces.first : nil
    return Set(objects.lazy.map { ClusterScope(kind: $0.kind, namespace: $0.kind.isNamespaced ? only : nil) })
  }
}

/// All snapshots of a store, put together.
public struct ClusterRecord: Sendable {
  /// An object stood in every snapshot that speaks of it, from the first of these moments to the last.
  public struct Sighting: Hashable, Sendable {
    public var object: Int
    public var firstMs: Int64
    public var lastMs: Int64

    public init(object: Int, firstMs: Int64, lastMs: Int64) {
      self.object = object
      self.firstMs = firstMs
      self.lastMs = lastMs
    }
  }

  public var objects: [ClusterObject] = []
  public var sightings: [Sighting] = []
  /// The moments of the snapshots that speak of a scope, in order.
  public var moments: [ClusterScope: [Int64]] = [:]

  public init() {}

  public var isEmpty: Bool { objects.isEmpty }

  /// The first snapshot after a moment that would hold an object, if it were still there.
  public func momentAfter(_ ms: Int64, kind: ClusterObject.Kind, namespace: String) -> Int64? {
    let scopes = [ClusterScope(kind: kind, namespace: nil), ClusterScope(kind: kind, namespace: namespace)]
    return scopes.compactMap { scope in moments[scope].flatMap { first(in: $0, after: ms) } }.min()
  }

  /// By bisection, since every pod asks.
  private func first(in moments: [Int64], after ms: Int64) -> Int64? {
    var (low, high) = (0, moments.count)
    while low < high {
      let middle = (low + high) / 2
      if moments[middle] > ms { high = middle } else { low = middle + 1 }
    }
    return low < moments.count ? moments[low] : nil
  }
}
