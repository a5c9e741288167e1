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
      // whoever wraps the command leaves the injector's annotation or its init container; the CNI plugin's is another
      (
        #""containers":[{"name":"istio-proxy","command":["sh","-c","x"]}]"#,
        #""annotations":{"sidecar.istio.io/status":"{}"}"#, .sidecar
      ),
      (#""containers":[{"name":"istio-proxy"}],"initContainers":[{"name":"istio-init"}]"#, "", .sidecar),
      (#""containers":[{"name":"istio-proxy"}],"initContainers":[{"name":"istio-validation"}]"#, "", .sidecar),
      // a container's name alone
      (#""containers":[{"name":"istio-proxy","args":null}]"#, "", .none),
      (#""containers":[{"name":"istio-proxy","image":"any"},{"name":"istio-init"}]"#, "", .none),
      (#""ephemeralContainers":[{"name":"istio-proxy","args":["proxy","sidecar"]}]"#, "", .none),
      (
        #""containers":[{"name":"istio-proxy"}],"initContainers":[{"name":"istio-init"}]"#,
        #""annotations":{"sidecar.istio.io/inject":"false"}"#, .none
      ),
      // injected by hand, and not to be injected again
      (
        #""containers":[{"name":"istio-proxy"}]"#,
        #""annotations":{"sidecar.istio.io/inject":"false","sidecar.istio.io/status":"{}"}"#, .sidecar
      ),
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

  @Test(
    "what istio-init was called with is what was done, whatever an annotation says since",
    arguments: ["istio-init", "istio-validation"])
  func meshWideOptOuts(container: String) throws {
    func optOuts(_ arguments: [String], annotation: (String, String)? = nil) throws -> [String] {
      let words = (["istio-iptables", "-p", "15001", "-u", "1337"] + arguments).map { "\"\($0)\"" }
      let spec = #""initContainers":[{"name":"\#(container)","args":[\#(words.joined(separator: ","))]}]"#
      let metadata = annotation.map { #""annotations":{"\#($0)":"\#($1)"}"# } ?? ""
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
    let prefix = "traffic.sidecar.istio.io/"
    #expect(
      try optOuts(["-i", "10.0.0.0/8"], annotation: (prefix + "includeOutboundIPRanges", "*"))
        == ["include-outbound-ip-ranges=10.0.0.0/8"])
    for ports in ["", "8443"] {
      #expect(
        try optOuts(["-i", "*", "-o", "443"], annotation: (prefix + "excludeOutboundPorts", ports))
          == ["exclude-outbound-ports=443"])
    }
    // The CNI plugin goes by the annotation, and whoever wrote it wants it so.
    #expect(
      try optOuts(["-i", "*", "-x", ""], annotation: (prefix + "excludeOutboundIPRanges", "203.0.113.0/24"))
        == ["exclude-outbound-ip-ranges=203.0.113.0/24"])
    #expect(
      try optOuts(["-m", "NONE"], annotation: ("sidecar.istio.io/interceptionMode", "REDIRECT"))
        == ["interception-mode-none"])
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
    // The environment is as the injector left it; the annotation may be later.
    let own = #""annotations":{"sidecar.istio.io/interceptionMode":"REDIRECT"}"#
    #expect(try optOuts("NONE", metadata: own) == ["interception-mode-none"])
  }

  @Test("a container that has a sidecar's name and nothing else of one is told")
  func proxyByNameOnly() throws {
    let spec = #""containers":[{"name":"istio-proxy","image":"any"}]"#
    #expect(try pod(spec: spec).optOuts == ["proxy-by-name-only", "no-proxy"])
    let metadata = #""labels":{"sidecar.istio.io/inject":"false"}"#
    #expect(try pod(metadata: metadata, spec: spec).optOuts == ["inject-false", "proxy-by-name-only", "no-proxy"])
  }

  @Test(
    "what runs as the proxy's user or group goes past it",
    arguments: [
      (#""containers":[{"name":"app","securityContext":{"runAsUser":1337}}]"#, ["proxy-uid=1337"]),
      (#""containers":[{"name":"app","securityContext":{"runAsGroup":1337,"runAsUser":1}}]"#, ["proxy-gid=1337"]),
      (
        #""containers":[{"name":"a","securityContext":{"runAsGroup":1337,"runAsUser":1337}},{"name":"b"}]"#,
        ["proxy-uid=1337"]
      ),
      (#""containers":[{"name":"app"}],"securityContext":{"runAsUser":1337}"#, ["proxy-uid=1337"]),
      (#""securityContext":{"runAsGroup":1337},"containers":[{"name":"app"}]"#, ["proxy-gid=1337"]),
      // the container's own number goes before the pod's
      (#""securityContext":{"runAsUser":1337},"containers":[{"name":"a","securityContext":{"runAsUser":1}}]"#, []),
      (#""securityContext":{"runAsUser":1337},"containers":[]"#, []),
      // an owner of volumes, and no process's own group
      (#""securityContext":{"fsGroup":1337,"supplementalGroups":[1337]},"containers":[{"name":"a"}]"#, []),
      (#""containers":[{"name":"app","securityContext":null}]"#, []),
      (#""initContainers":[{"name":"fetch","securityContext":{"runAsUser":1337}}]"#, ["proxy-uid=1337"]),
      (#""initContainers":[{"name":"istio-validation","securityContext":{"runAsUser":1337}}]"#, []),
      (#""ephemeralContainers":[{"name":"debug","securityContext":{"runAsUser":1337}}]"#, ["proxy-uid=1337"]),
    ])
  func proxyIdentities(spec: String, words: [String]) throws {
    let proxy = Self.proxy.replacing("}", with: #","securityContext":{"runAsUser":1337,"runAsGroup":1337}}"#)
    let whole =
      spec.contains(#""containers":["#)
      ? spec.replacing(#""containers":["#, with: "\"containers\":[\(proxy),").replacing(",]", with: "]")
      : spec + ",\"containers\":[\(proxy)]"
    #expect(try pod(spec: whole).optOuts == words)
    // A gateway is nobody's sidecar, and without a proxy there is nobody to be confused with.
    #expect(try pod(spec: whole.replacing(#""sidecar""#, with: #""router""#)).optOuts.isEmpty)
    #expect(try pod(spec: whole.replacing(proxy, with: #"{"name":"other"}"#)).optOuts == ["no-proxy"])
  }

  @Test("who the proxy is, istio-init is told; else its own securityContext says it, as on OpenShift")
  func proxyUser() throws {
    func optOuts(_ user: String, initial: [String]? = nil, own: String) throws -> [String] {
      let proxy = Self.proxy.replacing("}", with: ",\"securityContext\":{\(own)}}")
      let arguments = initial.map { $0.map { "\"\($0)\"" }.joined(separator: ",") }
      let start = arguments.map { #""initContainers":[{"name":"istio-init","args":[\#($0)]}],"# } ?? ""
      return try pod(
        spec: start + #""containers":[\#(proxy),{"name":"app","securityContext":{\#(user)}}]"#
      ).optOuts
    }
    let range = #""runAsUser":1000650001,"runAsGroup":1000650001"#
    #expect(try optOuts(#""runAsUser":1000650001"#, own: range) == ["proxy-uid=1000650001"])
    #expect(try optOuts(#""runAsGroup":1000650001"#, own: range) == ["proxy-gid=1000650001"])
    #expect(try optOuts(#""runAsUser":1337"#, own: range).isEmpty)
    // TPROXY: root, and none the less not everybody's root
    let root = #""runAsUser":0,"runAsGroup":1337"#
    #expect(try optOuts(#""runAsUser":0"#, own: root).isEmpty)
    #expect(try optOuts(#""runAsUser":1337"#, own: root) == ["proxy-uid=1337"])
    #expect(try optOuts(#""runAsUser":7"#, initial: ["-u", "1337,7"], own: root) == ["proxy-uid=7"])
    #expect(try optOuts(#""runAsGroup":7"#, initial: ["-u", "1337,7"], own: root) == ["proxy-gid=7"])
    #expect(try optOuts(#""runAsGroup":7"#, initial: ["-u", "7", "-g", "8"], own: root).isEmpty)
    #expect(try optOuts(#""runAsGroup":1337"#, initial: ["-u", ""], own: root) == ["proxy-gid=1337"])
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
