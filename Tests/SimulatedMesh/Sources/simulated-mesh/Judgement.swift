/// Line by line: what Gatewatch says against what happened.
struct Judgement {
  let lines: [Line]
  let mesh: MeshFiles
  let answers: [Answer]
  fileprivate(set) var card = Scorecard()

  init(_ lines: [Line], _ mesh: MeshFiles, _ answers: [Answer], unlogged: String) {
    (self.lines, self.mesh, self.answers) = (lines, mesh, answers)
    let read = lines.indices.filter { lines[$0].isRead }
    judgeStored(read)
    judgeJoins(read)
    judgeBypass(read)
    judgeClaims(read)
    judgeLostClock(read)
    judgeOutcomes(read)
    judgeClear(read, unlogged)
  }

  /// `sidecar-log:line (way 17)`, looked up by a search, since misses are few.
  fileprivate func name(_ place: Int) -> String {
    let line = lines[place]
    let kind = Int(line.log) + (line.fate == .late ? World.logs : 0)
    let number = mesh.ranges[kind].first { mesh.order[$0] == Int32(place) }.map {
      $0 - mesh.ranges[kind].lowerBound + 1
    }
    let path = mesh.name(of: Int(line.log), isLate: line.fate == .late)
    return "\(path):\(number ?? 0) (way \(line.way))"
  }

  private mutating func miss(_ measure: String, _ text: (Judgement) -> String) {
    if card.hasRoom(for: measure) { card.miss(measure, text(self)) }
  }

  private mutating func judgeStored(_ read: [Int]) {
    card.add("lines stored", read.count { answers[$0].isFound }, of: read.count, least: 10_000)
  }

  // MARK: - Joins

  private mutating func judgeJoins(_ read: [Int]) {
    var found = Array(repeating: 0, count: Joinable.Kind.allCases.count)
    var all = found
    for place in read where lines[place].isJoinable {
      let before = Int(lines[place].before)
      let kind = Joinable.kind(of: lines[place], in: lines)
      all[kind.rawValue] += 1
      if answers[place].journey != 0, answers[place].journey == answers[before].journey {
        found[kind.rawValue] += 1
      } else {
        miss("  \(kind.name)") { "\($0.name(before)) and \($0.name(place)) are one way" }
      }
    }
    card.add("join recall", found.reduce(0, +), of: all.reduce(0, +), least: 9_950)
    for kind in Joinable.Kind.allCases { card.add("  \(kind.name)", found[kind.rawValue], of: all[kind.rawValue]) }

    let joined = read.filter { answers[$0].journey != 0 }.sorted {
      (answers[$0].journey, lines[$0].way) < (answers[$1].journey, lines[$1].way)
    }
    var (true_, said) = (0, 0)
    var first = 0
    while first < joined.count {
      var last = first
      var run = 0
      while last < joined.count, answers[joined[last]].journey == answers[joined[first]].journey {
        run = last > first && lines[joined[last]].way == lines[joined[last - 1]].way ? run + 1 : 0
        true_ += run
        if last > first, run == 0 {
          miss("join precision") { "\($0.name(joined[last - 1])) and \($0.name(joined[last])) are not one way" }
        }
        last += 1
      }
      said += (last - first) * (last - first - 1) / 2
      first = last
    }
    card.add("join precision", true_, of: said, least: 9_999)
  }

  // MARK: - Verdicts

  /// What the line itself tells.
  private mutating func judgeBypass(_ read: [Int]) {
    var (found, all, right, said) = (0, 0, 0, 0)
    for place in read where lines[place].claim == .none && !lines[place].isBereft {
      let (wanted, answer) = (lines[place].bypass, answers[place].bypass)
      if wanted != .none {
        all += 1
        if answer == wanted {
          found += 1
        } else {
          miss("bypass recall") { "\($0.name(place)): \(Judgement.text(answer)), not \(Judgement.text(wanted))" }
        }
      }
      if answer != Line.Bypass.none {
        said += 1
        if answer == wanted {
          right += 1
        } else {
          miss("bypass precision") { "\($0.name(place)): \(Judgement.text(answer)), not \(Judgement.text(wanted))" }
        }
      }
    }
    card.add("bypass recall", found, of: all, least: 10_000)
    card.add("bypass precision", right, of: said, least: 10_000)
  }

  /// What takes the policy, or another log, to prove.
  private mutating func judgeClaims(_ read: [Int]) {
    for (claim, name) in [(Line.Claim.declared, "claims: no sidecar declared"), (.skipped, "claims: sidecar skipped")] {
      let places = read.filter { lines[$0].claim == claim }
      for place in places where answers[place].bypass != lines[place].bypass {
        miss(name) {
          "\($0.name(place)): \(Judgement.text($0.answers[place].bypass)), not \(Judgement.text($0.lines[place].bypass))"
        }
      }
      card.add(name, places.count { answers[$0].bypass == lines[$0].bypass }, of: places.count, least: 10_000)
    }
    // Where the gateway refused, nothing left, and nothing has to be proven.
    let unproven = read.filter { lines[$0].claim == .unproven && lines[$0].outcome != .blocked }
    for place in unproven where !isOpen(place) {
      miss("no claim without a log") { "\($0.name(place)): \(Judgement.text($0.answers[place].bypass)), not unproven" }
    }
    card.add("no claim without a log", unproven.count(where: isOpen), of: unproven.count, least: 10_000)
    let ends = read.filter { lines[$0].claim == .open }
    for place in ends where !isOpen(place) && answers[place].bypass != lines[place].bypass {
      miss("open ends") {
        "\($0.name(place)): \(Judgement.text($0.answers[place].bypass)), not \(Judgement.text($0.lines[place].bypass))"
      }
    }
    card.add(
      "open ends", ends.count { isOpen($0) || answers[$0].bypass == lines[$0].bypass }, of: ends.count, least: 10_000)
    // A lost line looks like a skipped sidecar. Said, not judged: no log tells them apart.
    judgeBereft(read)
  }

  /// The client passed its sidecar, and no line of that was read.
  private mutating func judgeBereft(_ read: [Int]) {
    let bereft = read.filter { lines[$0].isBereft && lines[$0].outcome != .blocked }
    func before(_ place: Int) -> Line { lines[Int(lines[place].before)] }
    func isClaimed(_ place: Int) -> Bool { answers[place].bypass != Line.Bypass.none }
    // A connection that goes on stands in no sidecar's log yet; Squid and gateways write a line for each request on it.
    let toSquid = bereft.filter { before($0).fate == .open && before($0).cluster == .squid }
    for place in toSquid where isClaimed(place) {
      miss("open connection to Squid: no claim") { "\($0.name(place)): \(Judgement.text($0.answers[place].bypass))" }
    }
    card.add("open connection to Squid: no claim", toSquid.count { !isClaimed($0) }, of: toSquid.count, least: 10_000)
    // What no log tells from a skipped sidecar is said, and not judged.
    let others = bereft.filter { before($0).fate == .open && before($0).cluster != .squid }
    card.add("open connection: called skipped", others.count(where: isClaimed), of: others.count)
    let lost = bereft.filter { before($0).fate == .lost }
    card.add("sidecar's line lost: called skipped", lost.count(where: isClaimed), of: lost.count)
    // Other requests on the same connection may prove the client; where there are none, nothing does.
    let alone = lost.filter { before($0).shape == .tcp }
    for place in alone where !isClaimed(place) && !answers[place].isUnproven {
      miss("sidecar's line lost: not cleared") { "\($0.name(place)): clear, though no earlier hop was read" }
    }
    card.add(
      "sidecar's line lost: not cleared", alone.count { isClaimed($0) || answers[$0].isUnproven }, of: alone.count,
      least: 10_000)
  }

  /// Hops of a client whose clock is wrong by minutes are not seen to be one way; that is no sign of anything.
  private mutating func judgeLostClock(_ read: [Int]) {
    let name = "no claim by a wrong clock"
    let places = read.filter {
      let before = Int(lines[$0].before)
      return lines[$0].isAtTheEdge && lines[$0].bypass == .none && before >= 0 && lines[before].isRead
        && World.node(of: Int(lines[before].log)) == World.lostNode
    }
    for place in places where answers[place].bypass != Line.Bypass.none {
      miss(name) { "\($0.name(place)): \(Judgement.text($0.answers[place].bypass))" }
    }
    card.add(name, places.count { answers[$0].bypass == Line.Bypass.none }, of: places.count, least: 10_000)
  }

  private func isOpen(_ place: Int) -> Bool { answers[place].bypass == Line.Bypass.none && answers[place].isUnproven }

  private mutating func judgeOutcomes(_ read: [Int]) {
    let judged = read.filter { lines[$0].outcome != .any }
    let blocked = judged.filter { lines[$0].outcome == .blocked }
    let said = judged.filter { answers[$0].outcome == .blocked }
    for place in judged where answers[place].outcome != lines[place].outcome {
      miss("outcome accuracy") { "\($0.name(place)): \($0.answers[place].outcome), not \($0.lines[place].outcome)" }
    }
    card.add("blocked recall", blocked.count { answers[$0].outcome == .blocked }, of: blocked.count, least: 10_000)
    card.add("blocked precision", said.count { lines[$0].outcome == .blocked }, of: said.count, least: 10_000)
    card.add(
      "outcome accuracy", judged.count { answers[$0].outcome == lines[$0].outcome }, of: judged.count, least: 10_000)
  }

  /// A bypass that is in the logs, and that nothing tells of: no verdict, no mark of doubt, no word on a missing log.
  private mutating func judgeClear(_ read: [Int], _ unlogged: String) {
    let bypasses = read.filter { lines[$0].bypass != .none }
    for place in bypasses where answers[place].bypass == Line.Bypass.none && !answers[place].isUnproven {
      miss("no false all-clear") { "\($0.name(place)): \(Judgement.text($0.lines[place].bypass)) is called clear" }
    }
    card.add(
      "no false all-clear",
      bypasses.count { answers[$0].bypass != Line.Bypass.none || answers[$0].isUnproven }, of: bypasses.count,
      least: 10_000)
    // What passes a sidecar whose log nobody reads stands nowhere; the missing log must be named.
    var seen: Set<Int> = []
    for place in read where lines[place].claim == .unproven { seen.insert(Int(lines[place].client.address)) }
    let named = seen.filter {
      unlogged.contains("\"\(mesh.world.addresses[$0])\"") || unlogged.contains(mesh.world.podNames[$0])
    }
    for pod in seen.subtracting(named).sorted() {
      miss("uncollected logs named") { "\($0.mesh.world.podNames[pod]) \($0.mesh.world.addresses[pod])" }
    }
    card.add("uncollected logs named", named.count, of: seen.count, least: 10_000)
  }

  private static func text(_ bypass: Line.Bypass?) -> String {
    guard let bypass else { return "another bypass" }
    return bypass.word ?? "no bypass"
  }
}

extension Judgement {
  /// The same lines, read in another order: no answer may differ.
  mutating func compareOrder(_ others: [Answer]) {
    let read = lines.indices.filter { lines[$0].isRead }
    for place in read where answers[place] != others[place] {
      miss("same in any order") { "\($0.name(place)): \(others[place]), not \($0.answers[place])" }
    }
    card.add("same in any order", read.count { answers[$0] == others[$0] }, of: read.count, least: 10_000)
  }
}
