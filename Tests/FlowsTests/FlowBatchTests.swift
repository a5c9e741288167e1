import Flows
import Testing

@Suite struct FlowBatchTests {
  private func filled() -> FlowBatch {
    let batch = FlowBatch(capacity: 4)
    for line in 1...3 {
      batch.rows[batch.count] = FlowRow()
      batch.rows[batch.count].line = Int64(line)
      batch.count += 1
    }
    batch.newPathTemplates = ["/orders/{}"]
    batch.rejectedCount = 2
    batch.rejectedByReason = ["unrecognised": 2]
    batch.rejected = [RejectedLine(reason: "unrecognised", line: 4, text: [0x78])]
    batch.skippedCount = 1
    batch.skippedByKind = ["blank": 1]
    batch.storedByFormat = ["istio-1.23": 3]
    batch.firstMs = 1000
    batch.lastMs = 2000
    return batch
  }

  @Test("a new batch is empty and has read nothing")
  func newBatch() {
    let batch = FlowBatch()
    #expect(batch.isEmpty)
    #expect(batch.linesRead == 0)
    #expect(batch.capacity == FlowBatch.defaultCapacity)
    #expect(batch.firstMs > batch.lastMs)
  }

  @Test("lines read are those stored, rejected and skipped")
  func sums() {
    let batch = filled()
    #expect(batch.linesRead == 6)
    #expect(batch.linesRead == batch.count + batch.rejectedCount + batch.skippedCount)
    #expect(!batch.isEmpty)
  }

  @Test("a batch that only rejected or only skipped is not empty: its counts have to be kept")
  func countsAlone() {
    let rejected = FlowBatch(capacity: 1)
    rejected.rejectedCount = 1
    #expect(!rejected.isEmpty)
    let skipped = FlowBatch(capacity: 1)
    skipped.skippedCount = 1
    #expect(!skipped.isEmpty)
  }

  @Test("a reset batch is as a new one, and its rows can be filled again")
  func reset() {
    let batch = filled()
    let rows = batch.rows
    batch.reset()
    #expect(batch.isEmpty)
    #expect(batch.linesRead == 0)
    #expect(batch.newSources.isEmpty && batch.newDestinations.isEmpty && batch.newOutcomes.isEmpty)
    #expect(batch.newPathTemplates.isEmpty)
    #expect(batch.rejectedByReason.isEmpty && batch.rejected.isEmpty && batch.skippedByKind.isEmpty)
    #expect(batch.storedByFormat.isEmpty)
    #expect(batch.firstMs == .max && batch.lastMs == .min)
    #expect(batch.capacity == 4)
    #expect(batch.rows == rows)
  }

  @Test("a row says of everything that it is missing until it is set")
  func emptyRow() {
    let row = FlowRow()
    #expect(row.durationMs == -1 && row.sent == -1 && row.received == -1)
    #expect(row.requestHash == 0 && row.pathTemplate == -1)
    #expect(row.source == -1 && row.destination == -1 && row.outcome == -1)
    #expect(row.sourcePort == 0 && row.localPort == 0)
  }
}
