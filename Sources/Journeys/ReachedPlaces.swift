internal import Flows

/// What clients reach where: which proxy's line was joined with a line to which address and port, and when.
///
/// Of all such lines of some half a minute that say the same, the first and the last are kept.
struct ReachedPlaces {
  /// A proxy can have more than one log, and two proxies that log no address of their own are not told apart.
  struct Proxy {
    var log: Int64
    var kind: ProxyKind
    var own: Int32

    func isSame(_ other: Proxy) -> Bool { kind == other.kind && own == other.own }

    private var number: UInt8 {
      switch kind {
      case .envoy: 0
      case .nginxStream: 1
      case .nginxHTTP: 2
      case .squid: 3
      }
    }

    var key: UInt64 {
      var mixer = Mixer()
      mixer.add(log)
      mixer.add(UInt64(UInt32(bitPattern: own)))
      mixer.add(UInt64(number))
      return mixer.value
    }
  }

  private struct Place {
    var stretch: UInt64
    var endpoint: UInt64
    var proxy: Proxy
    var firstMs: Int64
    var lastMs: Int64
  }

  /// Shorter than what is asked about, so that the first or the last is inside whenever one is.
  private static let stretchBits: Int64 = 15
  private var places: [Place] = []
  private var numbers: [UInt64: Int32] = [:]
  private var byStretch = KeyIndex([])

  var isEmpty: Bool { places.isEmpty }

  private static func stretch(_ client: Int32, _ number: Int64) -> UInt64 {
    var mixer = Mixer()
    mixer.add(client)
    mixer.add(number)
    return mixer.value
  }

  mutating func add(_ client: Int32, _ endpoint: UInt64, _ proxy: Proxy, at ms: Int64) {
    let stretch = ReachedPlaces.stretch(client, ms >> ReachedPlaces.stretchBits)
    var mixer = Mixer()
    mixer.add(stretch)
    mixer.add(endpoint)
    mixer.add(proxy.key)
    if let number = numbers[mixer.value] {
      places[Int(number)].firstMs = min(places[Int(number)].firstMs, ms)
      places[Int(number)].lastMs = max(places[Int(number)].lastMs, ms)
    } else {
      numbers[mixer.value] = Int32(places.count)
      places.append(Place(stretch: stretch, endpoint: endpoint, proxy: proxy, firstMs: ms, lastMs: ms))
    }
  }

  /// Called once, before the first question.
  mutating func close() {
    numbers = [:]
    byStretch = KeyIndex(places.enumerated().map { KeyIndex.Entry(key: $1.stretch, hop: Int32($0)) })
  }

  /// At all moments of a stretch of time: within `JoinLimits.absenceReachMs`, the client came from that endpoint to another proxy
  /// or from another endpoint to this log, and from that endpoint never to this proxy.
  func isElsewhere(_ client: Int32, _ endpoint: UInt64, than proxy: Proxy, at times: ClosedRange<Int64>) -> Bool {
    let reach = JoinLimits.absenceReachMs
    let (from, through) = (times.lowerBound.plus(-reach), times.upperBound.plus(reach))
    // What each of the moments has in its reach.
    let (common, end) = (times.upperBound.plus(-reach), times.lowerBound.plus(reach))
    var isElsewhere = false
    var isHere = false
    byStretch.ask { byStretch in
      for number in from >> ReachedPlaces.stretchBits...through >> ReachedPlaces.stretchBits {
        byStretch.forEach(from: byStretch.chain(of: ReachedPlaces.stretch(client, number))) { index in
          let place = places[Int(index)]
          guard place.lastMs >= from, place.firstMs <= through else { return }
          let isThere = place.endpoint == endpoint
          if isThere, place.proxy.isSame(proxy) { isHere = true }
          guard isThere || place.proxy.log == proxy.log else { return }
          if common <= place.firstMs && place.firstMs <= end || common <= place.lastMs && place.lastMs <= end {
            isElsewhere = true
          }
        }
      }
    }
    return isElsewhere && !isHere
  }
}
