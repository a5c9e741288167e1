import Flows
import Testing

@Suite("Addresses and ranges of them")
struct AddressRangeTests {
  @Test(
    "addresses are read in every form, and written in one",
    arguments: [
      ("10.80.3.11", "10.80.3.11"), ("::ffff:10.80.3.11", "10.80.3.11"), ("::FFFF:0a50:030b", "10.80.3.11"),
      ("2001:DB8::1", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1"), ("fe80::1%eth0", "fe80::1"), ("::", "::"),
      ("::1", "::1"), ("1::", "1::"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
      ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
      ("1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("0.0.0.0", "0.0.0.0"),
    ])
  func readable(text: String, canonical: String) {
    #expect(IPAddress(text)?.description == canonical)
    #expect(IPAddress(canonical) == IPAddress(text))
  }

  @Test(
    "what is no address is refused",
    arguments: [
      "", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", "a.b.c.d", "1..2.3", ".1.2.3", "1.2.3.", ":",
      ":::",
      "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", "1:", ":1", "1.2.3.4:80", "::1.2.3", "[::1",
      "[]",
      "1:2:3:4:5:6:7:1.2.3.4", "host",
    ])
  func unreadable(text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test(
    "a range contains what its prefix says, in its own family",
    arguments: [
      ("10.80.0.0/16", "10.80.255.255", true), ("10.80.0.0/16", "10.81.0.0", false), ("10.80.3.11", "10.80.3.11", true),
      ("10.80.3.11", "10.80.3.12", false), ("0.0.0.0/0", "255.255.255.255", true), ("0.0.0.0/0", "2001:db8::1", false),
      ("::/0", "2001:db8::1", true), ("::/0", "10.0.0.1", false), ("2001:db8::/32", "2001:db8:ffff::1", true),
      ("2001:db8::/32", "2001:db9::1", false), ("10.0.0.0/8", "::ffff:10.1.2.3", true),
      ("::ffff:10.0.0.0/104", "10.1.2.3", true),
      ("2001:db8::/65", "2001:db8::7fff:0:0:0", true), ("2001:db8::/65", "2001:db8:0:0:8000::", false),
      ("10.0.0.0/31", "10.0.0.1", true),
    ])
  func ranges(range: String, address: String, contains: Bool) throws {
    #expect(try AddressRange(parsing: range).contains(try #require(IPAddress(address))) == contains)
  }

  @Test("a range agrees with a comparison bit by bit", arguments: 0..<500)
  func rangesAgainstBits(seed: UInt64) {
    var generator = SplitMix(state: seed)
    func bit(_ address: IPAddress, _ index: Int) -> UInt64 {
      (index < 64 ? address.high >> UInt64(63 - index) : address.low >> UInt64(127 - index)) & 1
    }
    let base = IPAddress(high: generator.next(), low: generator.next())
    let length = Int.random(in: 0...128, using: &generator)
    let flipped = Int.random(in: 0..<128, using: &generator)
    let other = IPAddress(
      high: flipped < 64 ? base.high ^ 1 << UInt64(63 - flipped) : base.high,
      low: flipped < 64 ? base.low : base.low ^ 1 << UInt64(127 - flipped))
    let expected = (0..<length).allSatisfy { bit(base, $0) == bit(other, $0) }
    #expect(AddressRange(base, prefixLength: length).contains(other) == expected)
  }

  @Test("bits outside the prefix are a mistake, or no matter, as it is asked for")
  func lowBits() throws {
    #expect(throws: AddressRange.Problem.bitsBelowPrefix) { try AddressRange(parsing: "10.80.3.7/16") }
    #expect(try AddressRange(around: "10.80.3.7/16") == AddressRange(parsing: "10.80.0.0/16"))
  }

  @Test(
    "ranges are everything together where they leave no address of one family out",
    arguments: [
      (["0.0.0.0/0"], true), (["::/0"], true), (["0.0.0.0/1", "128.0.0.0/1"], true), (["8000::/1", "::/1"], true),
      (["192.0.0.0/2", "0.0.0.0/1", "128.0.0.0/2", "10.0.0.0/8"], true), (["128.0.0.0/1"], false),
      (["0.0.0.0/1", "8000::/1"], false), (["0.0.0.0/1", "128.0.0.0/2"], false), (["0.0.0.0/1", "129.0.0.0/8"], false),
      (["::/1", "8000::/2"], false), ([], false),
    ] as [([String], Bool)])
  func everything(ranges: [String], isAll: Bool) throws {
    #expect(AddressRange.coverEverything(try ranges.map { try AddressRange(parsing: $0) }) == isAll)
  }

  @Test(
    "a range is covered by one that holds it, or by several that leave none of its addresses out",
    arguments: [
      ("10.0.0.0/8", ["10.0.0.0/8"], true), ("10.0.0.0/8", ["0.0.0.0/0"], true), ("10.0.0.0/8", ["10.0.0.0/9"], false),
      ("10.0.0.0/8", ["10.128.0.0/9", "10.0.0.0/9"], true), ("10.0.0.0/7", ["10.0.0.0/8"], false),
      ("::/0", ["fc00::/7"], false),
    ] as [(String, [String], Bool)])
  func covered(range: String, ranges: [String], isCovered: Bool) throws {
    let parts = try ranges.map { try AddressRange(parsing: $0) }
    #expect(try AddressRange(parsing: range).isCovered(by: parts) == isCovered)
  }
}

private struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
