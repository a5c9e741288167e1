/// What one of Squid's format codes prints.
///
/// Sources: squid `src/cf.data.pre` (directive `logformat`), `src/format/Token.cc`, `src/format/Format.cc`, versions 2.7 to 7.
/// A code is the longest name of the table that the text begins with.
struct SquidCode {
  enum Argument { case none, optional, required, header, time }

  var role: FieldRole = .ignored
  var syntax: FormatField.Syntax = .token
  var argument: Argument = .none
  var unit: FormatField.Unit = .one
  /// Text that somebody outside wrote; Squid escapes it when the format says nothing of escaping.
  var isForeign = false

  /// Codes of the default name space (`http::`, which may be left out).
  static let http: [String: SquidCode] = {
    var table: [String: SquidCode] = [:]
    func add(_ names: [String], _ code: SquidCode) {
      for name in names { table[name] = code }
    }

    // Client and this proxy
    add([">a"], SquidCode(role: .downstreamRemoteIP, syntax: .ip))
    add([">p"], SquidCode(role: .downstreamRemotePort, syntax: .integer))
    add([">la", "la"], SquidCode(role: .downstreamLocalIP, syntax: .ip))
    add([">lp", "lp"], SquidCode(role: .downstreamLocalPort, syntax: .integer))
    add([">A", ">eui", ">qos", "<qos", ">nfmark", "<nfmark", ">handshake"], SquidCode())

    // Server. `%<a` is an address or, for a cache peer, its name.
    add(["<a"], SquidCode(role: .upstreamHostIP))
    add(["<p"], SquidCode(role: .upstreamHostPort, syntax: .integer))
    add(["<la", "oa"], SquidCode(role: .upstreamLocalIP, syntax: .ip))
    add(["<lp"], SquidCode(role: .upstreamLocalPort, syntax: .integer))
    add(["<A"], SquidCode())

    // Time: the end, but for `tS`
    add(["ts"], SquidCode(role: .endTime, syntax: .time))
    add(["tu"], SquidCode(role: .endTimeFraction, syntax: .integer, unit: .milliseconds))
    add(["tl", "tg"], SquidCode(role: .endTime, syntax: .time, argument: .time))
    add(["tS"], SquidCode(role: .startTime, syntax: .time))
    add(["tr"], SquidCode(role: .duration, syntax: .integer, unit: .milliseconds))
    add(["<pt", "<tt", "dt"], SquidCode(syntax: .integer, unit: .milliseconds))
    add(["busy_time"], SquidCode(syntax: .decimal))

    // User
    add(["un", "ul", "ue", "us"], SquidCode(role: .user, isForeign: true))
    add(["ui"], SquidCode(isForeign: true))
    add(["et", "ea", "credentials"], SquidCode(isForeign: true))

    // Request
    add([">rm", "rm", "<rm"], SquidCode(role: .method, syntax: .method))
    add(["ru", ">ru", "<ru"], SquidCode(role: .url, isForeign: true))
    add([">rs", "<rs"], SquidCode(role: .scheme))
    add([">rd", "<rd"], SquidCode(role: .authority, isForeign: true))
    add([">rP", "<rP"], SquidCode(role: .targetPort, syntax: .integer))
    add([">rp", "rp", "<rp"], SquidCode(role: .path, isForeign: true))
    add([">rv", "rv", "<rv", ">v", "rG"], SquidCode())
    add([">h", ">ha", "<h"], SquidCode(argument: .header, isForeign: true))

    // Result
    add([">Hs", "Hs"], SquidCode(role: .status, syntax: .integer))
    add(["<Hs"], SquidCode(syntax: .integer))
    add(["Ss"], SquidCode(role: .squidTag))
    add(["Sh"], SquidCode(role: .squidHierarchy))
    add(["err_code"], SquidCode(role: .squidError))
    add(["err_detail"], SquidCode())
    add(["mt"], SquidCode(isForeign: true))
    add(["note"], SquidCode(argument: .optional, isForeign: true))
    add(["sn", "request_attempts", "master_xaction"], SquidCode(syntax: .integer))

    // Bytes
    add([">st"], SquidCode(role: .bytesSent, syntax: .integer))
    add(["<st"], SquidCode(role: .bytesReceived, syntax: .integer))
    add(["st", ">sh", "<sh", "<bs", "<sS", "<sH"], SquidCode(syntax: .integer))
    return table
  }()

  /// Codes that need their prefix, by prefix.
  static let prefixed: [String: [String: SquidCode]] = {
    let foreign = SquidCode(isForeign: true)
    var tls: [String: SquidCode] = [
      "bump_mode": SquidCode(),
      ">sni": SquidCode(role: .serverName, isForeign: true),
      "<cert": SquidCode(), ">cert": SquidCode(),
    ]
    for side in ["<", ">"] {
      for code in ["cert_subject", "cert_issuer", "cert_errors", "cert_errs"] { tls[side + code] = foreign }
      for code in [
        "negotiated_version", "negotiated_cipher", "received_hello_version", "received_supported_version",
      ] { tls[side + code] = SquidCode() }
    }
    let icap: [String: SquidCode] = [
      "tt": SquidCode(syntax: .integer), "tr": SquidCode(syntax: .integer), "tio": SquidCode(syntax: .integer),
      "to": SquidCode(), "Hs": SquidCode(syntax: .integer), "ru": foreign, "rm": SquidCode(), "<A": SquidCode(),
      "<a": SquidCode(), "<service_name": SquidCode(), ">st": SquidCode(syntax: .integer),
      "<st": SquidCode(syntax: .integer), "<bs": SquidCode(syntax: .integer),
      ">h": SquidCode(argument: .optional, isForeign: true), "<h": SquidCode(argument: .optional, isForeign: true),
      "<last_h": SquidCode(argument: .optional, isForeign: true),
    ]
    let adaptation: [String: SquidCode] = [
      "all_trs": SquidCode(argument: .optional), "sum_trs": SquidCode(argument: .optional),
      "<last_h": SquidCode(argument: .optional, isForeign: true),
    ]
    return [
      "http": http, "ssl": tls, "tls": tls, "icap": icap, "adapt": adaptation,
      "transport": [">connection_id": SquidCode(role: .connectionID)],
      "proxy_protocol": [">h": SquidCode(argument: .optional, isForeign: true)],
    ]
  }()

  /// All codes as they are written, for near misses.
  static let allNames: [String] =
    http.keys + prefixed.filter { $0.key != "http" }.flatMap { prefix, codes in codes.keys.map { "\(prefix)::\($0)" } }
    + ["byte"]
}
