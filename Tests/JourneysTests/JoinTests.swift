import Flows
import Journeys
import Testing

@Suite struct JoinTests {
  @Test("nothing joins nothing") func nothing() {
    let joiner = JourneyJoiner(HopTraits(sources: [], destinations: [], outcomes: []))
    #expect(joiner.join([], from: .min, until: .max).isEmpty)
  }
}
