/// Recognises the lines that proxies and their tools write beside access lines. These are counted by kind and not kept;
/// a line that nothing here and no format recognises is rejected, never skipped.
enum SkippedLines {
  static func kind(of line: Slice) -> String? {
    let text = line.trimmingSpaces()
    if text.isEmpty || (text.count == 1 && text[0] == ASCII.carriageReturn) { return "blank" }
    let first = text[0]
    if first == ASCII.openBracket { return bracketed(text) }
    if ASCII.isDigit(first) { return dated(text) }
    if first == ASCII.openBrace { return json(text) }
    if text.hasPrefix("==> ") && text.hasSuffix(" <==") { return "tail-header" }
    if text.equals("Envoy proxy is ready") || isProxyConfig(text) { return "istio-agent" }
    if text.hasPrefix("/docker-entrypoint.sh:") || text.hasPrefix("/docker-entrypoint.d/") { return "container-start" }
    if text.hasPrefix("10-listen-on-ipv6-by-default.sh:") { return "container-start" }
    if text.hasPrefix("Defaulted container ")
      || text.hasPrefix("Found ") && text.firstRange(of: "use --max-log-requests") != nil
    {
      return "kubectl"
    }
    // stern's status lines: `+ pod › container`, `- pod › container`.
    if isSternStatus(text) { return "stern" }
    // `nginx: [warn] ...` and `nginx: configuration file ... test is successful` on stderr.
    if text.hasPrefix("nginx: [") || text.hasPrefix("nginx: configuration ") { return "nginx-error" }
    return nil
  }

  /// What istio-agent prints behind `Effective config:`, line by line (Istio `mesh/v1alpha1/proxy.proto`), and behind a failed probe.
  private static func isProxyConfig(_ text: Slice) -> Bool {
    if text.hasPrefix("app URL path = ") { return true }
    guard let colon = text.firstIndex(of: ASCII.colon), colon < 40,
      colon + 1 == text.count || text[colon + 1] == ASCII.space
    else { return false }
    let key = text.prefix(colon)
    return configKeys.contains(where: key.equals) && !isTraffic(text, isQuiet: true)
  }

  private static let configKeys: [StaticString] = [
    "address", "availabilityZone", "binaryPath", "caCertificatesPem", "concurrency", "configPath",
    "controlPlaneAuthPolicy", "customConfigFile", "customTags", "discoveryAddress", "drainDuration",
    "envoyAccessLogService", "envoyMetricsService", "extraStatTags", "fileFlushInterval", "fileFlushMinSizeKb",
    "gatewayTopology", "holdApplicationUntilProxyStarts", "image", "imageType", "inclusionPrefixes",
    "inclusionRegexps", "inclusionSuffixes", "interceptionMode", "maxPathTagLength", "meshId", "numTrustedProxies",
    "parentShutdownDuration", "privateKeyProvider", "proxyAdminPort", "proxyBootstrapTemplatePath", "proxyHeaders",
    "proxyMetadata", "proxyStatsMatcher", "readinessProbe", "runtimeValues", "sampling", "sds", "serviceCluster",
    "statNameLength", "statsdUdpAddress", "statusPort", "terminationDrainDuration", "tlsSettings", "tracing",
    "tracingServiceName", "zipkin",
  ]

  /// No words follow the container's name: what a client wrote may hold the same arrow.
  private static func isSternStatus(_ text: Slice) -> Bool {
    let text = withoutColour(text)
    guard text.count > 2, text[0] == ASCII.plus || text[0] == ASCII.minus else { return false }
    let name = withoutColour(text.dropFirst(1))
    guard !name.isEmpty, name[0] == ASCII.space, let arrow = name.firstRange(of: " \u{203A} "), arrow.lowerBound > 0
    else { return false }
    return name.sub(1..<arrow.lowerBound).firstIndex(of: ASCII.space) == nil
      && name.dropFirst(arrow.upperBound).firstIndex(of: ASCII.space) == nil
  }

  /// Behind `ESC[38;5;2m`, where that stands.
  private static func withoutColour(_ text: Slice) -> Slice {
    guard text.count > 2, text[0] == ASCII.escape, let end = text.firstIndex(of: UInt8(ascii: "m")), end < 16 else {
      return text
    }
    return text.dropFirst(end + 1)
  }

  /// Envoy's own log: `[2024-01-02 03:04:05.678][12][warning][config] ...`; it begins like an access line, and so may an access
  /// line of somebody's own format begin like this, up to the number of the thread and the level.
  private static func bracketed(_ text: Slice) -> String? {
    guard text.count > 27, ASCII.isDigit(text[1]), text[5] == ASCII.minus, text[11] == ASCII.space,
      text[14] == ASCII.colon
    else { return nil }
    guard let close = text.firstIndex(of: ASCII.closeBracket), text.dropFirst(close).hasPrefix("][") else { return nil }
    var rest = text.dropFirst(close + 2)
    let thread = rest
    while !rest.isEmpty, ASCII.isDigit(rest[0]) { rest = rest.dropFirst(1) }
    guard rest.count < thread.count, rest.hasPrefix("][") else { return nil }
    guard isLevel(rest.dropFirst(2), envoyLevels) else { return nil }
    // What a filter's script logs may be an access line.
    return requestWords.contains { text.firstRange(of: $0) != nil } || addresses(in: text) > 3 ? nil : "envoy-log"
  }

  private static let envoyLevels: [StaticString] = ["trace]", "debug]", "info]", "warning]", "error]", "critical]"]
  private static let nginxLevels: [StaticString] = [
    "emerg]", "alert]", "crit]", "error]", "warn]", "notice]", "info]", "debug]",
  ]
  private static let agentLevels: [StaticString] = [
    "info\t", "warn\t", "warning\t", "error\t", "critical\t", "debug\t", "fatal\t", "trace\t",
  ]

  private static func isLevel(_ text: Slice, _ levels: [StaticString]) -> Bool {
    levels.contains(where: text.hasPrefix)
  }

  private static func dated(_ text: Slice) -> String? {
    guard text.count > 20 else { return nil }
    // istio-agent and ztunnel: `2024-01-02T03:04:05.678901Z<TAB>info<TAB>...`
    if text[4] == ASCII.minus, text[10] == ASCII.upperT, let tab = text.firstIndex(of: ASCII.tab), tab < 40 {
      let rest = text.dropFirst(tab + 1)
      guard isLevel(rest, agentLevels) else { return nil }
      return isTraffic(text, isQuiet: isLevel(rest, quietLevels)) ? nil : "istio-agent"
    }
    // nginx: `2024/01/02 03:04:05 [error] 12#12: *3 ...`; Squid's cache.log: `2024/01/02 03:04:05 kid1| ...`, with one worker
    // `2024/01/02 03:04:05| ...`.
    if text[4] == ASCII.slash, text[7] == ASCII.slash, text[10] == ASCII.space, text[13] == ASCII.colon {
      var rest = text.dropFirst(19)
      if rest.hasPrefix(" ["), isLevel(rest.dropFirst(2), nginxLevels) { return "nginx-error" }
      if rest.hasPrefix(" kid") {
        rest = rest.dropFirst(4)
        while !rest.isEmpty, ASCII.isDigit(rest[0]) { rest = rest.dropFirst(1) }
      }
      if rest.hasPrefix("| ") { return "squid-cache-log" }
    }
    return nil
  }

  /// istio-agent with `--log_as_json`: `{"level":"info","time":"...","scope":"...","msg":"..."}`. The scope is
  /// missing where it is the default one; a line without a scope and with further keys is something else's.
  private static func json(_ text: Slice) -> String? {
    guard text.firstRange(of: "\"level\":\"") != nil, text.firstRange(of: "\"time\":\"") != nil else { return nil }
    let hasScope = text.firstRange(of: "\"scope\":\"") != nil
    guard hasScope || text.firstRange(of: "\"msg\":\"") != nil && keys(of: text) <= 3 else { return nil }
    let isQuiet = quietWords.contains { text.firstRange(of: $0) != nil }
    return isTraffic(text, isQuiet: isQuiet) ? nil : "istio-agent"
  }

  /// Colons behind a quote: each key has one, and a text none that is not escaped.
  private static func keys(of text: Slice) -> Int {
    var keys = 0
    for place in 2..<max(2, text.count)
    where text[place] == ASCII.colon && text[place - 1] == ASCII.quote && text[place - 2] != ASCII.backslash {
      keys += 1
    }
    return keys
  }

  private static let quietLevels: [StaticString] = ["info\t", "debug\t", "trace\t"]
  private static let quietWords: [StaticString] = [
    "\"level\":\"info\"", "\"level\":\"debug\"", "\"level\":\"trace\"",
  ]

  /// Traffic that is not understood, and not something else, whoever writes it in what form: ztunnel's access lines; access lines
  /// to which a level and a message were added for a collector. They have a request or its place, keys of their own, or more
  /// addresses with ports than a message has.
  /// - Parameter isQuiet: no warning and no error, which names both ends of the connection that failed.
  private static func isTraffic(_ text: Slice, isQuiet: Bool) -> Bool {
    for word in requestWords where text.firstRange(of: word) != nil { return true }
    for word in trafficWords where text.firstRange(of: word) != nil { return true }
    return addresses(in: text) > (isQuiet ? 1 : 2)
  }

  /// Addresses with a port: `203.0.113.7:443`, `[2001:db8::7]:443`. Those of an error of Go, which names the ends of a connection or
  /// what was asked (`read tcp A->B`, `dial tcp A`, `lookup NAME on A`, `Get "http://A/..."`), are none of traffic.
  private static func addresses(in text: Slice) -> Int {
    var addresses = 0
    for place in 1..<max(1, text.count - 1) where text[place] == ASCII.colon && ASCII.isDigit(text[place + 1]) {
      let isBracketed = text[place - 1] == ASCII.closeBracket
      // A time has colons between digits, too, but no dot shortly before.
      let isDotted =
        ASCII.isDigit(text[place - 1]) && text.sub(max(0, place - 4)..<place).firstIndex(of: ASCII.dot) != nil
      guard isBracketed || isDotted else { continue }
      var before = text.prefix(beginning(of: place, in: text))
      // The second one of a connection: the first stands before it, with its port.
      if before.hasSuffix("->") { before = text.prefix(beginning(of: before.count - 2, in: text)) }
      if !goWords.contains(where: before.hasSuffix) { addresses += 1 }
    }
    return addresses
  }

  /// Where the address begins that ends before `end`, with or without a port.
  private static func beginning(of end: Int, in text: Slice) -> Int {
    var start = end
    while start > 0, isOfAddress(text[start - 1]) { start -= 1 }
    return start
  }

  private static func isOfAddress(_ byte: UInt8) -> Bool {
    ASCII.isDigit(byte) || byte == ASCII.dot || byte == ASCII.colon || byte == ASCII.openBracket
      || byte == ASCII.closeBracket || isHexadecimal(byte)
  }

  private static func isHexadecimal(_ byte: UInt8) -> Bool {
    let lower = ASCII.lower(byte)
    return lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "f")
  }

  /// What stands before such an address.
  private static let goWords: [StaticString] = ["tcp ", "udp ", " on ", "//"]

  /// What stands where Envoy writes the request.
  private static let requestWords: [StaticString] = [
    " HTTP/1.0\"", " HTTP/1.1\"", " HTTP/2\"", " HTTP/3\"", " HTTP/1.0\\\"", " HTTP/1.1\\\"", " HTTP/2\\\"",
    " HTTP/3\\\"", "\"- - -\"", "\\\"- - -\\\"",
  ]
  private static let trafficWords: [StaticString] = [
    "\taccess\t", "\"scope\":\"access\"", "\"src.addr\":", " HTTP/1.0", " HTTP/1.1", "\"upstream", "\"downstream",
    "\"response", "\"bytes", "\"authority\"", "\"method\":", "\"code\":", "\"status", "\"src", "\"dst", "\"host\":",
    "\"path\":", "PassthroughCluster", "BlackHoleCluster", "outbound|",
  ]
}
