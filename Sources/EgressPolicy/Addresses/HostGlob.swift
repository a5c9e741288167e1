/// A pattern for host names; case does not matter.
///
/// - `*` alone matches every name,
/// - `*.example.com` matches subdomains of any depth, and not `example.com` itself,
/// - a `*` anywhere else matches any run of characters, dots included,
/// - without `*` it is the name itself.
///
/// The registry host of a wildcard ServiceEntry is itself written `*.example.com`. It is matched like any other text, so
/// the pattern `*.example.com` covers it, and the pattern `a.example.com` does not.
public struct HostGlob: Hashable, Sendable {
  /// Lower case, without a trailing dot.
  public let pattern: String

  public init(_ pattern: String) {
    self.pattern = HostGlob.canonical(pattern)
  }

  static func canonical(_ host: String) -> String {
    // Mostly it is canonical, and needs no copy.
    let isCanonical = host.utf8.withContiguousStorageIfAvailable { bytes in
      bytes.last != UInt8(ascii: ".")
        && bytes.allSatisfy { $0 < 0x80 && !(UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
    }
    if isCanonical ?? false { return host }
    let lower = host.lowercased()
    return lower.hasSuffix(".") && lower.utf8.count > 1 ? String(lower.dropLast()) : lower
  }

  public func matches(_ host: String) -> Bool {
    matches(canonicalHost: HostGlob.canonical(host))
  }

  func matches(canonicalHost host: String) -> Bool {
    wildcardMatch(Array(pattern.utf8), Array(host.utf8))
  }
}

/// The usual two-pointer match: on a mismatch, the last `*` takes one character more. Time is bounded by the product
/// of both lengths.
private func wildcardMatch(_ pattern: [UInt8], _ text: [UInt8]) -> Bool {
  let star = UInt8(ascii: "*")
  var (p, t) = (0, 0)
  var lastStar: Int?
  var resume = 0
  while t < text.count {
    if p < pattern.count, pattern[p] == star {
      lastStar = p
      resume = t
      p += 1
    } else if p < pattern.count, pattern[p] == text[t] {
      p += 1
      t += 1
    } else if let lastStar {
      p = lastStar + 1
      resume += 1
      t = resume
    } else {
      return false
    }
  }
  while p < pattern.count, pattern[p] == star { p += 1 }
  return p == pattern.count
}
