import Flows
import Foundation
import Testing

@testable import AccessLogs

/// Numbers, addresses, times, paths and hashes, each against something simpler than itself.
struct EngineValueTests {
  // MARK: - Numbers

  private func number(_ text: String) -> Int64? { withSlice(text.utf8) { Numbers.integer($0) } }
  private func decimal(_ text: String, scale: Int64 = 1000) -> Int64? {
    withSlice(text.utf8) { slice in
      var p = slice.start
      guard let value = Numbers.decimal(&p, to: slice.end, scale: scale), p == slice.end else { return nil }
      return value
    }
  }

  @Test("whole numbers of any length are read exactly, or known to be too large")
  func integers() {
    var random = SplitMix(state: 2)
    for digits in 1...30 {
      for _ in 0..<40 {
        let text = String((0..<digits).map { _ in Character("\(Int.random(in: 0...9, using: &random))") })
        #expect(number(text) == Int64(text) ?? Numbers.overflow, "\(text)")
      }
    }
    #expect(number("9223372036854775806") == Int64.max - 1)
    #expect(number("9223372036854775808") == Numbers.overflow)
    #expect(number(String(repeating: "0", count: 40) + "7") == 7)
    #expect(number("-42") == -42)
    for text in ["", "-", "--1", "1-", "1 ", " 1", "1a", "/", ":", "12345678:", "\u{80}1", "-a"] {
      #expect(number(text) == nil, "\(text)")
    }
  }

  @Test("decimals are rounded to the unit of the row and never wrap")
  func decimals() {
    #expect(decimal("0.0005") == 1)
    #expect(decimal("0.0004999") == 0)
    #expect(decimal("-1.5") == -1500)
    #expect(decimal("12") == 12000)
    #expect(decimal("9223372036854775.807") == 9_223_372_036_854_775_807)
    #expect(decimal("9223372036854775.999999999999999999") == Numbers.overflow)
    #expect(decimal("99999999999999999999.9") == Numbers.overflow)
    #expect(decimal("0." + String(repeating: "9", count: 100)) == 1000)
    for text in ["", ".", "1.", ".5", "-", "1.2.3", "1e5"] { #expect(decimal(text) == nil, "\(text)") }
  }

  @Test("a line whose numbers fit nowhere is kept without them, and says so")
  func overflow() throws {
    let huge = String(repeating: "9", count: 40)
    let reading = EngineFeed.read(
      #"[2020-08-28T06:32:00.597Z] "GET / HTTP/1.1" 200 - via_upstream - "-" \#(huge) 2 \#(huge) 4 "-" "x" "-" "a.test" "203.0.113.9:80" outbound|80||a.test 10.0.0.1:1 203.0.113.9:80 10.0.0.1:2 - default"#
    )
    let flow = try #require(reading.flows.first)
    #expect(flow.sent == -1 && flow.durationMs == -1 && flow.received == 2)
    #expect(flow.outcome.warnings.contains(.numberInvalid))
  }

  // MARK: - Addresses

  private func canonical(_ text: String) -> String? { withSlice(text.utf8) { Addresses.canonical($0) } }
  private func split(_ text: String) -> String? {
    withSlice(text.utf8) { Addresses.split($0).map { "\($0.ip.string) \($0.port)" } }
  }

  @Test("addresses have one text, whatever way they were written in")
  func addresses() {
    #expect(canonical("10.0.0.1") == "10.0.0.1")
    #expect(canonical("[2001:DB8:0:0::1]") == "2001:db8::1")
    #expect(canonical("::ffff:1.2.3.4") == "1.2.3.4")
    #expect(canonical("fe80::1%eth0") == "fe80::1")
    for text in [
      "", "1", "10.0.0", "10.0.0.256", "010.0.0.1", "1.2.3.4\u{0}x", "::1\u{0}", "[]", "[1.2.3.4", "a.b.c.d",
      "1.2.3.4 ",
    ] {
      #expect(canonical(text) == nil, "\(text.debugDescription)")
    }
    #expect(canonical(String(repeating: "1:", count: 40)) == nil)
  }

  @Test("an address that is kept as it is written is the one that the system writes")
  func plainAddresses() {
    var random = SplitMix(state: 21)
    let parts = [
      "0", "1", "9", "10", "99", "127", "255", "256", "300", "00", "01", "007", "1000", "", "-1", "a", " ", ".",
    ]
    for _ in 0..<20_000 {
      let count = Int.random(in: 0..<10, using: &random) == 0 ? Int.random(in: 1...6, using: &random) : 4
      // Mostly addresses.
      let most = Int.random(in: 0..<3, using: &random) == 0 ? parts.count : 7
      var text = (0..<count).map { _ in parts[Int.random(in: 0..<most, using: &random)] }.joined(separator: ".")
      if Int.random(in: 0..<20, using: &random) == 0 { text = "[\(text)]" }
      let slowly = withSlice(text.utf8) { Addresses.canonicalSlowly($0) }
      #expect(canonical(text) == slowly, "\(text.debugDescription)")
    }
  }

  @Test("a host that is kept as it is written is the one that taking it apart gives")
  func plainHosts() {
    var random = SplitMix(state: 22)
    var plain = 0
    let parts = [
      "httpbin", "test", "svc-1", "a_b", "10", "255", "0", "1", ".", ".", ".", "..", "-", ":", ":443", "@", "[", "]",
      "A",
      "\u{E9}", "%", "*", " ", "fd00", "::1", "", ":65536", ":0080", ":8", "outbound_.", "inbound_.", "invalid:", "/",
      "http://", "%61", "\\x61", "-", String(repeating: "n", count: 120), String(repeating: "a-b.", count: 150),
    ]
    for _ in 0..<20_000 {
      let most = Int.random(in: 0..<2, using: &random) == 0 ? parts.count : 11
      let text = (0..<Int.random(in: 0...6, using: &random)).map { _ in parts[Int.random(in: 0..<most, using: &random)]
      }
      .joined()
      withSlice(text.utf8) { slice in
        for escaping in [FormatField.Escaping.raw, .percent, .json] {
          let unescaped = Unescape.string(slice, escaping)
          #expect(HostName(authority: slice, escaping) == HostName(slowly: unescaped), "\(text.debugDescription)")
          #expect(ServerName(slice, escaping) == ServerName(slowly: unescaped), "\(text.debugDescription)")
          let (found, apart) = (
            SquidFacts.host(ofOrigin: slice, escaping), SquidFacts.hostSlowly(ofOrigin: slice, escaping)
          )
          #expect(found.host == apart.host && found.defaultPort == apart.defaultPort, "\(text.debugDescription)")
        }
        plain += HostName(plain: slice) == nil ? 0 : 1
      }
    }
    #expect(plain > 2000)
  }

  @Test("some of the roles are what a set of them would be")
  func roles() {
    var random = SplitMix(state: 23)
    func some() -> [FieldRole] {
      FieldRole.allCases.filter { _ in Int.random(in: 0..<3, using: &random) == 0 }.shuffled(using: &random)
    }
    for _ in 0..<300 {
      let (one, other) = (some(), some())
      let (bits, others) = (RoleSet(one), RoleSet(other))
      let (set, otherSet) = (Set(one), Set(other))
      #expect(bits.map(\.rawValue) == one.map(\.rawValue).sorted())
      #expect(FieldRole.allCases.allSatisfy { bits.contains($0) == set.contains($0) })
      #expect(bits.intersection(others) == RoleSet(set.intersection(otherSet)))
      #expect(bits.isDisjoint(with: others) == set.isDisjoint(with: otherSet))
      #expect(bits.isSuperset(of: others) == set.isSuperset(of: otherSet))
      #expect(bits.isSuperset(of: bits.intersection(others)))
    }
    var bits = RoleSet()
    let (isNew, isNewAgain) = (bits.insert(.method), bits.insert(.method))
    #expect(isNew && !isNewAgain)
  }

  @Test("the port is what follows the last colon, if it is one")
  func ports() {
    #expect(split("10.0.0.1:443") == "10.0.0.1 443")
    #expect(split("[::1]:65535") == "::1 65535")
    #expect(split("fd00:80::321:34230") == "fd00:80::321 34230")
    #expect(split("10.0.0.1:0") == "10.0.0.1 0")
    for text in ["", ":", ":1", "1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:000443", "[]:1", "[::1:1", "-", "a:b"] {
      #expect(split(text) == nil, "\(text)")
    }
  }

  @Test("a host of dots, colons or brackets is read at the speed of any other")
  func hosts() {
    func host(_ text: String) -> HostName { withSlice(text.utf8) { HostName(authority: $0, .raw) } }
    #expect(host("user@HTTPBIN.test.:80").name == "httpbin.test")
    #expect(host("httpbin.test:99999").name == "httpbin.test")
    #expect(host("httpbin.test:8080") == host("HTTPBIN.test.:8080"))
    #expect(host("httpbin.test:8080").port == 8080)
    #expect(host("[2001:DB8::1]:443").name == "2001:db8::1")
    #expect(host("[2001:DB8::1]:443").port == 443)
    #expect(host("evil.test@\u{301}good.test").name == "\u{301}good.test")
    for text in ["", ".", "@", ":", "[", "]", "[]", "[]:", "a@", "..."] { _ = host(text) }
    let time = ContinuousClock().measure { _ = host(String(repeating: ".", count: 1 << 20)) }
    #expect(time < .seconds(5))
  }

  // MARK: - Times

  /// The value of a text by a method that shares nothing with the reader: Foundation's calendar.
  private func slowTime(_ format: TimeFormat, _ text: String) -> Int64? {
    var rest = text[...]
    var parts = DateComponents()
    parts.calendar = Foundation.Calendar(identifier: .gregorian)
    parts.timeZone = TimeZone(secondsFromGMT: 0)
    var fraction = 0
    var offset = 0
    var isPM = false
    func take(_ count: Int) -> String {
      defer { rest = rest.dropFirst(count) }
      return String(rest.prefix(count))
    }
    for part in format.parts {
      switch part {
      case .year4: parts.year = Int(take(4))
      case .month2: parts.month = Int(take(2))
      case .monthName:
        parts.month =
          ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"].firstIndex(of: take(3))!
          + 1
      case .day2: parts.day = Int(take(2))
      case .dayPadded: parts.day = Int(take(2).replacingOccurrences(of: " ", with: ""))
      case .hour2: parts.hour = Int(take(2))
      case .hour12: parts.hour = Int(take(2))! % 12
      case .amPm: isPM = take(2).lowercased() == "pm"
      case .minute2: parts.minute = Int(take(2))
      case .second2: parts.second = Int(take(2))
      case .fraction(let digits): fraction = Int((Double("0." + take(digits))! * 1000).rounded(.down) + (0))
      case .zone:
        let zone = rest.hasPrefix("Z") ? take(1) : take(rest.dropFirst(3).first == ":" ? 6 : 5)
        let digits = zone.filter(\.isNumber)
        if digits.count == 4 {
          offset = (Int(digits.prefix(2))! * 60 + Int(digits.suffix(2))!) * 60_000 * (zone.hasPrefix("-") ? -1 : 1)
        }
      case .literal(let bytes): _ = take(bytes.count)
      default: return nil
      }
    }
    guard rest.isEmpty, let date = parts.date else { return nil }
    return Int64(date.timeIntervalSince1970) * 1000 + Int64(fraction - offset) + (isPM ? 43_200_000 : 0)
  }

  @Test("times of many formats mean what an independent calendar says")
  func times() {
    let dash = TimeFormat.Part.literal([ASCII.minus])
    let colon = TimeFormat.Part.literal([ASCII.colon])
    let space = TimeFormat.Part.literal([ASCII.space])
    let slash = TimeFormat.Part.literal([ASCII.slash])
    let formats = [
      TimeFormat.iso8601Milliseconds,
      TimeFormat(parts: [
        .day2, slash, .monthName, slash, .year4, colon, .hour2, colon, .minute2, colon, .second2, space, .zone,
      ]),
      TimeFormat(parts: [
        .year4, dash, .month2, dash, .day2, space, .hour2, colon, .minute2, colon, .second2, .literal([ASCII.dot]),
        .fraction(9), .zone,
      ]),
      TimeFormat(parts: [
        .monthName, space, .dayPadded, space, .year4, space, .hour12, colon, .minute2, colon, .second2, space, .amPm,
      ]),
      TimeFormat(parts: [.year4, .month2, .day2, .hour2, .minute2, .second2, .fraction(1)]),
    ]
    var generator = LineGenerator(seed: 12)
    for format in formats {
      var reader = TimeReader(format)
      for _ in 0..<1500 {
        let text = generator.time(format)
        // Twice: the second time from what the reader remembers.
        for _ in 0..<2 {
          let value = withSlice(text.utf8) { slice -> Int64? in
            var p = slice.start
            let value = reader.read(&p, to: slice.end)
            return p == slice.end ? value : nil
          }
          guard let value, let slow = slowTime(format, text) else {
            Issue.record("\(text) was not read")
            continue
          }
          // Binary fractions of the slow way may fall a millisecond short.
          #expect(abs(value - slow) <= 1, "\(text)")
        }
      }
    }
  }

  @Test(
    "a zone's name is UTC's or nobody's; an offset in place of one is read",
    arguments: [
      ("UTC", 0, false), ("GMT", 0, false), ("Z", 0, false), ("CET", 0, true), ("utc", 0, true), ("", 0, true),
      ("+03", 180, false), ("-0330", -210, false), ("+0545", 345, false),
    ])
  func zoneNames(name: String, minutesEast: Int64, isForeign: Bool) {
    let format = TimeFormat(parts: [.hour2, .literal([ASCII.colon]), .minute2, .literal([ASCII.space]), .zoneName])
    var reader = TimeReader(format)
    // The end of the first day, so that every zone has the same day.
    reader.reference = 86_000_000
    withSlice("12:00 \(name)".utf8) { slice in
      var p = slice.start
      let value = reader.read(&p, to: slice.end)
      #expect(value == 43_200_000 - minutesEast * 60_000 && p == slice.end)
      #expect(TimeReader.hasForeignZone(format.parts, slice) == isForeign)
    }
    #expect(format.namesZone && !format.lacksZone)
  }

  @Test("what is no time is not read as one")
  func badTimes() {
    var reader = TimeReader(.iso8601Milliseconds)
    for text in [
      "\0\0\0\0\0\0\0\0\0\0T00:00:00.000Z", "2020-02-30T00:00:00.000Z", "2020-13-01T00:00:00.000Z",
      "2020-01-01T24:00:00.000Z",
      "2020-01-01T00:60:00.000Z", "2020-01-01T00:00:61.000Z", "2020-01-01T0a:00:00.000Z", "2020-01-01T00:00:00.0x0Z",
      "2020-01-01T00:00:00.000", "2020-01-01T00:00:00.000+99:99", "2019-02-29T00:00:00.000Z", "",
    ] {
      withSlice(text.utf8) { slice in
        var p = slice.start
        let value = reader.read(&p, to: slice.end)
        #expect(value == nil, "\(text.debugDescription)")
      }
    }
  }

  @Test("a clock without a day is of the day before the log it stands in was last written, not of the log before")
  func clocks() {
    let format = TimeFormat(parts: [.hour2, .literal([ASCII.colon]), .minute2, .literal([ASCII.colon]), .second2])
    var reader = TimeReader(format)
    for reference: Int64 in [1_600_000_000_000, 1_700_000_000_000] {
      reader.reference = reference
      withSlice("12:00:00".utf8) { slice in
        var p = slice.start
        let value = reader.read(&p, to: slice.end)!
        #expect(value <= reference + 2000 && value > reference + 2000 - 86_400_000)
      }
    }
  }

  // MARK: - Paths and hashes

  @Test(
    "identifiers in a path become stars, words stay",
    arguments: [
      ("/", "/"), ("/users/42", "/users/*"), ("/users/42?x=1", "/users/*"), ("/v1/items", "/v1/items"),
      ("/a/0b7ca1c6-70f0-4dbb-ae90-cf4f2e0ffd0e/b", "/a/*/b"), ("/img-20231104.png", "/img-*.png"),
      ("/commit/9fceb02d0ae5", "/commit/*"), ("/decade/facade", "/decade/facade"), ("/a#frag", "/a"), ("?q=1", ""),
      ("/2a/3", "/2a/*"), ("/deadbeef", "/deadbeef"), ("/x;v=1", "/x;v=1"), ("*", "*"),
    ])
  func templates(path: String, template: String) {
    let engine = PathTemplate()
    withSlice(path.utf8) { #expect(engine.template(of: $0, lane: 0).string == template, "\(path)") }
  }

  @Test("templates are what the slow twin makes of the same path")
  func slowTemplates() {
    let fast = PathTemplate()
    let slow = SlowPathTemplate()
    var random = SplitMix(state: 60)
    let alphabets = ["ab0/-", "f1-/x?#", "gz/.", "0123456789abcdef-/", "abcxyz019/-.:;<=>%?#_~\u{e9}"].map {
      Array($0.utf8)
    }
    for round in 0..<20_000 {
      let alphabet = alphabets[round % alphabets.count]
      let path = (0..<Int.random(in: 0...(round % 50 == 0 ? 600 : 60), using: &random)).map { _ in
        alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
      }
      withSlice(path) { slice in
        let (one, other) = (fast.template(of: slice, lane: 0).bytes, slow.template(of: path))
        #expect(one == other, "\(String(decoding: path, as: UTF8.self))")
      }
    }
  }

  @Test("only what is longer than a template may be is cut, with a query or without", arguments: 250...260)
  func cutTemplates(length: Int) {
    let engine = PathTemplate()
    let path = "/" + String(repeating: "x", count: length - 1)
    let wanted = length <= PathTemplate.maxLength ? path : path.prefix(PathTemplate.maxLength - 3) + "..."
    for text in [path, path + "?query", path + "#part"] {
      withSlice(text.utf8) { #expect(engine.template(of: $0, lane: 0).string == wanted) }
    }
  }

  @Test("templates are bounded and do not depend on the query")
  func boundedTemplates() {
    let engine = PathTemplate()
    var random = SplitMix(state: 6)
    let alphabet = Array("abcdef0123456789/-.%?xyz".utf8)
    for _ in 0..<3000 {
      let path =
        [ASCII.slash]
        + (0..<Int.random(in: 0...700, using: &random)).map { _ in
          alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
        }
      let once = withSlice(path) { engine.template(of: $0, lane: 0).bytes }
      #expect(once.count <= PathTemplate.maxLength)
      #expect(!once.contains(ASCII.question))
      let bare = Array(path.prefix { $0 != ASCII.question })
      #expect(withSlice(bare) { engine.template(of: $0, lane: 0).bytes } == once)
    }
  }

  @Test("hashes of request ids are what they have always been, and blind to the digit that Envoy rewrites")
  func requestIDs() {
    let id = "b2d6f0f8-1111-4abc-9def-000000000000"
    #expect(RequestID.hash(id) == RequestID.hash("b2d6f0f8-1111-9abc-9def-000000000000"))
    #expect(RequestID.hash(id) != RequestID.hash("b2d6f0f8-1111-4abc-9def-000000000001"))
    #expect(RequestID.hash(id) != RequestID.hash("b2d6f0f8-1111-4abd-9def-000000000000"))
    #expect(RequestID.hash("-") == 0 && RequestID.hash("") == 0)
    #expect(RequestID.hash(id) == 14_393_903_532_402_707_156)
    #expect(RequestID.hash("a") == 2_762_007_706_318_807_857)
    #expect(RequestID.hash("not-a-uuid-but-long-enough-to-be-hashed-in-steps") == 6_238_273_314_498_442_953)
  }

  @Test("a hash takes nothing from behind the slice")
  func hashes() {
    var random = SplitMix(state: 1)
    for count in 0..<70 {
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
      let one = (bytes + Array(repeating: 0, count: 64)).withUnsafeBufferPointer {
        Hash.add(Slice($0.baseAddress!, $0.baseAddress! + count), to: 5)
      }
      let other = (bytes + Array(repeating: 255, count: 64)).withUnsafeBufferPointer {
        Hash.add(Slice($0.baseAddress!, $0.baseAddress! + count), to: 5)
      }
      #expect(one == other)
    }
  }
}
