internal import Glibc

/// What the name of a cluster of Istio's registry says: `outbound|PORT|SUBSET|HOST`, `inbound|PORT|SUBSET|HOST`,
/// `outbound_.PORT_.SUBSET_.HOST`, or at a waypoint `inbound-vip|PORT|tcp|HOST`.
///
/// Source: Istio `pilot/pkg/model/service.go` (`BuildSubsetKey`, `BuildDNSSrvSubsetKey`),
/// `pilot/pkg/networking/core/cluster_waypoint.go` (`buildWaypointInboundVIPCluster`).
struct RegistryCluster: Equatable {
  /// The service's port; nil where no number stands in its place.
  let port: UInt16?
  /// Lower case; nil where nothing follows the subset.
  let host: String?

  private static let directions: [StaticString] = [
    "outbound|", "inbound|", "inbound-vip|", "outbound_.", "inbound_.",
  ]

  /// nil for a name that is not made like these.
  init?(_ name: String) {
    var name = name
    guard let read = name.withUTF8({ RegistryCluster(bytes: $0) }) else { return nil }
    self = read
  }

  /// Every new destination is asked, so the name is walked once, byte by byte.
  private init?(bytes: UnsafeBufferPointer<UInt8>) {
    guard let direction = Self.directions.first(where: { bytes.starts(with: $0) }) else { return nil }
    let startOfPort = direction.utf8CodeUnitCount
    let isDNS = bytes[startOfPort - 1] == ASCII.dot
    guard let (endOfPort, startOfSubset) = Self.part(of: bytes, from: startOfPort, isDNS: isDNS),
      let (_, startOfHost) = Self.part(of: bytes, from: startOfSubset, isDNS: isDNS)
    else { return nil }
    port = UInt16(String(decoding: bytes[startOfPort..<endOfPort], as: UTF8.self))
    host = startOfHost == bytes.count ? nil : String(decoding: bytes[startOfHost...], as: UTF8.self).asciiLowercased
  }

  /// Where the part that begins at `start` ends, and where the next one begins; nil when it is the last.
  private static func part(of bytes: UnsafeBufferPointer<UInt8>, from start: Int, isDNS: Bool) -> (Int, Int)? {
    var index = start
    while index < bytes.count {
      if !isDNS {
        if bytes[index] == ASCII.bar { return (index, index + 1) }
      } else if bytes[index] == ASCII.underscore, index + 1 < bytes.count, bytes[index + 1] == ASCII.dot {
        return (index, index + 2)
      }
      index += 1
    }
    return nil
  }
}

extension UnsafeBufferPointer<UInt8> {
  fileprivate func starts(with text: StaticString) -> Bool {
    count >= text.utf8CodeUnitCount && memcmp(baseAddress!, text.utf8Start, text.utf8CodeUnitCount) == 0
  }
}
