/// What one of Envoy's command operators prints.
///
/// The list is that of Envoy's documentation (`configuration/advanced/substitution_formatter.rst`, 1.40), with the names
/// that older versions had. Operators without a role here are known and checked for their syntax, and not kept.
struct EnvoyOperator {
  enum Argument {
    case none
    /// May stand or not, and has no parts that matter here.
    case optional
    case required
    /// `(X?Y)`: a header, and another one for when it is missing.
    case header
    /// A `strftime` pattern.
    case time
    /// A prefix length: the value becomes a network (`10.1.0.0/16`).
    case mask
    /// Anything, brackets included: it ends at the first `)` that `%` or `:N%` follows.
    case free
  }

  var role: FieldRole = .ignored
  var syntax: FormatField.Syntax = .token
  var argument: Argument = .none
  var unit: FormatField.Unit = .one

  static let known: [String: EnvoyOperator] = {
    var table: [String: EnvoyOperator] = [:]
    func add(_ names: [String], _ operation: EnvoyOperator) {
      for name in names { table[name] = operation }
    }

    // Time
    add(["START_TIME", "START_TIME_LOCAL"], EnvoyOperator(role: .startTime, syntax: .time, argument: .time))
    add(["EMIT_TIME", "EMIT_TIME_LOCAL"], EnvoyOperator(role: .endTime, syntax: .time, argument: .time))
    add(
      [
        "DOWNSTREAM_PEER_CERT_V_START", "DOWNSTREAM_PEER_CERT_V_END", "UPSTREAM_PEER_CERT_V_START",
        "UPSTREAM_PEER_CERT_V_END",
      ], EnvoyOperator(syntax: .text, argument: .optional))

    // Request
    add(["REQ", "REQUEST_HEADER"], EnvoyOperator(syntax: .text, argument: .header))
    add(
      ["RESP", "RESPONSE_HEADER", "TRAILER", "RESPONSE_TRAILER"], EnvoyOperator(syntax: .text, argument: .header))
    add(["REQ_WITHOUT_QUERY"], EnvoyOperator(syntax: .text, argument: .header))
    add(["PATH"], EnvoyOperator(role: .path, syntax: .text, argument: .optional))
    add(["QUERY_PARAM"], EnvoyOperator(syntax: .text, argument: .required))
    add(["QUERY_PARAMS"], EnvoyOperator(syntax: .text, argument: .optional))
    add(["PROTOCOL"], EnvoyOperator(role: .protocol, syntax: .protocol))
    add(["UPSTREAM_PROTOCOL"], EnvoyOperator(syntax: .protocol))
    add(["VIRTUAL_CLUSTER_NAME"], EnvoyOperator())
    add(["GRPC_STATUS"], EnvoyOperator(role: .grpcStatus, argument: .optional))
    add(["GRPC_STATUS_NUMBER"], EnvoyOperator(role: .grpcStatus, syntax: .integer))

    // Result. The code is 0 when no response began, so it has one to three digits.
    add(["RESPONSE_CODE"], EnvoyOperator(role: .status, syntax: .integer))
    add(["RESPONSE_CODE_DETAILS"], EnvoyOperator(role: .responseDetails, argument: .optional))
    // Not sanitised: a constant of Envoy's own has spaces (`transport socket timeout was reached`).
    add(["CONNECTION_TERMINATION_DETAILS"], EnvoyOperator(role: .terminationDetails, syntax: .text))
    add(["RESPONSE_FLAGS", "RESPONSE_FLAGS_LONG"], EnvoyOperator(role: .responseFlags, syntax: .flags))
    add(["LOCAL_REPLY_BODY"], EnvoyOperator(syntax: .text))
    add(["CUSTOM_FLAGS"], EnvoyOperator(syntax: .text))
    add(["UPSTREAM_REQUEST_ATTEMPT_COUNT"], EnvoyOperator(syntax: .integer))

    // Bytes: Envoy names them from its own side, towards the client.
    add(["BYTES_RECEIVED"], EnvoyOperator(role: .bytesSent, syntax: .integer))
    add(["BYTES_SENT"], EnvoyOperator(role: .bytesReceived, syntax: .integer))
    for side in ["UPSTREAM", "DOWNSTREAM"] {
      for direction in ["SENT", "RECEIVED"] {
        for kind in ["WIRE", "HEADER", "DECOMPRESSED_HEADER"] {
          add(["\(side)_\(kind)_BYTES_\(direction)"], EnvoyOperator(syntax: .integer))
        }
      }
    }
    add(
      [
        "REQUEST_HEADERS_BYTES", "RESPONSE_HEADERS_BYTES", "RESPONSE_TRAILERS_BYTES", "BYTES_RETRANSMITTED",
        "PACKETS_RETRANSMITTED",
      ], EnvoyOperator(syntax: .integer))

    // Durations
    add(["DURATION"], EnvoyOperator(role: .duration, syntax: .integer, unit: .milliseconds))
    add(["COMMON_DURATION"], EnvoyOperator(syntax: .decimal, argument: .required))
    add(
      [
        "REQUEST_DURATION", "REQUEST_TX_DURATION", "RESPONSE_DURATION", "RESPONSE_TX_DURATION", "ROUNDTRIP_DURATION",
        "DOWNSTREAM_HANDSHAKE_DURATION", "UPSTREAM_CONNECTION_POOL_READY_DURATION",
      ], EnvoyOperator(syntax: .decimal, unit: .milliseconds))

    // Upstream: the host that was chosen, and the address connected to.
    add(["UPSTREAM_HOST"], EnvoyOperator(role: .upstreamHost, syntax: .address))
    add(["UPSTREAM_REMOTE_ADDRESS"], EnvoyOperator(role: .upstreamRemote, syntax: .address))
    add(
      ["UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"],
      EnvoyOperator(role: .upstreamHostIP, syntax: .ip, argument: .mask))
    add(["UPSTREAM_REMOTE_PORT"], EnvoyOperator(role: .upstreamHostPort, syntax: .integer))
    add(["UPSTREAM_LOCAL_ADDRESS"], EnvoyOperator(role: .upstreamLocal, syntax: .address))
    add(
      ["UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT"], EnvoyOperator(role: .upstreamLocalIP, syntax: .ip, argument: .mask))
    add(["UPSTREAM_LOCAL_PORT"], EnvoyOperator(role: .upstreamLocalPort, syntax: .integer))
    add(["UPSTREAM_CLUSTER", "UPSTREAM_CLUSTER_RAW"], EnvoyOperator(role: .upstreamCluster))
    add(
      ["UPSTREAM_TRANSPORT_FAILURE_REASON"], EnvoyOperator(role: .transportFailure, syntax: .text))
    add(
      [
        "UPSTREAM_HOST_NAME", "UPSTREAM_HOST_NAME_WITHOUT_PORT", "UPSTREAM_HOSTS_ATTEMPTED",
        "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", "UPSTREAM_HOST_NAMES_ATTEMPTED",
        "UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT", "UPSTREAM_CONNECTION_IDS_ATTEMPTED", "UPSTREAM_CONNECTION_ID",
        "UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID", "UPSTREAM_DETECTED_CLOSE_TYPE", "UPSTREAM_LOCAL_CLOSE_REASON",
        "UPSTREAM_SERVER_NAME",
      ], EnvoyOperator(syntax: .text))

    // Downstream
    add(["DOWNSTREAM_REMOTE_ADDRESS"], EnvoyOperator(role: .downstreamRemote, syntax: .address))
    add(
      ["DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"],
      EnvoyOperator(role: .downstreamRemoteIP, syntax: .ip, argument: .mask))
    add(["DOWNSTREAM_REMOTE_PORT"], EnvoyOperator(role: .downstreamRemotePort, syntax: .integer))
    add(["DOWNSTREAM_DIRECT_REMOTE_ADDRESS"], EnvoyOperator(role: .downstreamDirectRemote, syntax: .address))
    add(
      ["DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT"],
      EnvoyOperator(role: .downstreamDirectRemoteIP, syntax: .ip, argument: .mask))
    add(["DOWNSTREAM_DIRECT_REMOTE_PORT"], EnvoyOperator(role: .downstreamDirectRemotePort, syntax: .integer))
    add(["DOWNSTREAM_LOCAL_ADDRESS"], EnvoyOperator(role: .downstreamLocal, syntax: .address))
    add(
      ["DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT"],
      EnvoyOperator(role: .downstreamLocalIP, syntax: .ip, argument: .mask))
    add(["DOWNSTREAM_LOCAL_PORT"], EnvoyOperator(role: .downstreamLocalPort, syntax: .integer))
    // The listener's own address: it says nothing about what was dialled.
    add(["DOWNSTREAM_DIRECT_LOCAL_ADDRESS"], EnvoyOperator(syntax: .address))
    add(["DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT"], EnvoyOperator(syntax: .ip, argument: .mask))
    add(["DOWNSTREAM_DIRECT_LOCAL_PORT"], EnvoyOperator(syntax: .integer))
    add(
      ["DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID", "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID"],
      EnvoyOperator(syntax: .text))
    // Proxies before about 1.32 print the client's bytes as they came.
    add(["REQUESTED_SERVER_NAME"], EnvoyOperator(role: .serverName, syntax: .text, argument: .optional))
    add(
      [
        "DOWNSTREAM_TRANSPORT_FAILURE_REASON", "DOWNSTREAM_DETECTED_CLOSE_TYPE", "DOWNSTREAM_LOCAL_CLOSE_REASON",
        "TLS_JA3_FINGERPRINT", "TLS_JA4_FINGERPRINT",
      ], EnvoyOperator(syntax: .text))
    for side in ["UPSTREAM", "DOWNSTREAM"] {
      for value in ["TLS_VERSION", "TLS_CIPHER", "TLS_GROUP", "TLS_SESSION_ID"] {
        add(["\(side)_\(value)"], EnvoyOperator())
      }
      for end in ["PEER", "LOCAL"] {
        for value in [
          "SUBJECT", "ISSUER", "SERIAL", "CERT", "FINGERPRINT_256", "FINGERPRINT_1", "CHAIN_FINGERPRINTS_256",
          "CHAIN_FINGERPRINTS_1", "CHAIN_SERIALS", "ISSUER_FINGERPRINT_256", "ISSUER_SERIAL", "URI_SAN", "DNS_SAN",
          "IP_SAN", "EMAIL_SAN", "OTHERNAME_SAN",
        ] {
          add(["\(side)_\(end)_\(value)"], EnvoyOperator(syntax: .text))
        }
      }
    }
    add(["DOWNSTREAM_PEER_URI_SAN"], EnvoyOperator(role: .peerURI))

    // Ids and names
    add(["CONNECTION_ID"], EnvoyOperator(role: .connectionID))
    add(["STREAM_ID"], EnvoyOperator(role: .requestID, syntax: .text))
    add(["TRACE_ID", "SPAN_ID", "UNIQUE_ID"], EnvoyOperator())
    add(["HOSTNAME"], EnvoyOperator(role: .hostname))
    add(["ENVIRONMENT"], EnvoyOperator(syntax: .text, argument: .required))
    add(["FILTER_CHAIN_NAME"], EnvoyOperator(syntax: .text))
    add(["ROUTE_NAME"], EnvoyOperator(role: .routeName))
    add(["ACCESS_LOG_TYPE"], EnvoyOperator(role: .accessLogType))

    // State
    add(
      [
        "DYNAMIC_METADATA", "CLUSTER_METADATA", "UPSTREAM_METADATA", "UPSTREAM_HOST_METADATA", "METADATA",
        "FILTER_STATE", "UPSTREAM_FILTER_STATE", "CEL", "TYPED_CEL", "COALESCE",
      ], EnvoyOperator(syntax: .text, argument: .free))
    return table
  }()

  /// Whether the value can be there and empty: `""` for a header that was sent without content. Envoy prints `-` for its own
  /// texts when they are empty, but for the few that its documentation names.
  func mayBeEmpty(_ name: String) -> Bool {
    switch role {
    case .serverName, .transportFailure, .terminationDetails: false
    default: syntax == .text || ["ACCESS_LOG_TYPE", "TRACE_ID", "SPAN_ID"].contains(name)
    }
  }
}
