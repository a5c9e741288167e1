import Flows
import Testing

@testable import EgressPolicy

@Suite("Other objects of a dump")
struct DumpedKindTests: ClusterDumps {
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
    func entry(_ spec: String) throws -> ClusterObject {
      let entry =
        #"{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"e","namespace":"n"},"spec":{\#(spec)}}"#
      return try #require(try dump(entry).objects.first)
    }
    func addresses(_ spec: String) throws -> [String] { try entry(spec).addresses }
    func unread(_ spec: String) throws -> [String] {
      try entry(spec).traits.filter { $0.hasPrefix(ClusterObject.unreadAddress) }
    }
    #expect(
      try unread(#""addresses":["10.50.9.9","10.50.9.0/33","x"]"#) == [
        "unread-address=10.50.9.0/33", "unread-address=x",
      ])
    // Of no use in an entry that looks its host up.
    #expect(try unread(#""addresses":["x"],"resolution":"DNS""#).isEmpty)
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
      (DumpedKindTests.every8(), true), (DumpedKindTests.every8(but: 203), false),
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
}
