/// Flows on their way into groups of which there may be hundreds of thousands. Some are noted before they are added, so that
/// the processor fetches the memory of all their groups at once instead of waiting for one after the other; and they are told
/// apart by a part of the key first, so that what two threads found is added up on both.
///
/// `@unchecked Sendable`: belongs to one thread until all flows are noted, and then each part to one.
final class GroupParts: @unchecked Sendable {
  static let count = 32
  /// Flows noted before they are added: their groups fit the cache next to the processor.
  private static let room = 1024

  private struct Noted {
    var key: UInt64
    var startedAtMs, durationMs, sent, received: Int64
    var hasSent, hasReceived: Bool
  }

  private let measuresDurations: Bool
  /// Room for `room` flows of each part; `counts` of them are in use.
  private let noted: UnsafeMutablePointer<Noted>
  private let counts: UnsafeMutablePointer<Int>
  private let tables: UnsafeMutablePointer<GroupTable>
  /// Of what was fetched, so that it is.
  private var fetched: UInt64 = 0

  init(measuringDurations: Bool) {
    measuresDurations = measuringDurations
    noted = .allocate(capacity: GroupParts.count * GroupParts.room)
    counts = .allocate(capacity: GroupParts.count)
    counts.initialize(repeating: 0, count: GroupParts.count)
    tables = .allocate(capacity: GroupParts.count)
    tables.initialize(repeating: GroupTable(), count: GroupParts.count)
  }

  deinit {
    noted.deallocate()
    counts.deallocate()
    tables.deinitialize(count: GroupParts.count)
    tables.deallocate()
  }

  @inline(__always)
  func note(_ flow: FlowRecord, _ key: UInt64) {
    // The highest bits of what a table looks a key up by the middle of; in bounds, for there are 2^5 parts.
    let part = Int(truncatingIfNeeded: (key &* GroupTable.spread) >> 59)
    let at = counts[part]
    (noted + (part * GroupParts.room + at)).initialize(
      to: Noted(
        key: key, startedAtMs: flow.startedAtMs, durationMs: flow.durationMs, sent: flow.sent, received: flow.received,
        hasSent: flow.hasSent, hasReceived: flow.hasReceived))
    counts[part] = at + 1
    if at + 1 == GroupParts.room { empty(part) }
  }

  @inline(never)
  private func empty(_ part: Int) {
    let begin = noted + part * GroupParts.room
    let count = counts[part]
    counts[part] = 0
    if measuresDurations {
      fetched ^= tables[part].fetch(count, key: { begin[$0].key }, duration: { begin[$0].durationMs })
      for index in 0..<count {
        let flow = begin[index]
        let slot = tables[part].slot(of: flow.key)
        tables[part].note(flow.startedAtMs, slot)
        tables[part].measure(flow.durationMs, slot)
      }
    } else {
      fetched ^= tables[part].fetch(count, key: { begin[$0].key }, duration: nil)
      for index in 0..<count {
        let flow = begin[index]
        let slot = tables[part].slot(of: flow.key)
        tables[part].add(
          startedAtMs: flow.startedAtMs, sent: flow.hasSent ? flow.sent : nil,
          received: flow.hasReceived ? flow.received : nil, to: slot)
      }
    }
  }

  /// Adds what is only noted yet.
  func close() { for part in 0..<GroupParts.count { empty(part) } }

  /// Adds the groups of a part to those that another thread found of it.
  func add(_ part: Int, of other: GroupParts) {
    let groups = other.tables[part].entries
    for begin in stride(from: 0, to: groups.count, by: GroupParts.room) {
      let end = min(begin + GroupParts.room, groups.count)
      fetched ^= tables[part].fetch(end - begin, key: { groups[begin + $0].key }, duration: nil)
      tables[part].add(groups[begin..<end], other.tables[part].histograms)
    }
  }

  /// What all parts hold.
  var sums: GroupSums {
    var sums = GroupSums()
    sums.groups.reserveCapacity((0..<GroupParts.count).reduce(0) { $0 + tables[$1].entries.count })
    for part in 0..<GroupParts.count {
      sums.groups += tables[part].entries
      sums.durations += tables[part].histograms
    }
    return sums
  }
}
