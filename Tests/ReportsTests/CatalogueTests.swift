import Testing

@testable import Reports

@Suite("The catalogue of queries")
struct CatalogueTests {
  @Test("every embedded query has a valid header")
  func embedded() throws {
    let catalogue = try QueryCatalogue()
    #expect(
      catalogue.reports.map(\.name)
        == [
          "assumptions", "blocked", "bypass", "coverage", "flows", "hosts", "latency", "rejected", "sources", "summary",
          "timeline", "unproven",
        ])
  }
}
