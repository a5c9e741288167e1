import Testing

@testable import Ingestion

@Suite("The running hash and the prefixes it proves")
struct PrefixTests {
  @Test("the hash of the same bytes is the same however they are cut, and any change changes it")
  func cuts() {
    var random = Seeded(seed: 1)
    let bytes = (0..<500).map { _ in UInt8.random(in: 0...255, using: &random) }
    let whole = bytes.withUnsafeBytes { RunningHash(of: $0).digest }
    for _ in 1...50 {
      var hash = RunningHash()
      var place = 0
      while place < bytes.count {
        let end = min(bytes.count, place + Int.random(in: 1...90, using: &random))
        bytes[place..<end].withUnsafeBytes { hash.update($0) }
        place = end
        hash = RunningHash(serialised: hash.serialised[...])!
      }
      #expect(hash.digest == whole)
    }
    for index in bytes.indices {
      var other = bytes
      other[index] ^= 1
      #expect(other.withUnsafeBytes { RunningHash(of: $0).digest } != whole)
    }
    // Zeros at the end are bytes too.
    var digests: Set<UInt64> = []
    for count in 0...100 {
      digests.insert([UInt8](repeating: 0, count: count).withUnsafeBytes { RunningHash(of: $0).digest })
    }
    #expect(digests.count == 101)
  }

  @Test("the hash is what stores of earlier versions hold")
  func known() {
    #expect([UInt8](0..<100).withUnsafeBytes { RunningHash(of: $0).digest } == 0xB4F9_70EB_C466_CD3A)
    #expect(RunningHash().digest == 0xF07D_B63B_9818_B8E8)
  }

  @Test("rungs stand at line ends, are few, and come back from the store as they were")
  func rungs() throws {
    let bytes = Scene.lines(1...9000)
    var prefix = ConsumedPrefix()
    var other = ConsumedPrefix()
    bytes.withUnsafeBytes { all in
      prefix.consume(all)
      // Cut at line ends, as batches cut.
      var place = 0
      while place < all.count {
        var end = min(all.count, place + 7000)
        while all[end - 1] != 0x0A { end -= 1 }
        other.consume(UnsafeRawBufferPointer(rebasing: all[place..<end]))
        place = end
      }
    }
    #expect(prefix == other)
    #expect(prefix.rungs.count <= ConsumedPrefix.maxRungs && prefix.rungs.count > ConsumedPrefix.maxRungs / 4)
    #expect(prefix.rungs.allSatisfy { bytes[Int($0.position) - 1] == 0x0A })
    #expect(prefix.firstLine?.position == UInt64(Scene.line(1).utf8.count))
    let state = prefix.serialised
    var restored = try #require(ConsumedPrefix(serialised: state))
    #expect(!restored.knowsHead && restored.head.isEmpty && restored.tail.isEmpty)
    restored.restore(head: prefix.head, tail: prefix.tail)
    #expect(restored == prefix)
    // As states were that held both.
    var older: [UInt8] = [1] + state[1..<1 + RunningHash.serialisedSize - RunningHash.blockSize]
    let held = Int(prefix.position % UInt64(RunningHash.blockSize))
    older += prefix.tail.suffix(held) + Array(repeating: 0, count: RunningHash.blockSize - held)
    var rest = state[(1 + RunningHash.serialisedSize)...]
    repeat { older.append(rest.removeFirst()) } while older.last! >= 0x80
    for part in [prefix.head, prefix.tail] {
      older += [UInt8(part.count & 0x7F) | 0x80, UInt8(part.count >> 7)] + part
    }
    older += rest
    #expect(
      ConsumedPrefix.withoutBytes(serialised: older) == state && ConsumedPrefix.withoutBytes(serialised: state) == nil)
    #expect(ConsumedPrefix.firstLine(serialised: older) == prefix.firstLine)
    #expect(ConsumedPrefix.firstLine(serialised: state) == prefix.firstLine)
    for count in [0, 1, 40, 80, 600, state.count - 1] {
      #expect(ConsumedPrefix(serialised: Array(state[..<count])) == nil, "a damaged state is no state")
    }
  }

  @Test("a long log cut in the middle repeats at most the few lines since the rung before the cut")
  func longLog() throws {
    let scene = try Scene()
    try scene.write("access.log", 1...9000)
    try scene.ingest("access.log")
    // An earlier copy beside it holds nothing new: the original is there to compare with.
    try scene.write("copy.log", 1...7001)
    #expect(try scene.ingest("copy.log").lines.read == 0)
    scene.truncate("access.log", to: Scene.lines(1...7001).count)
    try scene.append("access.log", 10_000...10_001)
    let summary = try scene.ingest("access.log")
    #expect(summary.lines.stored <= 2 + 8)
    #expect(Set(try scene.stored()) == Set(Array(1...9000) + [10_000, 10_001]))
  }
}

@Suite("What the name of a log tells")
struct LogNameTests {
  @Test(
    "rotated files belong to the family of their live file",
    arguments: [
      ("d/access.log", "d/access.log", LogName.Age.live),
      ("d/access.log.1", "d/access.log", .numbered(-1)),
      ("d/access.log.12.gz", "d/access.log", .numbered(-12)),
      ("access.log-20261123", "access.log", .dated(20_261_123_000_000)),
      ("access.log-20261123.gz", "access.log", .dated(20_261_123_000_000)),
      ("access.log-2026112310.gz", "access.log", .dated(20_261_123_100_000)),
      ("access-20261123.log", "access.log", .dated(20_261_123_000_000)),
      ("access.log.2026-11-23", "access.log", .dated(20_261_123_000_000)),
      ("0.log.20261123-101500", "0.log", .dated(20_261_123_101_500)),
      ("0.log.20261123-101500.gz", "0.log", .dated(20_261_123_101_500)),
      ("access.log.gz", "access.log", .live),
      ("my-app.log", "my-app.log", .live),
      (".1", ".1", .live), ("", "", .live), ("-", "-", .live), ("a.b.c", "a.b.c", .live),
    ])
  func families(path: String, family: String, age: LogName.Age) {
    let name = LogName(path)
    #expect(name.family == family)
    #expect(name.age == age)
  }

  @Test("older files of a family are read first")
  func order() {
    let names = ["a.log", "a.log.1", "a.log.10.gz", "a.log.2", "b.log", "a.log-20261101", "a.log-20261102.gz"]
    let found = names.map { Discovery.Found(name: LogName($0), identity: nil) }
    #expect(
      Discovery.inReadingOrder(found).map(\.name.path)
        == ["a.log-20261101", "a.log-20261102.gz", "a.log.10.gz", "a.log.2", "a.log.1", "a.log", "b.log"])
  }

  @Test("paths of the kubelet give namespace, pod and container; look-alikes give nothing")
  func pods() {
    let pods = LogName("/copy/of/pods/istio-system_egress-7f9_0a1b-22/istio-proxy/3.log.20261123-101500.gz")
    #expect([pods.namespace, pods.pod, pods.container] == ["istio-system", "egress-7f9", "istio-proxy"])
    let link = LogName("containers/sleep-1_shop_istio-proxy-0123456789abcdef.log")
    #expect([link.namespace, link.pod, link.container] == ["shop", "sleep-1", "istio-proxy"])
    for path in ["a_b/c/0.log", "a_b_c/d/access.log", "x/a_b_c.log", "a__c/d/0.log", "a_b_c-xyz.log"] {
      #expect(LogName(path).pod == nil, "\(path)")
    }
  }
}
