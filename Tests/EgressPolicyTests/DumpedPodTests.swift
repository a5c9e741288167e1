import Flows
import Testing

@testable import EgressPolicy

@Suite("Pods of a dump")
struct DumpedPodTests: ClusterDumps {
  @Test("a pod has its addresses, its start, its node and its sidecar")
  func wholePod() throws {
    let pod = try pod(
      spec: #""nodeName":"worker-1","containers":[{"name":"app"},\#(Self.proxy)]"#,
      status:
        #""podIP":"10.80.3.11","podIPs":[{"ip":"10.80.3.11"},{"ip":"FD00:80::0:11"}],"startTime":"2026-11-02T09:00:00Z""#
    )
    #expect(pod.addresses == ["10.80.3.11", "fd00:80::11"])
    #expect(pod.startedMs == 1_793_610_000_000)
    #expect(pod.node == "worker-1")
    #expect(pod.proxy == .sidecar)
    #expect(pod.optOuts.isEmpty)
  }

  @Test(
    "the part of the mesh that a pod plays",
    arguments: [
      (#""containers":[{"name":"app"}]"#, "", ClusterObject.Proxy.none),
      (#""containers":[{"name":"app"}],"initContainers":[{"name":"istio-init"}]"#, "", .none),
      // a native sidecar; an init container that ends is none
      (#""initContainers":[{"name":"istio-proxy","restartPolicy":"Always","args":["proxy","sidecar"]}]"#, "", .sidecar),
      (#""initContainers":[{"name":"istio-proxy","args":["proxy","sidecar"]}]"#, "", .none),
      (#""containers":[{"name":"istio-proxy","args":["proxy","router","--domain","x"]}]"#, "", .router),
      (#""containers":[{"name":"istio-proxy","args":["proxy","waypoint"]}]"#, "", .waypoint),
      (#""containers":[{"name":"istio-proxy","args":null}]"#, "", .sidecar),
      (#""containers":[{"name":"app"}]"#, #""annotations":{"ambient.istio.io/redirection":"enabled"}"#, .ambient),
      // both: ztunnel leaves a pod with a sidecar to it
      (
        #""containers":[{"name":"istio-proxy","args":["proxy","sidecar"]}]"#,
        #""annotations":{"ambient.istio.io/redirection":"enabled"}"#, .sidecar
      ),
      // only the annotation: the container was taken out again
      (#""containers":[{"name":"app"}]"#, #""annotations":{"sidecar.istio.io/status":"{}"}"#, .none),
    ])
  func proxies(spec: String, metadata: String, proxy: ClusterObject.Proxy) throws {
    #expect(try pod(metadata: metadata, spec: spec).proxy == proxy)
  }

  @Test(
    "how a pod keeps traffic away from its sidecar",
    arguments: [
      (#""labels":{"sidecar.istio.io/inject":"false"}"#, "{}", ["inject-false", "no-proxy"]),
      (#""annotations":{"sidecar.istio.io/inject":"false"}"#, "{}", ["inject-false", "no-proxy"]),
      // the label decides over the annotation
      (
        #""labels":{"sidecar.istio.io/inject":"true"},"annotations":{"sidecar.istio.io/inject":"false"}"#,
        ClusterDumpTests.proxy, []
      ),
      (
        #""annotations":{"traffic.sidecar.istio.io/excludeOutboundIPRanges":"203.0.113.0/24, 10.0.0.0/8"}"#,
        ClusterDumpTests.proxy, ["exclude-outbound-ip-ranges=203.0.113.0/24,10.0.0.0/8"]
      ),
      (
        #""annotations":{"traffic.sidecar.istio.io/excludeOutboundPorts":"443"}"#, ClusterDumpTests.proxy,
        ["exclude-outbound-ports=443"]
      ),
      (#""annotations":{"traffic.sidecar.istio.io/includeOutboundIPRanges":"*"}"#, ClusterDumpTests.proxy, []),
      (
        #""annotations":{"traffic.sidecar.istio.io/includeOutboundIPRanges":""}"#, ClusterDumpTests.proxy,
        ["include-outbound-ip-ranges="]
      ),
      (
        #""annotations":{"sidecar.istio.io/interceptionMode":"NONE"}"#, ClusterDumpTests.proxy,
        ["interception-mode-none"]
      ),
    ])
  func optOuts(metadata: String, container: String, words: [String]) throws {
    #expect(try pod(metadata: metadata, spec: "\"containers\":[\(container)]").optOuts == words)
  }

  @Test("what holds for the whole mesh stands in what istio-init is called with; a pod's own annotation goes before it")
  func meshWideOptOuts() throws {
    func optOuts(_ arguments: [String], metadata: String = "") throws -> [String] {
      let words = (["istio-iptables", "-p", "15001", "-u", "1337"] + arguments).map { "\"\($0)\"" }
      let spec = #""initContainers":[{"name":"istio-init","args":[\#(words.joined(separator: ","))]}]"#
      return try pod(metadata: metadata, spec: spec + ",\"containers\":[\(Self.proxy)]").optOuts
    }
    #expect(try optOuts(["-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021"]).isEmpty)
    #expect(
      try optOuts(["-m", "REDIRECT", "-i", "10.0.0.0/8", "-x", "", "-b", "*"])
        == ["include-outbound-ip-ranges=10.0.0.0/8"])
    #expect(
      try optOuts(["-i", "*", "-x", "203.0.113.0/24", "-o", "443", "-c", "net1", "-m", "NONE"]) == [
        "exclude-outbound-ip-ranges=203.0.113.0/24", "exclude-outbound-ports=443", "exclude-interfaces=net1",
        "interception-mode-none",
      ])
    let own = #""annotations":{"traffic.sidecar.istio.io/includeOutboundIPRanges":"*"}"#
    #expect(try optOuts(["-i", "10.0.0.0/8"], metadata: own).isEmpty)
  }

  @Test("without istio-init, the mode of interception stands in the environment of istio-proxy alone")
  func interceptionMode() throws {
    func optOuts(_ mode: String, of container: String = "istio-proxy", metadata: String = "") throws -> [String] {
      let env = #"[{"name":"POD_NAME","valueFrom":{}},{"value":"\#(mode)","name":"ISTIO_META_INTERCEPTION_MODE"}]"#
      let spec = #""containers":[{"env":\#(env),"name":"\#(container)","args":["proxy","sidecar"]},\#(Self.proxy)]"#
      return try pod(
        metadata: metadata, spec: container == "istio-proxy" ? spec.replacing("," + Self.proxy, with: "") : spec
      )
      .optOuts
    }
    #expect(try optOuts("NONE") == ["interception-mode-none"])
    #expect(try optOuts("REDIRECT").isEmpty && optOuts("TPROXY").isEmpty)
    #expect(try optOuts("NONE", of: "app").isEmpty)
    let own = #""annotations":{"sidecar.istio.io/interceptionMode":"REDIRECT"}"#
    #expect(try optOuts("NONE", metadata: own).isEmpty)
  }

  @Test("hostNetwork is an opt-out, and a gateway has none")
  func hostNetwork() throws {
    #expect(try pod(spec: #""hostNetwork":true,"containers":[{"name":"a"}]"#).optOuts == ["host-network", "no-proxy"])
    let router = #""hostNetwork":true,"containers":[{"name":"istio-proxy","args":["proxy","router"]}]"#
    #expect(try pod(spec: router).optOuts.isEmpty)
  }

  @Test(
    "a pod's workload is what outlives it",
    arguments: [
      ("ReplicaSet", "web-7d9f6c5b8", #""labels":{"pod-template-hash":"7d9f6c5b8"}"#, "web"),
      ("ReplicaSet", "web-7d9f6c5b8", "", "web"), ("ReplicaSet", "web", "", "web"),
      ("StatefulSet", "db-7d9f6c5b8", "", "db-7d9f6c5b8"), ("Job", "nightly-29368920", "", "nightly"),
      ("Job", "migrate-3", "", "migrate-3"), ("DaemonSet", "agent", "", "agent"), ("Node", "worker-1", "", "web-1"),
    ])
  func workloads(kind: String, name: String, labels: String, workload: String) throws {
    let owner = #""ownerReferences":[{"kind":"\#(kind)","name":"\#(name)","controller":true}]"#
    #expect(try pod(metadata: owner + (labels.isEmpty ? "" : ",") + labels).workload == workload)
    #expect(try pod().workload == "web-1")
  }

  @Test("a pod that ran to its end gives its address back then")
  func ended() throws {
    let status = """
      "podIP":"10.0.0.1","startTime":"2026-11-02T09:00:00Z","phase":"Succeeded","containerStatuses":[
      {"state":{"terminated":{"finishedAt":"2026-11-02T09:10:00Z"}}},
      {"state":{"terminated":{"finishedAt":"2026-11-02T09:05:00Z"}}}]
      """
    #expect(try pod(status: status).endedMs == 1_793_610_600_000)
    #expect(try pod(status: status.replacing("Succeeded", with: "Running")).endedMs == nil)
    // A native sidecar ends last.
    let native = #","initContainerStatuses":[{"state":{"terminated":{"finishedAt":"2026-11-02T09:10:05Z"}}}]"#
    #expect(try pod(status: status + native).endedMs == 1_793_610_605_000)
    #expect(try pod(status: status).traits.isEmpty)
  }

  @Test(
    "of a pod that is over, nobody knows since when, where a container's end is not told",
    arguments: [
      "", #","containerStatuses":[]"#,
      #"""
      ,"containerStatuses":[
      {"state":{"terminated":{"reason":"ContainerStatusUnknown","startedAt":null,"finishedAt":null}}},
      {"state":{"terminated":{"finishedAt":"2026-11-02T09:05:00Z"}}}]
      """#,
      #","containerStatuses":[{"state":{"running":{"startedAt":"2026-11-02T09:00:05Z"}}}]"#,
      #","containerStatuses":[{"state":{"waiting":{"reason":"PodInitializing"}}}]"#,
    ])
  func endedUnseen(containers: String) throws {
    let status = #""podIP":"10.0.0.1","startTime":"2026-11-02T09:00:00Z","phase":"Failed""# + containers
    let found = try pod(status: status)
    #expect(found.endedMs == nil && found.traits == ["end-unknown"])
    #expect(try pod(status: status.replacing("Failed", with: "Running")).traits.isEmpty)
  }
}
