public import Flows

/// What the operator declared: which addresses are the mesh, which are gateways and proxies, and which bypasses are allowed.
///
///     mesh:            { internal: [10.80.0.0/16, "*.svc.cluster.local"] }
///     pods:            [ { name: sleep, addresses: [10.80.3.11], sidecar: true } ]
///     gateways:        [ { name: istio-egressgateway, hosts: [...], addresses: [10.80.3.232] } ]
///     sni_proxies:     [ { name: sni-proxy, addresses: [127.0.0.1, 10.80.3.233] } ]
///     forward_proxies: [ { name: squid, hosts: [my-company-proxy.com], addresses: [10.80.2.87] } ]
///     exceptions:      [ { host: "*.example.com", addresses: [203.0.113.0/24], port: 443, owner: payments, expires: 2027-01-31 } ]
///     expected:        [ { log: "*egressgateway*", role: gateway, max_silence: 15m } ]
///
/// Every entry may carry `from` and `until`. Times are ISO 8601, UTC unless they name an offset. A date alone means
/// the start of that day in `from`, and the end of that day in `until` and `expires`.
///
/// In Envoy lines a host pattern is compared with the registry host of the cluster, which the mesh's configuration
/// wrote, and never with the authority or the SNI, which the client wrote. So an exception can allow passthrough
/// traffic only with `addresses`; with `host` alone it allows ServiceEntry traffic.
public struct Policy: Sendable {
  /// When an entry holds: from `fromMs` (inclusive) until `untilMs` (exclusive), Unix milliseconds.
  public struct Validity: Hashable, Sendable {
    public var fromMs: Int64 = .min
    public var untilMs: Int64 = .max
    public init() {}
    public func contains(_ ms: Int64) -> Bool { fromMs <= ms && ms < untilMs }
  }

  /// One item of `mesh.internal`: a range, or a pattern for registry hosts.
  public struct Internal: Sendable {
    public var range: AddressRange?
    public var host: HostGlob?
    public var validity = Validity()
    /// Line of the file that the entry begins in; 0 when it came from no file.
    public var line = 0
  }

  public struct Pod: Sendable {
    public var name: String
    public var addresses: [AddressRange]
    /// nil when the policy does not say.
    public var hasSidecar: Bool?
    public var validity = Validity()
    public var line = 0
  }

  /// A gateway, an SNI proxy or a forward proxy.
  public struct Proxy: Sendable {
    public var name: String
    public var hosts: [HostGlob]
    public var addresses: [AddressRange]
    public var validity = Validity()
    public var line = 0
  }

  /// An allowed bypass. Every criterion that is given must match.
  public struct Exception: Sendable {
    public var label: String
    public var hosts: [HostGlob]
    public var addresses: [AddressRange]
    /// One of them is the port that was connected to, or the one that reports show.
    public var ports: [UInt16]
    public var sources: [AddressRange]
    public var owner: String
    public var reason: String
    public var expiresMs: Int64?
    /// `from`, and the earlier of `until` and `expires`.
    public var validity = Validity()
    public var line = 0
  }

  /// A log that must not fall silent.
  public struct Expected: Sendable {
    public var log: HostGlob
    public var role: Role?
    public var maxSilenceMs: Int64?
    public var validity = Validity()
    public var line = 0
  }

  /// Something that is allowed and probably not meant.
  public struct Warning: Sendable, Equatable, CustomStringConvertible {
    public var file: String
    public var line: Int
    public var column: Int
    public var message: String
    public var description: String { "\(file):\(line):\(column): warning: \(message)" }
  }

  public internal(set) var `internal`: [Internal] = []
  public internal(set) var pods: [Pod] = []
  public internal(set) var gateways: [Proxy] = []
  public internal(set) var sniProxies: [Proxy] = []
  public internal(set) var forwardProxies: [Proxy] = []
  public internal(set) var exceptions: [Exception] = []
  public internal(set) var expected: [Expected] = []
  public internal(set) var warnings: [Warning] = []
  /// 64-bit FNV-1a of the text, hexadecimal: another text is another policy, to be judged by anew.
  public internal(set) var hash: String
  /// The text holds no word: who wants to declare nothing writes `mesh: {}`.
  public internal(set) var isBlank = false

  /// Of all sections; an empty file has none.
  public var entryCount: Int {
    self.internal.count + pods.count + gateways.count + sniProxies.count + forwardProxies.count + exceptions.count
      + expected.count
  }

  /// A policy that declares nothing. Unlike no policy, its hash is that of an empty text.
  public init() {
    hash = Policy.hash(of: "")
  }

  /// The hash of a policy text: FNV-1a, 64 bits, 16 hexadecimal digits.
  public static func hash(of text: String) -> String {
    var value: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in text.utf8 {
      value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
    }
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
