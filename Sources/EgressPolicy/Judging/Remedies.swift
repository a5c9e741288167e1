internal import Flows

/// What would make a verdict another one: the mesh's configuration, the policy, or better logs.
struct Remedies {
  let rule: Rule
  let verdict: RouteVerdict
  let ending: OutcomeVerdict
  let source: Source
  let destination: Destination
  let client: ClientStanding

  private var host: String { destination.host ?? destination.upstream?.ip ?? "the destination" }
  private var upstream: String { destination.upstream?.ip ?? "the upstream address" }

  var sentences: [String] {
    var sentences: [String] = []
    if ending.neverClears {
      sentences.append("a line whose columns can be read in one way only: a JSON format escapes what clients write")
    }
    if !ending.left {
      sentences += unsent
    } else {
      sentences += sent
      if verdict.bypass != nil { sentences += exception }
      if case .bypassed(let reason) = client {
        sentences += claimed(reason)
      } else if verdict.warnings.contains(RouteRules.unproven), client == .open {
        sentences.append(
          "the log of the hop before this one: with the lines of the client's own sidecar (or gateway) read, the source would be proven"
        )
        if verdict.claim != nil, let address = source.clientIP {
          sentences.append(
            "if \(address) carries no sidecar: a pod of the policy with addresses: [\(address)] and sidecar: false, or an imported topology; then this is the bypass \(verdict.claim?.bypass.rawValue ?? "")"
          )
        }
      }
    }
    return sentences
  }

  private func claimed(_ reason: BypassReason) -> [String] {
    let address = source.clientIP ?? "the client"
    var sentences: [String]
    switch reason {
    case .clientHasNoSidecar:
      sentences = [
        "the log of a sidecar at \(address) with a line that is this flow's hop before: what a connection shows comes before any inventory",
        "a sidecar for the pod, or a NetworkPolicy that keeps others from the proxy: for later flows",
      ]
    case .clientSkippedItsSidecar:
      sentences = [
        "a line of that sidecar that could be the hop before, in a log that was not read or that lost lines",
        "a NetworkPolicy or the proxy's own access rules, so that only the mesh can reach it: for later flows",
      ]
    case .clientSkippedTheGateway:
      sentences = ["a VirtualService that routes \(host) to the egress gateway: then the hop before is the gateway"]
    }
    sentences.append(
      "if \(address) is a gateway or proxy of yours after all: its address in the policy's gateways or sni_proxies")
    let byHost = source.proxy == .envoy ? destination.cluster != nil : destination.host != nil
    sentences.append(
      byHost
        ? "an exception of the policy for host \(host): it stays listed as allowed, and raises no finding"
        : "an exception of the policy with addresses: [\(upstream)]: it stays listed as allowed, and raises no finding")
    return sentences
  }

  private var unsent: [String] {
    switch ending.outcome {
    case .blocked:
      [
        "a policy refused it: once the mesh or the proxy allows \(host), later flows leave, and are judged by the way they take"
      ]
    default:
      ["nothing left here, so there is no way to judge: a line that names an upstream address would be judged by it"]
    }
  }

  private var exception: [String] {
    switch rule {
    case .serviceEntryExternal:
      [
        "an exception of the policy for host \(host): it stays listed as allowed, and raises no finding; with addresses: [\(upstream)] it rests on no assumption either"
      ]
    default:
      [
        "an exception of the policy with addresses: [\(upstream)]: it stays listed as allowed, and raises no finding"
      ]
    }
  }

  private var sent: [String] {
    let declare =
      "the policy: under mesh.internal \(upstream) is the mesh, under gateways, sni_proxies or forward_proxies the way out"
    switch rule {
    case .passthroughExternal, .outsideTopology:
      return [
        "a ServiceEntry for \(host) and a route that sends it to the egress gateway: then the sidecar's upstream is the gateway",
        "outboundTrafficPolicy REGISTRY_ONLY: then the sidecar refuses what no ServiceEntry declares",
        "if \(upstream) is a gateway or proxy of yours after all: its address in the policy's gateways, sni_proxies or forward_proxies",
      ]
    case .serviceEntryExternal:
      return [
        "a VirtualService that routes \(host) to the egress gateway: then the sidecar's upstream is the gateway",
        "if \(upstream) is a gateway or proxy of yours after all: its address in the policy's gateways, sni_proxies or forward_proxies",
      ]
    case .externalNoCluster:
      return ["a log format with %UPSTREAM_CLUSTER%: it shows whether a ServiceEntry declares \(host)"]
    case .upstreamNotLogged: return ["a log format with %UPSTREAM_HOST%: it shows where the bytes went"]
    case .upstreamIsName, .ownPod: return ["the log of that next process: it shows where the traffic went on to"]
    case .gatewayGuess, .sniProxyGuess, .forwardProxyGuess:
      return ["\(declare); declared, it is no guess any more"]
    case .gatewayHost, .sniProxyHost, .forwardProxyHost:
      return verdict.assumption == nil
        ? ["the policy without that host"] : ["\(upstream) among the addresses of that entry: then it is no assumption"]
    case .gatewayAddress, .sniProxyAddress, .forwardProxyAddress, .meshDeclared, .meshHost:
      return ["the policy without that entry"]
    case .gatewayTopology, .meshTopology:
      return ["the policy's entries come before the imported topology; or a newer import: gatewatch topology import"]
    case .privateUnknown: return [declare, "an imported topology: gatewatch topology import"]
    case .cloudMetadata: return ["nothing in the policy: block 169.254.169.254 for workloads with a NetworkPolicy"]
    case .roleUnknown, .webServerLine:
      return ["gatewatch ingest --role ROLE for this log, or a log format that shows the proxy's own addresses"]
    case .gatewayLine where verdict.assumption != nil:
      return ["the gateway's own address in the policy's gateways, or gatewatch ingest --role gateway for its log"]
    case .meshObserved:
      return ["another use of the address \(upstream): the policy's entries come before what lines show"]
    case .waypoint where verdict.assumption != nil: return [declare]
    case .serverSide, .proxyOwnTraffic, .nothingSent, .ingress, .gatewayLine, .waypoint, .sniProxyLine,
      .forwardProxyLine:
      return []
    }
  }
}
