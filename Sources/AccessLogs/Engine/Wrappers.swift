internal import Glibc

/// What stands around an access line when something other than the proxy wrote the file: peeled off from the outside in.
enum Wrapper: UInt8, CaseIterable {
  /// `RFC3339Nano stdout|stderr F|P MESSAGE` (kubernetes `pkg/kubelet/kuberuntime/logs/logs.go`).
  case cri
  /// `{"log":"MESSAGE\n","stream":"stdout","time":"..."}`
  case dockerJSON
  /// `[pod/NAME/CONTAINER] MESSAGE` (`kubectl logs --prefix`).
  case kubectlPrefix
  /// `RFC3339Nano MESSAGE` (`kubectl logs --timestamps`).
  case timestamp
  /// `<PRI>Mon DD HH:MM:SS HOST TAG: MESSAGE`, with or without PRI and HOST, also with an ISO time (RFC 3164, rsyslog).
  case syslog3164
  /// `<PRI>1 TIME HOST APP PID MSGID [SD] MESSAGE` (RFC 5424), perhaps with an octet count in front.
  case syslog5424
  /// `POD CONTAINER MESSAGE` (stern).
  case stern
  /// `NAMESPACE POD CONTAINER MESSAGE` (stern -A).
  case sternAllNamespaces

  var name: String {
    switch self {
    case .cri: "cri"
    case .dockerJSON: "docker-json"
    case .kubectlPrefix: "kubectl-prefix"
    case .timestamp: "kubectl-timestamps"
    case .syslog3164: "syslog-rfc3164"
    case .syslog5424: "syslog-rfc5424"
    case .stern, .sternAllNamespaces: "stern"
    }
  }
}

/// A line with one wrapper taken off.
struct Peeled {
  var inner: Slice
  /// The wrapper's own time, as written; empty when it has none.
  var time = Slice.absent
  /// Names of the writer as the wrapper gives them.
  var namespace = Slice.absent
  var pod = Slice.absent
  var container = Slice.absent
  /// 0 stdout, 1 stderr: partial records are joined per stream.
  var stream = 0
  /// The record goes on in the next line of its stream.
  var isPartial = false
  /// As a part would be marked, but shorter than docker's parts are: a collector may have taken the newline off a whole record.
  var isShort = false
}

extension Wrapper {
  /// Takes this wrapper off, or says that the line does not wear it.
  func peel(_ line: Slice, scratch: WrapperScratch) -> Peeled? {
    switch self {
    case .cri: Self.peelCRI(line)
    case .dockerJSON: Self.peelDocker(line, scratch)
    case .kubectlPrefix: Self.peelPrefix(line)
    case .timestamp: Self.peelTimestamp(line)
    case .syslog3164: Self.peel3164(line)
    case .syslog5424: Self.peel5424(line)
    case .stern: Self.peelStern(line, names: 2)
    case .sternAllNamespaces: Self.peelStern(line, names: 3)
    }
  }

  private static func peelCRI(_ line: Slice) -> Peeled? {
    guard let time = timestampLength(line) else { return nil }
    var rest = line.dropFirst(time + 1)
    var peeled = Peeled(inner: rest, time: line.prefix(time))
    if rest.hasPrefix("stdout ") {
      peeled.stream = 0
    } else if rest.hasPrefix("stderr ") {
      peeled.stream = 1
    } else {
      return nil
    }
    rest = rest.dropFirst(7)
    // The tag is a `:` list whose first part is P or F.
    guard let space = rest.firstIndex(of: ASCII.space) ?? (rest.isEmpty ? nil : rest.count), space >= 1 else {
      return nil
    }
    switch rest[0] {
    case 0x50: peeled.isPartial = true  // P
    case 0x46: peeled.isPartial = false  // F
    default: return nil
    }
    guard space == 1 || rest[1] == ASCII.colon else { return nil }
    peeled.inner = rest.dropFirst(min(space + 1, rest.count))
    return peeled
  }

  private static func peelTimestamp(_ line: Slice) -> Peeled? {
    guard let time = timestampLength(line) else { return nil }
    return Peeled(inner: line.dropFirst(time + 1), time: line.prefix(time))
  }

  /// Length of an RFC 3339 time that a space follows: `2024-01-02T03:04:05.678901234Z `.
  private static func timestampLength(_ line: Slice) -> Int? {
    guard line.count > 21, ASCII.isDigit(line[0]), line[4] == ASCII.minus, line[7] == ASCII.minus,
      line[10] == ASCII.upperT,
      line[13] == ASCII.colon, line[16] == ASCII.colon
    else { return nil }
    guard let space = line.prefix(min(line.count, 40)).firstIndex(of: ASCII.space) else { return nil }
    let last = line[space - 1]
    return last == ASCII.upperZ || (ASCII.isDigit(last) && space > 20) ? space : nil
  }

  private static func peelPrefix(_ line: Slice) -> Peeled? {
    guard line.hasPrefix("[pod/"), let close = line.firstIndex(of: ASCII.closeBracket), close + 1 < line.count,
      line[close + 1] == ASCII.space
    else { return nil }
    let names = line.sub(5..<close)
    guard let slash = names.firstIndex(of: ASCII.slash) else { return nil }
    return Peeled(inner: line.dropFirst(close + 2), pod: names.prefix(slash), container: names.dropFirst(slash + 1))
  }

  private static func peelDocker(_ line: Slice, _ scratch: WrapperScratch) -> Peeled? {
    guard line.count > 10, line[0] == ASCII.openBrace, line.end[-1] == ASCII.closeBrace else { return nil }
    guard let log = stringValue("\"log\":\"", in: line) ?? stringValue("\"log\": \"", in: line) else { return nil }
    // Keys come in any order; inside the message every quote is escaped, so the search cannot land there.
    guard let stream = stringValue("\"stream\":\"", in: line) ?? stringValue("\"stream\": \"", in: line) else {
      return nil
    }
    var peeled = Peeled(inner: scratch.unescape(log))
    peeled.stream = stream.equals("stderr") ? 1 : 0
    if let time = stringValue("\"time\":\"", in: line) ?? stringValue("\"time\": \"", in: line) {
      peeled.time = time
    }
    if peeled.inner.count > 0, peeled.inner.end[-1] == ASCII.newline {
      peeled.inner = Slice(peeled.inner.start, peeled.inner.end - 1)
    } else if let tag = stringValue("\"logtag\":\"", in: line) ?? stringValue("\"logtag\": \"", in: line) {
      // Fluent Bit's form of a CRI row.
      peeled.isPartial = !tag.isEmpty && tag[0] == 0x50  // P
    } else {
      peeled.isPartial = true
      peeled.isShort = peeled.inner.count < dockerPart
    }
    return peeled
  }

  /// Bytes of each part but a record's last one (moby `daemon/logger/copier.go`).
  private static let dockerPart = 16 << 10

  private static func stringValue(_ key: StaticString, in line: Slice) -> Slice? {
    guard let range = line.firstRange(of: key) else { return nil }
    let start = line.start + range.upperBound
    let end = TextPlan.findUnescaped(ASCII.quote, from: start, to: line.end)
    return end < line.end ? Slice(start, end) : nil
  }

  private static func peel3164(_ line: Slice) -> Peeled? {
    var rest = line
    if !rest.isEmpty, rest[0] == ASCII.less {
      guard let after = priority(rest) else { return nil }
      rest = rest.dropFirst(after)
      // A version digit and a space make it RFC 5424.
      if rest.count > 2, ASCII.isDigit(rest[0]), rest[1] == ASCII.space { return nil }
    }
    var time: Slice
    if let length = timestampLength(rest) {
      time = rest.prefix(length)
      rest = rest.dropFirst(length + 1)
    } else {
      // `Sep  8 05:32:32 `
      guard rest.count > 16, ASCII.isLetter(rest[0]), ASCII.isLetter(rest[1]), ASCII.isLetter(rest[2]),
        rest[3] == ASCII.space, rest[6] == ASCII.space, rest[9] == ASCII.colon, rest[12] == ASCII.colon,
        rest[15] == ASCII.space
      else { return nil }
      time = rest.prefix(15)
      rest = rest.dropFirst(16)
    }
    // `HOST TAG: ` or `TAG: `; the tag may carry `[pid]`.
    guard let colon = tagEnd(rest) else { return nil }
    return Peeled(inner: rest.dropFirst(colon), time: time)
  }

  /// Offset behind `TAG: `, after at most one host name.
  private static func tagEnd(_ rest: Slice) -> Int? {
    var words = 0
    var index = 0
    while index < rest.count, words < 2, index < 256 {
      let byte = rest[index]
      if byte == ASCII.colon, index + 1 < rest.count, rest[index + 1] == ASCII.space { return index + 2 }
      if byte == ASCII.space { words += 1 }
      index += 1
    }
    return nil
  }

  private static func priority(_ line: Slice) -> Int? {
    guard let close = line.prefix(min(line.count, 6)).firstIndex(of: ASCII.greater), close > 1,
      (1..<close).allSatisfy({ ASCII.isDigit(line[$0]) })
    else { return nil }
    return close + 1
  }

  private static func peel5424(_ line: Slice) -> Peeled? {
    var rest = line
    // Octet counting (RFC 6587): `123 <PRI>1 ...`
    if !rest.isEmpty, ASCII.isDigit(rest[0]), let space = rest.prefix(min(rest.count, 8)).firstIndex(of: ASCII.space) {
      rest = rest.dropFirst(space + 1)
    }
    guard !rest.isEmpty, rest[0] == ASCII.less, let after = priority(rest) else { return nil }
    rest = rest.dropFirst(after)
    guard rest.count > 2, rest[0] == 0x31, rest[1] == ASCII.space else { return nil }
    rest = rest.dropFirst(2)
    var words: [Slice] = []
    for _ in 0..<5 {
      guard let space = rest.firstIndex(of: ASCII.space) else { return nil }
      words.append(rest.prefix(space))
      rest = rest.dropFirst(space + 1)
    }
    guard !rest.isEmpty else { return nil }
    if rest[0] == ASCII.minus {
      rest = rest.dropFirst(min(2, rest.count))
    } else {
      // Structured data: `[id key="value"]...`; a bracket inside a value is escaped.
      while !rest.isEmpty, rest[0] == ASCII.openBracket {
        let close = TextPlan.findUnescaped(ASCII.closeBracket, from: rest.start, to: rest.end)
        guard close < rest.end else { return nil }
        rest = Slice(close + 1, rest.end)
      }
      guard rest.isEmpty || rest[0] == ASCII.space else { return nil }
      rest = rest.dropFirst(min(1, rest.count))
    }
    // The byte order mark that RFC 5424 puts before UTF-8.
    if rest.hasPrefix("\u{FEFF}") { rest = rest.dropFirst(3) }
    return Peeled(inner: rest, time: words[0])
  }

  private static func peelStern(_ line: Slice, names: Int) -> Peeled? {
    var rest = line
    var found: [Slice] = []
    for _ in 0..<names {
      rest = withoutColour(rest)
      guard let space = rest.prefix(min(rest.count, 270)).firstIndex(of: ASCII.space), space > 0 else { return nil }
      var name = rest.prefix(space)
      rest = rest.dropFirst(space + 1)
      while name.count > 3, name.end[-1] == 0x6D, let escape = name.lastIndex(of: ASCII.escape) {
        name = name.prefix(escape)
      }
      guard isKubernetesName(name) else { return nil }
      found.append(name)
    }
    rest = withoutColour(rest)
    return Peeled(
      inner: rest, namespace: names == 3 ? found[0] : .absent, pod: found[names - 2], container: found[names - 1])
  }

  /// Past any `ESC [ ... m` at the front.
  private static func withoutColour(_ slice: Slice) -> Slice {
    var rest = slice
    while rest.count > 2, rest[0] == ASCII.escape, rest[1] == ASCII.openBracket,
      let end = rest.prefix(min(rest.count, 16)).firstIndex(of: 0x6D)
    {
      rest = rest.dropFirst(end + 1)
    }
    return rest
  }

  /// Letters and digits at both ends (RFC 1123): what a web server writes for a user that it does not know is no name.
  private static func isKubernetesName(_ name: Slice) -> Bool {
    func isInner(_ byte: UInt8) -> Bool { byte != ASCII.minus && byte != ASCII.dot }
    return !name.isEmpty && name.count <= 253 && isInner(name[0]) && isInner(name.end[-1])
      && UnsafeBufferPointer(start: name.start, count: name.count).allSatisfy {
        $0 &- 0x61 <= 25 || ASCII.isDigit($0) || $0 == ASCII.minus || $0 == ASCII.dot
      }
  }
}

/// Memory for unwrapped lines that are not a part of the chunk: unescaped docker messages.
final class WrapperScratch {
  private let buffer: UnsafeMutablePointer<UInt8>

  init() { buffer = .allocate(capacity: LineParser.maxLine + LineParser.slack) }
  deinit { buffer.deallocate() }

  /// The text with JSON escapes undone; valid until the next call. A line without escapes but the final `\n` is common.
  func unescape(_ slice: Slice) -> Slice {
    var p = slice.start
    var out = buffer
    while p < slice.end {
      let next = Scan.find(ASCII.backslash, from: p, to: slice.end)
      memcpy(out, p, next - p)
      out += next - p
      p = next
      guard p < slice.end else { break }
      // One escape at a time: two bytes, `\uHHHH`, or a surrogate pair.
      var length = 2
      if slice.end - p >= 6, p[1] == 0x75 {
        let isHighSurrogate = p[2] | 0x20 == 0x64 && [0x38, 0x39, 0x61, 0x62].contains(p[3] | 0x20)
        length = isHighSurrogate && slice.end - p >= 12 && p[6] == ASCII.backslash && p[7] == 0x75 ? 12 : 6
      }
      let escape = Slice(p, p + min(length, slice.end - p))
      for byte in Unescape.backslashes(escape) {
        out.pointee = byte
        out += 1
      }
      p = escape.end
    }
    return Slice(UnsafePointer(buffer), UnsafePointer(out))
  }
}
