extension AddressRange: CustomStringConvertible {
  /// As people write it: `10.80.0.0/16`, and `10.80.3.11` for a range of one.
  public var description: String {
    guard prefixLength < 128 else { return "\(base)" }
    // A range that is wider than IPv4 altogether has no dotted form.
    let isDotted = base.isIPv4 && prefixLength >= 96
    return "\(base)/\(isDotted ? prefixLength - 96 : prefixLength)"
  }
}
