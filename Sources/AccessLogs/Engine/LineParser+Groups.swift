internal import CLanes
internal import Flows
internal import Glibc

/// Lines that come as the line before, a few at a time.
extension LineParser {
  /// Reads the next lines side by side as far as the plan at hand understands them, and moves `p` behind them; false when the
  /// next line is none of them.
  ///
  /// Each stage takes all lines before the next one begins: finding the columns, then hashing the keys and asking for the
  /// memory that their look-ups will need, then looking up and writing the rows.
  @inline(__always)
  func readGroup(_ p: inout Bytes, to end: Bytes, room: Int, into batch: FlowBatch) -> Bool {
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
      understood = plan.match(lines, n, places: places, into: lanes, laneSlices, kernels)
    } else if case .json(let plan) = plans[index] {
      while understood < n, plan.match(lines[understood], into: lanes[understood], isFirst: understood == 0) {
        understood += 1
      }
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
      let line = nextLine
      var stored = 0
      switch layout.dialect {
      case .envoy:
        for lane in 0..<n { builder.lookAhead(lanes[lane], layout, lane: lane, into: aheads + lane) }
        for lane in 0..<n {
          builder.expectKeys(
            source: aheads[lane].sourceHash, destination: aheads[lane].destinationHash,
            template: aheads[lane].templateHash)
        }
        while stored < n,
          builder.buildEnvoy(
            lanes[stored], aheads + stored, layout, [], line: line &+ Int64(stored), batch) == .stored
        {
          stored += 1
          if builder.state.pointee.wantsRestart { break }
        }
      case .nginxStream, .nginxHTTP:
        while stored < n,
          builder.buildNginx(lanes[stored], layout, [], line: line &+ Int64(stored), batch) == .stored
        {
          stored += 1
          if builder.state.pointee.wantsRestart { break }
        }
      case .squid:
        while stored < n,
          builder.buildSquid(lanes[stored], layout, [], line: line &+ Int64(stored), batch) == .stored
        {
          stored += 1
          if builder.state.pointee.wantsRestart { break }
        }
      }
      if stored > 0 {
        layout.stored &+= stored
        understoodBy = index
        nextLine = line &+ Int64(stored)
      }
      return stored
    }
  }
}
