/// The rules that can decide a route; the raw value is `RouteVerdict.rule`, which `explain` prints.
///
/// Rules are tried in this order within their group. "Upstream" is the address the proxy connected to. What the
/// policy declares comes first. Guesses carry an assumption and are never made for public addresses; they come before the
/// rules that end the question with "in the mesh", because a gateway or a proxy in the mesh sends things out.
///
/// | line | rule | path | bypass |
/// |---|---|---|---|
/// | server side | `server-side` | internal | |
/// | own traffic of a proxy (control plane, metrics) | `proxy-own-traffic` | internal | |
/// | upstream host `-` | `nothing-sent` | none | |
/// | sidecar, upstream in the policy's gateways, SNI proxies, forward proxies | `gateway-address`, `sni-proxy-address`, `forward-proxy-address` | gateway, sni-proxy, proxy | |
/// | sidecar, registry host in `gateways.hosts` etc. | `gateway-host`, `sni-proxy-host`, `forward-proxy-host` | gateway, sni-proxy, proxy | |
/// | sidecar, upstream is a gateway's pod in the imported topology | `gateway-topology` | gateway, assumed where it is no proof | |
/// | sidecar, private upstream guessed to be a gateway or proxy | `gateway-guess`, `sni-proxy-guess`, `forward-proxy-guess` | as guessed, assumed | |
/// | sidecar, upstream in `pods` or `mesh.internal` | `mesh-declared` | internal | |
/// | sidecar, upstream is a pod, Service or node of the topology | `mesh-topology` | internal | |
/// | sidecar, upstream wrote or received mesh lines | `mesh-observed` | internal | |
/// | sidecar, upstream is the pod itself | `own-pod` | unknown, assumed | |
/// | sidecar, upstream is 169.254.169.254 | `cloud-metadata` | unknown, assumed | |
/// | sidecar, private upstream that the topology calls outside | `outside-topology` | passthrough, direct | as for public ones |
/// | sidecar, private upstream, registry host in `mesh.internal` | `mesh-host` | internal | |
/// | sidecar, any other private upstream | `private-unknown` | unknown, assumed | |
/// | sidecar, public upstream, undeclared | `passthrough-external` | passthrough | passthrough |
/// | sidecar, public upstream, declared | `service-entry-external` | direct | direct-service-entry |
/// | sidecar, public upstream, no cluster logged | `external-no-cluster` | direct, assumed | direct-service-entry |
/// | sidecar, no upstream column | `upstream-not-logged` | by cluster, assumed | |
/// | sidecar, upstream is no address | `upstream-is-name` | unknown, assumed | |
/// | gateway, client and upstream show traffic that came in | `ingress` | internal | |
/// | gateway | `gateway-line` | gateway | |
/// | waypoint | `waypoint` | by address, else unknown | |
/// | nginx-stream | `sni-proxy-line` | sni-proxy | |
/// | Squid; nginx-http with an absolute target | `forward-proxy-line` | proxy | |
/// | any other nginx-http | `web-server-line` | unknown, assumed | |
/// | an Envoy that does not show its place | `role-unknown` | by address, else unknown, assumed | |
enum Rule: String, Sendable, CaseIterable {
  case serverSide = "server-side"
  case proxyOwnTraffic = "proxy-own-traffic"
  case nothingSent = "nothing-sent"
  case gatewayAddress = "gateway-address"
  case sniProxyAddress = "sni-proxy-address"
  case forwardProxyAddress = "forward-proxy-address"
  case gatewayHost = "gateway-host"
  case sniProxyHost = "sni-proxy-host"
  case forwardProxyHost = "forward-proxy-host"
  case gatewayTopology = "gateway-topology"
  case gatewayGuess = "gateway-guess"
  case sniProxyGuess = "sni-proxy-guess"
  case forwardProxyGuess = "forward-proxy-guess"
  case meshDeclared = "mesh-declared"
  case meshTopology = "mesh-topology"
  case meshObserved = "mesh-observed"
  case ownPod = "own-pod"
  case cloudMetadata = "cloud-metadata"
  case meshHost = "mesh-host"
  case privateUnknown = "private-unknown"
  case outsideTopology = "outside-topology"
  case passthroughExternal = "passthrough-external"
  case serviceEntryExternal = "service-entry-external"
  case externalNoCluster = "external-no-cluster"
  case upstreamNotLogged = "upstream-not-logged"
  case upstreamIsName = "upstream-is-name"
  case ingress
  case gatewayLine = "gateway-line"
  case waypoint
  case sniProxyLine = "sni-proxy-line"
  case forwardProxyLine = "forward-proxy-line"
  case webServerLine = "web-server-line"
  case roleUnknown = "role-unknown"
}
