import Flows
import Testing

@testable import EgressPolicy

@Suite("Dumps of a cluster")
struct ClusterDumpTests {
  static let present: Int64 = 1_793_611_500_000  // 2026-11-02T09:25:00Z

  func dump(_ json: String) throws -> ClusterDump {
    try ClusterDump(Array(json.utf8), file: "cluster.json", notAfterMs: Self.present)
  }

  func pod(metadata: String = "", spec: String = "", status: String = "") throws -> ClusterObject {
    let json = """
      {"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-1","namespace":"shop"\(metadata.isEmpty ? "" : ",")\(metadata)},
       "spec":{\(spec)},"status":{\(status)}}
      """
    return try #require(try dump(json).objects.first)
  }

  static let proxy = #"{"name":"istio-proxy","args":["proxy","sidecar","--domain","x"]}"#

  // MARK: Pods

  @Test("a pod has its addresses, its start, its node and its sidecar")
  func pod() throws {
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

  // MARK: Files

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

  @Test("Gateways of Istio and of the Gateway API are counted apart")
  func gatewaysOfTwoGroups() throws {
    let gateways = ["networking.istio.io/v1", "networking.istio.io/v1beta1", "gateway.networking.k8s.io/v1"].map {
      #"{"apiVersion":"\#($0)","kind":"Gateway","metadata":{"name":"g","namespace":"n"},"spec":{}}"#
    }
    let found = try dump(#"{"kind":"List","items":[\#(gateways.joined(separator: ","))]}"#)
    #expect(found.kinds == ["Gateway.networking.istio.io": 2, "Gateway.gateway.networking.k8s.io": 1])
  }

  @Test(
    "a ServiceEntry's addresses may be ranges, one of a single address is that, and thousands of endpoints are kept")
  func serviceEntryAddresses() throws {
    func addresses(_ spec: String) throws -> [String] {
      let entry =
        #"{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"e","namespace":"n"},"spec":{\#(spec)}}"#
      return try #require(try dump(entry).objects.first).addresses
    }
    #expect(
      try addresses(#""addresses":["10.50.9.9/32","10.50.8.7/24","FD00::9/128","10.50.9.9","x"]"#) == [
        "10.50.8.0/24", "10.50.9.9", "fd00::9",
      ])
    #expect(try addresses(#""addresses":["10.50.9.0/24"],"resolution":"DNS""#).isEmpty)
    let endpoints = (0..<1_500).map { #"{"address":"10.50.\#($0 / 250).\#($0 % 250 + 1)"}"# }
    #expect(
      try addresses(#""resolution":"STATIC","endpoints":[\#(endpoints.joined(separator: ","))]"#).count == 1_500)
  }

  @Test(
    "of a Telemetry it counts whether it keeps lines of what pods send out of their log",
    arguments: [
      (#"{"providers":[{"name":"envoy"}]}"#, ["outbound-on"]), ("", []),
      (#"{"disabled":true}"#, ["outbound-off"]), (#"{"disabled":false,"match":null}"#, ["outbound-on"]),
      (#"{"match":{"mode":"CLIENT"},"disabled":true}"#, ["outbound-off"]),
      (#"{"match":{"mode":"SERVER"},"disabled":true}"#, []),
      (#"{"match":{"mode":"SERVER"},"providers":[{"name":"envoy"}]}"#, ["inbound-only"]),
      (#"{"match":{"mode":"SERVER"},"filter":{"expression":"response.code >= 400"}},{}"#, ["outbound-on"]),
      (#"{"filter":{"expression":"response.code >= 400"}}"#, ["outbound-filter=response.code >= 400"]),
      (#"{"filter":{"expression":""}}"#, ["outbound-on"]),
      (
        #"{"match":{"mode":"CLIENT_AND_SERVER"}},{"match":{"mode":"CLIENT"},"disabled":true}"#,
        ["outbound-off", "outbound-on"]
      ),
    ] as [(String, [String])])
  func telemetries(entries: String, traits: [String]) throws {
    func telemetry(_ spec: String) throws -> ClusterObject {
      let json =
        #"{"apiVersion":"telemetry.istio.io/v1","kind":"Telemetry","metadata":{"name":"t","namespace":"n","creationTimestamp":"2026-11-02T09:00:00Z"},"spec":{\#(spec)}}"#
      return try #require(try dump(json).objects.first)
    }
    let found = try telemetry(
      #""accessLogging":[\#(entries)],"selector":{"matchLabels":{"app":"web"}},"metrics":[{"providers":[{"name":"p"}]}]"#
    )
    #expect(found.kind == .telemetry && found.labels == ["app": "web"] && found.startedMs == 1_793_610_000_000)
    #expect(found.traits == traits)
    let targeted = try telemetry(#""accessLogging":[\#(entries)],"targetRefs":[{"kind":"Gateway","name":"g"}]"#)
    #expect(targeted.traits == (["has-target"] + traits).sorted())
  }

  @Test("Services, nodes, ServiceEntries, Gateways and the mesh configuration are read")
  func otherKinds() throws {
    let json = """
      {"kind":"List","items":[
       {"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"n"},
        "spec":{"clusterIP":"None","clusterIPs":["None"],"selector":{"app":"x"}}},
       {"apiVersion":"v1","kind":"Node","metadata":{"name":"w"},"status":{"addresses":[
         {"type":"InternalIP","address":"10.0.0.5"},{"type":"Hostname","address":"w"}]}},
       {"apiVersion":"networking.istio.io/v1beta1","kind":"ServiceEntry","metadata":{"name":"e","namespace":"n"},
        "spec":{"hosts":["API.example.com"],"ports":[{"number":443}],"resolution":"STATIC","endpoints":[{"address":"10.2.0.1"}],
         "workloadSelector":{"labels":{"app":"old"}}}},
       {"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"g","namespace":"n"},
        "spec":{"selector":{"istio":"egressgateway"},"servers":[{"hosts":["b","a"]}]}},
       {"apiVersion":"gateway.networking.k8s.io/v1","kind":"Gateway","metadata":{"name":"g","namespace":"n"},
        "spec":{"gatewayClassName":"istio"}},
       {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"istio","namespace":"i"},
        "data":{"mesh":"outboundTrafficPolicy:\\n  mode: REGISTRY_ONLY\\n"}}]}
      """
    let objects = try dump(json).objects
    #expect(objects.map(\.kind) == [.service, .node, .serviceEntry, .gateway, .gatewayAPI, .meshConfig])
    #expect(objects[0].addresses.isEmpty && objects[0].hosts == ["s.n.svc.cluster.local"])
    #expect(objects[1].addresses == ["10.0.0.5"])
    #expect(objects[2].hosts == ["api.example.com"] && objects[2].trait("location") == "MESH_EXTERNAL")
    #expect(objects[2].labels == ["app": "old"] && objects[2].trait("resolution") == "STATIC")
    #expect(objects[3].labels == ["istio": "egressgateway"] && objects[3].hosts == ["a", "b"])
    #expect(objects[4].trait("class") == "istio")
    #expect(objects[5].trait("outbound-traffic-policy") == "REGISTRY_ONLY")
  }

  @Test(
    "a DestinationRule says where connections go to the address that was dialled: in all, at a port, or in a subset",
    arguments: [
      (#"{"loadBalancer":{"simple":"PASSTHROUGH"}}"#, "[]", true),
      (#"{"portLevelSettings":[{"port":{"number":443},"loadBalancer":{"simple":"PASSTHROUGH"}}]}"#, "[]", true),
      (
        #"{"loadBalancer":{"simple":"RANDOM"}}"#, #"[{"trafficPolicy":{"loadBalancer":{"simple":"PASSTHROUGH"}}}]"#,
        true
      ),
      (#"{"loadBalancer":{"simple":"LEAST_REQUEST"}}"#, "[]", false), ("null", #"[{"name":"v1"}]"#, false),
    ] as [(String, String, Bool)])
  func destinationRules(policy: String, subsets: String, passes: Bool) throws {
    let json = """
      {"apiVersion":"networking.istio.io/v1","kind":"DestinationRule","metadata":{"name":"r","namespace":"n"},
       "spec":{"host":"API.example.com","trafficPolicy":\(policy),"subsets":\(subsets)}}
      """
    let object = try #require(try dump(json).objects.first)
    #expect(object.kind == .destinationRule && object.hosts == ["api.example.com"])
    #expect(object.traits == (passes ? ["load-balancer=PASSTHROUGH"] : []))
  }

  @Test("EndpointSlices, Endpoints, WorkloadEntries, Sidecars and NetworkPolicies are read")
  func meshKinds() throws {
    let json = """
      {"kind":"List","items":[
       {"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice",
        "metadata":{"name":"db-x7k2p","namespace":"n","labels":{"kubernetes.io/service-name":"db"}},
        "endpoints":[{"addresses":["10.4.0.9"]},{"addresses":["10.80.3.7"],"targetRef":{"kind":"Pod","name":"p"}},
         {"addresses":["2001:DB8:0::9"],"targetRef":null}]},
       {"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"db","namespace":"n"},
        "subsets":[{"addresses":[{"ip":"10.4.0.8"},{"ip":"10.80.3.8","targetRef":{"kind":"Pod","name":"q"}}]}]},
       {"apiVersion":"networking.istio.io/v1","kind":"WorkloadEntry","metadata":{"name":"vm","namespace":"n","labels":{"app":"new","zone":"a"}},
        "spec":{"address":"10.9.0.1","labels":{"app":"old"}}},
       {"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"default","namespace":"n"},
        "spec":{"egress":[{"hosts":["./*"]}],"outboundTrafficPolicy":{"mode":"REGISTRY_ONLY"}}},
       {"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"deny","namespace":"n"},
        "spec":{"podSelector":{},"policyTypes":["Egress"]}}]}
      """
    let found = try dump(json)
    let objects = found.objects
    #expect(objects.map(\.kind) == [.endpoints, .endpoints, .workloadEntry, .sidecar, .networkPolicy])
    // What is a pod's says its own object.
    #expect(objects[0].addresses == ["10.4.0.9", "2001:db8::9"] && objects[0].workload == "db")
    #expect(objects[1].addresses == ["10.4.0.8"])
    #expect(objects[2].addresses == ["10.9.0.1"] && objects[2].labels == ["app": "old", "zone": "a"])
    #expect(objects[3].trait("outbound-traffic-policy") == "REGISTRY_ONLY")
    #expect(!objects[4].traits.isEmpty, "\(objects[4])")
    #expect(found.kinds["EndpointSlice"] == 1 && found.kinds["NetworkPolicy"] == 1)
  }

  @Test(
    "a rule of a NetworkPolicy opens its pods where it lets them reach the public addresses, at a port that is not DNS's",
    arguments: [
      ("{}", true), (#"{"to":[],"ports":null}"#, true), (#"{"to":[{"ipBlock":{"cidr":"0.0.0.0/0"}}]}"#, true),
      (#"{"to":[{"podSelector":{}},{"ipBlock":{"cidr":"::/0","except":[]}}],"ports":[]}"#, true),
      (#"{"to":[{"ipBlock":{"cidr":"0.0.0.0/0","except":["203.0.113.0/24"]}}]}"#, true),
      (#"{"to":[{"ipBlock":{"except":["10.0.0.0/8","172.16.0.0/12","192.168.0.0/16"],"cidr":"0.0.0.0/0"}}]}"#, true),
      (#"{"to":[{"ipBlock":{"cidr":"0.0.0.0/0","except":["169.254.169.254/32"]}}]}"#, true),
      (#"{"to":[{"ipBlock":{"cidr":"0.0.0.0/0","except":["0.0.0.0/1","128.0.0.0/1"]}}]}"#, false),
      (#"{"to":[{"ipBlock":{"cidr":"2000::/3"}}]}"#, true), (#"{"to":[{"ipBlock":{"cidr":"fc00::/7"}}]}"#, false),
      (#"{"to":[{"ipBlock":{"cidr":"203.0.113.0/24"}}]}"#, false),
      (#"{"to":[{"ipBlock":{"cidr":"10.0.0.0/8"}}]}"#, false), (#"{"to":[{"namespaceSelector":{}}]}"#, false),
      (#"{"ports":[{"port":53}]}"#, false), (#"{"ports":[{"protocol":"TCP"}]}"#, true),
      (#"{"ports":[{"port":53,"endPort":53},{"port":53,"protocol":"UDP"}]}"#, false),
      (#"{"ports":[{"port":53,"endPort":443}]}"#, true), (#"{"ports":[{"port":443}]}"#, true),
      (#"{"ports":[{"port":"https"}]}"#, false), (#"{"to":[{"podSelector":{}}],"ports":[{"port":443}]}"#, false),
      (#"{"ports":[{"port":1,"endPort":65535}]}"#, true), (#"{"ports":[{"port":53},{}]}"#, true),
      (#"{"ports":[{"protocol":"UDP"}]}"#, false), (#"{"ports":[{"port":1,"endPort":1023}]}"#, true),
      (#"{"to":[{"ipBlock":{"cidr":"0.0.0.0/0"}}],"ports":[{"port":443}]}"#, true),
      (#"{"to":[{"ipBlock":{"cidr":"0.0.0.0/0"}}],"ports":[{"port":53}]}"#, false),
      (#"{"ports":[{"port":53}]},{"to":[{"ipBlock":{"cidr":"0.0.0.0/0"}}]}"#, true), ("null, 1", false),
      (#"{"to":[{"ipBlock":{"cidr":"128.0.0.0/1"}},{"ipBlock":{"cidr":"0.0.0.0/1"}}]}"#, true),
      (#"{"to":[{"ipBlock":{"cidr":"::/1"}}]},{"to":[{"ipBlock":{"cidr":"8000::/1"}}]}"#, true),
      (#"{"to":[{"ipBlock":{"cidr":"0.0.0.0/1"}}]}"#, true),
      (ClusterDumpTests.every8(), true), (ClusterDumpTests.every8(but: 203), false),
    ] as [(String, Bool)])
  func egressRules(rules: String, isOpen: Bool) throws {
    let policy = """
      {"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"p","namespace":"n"},
       "spec":{"podSelector":{},"policyTypes":["Egress"],"egress":[\(rules)]}}
      """
    let traits = try #require(try dump(policy).objects.first).traits
    #expect(traits == (isOpen ? ["allows-all-egress"] : []) + ["limits-egress", "selects-all"])
  }

  /// All addresses of IPv4, in ranges of which each may be one owner's.
  static func every8(but left: Int? = nil) -> String {
    let peers = (0...255).filter { $0 != left }.map { #"{"ipBlock":{"cidr":"\#($0).0.0.0/8"}}"# }
    return #"{"to":[\#(peers.joined(separator: ","))]}"#
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
