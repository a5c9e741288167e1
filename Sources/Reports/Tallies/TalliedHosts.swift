internal import FlowStore

extension TalliedAnswer {
  /// Where traffic went: one line per host. Lists of words stand in alphabetical order, which SQL leaves open.
  static func hosts(_ arguments: [String: Value], _ store: FlowReader) throws -> TalliedAnswer? {
    let words = """
      select
        f.path,
        f.outcome,
        o.protocol,
        -- Without an ending, flows of one verdict may have several outcomes, and so several protocols.
        f.ending_key is null or o.id is null as is_open
      from judged_flow f
      left join outcome o on o.id = f.outcome_id
      where f.id = :example
        and f.counted = 1
        and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
        and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
        and (:path is not null or f.path <> 'internal')
      order by f.id
      """
    var (sources, destinations) = (ShownAlike(), ShownAlike())
    var request = request(arguments)
    request.collectsSources = true
    let tally = try store.tally(request, words: words, arguments: verdictFilters(arguments)) {
      sources = try .senders(arguments, in: store)
      destinations = try .destinations(by: ["host", "port"], arguments, in: store)
      $0.sourceGroups = sources.groups
      $0.destinationGroups = destinations.groups
    }
    guard let tally else { return nil }
    guard !tally.verdicts.contains(where: { $0[3].integer == 1 }) else { return nil }

    // Destinations are in the order of their hosts: those of one host are neighbours.
    var hostOf: [Int] = []
    for (index, place) in destinations.values.enumerated() {
      let isSame = index > 0 && destinations.values[index - 1][0] == place[0]
      hostOf.append(isSame ? hostOf[index - 1] : (hostOf.last ?? -1) + 1)
    }
    var hosts = [Host](repeating: Host(sourceCount: sources.values.count), count: (hostOf.last ?? -1) + 1)
    let verdicts = Verdicts(tally.verdicts)
    for group in tally.groups { hosts[hostOf[group.destination]].add(group, verdicts, tally.sources) }
    let met = hosts.indices.filter { hosts[$0].flows > 0 }.sorted {
      hosts[$0].flows != hosts[$1].flows ? hosts[$0].flows > hosts[$1].flows : $0 < $1
    }
    return TalliedAnswer(
      columns: [
        "host", "flows", "sources", "sent", "received", "first_seen", "last_seen", "protocols", "ports", "paths", "ok",
        "blocked", "failed", "other",
      ], rows: met.map { hosts[$0].row(verdicts, destinations.values) })
  }

  /// What the verdicts say, asked once and not for each of a hundred thousand groups.
  private struct Verdicts {
    enum Ending { case ok, blocked, failed, other }
    let endings: [Ending]
    let words: [[Value]]

    init(_ words: [[Value]]) {
      self.words = words
      endings = words.map { words in
        switch words[1].text {
        case "ok": .ok
        case "blocked": .blocked
        case "failed", "timeout", "mesh-fault": .failed
        default: .other
        }
      }
    }
  }

  private struct Host {
    var flows: Int64 = 0
    private var sum = TallySum()
    /// One bit per source.
    private var sources: [UInt64] = []
    /// Numbers met; few, and often the same one several times in a row.
    private var verdicts: Set<Int> = []
    private var places: Set<Int> = []
    private var lastVerdict = -1
    private var lastPlace = -1
    private var ok: Int64 = 0
    private var blocked: Int64 = 0
    private var failed: Int64 = 0
    private var other: Int64 = 0
    private let sourceCount: Int

    init(sourceCount: Int) { self.sourceCount = sourceCount }

    /// - Parameter met: the sources of each place; nil where the groups tell them apart.
    mutating func add(_ group: Tally.Group, _ said: Verdicts, _ met: [[UInt64]]?) {
      if sources.isEmpty { sources = [UInt64](repeating: 0, count: sourceCount / 64 + 1) }
      if let met {
        if group.destination != lastPlace {
          for (index, word) in met[group.destination].enumerated() { sources[index] |= word }
        }
      } else {
        let source = group.source
        sources[source / 64] |= 1 << UInt64(source % 64)
      }
      flows &+= group.flows
      sum.add(group)
      let verdict = group.verdict
      if verdict != lastVerdict {
        verdicts.insert(verdict)
        lastVerdict = verdict
      }
      let place = group.destination
      if place != lastPlace {
        places.insert(place)
        lastPlace = place
      }
      switch said.endings[verdict] {
      case .ok: ok &+= group.flows
      case .blocked: blocked &+= group.flows
      case .failed: failed &+= group.flows
      case .other: other &+= group.flows
      }
    }

    private static func list(_ values: Set<Value>) -> Value {
      if values.isEmpty { return .null }
      let words = values.sorted(by: precedesInSQL).map { $0.text ?? $0.integer.map(String.init) ?? "" }
      return .text(words.joined(separator: ","))
    }

    /// - Parameter shown: host and port by place.
    func row(_ said: Verdicts, _ shown: [[Value]]) -> [Value] {
      let words = verdicts.map { said.words[$0] }
      return [
        places.first.map { shown[$0][0] } ?? .null, .integer(flows),
        Value(sources.reduce(0) { $0 + $1.nonzeroBitCount }), Value(sum.sent), Value(sum.received),
        .integer(sum.firstMs), .integer(sum.lastMs), Host.list(Set(words.map { $0[2] }.filter { !$0.isNull })),
        Host.list(Set(places.map { shown[$0][1] }.filter { $0 != 0 })), Host.list(Set(words.map { $0[0] })),
        .integer(ok), .integer(blocked), .integer(failed), .integer(other),
      ]
    }
  }
}
