internal import Flows

/// When the log of a proxy was read: from the first line of its logs to the last, but for what lies between two of them.
struct ReadTime: Hashable, Sendable {
  var span: Topology.Span
  /// In order, apart from each other, and within the span.
  var holes: [ClosedRange<Int64>] = []

  /// Who hands on to a proxy in a shorter time than this finds it idle, or its clock is another.
  static let leastHoleMs: Int64 = 60_000

  /// nil where nothing was read.
  init?(_ spans: some Sequence<Topology.Span>) {
    let sorted = spans.sorted { ($0.fromMs, $0.untilMs) < ($1.fromMs, $1.untilMs) }
    guard let first = sorted.first else { return nil }
    span = first
    for next in sorted.dropFirst() {
      if next.fromMs > span.untilMs, next.fromMs.since(span.untilMs) > ReadTime.leastHoleMs {
        holes.append(span.untilMs + 1...next.fromMs - 1)
      }
      span.untilMs = max(span.untilMs, next.untilMs)
    }
    guard holes.count > RouteVerdict.mostHoles else { return }
    // The shorter ones are left out: what lies in them counts as read.
    let longest = holes.sorted { ($1.count, $0.lowerBound) < ($0.count, $1.lowerBound) }.prefix(RouteVerdict.mostHoles)
    holes = longest.sorted { $0.lowerBound < $1.lowerBound }
  }

  /// How many of the logs were written at one time: of so many proxies at least something was read.
  static func depth(_ spans: [Topology.Span]) -> Int {
    let starts = spans.map(\.fromMs).sorted()
    let ends = spans.map(\.untilMs).sorted()
    var (open, most, end) = (0, 0, 0)
    for start in starts {
      while ends[end] < start {
        open -= 1
        end += 1
      }
      open += 1
      most = max(most, open)
    }
    return most
  }
}
