import Testing

@testable import FlowStore

@Suite("rows that a run has added")
struct AddedRowsTests {
  @Test("of few rows all are looked at", arguments: [1, 16, 8192] as [Int64])
  func few(count: Int64) {
    #expect(AddedRows.sample([5...5], count) == [5])
    let rows = AddedRows.sample([1...3, 10...12], max(count, 6))
    #expect(rows == [1, 2, 3, 10, 11, 12])
  }

  @Test("of many rows, some from every part of each stretch", arguments: [16, 100, 8192] as [Int64])
  func many(count: Int64) {
    let stretches: [ClosedRange<Int64>] = [1...300_000, 500_001...700_000, 900_000...900_100]
    let sample = AddedRows.sample(stretches, count)
    #expect(Int64(sample.count) >= count && Int64(sample.count) < 2 * count + 32)
    #expect(sample == sample.sorted() && Set(sample).count == sample.count)
    #expect(sample.allSatisfy { row in stretches.contains { $0.contains(row) } })
    // A sixteenth of all rows at most lies between two that are looked at.
    let places = sample.map { $0 <= 300_000 ? $0 : $0 <= 700_000 ? $0 - 200_000 : $0 - 400_000 }
    let gaps = zip(places, places.dropFirst() + [500_101]).map { $1 - $0 }
    #expect(places[0] == 1 && gaps.max()! <= 500_101 / 16 + 1)
  }
}
