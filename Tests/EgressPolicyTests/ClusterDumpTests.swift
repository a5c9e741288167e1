import Flows
import Testing

@testable import EgressPolicy

@Suite("Dumps of a cluster")
struct ClusterDumpTests: ClusterDumps {
  @Test("lists of one kind, lists of many, single objects and several texts in one file are read alike")
  func shapes() throws {
    let item = #"{"metadata":{"name":"a","namespace":"n"},"spec":{},"status":{"podIP":"10.0.0.1"}}"#
    let whole = #"{"kind":"Pod","apiVersion":"v1","# + item.dropFirst()
    let expected = try dump(String(whole)).objects
    #expect(expected.count == 1)
    // items before kind, as kubectl sorts its keys, and after it
    #expect(try dump(#"{"apiVersion":"v1","items":[\#(whole)],"kind":"List"}"#).objects == expected)
    #expect(try dump(#"{"kind":"List","items":[\#(whole)]}"#).objects == expected)
    // members of a PodList do not say that they are pods
    #expect(try dump(#"{"kind":"PodList","apiVersion":"v1","items":[\#(item)]}"#).objects == expected)
    #expect(try dump("\(whole)\n\(whole)\n").kinds == ["Pod": 2])
    #expect(try dump("\u{FEFF}\(whole)").objects == expected)
  }

  @Test("kinds that say nothing about addresses are counted, and a kind's word alone does not make it one")
  func unknownKinds() throws {
    let json = """
      {"kind":"List","items":[
        {"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"a":"b"}},
        {"apiVersion":"example.com/v1","kind":"Pod","metadata":{"name":"fake"},"status":{"podIP":"10.0.0.1"}},
        {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"}},
        {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"other"},"data":{"mesh":"a: b"}}]}
      """
    let found = try dump(json)
    #expect(found.objects.isEmpty)
    #expect(found.kinds == ["Secret": 1, "Pod.example.com": 1, "Deployment": 1, "ConfigMap": 1])
  }

  @Test("the newest time is one that the cluster wrote, and not later than the present")
  func newest() throws {
    let json = """
      {"apiVersion":"v1","kind":"Node","metadata":{"name":"w","creationTimestamp":"2026-10-01T00:00:00Z",
        "annotations":{"time":"2026-11-02T09:20:00Z"},"deletionTimestamp":"2026-11-02T09:21:00Z",
        "managedFields":[{"time":"2026-11-02T09:01:00Z","fieldsV1":{"time":{}}}]},
       "status":{"conditions":[{"lastHeartbeatTime":"2026-11-02T09:05:00Z"},{"lastHeartbeatTime":"2027-01-01T00:00:00Z"}]}}
      """
    #expect(try dump(json).newestMs == 1_793_610_300_000)
  }

  @Test(
    "an error names the file, the line and the path in the JSON",
    arguments: [
      ("", "cluster.json:1: the file is empty"),
      ("apiVersion: v1\nkind: Pod\n", "cluster.json:1: no JSON value begins here"),
      ("[1]", "cluster.json:1: an object of Kubernetes is expected here; write the file with: kubectl get ... -o json"),
      ("{}", "cluster.json:1: this object has no kind; write the file with: kubectl get ... -o json"),
      (
        #"{"kind":"List","items":[\#n{"kind":"Pod","apiVersion":"v1"}]}"#,
        "cluster.json:2: items[0]: the object has no metadata"
      ),
      (
        #"{"kind":"List","items":[{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"status":{"podIP":[1]}}]}"#,
        "cluster.json:1: items[0].status.podIP: a text is expected here"
      ),
      (#"{"kind":"List","items":[{"kind":"Pod""#, "cluster.json:1: items: the file ends too early"),
      (#"{"kind":"Pod","metadata":{"name":"a"#, "cluster.json:1: metadata: a text in quotes has no end"),
    ])
  func errors(json: String, message: String) {
    let error = #expect(throws: ClusterDumpError.self) { try dump(json) }
    #expect(error.map { "\($0)" } == message)
  }

  @Test("no nesting and no cut makes it fall over")
  func hostile() throws {
    #expect(throws: ClusterDumpError.self) { try dump(String(repeating: #"{"a":"#, count: 100_000)) }
    #expect(throws: ClusterDumpError.self) {
      try dump(
        #"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"status":"# + String(repeating: "[", count: 9_999))
    }
    let json = Array(
      #"{"kind":"List","items":[{"kind":"Pod","apiVersion":"v1","metadata":{"name":"\uD83D\uDE00\u00e9\"\\"},"spec":{"hostNetwork":true},"status":{"podIP":"10.0.0.1"}}]}"#
        .utf8)
    #expect(try ClusterDump(json, file: "f", notAfterMs: 0).objects.first?.name == "\u{1F600}\u{E9}\"\\")
    for length in json.indices {
      #expect(throws: ClusterDumpError.self) { try ClusterDump(Array(json[..<length]), file: "f", notAfterMs: 0) }
    }
    var generator = SplitMix(state: 7)
    for _ in 0..<500 {
      var broken = json
      for _ in 0..<3 {
        broken[Int(generator.next() % UInt64(broken.count))] = UInt8(truncatingIfNeeded: generator.next())
      }
      _ = try? ClusterDump(broken, file: "f", notAfterMs: 0)
    }
  }

  @Test("texts longer than Kubernetes allows are cut")
  func longTexts() throws {
    let long = String(repeating: "x", count: 100_000)
    let found = try pod(
      metadata: #""annotations":{"traffic.sidecar.istio.io/excludeOutboundIPRanges":"\#(long)"}"#,
      spec: "\"containers\":[\(Self.proxy)]")
    #expect(found.optOuts[0].utf8.count < 2_000)
  }

  @Test("a page of a list is refused, for whoever is not in it would count as gone; with all its pages it is whole")
  func pages() throws {
    func page(_ pod: String, next: String, of version: String = "7") -> String {
      #"{"kind":"PodList","metadata":{"resourceVersion":"\#(version)","continue":"\#(next)"},"apiVersion":"v1","items":[{"metadata":{"name":"\#(pod)","namespace":"shop"}}]}"#
        + "\n"
    }
    for open in [
      page("a", next: "eyJ2"), page("a", next: "") + page("b", next: "eyJ2"),
      // A whole list of later is not the rest of this one.
      page("a", next: "eyJ2") + page("b", next: "", of: "9"),
    ] {
      let error = #expect(throws: ClusterDumpError.self) { try dump(open) }
      #expect(error.map { "\($0)" }?.contains("metadata.continue: this PodList is one page of a longer list") ?? false)
    }
    #expect(try dump(page("a", next: "eyJ2") + page("b", next: "")).objects.map(\.name) == ["a", "b"])
    #expect(try dump(#"{"kind":"PodList","metadata":null,"items":[]}"#).objects.isEmpty)
  }

  @Test("lists of one namespace each, one after the other, say nothing of the namespaces between them")
  func severalLists() throws {
    func list(_ namespace: String) -> String {
      #"{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a","namespace":"\#(namespace)"}}]}"#
    }
    let scopes = try dump(list("shop") + "\n" + list("pay")).scopes
    #expect(scopes == [ClusterScope(kind: .pod, namespace: "shop"), ClusterScope(kind: .pod, namespace: "pay")])
    // Objects without a list are one.
    let objects = ["shop", "pay"].map {
      #"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"\#($0)"}}"#
    }
    #expect(try dump(objects.joined(separator: "\n")).scopes == [ClusterScope(kind: .pod, namespace: nil)])
  }

  @Test("one object alone is no look at the others of its kind, and a list of one is")
  func oneAlone() throws {
    let pod = #"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"shop"}}"#
    let service = #"{"kind":"Service","apiVersion":"v1","metadata":{"name":"s","namespace":"shop"}}"#
    #expect(try dump(pod).scopes.isEmpty && dump(pod).objects.count == 1)
    #expect(try dump(pod + service).scopes.isEmpty)
    #expect(try dump(pod + service + pod).scopes == [ClusterScope(kind: .pod, namespace: "shop")])
    #expect(try dump(#"{"kind":"List","items":[\#(pod)]}"#).scopes == [ClusterScope(kind: .pod, namespace: "shop")])
  }

  @Test("an empty list of NetworkPolicies or Telemetries shows that there is none; one of pods proves nothing")
  func emptyLists() throws {
    func list(_ kind: String, _ version: String, _ items: String = "") -> String {
      #"{"kind":"\#(kind)List","apiVersion":"\#(version)","metadata":{},"items":[\#(items)]}"#
    }
    #expect(
      try dump(list("NetworkPolicy", "networking.k8s.io/v1")).scopes == [
        ClusterScope(kind: .networkPolicy, namespace: nil)
      ])
    #expect(
      try dump(list("Telemetry", "telemetry.istio.io/v1")).scopes == [ClusterScope(kind: .telemetry, namespace: nil)])
    #expect(try dump(list("NetworkPolicy", "crd.projectcalico.org/v1")).scopes.isEmpty)
    #expect(try dump(list("Pod", "v1")).scopes.isEmpty)
    #expect(try dump(#"{"kind":"List","apiVersion":"v1","items":[]}"#).scopes.isEmpty)
    // Its members do not repeat their group either.
    let member = #"{"metadata":{"name":"p","namespace":"n"},"spec":{"podSelector":{}}}"#
    #expect(try dump(list("NetworkPolicy", "networking.k8s.io/v1", member)).objects.map(\.kind) == [.networkPolicy])
  }
}
