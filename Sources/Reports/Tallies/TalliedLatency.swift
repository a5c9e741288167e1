internal import FlowStore

extension TalliedAnswer {
  /// How long the destinations take: per kind of traffic, host and path, at the hop closest to the destination.
  static func latency(_ arguments: [String: Value], _ limit: Int?, _ store: FlowReader) throws -> TalliedAnswer? {
    let words = """
      select f.path, f.vantage, f.vantage_rank, f.outcome = 'timeout' as is_timeout
      from latency_flow f
      where f.id = :example
        and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
        and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
      order by f.id
      """
    var request = request(arguments)
    request.measuresDurations = true
    var hosts = ShownAlike()
    let tally = try store.tally(request, words: words, arguments: verdictFilters(arguments)) {
      hosts = try .destinations(by: ["traffic", "host"], arguments, in: store)
      $0.destinationGroups = hosts.groups
      guard arguments["sources"]?.isNull == false else { return }
      $0.sourceGroups = ShownAlike.only(try ShownAlike.senders(arguments, in: store))
    }
    guard var tally else { return nil }

    // Timeouts are told apart to be counted, and measured with the rest.
    let kinds = Kinds(tally.verdicts)
    var places: [Int: Int] = [:]
    var measured: [Measured] = []
    for (index, group) in tally.groups.enumerated() {
      let kind = kinds.kinds[group.verdict]
      let key = group.destination * kinds.words.count + kind
      // Taken out, for nobody else holds them then, and adding to them copies none.
      var durations = Histogram()
      swap(&durations, &tally.durations[index])
      let timeouts = kinds.isTimeout[group.verdict] ? durations.count : 0
      guard let place = places[key] else {
        places[key] = measured.count
        measured.append(Measured(host: group.destination, kind: kind, durations: durations, timeouts: timeouts))
        continue
      }
      measured[place].durations.merge(durations)
      measured[place].timeouts += timeouts
    }
    // One vantage per host and path.
    var chosen: [Int: Int] = [:]
    for (index, one) in measured.enumerated() {
      let place = one.host * kinds.words.count + kinds.paths[one.kind]
      guard let rival = chosen[place], !kinds.isCloser(one, than: measured[rival]) else {
        chosen[place] = index
        continue
      }
    }
    // Hosts are numbered by traffic, then by name.
    var (rest, flows, timeouts) = (0, Int64(0), Int64(0))
    let shown = first(limit, of: Array(chosen.values)) { one, other in
      let (one, other) = (measured[one], measured[other])
      let (traffic, otherTraffic) = (hosts.values[one.host][0], hosts.values[other.host][0])
      if traffic != otherTraffic { return precedesInSQL(traffic, otherTraffic) }
      if one.durations.count != other.durations.count { return one.durations.count > other.durations.count }
      return one.host != other.host ? one.host < other.host : kinds.precedes(one, other)
    } others: {
      rest += 1
      flows = added(flows, Int64(clamping: measured[$0].durations.count)) ?? 0
      timeouts = added(timeouts, Int64(clamping: measured[$0].timeouts)) ?? 0
    }
    return TalliedAnswer(
      columns: ["traffic", "host", "path", "vantage", "flows", "p50", "p90", "p95", "p99", "max", "timeouts"],
      rows: shown.map { index in
        let one = measured[index]
        return hosts.values[one.host] + kinds.words[one.kind].prefix(2)
          + [.integer(Int64(clamping: one.durations.count))]
          + [50, 90, 95, 99].map { Value(one.durations.percentile($0)) }
          + [.integer(one.durations.max), .integer(Int64(clamping: one.timeouts))]
      },
      others: rest == 0
        ? nil
        : (
          rest,
          [
            .null, .null, .null, .null, .integer(flows), .null, .null, .null, .null, .null, .integer(timeouts),
          ]
        ))
  }

  /// The flows of one host, path and vantage.
  private struct Measured {
    var host: Int
    var kind: Int
    var durations: Histogram
    var timeouts: UInt64
  }

  /// What the verdicts say, asked once and not for each of thousands of groups.
  private struct Kinds {
    /// Path, vantage and its rank, each three once.
    private(set) var words: [[Value]] = []
    /// By verdict.
    private(set) var kinds: [Int] = []
    private(set) var isTimeout: [Bool] = []
    /// Of each kind the first one with its path.
    private(set) var paths: [Int] = []

    init(_ verdicts: [[Value]]) {
      for verdict in verdicts {
        let said = Array(verdict.prefix(3))
        let kind = words.firstIndex(of: said) ?? words.count
        if kind == words.count { words.append(said) }
        kinds.append(kind)
        isTimeout.append(verdict[3].integer == 1)
      }
      paths = words.map { said in words.firstIndex { $0[0] == said[0] } ?? 0 }
    }

    /// The highest rank, then the most flows.
    func isCloser(_ one: Measured, than other: Measured) -> Bool {
      let (rank, otherRank) = (words[one.kind][2].integer ?? 0, words[other.kind][2].integer ?? 0)
      if rank != otherRank { return rank > otherRank }
      if one.durations.count != other.durations.count { return one.durations.count > other.durations.count }
      return precedesInSQL(words[one.kind][1], words[other.kind][1])
    }

    func precedes(_ one: Measured, _ other: Measured) -> Bool {
      precedesInSQL(words[one.kind][0], words[other.kind][0])
    }
  }
}
