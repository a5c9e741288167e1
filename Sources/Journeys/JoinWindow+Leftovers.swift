internal import Flows

/// What the first rules leave over because more than one line, or less than all of what a line shows, has to agree.
extension JoinWindow {
  // MARK: - Attempts on one connection

  /// A request that was tried again over the same connection: several lines with one id. Together they last as long as the
  /// line before them, all but the last failed, and the last one's answer is the one that was passed on.
  func acceptAttempts(_ edges: [JoinEdge]) {
    var counts: [Int32: Int] = [:]
    var attempts: [Int32: [JoinEdge]] = [:]
    for edge in edges where edge.isHTTP {
      counts[edge.later, default: 0] += 1
      attempts[edge.earlier, default: []].append(edge)
    }
    for (first, edges) in attempts where edges.count > 1 && edges.allSatisfy({ counts[$0.later] == 1 }) {
      let sorted = edges.sorted { isBefore(hops[Int($0.later)], hops[Int($1.later)]) }
      guard let answer = sorted.last, isOneRequest(hops[Int(first)], sorted.map { hops[Int($0.later)] }) else {
        continue
      }
      accept(answer)
      for edge in sorted.dropLast() {
        earlier[Int(edge.later)] = first
        marks[Int(edge.later)].insert(.isRepeated)
      }
    }
  }

  private func isBefore(_ one: Hop, _ other: Hop) -> Bool {
    (one.startedAtMs, one.line) < (other.startedAtMs, other.line)
  }

  private func isOneRequest(_ request: Hop, _ attempts: [Hop]) -> Bool {
    guard let first = attempts.first, let last = attempts.last, request.durationMs >= 0, last.durationMs >= 0,
      attempts.allSatisfy({ source($0).log == source(last).log }), status(request) == status(last)
    else { return false }
    let span = last.startedAtMs &+ last.durationMs &- first.startedAtMs
    guard abs(span &- request.durationMs) <= JoinLimits.narrowMs else { return false }
    return attempts.dropLast().allSatisfy {
      isFailed($0) && $0.startedAtMs &+ max($0.durationMs, 0) <= last.startedAtMs
    }
  }

  private func status(_ hop: Hop) -> Int32 { traits.outcomes[Int(hop.outcome)].status }

  /// Something after which a request is tried again.
  private func isFailed(_ hop: Hop) -> Bool {
    let outcome = traits.outcomes[Int(hop.outcome)]
    return outcome.isFlagged || outcome.status >= 500 || outcome.status == 429 || outcome.status == 409
  }

  // MARK: - Connections that a gateway opens

  /// TCP to the earlier hop, HTTP to the later one, which ends the TLS or was dialled by its address: one connection, as
  /// long as no second request came over it.
  func joinOpened() {
    let requests = ins.filter {
      $0.isHTTP && $0.port != 0 && !$0.isForwarded && isOpenLater($0.hop)
        && source(hops[Int($0.hop)]).proxy == .envoy
    }
    guard !requests.isEmpty else { return }
    let found = candidates(
      earlier: outs, { $0.port != 0 && !$0.isHTTP && isOpenEarlier($0.hop) ? portKey($0) : 0 }, later: requests,
      { portKey($0) }, fit: { isSameEndpoint($0, $1) && isSamePodOnLoopback($0, $1) && isWithin($0, $1) })
    settle(take(found), byClocks: false)
  }

  @inline(__always) private func portKey(_ end: HopEnd) -> UInt64 {
    guard end.address != 0 else { return 0 }
    var mixer = Mixer()
    mixer.add(end.address)
    mixer.add(UInt64(end.port))
    return mixer.value
  }

  /// The request came and went while the connection lived, as far as clocks can say.
  private func isWithin(_ connection: Hop, _ request: Hop) -> Bool {
    guard connection.durationMs >= 0 else { return false }
    let slack = skew(connection, request).ms == Skew.none ? JoinLimits.unknownSkewMs : JoinLimits.knownSkewMs
    let known = skew(connection, request).ms
    let skewed = request.startedAtMs &- (known == Skew.none ? 0 : Int64(known)) &- connection.startedAtMs
    return -slack <= skewed && skewed &+ max(request.durationMs, 0) <= connection.durationMs &+ slack
  }

  // MARK: - Clocks of proxies that log no port

  /// What two lines of equal name and bytes show beside: the same life, to the few milliseconds that a proxy needs.
  func isExact(_ edge: JoinEdge) -> Bool {
    let (from, to) = (hops[Int(edge.earlier)], hops[Int(edge.later)])
    guard from.durationMs >= 0, abs(from.durationMs &- to.durationMs) <= JoinLimits.narrowMs else { return false }
    guard destination(from).isUpstreamLoopback else { return isNear(edge) }
    // One pod has one clock; nginx writes the whole second in which the session ended.
    let ends = (to.startedAtMs &+ to.durationMs) &- (from.startedAtMs &+ from.durationMs)
    return -(JoinLimits.wholeSecondMs + JoinLimits.narrowMs) <= ends && ends <= JoinLimits.narrowMs
  }
}
