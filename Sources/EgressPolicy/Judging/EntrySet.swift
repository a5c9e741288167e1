internal import Flows

/// Which entries of one list of the policy are meant: a bit per entry.
struct EntrySet: Hashable, Sendable {
  private var words: [UInt64]

  /// No entry of a list of `count`.
  init(of count: Int) {
    words = Array(repeating: 0, count: (count + 63) / 64)
  }

  mutating func insert(_ entry: Int) {
    words[entry >> 6] |= 1 << UInt64(entry & 63)
  }

  func contains(_ entry: Int) -> Bool {
    words[entry >> 6] & (1 << UInt64(entry & 63)) != 0
  }

  var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

  func intersects(_ other: EntrySet) -> Bool {
    for (a, b) in zip(words, other.words) where a & b != 0 { return true }
    return false
  }

  func intersection(_ other: EntrySet) -> EntrySet {
    var result = self
    for index in words.indices { result.words[index] &= other.words[index] }
    return result
  }

  func subtracting(_ other: EntrySet) -> EntrySet {
    var result = self
    for index in words.indices { result.words[index] &= ~other.words[index] }
    return result
  }

  func union(_ other: EntrySet) -> EntrySet {
    var result = self
    for index in words.indices { result.words[index] |= other.words[index] }
    return result
  }

  /// The entries of the set, in the order of the file.
  var members: [Int] { (0..<(words.count << 6)).filter(contains) }

  /// The first entry of the set, in the order of the file.
  var first: Int? {
    for (index, word) in words.enumerated() where word != 0 {
      return index << 6 + word.trailingZeroBitCount
    }
    return nil
  }
}

/// The address ranges of one list of the policy.
struct RangeIndex: Sendable {
  private var ranges: [(range: AddressRange, entry: Int)] = []
  /// Ranges of one address, of which a topology brings thousands.
  private var exact: [IPAddress: [Int]] = [:]
  let count: Int

  init(_ lists: [[AddressRange]]) {
    count = lists.count
    for (entry, list) in lists.enumerated() {
      for range in list {
        if range.prefixLength == 128 {
          exact[range.base, default: []].append(entry)
        } else {
          ranges.append((range, entry))
        }
      }
    }
  }

  func entries(containing address: IPAddress) -> EntrySet {
    var set = EntrySet(of: count)
    for (range, entry) in ranges where range.contains(address) { set.insert(entry) }
    for entry in exact[address] ?? [] { set.insert(entry) }
    return set
  }
}

/// The host patterns of one list of the policy, looked up by name and by domain so that a hundred patterns cost as
/// little as one.
struct HostIndex: Sendable {
  private var exact: [String: [Int]] = [:]
  /// `*.example.com` under `example.com`.
  private var domains: [String: [Int]] = [:]
  private var others: [(glob: HostGlob, entry: Int)] = []
  let count: Int

  init(_ lists: [[HostGlob]]) {
    count = lists.count
    for (entry, list) in lists.enumerated() {
      for glob in list {
        let pattern = glob.pattern
        if !pattern.utf8.contains(UInt8(ascii: "*")) {
          exact[pattern, default: []].append(entry)
        } else if pattern.hasPrefix("*."), !pattern.utf8.dropFirst().contains(UInt8(ascii: "*")) {
          domains[String(pattern.dropFirst(2)), default: []].append(entry)
        } else {
          others.append((glob, entry))
        }
      }
    }
  }

  func entries(matching host: String) -> EntrySet {
    var set = EntrySet(of: count)
    guard count > 0 else { return set }
    let name = HostGlob.canonical(host)
    for entry in exact[name] ?? [] { set.insert(entry) }
    if !domains.isEmpty {
      var rest = name[...]
      while let dot = rest.utf8.firstIndex(of: UInt8(ascii: ".")) {
        let isSubdomain = dot > name.startIndex
        rest = rest[rest.utf8.index(after: dot)...]
        guard isSubdomain, !rest.isEmpty else { continue }
        for entry in domains[String(rest)] ?? [] { set.insert(entry) }
      }
    }
    for (glob, entry) in others where glob.matches(canonicalHost: name) { set.insert(entry) }
    return set
  }
}
