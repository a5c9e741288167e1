internal import Flows

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
