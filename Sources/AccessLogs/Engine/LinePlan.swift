/// A plan of either kind, as the parser keeps it.
enum LinePlan {
  case text(TextPlan)
  case json(JSONPlan)

  init(_ plan: FormatPlan, index: Int) {
    switch plan.body {
    case .text(let pieces): self = .text(TextPlan(plan, pieces: pieces, index: index))
    case .json(let keys): self = .json(JSONPlan(plan, keys: keys, index: index))
    }
  }

  var plan: FormatPlan {
    switch self {
    case .text(let text): text.plan
    case .json(let json): json.plan
    }
  }

  var layout: RowLayout {
    switch self {
    case .text(let text):
      RowLayout(
        plan: text.plan, index: text.index, roles: text.roles,
        destinationRuns: text.destinationRuns, outcomeRuns: text.outcomeRuns, fields: text.fields)
    case .json(let json):
      RowLayout(
        plan: json.plan, index: json.index, roles: json.roles,
        destinationRuns: json.runs(of: TextPlan.destinationRoles), outcomeRuns: json.runs(of: TextPlan.outcomeRoles),
        fields: json.fields)
    }
  }

  func setReference(_ ms: Int64) {
    switch self {
    case .text(let text): text.setReference(ms)
    case .json(let json): json.setReference(ms)
    }
  }
}

/// What a row builder needs to know of the plan that split the line.
final class RowLayout {
  let name: String
  let dialect: Dialect
  let index: Int
  let destinationRuns: UnsafeBufferPointer<(UInt8, UInt8)>
  let outcomeRuns: UnsafeBufferPointer<(UInt8, UInt8)>
  let hasAddresses: Bool
  let hasUpstreamLocal: Bool
  let logsUpstream: Bool
  let hasPeer: Bool
  let hasHostname: Bool
  let hasAccessLogType: Bool
  /// Times of this format carry no zone, or no day.
  let lacksZone: Bool
  let lacksDate: Bool
  /// Slots whose values the proxy may have cut, with the length at which it cuts.
  let hasCuts: Bool
  let cuts: [(role: FieldRole, length: Int)]
  /// Stored lines of this format in the batch at hand; kept here so that counting costs no dictionary look-up per line.
  var stored = 0

  init(
    plan: FormatPlan, index: Int, roles: Set<FieldRole>, destinationRuns: [(UInt8, UInt8)],
    outcomeRuns: [(UInt8, UInt8)], fields: [FormatField]
  ) {
    name = plan.name
    dialect = plan.dialect
    self.index = index
    func copied(_ runs: [(UInt8, UInt8)]) -> UnsafeBufferPointer<(UInt8, UInt8)> {
      let memory = UnsafeMutableBufferPointer<(UInt8, UInt8)>.allocate(capacity: runs.count)
      _ = memory.initialize(from: runs)
      return UnsafeBufferPointer(memory)
    }
    self.destinationRuns = copied(destinationRuns)
    self.outcomeRuns = copied(outcomeRuns)
    hasUpstreamLocal = roles.contains(.upstreamLocal) || roles.contains(.upstreamLocalIP)
    hasAddresses =
      hasUpstreamLocal || roles.contains(.downstreamLocal) || roles.contains(.downstreamRemote)
      || roles.contains(.downstreamDirectRemote) || roles.contains(.downstreamRemoteIP)
      || roles.contains(.downstreamLocalIP)
      || roles.contains(.downstreamDirectRemoteIP)
    logsUpstream = roles.contains(.upstreamHost) || roles.contains(.upstreamHostIP)
    hasPeer = roles.contains(.peerURI)
    hasHostname = roles.contains(.hostname)
    hasAccessLogType = roles.contains(.accessLogType)
    let times = fields.filter { $0.role == .startTime || $0.role == .endTime }.compactMap(\.time)
    lacksZone = times.contains { $0.lacksZone }
    lacksDate = times.contains { $0.lacksDate }
    cuts = fields.compactMap { field in field.maxLength.map { (field.role, $0) } }
      .filter { $0.role != .ignored }
    hasCuts = !cuts.isEmpty
  }

  deinit {
    destinationRuns.deallocate()
    outcomeRuns.deallocate()
  }
}
