/// Which hops can be joined from what is logged, and nothing else.
///
/// A hop and the one before it are joinable when both lines were read and a fact that both hold singles them out: no other
/// line that was read holds the same facts at the same time. The facts are, by the kind of hop:
///
/// - HTTP to a gateway, with one id: the connection (both addresses and ports), id, host, path, bytes and status
/// - HTTP to a gateway that gave it a new id: the same without the id
/// - an attempt that was repeated over another connection: client, id, host and path
/// - TCP: the connection, server name and bytes
/// - an SNI proxy with ports: the gateway's port, server name, bytes
/// - an SNI proxy without: server name, bytes to the client, and duration within 50 ms; ends within a second
/// - Squid's native format: the client's address, bytes to the client, and duration within 50 ms
/// - what failed at Squid, which then counts no bytes: the client's address and duration within 50 ms
/// - one request on a connection that is TCP to the sidecar: the connection
///
/// "At the same time" is within 50 ms, as far as the hops of one way differ here (28 ms, and the clocks' drift over a
/// minute); clocks themselves are no excuse, since other lines show how they differ, but for the one that is wrong by minutes.
struct Joinable {
  enum Kind: Int, CaseIterable {
    case request, renamed, repeated, connection, sniWithPorts, sniWithoutPorts, squid, squidFailure, dialled, service

    var name: String {
      switch self {
      case .request: "requests with an id"
      case .renamed: "requests with new ids"
      case .repeated: "repeated attempts"
      case .connection: "TCP connections"
      case .sniWithPorts: "SNI proxy with ports"
      case .sniWithoutPorts: "SNI proxy without ports"
      case .squid: "Squid"
      case .squidFailure: "failures at Squid"
      case .dialled: "TCP, then HTTP"
      case .service: "calls in the mesh"
      }
    }
  }

  private static let near: Int64 = 50
  private static let wholeSecond: Int64 = 1_000

  private struct Entry {
    var key: UInt64
    var place: Int32
    var time: Int64
    var duration: Int64
  }

  /// Marks the lines whose hop before is joinable.
  static func mark(_ lines: inout [Line]) {
    for kind in Kind.allCases {
      var earlier: [Entry] = []
      var later: [Entry] = []
      for (place, line) in lines.enumerated() where line.isRead {
        if let key = keyOfEarlier(line, kind) { earlier.append(entry(key, place, line, kind)) }
        if let key = keyOfLater(line, kind) { later.append(entry(key, place, line, kind)) }
      }
      earlier.sort { ($0.key, $0.time) < ($1.key, $1.time) }
      later.sort { ($0.key, $0.time) < ($1.key, $1.time) }
      for place in lines.indices
      where lines[place].before >= 0 && !lines[place].isKept && Joinable.kind(of: lines[place], in: lines) == kind {
        let line = lines[place]
        let before = lines[Int(line.before)]
        guard line.isRead, before.isRead, !hasLostClock(line), !hasLostClock(before),
          let key = keyOfEarlier(before, kind)
        else { continue }
        guard keyOfLater(line, kind) == key else { continue }
        let isRepetition = kind == .repeated
        lines[place].isJoinable =
          (isRepetition || isAlone(place, entry(key, place, line, kind), in: later, kind))
          && isAlone(Int(line.before), entry(key, Int(line.before), before, kind), in: earlier, kind)
      }
    }
  }

  /// The clocks of a node that lost its time server prove nothing.
  private static func hasLostClock(_ line: Line) -> Bool { World.node(of: Int(line.log)) == World.lostNode }

  static func kind(of line: Line, in lines: [Line]) -> Kind {
    switch line.shape {
    case .squid: return line.status == 503 ? .squidFailure : .squid
    case .nginx: return .sniWithoutPorts
    case .nginxWithPorts: return .sniWithPorts
    case .tcp: return .connection
    case .http:
      if line.cluster == .inbound { return .service }
      let before = lines[Int(line.before)]
      if before.shape == .tcp { return .dialled }
      if before.id != line.id { return .renamed }
      return before.status == line.status && before.received <= line.received && line.client.port == before.local.port
        ? .request : .repeated
    }
  }

  private static func entry(_ key: UInt64, _ place: Int, _ line: Line, _ kind: Kind) -> Entry {
    Entry(
      key: key, place: Int32(place), time: kind == .sniWithoutPorts ? line.end : line.start, duration: line.duration)
  }

  /// No other line holds the same at the same time.
  private static func isAlone(_ place: Int, _ entry: Entry, in entries: [Entry], _ kind: Kind) -> Bool {
    let reach = kind == .sniWithoutPorts ? wholeSecond + near : near
    let comparesDuration = kind == .sniWithoutPorts || kind == .squid || kind == .squidFailure
    var index = entries.partitioningIndex { ($0.key, $0.time) >= (entry.key, entry.time - reach) }
    while index < entries.count, entries[index].key == entry.key, entries[index].time <= entry.time + reach {
      let other = entries[index]
      if other.place != place, !comparesDuration || abs(other.duration - entry.duration) <= near { return false }
      index += 1
    }
    return true
  }

  // MARK: - Facts

  private static func keyOfEarlier(_ line: Line, _ kind: Kind) -> UInt64? {
    switch kind {
    case .request, .renamed, .repeated:
      guard line.shape == .http, line.cluster == .gateway else { return nil }
    case .connection:
      guard line.cluster == .gateway || line.cluster == .sniGateway, line.shape == .tcp else { return nil }
    case .sniWithPorts, .sniWithoutPorts: guard feeds(line, kind) else { return nil }
    case .squid, .squidFailure: guard line.cluster == .squid else { return nil }
    case .dialled: guard line.cluster == .passthrough, line.upstream.port == 8080 else { return nil }
    case .service: guard line.cluster == .service else { return nil }
    }
    return key(line, line.local, line.upstream, kind)
  }

  private static func keyOfLater(_ line: Line, _ kind: Kind) -> UInt64? {
    switch kind {
    case .request, .renamed, .repeated:
      guard isGateway(line), line.shape == .http else { return nil }
    case .dialled: guard isGateway(line), line.shape == .http else { return nil }
    case .connection: guard isGateway(line), line.shape == .tcp else { return nil }
    case .sniWithPorts: guard line.shape == .nginxWithPorts else { return nil }
    case .sniWithoutPorts: guard line.shape == .nginx else { return nil }
    case .squid: guard line.shape == .squid else { return nil }
    case .squidFailure: guard line.shape == .squid, line.status == 503 else { return nil }
    case .service: guard line.cluster == .inbound else { return nil }
    }
    return key(line, line.client, line.dialled, kind)
  }

  private static func isGateway(_ line: Line) -> Bool { line.isEnvoy && line.log >= World.pods }

  /// The sidecar past the gateway, or the gateway before the SNI proxy.
  private static func feeds(_ line: Line, _ kind: Kind) -> Bool {
    let edge = kind == .sniWithPorts ? World.Edge.sniWithPorts.rawValue : World.Edge.sniWithoutPorts.rawValue
    if line.cluster == .sniProxy { return Int(line.log) == World.gatewayLog(edge) }
    return line.cluster == .passthrough && line.upstream == Endpoint(World.gateway(edge), 8443)
  }

  private static func key(_ line: Line, _ from: Endpoint, _ to: Endpoint, _ kind: Kind) -> UInt64 {
    var facts = Facts()
    facts.add(UInt64(UInt32(bitPattern: from.address)))
    switch kind {
    case .request, .service, .renamed:
      facts.add(UInt64(from.port) << 32 | UInt64(to.port))
      facts.add(UInt64(UInt32(bitPattern: to.address)))
      facts.add(UInt64(line.host) << 16 | UInt64(line.page))
      if kind != .renamed { facts.add(line.id) }
      guard line.ending != .clientGone else { break }
      facts.add(UInt64(line.sent) << 32 ^ UInt64(line.received) << 10 ^ UInt64(line.status))
    case .repeated:
      facts.add(line.id)
      facts.add(UInt64(line.host) << 16 | UInt64(line.page))
    case .connection:
      facts.add(UInt64(from.port) << 32 | UInt64(to.port))
      facts.add(UInt64(UInt32(bitPattern: to.address)))
      facts.add(UInt64(line.host))
      facts.add(UInt64(line.sent) << 32 ^ UInt64(line.received))
    case .sniWithPorts:
      facts.add(UInt64(from.port))
      facts.add(UInt64(line.host) << 32 | UInt64(line.received))
    case .sniWithoutPorts:
      facts.add(UInt64(line.host) << 32 | UInt64(line.received))
    case .squid:
      facts.add(UInt64(line.received))
    case .squidFailure:
      break
    case .dialled:
      facts.add(UInt64(from.port) << 32 | UInt64(to.port))
      facts.add(UInt64(UInt32(bitPattern: to.address)))
    }
    return facts.hash
  }
}

/// Numbers as one: multiply and fold.
private struct Facts {
  private(set) var hash: UInt64 = 0x9E37_79B9_7F4A_7C15

  mutating func add(_ word: UInt64) {
    let product = (hash ^ word).multipliedFullWidth(by: 0xA076_1D64_78BD_642F)
    hash = (product.high ^ product.low) &+ 0xE703_7ED1_A0B4_28DB
  }
}

extension Array {
  /// The first place at which the condition holds, of a list in which it holds for all that follow.
  func partitioningIndex(where holds: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
