/// What one of nginx's variables prints in an access log.
///
/// Sources: nginx `src/stream/ngx_stream_variables.c`, `ngx_stream_upstream_module.c`, `ngx_stream_ssl_preread_module.c`,
/// `ngx_http_variables.c`, `ngx_http_log_module.c` and the module documentation at nginx.org/en/docs.
struct NginxVariable {
  /// Which of nginx's two worlds has the variable.
  enum Module { case both, http, stream }

  var role: FieldRole = .ignored
  var syntax: FormatField.Syntax = .token
  var module: Module = .both
  var unit: FormatField.Unit = .one
  var time: TimeFormat?

  /// The variable, or a member of a family such as `$http_NAME`; nil for names that a `map`, `set` or a module made.
  static func named(_ name: String) -> NginxVariable? {
    if let variable = known[name] { return variable }
    for family in families where name.hasPrefix(family.prefix) && name.utf8.count > family.prefix.utf8.count {
      return family.variable
    }
    return nil
  }

  static var knownNames: some Sequence<String> { known.keys }

  private static let families: [(prefix: String, variable: NginxVariable)] = [
    ("http_", NginxVariable(syntax: .text, module: .http)),
    ("sent_http_", NginxVariable(syntax: .text, module: .http)),
    ("sent_trailer_", NginxVariable(syntax: .text, module: .http)),
    ("upstream_http_", NginxVariable(syntax: .text, module: .http)),
    ("upstream_trailer_", NginxVariable(syntax: .text, module: .http)),
    ("upstream_cookie_", NginxVariable(syntax: .text, module: .http)),
    ("cookie_", NginxVariable(syntax: .text, module: .http)),
    ("arg_", NginxVariable(syntax: .text, module: .http)),
    ("proxy_protocol_tlv_", NginxVariable(syntax: .text)),
    ("ssl_client_", NginxVariable(syntax: .text)),
    ("tcpinfo_", NginxVariable(syntax: .integer)),
    ("geoip_", NginxVariable(syntax: .text)),
    ("geoip2_", NginxVariable(syntax: .text)),
    ("jwt_", NginxVariable(syntax: .text)),
  ]

  private static let known: [String: NginxVariable] = {
    var table: [String: NginxVariable] = [:]
    func add(_ names: [String], _ variable: NginxVariable) {
      for name in names { table[name] = variable }
    }

    // Time: all of them the moment of logging, which is the end.
    add(["time_local"], NginxVariable(role: .endTime, syntax: .time, time: .commonLog))
    add(["time_iso8601"], NginxVariable(role: .endTime, syntax: .time, time: .iso8601Seconds))
    add(["msec"], NginxVariable(role: .endTime, syntax: .time, time: .epoch(fraction: 3)))
    add(["session_time"], NginxVariable(role: .duration, syntax: .decimal, module: .stream, unit: .seconds))
    add(["request_time"], NginxVariable(role: .duration, syntax: .decimal, module: .http, unit: .seconds))

    // Client and this server
    add(["remote_addr"], NginxVariable(role: .downstreamRemoteIP, syntax: .ip))
    add(["remote_port"], NginxVariable(role: .downstreamRemotePort, syntax: .integer))
    // Who connected, where a PROXY or X-Forwarded-For header decides what `$remote_addr` is (`set_real_ip_from`):
    // nginx.org/en/docs/stream/ngx_stream_realip_module.html.
    add(["realip_remote_addr"], NginxVariable(role: .downstreamDirectRemoteIP, syntax: .ip))
    add(["realip_remote_port"], NginxVariable(role: .downstreamDirectRemotePort, syntax: .integer))
    add(["server_addr"], NginxVariable(role: .downstreamLocalIP, syntax: .ip))
    add(["server_port"], NginxVariable(role: .downstreamLocalPort, syntax: .integer))
    // What a PROXY header says of the client is as good as X-Forwarded-For: whoever connects can write it.
    add(["proxy_protocol_addr"], NginxVariable(role: .forwardedFor, syntax: .token))
    add(["proxy_protocol_server_addr"], NginxVariable(syntax: .token))
    add(["proxy_protocol_port", "proxy_protocol_server_port"], NginxVariable(syntax: .integer))
    add(["binary_remote_addr", "nginx_version", "pid"], NginxVariable(syntax: .text))
    add(["server_name"], NginxVariable(syntax: .text))
    add(["hostname"], NginxVariable(role: .hostname))
    add(["connection"], NginxVariable(role: .connectionID, syntax: .integer))
    add(["connection_requests"], NginxVariable(syntax: .integer, module: .http))
    add(["connection_time"], NginxVariable(syntax: .decimal, module: .http))

    // Bytes: nginx names them from its own side, towards the client.
    add(["bytes_sent"], NginxVariable(role: .bytesReceived, syntax: .integer))
    add(["bytes_received"], NginxVariable(role: .bytesSent, syntax: .integer, module: .stream))
    add(["body_bytes_sent"], NginxVariable(role: .bytesReceived, syntax: .integer, module: .http))
    add(["request_length"], NginxVariable(role: .bytesSent, syntax: .integer, module: .http))
    add(["content_length", "gzip_ratio", "request_completion"], NginxVariable(syntax: .text, module: .http))

    // Result. Three digits always: `000` when unset.
    add(["status"], NginxVariable(role: .status, syntax: .status))
    add(["protocol"], NginxVariable(role: .protocol, syntax: .token, module: .stream))

    // Names in TLS: the client's bytes, escaped or not as the format says; may hold `]` and spaces.
    add(["ssl_preread_server_name"], NginxVariable(role: .serverName, syntax: .text, module: .stream))
    add(["ssl_server_name"], NginxVariable(role: .serverName, syntax: .text))
    add(["ssl_preread_protocol", "ssl_preread_alpn_protocols"], NginxVariable(syntax: .text, module: .stream))
    add(
      [
        "ssl_protocol", "ssl_cipher", "ssl_ciphers", "ssl_curve", "ssl_curves", "ssl_alpn_protocol", "ssl_session_id",
        "ssl_session_reused", "ssl_early_data", "ssl_sigalg",
      ], NginxVariable(syntax: .text))

    // Upstream: one value for each attempt
    add(["upstream_addr"], NginxVariable(role: .upstreamHost, syntax: .list))
    add(["upstream_response_time"], NginxVariable(role: .upstreamTime, syntax: .list, module: .http, unit: .seconds))
    add(
      ["upstream_bytes_sent", "upstream_bytes_received", "upstream_connect_time"], NginxVariable(syntax: .list))
    add(["upstream_first_byte_time", "upstream_session_time"], NginxVariable(syntax: .list, module: .stream))
    add(
      ["upstream_header_time", "upstream_status", "upstream_response_length", "upstream_queue_time"],
      NginxVariable(syntax: .list, module: .http))
    add(["upstream_cache_status", "upstream_last_server_name"], NginxVariable(syntax: .text, module: .http))

    // HTTP request
    add(["request"], NginxVariable(role: .requestLine, syntax: .text, module: .http))
    add(["request_method"], NginxVariable(role: .method, syntax: .method, module: .http))
    add(["request_uri", "uri", "document_uri"], NginxVariable(role: .path, syntax: .text, module: .http))
    add(["scheme"], NginxVariable(role: .scheme, syntax: .token, module: .http))
    add(["server_protocol"], NginxVariable(role: .protocol, syntax: .protocol, module: .http))
    add(["host", "http_host"], NginxVariable(role: .authority, syntax: .text, module: .http))
    add(["http_user_agent"], NginxVariable(role: .userAgent, syntax: .text, module: .http))
    add(["http_referer"], NginxVariable(role: .referer, syntax: .text, module: .http))
    add(
      ["http_x_forwarded_for", "proxy_add_x_forwarded_for"],
      NginxVariable(role: .forwardedFor, syntax: .text, module: .http))
    add(["http_x_request_id", "request_id"], NginxVariable(role: .requestID, syntax: .text, module: .http))
    add(
      [
        "args", "query_string", "is_args", "remote_user", "request_body", "request_body_file", "request_filename",
        "document_root", "realpath_root", "content_type", "https", "http2", "http3", "limit_rate", "limit_req_status",
        "proxy_host", "proxy_port", "pipe", "invalid_referer", "fastcgi_script_name", "fastcgi_path_info",
        "slice_range", "uid_got", "uid_set", "uid_reset", "ancient_browser", "modern_browser", "msie_browser",
        "date_local", "date_gmt", "secure_link", "secure_link_expires", "memcached_key", "proxy_internal_body_length",
        "proxy_internal_chunked", "request_port", "is_request_port", "mirror_uri",
      ], NginxVariable(syntax: .text, module: .http))
    add(["limit_conn_status", "otel_trace_id", "otel_span_id"], NginxVariable(syntax: .text))
    return table
  }()
}
