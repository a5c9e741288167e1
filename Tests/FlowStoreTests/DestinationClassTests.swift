import Flows
import Testing

@testable import FlowStore

@Suite("Classes of destinations")
struct DestinationClassTests {
  @Test("are written as judged; what was not judged keeps its own, and only one that changes is noticed")
  func written() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    let log = try store.insert(log: LogRecord(path: "a.log"))
    var maker = BatchMaker()
    try store.append(maker.batch(count: 20, destinations: 20), log: log, firstLine: 1, position: 0)
    let largest = 1 << 20 - 1
    var random = HistogramTests.Numbers(state: 7)
    var expected: [Int64: Int] = [:]
    for _ in 0..<50 {
      // In any order, some missing, some as they are; also ids of which the store has no row.
      var judged: [(destination: Int64, class: Int)] = []
      for id in Int64(0)...25 where id % 7 != 3 && Bool.random(using: &random) {
        judged.append((id, [expected[id] ?? 0, 0, 1, largest].randomElement(using: &random)!))
      }
      judged.shuffle(using: &random)
      let isOther = judged.contains { entry in expected[entry.destination].map { $0 != entry.class } ?? false }
      let isNoticed = try store.write("classes") { db throws(StoreError) in
        try DestinationClasses(judged).write(on: db)
      }
      #expect(isNoticed == isOther)
      for entry in judged where (1...20).contains(entry.destination) { expected[entry.destination] = entry.class }
      var stored: [Int64: Int] = [:]
      try store.access { db throws(StoreError) in
        let rows = try db.statement("select id, class from destination where class is not null")
        while try rows.step() { stored[rows.int(0)] = Int(rows.int(1)) }
      }
      #expect(stored == expected)
    }
  }
}
