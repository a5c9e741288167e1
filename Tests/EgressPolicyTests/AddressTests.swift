import Testing

@testable import EgressPolicy

@Suite struct AddressTests {
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
    "an address's number says what kind it is",
    arguments: [
      ("10.255.255.255", AddressKind.privateUse), ("172.15.255.255", .publicUse), ("172.16.0.0", .privateUse),
      ("172.31.255.255", .privateUse), ("172.32.0.0", .publicUse), ("192.168.1.1", .privateUse),
      ("192.167.1.1", .publicUse),
      ("100.63.255.255", .publicUse), ("100.64.0.0", .sharedSpace), ("100.127.255.255", .sharedSpace),
      ("100.128.0.0", .publicUse),
      ("127.0.0.6", .loopback), ("169.254.169.254", .metadata), ("169.254.169.253", .linkLocal),
      ("240.240.0.1", .reserved),
      ("239.255.255.255", .special), ("255.255.255.255", .special), ("0.0.0.0", .special), ("203.0.113.1", .publicUse),
      ("198.18.0.1", .publicUse), ("::1", .loopback), ("::", .special), ("fe80::1", .linkLocal),
      ("febf::1", .linkLocal),
      ("fec0::1", .publicUse), ("fd00::1", .privateUse), ("fc00::1", .privateUse), ("fe00::1", .publicUse),
      ("ff02::1", .special),
      ("fd00:ec2::254", .metadata), ("2001:db8::1", .publicUse), ("::ffff:10.0.0.1", .privateUse),
    ])
  func kinds(text: String, kind: AddressKind) throws {
    #expect(AddressKind(try #require(IPAddress(text))) == kind)
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

  @Test(
    "host patterns match names and subdomains, whatever the case",
    arguments: [
      ("example.com", "EXAMPLE.com.", true), ("example.com", "a.example.com", false),
      ("*.example.com", "a.example.com", true),
      ("*.example.com", "a.b.example.com", true), ("*.example.com", "example.com", false),
      ("*.example.com", "badexample.com", false),
      ("*.example.com", ".example.com", true), ("*", "anything", true), ("*", "", true),
      ("api-*.example.com", "api-7.x.example.com", true),
      ("api-*.example.com", "api.example.com", false), ("*egress*", "istio-egressgateway", true),
      ("*.example.com", "*.example.com", true),
      ("a.example.com", "*.example.com", false), ("*.com", "*.example.com", true), ("**", "x", true),
      ("*a*b", "xaxb", true),
      ("*a*b", "xbxa", false), ("A.Example.COM", "a.example.com", true),
    ])
  func hosts(pattern: String, host: String, matches: Bool) {
    #expect(HostGlob(pattern).matches(host) == matches)
    // the index must find what the pattern alone finds; a name that begins with a dot is none
    if !host.hasPrefix("."), !host.isEmpty {
      #expect(!HostIndex([[], [HostGlob(pattern)]]).entries(matching: host).isEmpty == matches)
    }
  }

  @Test("a hostile name and pattern cost bounded time")
  func hostileGlob() {
    let pattern = String(repeating: "*a", count: 60) + "b"
    #expect(!HostGlob(pattern).matches(String(repeating: "a", count: 5_000)))
  }

  @Test("sets of entries work beyond 64")
  func entrySets() {
    var a = EntrySet(of: 130)
    a.insert(129)
    a.insert(64)
    var b = EntrySet(of: 130)
    b.insert(129)
    #expect(a.first == 64)
    #expect(a.intersection(b).first == 129)
    #expect(a.intersects(b))
    #expect(a.union(b) == a)
    #expect(EntrySet(of: 130).isEmpty && EntrySet(of: 0).first == nil)
  }
}
