/// How long the pods of all imported snapshots together lived, and who of them had which address when.
///
/// A pod is one by its namespace, its name and its start: who has the name after it is another. It lives
///
/// - from its start (its first sighting, where no start is known);
/// - until its own end, the start of the next pod of its name, or the first snapshot that looked for it and did not find it. Where
///   the cluster does not tell when it ended, that is the snapshot which shows it over.
///
/// One that never had an address, and is not over, sent nothing, and is none. An address is a pod's
///
/// - from its start where no snapshot shows the pod anywhere before, from the last snapshot that shows it without one, else from
///   the first that shows it there: a pod gets another address without another start when its node was started anew
///   (github.com/antrea-io/antrea, issue 7512);
/// - until the first snapshot that looked for the pod and did not find it there, the start of the next pod with the address, or the
///   pod's own end. What lies between the last sighting and the snapshot without it is the pod's: nobody else had the address.
public struct PodLives: Sendable {
  /// Milliseconds since 1970, the end exclusive; `.max` where nothing shows one.
  public struct Span: Hashable, Sendable {
    public var fromMs: Int64
    public var untilMs: Int64
    /// Lines of this time are of this span: clocks may differ by a minute, but not into the span before or after.
    public internal(set) var linesFromMs: Int64
    public internal(set) var linesUntilMs: Int64

    init(fromMs: Int64, untilMs: Int64) {
      self.fromMs = fromMs
      self.untilMs = untilMs
      linesFromMs = fromMs
      linesUntilMs = untilMs
    }
  }

  public struct Life: Sendable {
    /// Of the pod in its states, in `ClusterRecord.objects`, by the time they were seen.
    public internal(set) var objects: [Int]
    public internal(set) var span: Span
    /// The first and the last snapshot that show it before its end.
    public internal(set) var aliveMs: ClosedRange<Int64>?
  }

  public struct Hold: Hashable, Sendable {
    /// In `all`.
    public internal(set) var life: Int
    /// The latest state of the pod at this address, in `ClusterRecord.objects`.
    public internal(set) var object: Int
    public internal(set) var span: Span
  }

  private struct Name: Hashable {
    var namespace: String
    var name: String
  }

  private struct Pod: Hashable {
    var name: Name
    var startedMs: Int64?
  }

  public private(set) var all: [Life] = []
  /// By their beginnings.
  public private(set) var holds: [IPAddress: [Hold]] = [:]
  private let record: ClusterRecord

  public init(_ record: ClusterRecord) {
    self.record = record
    var sightings: [Pod: [ClusterRecord.Sighting]] = [:]
    for sighting in record.sightings {
      let object = record.objects[sighting.object]
      guard object.kind == .pod else { continue }
      let name = Name(namespace: object.namespace, name: object.name)
      sightings[Pod(name: name, startedMs: object.startedMs), default: []].append(sighting)
    }
    var namesakes: [Name: [[ClusterRecord.Sighting]]] = [:]
    // A pod that never had an address is known by another start than the one it got later.
    for (pod, seen) in sightings where seen.contains(where: { isOverOrSomewhere($0.object) }) {
      namesakes[pod.name, default: []].append(
        seen.sorted { ($0.firstMs, $0.lastMs, $0.object) < ($1.firstMs, $1.lastMs, $1.object) })
    }
    for one in namesakes.values { add(one) }
    for address in Array(holds.keys) {
      var sorted = holds[address]!.sorted {
        ($0.span.fromMs, $0.span.untilMs, $0.object) < ($1.span.fromMs, $1.span.untilMs, $1.object)
      }
      PodLives.joinNeighbours(&sorted)
      PodLives.succeed(&sorted, \.span)
      holds[address] = sorted
    }
  }

  private func isOverOrSomewhere(_ place: Int) -> Bool {
    let object = record.objects[place]
    return !object.addresses.isEmpty || object.endedMs != nil || object.traits.contains(ClusterObject.endUnknown)
  }

  private struct Sighted {
    var life: Life
    var sightings: [ClusterRecord.Sighting]
  }

  /// Pods of one name.
  private mutating func add(_ namesakes: [[ClusterRecord.Sighting]]) {
    var found = namesakes.map { sightings in
      let started = record.objects[sightings[0].object].startedMs
      let first = sightings[0].firstMs
      var (objects, known): ([Int], Set<Int>) = ([], [])
      for sighting in sightings where known.insert(sighting.object).inserted { objects.append(sighting.object) }
      let (end, alive) = end(of: sightings)
      let span = Span(fromMs: min(started ?? first, first), untilMs: end)
      return Sighted(life: Life(objects: objects, span: span, aliveMs: alive), sightings: sightings)
    }
    found.sort { ($0.life.span.fromMs, $0.life.objects[0]) < ($1.life.span.fromMs, $1.life.objects[0]) }
    PodLives.succeed(&found, \.life.span)
    for one in found {
      addHolds(of: one.life, all.count, one.sightings)
      all.append(one.life)
    }
  }

  /// As the cluster tells it; else the first look that shows the pod over, and no earlier than the last that shows it alive; and
  /// the first look that does not show it any more.
  private func end(of sightings: [ClusterRecord.Sighting]) -> (Int64, alive: ClosedRange<Int64>?) {
    var (ended, over, alive): (Int64?, Int64?, ClosedRange<Int64>?) = (nil, nil, nil)
    for sighting in sightings {
      let object = record.objects[sighting.object]
      if let ms = object.endedMs {
        ended = max(ended ?? ms, ms)
      } else if object.traits.contains(ClusterObject.endUnknown) {
        over = min(over ?? sighting.firstMs, sighting.firstMs)
      } else {
        alive =
          min(
            alive?.lowerBound ?? sighting.firstMs, sighting.firstMs)...max(
            alive?.upperBound ?? sighting.lastMs, sighting.lastMs)
      }
    }
    let end = ended.map { max($0, alive?.upperBound ?? $0) } ?? over ?? .max
    let seenMs = sightings.lazy.map(\.lastMs).max() ?? .max
    return (min(end, gone(sightings[0].object, after: seenMs)), alive)
  }

  private func gone(_ object: Int, after ms: Int64) -> Int64 {
    record.momentAfter(ms, kind: .pod, namespace: record.objects[object].namespace) ?? .max
  }

  private mutating func addHolds(of life: Life, _ number: Int, _ sightings: [ClusterRecord.Sighting]) {
    var before: (addresses: Set<IPAddress>, lastMs: Int64)?
    var held: [IPAddress: Hold] = [:]
    func close(_ address: IPAddress, _ holds: inout [IPAddress: [Hold]]) {
      guard let hold = held.removeValue(forKey: address), hold.span.fromMs < hold.span.untilMs else { return }
      holds[address, default: []].append(hold)
    }
    for sighting in sightings {
      let pod = record.objects[sighting.object]
      // With `hostNetwork` the address is the node's.
      let addresses = pod.isHostNetwork ? [] : Set(pod.addresses.lazy.compactMap { IPAddress($0) })
      let until = min(life.span.untilMs, gone(sighting.object, after: sighting.lastMs))
      for address in Array(held.keys) where !addresses.contains(address) { close(address, &holds) }
      for address in addresses {
        if let hold = held[address], hold.span.untilMs > sighting.firstMs {
          // another state of it
          held[address]?.object = sighting.object
          held[address]?.span.untilMs = max(hold.span.untilMs, until)
          continue
        }
        let from: Int64
        switch before {
        case _ where held[address] != nil:
          // A look in between did not find it.
          close(address, &holds)
          from = sighting.firstMs
        case nil: from = life.span.fromMs
        case let last? where last.addresses.isEmpty: from = max(life.span.fromMs, last.lastMs)
        case .some: from = sighting.firstMs
        }
        held[address] = Hold(life: number, object: sighting.object, span: Span(fromMs: from, untilMs: until))
      }
      before = (addresses, sighting.lastMs)
    }
    for address in Array(held.keys) { close(address, &holds) }
  }

  /// Whom a look did not find, and a later one found where it was before, was there all the time, unless another was.
  private static func joinNeighbours(_ sorted: inout [Hold]) {
    var kept: [Hold] = []
    for hold in sorted {
      if let last = kept.last, last.life == hold.life {
        kept[kept.count - 1].object = hold.object
        kept[kept.count - 1].span.untilMs = max(last.span.untilMs, hold.span.untilMs)
      } else {
        kept.append(hold)
      }
    }
    sorted = kept
  }

  /// How far the clocks of two machines may be apart.
  private static let clockMs: Int64 = 60_000

  /// Ends each of the sorted `items` where the next one begins; of two that begin together nobody knows.
  private static func succeed<Item>(_ items: inout [Item], _ span: WritableKeyPath<Item, Span>) {
    var reached = Int64.min
    var start = 0
    while start < items.count {
      let from = items[start][keyPath: span].fromMs
      let end = items[start...].firstIndex { $0[keyPath: span].fromMs > from } ?? items.count
      let next = end < items.count ? items[end][keyPath: span].fromMs : .max
      let before = reached
      for index in start..<end {
        let until = min(items[index][keyPath: span].untilMs, next)
        items[index][keyPath: span].untilMs = until
        items[index][keyPath: span].linesFromMs = max(from.plus(-clockMs), before)
        items[index][keyPath: span].linesUntilMs = min(until.plus(clockMs), next)
        reached = max(reached, until)
      }
      start = end
    }
  }
}
