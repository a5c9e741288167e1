/// What Squid itself writes into a column: where something else stands, the line is of another format, whose columns lie otherwise.
///
/// Sources: squid `src/LogTags.cc` (`LogTags::c_str`), `src/hier_code.h`, before 3.2 `src/peer_select.cc`.
enum SquidWords {
  /// Whether a column of a format with this role can hold the value.
  /// - Parameter isSideLog: the format has none of Squid's own words, so that others look like it (`FormatPlan.isSideLog`).
  static func fits(_ value: Slice, _ role: FieldRole, isSideLog: Bool) -> Bool {
    if value.isMissing { return true }
    switch role {
    case .squidTag: return isTag(value)
    case .squidHierarchy: return isCode(value)
    case .downstreamRemoteIP: return isClient(value)
    case .url where isSideLog: return isTarget(value)
    case .referer where isSideLog: return isReferer(value)
    case .userAgent where isSideLog: return !isSeveralColumns(value)
    default: return true
    }
  }

  /// `(TCP|UDP|ICP|NONE|TAG)[_WORDS]`: further words come with new versions.
  static func isTag(_ word: Slice) -> Bool {
    tagBeginnings.contains { isCode(word) && hasPrefix(word, $0) }
  }

  private static let tagBeginnings: [StaticString] = ["TCP", "UDP", "ICP", "NONE", "TAG"]

  /// The beginning, with nothing or an underscore behind it.
  private static func hasPrefix(_ word: Slice, _ beginning: StaticString) -> Bool {
    let count = beginning.utf8CodeUnitCount
    return word.hasPrefix(beginning) && (word.count == count || word[count] == ASCII.underscore)
  }

  /// Capitals and underscores, as all codes are written.
  private static func isCode(_ word: Slice) -> Bool {
    !word.isEmpty && ASCII.isUpper(word[0]) && all(word) { ASCII.isUpper($0) || $0 == ASCII.underscore }
  }

  /// A hierarchy code that some version of Squid has.
  static func isHierarchy(_ word: Slice) -> Bool {
    let code = word.hasPrefix("TIMEOUT_") ? word.dropFirst(8) : word
    return hierarchies.contains(where: code.equals)
  }

  private static let hierarchies: [StaticString] = [
    "HIER_NONE", "HIER_DIRECT", "SIBLING_HIT", "PARENT_HIT", "DEFAULT_PARENT", "SINGLE_PARENT", "FIRSTUP_PARENT",
    "FIRST_PARENT_MISS", "CLOSEST_PARENT_MISS", "CLOSEST_PARENT", "CLOSEST_DIRECT", "NO_DIRECT_FAIL", "SOURCE_FASTEST",
    "ROUNDROBIN_PARENT", "CD_PARENT_HIT", "CD_SIBLING_HIT", "CARP", "ANY_OLD_PARENT", "USERHASH_PARENT",
    "SOURCEHASH_PARENT", "PINNED", "ORIGINAL_DST", "STANDBY_POOL",
    // Before 3.2.
    "NONE", "DIRECT", "FIRST_UP_PARENT", "ANY_PARENT", "USERHASH", "SOURCEHASH",
  ]

  /// `HIER_DIRECT/198.51.100.15` among the words of a user's name: the columns behind the name may lie further left.
  static func holdsHierarchy(_ text: Slice) -> Bool {
    contains(text) { word in
      guard let slash = word.firstIndex(of: ASCII.slash) else { return false }
      return isHierarchy(word.prefix(slash))
    }
  }

  /// No number stands for a client: it is an address, or what the DNS calls it.
  static func isClient(_ value: Slice) -> Bool {
    !all(value) { ASCII.isDigit($0) || $0 == ASCII.dot } || Addresses.canonical(value) != nil
  }

  /// `scheme://...`, `host:port` of a CONNECT, `error:...`, or a bare path.
  private static func isTarget(_ value: Slice) -> Bool {
    if value[0] == ASCII.slash || value.hasPrefix("error:") || isURL(value) { return true }
    guard let colon = value.lastIndex(of: ASCII.colon), colon > 0 else { return false }
    let port = value.dropFirst(colon + 1)
    return 1...5 ~= port.count && all(port, where: ASCII.isDigit)
      && all(value.prefix(colon)) { $0 != ASCII.slash && $0 != ASCII.space }
  }

  /// A client may write what it likes, and what is no URL may as well be a column of another format.
  private static func isReferer(_ value: Slice) -> Bool {
    (isURL(value) || value.hasPrefix("about:"))
      && !contains(value) { word in
        guard let end = word.firstIndex(of: ASCII.slash) ?? word.firstIndex(of: ASCII.colon) else { return false }
        return isTag(word.prefix(end)) || isHierarchy(word.prefix(end))
      }
  }

  /// `scheme://` (RFC 3986, 3.1), or `urn:`.
  private static func isURL(_ value: Slice) -> Bool {
    if value.hasPrefix("urn:") { return true }
    guard let colon = value.firstIndex(of: ASCII.colon), colon > 0, ASCII.isLetter(value[0]),
      value.dropFirst(colon).hasPrefix("://")
    else { return false }
    // `cache_object` has an underscore.
    return all(value.prefix(colon)) {
      ASCII.isName($0) || $0 == ASCII.plus || $0 == ASCII.minus || $0 == ASCII.dot
    }
  }

  /// A request line, or one quoted column behind the other: an access log of another program, read as one long user agent.
  private static func isSeveralColumns(_ value: Slice) -> Bool {
    if value.firstRange(of: "\" \"") != nil { return true }
    guard let space = value.firstIndex(of: ASCII.space), space > 0, all(value.prefix(space), where: ASCII.isUpper),
      let version = value.firstRange(of: " HTTP/")
    else { return false }
    return version.upperBound < value.count && ASCII.isDigit(value[version.upperBound])
  }

  // MARK: -

  private static func all(_ value: Slice, where isFine: (UInt8) -> Bool) -> Bool {
    UnsafeBufferPointer(start: value.start, count: value.count).allSatisfy(isFine)
  }

  /// Whether one of the words between spaces is so.
  private static func contains(_ value: Slice, word isSo: (Slice) -> Bool) -> Bool {
    var rest = value
    while let space = rest.firstIndex(of: ASCII.space) {
      if isSo(rest.prefix(space)) { return true }
      rest = rest.dropFirst(space + 1)
    }
    return isSo(rest)
  }
}
