internal import Flows

/// Who had which address when, by the lives of the pods that all imported snapshots together show.
///
/// A pod is one by its namespace, its name and its start: who has the name after it is another. An address is a pod's
///
/// - from its start (its first sighting, where no start is known) where no snapshot shows the pod anywhere before, else from the
///   first snapshot that shows it there: a pod gets another address without another start when its node was started anew
///   (github.com/antrea-io/antrea, issue 7512);
/// - until the first snapshot that looked for the pod and did not find it there, or until the start of the next pod with the
///   address or with the name, or the pod's own end. What lies between the last sighting and the snapshot without it is the
///   pod's: nobody else had the address.
struct PodLives {
  typealias Holder = ClusterHistory.Holder

  private struct Name: Hashable {
    var namespace: String
    var name: String
  }

  private struct Pod: Hashable {
    var name: Name
    var startedMs: Int64?
  }

  private struct Life {
    var sightings: [ClusterRecord.Sighting]
    var fromMs: Int64
    var untilMs = Int64.max
  }

  private let record: ClusterRecord
  private var lives: [Life] = []

  init(_ record: ClusterRecord) {
    self.record = record
    var sightings: [Pod: [ClusterRecord.Sighting]] = [:]
    for sighting in record.sightings {
      let object = record.objects[sighting.object]
      guard object.kind == .pod, !object.isHostNetwork else { continue }
      let name = Name(namespace: object.namespace, name: object.name)
      sightings[Pod(name: name, startedMs: object.startedMs), default: []].append(sighting)
    }
    var namesakes: [Name: [Life]] = [:]
    // A pod that never had an address is known by another start than the one it got later.
    for (pod, found) in sightings where found.contains(where: { !record.objects[$0.object].addresses.isEmpty }) {
      let sorted = found.sorted { ($0.firstMs, $0.lastMs, $0.object) < ($1.firstMs, $1.lastMs, $1.object) }
      let from = min(pod.startedMs ?? sorted[0].firstMs, sorted[0].firstMs)
      namesakes[pod.name, default: []].append(Life(sightings: sorted, fromMs: from, untilMs: end(of: sorted)))
    }
    for var one in namesakes.values {
      one.sort { $0.fromMs < $1.fromMs }
      for index in one.indices.dropFirst() where one[index - 1].fromMs < one[index].fromMs {
        one[index - 1].untilMs = min(one[index - 1].untilMs, one[index].fromMs)
      }
      lives += one
    }
  }

  /// As the cluster tells it; else the first look that shows the pod over, and no earlier than the last that shows it alive.
  private func end(of sightings: [ClusterRecord.Sighting]) -> Int64 {
    var (ended, over, alive): (Int64?, Int64?, Int64?) = (nil, nil, nil)
    for sighting in sightings {
      let object = record.objects[sighting.object]
      if let ms = object.endedMs {
        ended = max(ended ?? ms, ms)
      } else if object.traits.contains(ClusterObject.endUnknown) {
        over = min(over ?? sighting.firstMs, sighting.firstMs)
      } else {
        alive = max(alive ?? sighting.lastMs, sighting.lastMs)
      }
    }
    return ended.map { max($0, alive ?? $0) } ?? over ?? .max
  }

  func holders() -> [IPAddress: [Holder]] {
    var spans: [IPAddress: [Holder]] = [:]
    for life in lives { add(life, to: &spans) }
    return spans.mapValues(PodLives.oneAfterTheOther)
  }

  private func add(_ life: Life, to spans: inout [IPAddress: [Holder]]) {
    var before: (addresses: Set<IPAddress>, lastMs: Int64)?
    var held: [IPAddress: Holder] = [:]
    func close(_ address: IPAddress) {
      guard let holder = held.removeValue(forKey: address), holder.fromMs < holder.untilMs else { return }
      spans[address, default: []].append(holder)
    }
    for sighting in life.sightings {
      let pod = record.objects[sighting.object]
      let addresses = Set(pod.addresses.lazy.compactMap { IPAddress($0) }.filter(ClusterHistory.isKept))
      let gone = record.momentAfter(sighting.lastMs, kind: .pod, namespace: pod.namespace) ?? .max
      let until = min(life.untilMs, gone)
      for address in held.keys where !addresses.contains(address) { close(address) }
      for address in addresses {
        if let holder = held[address] {
          // another state of it, or seen again
          held[address] = Holder(
            object: sighting.object, fromMs: holder.fromMs, untilMs: max(holder.untilMs, until))
          continue
        }
        let from: Int64
        switch before {
        case nil: from = life.fromMs
        case let last? where last.addresses.isEmpty: from = max(life.fromMs, last.lastMs)
        case .some: from = sighting.firstMs
        }
        held[address] = Holder(object: sighting.object, fromMs: from, untilMs: until)
      }
      before = (addresses, sighting.lastMs)
    }
    for address in Array(held.keys) { close(address) }
  }

  /// Each until the next one begins; of two that begin together nobody knows.
  private static func oneAfterTheOther(_ holders: [Holder]) -> [Holder] {
    let sorted = holders.sorted { ($0.fromMs, $0.untilMs, $0.object) < ($1.fromMs, $1.untilMs, $1.object) }
    var result: [Holder] = []
    for holder in sorted {
      if let last = result.last, last.untilMs > holder.fromMs, last.fromMs < holder.fromMs {
        result[result.count - 1].untilMs = holder.fromMs
      }
      result.append(holder)
    }
    return result
  }
}
