internal import Flows

extension JoinWindow {
  @inline(__always) static func minute(_ hop: Hop) -> Int64 {
    hop.startedAtMs >= 0
      ? hop.startedAtMs / JoinLimits.skewCellMs
      : (hop.startedAtMs &- JoinLimits.skewCellMs &+ 1) / JoinLimits.skewCellMs
  }

  /// The two clocks and the stretch of time: a merged log holds lines of many clocks, one per address.
  @inline(__always)
  static func clocks(_ earlier: Hop, _ later: Hop, _ traits: HopTraits.Tables) -> ClockCells.Key {
    let (from, to) = (traits.sources[Int(earlier.source)], traits.sources[Int(later.source)])
    var mixer = Mixer()
    mixer.add(from.log ^ to.log << 32)
    mixer.add(UInt64(UInt32(bitPattern: traits.local(earlier))) << 32 | UInt64(UInt32(bitPattern: to.own)))
    return ClockCells.Key(clocks: mixer.value, minute: JoinWindow.minute(earlier))
  }

  func skew(_ earlier: Hop, _ later: Hop) -> Skew { cells.skew(of: JoinWindow.clocks(earlier, later, traits)) }

  /// Learns the skew of clocks from pairs that are beyond doubt, where it is not known already.
  /// - Parameter edges: of which `noteOnly` has told.
  func learnSkew(from edges: [JoinEdge]) {
    learn { skews in
      // The differences of each cell side by side, in one array.
      var ends = [Int32](repeating: 0, count: skews.count + 1)
      var total = 0
      for edge in edges where edge.isOnly && skews[Int(edge.clocks)].ms == Skew.none {
        ends[Int(edge.clocks) + 1] += 1
        total += 1
      }
      guard total > 0 else { return }
      for cell in skews.indices { ends[cell + 1] += ends[cell] }
      withUnsafeTemporaryAllocation(of: Int32.self, capacity: total) { differences in
        for edge in edges where edge.isOnly && skews[Int(edge.clocks)].ms == Skew.none {
          let cell = Int(edge.clocks)
          differences.initializeElement(at: Int(ends[cell]), to: edge.differenceMs)
          ends[cell] += 1
          if skews[cell].samples == 0 { skews[cell].example = (edge.earlier, edge.later) }
        }
        var first = 0
        for cell in skews.indices {
          // Each end has moved to where the next one began.
          var own = UnsafeMutableBufferPointer(rebasing: differences[first..<Int(ends[cell])])
          first += own.count
          if own.isEmpty { continue }
          own.sort()
          if own.count >= JoinLimits.skewSamples {
            skews[cell].ms = own[own.count / 2]
          } else if Int64(own[own.count - 1]) - Int64(own[0]) <= JoinLimits.narrowMs {
            skews[cell].hint = own[0]
          }
          skews[cell].samples = Int32(own.count)
        }
      }
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
