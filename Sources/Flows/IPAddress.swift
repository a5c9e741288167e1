/// An IPv4 or IPv6 address as 128 bits.
///
/// IPv4 is kept in its mapped form (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2), so an address that a dual-stack
/// proxy logs as `::ffff:10.0.0.1` equals `10.0.0.1`.
public struct IPAddress: Hashable, Sendable {
  public let high: UInt64
  public let low: UInt64

  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  public init(ipv4: UInt32) {
    self.init(high: 0, low: 0xffff_0000_0000 | UInt64(ipv4))
  }

  @inlinable
  public var isIPv4: Bool { high == 0 && low >> 32 == 0xffff }

  /// The 32 bits of an IPv4 address.
  @inlinable
  public var ipv4: UInt32? { isIPv4 ? UInt32(truncatingIfNeeded: low) : nil }

  /// Reads `a.b.c.d` or RFC 4291 text, in brackets or not; an IPv6 zone (`%eth0`) is ignored.
  public init?(_ text: String) {
    var text = text
    let parsed = text.withUTF8 { bytes -> IPAddress? in
      var bytes = bytes[...]
      if bytes.first == UInt8(ascii: "["), bytes.last == UInt8(ascii: "]"), bytes.count > 2 {
        bytes = bytes.dropFirst().dropLast()
      }
      return bytes.contains(UInt8(ascii: ":")) ? parseIPv6(bytes) : parseIPv4(bytes).map(IPAddress.init(ipv4:))
    }
    guard let parsed else { return nil }
    self = parsed
  }
}

extension IPAddress: CustomStringConvertible {
  /// Dotted decimals, or RFC 5952: lower case, the longest run of zero groups as `::`.
  public var description: String {
    if let ipv4 {
      return [24, 16, 8, 0].map { String(ipv4 >> UInt32($0) & 255) }.joined(separator: ".")
    }
    let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> UInt64(48 - 16 * ($0 % 4))) }
    var longest = 0..<0
    var start = 0
    while start < 8 {
      let end = groups[start...].firstIndex { $0 != 0 } ?? 8
      if end - start > max(1, longest.count) { longest = start..<end }
      start = max(end, start) + 1
    }
    func text(_ part: ArraySlice<UInt16>) -> String {
      part.map { String($0, radix: 16) }.joined(separator: ":")
    }
    return longest.isEmpty
      ? text(groups[...]) : "\(text(groups[..<longest.lowerBound]))::\(text(groups[longest.upperBound...]))"
  }
}

/// Four decimal numbers; a leading zero is refused because some programs read it as octal.
private func parseIPv4(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> UInt32? {
  var value: UInt32 = 0
  var octet: UInt32 = 0
  var digits = 0
  var octets = 0
  for byte in bytes {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"):
      if digits == 3 || (digits > 0 && octet == 0) { return nil }
      octet = octet * 10 + UInt32(byte - UInt8(ascii: "0"))
      digits += 1
    case UInt8(ascii: "."):
      guard digits > 0, octet <= 255, octets < 3 else { return nil }
      value = value << 8 | octet
      octets += 1
      octet = 0
      digits = 0
    default:
      return nil
    }
  }
  guard octets == 3, digits > 0, octet <= 255 else { return nil }
  return value << 8 | octet
}

/// Up to eight groups of hexadecimal digits, one `::`, and perhaps dotted decimals at the end (RFC 4291 section 2.2).
private func parseIPv6(_ text: Slice<UnsafeBufferPointer<UInt8>>) -> IPAddress? {
  let bytes = text.prefix { $0 != UInt8(ascii: "%") }
  var groups: [UInt16] = []
  var gap: Int?
  var position = bytes.startIndex
  if bytes.starts(with: [UInt8(ascii: ":"), UInt8(ascii: ":")]) {
    gap = 0
    position += 2
  } else if bytes.first == UInt8(ascii: ":") {
    return nil
  }
  while position < bytes.endIndex {
    let end = bytes[position...].firstIndex(of: UInt8(ascii: ":")) ?? bytes.endIndex
    let word = bytes[position..<end]
    if word.contains(UInt8(ascii: ".")) {
      guard end == bytes.endIndex, let ipv4 = parseIPv4(word) else { return nil }
      groups.append(UInt16(truncatingIfNeeded: ipv4 >> 16))
      groups.append(UInt16(truncatingIfNeeded: ipv4))
      position = end
      break
    }
    guard (1...4).contains(word.count) else { return nil }
    var group: UInt16 = 0
    for byte in word {
      guard let digit = hexadecimalDigit(byte) else { return nil }
      group = group << 4 | digit
    }
    guard groups.count < 8 else { return nil }
    groups.append(group)
    position = end
    guard position < bytes.endIndex else { break }
    position += 1
    if position < bytes.endIndex, bytes[position] == UInt8(ascii: ":") {
      guard gap == nil else { return nil }
      gap = groups.count
      position += 1
    } else if position == bytes.endIndex {
      return nil
    }
  }
  if let gap {
    guard groups.count < 8 else { return nil }
    groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
  }
  guard groups.count == 8 else { return nil }
  let high = groups[..<4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
  let low = groups[4...].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
  return IPAddress(high: high, low: low)
}

private func hexadecimalDigit(_ byte: UInt8) -> UInt16? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt16(byte - UInt8(ascii: "0"))
  case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt16(byte - UInt8(ascii: "a") + 10)
  case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt16(byte - UInt8(ascii: "A") + 10)
  default: nil
  }
}
