/// Some of the roles, one bit for each: every parser asks for hundreds when it compiles the formats it knows.
struct RoleSet: Equatable, ExpressibleByArrayLiteral, Sequence {
  /// By raw value.
  private(set) var bits: UInt64 = 0

  init() {}
  init(_ roles: some Sequence<FieldRole>) { for role in roles { insert(role) } }
  init(arrayLiteral roles: FieldRole...) { self.init(roles) }

  private static func bit(_ role: FieldRole) -> UInt64 {
    precondition(role.rawValue < 64, "more roles than bits")
    return 1 &<< UInt64(role.rawValue)
  }

  func contains(_ role: FieldRole) -> Bool { bits & Self.bit(role) != 0 }

  /// False when it was there.
  @discardableResult
  mutating func insert(_ role: FieldRole) -> Bool {
    let isNew = !contains(role)
    bits |= Self.bit(role)
    return isNew
  }

  func isSuperset(of other: RoleSet) -> Bool { other.bits & ~bits == 0 }
  func isDisjoint(with other: RoleSet) -> Bool { other.bits & bits == 0 }

  func intersection(_ other: RoleSet) -> RoleSet {
    var both = RoleSet()
    both.bits = bits & other.bits
    return both
  }

  /// In the order of their numbers.
  func makeIterator() -> AnyIterator<FieldRole> {
    var rest = bits
    return AnyIterator {
      guard rest != 0 else { return nil }
      defer { rest &= rest - 1 }
      return FieldRole(rawValue: UInt8(truncatingIfNeeded: rest.trailingZeroBitCount))
    }
  }
}
