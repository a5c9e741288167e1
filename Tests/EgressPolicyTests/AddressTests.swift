import Flows
import Testing

@testable import EgressPolicy

@Suite struct AddressTests {
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
