import Testing

@testable import AccessLogs

/// The fast path is only as good as its slow twin says it is.
struct EngineTwinTests {
  private let textPlans: [TextPlan] = (FormatPlan.builtIn + custom).enumerated().compactMap { index, plan in
    guard case .text(let text) = LinePlan(plan, index: index) else { return nil }
    return text
  }

  /// Formats in which columns touch each other's delimiters more than in any that comes with a proxy.
  private static let custom: [FormatPlan] =
    [
      #"%START_TIME%|%REQ(:AUTHORITY)%|%REQ(USER-AGENT)% %ROUTE_NAME%"#,
      #"[%START_TIME%] %REQ(A)%:%REQ(B)%/%UPSTREAM_HOST% "%REQ(USER-AGENT)%" %RESPONSE_CODE%"#,
      #"%START_TIME% %REQ(USER-AGENT)% - %REQ(REFERER)% %DURATION%"#,
      #"%REQ(A)%, %REQ(B)%, %START_TIME(%Y/%m/%d %H:%M:%S)%"#,
    ].map { try! FormatPlan.envoy($0) } + [
      try! FormatPlan.squid("%ts.%03tu %-6tr|%-16>a|%Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt")
    ]

  /// Both answers to one line; nil where the fast path leaves the line to its twin.
  private static func slices(_ plan: TextPlan, _ line: [UInt8]) -> (
    fast: [String], numbers: [Int64], slow: [String], slowNumbers: [Int64], answer: Backtracking.Answer
  )? {
    withSlice(line) { slice in
      let (fastLane, slowLane) = (LaneFields(), LaneFields())
      plan.prepare(fastLane.fields[0])
      guard plan.matchForward(slice, into: fastLane.fields[0]) else { return nil }
      plan.prepare(slowLane.fields[0])
      var ways = Backtracking(plan, slice, budget: 1_000_000)
      let answer = ways.match(into: slowLane.fields[0])
      let roles = FieldRole.allCases.filter { plan.roles.contains($0) && $0 != .ignored }
      return (
        roles.map { "\($0)=\(fastLane.fields[0][$0].string)" }, roles.map { fastLane.fields[0].number($0) },
        roles.map { "\($0)=\(slowLane.fields[0][$0].string)" }, roles.map { slowLane.fields[0].number($0) }, answer
      )
    }
  }

  private func expectAgreement(_ plan: TextPlan, _ line: [UInt8]) -> Bool {
    guard let both = Self.slices(plan, line) else { return false }
    let text = String(decoding: line, as: UTF8.self)
    #expect(both.answer != .ambiguous, "\(plan.plan.name): the fast path took one of several ways: \(text)")
    // The slow twin also looks at the bytes of each value (a method of letters): it may refuse, but never differ.
    if both.answer == .no { return true }
    #expect(both.fast == both.slow, "\(plan.plan.name): \(text)")
    #expect(both.numbers == both.slowNumbers, "\(plan.plan.name): \(text)")
    return true
  }

  @Test("what the fast path accepts, the slow one splits in the same way and in no other")
  func generated() {
    for (seed, plan) in textPlans.enumerated() {
      guard case .text(let pieces) = plan.plan.body else { continue }
      var generator = LineGenerator(seed: UInt64(seed) &+ 77)
      var accepted = 0
      for _ in 0..<300 {
        let line = generator.line(of: pieces, dialect: plan.plan.dialect)
        if expectAgreement(plan, line) { accepted += 1 }
      }
      // Istio 1.0 lets path and protocol touch: only the slow path can part them.
      let isSlowOnly = plan.literals.dropLast().contains([])
      #expect(isSlowOnly || accepted > 20, "\(plan.plan.name): \(accepted) lines")
    }
  }

  @Test("sample lines are split alike by both paths of every plan that takes them")
  func samples() {
    var accepted = 0
    for line in Set(SampleLines.all) {
      for plan in textPlans where expectAgreement(plan, line) { accepted += 1 }
    }
    #expect(accepted > 200)
  }

  @Test("mutilated lines are split alike by both paths")
  func mutated() {
    var random = SplitMix(state: 99)
    let noise = Array("\" |/:-[]0 \"".utf8)
    for (seed, plan) in textPlans.enumerated() {
      guard case .text(let pieces) = plan.plan.body else { continue }
      var generator = LineGenerator(seed: UInt64(seed) &+ 5, nastiness: 0)
      for _ in 0..<150 {
        var line = generator.line(of: pieces, dialect: plan.plan.dialect)
        for _ in 0..<Int.random(in: 1...3, using: &random) {
          let place = Int.random(in: 0..<line.count, using: &random)
          line.insert(noise[Int.random(in: 0..<noise.count, using: &random)], at: place)
        }
        _ = expectAgreement(plan, line)
      }
    }
  }
}
