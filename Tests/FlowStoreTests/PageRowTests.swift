import Flows
import Testing

@testable import FlowStore

/// Rows read from the file's pages against those that SQL gives.
@Suite("rows of pages")
struct PageRowTests {
  @Test("hold the values that SQL gives, though they have more different headers than are known at a time")
  func headers() throws {
    // Ends of the lengths that SQLite stores numbers in, and NULL.
    let edges: [Int64] =
      [-1, 0, 1] + [7, 15, 23, 31, 47, 62].flatMap { bits in [(1 << bits) - 1, 1 << bits] as [Int64] }
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    let count = edges.count * edges.count * edges.count
    let batch = maker.batch(count: count)
    for index in 0..<count {
      batch.rows[index].sent = edges[index % edges.count]
      batch.rows[index].received = edges[index / edges.count % edges.count]
      batch.rows[index].durationMs = edges[index / edges.count / edges.count]
    }
    var log = LogRecord(path: "/var/log/sidecar.log")
    try store.store(batch, into: &log)
    try store.commit()
    let reader = try FlowReader(path: store.path)
    var expected: [[Int64]] = []
    try reader.query(
      """
      select id, started_at_ms, coalesce(duration_ms, -1), source, destination, outcome, coalesce(sent, 0),
        coalesce(received, 0), sent is not null, received is not null
      from flow
      order by id
      """
    ) { row in expected.append(row.map { $0.integer ?? .min }) }
    for ids in [Int64.min ... .max, 100...2500] {
      var found: [[Int64]] = []
      let isRead = try reader.withPages { _, pages in
        let buffer = pages.makeBuffer()
        defer { buffer.deallocate() }
        return pages.stretches(of: ids, leaves: 3).allSatisfy { stretch in
          pages.forEach(in: stretch, buffer) { row in
            let flow = FlowRecord(row)
            found.append([
              flow.id, flow.startedAtMs, flow.durationMs, flow.source, flow.destination, flow.outcome, flow.sent,
              flow.received, flow.hasSent ? 1 : 0, flow.hasReceived ? 1 : 0,
            ])
          }
        }
      }
      #expect(isRead == true)
      #expect(found == expected.filter { ids.contains($0[0]) })
      #expect(!found.isEmpty)
    }
  }
}
