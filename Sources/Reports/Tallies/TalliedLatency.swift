internal import FlowStore

extension TalliedAnswer {
  /// How long the destinations take: per kind of traffic, host and path, at the hop closest to the destination.
  static func latency(_ arguments: [String: Value], _ store: FlowReader) throws -> TalliedAnswer? {
    let words = """
      select f.path, f.vantage, f.vantage_rank, f.outcome = 'timeout' as is_timeout
      from latency_flow f
      where f.id = :example
        and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
        and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
      order by f.id
      """
    let hosts = try ShownAlike.destinations(by: ["traffic", "host"], arguments, in: store)
    var request = request(arguments)
    request.measuresDurations = true
    request.destinationGroups = hosts.groups
    if arguments["sources"]?.isNull == false {
      request.sourceGroups = ShownAlike.only(try ShownAlike.sources(arguments, in: store))
    }
    guard let tally = try store.tally(request, words: words, arguments: verdictFilters(arguments)) else { return nil }

    // Timeouts are told apart to be counted, and measured with the rest.
    struct Key: Hashable {
      var host: Int
      var path, vantage: Value
      var rank: Int64
    }
    var measured: [Key: (durations: Histogram, timeouts: UInt64)] = [:]
    for (index, group) in tally.groups.enumerated() {
      let verdict = tally.verdicts[group.verdict]
      let durations = tally.durations[index]
      let key = Key(host: group.destination, path: verdict[0], vantage: verdict[1], rank: verdict[2].integer ?? 0)
      measured[key, default: (Histogram(), 0)].durations.merge(durations)
      if verdict[3].integer == 1 { measured[key, default: (Histogram(), 0)].timeouts += durations.count }
    }
    // One vantage per host and path: the highest rank, then the most flows.
    struct Place: Hashable {
      var host: Int
      var path: Value
    }
    var chosen: [Place: Key] = [:]
    for key in measured.keys {
      let place = Place(host: key.host, path: key.path)
      guard let rival = chosen[place] else {
        chosen[place] = key
        continue
      }
      let (flows, rivalFlows) = (measured[key]!.durations.count, measured[rival]!.durations.count)
      let isCloser =
        key.rank != rival.rank
        ? key.rank > rival.rank
        : flows != rivalFlows ? flows > rivalFlows : precedesInSQL(key.vantage, rival.vantage)
      if isCloser { chosen[place] = key }
    }
    // Hosts are numbered by traffic, then by name.
    let keys = chosen.values.sorted { one, other in
      let (traffic, otherTraffic) = (hosts.values[one.host][0], hosts.values[other.host][0])
      if traffic != otherTraffic { return precedesInSQL(traffic, otherTraffic) }
      let (flows, otherFlows) = (measured[one]!.durations.count, measured[other]!.durations.count)
      if flows != otherFlows { return flows > otherFlows }
      return one.host != other.host ? one.host < other.host : precedesInSQL(one.path, other.path)
    }
    return TalliedAnswer(
      columns: ["traffic", "host", "path", "vantage", "flows", "p50", "p90", "p95", "p99", "max", "timeouts"],
      rows: keys.map { key in
        let (durations, timeouts) = measured[key]!
        return hosts.values[key.host] + [key.path, key.vantage, .integer(Int64(clamping: durations.count))]
          + [50, 90, 95, 99].map { Value(durations.percentile($0)) }
          + [.integer(durations.max), .integer(Int64(clamping: timeouts))]
      })
  }
}
