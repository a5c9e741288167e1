internal import Flows

extension JoinWindow {
  // MARK: - 6. At Squid, beyond tunnels that went well

  /// A connection that carried one plain request has its bytes; and of a tunnel that failed Squid counts nothing, though the
  /// client got an error page, so that there only both lives are left to compare.
  func joinAtSquid() {
    let requests = ins.filter {
      isOpenLater($0.hop) && source(hops[Int($0.hop)]).proxy == .squid && hops[Int($0.hop)].received >= 0
    }
    guard !requests.isEmpty else { return }
    let tunnels = outs.filter { !$0.isHTTP && isOpenEarlier($0.hop) }
    let answered = candidates(
      earlier: tunnels, { squidKey($0, received: hops[Int($0.hop)].received) }, later: requests,
      { squidKey($0, received: hops[Int($0.hop)].received) },
      fit: { isSameEndpoint($0, $1) && isSamePort($0, $1) && isSameLife($0, $1) })
    var edges = take(answered)
    noteOnly(&edges)
    learnSkew(from: edges)
    settle(edges, byClocks: false)
    let failed = requests.filter { isOpenLater($0.hop) && isFailedTunnel(hops[Int($0.hop)]) }
    guard !failed.isEmpty else { return }
    let rest = tunnels.filter { isOpenEarlier($0.hop) }
    let unanswered = candidates(
      earlier: rest, { squidKey($0, received: 0) }, later: failed, { squidKey($0, received: 0) },
      fit: { isSameEndpoint($0, $1) && isSamePort($0, $1) && $0.received > 0 && isSameLife($0, $1) })
    settle(withoutContradiction(take(unanswered)), byClocks: true)
  }

  private func isFailedTunnel(_ hop: Hop) -> Bool {
    let outcome = traits.outcomes[Int(hop.outcome)]
    return outcome.isConnect && hop.received == 0 && outcome.status >= 400
  }

  private func isSamePort(_ earlier: Hop, _ later: Hop) -> Bool {
    earlier.localPort == 0 || later.sourcePort == 0 || earlier.localPort == later.sourcePort
  }

  private func squidKey(_ end: HopEnd, received: Int64) -> UInt64 {
    guard end.address != 0, received >= 0 else { return 0 }
    var mixer = Mixer()
    mixer.add(end.address)
    mixer.add(received)
    return mixer.value
  }
}
