import AccessLogs
import Testing

/// Whatever text comes in, a compiler gives a plan or an error that can be shown.
struct FormatsHostileTests {
  @Test("mutilated formats are compiled or refused, never worse, and errors stay inside the text")
  func mutilated() {
    var random = SplitMix(state: 20_240_601)
    let alphabet = Array("%$(){}[]\"'\\:?.#-<> \n\u{0}éAz09%%$$REQ_START_TIME".unicodeScalars)
    for plan in FormatPlan.builtIn {
      for _ in 0..<40 {
        var scalars = Array(plan.source.unicodeScalars)
        for _ in 0..<Int.random(in: 1...4, using: &random) where !scalars.isEmpty {
          let place = Int.random(in: 0..<scalars.count, using: &random)
          switch Int.random(in: 0..<4, using: &random) {
          case 0: scalars.remove(at: place)
          case 1: scalars.insert(alphabet[Int.random(in: 0..<alphabet.count, using: &random)], at: place)
          case 2: scalars[place] = alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
          default: scalars.removeSubrange(place...)
          }
        }
        check(String(String.UnicodeScalarView(scalars)))
      }
    }
  }

  @Test("deep nesting and long texts end in an error or a plan")
  func extremes() {
    check(String(repeating: "{\"a\":", count: 5000))
    check("{\"a\": " + String(repeating: "[", count: 5000))
    check(String(repeating: "%REQ(", count: 5000))
    check(String(repeating: "%", count: 4999))
    check("%99999999999999999999ru")
    check("%REQ(A):99999999999999999999%")
    check("%COALESCE({\"operators\": {\"x\": 1}})%")
    check("\u{202E}%START_TIM%\u{7}")
  }

  @Test("what could move the cursor is not in a rendered error")
  func terminal() throws {
    let error = try #require(throws: FormatError.self) { try FormatPlan.envoy("\u{1B}[2J\u{202E}%BAD_ONE%\u{9B}\t") }
    let bad = error.rendered().unicodeScalars.filter {
      $0 != "\n" && ($0.value < 0x20 || (0x7F..<0xA0).contains($0.value) || $0 == "\u{202E}")
    }
    #expect(bad.isEmpty)
  }

  private func check(_ format: String) {
    let length = format.utf8.count
    for language in ["envoy", "nginx", "squid", "guess"] {
      do {
        switch language {
        case "envoy": _ = try FormatPlan.envoy(format)
        case "nginx": _ = try FormatPlan.nginx(format)
        case "squid": _ = try FormatPlan.squid(format)
        default: _ = try FormatPlan.guess(format)
        }
      } catch {
        #expect(error.range.upperBound <= max(length, error.format.utf8.count))
        #expect(error.rendered().hasPrefix("error: "))
      }
    }
    _ = try? FormatFile.nginxConf(format)
    _ = try? FormatFile.squidConf("logformat x " + format)
  }
}

/// A small generator with a seed, so that a failure can be repeated (SplitMix64, Steele, Lea and Flood 2014).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }
}
