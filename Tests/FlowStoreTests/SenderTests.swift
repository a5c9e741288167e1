import Flows
import Testing

@testable import FlowStore

@Suite("who sent what a proxy handed on")
struct SenderTests {
  private static func joined(_ flows: ClosedRange<Int64>, every step: Int64, by sender: Int32) -> [JoinedHop] {
    flows.filter { $0 % step == 0 }.map { JoinedHop(flow: $0, journey: 5, place: .hasEarlier, sender: sender) }
  }

  /// Flows with the sender that is not their own source.
  private static func sent(_ folder: ScratchFolder) throws -> [[Value]] {
    try FlowReader(path: folder.path()).rows(
      """
      select j.id, s.sender
      from judged_flow j
      join source s on s.id = j.sender_id
      where j.sender_id <> j.source_id and s.received_as = j.source_id
      order by j.id
      """
    ).rows
  }

  private static func rows(_ joined: [JoinedHop]) -> [[Value]] {
    joined.map { [.integer($0.flow), .integer(Int64($0.sender))] }
  }

  @Test("each flow has the sender that joining has found last, or none, and everything else as before")
  func written() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore.judged(flows: 2_100, in: folder)
    let first = Self.joined(1...2_100, every: 7, by: 1)
    try store.write(joined: first, of: [1...2_100])
    try store.commit()
    #expect(try Self.sent(folder) == Self.rows(first))
    // Another one in the middle, some more, some no more; elsewhere nothing changes.
    let second = Self.joined(900...1_200, every: 4, by: 2)
    try store.write(joined: second, of: [900...1_200])
    try store.commit()
    let all = (first.filter { !(900...1_200).contains($0.flow) } + second).sorted { $0.flow < $1.flow }
    #expect(try Self.sent(folder) == Self.rows(all))
    let reader = try FlowReader(path: folder.path())
    #expect(try reader.check() == [])
    // The verdicts of a source with its sender are the source's own.
    #expect(
      try reader.value(
        """
        select count(*) from source s join source o on o.id = s.received_as
        where s.class is not o.class or s.name is not o.name or s.client_ip is not o.client_ip or s.log <> o.log
        """) == 0)
    try store.write(joined: [], of: [1...2_100])
    try store.commit()
    #expect(try Self.sent(folder) == [])
  }

  @Test("senders go with the flows that are pruned, and stay with those that are left")
  func pruned() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore.judged(flows: 2_100, in: folder)
    let joined = Self.joined(1...1_000, every: 10, by: 1) + Self.joined(1_001...2_100, every: 10, by: 2)
    try store.write(joined: joined, of: [1...2_100])
    try store.commit()
    #expect(try store.prune(before: noon + 1_500) == 1_500)
    try store.apply(judgement(of: store.facts()))
    try store.commit()
    #expect(try Self.sent(folder) == Self.rows(joined.filter { $0.flow > 1_500 }))
    let reader = try FlowReader(path: folder.path())
    #expect(try reader.value("select count(*) from source where sender = 1") == 0)
    #expect(try reader.check() == [])
    #expect(try store.prune(before: noon + 10_000) == 600)
    try store.commit()
    #expect(try reader.value("select count(*) from source where sender is not null") == 0)
    #expect(try reader.value("select count(*) from relayed_flow") == 0)
  }
}
