internal import Flows

extension JoinWindow {
  /// Within some twelve seconds: the hops of a pair lie in neighbouring slots.
  @inline(__always) func difference(_ edge: JoinEdge) -> Int64 {
    hops[Int(edge.later)].startedAtMs &- hops[Int(edge.earlier)].startedAtMs
  }

  @inline(__always) static func minute(_ hop: Hop) -> Int64 {
    hop.startedAtMs >= 0
      ? hop.startedAtMs / JoinLimits.skewCellMs
      : (hop.startedAtMs &- JoinLimits.skewCellMs &+ 1) / JoinLimits.skewCellMs
  }

  /// The two clocks and the stretch of time: a merged log holds lines of many clocks, one per address.
  @inline(__always) func clocks(_ earlier: Hop, _ later: Hop) -> UInt64 {
    var mixer = Mixer()
    mixer.add(source(earlier).log)
    mixer.add(local(earlier))
    mixer.add(source(later).log)
    mixer.add(source(later).own)
    mixer.add(JoinWindow.minute(earlier))
    return mixer.value
  }

  func skew(_ earlier: Hop, _ later: Hop) -> Skew { cells.skew(of: clocks(earlier, later)) }

  /// Learns the skew of clocks from pairs that are beyond doubt, where it is not known already.
  mutating func learnSkew(from edges: [JoinEdge]) {
    let only = onlyPairs(edges).filter { cells[$0.clocks].ms == Skew.none }
    guard !only.isEmpty else { return }
    // The differences of each cell side by side, in one array.
    var ends = [Int32](repeating: 0, count: cells.skews.count + 1)
    for edge in only { ends[Int(edge.clocks) + 1] += 1 }
    for cell in 1..<ends.count { ends[cell] += ends[cell - 1] }
    var differences = [Int32](repeating: 0, count: only.count)
    for edge in only {
      differences[Int(ends[Int(edge.clocks)])] = Int32(clamping: difference(edge))
      ends[Int(edge.clocks)] += 1
      if cells[edge.clocks].samples == 0 { cells[edge.clocks].example = edge }
    }
    var first = 0
    for cell in 0..<ends.count - 1 {
      // Each end has moved to where the next one began.
      let end = Int(ends[cell])
      defer { first = end }
      if end == first { continue }
      differences[first..<end].sort()
      let count = end - first
      if count >= JoinLimits.skewSamples {
        cells[Int32(cell)].ms = differences[first + count / 2]
      } else if Int64(differences[end - 1]) - Int64(differences[first]) <= JoinLimits.narrowMs {
        cells[Int32(cell)].hint = differences[first]
      }
      cells[Int32(cell)].samples = Int32(count)
    }
  }

  /// The clocks allow that the pair is one way.
  @inline(__always) func isTimely(_ edge: JoinEdge) -> Bool {
    let earlier = hops[Int(edge.earlier)]
    let isHTTP = destination(earlier).isHTTP
    // A request's last attempt may begin long after the first; a connection is made at once.
    let delay = isHTTP ? min(max(earlier.durationMs, 0), 2 * JoinLimits.slotMs) : 0
    let difference = difference(edge)
    let skew = cells[edge.clocks].ms
    guard skew != Skew.none else {
      return -JoinLimits.unknownSkewMs <= difference && difference - delay <= JoinLimits.unknownSkewMs
    }
    let late = isHTTP ? delay + JoinLimits.knownSkewMs : JoinLimits.connectMs
    let beyond = difference - Int64(skew)
    // nginx may write whole seconds: then its starts scatter over one.
    let rounding = source(hops[Int(edge.later)]).proxy == .nginxStream ? JoinLimits.wholeSecondMs : 0
    return -JoinLimits.knownSkewMs - rounding <= beyond && beyond <= late + rounding
  }

  /// The clocks leave next to no difference; false where they are not known.
  func isNear(_ edge: JoinEdge) -> Bool {
    let skew = cells[edge.clocks]
    let ms = skew.ms != Skew.none ? skew.ms : skew.hint
    return ms != Skew.none && abs(difference(edge) - Int64(ms)) <= JoinLimits.narrowMs
  }

  /// What was learned of clocks, minute by minute.
  func clockMinutes() -> [ClockMinute] {
    cells.skews.compactMap { skew in
      guard skew.ms != Skew.none || skew.hint != Skew.none else { return nil }
      let earlier = hops[Int(skew.example.earlier)]
      let later = hops[Int(skew.example.later)]
      let (ms, isOver) = JoinWindow.minute(earlier).multipliedReportingOverflow(by: JoinLimits.skewCellMs)
      if isOver { return nil }
      return ClockMinute(
        pair: ClockSkews.Pair(
          earlierLog: source(earlier).log, earlier: local(earlier), laterLog: source(later).log,
          later: source(later).own),
        ms: ms, skewMs: Int64(skew.ms != Skew.none ? skew.ms : skew.hint), samples: Int64(skew.samples))
    }
  }
}
