import Flows
import Testing

@testable import Journeys

@Suite struct JoinTests {
  @Test("traits from which second views are left out later are those that were made without them")
  func secondViews() {
    let outcomes = (1...4).map { (id: Int64($0), outcome: Outcome(status: 199 + $0)) }
    func traits(_ secondViews: Set<Int64>) -> HopTraits {
      HopTraits(sources: [], destinations: [], outcomes: outcomes, secondViews: secondViews)
    }
    // One that has no row any more is among them.
    let views: Set<Int64> = [2, 4, 9]
    var later = traits([])
    later.leaveOut(views)
    #expect(later.joinableOutcomes == traits(views).joinableOutcomes)
    #expect(later.joinableOutcomes == [false, true, false, true, false])
    #expect(later.outcomes.map(\.isHop) == traits(views).outcomes.map(\.isHop))
  }

  @Test("nothing joins nothing") func nothing() {
    #expect(Way().journeys == [])
  }

  @Test("a connection is one way when addresses, ports and bytes agree")
  func connection() {
    var way = Way()
    way.sidecar(0, life: 86_400_000, isTCP: true)
    way.gateway(28, life: 86_399_990, isTCP: true)
    way.gateway(28, port: 40_001, isTCP: true)
    way.gateway(28, isTCP: true, pod: "10.80.3.12")
    way.gateway(28, isTCP: true, own: "10.80.3.233")
    way.gateway(28, isTCP: true, received: 21)
    #expect(way.journeys == [[1, 2]])
    #expect(way.place(1) == .hasLater)
    #expect(way.place(2) == .hasEarlier)
  }

  @Test("a sidecar's line that a workload printed itself is no hop")
  func workloadsOutput() {
    for (container, journeys) in [(nil, [[1, 2]]), ("istio-proxy", [[1, 2]]), ("app", [])] as [(String?, [[Int]])] {
      var way = Way()
      way.sidecar(0, id: 7, container: container)
      way.gateway(1, id: 7)
      #expect(way.journeys == journeys)
    }
  }

  @Test("addresses of IPv6 join as those of IPv4")
  func addresses() {
    var way = Way()
    way.sidecar(0, id: 5, pod: "fd00:80::11", to: "fd00:80::1")
    way.gateway(2, id: 5, pod: "fd00:80::11", own: "fd00:80::1")
    #expect(way.journeys == [[1, 2]])
  }

  @Test("a port used again after 1.6 s is another connection, told apart by bytes, or not joined")
  func reuse() {
    var way = Way()
    way.sidecar(0, isTCP: true, received: 100)
    way.sidecar(1_600, isTCP: true, received: 200)
    way.gateway(1_605, isTCP: true, received: 200)
    way.gateway(5, isTCP: true, received: 100)
    #expect(way.journeys == [[1, 4], [2, 3]])

    var equal = Way()
    equal.sidecar(0, isTCP: true)
    equal.sidecar(1_600, isTCP: true)
    equal.gateway(1_605, isTCP: true)
    #expect(equal.journeys == [])
  }

  @Test("thousands of requests on one connection are joined one by one, by id")
  func pool() {
    var way = Way()
    for request in 0..<300 {
      way.sidecar(Int64(request), id: UInt64(request) + 1)
      way.gateway(Int64(request) + 2, id: UInt64(request) + 1)
    }
    #expect(way.journeys.count == 300)
    #expect(way.journeys.allSatisfy { $0.count == 2 && $0[1] == $0[0] + 1 })
  }

  @Test("an id that a client repeats joins nothing of another host, another path or another time")
  func repeatedID() {
    var way = Way()
    way.sidecar(0, id: 7)
    way.gateway(2, id: 7, host: "b.example")
    way.gateway(2, id: 7, path: 2)
    way.gateway(600_000, id: 7)
    way.gateway(2, port: 40_009, id: 7)
    #expect(way.journeys == [])
  }

  @Test("one id for all requests of a connection: what is ambiguous stays unjoined")
  func oneID() {
    var way = Way()
    way.sidecar(0, id: 7)
    way.sidecar(900, id: 7)
    way.gateway(2, id: 7)
    #expect(way.journeys == [])
    way.sidecar(10, id: 7, path: 3)
    way.gateway(12, id: 7, path: 3)
    // The clocks are known from the third request: 2 ms apart.
    #expect(way.journeys == [[1, 3], [4, 5]])
  }

  @Test("all attempts of a request belong to it, and the last one is the answer")
  func attempts() {
    var way = Way()
    way.sidecar(0, life: 700, id: 9)
    way.gateway(1, life: 20, port: 41_000, id: 9, received: 91, status: 503)
    way.gateway(300, life: 20, port: 41_001, id: 9, received: 91, status: 503)
    way.gateway(600, life: 90, id: 9)
    #expect(way.journeys == [[1, 2, 3, 4]])
    #expect(way.place(2) == [.hasClaimedEarlier, .isRepeated])
    #expect(way.place(3) == [.hasClaimedEarlier, .isRepeated])
    #expect(way.place(4) == .hasEarlier)
  }

  @Test("a line with the id of another request is no attempt of it where it was answered well: whoever came made it up")
  func borrowedID() {
    var way = Way()
    way.sidecar(0, life: 700, id: 9)
    way.gateway(300, life: 20, port: 41_001, id: 9)
    way.gateway(600, life: 90, id: 9)
    #expect(way.journeys == [[1, 3]])
    #expect(way.place(2) == nil)
  }

  @Test("a gateway that gives requests new ids is joined by what the request shows, when nothing else shows the same")
  func newIDs() {
    var way = Way()
    way.sidecar(0, id: 1, received: 100)
    way.gateway(2, id: 101, received: 100)
    way.sidecar(10, id: 2, received: 200)
    way.gateway(12, id: 102, received: 200)
    #expect(way.journeys == [[1, 2], [3, 4]])

    // This gateway keeps ids: then different ones are different requests.
    way.sidecar(20, id: 3, received: 300)
    way.gateway(22, id: 3, received: 300)
    #expect(way.journeys == [[5, 6]])
  }

  @Test("equal requests on one connection are told apart by their times, once the clocks are known")
  func clocks() {
    var way = Way()
    for request in 0..<6 {
      way.sidecar(Int64(request) * 10, received: Int64(request) * 100)
      way.gateway(Int64(request) * 10 + 1_802, received: Int64(request) * 100)
    }
    way.sidecar(1_000, received: 7)
    way.sidecar(1_300, received: 7)
    way.gateway(1_300 + 1_802, received: 7)
    #expect(way.journeys == (0..<6).map { [$0 * 2 + 1, $0 * 2 + 2] } + [[14, 15]])
  }

  @Test(
    "a client port that REDIRECT rewrote, or that a header replaced by 0, is no matter: the sidecar's own port joins")
  func redirectedPort() {
    var way = Way()
    // Another's line has the port that the rewritten one shows.
    way.sidecar(0, port: 40_000, isTCP: true, clientPort: 41_000)
    way.gateway(2, port: 40_000, isTCP: true)
    way.gateway(2, port: 41_000, isTCP: true)
    way.sidecar(5_000, port: 42_000, id: 9, isForwarded: true)
    way.gateway(5_002, port: 42_000, id: 9)
    #expect(way.journeys == [[1, 2], [4, 5]])
    #expect(way.place(2) == .hasEarlier && way.place(5) == .hasEarlier)
  }

  @Test("a client's address from a header is joined by the id alone, which proves nothing")
  func forwarded() {
    var way = Way()
    way.sidecar(0, id: 4)
    way.gateway(2, id: 4, isForwarded: true)
    #expect(way.journeys == [[1, 2]])
    #expect(way.place(2) == .hasClaimedEarlier)
  }

  @Test("an SNI proxy without ports is joined by name, bytes and end, with or without the ClientHello")
  func withoutPorts() {
    var way = Way()
    way.sidecar(0, life: 640, isTCP: true, sent: 932, received: 153_941)
    way.gateway(5, life: 632, isTCP: true, sent: 932, received: 153_941, feedsProxy: true)
    way.nginx(endsAt: 636, life: 631, sent: 415, received: 153_941)
    way.nginx(endsAt: 636, life: 631, sent: 415, received: 153_940)
    way.nginx(endsAt: 636, life: 630_131, sent: 415, received: 153_941)
    way.nginx(endsAt: 636, life: 631, host: "b.example", sent: 415, received: 153_941)
    #expect(way.journeys == [[1, 2, 3]])
    #expect(way.place(2) == [.hasEarlier, .hasLater])
  }

  @Test("a sidecar whose workload dialled its own address is no gateway: at an SNI proxy it proves no way through one")
  func toItself() {
    for isToItself in [false, true] {
      var way = Way()
      way.sidecar(0, life: 640, isTCP: true, sent: 932, received: 153_941, to: Way.pod, isToItself: isToItself)
      let line = way.nginx(endsAt: 636, life: 631, sent: 415, received: 153_941, client: Way.pod)
      #expect(way.place(line) == .hasClaimedEarlier, "\(isToItself)")
    }
  }

  @Test("two sessions that could be the same are joined with neither")
  func ambiguous() {
    var way = Way()
    way.gateway(5, isTCP: true, sent: 932, feedsProxy: true)
    way.nginx(endsAt: 40, sent: 415)
    way.nginx(endsAt: 940, sent: 415)
    #expect(way.journeys == [])
  }

  @Test("each pod has a loopback of its own")
  func loopback() {
    var way = Way()
    way.gateway(5, isTCP: true, sent: 932, feedsProxy: true, name: "egress-1")
    way.nginx(endsAt: 40, sent: 415, name: "egress-2")
    #expect(way.journeys == [])
    way.nginx(endsAt: 40, sent: 415, name: "egress-1")
    #expect(way.journeys == [[1, 3]])
  }

  @Test("a crowd of equal lines is looked at once, and joined with nothing")
  func crowd() {
    var way = Way()
    for _ in 0..<2_000 {
      way.sidecar(0, id: 7)
      way.gateway(1, id: 7)
    }
    #expect(way.journeys == [])
  }

  @Test("lines with times and numbers at the ends of their ranges join nothing and stop nothing")
  func extremes() {
    var way = Way()
    for value in [Int64.min + Way.noon, -1, 0, Int64.max - Way.noon - Way.noon] {
      way.sidecar(value, life: .max, isTCP: true, sent: .max, received: .max)
      way.gateway(value, life: .max, isTCP: true, sent: .min, received: .max)
      way.sidecar(value, life: .max, id: 1, sent: .max, received: 0)
      way.gateway(value, life: .max, id: 1, sent: .max, received: 0)
      way.gateway(value, life: .max, isTCP: true, sent: .max, received: 5, feedsProxy: true)
    }
    way.nginx(endsAt: 0, life: .max - Way.noon, sent: 0, received: 5)
    #expect(!way.journeys.isEmpty)
  }
}
