public import Flows

/// What `kubectl get ... -A -o json` wrote: a List, single objects, or several of them one after the other.
///
///     kubectl get pods,services,nodes,namespaces,networkpolicies.networking.k8s.io,gateways.networking.istio.io -A -o json
///
/// Any subset will do. With their groups, for a short name goes to whichever group kubectl finds first, and `gateways` may be those
/// of the Gateway API alone. Kinds that say nothing about addresses are counted and left aside. Field names are those of the
/// Kubernetes API (core/v1, discovery/v1), of Istio's networking API and of the Gateway API.
public struct ClusterDump: Sendable {
  public private(set) var objects: [ClusterObject] = []
  /// What its lists speak of, each for itself: several of one namespace each say nothing of all others.
  public private(set) var scopes: Set<ClusterScope> = []
  /// By the kind as written, with its group where two have it.
  public private(set) var kinds: [String: Int] = [:]
  /// The newest moment that the cluster wrote into any object; later ones than the reader's own present are not believed.
  public private(set) var newestMs: Int64?

  private let notAfterMs: Int64
  /// Where a list says that it goes on in another page, which is yet to come.
  private var openPages: [List: JSONReader.Problem] = [:]

  /// All pages of one list are of one version.
  private struct List: Hashable {
    var kind: String
    var version = ""
  }

  /// - Parameter notAfterMs: the present; clocks of clusters may be wrong.
  public init(_ bytes: [UInt8], file: String, notAfterMs: Int64) throws(ClusterDumpError) {
    self.notAfterMs = notAfterMs
    var single: [ClusterObject] = []
    var reader = JSONReader(bytes)
    do throws(JSONReader.Problem) {
      if reader.isAtEnd() { throw reader.problem("the file is empty") }
      repeat {
        let before = objects.count
        if try !read(&reader, of: nil) { single += objects[before...] }
      } while !reader.isAtEnd()
      // Who stands in the pages that are missing would count as gone.
      if let open = openPages.min(by: { $0.value.line < $1.value.line }) { throw open.value }
      // One object alone, as `kubectl get pod NAME` writes it, is no look at the others of its kind.
      let counts = Dictionary(single.map { ($0.kind, 1) }, uniquingKeysWith: +)
      scopes.formUnion(ClusterScope.all(of: single).filter { counts[$0.kind, default: 0] > 1 })
    } catch {
      throw ClusterDumpError(file: file, line: error.line, path: error.path, message: error.message)
    }
  }

  /// Where the parts of one object begin. Their order in the file is nobody's promise, and the kind decides how the rest
  /// is read.
  private struct Outline {
    var kind: String?
    var apiVersion = ""
    var places: [String: Int] = [:]
  }

  /// - Parameter list: what holds the object, where that says of which kind its members are.
  /// - Returns: whether it was a list.
  @discardableResult
  private mutating func read(_ reader: inout JSONReader, of list: Outline?) throws(JSONReader.Problem) -> Bool {
    guard try reader.kind() == .object else {
      throw reader.problem("an object of Kubernetes is expected here; write the file with: kubectl get ... -o json")
    }
    var outline = Outline(kind: list?.kind, apiVersion: list?.apiVersion ?? "")
    try reader.members { reader, name throws(JSONReader.Problem) in
      switch name {
      case "kind": outline.kind = try reader.text()
      case "apiVersion": outline.apiVersion = try reader.text()
      default:
        outline.places[name] = reader.position
        try reader.skip()
      }
    }
    guard let kind = outline.kind, !kind.isEmpty else {
      throw reader.problem("this object has no kind; write the file with: kubectl get ... -o json")
    }
    if kind.hasSuffix("List"), let items = outline.places["items"] {
      // the members of a PodList do not repeat that they are pods
      let member =
        kind == "List"
        ? nil : Outline(kind: String(kind.dropLast("List".count)), apiVersion: outline.apiVersion)
      var list = reader.at(items, member: "items")
      let before = objects.count
      var isEmpty = true
      try list.elements { reader throws(JSONReader.Problem) in
        isEmpty = false
        try self.read(&reader, of: member)
      }
      scopes.formUnion(ClusterScope.all(of: objects[before...]))
      if isEmpty, let member, let scope = ClusterDump.scope(ofNo: member) { scopes.insert(scope) }
      if let place = outline.places["metadata"] { try notePage(reader.at(place, member: "metadata"), of: kind) }
      return true
    } else {
      kinds[ObjectParts.name(of: kind, apiVersion: outline.apiVersion), default: 0] += 1
      let parts = ObjectParts(reader, places: outline.places, notAfterMs: notAfterMs)
      let object = try parts.object(kind: kind, apiVersion: outline.apiVersion)
      if let object { objects.append(object) }
      if let seen = try parts.newestMs(), seen > newestMs ?? .min { newestMs = seen }
      return false
    }
  }
}

extension ClusterDump {
  /// What a list of one kind without a member speaks of, as the API itself gives it (`kubectl get --raw`): of a kind of which a
  /// cluster may well have none. No list of pods is empty that is of more than one namespace.
  private static func scope(ofNo member: Outline) -> ClusterScope? {
    switch (member.kind, ObjectParts.group(of: member.apiVersion)) {
    case ("NetworkPolicy", "networking.k8s.io"): ClusterScope(kind: .networkPolicy, namespace: nil)
    case ("Telemetry", "telemetry.istio.io"): ClusterScope(kind: .telemetry, namespace: nil)
    default: nil
    }
  }

  /// Whether a list is one page of several, or the last of them.
  /// (kubernetes.io/docs/reference/using-api/api-concepts, "Retrieving large results sets in chunks")
  private mutating func notePage(_ metadata: JSONReader, of kind: String) throws(JSONReader.Problem) {
    var metadata = metadata
    guard try metadata.kind() == .object else { return }
    var list = List(kind: kind)
    var problem: JSONReader.Problem?
    try metadata.members { reader, key throws(JSONReader.Problem) in
      guard ["continue", "resourceVersion"].contains(key), try reader.kind() == .string else {
        return try reader.skip()
      }
      if key == "resourceVersion" { return list.version = try reader.text() }
      let open = reader.problem(
        "this \(kind) is one page of a longer list, and whoever is not in it would count as gone; write the file with: kubectl get ... -o json"
      )
      if try !reader.text().isEmpty { problem = open }
    }
    openPages[list] = problem
  }
}

/// A dump that cannot be read, and why.
public struct ClusterDumpError: Error, Sendable, Equatable, CustomStringConvertible {
  public var file: String
  public var line: Int
  /// In the JSON: `items[3].status.podIP`; empty at the top.
  public var path: String
  public var message: String

  public var description: String { "\(file):\(line):\(path.isEmpty ? "" : " \(path):") \(message)" }
}

/// What every object has.
struct ObjectMetadata {
  var name = ""
  var namespace = ""
  var labels: [String: String] = [:]
  var annotations: [String: String] = [:]
  var createdMs: Int64?
  /// The controlling owner, or the only one.
  var owner: (kind: String, name: String)?

  init(_ reader: inout JSONReader) throws(JSONReader.Problem) {
    try reader.members { reader, key throws(JSONReader.Problem) in
      switch key {
      case "name": name = bounded(try reader.text())
      case "namespace": namespace = bounded(try reader.text())
      case "labels": labels = try reader.textsByName()
      case "annotations": annotations = try reader.textsByName()
      case "creationTimestamp": createdMs = PolicyTime.milliseconds(try reader.text(), endOfDay: false)
      case "ownerReferences": try readOwners(&reader)
      default: try reader.skip()
      }
    }
  }

  private mutating func readOwners(_ reader: inout JSONReader) throws(JSONReader.Problem) {
    try reader.elements { reader throws(JSONReader.Problem) in
      var (kind, name, controls) = ("", "", false)
      try reader.members { reader, key throws(JSONReader.Problem) in
        switch key {
        case "kind": kind = try reader.text()
        case "name": name = bounded(try reader.text())
        case "controller": controls = try reader.flag()
        default: try reader.skip()
        }
      }
      if owner == nil || controls { owner = (kind, name) }
    }
  }
}

/// Names of Kubernetes have at most 253 characters, annotations up to 256 KiB: longer texts than this are cut, so that
/// no dump fills the store.
let clusterTextLimit = 1_024
/// Addresses and hosts kept of one object: more than a request to etcd, of 1.5 MiB, can hold of either
/// (etcd.io/docs, "System limits").
let clusterListLimit = 131_072

func bounded(_ text: String) -> String {
  text.utf8.count <= clusterTextLimit ? text : String(text.prefix(clusterTextLimit / 4)) + "..."
}

func bounded(_ texts: [String]) -> [String] {
  texts.count <= clusterListLimit ? texts.map(bounded) : texts.prefix(clusterListLimit).map(bounded)
}
