import AccessLogs
import Foundation
import Testing

struct FormatsBuiltInTests {
  @Test("every proxy's usual formats are built in, under names that never change")
  func names() {
    #expect(
      FormatPlan.builtIn.map(\.name) == [
        "istio-1.23", "istio-1.9", "istio-1.8", "istio-1.3", "istio-1.2", "istio-1.1", "istio-1.0-http",
        "istio-1.0-tcp", "envoy-default", "istio-json", "nginx-stream-istio", "nginx-stream-doc",
        "nginx-stream-doc-upstream", "nginx-combined", "nginx-main-istio", "nginx-main", "squid", "squid-mime",
        "squid-common", "squid-combined", "squid-common-7", "squid-combined-7", "squid-referrer", "squid-useragent",
      ])
  }

  @Test("a built-in means what is written beside it", arguments: FormatPlan.builtIn)
  func plan(_ plan: FormatPlan) throws {
    let file = formatFixturesFolder.appending(path: "built-in/\(plan.name).plan")
    let actual = "about \(plan.about)\n\(described(plan))"
    if ProcessInfo.processInfo.environment["RECORD_FIXTURES"] != nil {
      try actual.write(to: file, atomically: true, encoding: .utf8)
      Issue.record("recorded \(plan.name).plan")
      return
    }
    #expect(actual == (try String(contentsOf: file, encoding: .utf8)))
  }

  @Test(
    "the source of a built-in, pasted by a user, is recognised as the same proxy's and compiles to the same columns",
    arguments: FormatPlan.builtIn)
  func roundTrip(_ plan: FormatPlan) throws {
    let pasted = try FormatPlan.guess(plan.source)
    #expect(pasted.dialect == plan.dialect)
    #expect(roles(pasted) == roles(plan))
    #expect(pasted.source == plan.source)
    #expect(pasted.name == "custom")
  }

  @Test("the Istio layouts have the columns that tell them apart")
  func columnCounts() throws {
    // Columns of the line as Istio's history gives them, plus two: the request line in quotes holds three fields.
    let expected = [
      "envoy-default": 15, "istio-1.0-http": 19, "istio-1.0-tcp": 10, "istio-1.1": 21, "istio-1.2": 22, "istio-1.3": 23,
      "istio-1.8": 22, "istio-1.9": 24, "istio-1.23": 24, "istio-json": 25,
    ]
    for plan in FormatPlan.builtIn where plan.dialect == .envoy {
      #expect(roles(plan).count == expected[plan.name], "\(plan.name)")
    }
  }

  @Test("no two columns of a built-in touch unless one of them shows where it ends")
  func separations() {
    for plan in FormatPlan.builtIn {
      guard case .text(let pieces) = plan.body else { continue }
      for (left, right) in zip(pieces, pieces.dropFirst()) {
        guard case .field(let before) = left, case .field(let after) = right else { continue }
        #expect(before.endsItself || after.endsItself, "\(plan.name): \(before.name) and \(after.name)")
      }
    }
  }

  private func roles(_ plan: FormatPlan) -> [FieldRole] {
    let pieces =
      switch plan.body {
      case .text(let pieces): pieces
      case .json(let keys): keys.flatMap(\.pieces)
      }
    return pieces.compactMap { if case .field(let field) = $0 { field.role } else { nil } }
  }
}
