import Flows
import Testing

@testable import EgressPolicy

/// One test per rule, without a policy where the rule needs none.
@Suite struct RouteRuleTests {
  @Test(
    "passthrough from a sidecar to a public address is a critical bypass",
    arguments: ["PassthroughCluster", "AllowAnyDynamicDNSCluster", "PassthroughCluster;"])
  func passthrough(cluster: String) {
    let facts = Facts()
    let line = facts.add(sidecar(), to("203.0.113.10:443", cluster: cluster, route: "allow_any"))
    let verdict = facts.route(line)
    #expect(verdict.rule == "passthrough-external")
    #expect(verdict.path == .passthrough)
    #expect(verdict.bypass == .passthrough)
    #expect(verdict.severity == .critical)
    #expect(verdict.assumption == nil)
  }

  @Test("a declared destination reached directly is of severity info while no gateway is known, then a warning")
  func directSeverity() {
    let facts = Facts()
    let line = facts.add(sidecar(), to("203.0.113.10:443", cluster: "outbound|443||h.example"))
    #expect(facts.route(line).severity == .info)
    #expect(facts.route(line).bypass == .directServiceEntry)
    facts.add(gateway(), to("203.0.113.11:443", cluster: "outbound|443||h.example"))
    #expect(facts.route(line).severity == .warning)
    #expect(facts.route(line).bypass == .directServiceEntry)
  }

  @Test("an external address behind a .svc name is a bypass: the address decides")
  func externalBehindServiceName() throws {
    let destination = to("203.0.113.10:443", cluster: "outbound|443||my-baidu-map.default.svc.cluster.local")
    let facts = Facts()
    let line = facts.add(sidecar(), destination)
    #expect(facts.route(line).bypass == .directServiceEntry)
    facts.policy = try policy("mesh: { internal: [10.80.0.0/16, '*.svc.cluster.local'] }")
    #expect(facts.route(line).bypass == .directServiceEntry)
  }

  @Test("allow_any with an outbound cluster (egressProxy) is judged by its address")
  func egressProxy() {
    let facts = Facts()
    let toGateway = facts.add(
      sidecar(),
      to(
        "10.80.3.232:8443", cluster: "outbound|443||istio-egressgateway.istio-system.svc.cluster.local",
        route: "allow_any"))
    let outside = facts.add(
      sidecar(), to("203.0.113.1:443", cluster: "outbound|443||proxy.example", route: "allow_any"))
    #expect(facts.route(toGateway).path == .gateway)
    #expect(facts.route(toGateway).bypass == nil)
    #expect(facts.route(outside).path == .direct)
  }

  @Test("passthrough to an address that wrote or received mesh lines stays in the mesh")
  func passthroughInMesh() {
    let facts = Facts()
    let toWriter = facts.add(sidecar("10.80.3.11"), to("10.80.3.12:8080", cluster: "PassthroughCluster"))
    let toReceiver = facts.add(sidecar("10.80.3.11"), to("10.80.3.13:8080", cluster: "PassthroughCluster"))
    #expect(facts.route(toWriter).path == .unknown)
    #expect(facts.route(toWriter).rule == "private-unknown")
    #expect(
      facts.route(toWriter).assumption
        == "10.80.3.12 is a private address, neither in the policy nor the author or receiver of mesh lines")
    facts.add(sidecar("10.80.3.12"), to("203.0.113.1:80", cluster: "outbound|80||h.example"))
    facts.add(
      Source(log: 1, proxy: .envoy, shape: .inbound, clientIP: "10.80.3.11"),
      to("127.0.0.1:8080", cluster: "inbound|8080||", dialled: "10.80.3.13:8080"))
    for line in [toWriter, toReceiver] {
      #expect(facts.route(line).path == .internal)
      #expect(facts.route(line).rule == "mesh-observed")
      #expect(facts.route(line).assumption == nil)
    }
  }

  @Test("a global IPv6 address that wrote lines is a pod; a public IPv4 address has to be declared")
  func publicPods() {
    let facts = Facts()
    func passthrough(_ ip: String) -> Destination {
      Destination(cluster: "PassthroughCluster", upstream: Endpoint(ip: ip, port: 80))
    }
    let ipv6 = facts.add(sidecar(), passthrough("2001:db8::7"))
    let ipv4 = facts.add(sidecar(), passthrough("203.0.113.7"))
    #expect(facts.route(ipv6).bypass == .passthrough)
    facts.add(sidecar("2001:db8::7"), passthrough("203.0.113.1"))
    facts.add(sidecar("203.0.113.7"), passthrough("203.0.113.1"))
    #expect(facts.route(ipv6).rule == "mesh-observed")
    #expect(facts.route(ipv4).bypass == .passthrough)
  }

  @Test("the client of an inbound line is in the mesh only if its certificate says so")
  func clientsOfInboundLines() {
    let facts = Facts()
    let plain = facts.add(sidecar(), to("10.1.0.5:80", cluster: "PassthroughCluster"))
    let identified = facts.add(sidecar(), to("10.1.0.6:80", cluster: "PassthroughCluster"))
    let inboundTraffic = to("127.0.0.1:8080", cluster: "inbound|8080||", dialled: "10.80.3.11:8080")
    facts.add(inbound("10.80.3.11", client: "10.1.0.5"), inboundTraffic)
    facts.add(inbound("10.80.3.11", client: "10.1.0.6", peer: "spiffe://cluster.local/ns/a/sa/b"), inboundTraffic)
    #expect(facts.route(plain).path == .unknown)
    #expect(facts.route(identified).path == .internal)
  }

  @Test(
    "a private address of which nothing is known is never mesh and never bypass",
    arguments: [
      "10.9.9.9:443", "172.16.0.1:443", "192.168.1.1:443", "100.64.0.1:443", "169.254.1.1:80", "240.240.0.7:80",
    ])
  func privateUnknown(upstream: String) {
    let facts = Facts()
    for cluster in ["PassthroughCluster", "outbound|443||db.prod.svc.cluster.local"] {
      let verdict = facts.route(facts.add(sidecar(), to(upstream, cluster: cluster)))
      #expect(verdict.path == .unknown)
      #expect(verdict.bypass == nil)
      #expect(verdict.assumption != nil)
    }
  }

  @Test("the cloud's metadata service has a rule of its own, unless the policy calls it internal")
  func metadata() throws {
    let facts = Facts()
    let line = facts.add(sidecar(), to("169.254.169.254:80", cluster: "PassthroughCluster"))
    #expect(facts.route(line).rule == "cloud-metadata")
    #expect(facts.route(line).path == .unknown)
    #expect(facts.route(line).assumption != nil)
    facts.policy = try policy("mesh: { internal: [169.254.169.254] }")
    #expect(facts.route(line).rule == "mesh-declared")
  }

  @Test("a gateway's name and a proxy's port never clear a public address")
  func guessesNeverClear() {
    let facts = Facts()
    let lines = [
      facts.add(
        sidecar(), to("203.0.113.1:8443", cluster: "outbound|443||istio-egressgateway.istio-system.svc.cluster.local")),
      facts.add(sidecar(), to("203.0.113.2:3128", cluster: "outbound|3128||my-company-proxy.com")),
      facts.add(sidecar(), to("203.0.113.3:443", cluster: "outbound|443||sni-proxy.local")),
      facts.add(sidecar(), to("203.0.113.4:443", cluster: "outbound|443||db.svc.cluster.local")),
    ]
    facts.add(gateway("203.0.113.1"), to("203.0.113.9:443", cluster: "outbound|443||h.example"))
    for line in lines { #expect(facts.route(line).bypass == .directServiceEntry) }
  }

  @Test("a private address is guessed to be a gateway or a proxy only with an assumption that names it")
  func guesses() {
    let facts = Facts()
    let expected: [(Destination, Path, String)] = [
      (
        to("10.80.3.232:8443", cluster: "outbound|443|x|istio-egressgateway.istio-system.svc.cluster.local"), .gateway,
        "10.80.3.232 is taken for an egress gateway by the name of its service, istio-egressgateway.istio-system.svc.cluster.local"
      ),
      (
        to("10.80.3.9:443", cluster: "outbound|443||sni-proxy.local"), .sniProxy,
        "10.80.3.9 is taken for an SNI proxy by the name of its service, sni-proxy.local"
      ),
      (
        to("10.80.2.87:3128", cluster: "PassthroughCluster"), .proxy,
        "10.80.2.87 port 3128 is taken for a forward proxy by its port"
      ),
      (
        to("10.80.2.88:8080", cluster: "outbound|8080||squid.tools.svc.cluster.local"), .proxy,
        "10.80.2.88 port 8080 is taken for a forward proxy by its port and the name of its service, squid.tools.svc.cluster.local"
      ),
    ]
    for (destination, path, assumption) in expected {
      let verdict = facts.route(facts.add(sidecar(), destination))
      #expect(verdict.path == path)
      #expect(verdict.assumption == assumption)
    }
    // 8080 without a name is any web server, and another port of the proxy's machine is not the proxy
    #expect(facts.route(facts.add(sidecar(), to("10.80.2.89:8080", cluster: "PassthroughCluster"))).path == .unknown)
    #expect(facts.route(facts.add(sidecar(), to("10.80.2.87:22", cluster: "PassthroughCluster"))).path == .unknown)
  }

  @Test("a proxy inside the mesh is still a proxy, a service that is only called so is not")
  func proxyInMesh() throws {
    let facts = Facts(policy: "mesh: { internal: [10.80.0.0/16] }")
    let squid = facts.add(sidecar(), to("10.80.2.87:3128", cluster: "outbound|3128||squid.tools.svc.cluster.local"))
    let service = facts.add(sidecar(), to("10.80.2.88:8080", cluster: "outbound|8080||auth-proxy.x.svc.cluster.local"))
    let gateway = facts.add(
      sidecar(), to("10.80.3.232:8443", cluster: "outbound|443||istio-egressgateway.x.svc.cluster.local"))
    #expect(facts.route(squid).path == .proxy)
    #expect(facts.route(squid).assumption != nil)
    #expect(facts.route(service).rule == "mesh-declared")
    #expect(facts.route(gateway).path == .gateway)
  }

  @Test("the pod's own loopback hides what its processes do with the traffic")
  func ownPod() throws {
    let facts = Facts(policy: "sni_proxies: [ { name: sni, addresses: [127.0.0.1] } ]")
    let verdict = facts.route(facts.add(sidecar(), to("127.0.0.1:8443", cluster: "outbound|8443||sni-proxy.local")))
    #expect(verdict.rule == "own-pod")
    #expect(verdict.path == .unknown)
  }

  @Test("inbound lines are internal, whatever role was declared", arguments: [nil, Role.gateway, .sidecar])
  func serverSide(role: Role?) {
    let facts = Facts()
    for cluster in ["inbound|80||", "InboundPassthroughCluster", "InboundPassthroughClusterIpv4", "inbound|80|http|h"] {
      let line = facts.add(
        Source(log: 1, proxy: .envoy, shape: .other, clientIP: "10.80.3.12"), to("10.80.3.11:80", cluster: cluster),
        role: role)
      #expect(facts.route(line).role == .inbound)
      #expect(facts.route(line).path == .internal)
      #expect(facts.route(line).context == .mesh)
    }
  }

  @Test(
    "a proxy's own traffic to the control plane is internal",
    arguments: ["agent", "prometheus_stats", "xds-grpc", "sds-grpc"])
  func ownTraffic(cluster: String) {
    let facts = Facts()
    #expect(facts.route(facts.add(sidecar(), to("10.0.0.1:15012", cluster: cluster))).path == .internal)
  }

  @Test("nothing sent: the context tells REGISTRY_ONLY, in-mesh and other refusals apart")
  func nothingSent() {
    let facts = Facts()
    facts.add(sidecar("10.80.3.11"), to("203.0.113.1:80", cluster: "outbound|80||h.example"))
    facts.add(sidecar("10.80.3.12"), to("203.0.113.1:80", cluster: "outbound|80||h.example"))
    let pod = unsent(client: "10.80.3.11")
    let expected: [(Destination, OutcomeContext)] = [
      (to(nil, cluster: "BlackHoleCluster", dialled: "203.0.113.12:443", traffic: .tcp), .blackHole),
      (to(nil, dialled: "203.0.113.12:443", traffic: .tcp), .blackHole),
      (to(nil, dialled: "203.0.113.13:80", route: "block_all"), .blockAll),
      (to(nil, dialled: "10.80.3.12:80", route: "default"), .meshUnsent),
      (to(nil, dialled: "203.0.113.13:80", route: "default"), .egressUnsent),
    ]
    for (destination, context) in expected {
      let verdict = facts.route(facts.add(pod, destination, Outcome(status: 502)))
      #expect(verdict.role == .sidecar)
      #expect(verdict.path == .none)
      #expect(verdict.context == context)
      #expect(verdict.bypass == nil)
    }
  }

  @Test("an unsent line at a known gateway's listener is the gateway's")
  func unsentAtGateway() {
    let facts = Facts()
    facts.add(gateway("10.244.0.9", client: "10.244.0.6"), to("203.0.113.1:443", cluster: "outbound|443||h.example"))
    let denied = facts.add(
      unsent(client: "10.244.0.6", log: 2), to(nil, cluster: "outbound|443||h.example", dialled: "10.244.0.9:8080"),
      Outcome(status: 403, details: "rbac_access_denied_matched_policy[none]"))
    #expect(facts.verdict(denied).route.role == .gateway)
    #expect(facts.verdict(denied).route.context == .egressUnsent)
    #expect(facts.verdict(denied).ending == OutcomeVerdict(outcome: .blocked, reason: "rbac-http", left: false))
  }

  @Test("a failed connection attempt to a chosen upstream keeps the path it tried")
  func attempt() {
    let facts = Facts()
    let line = facts.add(
      unsent(client: "10.80.3.11"),
      to("203.0.113.12:443", cluster: "PassthroughCluster", traffic: .tcp), Outcome(status: 0, flags: "UF,URX"))
    #expect(facts.route(line).bypass == .passthrough)
    #expect(facts.verdict(line).ending == OutcomeVerdict(outcome: .failed, reason: "connection-failure"))
  }

  @Test("a gateway line of a mesh client is path gateway, a private upstream included")
  func gatewayLine() {
    let facts = Facts()
    facts.add(
      sidecar("10.80.3.11"), to("10.80.3.232:8443", cluster: "outbound|443||istio-egressgateway.x.svc.cluster.local"))
    let line = facts.add(
      gateway(client: "10.80.3.11"),
      to("10.80.2.14:443", cluster: "outbound|443||my-nginx.mesh-external.svc.cluster.local"))
    #expect(facts.route(line).path == .gateway)
    // The hops are joined later, flow by flow.
    #expect(facts.route(line).warnings == ["source-unproven"])
  }

  @Test("traffic that came in from outside to the mesh is not egress")
  func ingress() {
    let facts = Facts()
    facts.add(sidecar("10.80.3.12"), to("203.0.113.1:80", cluster: "outbound|80||h.example"))
    let known = facts.add(
      gateway(client: "198.51.100.7"), to("10.80.3.12:8080", cluster: "outbound|80||shop.svc.cluster.local"))
    let assumed = facts.add(
      gateway(client: "198.51.100.7"), to("10.80.9.9:8080", cluster: "outbound|80||shop.svc.cluster.local"))
    let outward = facts.add(gateway(client: "198.51.100.7"), to("203.0.113.9:80", cluster: "outbound|80||h.example"))
    #expect(facts.route(known).rule == "ingress")
    #expect(facts.route(known).assumption == nil)
    #expect(facts.route(assumed).path == .internal)
    #expect(facts.route(assumed).assumption != nil)
    #expect(facts.route(outward).path == .gateway)
    #expect(facts.route(outward).warnings == ["source-unproven"])
  }

  @Test("a line that does not show its role is listed as unknown, with --role it is judged")
  func roleUnknown() {
    let facts = Facts()
    let source = Source(log: 1, proxy: .envoy, shape: .unaddressed)
    let unknown = facts.add(source, to("203.0.113.1:80"))
    let declared = facts.add(source, to("203.0.113.1:80"), role: .gateway)
    let declaredSidecar = facts.add(source, to("203.0.113.1:80"), role: .sidecar)
    #expect(facts.route(unknown).role == .unknown)
    #expect(facts.route(unknown).path == .unknown)
    #expect(facts.route(unknown).assumption != nil)
    #expect(facts.route(declared).path == .gateway)
    #expect(facts.route(declaredSidecar).rule == "external-no-cluster")
    #expect(facts.route(declaredSidecar).bypass == .directServiceEntry)
  }

  @Test("a gateway whose log was read with its role is no guess, and still clears no public address")
  func declaredRole() {
    let facts = Facts()
    let cluster = "outbound|443||istio-egressgateway.istio-system.svc.cluster.local"
    let inside = facts.add(sidecar(), to("10.80.3.232:8443", cluster: cluster))
    let outside = facts.add(sidecar(), to("203.0.113.7:8443", cluster: cluster))
    for own in ["10.80.3.232", "203.0.113.7"] {
      facts.add(gateway(own), to("203.0.113.1:443", cluster: "outbound|443||h.example"), role: .gateway)
    }
    #expect(facts.route(inside).rule == "gateway-address")
    #expect(facts.route(inside).assumption == nil)
    #expect(facts.route(outside).bypass == .directServiceEntry)
    #expect(facts.judgement().assumptions.isEmpty)
  }

  @Test("waypoint lines are internal only where the address says so")
  func waypoint() throws {
    let facts = Facts(policy: "mesh: { internal: [10.80.0.0/16] }")
    let source = Source(log: 1, proxy: .envoy, shape: .waypoint)
    let inside = facts.add(source, to("10.80.1.1:80", cluster: "inbound-vip|80|http|h"))
    let outside = facts.add(source, to("203.0.113.1:80", cluster: "inbound-vip|80|http|h"))
    #expect(facts.route(inside).path == .internal)
    #expect(facts.route(outside).path == .unknown)
    #expect(facts.route(outside).assumption != nil)
  }

  @Test("nginx as a web server is unknown; with an absolute target, or by policy, it is a forward proxy")
  func nginxHTTP() {
    let facts = Facts(policy: "forward_proxies: [ { name: p, addresses: [10.80.2.99] } ]")
    func source(_ own: String?) -> Source {
      Source(log: 5, proxy: .nginxHTTP, shape: .server, clientIP: "10.80.3.11", proxyIP: own)
    }
    let plain = facts.add(source(nil), Destination(logsUpstream: false))
    let absolute = facts.add(
      source(nil), Destination(host: "h.example", hostOrigin: .target, port: 80, logsUpstream: false))
    let declared = facts.add(source("10.80.2.99"), Destination(logsUpstream: false))
    #expect(facts.route(plain).path == .unknown)
    #expect(facts.route(plain).assumption != nil)
    #expect(facts.route(absolute).path == .proxy)
    #expect(facts.route(declared).path == .proxy)
    #expect(facts.route(declared).warnings == ["source-unproven"])
  }

  @Test("a refused connection has no local address: in a log of gateways alone the listener's says whose line it is")
  func refusedAtGateway() {
    for (hasSidecarLines, listener) in [(false, "10.80.3.232"), (true, "10.80.3.232"), (false, "10.80.3.240")] {
      let facts = Facts(policy: "gateways: [ { name: egress, addresses: [10.80.3.232] } ]\n")
      facts.add(gateway("10.80.3.232"), to("203.0.113.1:443", cluster: "outbound|443||h.example"))
      if hasSidecarLines {
        var other = sidecar()
        other.log = 2
        facts.add(other, to("10.80.3.232:8443", cluster: "outbound|443||h.example"))
      }
      var refused = gateway("10.80.3.232")
      (refused.proxyIP, refused.shape) = (nil, .notSent)
      let line = facts.add(
        refused, to("203.0.113.1:443", cluster: "outbound|443||h.example", dialled: "\(listener):8080"))
      let isCertain = !hasSidecarLines && listener == "10.80.3.232"
      #expect((facts.route(line).assumption == nil) == isCertain, "\(hasSidecarLines) \(listener)")
    }
  }

  @Test("a gateway's address proves the client of an SNI proxy, a loopback address proves nothing")
  func sniProxyClients() {
    let facts = Facts()
    facts.add(gateway("10.80.3.232"), to("10.80.3.233:443", cluster: "outbound|443||sni-proxy.local"))
    let destination = Destination(host: "h.example", hostOrigin: .sni, port: 443, traffic: .tcp, logsUpstream: false)
    #expect(facts.route(facts.add(nginx(client: "10.80.3.232"), destination)).warnings == [])
    #expect(facts.route(facts.add(nginx(client: "10.80.3.11"), destination)).warnings == ["source-unproven"])
    #expect(facts.route(facts.add(nginx(client: "127.0.0.1"), destination)).warnings == ["source-unproven"])
  }

  @Test("a flow is handed to the gateway's log only for the time that log was read, and only if it is that gateway's")
  func nextHop() {
    let facts = Facts()
    let cluster = "outbound|443||istio-egressgateway.istio-system.svc.cluster.local"
    let known = facts.add(sidecar(), to("10.80.3.232:8443", cluster: cluster))
    let other = facts.add(sidecar(), to("10.80.3.240:8443", cluster: cluster))
    facts.add(gateway("10.80.3.232", log: 2), to("203.0.113.1:443", cluster: "outbound|443||h.example"))
    facts.logs = [LogSpan(log: 1, firstMs: 0, lastMs: 99_000), LogSpan(log: 2, firstMs: 10_000, lastMs: 20_000)]
    #expect(facts.route(known).nextHop == .gateway)
    #expect(facts.route(known).nextHopFromMs == 8_000)
    #expect(facts.route(known).nextHopUntilMs == 22_000)
    #expect(facts.route(other).path == .gateway)
    // Of the other one no log was read: its lines are missing, for whatever time.
    #expect(facts.route(other).nextHop == .gateway)
    #expect(facts.route(other).nextHopFromMs == nil)
    #expect(facts.route(other).nextHopUntilMs == nil)
  }

  @Test(
    "what lies between two logs of a gateway was not read, unless it is so short that the gateway may have been idle")
  func holesOfNextHop() {
    let facts = Facts()
    let cluster = "outbound|443||istio-egressgateway.istio-system.svc.cluster.local"
    let line = facts.add(sidecar(), to("10.80.3.232:8443", cluster: cluster))
    var spans: [LogSpan] = [LogSpan(log: 1, firstMs: 0, lastMs: 9_999_000)]
    for (log, first, last) in [(2, 10_000, 20_000), (5, 990_000, 999_000), (6, 60_000, 500_000), (7, 100_000, 110_000)]
      as [(Int64, Int64, Int64)]
    {
      facts.add(gateway("10.80.3.232", log: log), to("203.0.113.\(log):443", cluster: "outbound|443||h.example"))
      spans.append(LogSpan(log: log, firstMs: first, lastMs: last))
    }
    facts.logs = spans
    let verdict = facts.route(line)
    #expect(verdict.nextHopFromMs == 8_000 && verdict.nextHopUntilMs == 1_001_000)
    #expect(verdict.nextHopHoles == [502_001...987_999])
  }

  @Test(
    "of more forward proxies than logs without an address were read, and of more gateways' own SNI proxies, nobody knows whose"
  )
  func unreadNextHops() {
    for proxies in [["10.80.2.87"], ["10.80.2.87", "10.80.2.88"]] {
      let facts = Facts(policy: "forward_proxies: [ { name: squid, addresses: [10.80.2.87, 10.80.2.88] } ]\n")
      let lines = proxies.map { facts.add(sidecar(), to("\($0):3128", cluster: "outbound|3128||proxy.example")) }
      facts.add(squid(client: "10.80.3.11"), to("203.0.113.1:443"))
      facts.logs = [LogSpan(log: 1, firstMs: 0, lastMs: 99_000), LogSpan(log: 4, firstMs: 10_000, lastMs: 20_000)]
      for line in lines { #expect(facts.route(line).nextHopFromMs == (proxies.count == 1 ? 8_000 : nil)) }
    }
    for gateways in [["10.80.3.232"], ["10.80.3.232", "10.80.3.233"]] {
      let facts = Facts()
      var lines: [Int] = []
      for (index, address) in gateways.enumerated() {
        lines.append(
          facts.add(
            gateway(address, log: Int64(5 + index), loopback: true),
            to("127.0.0.1:18443", cluster: "outbound|18443||sni-proxy.local")))
      }
      facts.add(nginx(client: "127.0.0.1"), to("203.0.113.1:443"))
      facts.logs = [3, 5, 6].map { LogSpan(log: $0, firstMs: 10_000, lastMs: 20_000) }
      for line in lines {
        #expect(facts.route(line).nextHopFromMs == (gateways.count == 1 ? 8_000 : nil))
        // That what goes there leaves the mesh is shown all the same.
        #expect(facts.route(line).claim?.bypass == .noSidecar)
      }
    }
  }

  @Test("a flow is handed to a Squid's log only for the time its access log was read, whatever was read beside it")
  func nextHopOfSideLog() {
    for shape in [HopShape.server, .sideLog] {
      let facts = Facts(policy: "forward_proxies: [ { name: squid, addresses: [10.80.2.87] } ]\n")
      let line = facts.add(sidecar(), to("10.80.2.87:3128", cluster: "outbound|3128||proxy.example"))
      var source = squid(client: "10.80.3.11")
      source.shape = shape
      facts.add(source, to("203.0.113.1:443"))
      facts.logs = [LogSpan(log: 1, firstMs: 0, lastMs: 99_000), LogSpan(log: 4, firstMs: 10_000, lastMs: 20_000)]
      #expect(facts.route(line).nextHop == .forwardProxy)
      #expect(facts.route(line).nextHopFromMs == (shape == .server ? 8_000 : nil))
    }
  }

  @Test("without an upstream column only names are left, and everything but a bypass stays assumed")
  func upstreamNotLogged() {
    let facts = Facts()
    func destination(_ cluster: String, dialled: String) -> Destination {
      Destination(cluster: cluster, dialled: endpoint(dialled), logsUpstream: false)
    }
    let bypass = facts.add(sidecar(), destination("PassthroughCluster", dialled: "203.0.113.1:443"))
    let gateway = facts.add(
      sidecar(), destination("outbound|443||istio-egressgateway.x.svc.cluster.local", dialled: "203.0.113.1:443"))
    let open = facts.add(sidecar(), destination("outbound|443||h.example", dialled: "203.0.113.1:443"))
    #expect(facts.route(bypass).bypass == .passthrough)
    #expect(facts.route(gateway).path == .gateway)
    #expect(facts.route(open).path == .unknown)
    for line in [bypass, gateway, open] { #expect(facts.route(line).assumption != nil) }
  }

  @Test("an upstream that is no address leaves the path unknown")
  func upstreamIsName() {
    let facts = Facts()
    let line = facts.add(
      sidecar(), Destination(cluster: "outbound|80||h", upstreamName: "envoy://connect_originate/10.0.0.5:15008"))
    #expect(facts.route(line).rule == "upstream-is-name")
    #expect(facts.route(line).path == .unknown)
    #expect(facts.route(line).assumption != nil)
  }
}
