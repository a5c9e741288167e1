internal import CLanes
internal import Flows
internal import Glibc

/// Addresses as proxies print them, and their canonical text.
enum Addresses {
  /// Splits `ip:port`, `[v6]:port`, `v6:port` (nginx prints no brackets) at the last colon.
  ///
  /// Port 0 when there is none. The address part keeps its brackets off. Checks the port's digits only.
  @inline(__always) static func split(_ slice: Slice) -> (ip: Slice, port: UInt16)? {
    splitPlain(slice) ?? splitSlowly(slice)
  }

  /// As `split` for at least eight bytes without brackets; nil for all others.
  @inline(__always) static func splitPlain(_ slice: Slice) -> (ip: Slice, port: UInt16)? {
    guard slice.count >= 8, slice[0] != ASCII.openBracket else { return nil }
    // The last eight bytes at once: the digits stand at the top of the word.
    let x = Scan.load(slice.end - 8) ^ 0x3030_3030_3030_3030
    let nonDigits = ((x &+ 0x7676_7676_7676_7676) | x) & Scan.highs
    let bits = UInt64(truncatingIfNeeded: nonDigits.leadingZeroBitCount) & 0x78
    // One to five digits and a colon, with something in front of it.
    guard bits &- 8 <= 32 else { return nil }
    let colon = slice.end - Int(truncatingIfNeeded: bits >> 3) - 1
    let port = Numbers.sum(x & (.max &<< (64 &- bits)))
    guard colon.pointee == ASCII.colon, colon > slice.start, port <= 65535 else { return nil }
    return (Slice(slice.start, colon), UInt16(truncatingIfNeeded: port))
  }

  private static func splitSlowly(_ slice: Slice) -> (ip: Slice, port: UInt16)? {
    var p = slice.end
    var port: UInt32 = 0
    var scale: UInt32 = 1
    while p > slice.start {
      let byte = p[-1]
      if byte &- 0x30 > 9 { break }
      if scale > 10_000 { return nil }
      port = port &+ UInt32(byte &- 0x30) &* scale
      scale = scale &* 10
      p -= 1
    }
    guard p > slice.start + 1, p[-1] == ASCII.colon, p < slice.end, port <= 65535 else { return nil }
    return withoutBrackets(Slice(slice.start, p - 1), UInt16(port))
  }

  @inline(__always) private static func withoutBrackets(_ ip: Slice, _ port: UInt16) -> (ip: Slice, port: UInt16)? {
    guard ip[0] == ASCII.openBracket else { return (ip, port) }
    guard ip.end[-1] == ASCII.closeBracket, ip.count > 2 else { return nil }
    return (Slice(ip.start + 1, ip.end - 1), port)
  }

  /// Canonical text of an IPv4 or IPv6 address; nil when it is neither. IPv4-mapped addresses become IPv4, zones go.
  static func canonical(_ slice: Slice) -> String? { isDotted(slice) ? slice.string : canonicalSlowly(slice) }

  /// An IPv4 address as everybody prints it, which is its canonical text: four numbers up to 255 without leading zeros.
  private static func isDotted(_ slice: Slice) -> Bool {
    guard slice.count >= 7, slice.count <= 15 else { return false }
    // Reads up to 25 bytes past the end (slack, see `Slice`). What is no digit ends a part.
    var ends = ~UInt32(truncatingIfNeeded: lanes_hexadecimals(slice.start))
    var p = slice.start
    for part in 0..<4 {
      let end = min(slice.start + ends.trailingZeroBitCount, slice.end)
      switch end - p {
      case 1: break
      case 2: guard p[0] != ASCII.zero else { return false }
      case 3:
        let number = Int(p[0]) &* 100 &+ Int(p[1]) &* 10 &+ Int(p[2]) &- 111 &* Int(ASCII.zero)
        guard number >= 100, number <= 255 else { return false }
      default: return false
      }
      if part == 3 { return end == slice.end }
      guard end < slice.end, end.pointee == ASCII.dot else { return false }
      ends &= ends &- 1
      p = end + 1
    }
    return false
  }

  /// By the system's functions: the slow twin.
  static func canonicalSlowly(_ slice: Slice) -> String? {
    guard slice.count >= 2, slice.count <= 64 else { return nil }
    var text = slice
    if text[0] == ASCII.openBracket, text.end[-1] == ASCII.closeBracket { text = Slice(text.start + 1, text.end - 1) }
    if let zone = text.firstIndex(of: ASCII.percent) { text = text.prefix(zone) }
    // A NUL would end the text for `inet_pton`, and whatever follows it would pass for an address.
    guard text.count < 46, text.firstIndex(of: ASCII.nul) == nil else { return nil }
    return withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) { buffer -> String? in
      let characters = buffer.baseAddress!.assumingMemoryBound(to: CChar.self)
      memcpy(characters, text.start, text.count)
      characters[text.count] = 0
      let binary = buffer.baseAddress! + 64
      if inet_pton(AF_INET, characters, binary) == 1 {
        return written(AF_INET, binary, buffer)
      }
      guard inet_pton(AF_INET6, characters, binary) == 1 else { return nil }
      let b = binary.assumingMemoryBound(to: UInt8.self)
      let isMapped = (0..<10).allSatisfy { b[$0] == 0 } && b[10] == 0xFF && b[11] == 0xFF
      return isMapped ? written(AF_INET, binary + 12, buffer) : written(AF_INET6, binary, buffer)
    }
  }

  private static func written(
    _ family: Int32, _ binary: UnsafeMutableRawPointer, _ buffer: UnsafeMutableRawBufferPointer
  )
    -> String?
  {
    let text = buffer.baseAddress!.assumingMemoryBound(to: CChar.self)
    guard inet_ntop(family, binary, text, 48) != nil else { return nil }
    return String(cString: text)
  }

  /// `ip:port` with a canonical address; a bare address gets port 0.
  static func endpoint(_ slice: Slice) -> Endpoint? {
    if let (ip, port) = split(slice), let text = canonical(ip) { return Endpoint(ip: text, port: port) }
    if let text = canonical(slice) { return Endpoint(ip: text, port: 0) }
    return nil
  }

  /// What Envoy can print as an address: `ip:port`, a unix path, `envoy://...`, or nothing.
  static func isEnvoyAddress(_ slice: Slice) -> Bool {
    if slice.isMissing || slice[0] == ASCII.slash || slice[0] == ASCII.at || slice.hasPrefix("envoy://") { return true }
    return endpoint(stripScheme(slice)) != nil
  }

  /// Old Envoys printed `tcp://10.0.0.1:80`.
  static func stripScheme(_ slice: Slice) -> Slice { slice.hasPrefix("tcp://") ? slice.dropFirst(6) : slice }

  /// 127.0.0.0/8 or ::1, as text.
  static func isLoopback(_ ip: Slice) -> Bool { ip.hasPrefix("127.") || ip.equals("::1") }
}
