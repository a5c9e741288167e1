import Flows
import Testing

@testable import Journeys

/// A proxy's line without an earlier hop: is it certain that no line of the client's own sidecar is that hop?
@Suite struct AbsenceTests {
  @Test("a gateway's line that nothing accounts for is marked, also when its next hop is known")
  func lone() {
    var way = Way()
    let lone = way.gateway(0, port: 41_000, id: 7)
    #expect(way.place(lone) == .isUnaccounted)
    way.sidecar(10, port: 40_000, id: 8)
    way.gateway(11, port: 40_000, id: 8)
    #expect(way.place(lone) == .isUnaccounted)
    let first = way.gateway(500, life: 38, port: 42_000, isTCP: true, sent: 700, received: 900, feedsProxy: true)
    way.nginx(endsAt: 538, sent: 700, received: 900)
    #expect(way.place(first) == [.isUnaccounted, .hasLater])
    #expect(way.journeys.count == 2)
  }

  @Test("an address from a header is nobody's, and nothing is claimed of it")
  func forwarded() {
    var way = Way()
    let line = way.gateway(0, id: 7, isForwarded: true)
    #expect(way.place(line) == nil)
  }

  @Test("two lines that could both be the hop before are a doubt, not an absence")
  func ambiguous() {
    var way = Way()
    for at in [0, 5] as [Int64] { way.sidecar(at, isTCP: true) }
    let one = way.gateway(2, isTCP: true)
    #expect(way.journeys == [])
    // Clocks are not known: that it began while a line of the same port lived is only likely.
    #expect(way.place(one) == nil)
    way.showClocks()
    #expect(way.place(one) == .isFromSidecar)
  }

  @Test("a line of the same connection shows whose it is, whatever bytes it counts; another client's does not")
  func sameConnection() {
    var way = Way()
    way.sidecar(0, port: 40_000, isTCP: true, received: 99)
    let line = way.gateway(2, port: 40_000, isTCP: true, received: 20)
    #expect(way.journeys == [])
    #expect(way.place(line) == nil)
    way.showClocks()
    #expect(way.place(line) == .isFromSidecar)
    // Longer than clocks may differ: it needs none.
    var long = Way()
    long.sidecar(0, life: 60_000, port: 40_000, isTCP: true, received: 99)
    let inside = long.gateway(4_000, port: 40_000, isTCP: true, received: 20)
    #expect(long.place(inside) == .isFromSidecar)
    var other = Way()
    other.sidecar(0, port: 40_000, isTCP: true, received: 99, pod: "10.80.3.12")
    let stranger = other.gateway(2, port: 40_000, isTCP: true, received: 20)
    #expect(other.place(stranger) == .isUnaccounted)
  }

  @Test(
    "of a proxy that does not say where it is, the port alone shows no connection: another may have it, to elsewhere")
  func portAlone() {
    for (own, place) in [(nil, nil), ("10.80.2.87", .isFromSidecar), ("10.80.2.88", nil)] as [(String?, JourneyPlace?)]
    {
      var way = Way()
      // An idle connection, to 10.80.2.87.
      way.sidecar(
        0, life: 60_000, port: 55_555, isTCP: true, sent: 11, received: 22, to: "10.80.2.87", isNameless: true)
      let line = way.squid(endsAt: 30_000, life: 4_998, received: 7_654_321, port: 55_555, own: own)
      #expect(way.place(line) == place, "\(own ?? "-")")
    }
  }

  @Test(
    "at an SNI proxy that does not say where it is, a sidecar's port shows a way past the gateway, which clears nothing"
  )
  func portAtSNIProxy() {
    var way = Way()
    way.sidecar(0, life: 60_000, port: 55_555, isTCP: true, received: 22, to: "10.80.2.88")
    let line = way.nginx(endsAt: 30_000, life: 4_000, received: 7_654_321, client: Way.pod, port: 55_555)
    #expect(way.place(line) == .hasClaimedEarlier)
  }

  @Test("a port that was used long before or after is another connection")
  func portReuse() {
    var way = Way()
    way.sidecar(0, port: 40_000, isTCP: true, received: 99)
    let line = way.gateway(20_000, port: 40_000, isTCP: true, received: 20)
    #expect(way.place(line) == .isUnaccounted)
  }

  @Test(
    "a port that comes back within seconds clears nothing: another name, or a connection that had ended, is another's")
  func portReuseWithinSeconds() {
    for (host, began, isKnown) in [("b.example", 2, false), ("b.example", 2, true), ("a.example", -3_478, true)]
      as [(String, Int64, Bool)]
    {
      var way = Way()
      if isKnown { way.showClocks() }
      way.sidecar(0, life: 544, port: 40_000, host: host, isTCP: true, received: 170_439)
      let line = way.gateway(began, life: 29, port: 40_000, isTCP: true, received: 20)
      #expect(way.place(line) != .isFromSidecar, "\(host) \(began) \(isKnown)")
    }
  }

  @Test("two requests from one port to two gateways came over two connections: neither excuses the other")
  func twoGateways() {
    var way = Way()
    let one = way.gateway(0, port: 41_000, id: 7)
    let other = way.gateway(3_000, port: 41_000, id: 8, own: "10.80.3.233")
    #expect(way.place(one) == .isUnaccounted && way.place(other) == .isUnaccounted)
    way.gateway(6_000, port: 41_000, id: 9)
    #expect(way.place(one) == nil && way.place(other) == .isUnaccounted)
  }

  @Test("a request sent again after its answer is no attempt of it, once clocks are known")
  func replayed() {
    for isKnown in [false, true] {
      var way = Way()
      if isKnown { way.showClocks(atLeast: 5) }
      way.sidecar(0, port: 40_000, id: 7)
      way.gateway(1, port: 40_000, id: 7)
      let replayed = way.gateway(3_000, port: 41_000, id: 7)
      #expect(way.place(replayed) == (isKnown ? .isUnaccounted : nil))
    }
  }

  @Test("a line without ports is not held against connections that are known to lead to another proxy")
  func elsewhere() {
    var way = Way()
    // One of three lines to the gateway has no next hop.
    for port in [40_000, 40_002, 40_004] as [UInt16] {
      way.sidecar(Int64(port), port: port, isTCP: true, received: 5_000)
    }
    way.gateway(40_001, port: 40_000, isTCP: true, received: 5_000)
    let line = way.squid(endsAt: 40_044, received: 900)
    #expect(way.place(line) == .isUnaccounted)
    // Another tunnel through Squid shows where that is reached, and a line to the same place may be any that came there.
    way.sidecar(41_000, port: 40_010, isTCP: true, received: 700, to: "10.80.2.87", isNameless: true)
    way.squid(endsAt: 41_040, life: 40, received: 700)
    #expect(way.place(line) == .isUnaccounted)
    way.sidecar(40_003, port: 40_012, isTCP: true, received: 5_000, to: "10.80.2.87", isNameless: true)
    #expect(way.place(line) == nil)
  }

  @Test("the same request id in a line of the client is a doubt, and proves nothing")
  func sameID() {
    var way = Way()
    way.sidecar(0, port: 40_000, id: 7, host: "b.example")
    let line = way.gateway(2, port: 41_000, id: 7)
    #expect(way.place(line) == nil)
  }

  @Test("the id and the port of a line of the client's are a doubt also where a clock was wrong for two minutes")
  func wrongClock() {
    for (id, port, place) in [
      (7, 40_000, nil), (8, 40_000, .isUnaccounted), (7, 40_001, .isUnaccounted),
    ] as [(UInt64, UInt16, JourneyPlace?)] {
      for began in [-130_000, 130_000, 170_000] as [Int64] {
        var way = Way()
        way.showClocks(atLeast: 5)
        way.sidecar(0, port: 40_000, id: 7)
        let line = way.gateway(began, port: port, id: id)
        #expect(way.place(line) == place, "\(id) \(port) \(began)")
      }
    }
  }

  @Test("a failed attempt may have been repeated over another connection with another id; a success was not")
  func repeated() {
    for (status, place) in [(503, nil), (200, .isUnaccounted)] as [(Int, JourneyPlace?)] {
      var way = Way()
      let attempt = way.gateway(1, life: 3, port: 41_000, id: 11, status: status)
      way.sidecar(0, life: 40, port: 40_000, id: 5)
      way.gateway(10, life: 28, port: 40_000, id: 12)
      #expect(way.place(attempt) == place)
    }
  }

  @Test("a line without ports is held against every open connection of the client that can have carried it")
  func withoutPorts() {
    func place(_ sidecar: (inout Way) -> Void) -> JourneyPlace? {
      var way = Way()
      sidecar(&way)
      let line = way.squid(endsAt: 40, received: 900)
      return way.place(line)
    }
    #expect(place { _ in } == .isUnaccounted)
    // A challenge and the tunnel on one connection: more bytes than the tunnel alone.
    #expect(place { $0.sidecar(0, isTCP: true, sent: 300, received: 1_200) } == nil)
    #expect(place { $0.sidecar(0, received: 1_200) } == .isUnaccounted)
    #expect(place { $0.sidecar(-90_000, isTCP: true, received: 1_200) } == .isUnaccounted)
  }

  @Test(
    "a client that leaves early has read less than the proxy's socket took, and the head of a tunnel is its sidecar's")
  func readLess() {
    func place(life: Int64 = 40, received: Int64, squid: Int64 = 36) -> JourneyPlace? {
      var way = Way()
      way.sidecar(0, life: life, isTCP: true, received: received, to: "10.80.2.87", isNameless: true)
      let line = way.squid(endsAt: squid + 4, life: squid, received: 300_000)
      return way.place(line)
    }
    #expect(place(received: 300_000 - 39) == nil)
    #expect(place(received: 40_000) == nil)
    // Squid has written all there is, and its tunnel is over, while a slow client still reads.
    #expect(place(life: 30_000, received: 40_000) == nil)
    // A tunnel that outlives the connection is not its.
    #expect(place(received: 40_000, squid: 9_000) == .isUnaccounted)
    #expect(place(received: 300_000, squid: 9_000) == nil)
  }

  @Test("so has a gateway that feeds the SNI proxy in its pod")
  func readLessAtSNIProxy() {
    for (received, place) in [(300_000, nil), (40_000, nil), (300_001, .isUnaccounted)] as [(Int64, JourneyPlace?)] {
      var way = Way()
      way.gateway(0, isTCP: true, sent: 700, received: received, feedsProxy: true)
      // Two of them: the bytes alone join none.
      way.gateway(1, isTCP: true, sent: 700, received: received, feedsProxy: true)
      let line = way.nginx(endsAt: 38, sent: 700, received: 300_000)
      #expect(way.place(line) == place, "\(received)")
    }
  }

  private static let crowd = 4_000

  /// The flows of which no line can be the hop before.
  private func unaccounted(_ way: Way) -> [Int] {
    way.joined.filter { $0.place.contains(.isUnaccounted) }.map { Int($0.flow) }
  }

  @Test(
    "of thousands of requests on one connection none is called absent, and each is taken up once",
    .timeLimit(.minutes(1)))
  func crowdOfRequests() {
    var way = Way()
    for number in 0..<(5 * Self.crowd) { way.gateway(Int64(number), port: 41_000, id: UInt64(number) + 1) }
    #expect(unaccounted(way) == [])
    // The last one of them is far from all others.
    let last = way.gateway(Int64(5 * Self.crowd) + 40_001, port: 41_000, id: 1 << 40)
    #expect(unaccounted(way) == [last])
  }

  @Test("thousands of lines and thousands of requests on one connection are doubts", .timeLimit(.minutes(1)))
  func crowdOfBoth() {
    var way = Way()
    for number in 0..<Self.crowd {
      way.sidecar(Int64(number), life: 4_000, port: 41_000, id: UInt64(2 * number + 1), received: 1)
      way.gateway(Int64(number) + 2, port: 41_000, id: UInt64(2 * number + 2), received: 2)
    }
    #expect(unaccounted(way) == [])
  }

  @Test("thousands of requests over one connection that the sidecar logged as such are its", .timeLimit(.minutes(1)))
  func crowdOnKnownConnection() {
    var way = Way()
    way.showClocks()
    way.sidecar(0, life: 39_000, port: 41_000, isTCP: true)
    for number in 0..<Self.crowd { way.gateway(Int64(number) * 5 + 2, port: 41_000, id: UInt64(number) + 1) }
    #expect(way.joined.filter { $0.place == .isFromSidecar }.count == Self.crowd)
  }

  @Test("thousands of connections are held against thousands of lines without ports", .timeLimit(.minutes(1)))
  func crowdWithoutPorts() {
    for received in [100, 900, 5_000] as [Int64] {
      var way = Way()
      for number in 0..<Self.crowd {
        way.sidecar(
          Int64(number) * 5, life: 100, port: UInt16(1_024 + number), isTCP: true, received: 900 + Int64(number),
          to: "10.80.2.87", isNameless: true)
        way.squid(endsAt: Int64(number) * 5 + 100, life: 90, received: received)
      }
      #expect(unaccounted(way) == [], "\(received)")
    }
  }

  @Test("thousands of connections that lead elsewhere account for none of thousands of lines", .timeLimit(.minutes(1)))
  func crowdElsewhere() {
    var way = Way()
    for number in 0..<Self.crowd {
      way.sidecar(Int64(number) * 5, port: UInt16(1_024 + number), isTCP: true, received: 5_000)
      way.squid(endsAt: Int64(number) * 5 + 40, received: 900)
    }
    way.sidecar(10_001, port: 50_000, isTCP: true, received: 5_000)
    way.gateway(10_002, port: 50_000, isTCP: true, received: 5_000)
    #expect(unaccounted(way).count == Self.crowd)
  }

  @Test("what one connection may carry beside others, or a sidecar mirrors, is never called absent")
  func cannotTell() {
    var way = Way()
    let mirrored = way.gateway(0, id: 7, host: "a.example-shadow")
    #expect(way.place(mirrored) == nil)
  }
}
