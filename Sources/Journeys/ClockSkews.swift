public import Flows

/// How far clocks are apart, pair by pair, over the minutes that were looked at. Adding is the same in any order.
public struct ClockSkews: Sendable {
  struct Pair: Hashable, Sendable {
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

  private(set) var pairs: [Pair: Span] = [:]

  public init() {}

  /// One minute, beginning at `ms`.
  mutating func add(_ pair: Pair, skewMs: Int64, samples: Int64, at ms: Int64) {
    add(
      pair,
      Span(skewMs: skewMs, samples: samples, least: skewMs, most: skewMs, firstMs: ms, lastMs: ms))
  }

  public mutating func add(_ other: ClockSkews) {
    for (pair, span) in other.pairs { add(pair, span) }
  }

  private mutating func add(_ pair: Pair, _ span: Span) {
    guard let known = pairs[pair] else {
      pairs[pair] = span
      return
    }
    // The minute with most samples speaks; of equal ones the later.
    let speaks = (span.samples, span.lastMs, span.skewMs) > (known.samples, known.lastMs, known.skewMs) ? span : known
    pairs[pair] = Span(
      skewMs: speaks.skewMs, samples: speaks.samples, least: min(known.least, span.least),
      most: max(known.most, span.most), firstMs: min(known.firstMs, span.firstMs),
      lastMs: max(known.lastMs, span.lastMs))
  }

  func named(_ text: (Int32) -> String) -> [ClockSkew] {
    pairs.map { pair, span in
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
