internal import Flows

/// A policy to begin with: what the lines show, as commented-out entries with the ground of each beside it.
///
/// Nothing in the draft holds until somebody has looked at it and removed the `# `, because a guess never clears.
struct PolicyDraft {
  /// Entries per section; a draft that nobody can read helps nobody.
  static let entriesPerSection = 100

  private var lines = [
    "# A policy drafted from what the logs show. No entry holds before its \"# \" is removed: check it first.",
    "# Every entry may carry from and until. Times are UTC; a date means its first moment in from, its last in until.",
  ]

  var text: String { lines.joined(separator: "\n") + "\n" }

  mutating func section(_ name: String, _ entries: [(entry: String, ground: String)]) {
    lines.append("")
    lines.append("\(name):")
    list(entries, indent: "  ")
  }

  mutating func mesh(_ entries: [(entry: String, ground: String)]) {
    lines.append("")
    lines.append("mesh:")
    lines.append("  internal:")
    list(entries, indent: "    ")
  }

  private mutating func list(_ entries: [(entry: String, ground: String)], indent: String) {
    for (entry, ground) in entries.prefix(PolicyDraft.entriesPerSection) {
      lines.append("\(indent)# - \(entry)   # \(ground)")
    }
    if entries.count > PolicyDraft.entriesPerSection {
      lines.append("\(indent)# and \(entries.count - PolicyDraft.entriesPerSection) more")
    }
  }

  /// A YAML double-quoted scalar in ASCII: names come from logs and may hold anything.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case " "..."~": result.unicodeScalars.append(scalar)
      default:
        let digits = String(scalar.value, radix: 16)
        result += "\\U" + String(repeating: "0", count: 8 - digits.count) + digits
      }
    }
    return result + "\""
  }
}

/// What the flows show beside the facts, for the sections of a draft that facts alone cannot fill.
public struct ObservedTraffic: Sendable {
  /// A bypass that somebody may want to allow.
  public struct Bypass: Sendable {
    /// Of a destination that a ServiceEntry declares.
    public var registryHost: String?
    /// Of one that nobody declares.
    public var address: String?
    public var port: UInt16
    /// How often it was seen, by whom, under which name.
    public var ground: String

    public init(registryHost: String?, address: String?, port: UInt16, ground: String) {
      self.registryHost = registryHost
      self.address = address
      self.port = port
      self.ground = ground
    }
  }

  public var bypasses: [Bypass] = []
  /// Logs that a gateway wrote, as patterns.
  public var gatewayLogs: [String] = []
  /// Date for the exceptions that are drafted.
  public var expires = "2027-01-31"

  public init() {}
}

extension Judge {
  /// A commented policy drafted from the facts: networks, pods, gateways and proxies, each with its ground.
  public func draftPolicy(_ observed: ObservedTraffic = ObservedTraffic()) -> String {
    let index = PolicyIndex(Policy())
    let addresses = AddressReader()
    let topology = Topology(
      index: index, addresses: addresses, sources: sources, destinations: destinations, logs: logs)
    var draft = PolicyDraft()
    draft.mesh(networks(topology.meshAddresses))
    draft.section("pods", pods(addresses))
    func proxies(_ what: String, _ grounds: [IPAddress: String]) -> [(String, String)] {
      grounds.sorted { ($0.key.high, $0.key.low) < ($1.key.high, $1.key.low) }.enumerated().map { place, ground in
        (
          "{ name: \(what)-\(place + 1), addresses: [\(PolicyDraft.quoted(ground.key.description))] }",
          PolicyDraft.comment(ground.value)
        )
      }
    }
    var gateways = topology.guessedGateways.mapValues { topology.sentences[$0] }
    for address in topology.declaredGateways { gateways[address] = "its log was read with the role gateway" }
    draft.section("gateways", proxies("gateway", gateways))
    draft.section("sni_proxies", proxies("sni-proxy", topology.guessedSNIProxies.mapValues { topology.sentences[$0] }))
    draft.section(
      "forward_proxies",
      proxies(
        "forward-proxy",
        Dictionary(
          topology.guessedForwardProxies.map { ($0.key.address, topology.sentences[$0.value]) }, uniquingKeysWith: min))
    )
    let allowed = "owner: team, reason: why, expires: \(observed.expires)"
    draft.section(
      "exceptions",
      [
        (
          "{ host: \"*.example.com\", addresses: [203.0.113.0/24], port: 443, \(allowed) }",
          "an example; undeclared traffic is allowed by addresses only"
        )
      ]
        + observed.bypasses.map { bypass in
          // Of a host alone the client may have chosen the address.
          let what = [
            bypass.registryHost.map { "host: \(PolicyDraft.quoted($0))" },
            bypass.address.map { "addresses: [\(PolicyDraft.quoted($0))]" },
          ].compactMap(\.self).joined(separator: ", ")
          let port = bypass.port > 0 ? ", port: \(bypass.port)" : ""
          return ("{ \(what)\(port), \(allowed) }", PolicyDraft.comment(bypass.ground))
        })
    draft.section(
      "expected",
      observed.gatewayLogs.map { log in
        (
          "{ log: \(PolicyDraft.quoted(log)), role: gateway, max_silence: 15m }",
          "a gateway wrote it; alert then tells when it falls silent"
        )
      })
    return draft.text
  }

  /// IPv4 addresses by /24, IPv6 by /64.
  private func networks(_ addresses: Set<IPAddress>) -> [(String, String)] {
    var counts: [AddressRange: Int] = [:]
    for address in addresses { counts[AddressRange(address, prefixLength: address.isIPv4 ? 120 : 64), default: 0] += 1 }
    return counts.sorted { ($0.key.base.high, $0.key.base.low) < ($1.key.base.high, $1.key.base.low) }.map {
      range, count in
      let length = range.base.isIPv4 ? range.prefixLength - 96 : range.prefixLength
      let subject = count == 1 ? "1 address" : "\(count) addresses"
      return ("\(PolicyDraft.quoted("\(range.base)/\(length)"))", "\(subject) here wrote or received mesh lines")
    }
  }

  private func pods(_ addresses: AddressReader) -> [(String, String)] {
    var byName: [String: Set<IPAddress>] = [:]
    for fact in sources where [.outbound, .outboundForwarded].contains(fact.source.effectiveShape) {
      guard let pod = fact.source.pod, let address = addresses.parse(fact.source.proxyIP) else { continue }
      byName[pod, default: []].insert(address)
    }
    return byName.sorted { $0.key < $1.key }.map { name, addresses in
      let list = addresses.sorted { ($0.high, $0.low) < ($1.high, $1.low) }.map { PolicyDraft.quoted($0.description) }
      return (
        "{ name: \(PolicyDraft.quoted(name)), addresses: [\(list.joined(separator: ", "))], sidecar: true }",
        "its sidecar wrote lines"
      )
    }
  }
}

extension PolicyDraft {
  /// Text that stays on its line, whatever a log put into it.
  static func comment(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { (" "..."~").contains($0) ? $0 : "?" }))
  }
}
