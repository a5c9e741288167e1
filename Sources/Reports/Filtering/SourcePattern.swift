internal import Flows

/// Which sources are meant: a glob over workload, pod and address, or an address range in CIDR notation.
public struct SourcePattern: Sendable, Equatable {
  public let text: String
  /// nil for a glob.
  private let range: AddressRange?

  public init(_ text: String) throws(ReportError) {
    self.text = text
    // No namespace holds a dot or a colon: `shop/web` is a workload, `10.80/8` a network with a mistake.
    guard let slash = text.lastIndex(of: "/"), text[..<slash].contains(where: { $0 == "." || $0 == ":" }) else {
      range = nil
      return
    }
    do throws(AddressRange.Problem) {
      range = try AddressRange(around: text)
    } catch {
      throw ReportError(
        "\"\(TerminalText.safe(text))\" is neither a network nor a name",
        help: "write 10.80.3.0/24, an address, or a pattern such as sleep-* or shop/sleep-*")
    }
  }

  /// True when a network was meant; a glob is left to SQL.
  public var isNetwork: Bool { range != nil }

  /// Whether addresses may be meant, and no names of workloads or pods, which begin with a namespace or a letter that no address has.
  public var meansAddresses: Bool {
    isNetwork
      || text.utf8.allSatisfy { byte in
        "0123456789abcdefABCDEF.:*?[]-^".utf8.contains(byte)
      }
  }

  /// True when the address lies in the network.
  public func contains(_ ip: String) -> Bool {
    guard let range, let address = IPAddress(ip) else { return false }
    return range.contains(address)
  }
}
