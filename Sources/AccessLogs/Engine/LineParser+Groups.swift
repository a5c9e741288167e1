internal import CLanes
internal import Flows
internal import Glibc

/// Lines that come as the line before, a few at a time.
extension LineParser {
  /// Reads the next lines side by side as far as the plan at hand understands them, and moves `p` behind them; false when the
  /// next line is none of them.
  ///
  /// Each stage takes all lines before the next one begins: finding the columns, then hashing the keys and asking for the
  /// memory that their look-ups will need, then looking up, then writing the rows.
  @inline(__always)
  func readGroup(_ p: inout Bytes, to end: Bytes, room: Int, into batch: FlowBatch) -> Bool {
    // Whether a rival reads a line as well is asked line by line.
    if !rivals[current].isEmpty { return false }
    let most = min(groupSize, room)
    let reach = min(end, p + Self.groupBytes)
    let n = Int(kernels.lines(p, reach, UInt32(truncatingIfNeeded: most), lines))
    if n == 0 { return false }
    let next = lines[n &- 1].end + 1
    for lane in 0..<n where lines[lane].end > lines[lane].start && lines[lane].end[-1] == ASCII.carriageReturn {
      lines[lane].end -= 1
    }
    let index = current
    if prepared != index { prepare(index) }
    var understood = 0
    if let plan = forwards[index] {
      understood = plan.match(laneGroup, n, into: lanes, kernels)
    } else if case .json(let plan) = plans[index] {
      understood = plan.match(laneGroup, n, into: lanes, kernels)
    }
    let stored = understood == 0 ? 0 : buildGroup(understood, index, into: batch)
    if stored == n {
      groupSize = min(Self.group, n * 2)
      p = next
      return true
    }
    groupSize = 1
    if stored == 0 { return false }
    // The line behind the last one stored; its beginning is that of the slice in either case.
    p = lines[stored].start
    return true
  }

  @inline(__always) private func buildGroup(_ n: Int, _ index: Int, into batch: FlowBatch) -> Int {
    layoutsByIndex[index]._withUnsafeGuaranteedRef { layout in
      lookAhead(n, layout, [])
      var stored = 0
      while stored < n, build(lane: stored, layout, [], line: nextLine, batch) == .stored {
        nextLine &+= 1
        stored += 1
        if builder.state.pointee.wantsRestart { break }
      }
      if stored > 0 {
        layout.stored &+= stored
        understoodBy = index
      }
      return stored
    }
  }

  /// Looks up the keys of the first `n` lines of the group.
  @inline(__always) func lookAhead(_ n: Int, _ layout: RowLayout, _ warnings: Warnings) {
    switch layout.dialect {
    case .envoy:
      for lane in 0..<n { builder.lookAhead(lanes[lane], layout, lane: lane, into: aheads + lane) }
    case .nginxStream, .nginxHTTP:
      for lane in 0..<n { builder.lookAheadNginx(lanes[lane], layout, lane: lane) }
    case .squid:
      let isCut = warnings.contains(.truncated)
      for lane in 0..<n { builder.lookAheadSquid(lanes[lane], layout, lane: lane, isCut: isCut) }
    }
    builder.find(n, layout)
  }

  /// Stores the row of one line of the group.
  @inline(__always)
  func build(lane: Int, _ layout: RowLayout, _ warnings: Warnings, line: Int64, _ batch: FlowBatch) -> RowBuilder.Answer
  {
    switch layout.dialect {
    case .envoy:
      builder.buildEnvoy(lanes[lane], lane: lane, aheads + lane, layout, warnings, line: line, batch)
    case .nginxStream, .nginxHTTP:
      builder.buildNginx(lanes[lane], lane: lane, layout, warnings, line: line, batch)
    case .squid: builder.buildSquid(lanes[lane], lane: lane, layout, warnings, line: line, batch)
    }
  }
}
