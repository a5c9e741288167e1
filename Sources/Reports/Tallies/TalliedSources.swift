internal import FlowStore

extension TalliedAnswer {
  /// Who sent traffic: one line per workload, pod or address. The roles stand in alphabetical order, which SQL leaves open.
  static func sources(_ arguments: [String: Value], _ limit: Int?, _ store: FlowReader) throws -> TalliedAnswer? {
    let words = """
      select f.role, f.outcome, f.bypass is not null and f.exception_id is null as is_bypass, f.counted
      from judged_flow f
      where f.id = :example
        and (f.counted = 1 or (f.bypass is not null and f.duplicate_view = 0))
        and (:path is null or instr(',' || :path || ',', ',' || f.path || ',') > 0)
        and (:outcome is null or instr(',' || :outcome || ',', ',' || f.outcome || ',') > 0)
        and (:path is not null or f.path <> 'internal')
      order by f.id
      """
    let names = try ShownAlike.senders(arguments, in: store)
    let hosts = try ShownAlike.destinations(by: ["host"], arguments, in: store)
    var request = request(arguments)
    request.sourceGroups = names.groups
    request.destinationGroups = hosts.groups
    guard let tally = try store.tally(request, words: words, arguments: verdictFilters(arguments)) else { return nil }

    let verdicts = tally.verdicts.enumerated().map { SourceVerdict(number: $0, $1) }
    var senders = names.values.indices.map { Sender(name: $0) }
    for group in tally.groups { senders[group.source].add(group, verdicts[group.verdict]) }
    let counted = tally.groups.filter { verdicts[$0.verdict].isCounted }
    let hostCounts = hostCounts(of: counted, by: names.values.count, hosts.values)
    let met = senders.filter { $0.lastMs != nil }
    var others = Sender(name: -1)
    // Sources are numbered by name.
    let shown = first(
      limit, of: met, by: { $0.sum.flows != $1.sum.flows ? $0.sum.flows > $1.sum.flows : $0.name < $1.name },
      others: { others.add($0) })
    let rest = met.count - shown.count
    return TalliedAnswer(
      columns: [
        "source", "flows", "hosts", "sent", "received", "bypass", "blocked", "failed", "first_seen", "last_seen",
        "seen_by",
      ],
      rows: shown.map { sender in
        let roles = Set(sender.verdicts.map { verdicts[$0].role }).sorted()
        return sender.row(
          source: names.values[sender.name][0], hosts: Value(hostCounts[sender.name]),
          seenBy: .text(roles.joined(separator: ",")))
      }, others: rest == 0 ? nil : (rest, others.row(source: .null, hosts: .null, seenBy: .null)))
  }

  /// How many hosts each source has. Looks at the groups host by host, so that a host counts once for each source without a
  /// table of pairs.
  /// - Parameter hosts: what is shown of each group of destinations.
  static func hostCounts<Groups: Collection>(of groups: Groups, by sources: Int, _ hosts: [[Value]]) -> [Int]
  where Groups.Element == Tally.Group, Groups.Index == Int {
    var ends = [Int](repeating: 0, count: hosts.count + 1)
    for group in groups { ends[group.destination + 1] += 1 }
    for host in hosts.indices { ends[host + 1] += ends[host] }
    // Each place moves from the beginning of a host's groups to its end.
    var order = [Int32](repeating: 0, count: groups.count)
    for (number, group) in groups.enumerated() {
      order[ends[group.destination]] = Int32(number)
      ends[group.destination] += 1
    }
    var counts = [Int](repeating: 0, count: sources)
    var last = [Int](repeating: -1, count: sources)
    for number in order {
      let group = groups[Int(number)]
      // No host is no host to count.
      guard !hosts[group.destination][0].isNull, last[group.source] != group.destination else { continue }
      last[group.source] = group.destination
      counts[group.source] += 1
    }
    return counts
  }

  /// What a verdict says, asked once and not for each of many groups.
  private struct SourceVerdict {
    var number: Int
    var role: String
    var isBypass: Bool
    /// The others are hops that were seen again later, and are bypasses all the same.
    var isCounted: Bool
    var isBlocked: Bool
    var isFailed: Bool

    init(number: Int, _ words: [Value]) {
      self.number = number
      role = words[0].text ?? ""
      isBypass = words[2].integer == 1
      isCounted = words[3].integer == 1
      isBlocked = words[1].text == "blocked"
      isFailed = ["failed", "timeout", "mesh-fault"].contains(words[1].text)
    }
  }

  private struct Sender {
    /// Number of what is shown, in the order of names.
    let name: Int
    private(set) var sum = TallySum()
    /// Of all that was met, counted or not; nil of nothing.
    private(set) var firstMs: Int64?
    private(set) var lastMs: Int64?
    /// Numbers met; few.
    private(set) var verdicts: Set<Int> = []
    private var lastVerdict = -1
    private var bypass: Int64 = 0
    private var blocked: Int64 = 0
    private var failed: Int64 = 0

    init(name: Int) { self.name = name }

    mutating func add(_ group: Tally.Group, _ verdict: SourceVerdict) {
      note(group.firstMs, group.lastMs)
      if verdict.isBypass { bypass &+= group.flows }
      if verdict.isCounted {
        sum.add(group)
        if verdict.isBlocked { blocked &+= group.flows }
        if verdict.isFailed { failed &+= group.flows }
      }
      if verdict.number != lastVerdict {
        verdicts.insert(verdict.number)
        lastVerdict = verdict.number
      }
    }

    private mutating func note(_ first: Int64, _ last: Int64) {
      firstMs = min(firstMs ?? first, first)
      lastMs = max(lastMs ?? last, last)
    }

    /// Adds all but the hosts, which several may have in common.
    mutating func add(_ other: Sender) {
      sum.add(other.sum)
      if let first = other.firstMs, let last = other.lastMs { note(first, last) }
      bypass &+= other.bypass
      blocked &+= other.blocked
      failed &+= other.failed
    }

    func row(source: Value, hosts: Value, seenBy: Value) -> [Value] {
      [
        source, .integer(sum.flows), hosts, Value(sum.sent), Value(sum.received), .integer(bypass), .integer(blocked),
        .integer(failed), Value(firstMs), Value(lastMs), seenBy,
      ]
    }
  }
}
