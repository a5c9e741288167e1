/// Reads each address text once, however often the facts repeat it.
final class AddressReader {
  private var known: [String: IPAddress?] = [:]

  func parse(_ text: String?) -> IPAddress? {
    guard let text else { return nil }
    if let address = known[text] { return address }
    let address = IPAddress(text)
    known[text] = .some(address)
    return address
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
