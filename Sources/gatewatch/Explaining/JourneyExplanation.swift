internal import AccessLogs
internal import FlowStore
internal import Flows
internal import Ingestion

/// The way of one request or connection over its proxies, from the client outwards, each hop with its own line.
struct JourneyExplanation {
  struct Hop {
    var flow: FlowExplanation
    /// An attempt that failed, and that the proxy before repeated.
    var isRepeated: Bool
    /// Joined by a request id alone, which a client can write, or at a forward proxy by bytes or times alone: it proves nothing.
    var isClaimed: Bool
    var isByRequestIDAlone: Bool { isClaimed && !isAtForwardProxy }
    var isByLooksAlone: Bool { isClaimed && isAtForwardProxy }
    private var isAtForwardProxy: Bool { flow.text("role") == "forward-proxy" }
    /// At an SNI proxy, with a sidecar before it where a gateway should be.
    var isPastGateway: Bool
    /// `http` or `tcp`: the time of one request and the life of a connection are never set against each other.
    var traffic: String
  }

  /// As `flows` has it.
  var id: String
  var hops: [Hop]
  /// Hops beyond `maxHops`.
  var hopsNotShown: Int

  /// A request has a handful; a client that repeats one id for ever must not fill the screen.
  static let maxHops = 20
  /// Hops of one way that began further apart are never joined: their starts differ by seconds, whatever their clocks say.
  static let minutesAround = 4
}

/// Where the time of a journey went, by differences of durations: no two clocks are compared.
struct TimeSpent: Equatable {
  /// In the first proxy and on the way to the next one, milliseconds.
  var mesh: Int64?
  /// In attempts that were repeated.
  var retried: Int64?
  /// In the proxies between the first and the last, and in a last one that refused.
  var gateway: Int64?
  /// The last hop: the destination, with that proxy's own share.
  var external: Int64?
  /// Of it, what the last proxy measured until the destination's answer began (Envoy's upstream service time).
  var answerBegan: Int64?
  var firstRole: String
  /// Proxies between the first and the last.
  var middleRoles: [String]
  var lastRole: String

  /// nil where there are no two hops to compare. `report journeys` says the same of all journeys, in SQL; a test holds the
  /// two equal.
  init?(_ journey: JourneyExplanation) {
    let steps = journey.hops.enumerated().filter { $0.offset == 0 || !$0.element.isRepeated }.map(\.element)
    guard let first = steps.first, let last = steps.last, steps.count > 1, journey.hopsNotShown == 0 else { return nil }
    firstRole = first.flow.text("role") ?? "unknown"
    lastRole = last.flow.text("role") ?? "unknown"
    middleRoles = steps.dropFirst().dropLast().map { $0.flow.text("role") ?? "unknown" }
    let attempts = journey.hops.dropFirst().filter(\.isRepeated).compactMap(\.flow.duration)
    retried = attempts.isEmpty ? nil : attempts.reduce(0, +)
    if let own = TimeSpent.beyond(first, steps[1]) { mesh = max(0, own - (retried ?? 0)) }
    let between = zip(steps.dropFirst(), steps.dropFirst(2)).compactMap(TimeSpent.beyond).map { max(0, $0) }
    gateway = between.isEmpty ? nil : between.reduce(0, +)
    switch last.flow.text("path") {
    case "none": if let refused = last.flow.duration { gateway = (gateway ?? 0) + refused }
    case "internal": break
    default:
      external = last.flow.duration
      if last.traffic == "http" { answerBegan = last.flow.upstreamTime }
    }
  }

  private static func beyond(_ hop: JourneyExplanation.Hop, _ next: JourneyExplanation.Hop) -> Int64? {
    guard hop.traffic == next.traffic, let whole = hop.flow.duration, let part = next.flow.duration else { return nil }
    return whole - part
  }

  /// One sentence for each part that is known.
  var sentences: [String] {
    var sentences: [String] = []
    if let mesh {
      let next = middleRoles.first ?? lastRole
      sentences.append("mesh \(mesh) ms: in the \(firstRole) and on the way to the \(next)")
    }
    if let retried { sentences.append("retried \(retried) ms: attempts that failed and were repeated") }
    if let gateway {
      let roles = external == nil ? middleRoles + [lastRole] : middleRoles
      sentences.append("gateway \(gateway) ms: in the \(roles.joined(separator: ", "))")
    }
    if let external {
      var text = "external \(external) ms: from the \(lastRole) on, with its own share"
      if let answerBegan, answerBegan <= external {
        text += "; the destination's answer began after \(answerBegan) ms by the \(lastRole)'s measure"
      }
      sentences.append(text)
    }
    return sentences
  }
}

/// How the whole way ended: as its last hop says, or where that says ok, as the first hop that does not. `report journeys` says
/// the same in SQL; a test holds the two equal.
struct WayEnd: Equatable {
  var outcome: String
  var reason: String?
  /// Of the proxy that saw it.
  var role: String
  /// Where the last hop went.
  var host: String?
  var port: Int64?

  /// nil where not all hops are known.
  init?(_ journey: JourneyExplanation) {
    let steps = journey.hops.enumerated().filter { $0.offset == 0 || !$0.element.isRepeated }.map(\.element.flow)
    guard let first = steps.first, let last = steps.last, steps.count > 1, journey.hopsNotShown == 0 else { return nil }
    func isOK(_ flow: FlowExplanation) -> Bool { flow.text("outcome") == "ok" }
    let telling = isOK(last) ? steps.first { !isOK($0) } ?? last : last
    outcome = telling.text("outcome") ?? "unknown"
    reason = telling.text("reason")
    role = telling.text("role") ?? "unknown"
    host = last.text("host") ?? first.text("host")
    port = last.integer("port") ?? first.integer("port")
  }

  var sentence: String {
    let place = (host ?? "no host") + (port.map { ":\($0)" } ?? "")
    return "\(outcome)\(reason.map { " (\($0))" } ?? "") as the \(role) saw it; to \(place), as the last hop says"
  }
}

extension JourneyExplanation {
  /// What to know of the clocks before reading anything into the starts; nil where they raise no question.
  var clockNote: String? {
    var doubtful: [String] = []
    for (earlier, later) in zip(hops, hops.dropFirst()) where !later.isRepeated {
      guard let before = earlier.flow.integer("started_at_ms"), let after = later.flow.integer("started_at_ms"),
        after < before || after - before > JourneyExplanation.plausibleTransitMs
      else { continue }
      doubtful.append("\(later.flow.text("role") ?? "unknown") \(after - before) ms")
    }
    guard !doubtful.isEmpty else { return nil }
    return
      "starts seem to differ by \(doubtful.joined(separator: ", ")): clocks of two machines, or a log in whole seconds; durations do not depend on it"
  }

  /// From one start to the next is a connection and a request's head: more than this is the clocks' word.
  static let plausibleTransitMs: Int64 = 500
}

extension FlowExplanation {
  var duration: Int64? { integer("duration_ms") }

  /// Milliseconds, from the line itself: it is not stored.
  var upstreamTime: Int64? {
    guard case .found(let found) = evidence.answer else { return nil }
    return found.parsed.columns.first { $0.role == .upstreamTime }?.value.flatMap { Int64($0) }
  }
}

extension FlowExplainer {
  /// The journeys of these flows, by flow; one that was joined with no other line has none.
  func journeys(of flows: [Int64]) throws -> [Int64: JourneyExplanation] {
    let list = "[" + flows.map(String.init).joined(separator: ",") + "]"
    // Without any, no other flow has to be looked at.
    let joined = try reader.value(
      "select 1 from judged_flow where id in (select value from json_each(:flows)) and journey is not null limit 1",
      arguments: ["flows": .text(list)])
    guard joined != nil else { return [:] }
    var members: [Value: [(id: Int64, isRepeated: Bool, isClaimed: Bool, isPastGateway: Bool, traffic: String)]] = [:]
    try reader.query(
      """
      with wanted as materialized (
        select distinct journey, started_at_ms / 60000 as minute
        from judged_flow
        where id in (select value from json_each(:flows))
          and journey is not null
      ),
      near as materialized (
        select distinct m.minute, m.first_flow, m.last_flow
        from wanted w
        join flow_minute m
          on m.minute between w.minute - \(JourneyExplanation.minutesAround) and w.minute + \(JourneyExplanation.minutesAround)
      )
      select distinct
        h.journey, h.id, h.is_repeated, h.is_claimed, h.is_past_gateway, d.traffic, h.way_rank, h.started_at_ms
      from near n
      cross join journey_hop h on h.id between n.first_flow and n.last_flow
      join destination d on d.id = h.destination_id
      where h.started_at_ms - n.minute * 60000 between 0 and 59999
        and h.journey in (select journey from wanted)
      order by h.journey, h.way_rank, h.started_at_ms, h.id
      """, arguments: ["flows": .text(list)]
    ) { row in
      members[row[0], default: []].append(
        (
          row[1].integer ?? 0, row[2].integer == 1, row[3].integer == 1, row[4].integer == 1, row[5].text ?? ""
        ))
    }
    var journeys: [Int64: JourneyExplanation] = [:]
    for hops in members.values {
      let asked = flows.filter { flow in hops.contains { $0.id == flow } }
      var explained: [JourneyExplanation.Hop] = []
      for hop in hops.prefix(JourneyExplanation.maxHops) {
        guard let flow = try explanation(of: hop.id) else { continue }
        explained.append(
          .init(
            flow: flow, isRepeated: hop.isRepeated, isClaimed: hop.isClaimed, isPastGateway: hop.isPastGateway,
            traffic: hop.traffic))
      }
      let journey = JourneyExplanation(
        id: explained.first?.flow.text("journey") ?? "", hops: explained, hopsNotShown: hops.count - explained.count)
      for flow in asked { journeys[flow] = journey }
    }
    return journeys
  }
}
