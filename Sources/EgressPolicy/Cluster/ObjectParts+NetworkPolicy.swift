internal import Flows

/// A NetworkPolicy: whether it limits what pods send, whether it is for all pods of its namespace, and whether one of its rules lets
/// them reach the public addresses all the same.
extension ObjectParts {
  func networkPolicy() throws(Problem) -> ClusterObject {
    var object = ClusterObject(.networkPolicy, try metadata())
    var types: [String] = []
    var hasRules = false
    var opens = false
    var ranges: [AddressRange] = []
    var selectsAll = true
    try members(of: "spec") { reader, key throws(Problem) in
      switch key {
      case "policyTypes": types = try reader.texts()
      case "podSelector":
        guard try reader.kind() == .object else { return try reader.skip() }
        try reader.members { reader, key throws(Problem) in
          // An empty list or map of requirements is none.
          var holds = false
          switch try reader.kind() {
          case .object:
            try reader.members { reader, _ throws(Problem) in
              holds = true
              try reader.skip()
            }
          case .array:
            try reader.elements { reader throws(Problem) in
              holds = true
              try reader.skip()
            }
          default: try reader.skip()
          }
          if holds { selectsAll = false }
        }
      case "egress":
        guard try reader.kind() == .array else { return try reader.skip() }
        try reader.elements { reader throws(Problem) in
          hasRules = true
          if try opensToPublic(&reader, &ranges) { opens = true }
        }
      default: try reader.skip()
      }
    }
    if opens || AddressRange.coverEverything(ranges) { object.traits.append("allows-all-egress") }
    // Without policyTypes, rules for egress make it one of egress, too.
    if types.isEmpty ? hasRules : types.contains("Egress") { object.traits.append("limits-egress") }
    if selectsAll { object.traits.append("selects-all") }
    return object
  }

  /// Whether a rule for egress keeps no pod from the public addresses: it names no peers, or so many addresses that public ones of
  /// several owners are among them, as `0.0.0.0/0` without the private ranges; and no ports, or one at which services listen. Of the
  /// peers, the ranges are added: those of all rules together may be every address of IPv4 or IPv6, too.
  ///
  /// Source: kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1 (NetworkPolicyEgressRule: an empty
  /// or missing `to`, or `ports`, is all of them; the peers of one rule add up, and so do the rules; IPBlock: `except` is what is
  /// taken out of `cidr`).
  private func opensToPublic(_ reader: inout JSONReader, _ ranges: inout [AddressRange]) throws(Problem) -> Bool {
    guard try reader.kind() == .object else {
      try reader.skip()
      return false
    }
    var (hasPeers, hasWidePeer) = (false, false)
    var peers: [AddressRange] = []
    var (hasPorts, hasOpenPort) = (false, false)
    try reader.members { reader, key throws(Problem) in
      guard try reader.kind() == .array, key == "to" || key == "ports" else { return try reader.skip() }
      try reader.elements { reader throws(Problem) in
        if key == "ports" {
          hasPorts = true
          if try isOpen(&reader) { hasOpenPort = true }
          return
        }
        hasPeers = true
        guard let block = try addressBlock(&reader) else { return }
        if block.isWide { hasWidePeer = true }
        if block.exceptions.isEmpty { peers.append(block.range) }
      }
    }
    guard !hasPorts || hasOpenPort else { return false }
    ranges += peers
    return !hasPeers || hasWidePeer
  }

  /// Of an entry of `ports`: one of TCP, which is what leaves over a proxy, and not that of DNS alone, which policies let out as a
  /// rule. A name is a port of the pods that have one of that name, and of no other address.
  private func isOpen(_ reader: inout JSONReader) throws(Problem) -> Bool {
    guard try reader.kind() == .object else {
      try reader.skip()
      return false
    }
    var (isTCP, port, end): (Bool, String?, String?) = (true, nil, nil)
    try reader.members { reader, key throws(Problem) in
      switch key {
      case "protocol": isTCP = try reader.text() == "TCP"
      case "port": port = try reader.optionalText()
      case "endPort": end = try reader.optionalText()
      default: try reader.skip()
      }
    }
    guard isTCP, let port else { return isTCP }
    return Int(port) != nil && (port != "53" || end.map { $0 != "53" } ?? false)
  }

  private struct AddressBlock {
    var range: AddressRange
    var exceptions: [AddressRange]

    /// Wider than any network of one owner, with public addresses that are not taken out of it.
    var isWide: Bool { range.isVast && !range.isCovered(by: exceptions + AddressRange.notPublic) }
  }

  /// Of a peer; nil where it selects pods.
  private func addressBlock(_ reader: inout JSONReader) throws(Problem) -> AddressBlock? {
    guard try reader.kind() == .object else {
      try reader.skip()
      return nil
    }
    var (range, exceptions): (AddressRange?, [AddressRange]) = (nil, [])
    try reader.members { reader, key throws(Problem) in
      guard key == "ipBlock", try reader.kind() == .object else { return try reader.skip() }
      try reader.members { reader, key throws(Problem) in
        let kind = try reader.kind()
        switch (key, kind) {
        case ("cidr", .string):
          let text = try reader.text()
          range = try? AddressRange(around: text)
        case ("except", .array):
          exceptions += try reader.texts().compactMap { try? AddressRange(around: $0) }
        default: try reader.skip()
        }
      }
    }
    return range.map { AddressBlock(range: $0, exceptions: exceptions) }
  }
}
