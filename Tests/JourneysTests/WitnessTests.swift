import Flows
import Testing

@testable import Journeys

/// At a Squid that logs neither the client's port nor its own address: which of the client's connections led there?
@Suite struct WitnessTests {
  private static let pod = "10.80.4.7"

  @Test(
    "a connection to another pod of equal bytes proves nothing of a tunnel, where the client's others lead elsewhere")
  func equalBytes() {
    for others in [1, 2, 5] {
      var way = Way()
      way.sidecar(0, life: 5_000, port: 41_000, isTCP: true, received: 7_654_321, to: Self.pod, isNameless: true)
      let line = way.squid(endsAt: 4_999, life: 4_998, received: 7_654_321)
      #expect(way.place(line) == .hasEarlier)
      for other in 0..<others {
        way.tunnel(Int64(other) * 5_000, port: 42_000 + UInt16(other), received: 3_000 + Int64(other))
      }
      #expect(way.place(line) == .hasClaimedEarlier, "\(others)")
      // Against one other line it is the word of one against that of another.
      #expect(way.place(line + 2) == (others == 1 ? .hasClaimedEarlier : .hasEarlier), "\(others)")
    }
  }

  @Test("what lies further away shows nothing: pods come and go")
  func farAway() {
    var way = Way()
    way.sidecar(0, life: 5_000, port: 41_000, isTCP: true, received: 7_654_321, to: Self.pod, isNameless: true)
    let line = way.squid(endsAt: 4_999, life: 4_998, received: 7_654_321)
    for other in 0..<5 {
      way.tunnel(40_000 + Int64(other) * 5_000, port: 42_000 + UInt16(other), received: 3_000 + Int64(other))
    }
    #expect(way.place(line) == .hasEarlier)
  }

  @Test("one proxy may have many addresses under one name, or many names at one address")
  func manyAddresses() {
    for (cluster, addresses) in [("outbound|3128||proxy.example", 6), (nil, 1)] as [(String?, Int)] {
      var way = Way()
      for number in 0..<6 {
        way.tunnel(
          Int64(number) * 2_000, port: 42_000 + UInt16(number), received: 3_000 + Int64(number),
          to: "10.80.2.\(87 + number % addresses)", cluster: cluster ?? "outbound|3128||proxy-\(number).example")
      }
      #expect((1...6).allSatisfy { way.place($0 * 2) == .hasEarlier }, "\(cluster ?? "-")")
    }
  }

  @Test("a failed tunnel, of which the life alone is known, is proven by other tunnels that lead where it did")
  func failedTunnel() {
    func places(_ others: Int, to address: String, cover: Bool = false) -> (JourneyPlace?, Int) {
      var way = Way()
      way.sidecar(0, life: 70, port: 41_000, isTCP: true, received: 3_300, to: address, isNameless: true)
      let line = way.squid(endsAt: 65, life: 60, received: 0, status: 503)
      for other in 0..<others {
        way.tunnel(9_000 + Int64(other) * 5_000, port: 42_000 + UInt16(other), received: 4_000 + Int64(other))
      }
      return (way.place(line), way.journeys.count)
    }
    #expect(places(1, to: "10.80.2.87") == (.hasEarlier, 2))
    #expect(places(0, to: "10.80.2.87") == (.hasClaimedEarlier, 1))
    // A database that happened to answer as long is not where the others lead.
    #expect(places(1, to: Self.pod) == (.isUnaccounted, 1))
  }

  @Test("a failed tunnel is joined with the one of two equal lives that leads to the proxy")
  func twoLives() {
    var way = Way()
    way.sidecar(0, life: 70, port: 41_000, isTCP: true, received: 78, to: Self.pod, isNameless: true)
    way.sidecar(1, life: 70, port: 41_001, isTCP: true, received: 3_300, to: "10.80.2.87", isNameless: true)
    let line = way.squid(endsAt: 65, life: 60, received: 0, status: 503)
    #expect(way.place(line) == nil)
    way.tunnel(9_000, port: 42_000, received: 4_000)
    #expect(way.journeys == [[2, 3], [4, 5]])
    #expect(way.place(line) == .hasEarlier)
  }

  @Test("lines in two files of one pod's log are witnesses of each other, those of another proxy's log are not")
  func twoFiles() {
    for (name, place) in [("squid-0", .hasEarlier), (nil, .hasClaimedEarlier)] as [(String?, JourneyPlace)] {
      var way = Way()
      way.sidecar(0, life: 70, port: 41_000, isTCP: true, received: 3_300, to: "10.80.2.87", isNameless: true)
      let line = way.squid(endsAt: 65, life: 60, received: 0, status: 503, name: name)
      way.tunnel(9_000, port: 42_000, received: 4_000, log: 5, name: name)
      #expect(way.place(line) == place, "\(name ?? "-")")
    }
  }

  @Test("a proxy that says where it is needs no witness")
  func ownAddress() {
    var way = Way()
    way.sidecar(0, life: 70, port: 41_000, isTCP: true, received: 3_300, to: "10.80.2.87", isNameless: true)
    let line = way.squid(endsAt: 65, life: 60, received: 0, status: 503, own: "10.80.2.87")
    #expect(way.place(line) == .hasEarlier)
  }

  @Test(
    "a hop that leads to the proxy by its looks says so, one that the proxy's address or a doubt speaks of does not")
  func byLooks() {
    func place(own: String?, port: UInt16 = 0) -> JourneyPlace? {
      var way = Way()
      let line = way.sidecar(0, port: 41_000, isTCP: true, received: 3_000, to: "10.80.2.87", isNameless: true)
      way.squid(endsAt: 39, life: 37, received: 3_000, port: port, own: own)
      return way.place(line)
    }
    #expect(place(own: nil) == [.hasLater, .leadsByLooks])
    // One port may have connections to two addresses.
    #expect(place(own: nil, port: 41_000) == [.hasLater, .leadsByLooks])
    #expect(place(own: "10.80.2.87") == .hasLater)
  }

  @Test("a hop that goes elsewhere than the witnesses is no earlier hop that could be left out of totals")
  func elsewhere() {
    var way = Way()
    let line = way.sidecar(
      0, life: 70, port: 41_000, isTCP: true, received: 3_300, to: "203.0.113.10", isNameless: true)
    let proxy = way.squid(endsAt: 70, life: 70, received: 3_300)
    for index in 0..<3 {
      way.tunnel(9_000 + Int64(index) * 1_000, port: 42_000 + UInt16(index), received: 4_000 + Int64(index))
    }
    #expect(way.place(proxy) == .hasClaimedEarlier)
    #expect(way.place(line) == [.hasLater, .leadsByLooks])
  }
}
