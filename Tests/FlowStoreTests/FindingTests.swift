import Testing

@testable import FlowStore

@Suite("Findings that are known")
struct FindingTests {
  @Test(
    "how far an alert looked is read as it was written, and as versions wrote it that noted no destination and no policy"
  )
  func mark() {
    let mark = AlertMark(flow: 7, judgement: "hash-1", pruned: 3, destination: 5)
    #expect(AlertMark(text: mark.text) == mark)
    for policy in ["", "cbf29ce484222325"] {
      let mark = AlertMark(flow: 7, judgement: "hash-1", pruned: 3, destination: 5, policy: policy)
      #expect(AlertMark(text: mark.text) == mark)
    }
    #expect(AlertMark(text: "7 3 hash-1") == AlertMark(flow: 7, judgement: "hash-1", pruned: 3))
    #expect(AlertMark(text: "7 3 ") == AlertMark(flow: 7, judgement: "", pruned: 3))
    for text in ["", "7", "7 hash-1", "a 3 hash-1", "7 3 5 1 1 hash-1"] {
      #expect(AlertMark(text: text) == nil, "\(text)")
    }
  }

  @Test("those with some keys are found, inside a transaction and outside of one, and no transaction stays open")
  func among() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    let findings = (0..<60).map { number in
      var finding = StoredFinding(
        key: .init(
          kind: number % 3 == 0 ? "blocked" : "passthrough", source: "s-\(number % 7)", host: "h-\(number / 2)",
          port: Int64(number % 2 * 443)), severity: "warning")
      finding.count = Int64(number)
      return finding
    }
    try store.save(findings, mark: AlertMark(flow: 1, judgement: "j", pruned: 0))
    let asked = Set(findings.map(\.key).enumerated().filter { $0.offset % 4 == 0 }.map(\.element))
      .union([.init(kind: "blocked", source: "nobody", host: "", port: 0)])
    func found() throws -> [Int64] { try store.findings(among: asked).map(\.count).sorted() }
    let expected = stride(from: Int64(0), to: 60, by: 4).map { $0 }
    #expect(store.isInTransaction)
    #expect(try found() == expected)
    #expect(store.isInTransaction)
    try store.commit()
    #expect(try found() == expected)
    #expect(!store.isInTransaction)
  }
}
