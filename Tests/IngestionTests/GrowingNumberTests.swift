import Testing

@testable import Ingestion

@Suite("Numbers by place")
struct GrowingNumberTests {
  @Test("what was set last stands at each place, and -1 where nothing was set, at whatever place is asked")
  func asDictionary() {
    var random = Seeded(seed: 5)
    var numbers = GrowingNumbers<Int32>()
    var twin: [Int: Int32] = [:]
    for _ in 0..<2_000 {
      let place = Int.random(in: 0..<5_000, using: &random)
      let number = Int32.random(in: -1...9, using: &random)
      numbers.set(number, at: place)
      twin[place] = number
      let asked = [place, Int.random(in: -3..<9_000, using: &random), 0, .max, .min]
      for place in asked { #expect(numbers[place] == twin[place] ?? -1) }
    }
    numbers.removeAll()
    #expect(numbers[0] == -1)
    numbers.set(7, at: 0)
    #expect(numbers[0] == 7 && numbers[1] == -1)
    numbers.removeAll()
  }
}
