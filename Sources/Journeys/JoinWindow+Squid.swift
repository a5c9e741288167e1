internal import Flows

extension JoinWindow {
  // MARK: - 5. At Squid, beyond tunnels that went well

  /// A connection that carried one plain request has its bytes; and of a tunnel that failed Squid counts nothing, though the
  /// client got an error page, so that there only both lives are left to compare.
  mutating func joinAtSquid() {
    let requests = ins.filter {
      isOpenLater($0) && source(hops[Int($0)]).proxy == .squid && hops[Int($0)].received >= 0
    }
    guard !requests.isEmpty else { return }
    let tunnels = outs.filter { isOpenEarlier($0) && !destination(hops[Int($0)]).isHTTP }
    let answered = candidates(
      earlier: tunnels, { squidKey($0, address: local($0), received: $0.received) },
      later: requests, { squidKey($0, address: source($0).client, received: $0.received) },
      fit: { isSameEndpoint($0, $1) && isSamePort($0, $1) && isSameLife($0, $1) })
    let edges = take(answered)
    learnSkew(from: edges)
    settle(edges, byClocks: false)
    let failed = requests.filter { isOpenLater($0) && isFailedTunnel(hops[Int($0)]) }
    guard !failed.isEmpty else { return }
    let rest = tunnels.filter { isOpenEarlier($0) }
    let unanswered = candidates(
      earlier: rest, { squidKey($0, address: local($0), received: 0) },
      later: failed, { squidKey($0, address: source($0).client, received: 0) },
      fit: { isSameEndpoint($0, $1) && isSamePort($0, $1) && $0.received > 0 && isSameLife($0, $1) })
    settle(take(unanswered), byClocks: true)
  }

  private func isFailedTunnel(_ hop: Hop) -> Bool {
    let outcome = traits.outcomes[Int(hop.outcome)]
    return outcome.isConnect && hop.received == 0 && outcome.status >= 400
  }

  private func isSamePort(_ earlier: Hop, _ later: Hop) -> Bool {
    earlier.localPort == 0 || later.sourcePort == 0 || earlier.localPort == later.sourcePort
  }

  private func squidKey(_ hop: Hop, address: Int32, received: Int64) -> UInt64 {
    guard address != 0, received >= 0 else { return 0 }
    var mixer = Mixer()
    mixer.add(address)
    mixer.add(received)
    return mixer.value
  }
}
