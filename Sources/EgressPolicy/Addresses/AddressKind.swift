public import Flows

/// What the number of an address alone says about where it lies (the IANA special-purpose registries, RFC 6890).
///
/// Only `.publicUse` proves that traffic left. Ranges for documentation and benchmarking count as public: nothing in a
/// mesh uses them, and taking one for private could hide a bypass.
public enum AddressKind: UInt8, Hashable, Sendable, CaseIterable {
  case loopback
  /// `169.254.169.254` and its IPv6 twin: the cloud's metadata service, which hands out credentials.
  case metadata
  case linkLocal
  /// RFC 1918 and RFC 4193.
  case privateUse
  /// 100.64.0.0/10 (RFC 6598): some clouds give it to pods, carriers to customers.
  case sharedSpace
  /// 240.0.0.0/4: Istio takes 240.240.0.0/16 for the addresses it invents for ServiceEntries.
  case reserved
  /// Unspecified, multicast and broadcast: no destination of a connection.
  case special
  case publicUse

  public init(_ address: IPAddress) {
    self = address.ipv4.map(AddressKind.init(ipv4:)) ?? AddressKind(high: address.high, low: address.low)
  }

  private init(ipv4 address: UInt32) {
    switch address {
    case 0xa9fe_a9fe: self = .metadata
    case 0xffff_ffff: self = .special
    default:
      switch address >> 24 {
      case 0, 224...239: self = .special
      case 10: self = .privateUse
      case 127: self = .loopback
      case 240...255: self = .reserved
      case 100 where address >> 22 == 0x6440_0000 >> 22: self = .sharedSpace
      case 169 where address >> 16 == 0xa9fe: self = .linkLocal
      case 172 where address >> 20 == 0xac1: self = .privateUse
      case 192 where address >> 16 == 0xc0a8: self = .privateUse
      default: self = .publicUse
      }
    }
  }

  private init(high: UInt64, low: UInt64) {
    switch (high, low) {
    case (0, 1): self = .loopback
    case (0, 0): self = .special
    case (0xfd00_0ec2_0000_0000, 0x254): self = .metadata
    default:
      if high >> 57 == 0xfc >> 1 {
        self = .privateUse
      } else if high >> 54 == 0xfe80 >> 6 {
        self = .linkLocal
      } else if high >> 56 == 0xff {
        self = .special
      } else {
        self = .publicUse
      }
    }
  }
}

extension AddressRange {
  /// The ranges of all other kinds than `.publicUse`.
  static let notPublic: [AddressRange] =
    privateUse
    + ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8"]
    .compactMap { try? AddressRange(parsing: $0) }

  /// Some of its addresses are public ones, as far as its two ends show.
  public var holdsPublicAddresses: Bool {
    AddressKind(base) == .publicUse || AddressKind(last) == .publicUse
  }
}
