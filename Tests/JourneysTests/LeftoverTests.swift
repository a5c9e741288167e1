import Flows
import Testing

@testable import Journeys

/// What real proxies write when a request is tried again, an id replaced, a connection opened, or Squid fails.
@Suite struct LeftoverTests {
  @Test("attempts over one connection with one id are one way, and the last one is the answer")
  func attemptsOnOneConnection() {
    var way = Way()
    way.sidecar(0, life: 20, id: 7, received: 2)
    way.gateway(0, life: 1, id: 7, received: 2, status: 503)
    way.gateway(3, life: 0, id: 7, received: 2, status: 503)
    way.gateway(19, life: 0, id: 7, received: 2)
    #expect(way.journeys == [[1, 2, 3, 4]])
    #expect([2, 3, 4].map { way.place($0)?.contains(.isRepeated) } == [true, true, false])
  }

  @Test("requests with one id that did not fail are no attempts of one request")
  func noAttempts() {
    var way = Way()
    way.sidecar(0, life: 20, id: 7)
    way.gateway(0, life: 1, id: 7)
    way.gateway(19, life: 1, id: 7)
    #expect(way.journeys == [])
  }

  @Test("a gateway that keeps ids may replace that of a client who says to stand for another")
  func replacedForOneClient() {
    var way = Way()
    for number in 0..<6 {
      way.sidecar(Int64(number) * 100, id: UInt64(number + 1))
      way.gateway(Int64(number) * 100 + 1, id: UInt64(number + 1))
    }
    let forwarded = way.sidecar(700, id: 40, isForwarded: true)
    let replaced = way.gateway(701, id: 41)
    let own = way.sidecar(800, id: 42, path: 2)
    way.gateway(801, id: 43, path: 2)
    #expect(way.journeys.contains([forwarded, replaced]))
    #expect(!way.journeys.contains { $0.contains(own) })
  }

  @Test("a connection that the gateway opens is one way with its only request")
  func opened() {
    var way = Way()
    way.sidecar(0, life: 50, isTCP: true, sent: 686, received: 1_923)
    way.gateway(45, life: 1, id: 7, host: "hidden.example", sent: 0, received: 43)
    #expect(way.journeys == [[1, 2]])
    #expect(way.place(2) == .hasEarlier)
  }

  @Test("a connection that carried two requests is left alone")
  func openedForTwo() {
    var way = Way()
    way.sidecar(0, life: 900, isTCP: true)
    way.gateway(5, life: 1, id: 7)
    way.gateway(400, life: 1, id: 8)
    #expect(way.journeys == [])
  }

  @Test("equal sessions at an SNI proxy without ports are told apart by how long they lasted")
  func exactLife() {
    var way = Way()
    way.gateway(0, life: 640, isTCP: true, feedsProxy: true)
    way.gateway(100, life: 1_300, isTCP: true, feedsProxy: true)
    way.nginx(endsAt: 638, life: 636)
    way.nginx(endsAt: 1_397, life: 1_295)
    #expect(way.journeys == [[1, 3], [2, 4]])
  }
}
