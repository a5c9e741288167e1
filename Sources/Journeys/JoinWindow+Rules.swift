internal import Flows

extension JoinWindow {
  // MARK: - What two hops must have in common

  /// The address dialled is the one that was reached, as far as both are logged.
  func isSameEndpoint(_ earlier: Hop, _ later: Hop) -> Bool {
    let from = destination(earlier)
    let to = source(later)
    guard to.proxy == .envoy else { return to.own == 0 || from.upstream == to.own || from.isUpstreamLoopback }
    let dialled = destination(later)
    guard dialled.dialled != 0 else { return true }
    return from.upstream == dialled.dialled
      && (from.upstreamPort == 0 || dialled.dialledPort == 0 || from.upstreamPort == dialled.dialledPort)
  }

  /// The same, where both are logged.
  func isSameLoggedEndpoint(_ earlier: Hop, _ later: Hop) -> Bool {
    let isLogged = source(later).proxy == .envoy ? destination(later).dialled != 0 : source(later).own != 0
    return isLogged && isSameEndpoint(earlier, later)
  }

  /// Each pod has a loopback of its own.
  func isSamePodOnLoopback(_ earlier: Hop, _ later: Hop) -> Bool {
    guard destination(earlier).isUpstreamLoopback else { return true }
    let pods = (source(earlier).pod, source(later).pod)
    return pods.0 == 0 || pods.1 == 0 || pods.0 == pods.1
  }

  func isSameRequest(_ earlier: Hop, _ later: Hop) -> Bool {
    let (from, to) = (destination(earlier), destination(later))
    let methods = (traits.outcomes[Int(earlier.outcome)].method, traits.outcomes[Int(later.outcome)].method)
    return isEqual(from.authority, to.authority) && isEqual(methods.0, methods.1)
      && earlier.pathTemplate == later.pathTemplate
  }

  private func isEqual(_ one: Int32, _ other: Int32) -> Bool { one == 0 || other == 0 || one == other }
  private func isEqual(_ one: Int64, _ other: Int64) -> Bool { one < 0 || other < 0 || one == other }

  /// Bytes are equal across Envoy hops unless something went wrong; nginx may count without the ClientHello.
  func isSameBytes(_ earlier: Hop, _ later: Hop) -> Bool {
    let isFlagged =
      traits.outcomes[Int(earlier.outcome)].isFlagged
      || (source(later).proxy == .envoy && traits.outcomes[Int(later.outcome)].isFlagged)
    switch source(later).proxy {
    case .envoy:
      return isFlagged || (isEqual(earlier.sent, later.sent) && isEqual(earlier.received, later.received))
    case .nginxStream:
      return isEqual(earlier.received, later.received) && isSentBeyondHello(earlier.sent, later.sent)
    case .nginxHTTP, .squid:
      return isEqual(earlier.received, later.received)
    }
  }

  private func isSentBeyondHello(_ earlier: Int64, _ later: Int64) -> Bool {
    guard earlier >= 0, later >= 0 else { return true }
    return earlier == later || JoinLimits.clientHello.contains(earlier &- later)
  }

  // MARK: - 1. By connection

  /// The connection with its id (HTTP) or its bytes (TCP).
  func joinByConnection() {
    let found = candidates(
      earlier: outs, { connectionKey($0) }, later: ins, { connectionKey($0) },
      fit: { earlier, later in
        isSameEndpoint(earlier, later) && isSamePodOnLoopback(earlier, later) && isSameBytes(earlier, later)
          && (destination(earlier).isHTTP
            ? isSameRequest(earlier, later) : isEqual(destination(earlier).sni, destination(later).sni))
      })
    var edges = take(found)
    noteOnly(&edges)
    learnSkew(from: edges)
    // Rivals that the clocks refuse are none.
    if !edges.allSatisfy({ isTimely($0) }) {
      edges.removeAll { !isTimely($0) }
      noteOnly(&edges)
    }
    for edge in edges where edge.isOnly { accept(edge) }
    let open = edges.filter { !$0.isOnly && isOpen($0) }
    if !open.isEmpty {
      acceptAttempts(open)
      settle(open, byClocks: true)
    }
    learn { skews in
      for edge in edges where edge.isHTTP && later[Int(edge.earlier)] == edge.later {
        skews[Int(edge.clocks)].noteKeptID(at: destination(hops[Int(edge.later)]).dialledPort)
      }
    }
  }

  @inline(__always) private func connectionKey(_ end: HopEnd) -> UInt64 {
    guard end.address != 0, end.port != 0, !end.isForwarded else { return 0 }
    guard !end.isHTTP || end.requestHash != 0 else { return 0 }
    var mixer = Mixer()
    mixer.add(UInt64(UInt32(bitPattern: end.address)) << 32 | UInt64(end.port) << 1 | (end.isHTTP ? 1 : 0))
    mixer.add(end.isHTTP ? end.requestHash : 0)
    return mixer.value
  }

  // MARK: - 2. By connection and signature

  /// HTTP hops whose ids differ, because the gateway made a new one, or that log none.
  func joinBySignature() {
    let requests = ins.filter { $0.isHTTP && isOpenLater($0.hop) }
    guard !requests.isEmpty else { return }
    let found = candidates(
      earlier: outs, { $0.isHTTP && isOpenEarlier($0.hop) ? signatureKey($0) : 0 }, later: requests,
      { $0.isForwarded ? 0 : signatureKey($0) },
      fit: { earlier, later in
        guard isSameEndpoint(earlier, later), isSamePodOnLoopback(earlier, later), isSameRequest(earlier, later),
          isEqual(earlier.sent, later.sent), isEqual(earlier.received, later.received)
        else { return false }
        guard earlier.requestHash != 0, later.requestHash != 0 else { return true }
        // Equal ids were looked at before; where ids are kept, different ones are different requests.
        // A gateway may replace them at one of its ports, and those of a client that says to stand for another.
        return earlier.requestHash != later.requestHash
          && (source(earlier).isClientForwarded
            || !skew(earlier, later).keepsIDs(at: destination(later).dialledPort))
      })
    var edges = take(found)
    noteOnly(&edges)
    learnSkew(from: edges)
    // Without clocks, only what has no rival at all.
    settle(edges.filter { $0.isOnly && isTimely($0) && !isClocked($0) }, byClocks: false)
    settle(edges.filter { isTimely($0) && isClocked($0) }, byClocks: true)
  }

  private func isClocked(_ edge: JoinEdge) -> Bool { cells[edge.clocks].ms != Skew.none }

  private func signatureKey(_ end: HopEnd) -> UInt64 {
    guard end.address != 0, end.port != 0 else { return 0 }
    let hop = hops[Int(end.hop)]
    var mixer = Mixer()
    mixer.add(end.address)
    mixer.add(UInt64(end.port))
    mixer.add(destination(hop).authority)
    mixer.add(hop.pathTemplate)
    mixer.add(hop.sent)
    mixer.add(hop.received)
    mixer.add(traits.outcomes[Int(hop.outcome)].status)
    return mixer.value
  }

  // MARK: - 3. Repeated attempts

  /// One line of the earlier hop, several of the later, one id: all but the last came over other connections. What was
  /// answered well was not tried again: such a line is another request, to which somebody gave the same id.
  func joinRepeated() {
    let requests = ins.filter { $0.requestHash != 0 && $0.isHTTP && isOpenLater($0.hop) }
    guard !requests.isEmpty else { return }
    // Of nearly all other lines the id alone tells that nobody asks for them.
    var ids = KeyFilter(count: 2 * requests.count)
    for request in requests { ids.add(request.requestHash) }
    let found = candidates(
      earlier: outs, { $0.requestHash != 0 && ids.mayHold($0.requestHash) && $0.isHTTP ? idKey($0) : 0 },
      later: requests, { idKey($0) },
      fit: { isSameRequest($0, $1) })
    let edges = take(found)
    guard !edges.isEmpty else { return }
    var counts: [Int32: Int] = [:]
    for edge in edges { counts[edge.later, default: 0] += 1 }
    var lost: [JoinEdge] = []
    for edge in edges where counts[edge.later] == 1 {
      let earlierHop = hops[Int(edge.earlier)]
      let laterHop = hops[Int(edge.later)]
      let answer = later[Int(edge.earlier)]
      if answer >= 0 {
        // Both attempts stand in one log, so its clock alone decides.
        let last = hops[Int(answer)]
        guard source(last).log == source(laterHop).log, laterHop.startedAtMs <= last.startedAtMs, !isSuccess(laterHop),
          laterHop.startedAtMs >= last.startedAtMs &- max(earlierHop.durationMs, 0) &- JoinLimits.knownSkewMs
        else { continue }
        earlier[Int(edge.later)] = edge.earlier
        marks[Int(edge.later)].insert([.isRepeated, .isClaimed])
      } else if isOpenEarlier(edge.earlier), laterHop.sourcePort == 0 || earlierHop.localPort == 0,
        isSameBytes(earlierHop, laterHop), isSameEndpoint(earlierHop, laterHop)
      {
        lost.append(edge)
      }
    }
    for edge in onlyPairs(lost) where isTimely(edge) {
      accept(edge)
      marks[Int(edge.later)].insert(.isClaimed)
    }
  }

  private func isSuccess(_ hop: Hop) -> Bool {
    let outcome = traits.outcomes[Int(hop.outcome)]
    return !outcome.isFlagged && (200..<300).contains(outcome.status)
  }

  @inline(__always) private func idKey(_ end: HopEnd) -> UInt64 {
    guard end.address != 0 else { return 0 }
    var mixer = Mixer()
    mixer.add(end.address)
    mixer.add(end.requestHash)
    return mixer.value
  }

  // MARK: - 5. Without ports

  /// nginx's and Squid's own formats log no client port.
  func joinWithoutPorts() {
    let portless = ins.filter {
      guard $0.port == 0, !$0.isHTTP, isOpenLater($0.hop) else { return false }
      let hop = hops[Int($0.hop)]
      let proxy = source(hop).proxy
      return hop.received >= 0
        && (proxy == .nginxStream || (proxy == .squid && traits.outcomes[Int(hop.outcome)].isConnect))
    }
    guard !portless.isEmpty else { return }
    let tunnels = outs.filter { !$0.isHTTP && isOpenEarlier($0.hop) }
    let found = candidates(
      earlier: tunnels, { bytesKey($0, name: sni($0)) }, later: portless,
      { bytesKey($0, name: proxy($0) == .squid ? 0 : sni($0)) },
      fit: { isSameEndpoint($0, $1) && isSamePodOnLoopback($0, $1) && isSameBytes($0, $1) && isSameLife($0, $1) })
    let edges = take(found)
    var atSquid = edges.filter { source(hops[Int($0.later)]).proxy == .squid }
    noteOnly(&atSquid)
    learnSkew(from: atSquid)
    acceptOnlyPairs(edges.filter { isExact($0) })
    settle(edges, byClocks: false)
    // A sidecar that passes on what no service claims looks for no server name.
    let nameless = tunnels.filter { isOpenEarlier($0.hop) && sni($0) == 0 }
    let named = portless.filter { isOpenLater($0.hop) && sni($0) != 0 && hops[Int($0.hop)].received > 0 }
    guard !nameless.isEmpty, !named.isEmpty else { return }
    let unnamed = candidates(
      earlier: nameless, { bytesKey($0, name: 0) }, later: named,
      { proxy($0) == .nginxStream ? bytesKey($0, name: 0) : 0 },
      fit: { isSameEndpoint($0, $1) && isSamePodOnLoopback($0, $1) && isSameBytes($0, $1) && isSameLife($0, $1) })
    settle(take(unnamed), byClocks: false)
  }

  /// A CONNECT is plain text: the earlier hop saw no server name.
  private func bytesKey(_ end: HopEnd, name: Int32) -> UInt64 {
    let hop = hops[Int(end.hop)]
    guard end.address != 0, hop.received >= 0 else { return 0 }
    var mixer = Mixer()
    mixer.add(end.address)
    mixer.add(name)
    mixer.add(hop.received)
    return mixer.value
  }

  private func sni(_ end: HopEnd) -> Int32 { destination(hops[Int(end.hop)]).sni }
  private func proxy(_ end: HopEnd) -> ProxyKind { source(hops[Int(end.hop)]).proxy }

  func isSameLife(_ earlier: Hop, _ later: Hop) -> Bool {
    guard earlier.durationMs >= 0, later.durationMs >= 0 else { return false }
    let longer = earlier.durationMs &- later.durationMs
    let slack = later.received == 0 ? JoinLimits.emptyLifeSlackMs : JoinLimits.lifeSlackMs
    guard -JoinLimits.narrowMs <= longer, longer <= slack else { return false }
    let ends = (later.startedAtMs &+ later.durationMs) &- (earlier.startedAtMs &+ earlier.durationMs)
    let rounding = source(later).proxy == .nginxStream ? JoinLimits.wholeSecondMs : 0
    return -(JoinLimits.unknownSkewMs + rounding) <= ends && ends <= JoinLimits.unknownSkewMs
  }
}
