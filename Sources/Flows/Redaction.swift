/// Takes secrets out of a log line before anybody is shown it: query strings, credentials in URLs, and headers that carry
/// credentials (Squid's `log_mime_hdrs`, custom formats).
///
///     GET /pay?card=4111&token=abc HTTP/1.1    ->  GET /pay?[redacted] HTTP/1.1
///     https://bob:hunter2@example.com/         ->  https://[redacted]@example.com/
///
/// What follows a `?` is taken for a query wherever it stands, also encoded: to hide too much is harmless.
public struct Redaction: Sendable {
  /// Query strings are shown, except for parameters that are known to carry secrets.
  public var showsQueries: Bool

  public static let mark = "[redacted]"

  /// Names of parameters, lower case, whose values are never shown.
  static let secretParameters: Set<String> = [
    "access_key", "access_token", "accesskey", "api-key", "api_key", "apikey", "assertion", "auth", "authorization",
    "awsaccesskeyid", "client_secret", "code", "credential", "id_token", "jwt", "key", "pass", "passphrase", "passwd",
    "password", "pin", "private_key", "pwd", "refresh_token", "samlresponse", "secret", "session", "session_id",
    "sessionid", "sid", "sig", "signature", "ticket", "token", "x-amz-credential", "x-amz-security-token",
    "x-amz-signature", "x-goog-credential", "x-goog-signature",
  ]
  static let secretHeaders = [
    "authorization", "cookie", "x-api-key", "x-auth-token", "x-amz-security-token",
  ]

  public init(showsQueries: Bool = false) { self.showsQueries = showsQueries }

  /// - Parameter values: columns of the line as the parser read them; a quote that a client wrote into a path does not end
  ///   the path there.
  /// - Parameter isCut: the text may go on behind its end, where the `@` may stand that would show a word to be a password.
  public func text(_ text: String, values: [String] = [], isCut: Bool = false) -> String {
    var bytes = Array(text.utf8)
    if !showsQueries {
      // In bytes: a question mark with a combining mark behind it opens a query all the same.
      for value in values.map({ Array($0.utf8) }) {
        guard let mark = value.firstIndex(of: UInt8(ascii: "?")) else { continue }
        bytes.replace(value, with: value[...mark] + Array(Redaction.mark.utf8))
      }
    }
    var scan = Scan(bytes: bytes, redaction: self, isCut: isCut)
    scan.run()
    return String(decoding: scan.output, as: UTF8.self)
  }

  private struct Scan {
    let bytes: [UInt8]
    let redaction: Redaction
    let isCut: Bool
    var output: [UInt8] = []
    var place = 0

    init(bytes: [UInt8], redaction: Redaction, isCut: Bool) {
      self.bytes = bytes
      self.redaction = redaction
      self.isCut = isCut
      output.reserveCapacity(bytes.count)
    }

    mutating func run() {
      while place < bytes.count {
        if let length = queryMark {
          copy(length)
          redaction.showsQueries ? parameters() : drop(to: endOfWord)
        } else if has("://") {
          copy(3)
          credentials()
        } else if let length = header {
          copy(length)
          drop(to: endOfHeader)
        } else {
          copy(1)
        }
      }
    }

    /// Bytes of what begins a query here: `?`, or `?` encoded for a URL or in JSON.
    private var queryMark: Int? {
      if bytes[place] == UInt8(ascii: "?") { return 1 }
      if has("%3f") { return 3 }
      return has("\\u003f") ? 6 : nil
    }

    /// Bytes of the name, the colon, and what stands before the value of a header with credentials.
    private var header: Int? {
      for name in Redaction.secretHeaders where has(name) {
        var next = place + name.utf8.count
        while next < bytes.count, [UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: " ")].contains(bytes[next]) {
          next += 1
        }
        guard next < bytes.count, bytes[next] == UInt8(ascii: ":") || has("%3a", at: next) else { continue }
        next += bytes[next] == UInt8(ascii: ":") ? 1 : 3
        while next < bytes.count,
          [UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: " ")].contains(bytes[next])
        {
          next += 1
        }
        return next - place
      }
      return nil
    }

    /// Where a URL ends: at a blank, a quote, or the escape before a quote.
    private var endOfWord: Int {
      var next = place
      while next < bytes.count {
        switch bytes[next] {
        case 0x00...0x20, UInt8(ascii: "\""): return next
        case UInt8(ascii: "\\") where next + 1 < bytes.count && bytes[next + 1] == UInt8(ascii: "\""): return next
        default: next += 1
        }
      }
      return next
    }

    /// Where a header's value ends; blanks belong to it (`Bearer abc`).
    private var endOfHeader: Int {
      var next = place
      while next < bytes.count {
        switch bytes[next] {
        case 0x0A, 0x0D, UInt8(ascii: "\""), UInt8(ascii: "]"): return next
        case UInt8(ascii: "\\") where next + 1 < bytes.count && [0x22, 0x72, 0x6E].contains(bytes[next + 1]):
          return next
        case UInt8(ascii: "%") where has("%0d", at: next) || has("%0a", at: next): return next
        default: next += 1
        }
      }
      return next
    }

    private mutating func credentials() {
      var at: Int?
      var next = place
      scan: while next < bytes.count {
        switch bytes[next] {
        // A password may hold an @ itself: the last one ends it.
        case UInt8(ascii: "@"): at = next
        case 0x00...0x20, UInt8(ascii: "/"), UInt8(ascii: "\""), UInt8(ascii: "?"), UInt8(ascii: "#"): break scan
        default: break
        }
        next += 1
      }
      if isCut, next == bytes.count { return drop(to: next) }
      if let at { drop(to: at) }
    }

    private mutating func parameters() {
      let end = endOfWord
      while place < end {
        var stop = place
        while stop < end, bytes[stop] != UInt8(ascii: "&"), bytes[stop] != UInt8(ascii: ";") { stop += 1 }
        let pair = bytes[place..<stop]
        if let equals = pair.firstIndex(of: UInt8(ascii: "=")) {
          let name = String(decoding: pair[..<equals], as: UTF8.self).lowercased().replacing("%5f", with: "_")
            .replacing("%2d", with: "-")
          if Redaction.secretParameters.contains(name) {
            copy(equals + 1 - place)
            drop(to: stop)
          }
        }
        copy(min(stop + 1, end) - place)
      }
    }

    private func has(_ text: String, at start: Int? = nil) -> Bool {
      let start = start ?? place
      let count = text.utf8.count
      guard start + count <= bytes.count else { return false }
      for (offset, byte) in text.utf8.enumerated() {
        let found = bytes[start + offset]
        let lower = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(found) ? found | 0x20 : found
        if lower != byte { return false }
      }
      return true
    }

    private mutating func copy(_ count: Int) {
      output += bytes[place..<place + count]
      place += count
    }

    private mutating func drop(to end: Int) {
      if end > place { output += Array(Redaction.mark.utf8) }
      place = end
    }
  }
}
