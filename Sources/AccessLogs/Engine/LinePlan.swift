internal import CLanes

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

/// What the times of one role leave open besides their zone.
struct TimeVagueness {
  /// None of them says the day.
  var lacksDate: Bool
  /// One of them does not say the hour.
  var lacksHour: Bool
  /// One of them does not say the day, or not the hour.
  var isSome: Bool

  init(_ formats: [TimeFormat]) {
    lacksDate = !formats.isEmpty && formats.allSatisfy(\.lacksDate)
    lacksHour = formats.contains(where: \.lacksHour)
    isSome = lacksHour || formats.contains(where: \.lacksDate)
  }
}

/// What a row builder needs to know of the plan that split the line.
final class RowLayout {
  let name: String
  let dialect: Dialect
  let index: Int
  /// What the keys of its lines are made of.
  let sourceRuns: KeyRuns
  let destinationRuns: KeyRuns
  let outcomeRuns: KeyRuns
  let templateRuns: KeyRuns
  let hasAddresses: Bool
  let hasUpstreamLocal: Bool
  /// Each address stands in a column with its port.
  let hasWholeAddresses: Bool
  let logsUpstream: Bool
  let hasPeer: Bool
  let hasHostname: Bool
  let hasAccessLogType: Bool
  /// Times of this format leave something open: asked once per line.
  let hasVagueTimes: Bool
  /// Times of this format carry no zone.
  let lacksZone: Bool
  /// What those of the two roles leave open besides.
  let startVagueness: TimeVagueness
  let endVagueness: TimeVagueness
  /// Columns whose time has a name for a zone, and nothing else.
  let hasZoneNames: Bool
  let zoneNames: [(role: FieldRole, parts: [TimeFormat.Part])]
  let isSideLog: Bool
  let hasUser: Bool
  /// Slots whose values the proxy may have cut, with the length at which it cuts.
  let hasCuts: Bool
  let cuts: [(role: FieldRole, length: Int)]
  /// Stored lines of this format in the batch at hand; kept here so that counting costs no dictionary look-up per line.
  var stored = 0

  init(
    plan: FormatPlan, index: Int, roles: RoleSet, destinationRuns: [lanes_run],
    outcomeRuns: [lanes_run], fields: [FormatField]
  ) {
    name = plan.name
    dialect = plan.dialect
    self.index = index
    func part(_ part: Fields.Part) -> lanes_run { lanes_run(first: part.slot, last: part.slot) }
    func role(_ role: FieldRole) -> lanes_run { lanes_run(first: role.rawValue, last: role.rawValue) }
    func runs(_ runs: [lanes_run]) -> KeyRuns {
      let memory = UnsafeMutableBufferPointer<lanes_run>.allocate(capacity: runs.count)
      _ = memory.initialize(from: runs)
      return KeyRuns(memory)
    }
    hasPeer = roles.contains(.peerURI)
    hasHostname = roles.contains(.hostname)
    switch plan.dialect {
    case .envoy:
      sourceRuns = runs(
        [part(.client), part(.proxy)] + (hasPeer ? [role(.peerURI)] : []) + (hasHostname ? [role(.hostname)] : []))
      self.destinationRuns = runs(destinationRuns)
      self.outcomeRuns = runs(outcomeRuns)
    case .nginxStream:
      sourceRuns = runs([part(.client), role(.downstreamLocalIP), role(.hostname)])
      self.destinationRuns = runs(destinationRuns)
      self.outcomeRuns = runs(outcomeRuns)
    case .nginxHTTP:
      sourceRuns = runs([part(.client), role(.downstreamLocalIP), role(.hostname)])
      self.destinationRuns = runs([part(.origin), part(.requestMethod)] + destinationRuns)
      self.outcomeRuns = runs([part(.requestMethod), part(.requestProtocol)] + outcomeRuns)
    case .squid:
      sourceRuns = runs([part(.client), role(.downstreamLocalIP), role(.upstreamLocalIP)])
      self.destinationRuns = runs([part(.origin)] + destinationRuns)
      self.outcomeRuns = runs([part(.pseudo)] + outcomeRuns)
    }
    templateRuns = runs([part(.template)])
    hasUpstreamLocal = roles.contains(.upstreamLocal) || roles.contains(.upstreamLocalIP)
    hasAddresses =
      hasUpstreamLocal || roles.contains(.downstreamLocal) || roles.contains(.downstreamRemote)
      || roles.contains(.downstreamDirectRemote) || roles.contains(.downstreamRemoteIP)
      || roles.contains(.downstreamLocalIP)
      || roles.contains(.downstreamDirectRemoteIP)
    hasWholeAddresses =
      roles.isSuperset(of: [.downstreamRemote, .upstreamLocal, .downstreamLocal])
      && roles.isDisjoint(with: [
        .downstreamDirectRemote, .downstreamDirectRemoteIP, .downstreamRemoteIP, .upstreamLocalIP,
        .downstreamLocalIP,
      ])
    logsUpstream = !roles.isDisjoint(with: [.upstreamHost, .upstreamRemote, .upstreamHostIP])
    hasAccessLogType = roles.contains(.accessLogType)
    isSideLog = plan.isSideLog
    hasUser = roles.contains(.user) && roles.contains(.squidHierarchy)
    let timed = fields.filter { $0.role == .startTime || $0.role == .endTime }
    let times = timed.compactMap(\.time)
    zoneNames = timed.compactMap { field in
      field.time.flatMap { $0.namesZone ? (field.role, $0.parts) : nil }
    }
    hasZoneNames = !zoneNames.isEmpty
    lacksZone = times.contains { $0.lacksZone }
    // Of a text, the first column of a role counts.
    func vagueness(of role: FieldRole) -> TimeVagueness {
      let formats = timed.filter { $0.role == role }.compactMap(\.time)
      if case .json = plan.body { return TimeVagueness(formats) }
      return TimeVagueness(Array(formats.prefix(1)))
    }
    startVagueness = vagueness(of: .startTime)
    endVagueness = vagueness(of: .endTime)
    hasVagueTimes = lacksZone || hasZoneNames || startVagueness.isSome || endVagueness.isSome
    cuts = fields.compactMap { field in field.maxLength.map { (field.role, $0) } }
      .filter { $0.role != .ignored }
    hasCuts = !cuts.isEmpty
  }

  deinit {
    for runs in [sourceRuns, destinationRuns, outcomeRuns, templateRuns] { runs.deallocate() }
  }
}
