internal import Flows

extension Policy {
  /// What the policy takes for inside, or for a way through the gateway, and is larger than any one owner's network: most of what an
  /// all-clear would be about is not looked for then, so that it cannot be given without saying so.
  var sweeping: [String] {
    let inside = self.internal.compactMap(\.range).filter(Policy.isSweeping).map {
      "the policy declares \($0) to be inside the mesh, so that nothing that goes there is found"
    }
    let pods = self.pods.flatMap(\.addresses).filter(Policy.isSweeping).map {
      "the policy declares \($0) to be pods, so that nothing that goes there is found"
    }
    // One that holds for some sources alone is somebody's decision about them; what holds for everybody is none.
    let allowed = exceptions.filter { $0.sources.allSatisfy(isEverybody) }.filter {
      $0.addresses.contains(where: Policy.isSweeping)
        || $0.addresses.isEmpty && ($0.hosts.isEmpty || $0.hosts.contains(where: \.isSweeping))
    }.map { "the policy's exception \($0.label) allows what nobody can oversee" }
    let ways = (gateways + sniProxies + forwardProxies).flatMap { proxy in
      proxy.addresses.filter(Policy.isSweeping).map(\.description)
        + proxy.hosts.filter(\.isSweeping).map {
          $0.pattern == "*" ? "every registry host" : "registry hosts like \($0.pattern)"
        }
    }.map { "the policy declares \($0) to be a gateway or proxy, so that all traffic there seems to pass through it" }
    return inside + pods + allowed + ways
  }

  private static func isSweeping(_ range: AddressRange) -> Bool {
    range.isEverything || range.isVast || range.privatePart != nil
  }

  /// All of the mesh, or more.
  private func isEverybody(_ range: AddressRange) -> Bool {
    let inside = self.internal.compactMap(\.range)
    return Policy.isSweeping(range) || !inside.isEmpty && inside.allSatisfy(range.contains)
  }
}

extension HostGlob {
  /// Matches names of many owners: what it spells out is a part of a name that many have, like `*.com` or `*e*`.
  var isSweeping: Bool {
    pattern.contains("*")
      && pattern.utf8.count { ![UInt8(ascii: "*"), UInt8(ascii: "?"), UInt8(ascii: ".")].contains($0) } < 4
  }
}
