extension Policy {
  /// What the policy takes for inside, or for a way through the gateway, and is larger than any one owner's network: most of what an
  /// all-clear would be about is not looked for then, so that it cannot be given without saying so.
  var sweeping: [String] {
    let inside = self.internal.compactMap(\.range).filter(Policy.isSweeping).map {
      "the policy declares \($0) to be inside the mesh, so that nothing that goes there is found"
    }
    let ways = (gateways + sniProxies + forwardProxies).flatMap { proxy in
      proxy.addresses.filter(Policy.isSweeping).map(\.description)
        + proxy.hosts.filter { $0.pattern == "*" }.map { _ in "every registry host" }
    }.map { "the policy declares \($0) to be a gateway or proxy, so that all traffic there seems to pass through it" }
    return inside + ways
  }

  private static func isSweeping(_ range: AddressRange) -> Bool { range.isEverything || range.isVast }
}
