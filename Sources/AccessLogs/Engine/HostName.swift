internal import CLanes
internal import Flows

/// A host as it stands in an authority: name and port apart, lower case, no trailing dot, no user information.
struct HostName: Equatable {
  var name: String
  var port: UInt16?
  var isAddress: Bool

  /// `HTTPBIN.test:80`, `user@host`, `[2001:db8::1]:443`, `httpbin.test.`
  init?(_ fields: borrowing Fields, _ role: FieldRole) {
    let slice = fields[role]
    if slice.isMissing { return nil }
    self.init(authority: slice, fields.escaping(of: role))
  }

  init(authority: Slice, _ escaping: FormatField.Escaping) {
    guard let plain = HostName(plain: authority) else {
      self.init(slowly: Unescape.string(authority, escaping))
      return
    }
    self = plain
  }

  /// A name that is kept as it is, and perhaps a port: nobody's escapes, no user, no capitals, no trailing dot, and not four
  /// numbers; nil for all others.
  init?(plain authority: Slice) {
    guard authority.count <= Self.longest else { return nil }
    let end = authority.end
    var p = authority.start
    var names: UInt32 = 0
    while p < end {
      // Reads up to 31 bytes past the end (slack, see `Slice`).
      let marks = lanes_host_bytes(p)
      let first = UInt32(truncatingIfNeeded: marks)
      let count = min((~(first | UInt32(truncatingIfNeeded: marks >> 32))).trailingZeroBitCount, end - p)
      names |= first & UInt32(truncatingIfNeeded: UInt64(1) &<< UInt64(truncatingIfNeeded: count) &- 1)
      p += count
      if count < 32 { break }
    }
    // There is a byte before this one when there is a name.
    guard names != 0, p[-1] != ASCII.dot else { return nil }
    port = nil
    if p < end {
      guard p.pointee == ASCII.colon, let number = Self.port(Slice(p + 1, end)) else { return nil }
      port = number
    }
    name = Slice(authority.start, p).string
    isAddress = false
  }

  /// One to five digits.
  private static func port(_ digits: Slice) -> UInt16? {
    guard digits.count >= 1, digits.count <= 5 else { return nil }
    var number: UInt32 = 0
    for index in 0..<digits.count {
      guard ASCII.isDigit(digits[index]) else { return nil }
      number = number &* 10 &+ UInt32(digits[index] &- ASCII.zero)
    }
    return UInt16(exactly: number)
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
    copy.append(contentsOf: repeatElement(0, count: LineParser.slack))
    return copy.withUnsafeBufferPointer { Addresses.canonical(Slice($0.baseAddress!, $0.baseAddress! + count)) }
  }

  /// Bytes of a name that can be in the DNS.
  static let longest = 255

  /// Letters, digits, dots, dashes, underscores and `*`: what a host name, or Istio's `outbound_.80_._.host`, can hold.
  static func isPlausible(_ host: String) -> Bool {
    !host.isEmpty && host.utf8.count <= longest
      && host.utf8.allSatisfy {
        ASCII.isLetter($0) || ASCII.isDigit($0) || $0 == ASCII.dot || $0 == ASCII.minus || $0 == ASCII.underscore
          || $0 == ASCII.star || $0 == ASCII.colon
      }
  }

  /// Fills `host` by the precedence of names (authority, SNI, CONNECT target, cluster host, address) and notes where names
  /// disagree. A name that the mesh itself made up (`outbound_.80_._.host`) is no host; neither is an address.
  static func choose(
    for destination: inout Destination, authority: HostName?, serverName: ServerName?, cluster: RegistryCluster?,
    address: String?, _ warnings: inout Warnings
  ) {
    let sni = serverName?.host
    if let authority, authority.isAddress { warnings.insert(.hostIsAddress) }
    if let authority, let sni, !authority.isAddress, authority.name != sni { warnings.insert(.hostMismatch) }
    if let authority, !authority.isAddress, !authority.name.isEmpty {
      destination.host = EnvoyFacts.bounded(authority.name)
      destination.hostOrigin = .authority
    } else if let sni, !sni.isEmpty {
      destination.host = EnvoyFacts.bounded(sni)
      destination.hostOrigin = .sni
    } else if let clusterHost = cluster?.host, !clusterHost.utf8.contains(ASCII.star) {
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

/// A TLS server name as a column has it.
struct ServerName: Equatable {
  /// Lower case, and no longer than what is kept of a column.
  var text: String
  /// The host that it names; nil for a name that the mesh itself made up.
  var host: String?
  /// It can be a host's.
  var isPlausible: Bool
  /// Envoy says so of what could not be read.
  var isMarkedInvalid: Bool

  init?(_ fields: borrowing Fields) {
    let slice = fields[.serverName]
    if slice.isMissing { return nil }
    self.init(slice, fields.escaping(of: .serverName))
  }

  init(_ slice: Slice, _ escaping: FormatField.Escaping) {
    // What is told by a prefix with other bytes than those of a plain name is none.
    guard let plain = HostName(plain: slice), plain.port == nil, !slice.hasPrefix("outbound_."),
      !slice.hasPrefix("inbound_.")
    else {
      self.init(slowly: Unescape.string(slice, escaping))
      return
    }
    self.init(text: plain.name, host: plain.name, isPlausible: true, isMarkedInvalid: false)
  }

  /// By taking it apart: the slow twin.
  init(slowly logged: String) {
    let name = logged.asciiLowercased
    let text = EnvoyFacts.bounded(name)
    let isMadeUp = ["outbound_.", "inbound_.", "outbound|", "invalid:"].contains { name.hasPrefix($0) }
    self.init(
      text: text, host: isMadeUp ? nil : HostName(slowly: text).name, isPlausible: HostName.isPlausible(name),
      isMarkedInvalid: name.hasPrefix("invalid:"))
  }

  private init(text: String, host: String?, isPlausible: Bool, isMarkedInvalid: Bool) {
    self.text = text
    self.host = host
    self.isPlausible = isPlausible
    self.isMarkedInvalid = isMarkedInvalid
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
