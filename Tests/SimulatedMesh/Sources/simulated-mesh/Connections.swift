/// The ports that pods and gateways dial from, and the connections that their requests share.
struct Connections {
  private struct Pooled {
    var port: UInt16
    var isBusyUntil: Int64
    var requestsLeft: Int
  }

  private var pools: [Int: [Pooled]] = [:]
  private var next: [Int: UInt16] = [:]
  private var freed: [Int: (port: UInt16, at: Int64)] = [:]

  // Each kind of connection has ports of its own, so that a long one never meets a new one with its port.
  private static let pooledPorts: ClosedRange<UInt16> = 10_000...19_999
  private static let tunnelPorts: ClosedRange<UInt16> = 20_000...32_767
  private static let ports: ClosedRange<UInt16> = 32_768...60_999

  /// The connection of a request to a gateway: one for thousands at once with HTTP/2, else one that is free.
  mutating func pooled(
    _ owner: Int, _ gateway: Int, at time: Int64, until end: Int64, isHTTP2: Bool, _ random: inout Randomness
  ) -> UInt16 {
    let key = owner * World.gateways + gateway
    var pool = pools[key, default: []]
    pool.removeAll { $0.requestsLeft == 0 && $0.isBusyUntil < time }
    defer { pools[key] = pool }
    if let free = pool.indices.first(where: { pool[$0].requestsLeft > 0 && (isHTTP2 || pool[$0].isBusyUntil < time) }) {
      pool[free].requestsLeft -= 1
      pool[free].isBusyUntil = max(pool[free].isBusyUntil, end)
      return pool[free].port
    }
    let port = take(owner, Connections.pooledPorts, 1)
    pool.append(Pooled(port: port, isBusyUntil: end, requestsLeft: random.within(isHTTP2 ? 1...6_000 : 1...200)))
    return port
  }

  /// A port of its own for one connection; now and then one that was given back a second or more ago.
  mutating func single(_ owner: Int, at time: Int64, until end: Int64, _ random: inout Randomness) -> UInt16 {
    if let last = freed[owner], last.at + 1_000 < time, time - last.at < 10_000, random.once(in: 4) {
      freed[owner] = (last.port, end)
      return last.port
    }
    let port = take(owner, Connections.ports, 2)
    if random.once(in: 2) { freed[owner] = (port, end) }
    return port
  }

  mutating func tunnel(_ owner: Int) -> UInt16 { take(owner, Connections.tunnelPorts, 3) }

  private mutating func take(_ owner: Int, _ ports: ClosedRange<UInt16>, _ kind: Int) -> UInt16 {
    let key = owner * 4 + kind
    let port = next[key] ?? ports.lowerBound
    next[key] = port == ports.upperBound ? ports.lowerBound : port + 1
    return port
  }
}
