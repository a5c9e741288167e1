/// A range of addresses in CIDR notation: `10.80.0.0/16`, `2001:db8::/32`; an address alone is a range of one.
///
/// An IPv6 range contains no IPv4 address, however short its prefix, unless it is written in the mapped form.
public struct AddressRange: Hashable, Sendable {
  public let base: IPAddress
  /// Of 128 bits; IPv4 prefixes are counted from bit 96 on.
  public let prefixLength: Int
  @usableFromInline let maskHigh: UInt64
  @usableFromInline let maskLow: UInt64

  public init(_ base: IPAddress, prefixLength: Int) {
    precondition((0...128).contains(prefixLength))
    maskHigh = prefixLength == 0 ? 0 : ~UInt64(0) << UInt64(max(0, 64 - prefixLength))
    maskLow = prefixLength <= 64 ? 0 : ~UInt64(0) << UInt64(128 - prefixLength)
    self.base = IPAddress(high: base.high & maskHigh, low: base.low & maskLow)
    self.prefixLength = prefixLength
  }

  @inlinable
  public func contains(_ address: IPAddress) -> Bool {
    address.high & maskHigh == base.high && address.low & maskLow == base.low
      && (prefixLength >= 96 || !address.isIPv4)
  }

  public func contains(_ range: AddressRange) -> Bool {
    prefixLength <= range.prefixLength && contains(range.base)
  }

  /// The range holds every address of its family.
  public var isEverything: Bool { prefixLength == 0 || (prefixLength == 96 && base.isIPv4) }

  /// Whether ranges hold every address of IPv4 or of IPv6 together, as the two halves of either do.
  public static func coverEverything(_ ranges: [AddressRange]) -> Bool {
    let (four, six) = (IPAddress(ipv4: 0), IPAddress(high: 0, low: 0))
    return [AddressRange(four, prefixLength: 96), AddressRange(six, prefixLength: 0)].contains {
      $0.isCovered(by: ranges)
    }
  }

  /// Whether ranges hold every address of this one together.
  public func isCovered(by ranges: [AddressRange]) -> Bool {
    if ranges.contains(where: { $0.contains(self) }) { return true }
    let parts = ranges.filter { contains($0) }.sorted { ($0.base.high, $0.base.low) < ($1.base.high, $1.base.low) }
    var next = base
    for part in parts {
      guard (part.base.high, part.base.low) <= (next.high, next.low) else { return false }
      let end = part.last
      if end == last { return true }
      let (low, carry) = end.low.addingReportingOverflow(1)
      let after = IPAddress(high: end.high + (carry ? 1 : 0), low: low)
      if (after.high, after.low) > (next.high, next.low) { next = after }
    }
    return false
  }

  /// Wider than any network of one owner: shorter than `/8` of IPv4 or `/16` of IPv6.
  public var isVast: Bool { prefixLength < (base.isIPv4 && prefixLength >= 96 ? 96 + 8 : 16) }

  /// A range of private addresses that this one holds beside others: `172.16.0.0/12` in `172.0.0.0/8`, and was meant, perhaps.
  public var privatePart: AddressRange? { AddressRange.privateUse.first { contains($0) && self != $0 } }

  /// RFC 1918, RFC 6598 and RFC 4193.
  public static let privateUse = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
    .compactMap { try? AddressRange(parsing: $0) }

  /// The address at its end.
  public var last: IPAddress { IPAddress(high: base.high | ~maskHigh, low: base.low | ~maskLow) }

  /// Why a text is no range, for people.
  public enum Problem: Error, Equatable {
    case notAnAddress
    case prefixNotANumber
    case prefixTooLong(limit: Int)
    /// The address has bits outside the prefix: `10.80.3.7/16`.
    case bitsBelowPrefix
  }

  public init(parsing text: String) throws(Problem) {
    let (address, prefixLength) = try AddressRange.parts(of: text)
    self.init(address, prefixLength: prefixLength)
    guard base == address else { throw .bitsBelowPrefix }
  }

  /// The range around an address, whatever its bits outside the prefix: `10.80.3.7/16` is `10.80.0.0/16`.
  public init(around text: String) throws(Problem) {
    let (address, prefixLength) = try AddressRange.parts(of: text)
    self.init(address, prefixLength: prefixLength)
  }

  private static func parts(of text: String) throws(Problem) -> (address: IPAddress, prefixLength: Int) {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let address = IPAddress(String(parts[0])) else { throw .notAnAddress }
    guard parts.count == 2 else { return (address, 128) }
    guard !parts[1].isEmpty, parts[1].utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      let length = Int(parts[1])
    else { throw .prefixNotANumber }
    // `::ffff:10.0.0.0/104` is written with a colon and counts its prefix from the first of 128 bits
    let isDotted = address.isIPv4 && !parts[0].utf8.contains(UInt8(ascii: ":"))
    let limit = isDotted ? 32 : 128
    guard length <= limit else { throw .prefixTooLong(limit: limit) }
    return (address, isDotted ? length + 96 : length)
  }
}

extension AddressRange: CustomStringConvertible {
  /// As people write it: `10.80.0.0/16`, and `10.80.3.11` for a range of one.
  public var description: String {
    guard prefixLength < 128 else { return "\(base)" }
    // A range that is wider than IPv4 altogether has no dotted form.
    let isDotted = base.isIPv4 && prefixLength >= 96
    return "\(base)/\(isDotted ? prefixLength - 96 : prefixLength)"
  }
}
