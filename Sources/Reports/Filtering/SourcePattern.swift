internal import Glibc

/// Which sources are meant: a glob over workload, pod and address, or an address range in CIDR notation.
public struct SourcePattern: Sendable, Equatable {
  private enum Meaning: Sendable, Equatable {
    case glob
    /// The first `bits` bits of an address of this family.
    case network(address: [UInt8], bits: Int)
  }

  public let text: String
  private let meaning: Meaning

  public init(_ text: String) throws(ReportError) {
    self.text = text
    // No namespace holds a dot or a colon: `shop/web` is a workload, `10.80/8` a network with a mistake.
    guard let slash = text.lastIndex(of: "/"), text[..<slash].contains(where: { $0 == "." || $0 == ":" }) else {
      meaning = .glob
      return
    }
    guard let address = SourcePattern.address(String(text[..<slash])),
      let bits = Int(text[text.index(after: slash)...]),
      bits >= 0, bits <= address.count * 8
    else {
      throw ReportError(
        "\"\(TerminalText.safe(text))\" is neither a network nor a name",
        help: "write 10.80.3.0/24, an address, or a pattern such as sleep-* or shop/sleep-*")
    }
    meaning = .network(address: address, bits: bits)
  }

  /// True when a network was meant; a glob is left to SQL.
  public var isNetwork: Bool { meaning != .glob }

  /// True when the address lies in the network.
  public func contains(_ ip: String) -> Bool {
    guard case .network(let network, let bits) = meaning, let address = SourcePattern.address(ip),
      address.count == network.count
    else { return false }
    for index in 0..<address.count {
      let kept = min(8, max(0, bits - index * 8))
      let mask = UInt8(truncatingIfNeeded: 0xFF00 >> kept)
      if address[index] & mask != network[index] & mask { return false }
    }
    return true
  }

  /// Four or sixteen bytes; an IPv4 address mapped into IPv6 counts as IPv4.
  private static func address(_ text: String) -> [UInt8]? {
    var v4 = in_addr()
    if inet_pton(AF_INET, text, &v4) == 1 { return withUnsafeBytes(of: v4) { Array($0) } }
    var v6 = in6_addr()
    guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
    let bytes = withUnsafeBytes(of: v6) { Array($0) }
    let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
    return isMapped ? Array(bytes[12...]) : bytes
  }
}
