/// Writes lines as the proxies do: Envoy's text and JSON of Istio 1.23, nginx's stream formats, Squid's native one.
struct LineText {
  let world: World
  private let addresses: [(text: [UInt8], isV6: Bool)]
  private let hosts: [[UInt8]]
  private let services: [[UInt8]]
  private let agents: [[UInt8]]
  private let pages: [(text: [UInt8], isNumbered: Bool)]

  /// The format with ports, as nginx's configuration has it; the others are recognised without being told.
  static let formatWithPorts =
    "$remote_addr:$remote_port [$msec] $ssl_preread_protocol \"$ssl_preread_server_name\" $upstream_addr "
    + "$status $bytes_sent $bytes_received $session_time"

  init(_ world: World) {
    self.world = world
    addresses = world.addresses.map { (Array($0.utf8), $0.contains(":")) }
    hosts = world.hostNames.map { Array($0.utf8) }
    services = world.podNames.map { Array("\($0.prefix { $0 != "-" }).shop.svc.cluster.local".utf8) }
    agents = [
      "curl/8.8.0", "Go-http-client/1.1", "python-requests/2.31.0",
      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    ].map { Array($0.utf8) }
    let words = ["v1", "orders", "items", "search", "batch", "reports"]
    pages = (0..<60).map { page in
      (Array("/\(words[page % 6])/\(words[page / 6 % 6])\(page / 36)".utf8), page % 3 == 0)
    }
  }

  static func isJSON(_ log: Int) -> Bool { log < World.pods ? log % 5 == 3 : log == World.gatewayLog(1) }
  /// The gateways with an SNI proxy, and those, stand in containers' logs as the kubelet writes them.
  static func isWrapped(_ log: Int) -> Bool {
    log >= World.gatewayLog(World.Edge.sniWithoutPorts.rawValue) && log != World.squidLog
  }

  func write(_ line: Line, to text: inout TextBuffer) {
    let log = Int(line.log)
    if LineText.isWrapped(log) {
      text.addTime(World.start + world.clock(of: log, at: line.written), fraction: 9)
      text.add(" stdout F ")
    }
    switch line.shape {
    case .http, .tcp: LineText.isJSON(log) ? json(line, &text) : envoy(line, &text)
    case .nginx: nginx(line, &text)
    case .nginxWithPorts: nginxWithPorts(line, &text)
    case .squid: squid(line, &text)
    }
    text.add("\n")
  }

  private func start(_ line: Line) -> Int64 { World.start + world.clock(of: Int(line.log), at: line.start) }
  private func end(_ line: Line) -> Int64 { World.start + world.clock(of: Int(line.log), at: line.end) }

  // MARK: - Envoy

  private func envoy(_ line: Line, _ text: inout TextBuffer) {
    let isHTTP = line.shape == .http
    text.add("[")
    text.addTime(start(line))
    text.add("] \"")
    if isHTTP {
      method(line, &text)
      text.add(" ")
      path(line, &text)
      protocolName(line, &text)
    } else {
      text.add("- - -")
    }
    text.add("\" ")
    text.add(Int64(line.status))
    text.add(" ")
    flags(line, &text)
    text.add(" ")
    details(line, &text)
    text.add(" ")
    termination(line, &text)
    text.add(" \"")
    failure(line, &text)
    text.add("\" ")
    text.add(line.sent)
    text.add(" ")
    text.add(line.received)
    text.add(" ")
    text.add(line.duration)
    text.add(" ")
    if hasServiceTime(line) { text.add(max(line.duration - 1, 0)) } else { text.add("-") }
    text.add(" \"")
    forwardedFor(line, &text)
    text.add("\" \"")
    if isHTTP { text.add(agents[Int(line.way) % agents.count]) } else { text.add("-") }
    text.add("\" \"")
    if line.id != 0 { text.addUUID(line.id, mark: mark(line)) } else { text.add("-") }
    text.add("\" \"")
    if isHTTP { authority(line, &text) } else { text.add("-") }
    text.add("\" \"")
    endpoint(line.upstream, &text)
    text.add("\" ")
    cluster(line, &text)
    text.add(" ")
    endpoint(line.local, &text)
    text.add(" ")
    endpoint(line.dialled, &text)
    text.add(" ")
    endpoint(line.client, &text)
    text.add(" ")
    serverName(line, &text)
    text.add(" ")
    route(line, &text)
  }

  private func json(_ line: Line, _ text: inout TextBuffer) {
    let isHTTP = line.shape == .http
    /// A value that is text, or null.
    func field(_ name: StaticString, _ isThere: Bool, _ value: (inout TextBuffer) -> Void) {
      text.add(name)
      if isThere {
        text.add("\"")
        value(&text)
        text.add("\"")
      } else {
        text.add("null")
      }
    }
    field("{\"authority\":", isHTTP) { authority(line, &$0) }
    text.add(",\"bytes_received\":")
    text.add(line.sent)
    text.add(",\"bytes_sent\":")
    text.add(line.received)
    field(",\"connection_termination_details\":", line.ending == .rbacTCP) { termination(line, &$0) }
    field(",\"downstream_local_address\":", true) { endpoint(line.dialled, &$0) }
    field(",\"downstream_remote_address\":", true) { endpoint(line.client, &$0) }
    text.add(",\"duration\":")
    text.add(line.duration)
    field(",\"method\":", isHTTP) { method(line, &$0) }
    field(",\"path\":", isHTTP) { path(line, &$0) }
    field(",\"protocol\":", isHTTP) { protocolName(line, &$0, isSpaced: false) }
    field(",\"request_id\":", line.id != 0) { $0.addUUID(line.id, mark: mark(line)) }
    field(",\"requested_server_name\":", hasServerName(line)) { serverName(line, &$0) }
    text.add(",\"response_code\":")
    text.add(Int64(line.status))
    field(",\"response_code_details\":", isHTTP) { details(line, &$0) }
    field(",\"response_flags\":", true) { flags(line, &$0) }
    field(",\"route_name\":", isHTTP) { route(line, &$0) }
    field(",\"start_time\":", true) { $0.addTime(start(line)) }
    field(",\"upstream_cluster\":", line.cluster != .none) { cluster(line, &$0) }
    field(",\"upstream_host\":", line.upstream.address >= 0) { endpoint(line.upstream, &$0) }
    field(",\"upstream_local_address\":", line.local.address >= 0) { endpoint(line.local, &$0) }
    field(",\"upstream_service_time\":", hasServiceTime(line)) { $0.add(max(line.duration - 1, 0)) }
    field(",\"upstream_transport_failure_reason\":", line.ending == .refused) { failure(line, &$0) }
    field(",\"user_agent\":", isHTTP) { $0.add(agents[Int(line.way) % agents.count]) }
    field(",\"x_forwarded_for\":", isHTTP && line.forwardedFor >= 0) { forwardedFor(line, &$0) }
    text.add("}")
  }

  private func method(_ line: Line, _ text: inout TextBuffer) { text.add(line.sent > 0 ? "POST" : "GET") }

  private func path(_ line: Line, _ text: inout TextBuffer) {
    let page = pages[Int(line.page)]
    text.add(page.text)
    if page.isNumbered {
      text.add("/")
      text.add(Int64(line.way))
    }
  }

  /// Towards a gateway the sidecar of every other pod speaks HTTP/2.
  private func protocolName(_ line: Line, _ text: inout TextBuffer, isSpaced: Bool = true) {
    if isSpaced { text.add(" ") }
    if line.log >= World.pods, line.client.address % 2 == 0 { text.add("HTTP/2") } else { text.add("HTTP/1.1") }
  }

  /// The digit that Envoy rewrites: sampling is decided anew by some.
  private func mark(_ line: Line) -> UInt8 {
    line.way % 7 == 0 && line.log >= World.pods ? UInt8(ascii: "9") : UInt8(ascii: "4")
  }

  private func hasServiceTime(_ line: Line) -> Bool {
    line.shape == .http && line.status != 0 && line.local.address >= 0
  }

  private func authority(_ line: Line, _ text: inout TextBuffer) {
    switch line.cluster {
    case .service, .inbound:
      text.add(services[Int(line.host)])
      text.add(":9080")
    default: text.add(hosts[Int(line.host)])
    }
  }

  private func flags(_ line: Line, _ text: inout TextBuffer) {
    switch line.ending {
    case .none, .registryOnly, .rbacHTTP, .rbacTCP: text.add("-")
    case .blackHole: text.add("UH")
    case .refused: text.add("URX,UF")
    case .timeout: text.add("UT")
    case .clientGone: if line.log < World.pods { text.add("DC") } else { text.add("DR") }
    case .reset: text.add("UR")
    }
  }

  private func details(_ line: Line, _ text: inout TextBuffer) {
    guard line.shape == .http else { return text.add("-") }
    switch line.ending {
    case .registryOnly: text.add("direct_response")
    case .rbacHTTP: text.add("rbac_access_denied_matched_policy[ns[istio-system]-policy[no-admin]-rule[0]]")
    case .refused:
      text.add(
        "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}")
    case .timeout: text.add("response_timeout")
    case .clientGone:
      if line.log < World.pods { text.add("downstream_remote_disconnect") } else { text.add("http2.remote_reset") }
    default: text.add("via_upstream")
    }
  }

  private func termination(_ line: Line, _ text: inout TextBuffer) {
    if line.ending == .rbacTCP {
      text.add("rbac_access_denied_matched_policy[ns[istio-system]-policy[no_denied_hosts]-rule[0]]")
    } else {
      text.add("-")
    }
  }

  private func failure(_ line: Line, _ text: inout TextBuffer) {
    if line.ending == .refused { text.add("delayed_connect_error:_Connection_refused") } else { text.add("-") }
  }

  private func forwardedFor(_ line: Line, _ text: inout TextBuffer) {
    if line.forwardedFor >= 0 { text.add(addresses[Int(line.forwardedFor)].text) } else { text.add("-") }
  }

  private func cluster(_ line: Line, _ text: inout TextBuffer) {
    switch line.cluster {
    case .none: text.add("-")
    case .passthrough: text.add("PassthroughCluster")
    case .blackHole: text.add("BlackHoleCluster")
    case .sniProxy: text.add("outbound|8443||sni-proxy.local")
    case .squid: text.add("outbound|3128||proxy.corp.example")
    case .inbound: text.add("inbound|9080||")
    case .service:
      text.add("outbound|9080||")
      text.add(services[Int(line.host)])
    case .gateway, .sniGateway:
      text.add(line.shape == .http ? "outbound|80||egress-" : "outbound|443||egress-")
      text.add(Int64((Int(line.upstream.address) - World.pods) % World.gateways))
      text.add(".istio-system.svc.cluster.local")
    case .host:
      text.add(line.shape == .http ? "outbound|80||" : "outbound|443||")
      text.add(hosts[Int(line.host)])
    }
  }

  private func hasServerName(_ line: Line) -> Bool {
    guard line.shape == .tcp, line.cluster != .squid, line.cluster != .blackHole else { return false }
    if line.isNameless { return false }
    return line.cluster != .passthrough || line.way % 2 == 0
  }

  private func serverName(_ line: Line, _ text: inout TextBuffer) {
    if hasServerName(line) { text.add(hosts[Int(line.host)]) } else { text.add("-") }
  }

  private func route(_ line: Line, _ text: inout TextBuffer) {
    guard line.shape == .http else { return text.add("-") }
    switch line.cluster {
    case .passthrough: text.add("allow_any")
    case .none: text.add("block_all")
    default: text.add("default")
    }
  }

  private func endpoint(_ endpoint: Endpoint, _ text: inout TextBuffer) {
    guard endpoint.address >= 0 else { return text.add("-") }
    let address = addresses[Int(endpoint.address)]
    if address.isV6 { text.add("[") }
    text.add(address.text)
    text.add(address.isV6 ? "]:" : ":")
    text.add(Int64(endpoint.port))
  }

  // MARK: - nginx and Squid

  private func nginx(_ line: Line, _ text: inout TextBuffer) {
    text.add(addresses[Int(line.client.address)].text)
    text.add(" [")
    text.addLocalTime(end(line))
    text.add("] TCP [")
    text.add(hosts[Int(line.host)])
    text.add("]")
    numbers(line, &text)
  }

  private func nginxWithPorts(_ line: Line, _ text: inout TextBuffer) {
    text.add(addresses[Int(line.client.address)].text)
    text.add(":")
    text.add(Int64(line.client.port))
    text.add(" [")
    text.addSeconds(end(line))
    text.add("] TLSv1.3 \"")
    text.add(hosts[Int(line.host)])
    text.add("\" ")
    if line.status == 500 { text.add("-") } else { endpoint(line.upstream, &text) }
    text.add(" ")
    numbers(line, &text)
  }

  private func numbers(_ line: Line, _ text: inout TextBuffer) {
    text.add(Int64(line.status))
    text.add(" ")
    text.add(line.received)
    text.add(" ")
    text.add(line.sent)
    text.add(" ")
    text.addSeconds(line.duration)
  }

  private func squid(_ line: Line, _ text: inout TextBuffer) {
    text.addSeconds(end(line))
    text.add(" ")
    let width = String(line.duration).count
    for _ in 0..<max(6 - width, 0) { text.add(" ") }
    text.add(line.duration)
    text.add(" ")
    text.add(addresses[Int(line.client.address)].text)
    switch line.status {
    case 200: if line.page < 0 { text.add(" TCP_TUNNEL/200 ") } else { text.add(" TCP_MISS/200 ") }
    case 403: text.add(" TCP_DENIED/403 ")
    default: text.add(" NONE_NONE/503 ")
    }
    text.add(line.received)
    if line.page < 0 {
      text.add(" CONNECT ")
      text.add(hosts[Int(line.host)])
      text.add(":443 - ")
    } else {
      text.add(" GET http://")
      text.add(hosts[Int(line.host)])
      path(line, &text)
      text.add(" - ")
    }
    if line.status == 403 {
      text.add("HIER_NONE/- text/html")
    } else {
      text.add("HIER_DIRECT/")
      text.add(addresses[Int(line.upstream.address)].text)
      text.add(" -")
    }
  }
}
