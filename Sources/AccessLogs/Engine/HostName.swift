internal import Flows

/// A host as it stands in an authority: name and port apart, lower case, no trailing dot, no user information.
struct HostName {
  var name: String
  var port: UInt16?
  var isAddress: Bool

  /// `HTTPBIN.test:80`, `user@host`, `[2001:db8::1]:443`, `httpbin.test.`
  init(authority: String) {
    if Self.isBare(authority) { self.init(bare: authority) } else { self.init(slowly: authority) }
  }

  private init(bare name: String) { (self.name, port, isAddress) = (name, nil, false) }

  /// A name and nothing else, to be kept as it is: no port, no user, no capitals, no trailing dot, and not four numbers.
  private static func isBare(_ authority: String) -> Bool {
    var text = authority
    return text.withUTF8 { bytes in
      var isName = false
      for byte in bytes {
        if ASCII.isLower(byte) || byte == ASCII.minus || byte == ASCII.underscore {
          isName = true
        } else if byte != ASCII.dot, !ASCII.isDigit(byte) {
          return false
        }
      }
      return isName && bytes.last != ASCII.dot
    }
  }

  /// By taking it apart: the slow twin.
  init(slowly authority: String) {
    var text = Array(authority.asciiLowercased.utf8)[...]
    if let at = text.lastIndex(of: ASCII.at) { text = text[(at + 1)...] }
    var port: UInt16?
    if text.first == ASCII.openBracket, let close = text.firstIndex(of: ASCII.closeBracket) {
      let rest = text[(close + 1)...]
      if rest.first == ASCII.colon { port = UInt16(String(decoding: rest.dropFirst(), as: UTF8.self)) }
      text = text[(text.startIndex + 1)..<close]
    } else if let colon = text.lastIndex(of: ASCII.colon), text.firstIndex(of: ASCII.colon) == colon {
      // A port that is no port (`:99999`) still does not belong to the name.
      let digits = text[(colon + 1)...]
      if digits.allSatisfy({ ASCII.isDigit($0) }) {
        port = UInt16(String(decoding: digits, as: UTF8.self))
        text = text[..<colon]
      }
    }
    while text.last == ASCII.dot, text.count > 1 { text.removeLast() }
    let plain = String(decoding: text, as: UTF8.self)
    self.port = port
    if let canonical = Self.address(plain) {
      name = canonical
      isAddress = true
    } else {
      name = plain
      isAddress = false
    }
  }

  /// Canonical text when the host is an IP address.
  static func address(_ text: String) -> String? {
    guard let first = text.utf8.first, ASCII.hexValue(first) < 16 || first == ASCII.colon else { return nil }
    var copy = Array(text.utf8)
    let count = copy.count
    copy.append(contentsOf: repeatElement(0, count: 16))
    return copy.withUnsafeBufferPointer { Addresses.canonical(Slice($0.baseAddress!, $0.baseAddress! + count)) }
  }

  /// Letters, digits, dots, dashes, underscores and `*`: what a host name, or Istio's `outbound_.80_._.host`, can hold.
  static func isPlausible(_ host: String) -> Bool {
    !host.isEmpty && host.utf8.count <= 255
      && host.utf8.allSatisfy {
        ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == ASCII.dot || $0 == ASCII.minus || $0 == ASCII.underscore
          || $0 == ASCII.star || $0 == ASCII.colon
      }
  }

  /// The registry host of a cluster name: the last part of `outbound|PORT|SUBSET|HOST` or `outbound_.PORT_.SUBSET_.HOST`.
  ///
  /// Source: Istio `pilot/pkg/model/service.go` (`BuildSubsetKey`, `BuildDNSSrvSubsetKey`).
  static func registryHost(ofCluster cluster: String) -> String? {
    guard let parts = registryParts(ofCluster: cluster), !parts[3].isEmpty else { return nil }
    return String(parts[3]).asciiLowercased
  }

  /// The service port of a cluster name: the second part.
  static func registryPort(ofCluster cluster: String) -> UInt16? {
    registryParts(ofCluster: cluster).flatMap { UInt16($0[1]) }
  }

  /// Direction, port, subset and host.
  private static func registryParts(ofCluster cluster: String) -> [Substring]? {
    for (prefix, separator) in [("outbound|", "|"), ("inbound|", "|"), ("outbound_.", "_."), ("inbound_.", "_.")]
    where cluster.hasPrefix(prefix) {
      var parts: [Substring] = []
      var rest = Substring(cluster)
      while parts.count < 3, let cut = rest.range(ofASCII: separator) {
        parts.append(rest[..<cut.lowerBound])
        rest = rest[cut.upperBound...]
      }
      return parts.count == 3 ? parts + [rest] : nil
    }
    return nil
  }

  /// Fills `host` by the precedence of names (authority, SNI, CONNECT target, cluster host, address) and notes where names
  /// disagree. A name that the mesh itself made up (`outbound_.80_._.host`) is no host; neither is an address.
  static func choose(
    for destination: inout Destination, authority: HostName?, cluster: String?, address: String?,
    _ warnings: inout Warnings
  ) {
    let sni = destination.sni.flatMap { name -> String? in
      // Most names begin otherwise.
      let first = name.utf8.first
      guard first == 0x6F || first == 0x69 else { return HostName(authority: name).name }  // o, i
      if name.hasPrefix("outbound_.") || name.hasPrefix("inbound_.") || name.hasPrefix("outbound|")
        || name.hasPrefix("invalid:")
      {
        return nil
      }
      return HostName(authority: name).name
    }
    if let authority, authority.isAddress { warnings.insert(.hostIsAddress) }
    if let authority, let sni, !authority.isAddress, authority.name != sni { warnings.insert(.hostMismatch) }
    if let authority, !authority.isAddress, !authority.name.isEmpty {
      destination.host = EnvoyFacts.bounded(authority.name)
      destination.hostOrigin = .authority
    } else if let sni, !sni.isEmpty {
      destination.host = EnvoyFacts.bounded(sni)
      destination.hostOrigin = .sni
    } else if let clusterHost = cluster.flatMap(registryHost(ofCluster:)), !clusterHost.utf8.contains(ASCII.star) {
      destination.host = EnvoyFacts.bounded(clusterHost)
      destination.hostOrigin = .cluster
    } else if let address {
      destination.host = address
      destination.hostOrigin = .address
    } else if let authority, authority.isAddress {
      destination.host = authority.name
      destination.hostOrigin = .address
    }
  }
}

extension Substring {
  func range(ofASCII needle: String) -> Range<Substring.Index>? {
    guard let first = needle.utf8.first else { return startIndex..<startIndex }
    var index = startIndex
    while index < endIndex {
      if utf8[index] == first, utf8[index...].starts(with: needle.utf8) {
        return index..<utf8.index(index, offsetBy: needle.utf8.count)
      }
      index = utf8.index(after: index)
    }
    return nil
  }
}
