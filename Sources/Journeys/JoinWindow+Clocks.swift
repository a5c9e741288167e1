internal import Flows

extension JoinWindow {
  @inline(__always) static func minute(_ hop: Hop) -> Int64 {
    hop.startedAtMs >= 0
      ? hop.startedAtMs / JoinLimits.skewCellMs
      : (hop.startedAtMs &- JoinLimits.skewCellMs &+ 1) / JoinLimits.skewCellMs
  }

  /// The two clocks and the stretch of time: a merged log holds lines of many clocks, one per address.
  @inline(__always)
  static func clocks(_ earlier: Hop, _ later: Hop, _ traits: HopTraits.Tables) -> UInt64 {
    let (from, to) = (traits.sources[Int(earlier.source)], traits.sources[Int(later.source)])
    var mixer = Mixer()
    mixer.add(from.log ^ to.log << 32)
    mixer.add(UInt64(UInt32(bitPattern: traits.local(earlier))) << 32 | UInt64(UInt32(bitPattern: to.own)))
    mixer.add(JoinWindow.minute(earlier))
    return mixer.value
  }

  func skew(_ earlier: Hop, _ later: Hop) -> Skew { cells.skew(of: JoinWindow.clocks(earlier, later, traits)) }

  /// Learns the skew of clocks from pairs that are beyond doubt, where it is not known already.
  func learnSkew(from edges: [JoinEdge]) {
    let only = onlyPairs(edges).filter { cells[$0.clocks].ms == Skew.none }
    guard !only.isEmpty else { return }
    // The differences of each cell side by side, in one array.
    var ends = [Int32](repeating: 0, count: cells.skews.count + 1)
    for edge in only { ends[Int(edge.clocks) + 1] += 1 }
    for cell in 1..<ends.count { ends[cell] += ends[cell - 1] }
    var differences = [Int32](repeating: 0, count: only.count)
    for edge in only {
      differences[Int(ends[Int(edge.clocks)])] = edge.differenceMs
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
    let (difference, delay) = (Int64(edge.differenceMs), Int64(edge.delayMs))
    let skew = cells[edge.clocks].ms
    guard skew != Skew.none else {
      return -JoinLimits.unknownSkewMs <= difference && difference - delay <= JoinLimits.unknownSkewMs
    }
    let late = edge.isHTTP ? delay + JoinLimits.knownSkewMs : JoinLimits.connectMs
    let beyond = difference - Int64(skew)
    let rounding = edge.isWholeSecond ? JoinLimits.wholeSecondMs : 0
    return -JoinLimits.knownSkewMs - rounding <= beyond && beyond <= late + rounding
  }

  /// The clocks leave next to no difference; false where they are not known.
  func isNear(_ edge: JoinEdge) -> Bool {
    let skew = cells[edge.clocks]
    let ms = skew.ms != Skew.none ? skew.ms : skew.hint
    return ms != Skew.none && abs(Int64(edge.differenceMs) - Int64(ms)) <= JoinLimits.narrowMs
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
