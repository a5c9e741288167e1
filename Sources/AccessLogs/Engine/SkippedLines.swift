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
    if text.equals("Envoy proxy is ready") { return "istio-agent" }
    if text.hasPrefix("/docker-entrypoint.sh:") || text.hasPrefix("/docker-entrypoint.d/") { return "container-start" }
    if text.hasPrefix("10-listen-on-ipv6-by-default.sh:") { return "container-start" }
    if text.hasPrefix("Defaulted container ")
      || text.hasPrefix("Found ") && text.firstRange(of: "use --max-log-requests") != nil
    {
      return "kubectl"
    }
    // stern's status lines: `+ pod › container`, `- pod › container`.
    if first == ASCII.plus || first == ASCII.minus, text.count > 2, text[1] == ASCII.space,
      text.firstRange(of: " \u{203A} ") != nil
    {
      return "stern"
    }
    if first == ASCII.escape, text.firstRange(of: " \u{203A} ") != nil { return "stern" }
    // `nginx: [warn] ...` and `nginx: configuration file ... test is successful` on stderr.
    if text.hasPrefix("nginx: [") || text.hasPrefix("nginx: configuration ") { return "nginx-error" }
    return nil
  }

  /// Envoy's own log: `[2024-01-02 03:04:05.678][12][warning][config] ...`; it begins like an access line.
  private static func bracketed(_ text: Slice) -> String? {
    guard text.count > 27, ASCII.isDigit(text[1]), text[5] == ASCII.minus, text[11] == ASCII.space,
      text[14] == ASCII.colon
    else { return nil }
    guard let close = text.firstIndex(of: ASCII.closeBracket), close + 1 < text.count,
      text[close + 1] == ASCII.openBracket
    else { return nil }
    return "envoy-log"
  }

  private static func dated(_ text: Slice) -> String? {
    guard text.count > 20 else { return nil }
    // istio-agent and ztunnel: `2024-01-02T03:04:05.678901Z<TAB>info<TAB>...`
    if text[4] == ASCII.minus, text[10] == ASCII.upperT, let tab = text.firstIndex(of: ASCII.tab), tab < 40 {
      let rest = text.dropFirst(tab + 1)
      for level: StaticString in ["info\t", "warn\t", "error\t", "debug\t", "fatal\t", "trace\t"]
      where rest.hasPrefix(level) {
        // ztunnel's access lines are traffic that is not understood, not something else.
        return rest.firstRange(of: "\taccess\t") == nil ? "istio-agent" : nil
      }
    }
    // nginx: `2024/01/02 03:04:05 [error] 12#12: *3 ...`; Squid's cache.log: `2024/01/02 03:04:05 kid1| ...`
    if text[4] == ASCII.slash, text[7] == ASCII.slash, text[10] == ASCII.space, text[13] == ASCII.colon {
      let rest = text.dropFirst(20)
      if rest.hasPrefix("[") { return "nginx-error" }
      if rest.hasPrefix("kid") || rest.hasPrefix("|") { return "squid-cache-log" }
      if let bar = rest.firstIndex(of: ASCII.bar), bar < 8 { return "squid-cache-log" }
    }
    return nil
  }

  /// istio-agent with `--log_as_json`: `{"level":"info","time":"...","scope":"...","msg":"..."}`
  private static func json(_ text: Slice) -> String? {
    guard text.firstRange(of: "\"level\":\"") != nil, text.firstRange(of: "\"time\":\"") != nil,
      text.firstRange(of: "\"msg\":\"") != nil || text.firstRange(of: "\"scope\":\"") != nil,
      // ztunnel's access lines are traffic that is not understood, not something else.
      text.firstRange(of: "\"scope\":\"access\"") == nil, text.firstRange(of: "\"src.addr\":") == nil
    else { return nil }
    return "istio-agent"
  }
}
