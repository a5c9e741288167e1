import Foundation

/// A day of a mesh whose destinations share addresses as those of content networks do, with a few true spoofs among them; the
/// same every time.
///
/// Some workloads go through the egress gateway, which resolves names itself; others go straight, by ServiceEntries with
/// `resolution: NONE`, to what their own resolver told them - or to what they like.
struct SharedAddresses {
  /// A name and an address that a client sent it to, of which the address is not one of the name's.
  struct Pair: Hashable, Comparable {
    var host: String
    var address: String
    static func < (one: Pair, other: Pair) -> Bool { (one.host, one.address) < (other.host, other.address) }
  }

  /// Of names that stay at one or two addresses, and of names whose addresses change from hour to hour.
  private(set) var spoofs: Set<Pair> = []
  /// Of names that one can see to have many more addresses than the gateway has met.
  private(set) var spoofsOfLarge: Set<Pair> = []
  private(set) var sidecar = ""
  private(set) var gateway = ""
  /// Pairs of a name and one of its own addresses that clients used, and that the gateway never did.
  var harmless: Set<Pair> { used.subtracting(resolved) }
  private var used: Set<Pair> = []
  private var resolved: Set<Pair> = []
  private var state: UInt64 = 7
  private var port = 0

  static let attacker = "192.0.2.66"
  private static let noon = 12

  init() {
    // 40 front ends in 20 networks, a quarter of them IPv6; a name has two to eight of them.
    let frontEnds =
      (0..<30).map { "151.101.\($0 / 2 * 3).\(10 + $0)" } + (0..<10).map { "2a04:4e\($0 / 2 + 10)::\($0 + 1)" }
    // Where ten names move to at noon.
    let others = (0..<12).map { "13.32.\($0 * 5).\(20 + $0)" }
    let shared = (0..<200).map { number in
      (name: "www.shared\(number).example", pool: (0..<(2 + draw(7))).map { _ in frontEnds[draw(40)] })
    }
    let steady = (0..<60).map { number in
      (
        name: "api.steady\(number).example",
        pool: number % 2 == 0 ? ["198.51.100.\(number)"] : ["203.0.113.\(number)", "203.0.113.\(number + 100)"]
      )
    }
    // Large content networks, of which one name alone has hundreds of addresses; and names that have IPv6, too.
    let large = (0..<20).map { number in
      (
        name: "video.large\(number).example",
        pool: (0..<60).map { "\(20 + $0 / 2).\($0 * 4).\(number).\($0 + 1)" }
      )
    }
    let dual = (0..<10).map { number in
      (
        name: "api.dual\(number).example",
        pool: ["198.51.100.\(number + 100)", "2a01:1\(number):8::\(number + 1)"]
      )
    }
    let sites = shared + steady + large + dual
    for hour in 0..<24 {
      for (number, site) in sites.enumerated() {
        var pool = site.pool
        // Every other of those that move is sent through the gateway until then only.
        let moves = number < 10 && hour >= Self.noon
        if moves { pool = [others[number], others[number + 1], others[number + 2]] }
        if draw(10) < 6, !moves || number % 2 == 0 {
          // Where a name has one of each, the gateway's resolver asks for IPv4.
          let address = pool[draw(number < sites.count - dual.count ? pool.count : 1)]
          resolved.insert(Pair(host: site.name, address: address))
          gateway += line(hour, site.name, address, isGateway: true)
        }
        if draw(10) < 5 {
          let address = pool[draw(pool.count)]
          used.insert(Pair(host: site.name, address: address))
          sidecar += line(hour, site.name, address, isGateway: false)
        }
      }
    }
    // One address for eight names, and five names each to an address of its own, while the gateway uses them, too.
    for (number, site) in (steady[10..<15] + shared[20..<23]).enumerated() {
      spoof(9 + number % 4, site.name, Self.attacker)
    }
    for (number, site) in (steady[30..<33] + shared[60..<62]).enumerated() {
      spoof(7 + number, site.name, "192.0.2.\(100 + number)")
    }
    for (number, site) in large[5..<7].enumerated() {
      let address = "192.0.2.\(120 + number)"
      sidecar += line(9, site.name, address, isGateway: false)
      spoofsOfLarge.insert(Pair(host: site.name, address: address))
    }
  }

  private mutating func spoof(_ hour: Int, _ host: String, _ address: String) {
    sidecar += line(hour, host, address, isGateway: false)
    spoofs.insert(Pair(host: host, address: address))
  }

  private mutating func draw(_ below: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
    return Int((word ^ word >> 31) % UInt64(below))
  }

  private mutating func line(_ hour: Int, _ host: String, _ address: String, isGateway: Bool) -> String {
    port += 1
    let client = "10.80.3.\(11 + draw(6))"
    let endpoint = address.contains(":") ? "[\(address)]:80" : "\(address):80"
    let (own, dialled) = isGateway ? ("10.80.3.232", "10.80.3.232:8080") : (client, endpoint)
    let at = String(format: "2026-11-02T%02d:%02d:%02d.000Z", hour, draw(60), draw(60))
    return
      "[\(at)] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 20 5 5 \"-\" \"curl/8\" \"-\" \"\(host)\" \"\(endpoint)\" outbound|80||\(host) \(own):\(20_000 + port % 40_000) \(dialled) \(client):\(10_000 + port % 50_000) - -\n"
  }
}
