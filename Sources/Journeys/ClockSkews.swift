internal import Flows

/// How far clocks are apart, pair by pair, over the minutes that were looked at. Adding is the same in any order.
public struct ClockSkews: Sendable {
  struct Pair: Equatable, Sendable {
    var earlierLog: Int64
    var earlier: Int32
    var laterLog: Int64
    var later: Int32
  }
  struct Span: Sendable {
    var skewMs: Int64
    var samples: Int64
    var least: Int64
    var most: Int64
    var firstMs: Int64
    var lastMs: Int64
  }

  private var pairs: [Pair] = []
  /// Of each pair.
  private var spans: [Span] = []
  /// Numbers of pairs, -1 for none; at least half are. Most minutes are of pairs that are known, and a hash of the language's
  /// own takes longer than all else that is done for them.
  private var places: [Int32] = []
  private let seed = Spread.seed

  public init() {}

  /// One minute, beginning at `ms`.
  mutating func add(_ pair: Pair, skewMs: Int64, samples: Int64, at ms: Int64) {
    add(
      pair,
      Span(skewMs: skewMs, samples: samples, least: skewMs, most: skewMs, firstMs: ms, lastMs: ms))
  }

  public mutating func add(_ other: ClockSkews) {
    for (pair, span) in zip(other.pairs, other.spans) { add(pair, span) }
  }

  private mutating func add(_ pair: Pair, _ span: Span) {
    if (pairs.count + 1) * 2 > places.count { grow() }
    let place = place(of: pair)
    guard places[place] >= 0 else {
      places[place] = Int32(truncatingIfNeeded: pairs.count)
      pairs.append(pair)
      spans.append(span)
      return
    }
    let number = Int(places[place])
    let known = spans[number]
    // The minute with most samples speaks; of equal ones the later.
    let speaks = (span.samples, span.lastMs, span.skewMs) > (known.samples, known.lastMs, known.skewMs) ? span : known
    spans[number] = Span(
      skewMs: speaks.skewMs, samples: speaks.samples, least: min(known.least, span.least),
      most: max(known.most, span.most), firstMs: min(known.firstMs, span.firstMs),
      lastMs: max(known.lastMs, span.lastMs))
  }

  private func place(of pair: Pair) -> Int {
    let mask = places.count - 1
    var mixer = Mixer()
    mixer.add(pair.earlierLog)
    mixer.add(pair.laterLog)
    mixer.add(UInt64(UInt32(bitPattern: pair.earlier)) << 32 | UInt64(UInt32(bitPattern: pair.later)))
    var place = Spread.slot(of: mixer.value, seed, mask)
    while places[place] >= 0, pairs[Int(places[place])] != pair { place = (place + 1) & mask }
    return place
  }

  private mutating func grow() {
    places = Array(repeating: -1, count: max(64, places.count * 2))
    for number in pairs.indices { places[place(of: pairs[number])] = Int32(truncatingIfNeeded: number) }
  }

  /// Numbers of all that `named(_:)` asks for.
  var addresses: Set<Int32> { Set(pairs.lazy.flatMap { [$0.earlier, $0.later] }) }

  func named(_ text: (Int32) -> String) -> [ClockSkew] {
    zip(pairs, spans).map { pair, span in
      ClockSkew(
        earlierLog: pair.earlierLog, earlierIP: text(pair.earlier), laterLog: pair.laterLog, laterIP: text(pair.later),
        skewMs: span.skewMs, samples: span.samples, leastMs: span.least, mostMs: span.most, firstMs: span.firstMs,
        lastMs: span.lastMs)
    }
  }
}

/// What was learned of two clocks in the minute that begins at `ms`.
struct ClockMinute: Sendable {
  var pair: ClockSkews.Pair
  var ms: Int64
  var skewMs: Int64
  var samples: Int64
}
