import AccessLogs
import Testing

/// The three vocabularies, one directive at a time.
struct FormatsDirectiveTests {
  // MARK: - Envoy

  @Test(
    "each command operator is the column it should be",
    arguments: [
      ("%START_TIME%", "startTime time"), ("%START_TIME_LOCAL%", "startTime time"), ("%EMIT_TIME%", "endTime time"),
      ("%EMIT_TIME_LOCAL(%H:%M:%S)%", "endTime time"), ("%REQ(:METHOD)%", "method method"),
      ("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "path text"), ("%REQ(:PATH):200%", "path text"),
      ("%REQ(:AUTHORITY)%", "authority text"), ("%REQ(HOST)%", "authority text"),
      ("%REQ(X-FORWARDED-FOR)%", "forwardedFor text"), ("%REQ(USER-AGENT)%", "userAgent text"),
      ("%REQ(REFERER)%", "referer text"), ("%REQ(X-REQUEST-ID)%", "requestID text"),
      ("%REQ(:SCHEME)%", "scheme text"), ("%REQ(ANY)%", "ignored text"), ("%RESP(ANY)%", "ignored text"),
      ("%RESP(HOST)%", "ignored text"), ("%TRAILER(X)%", "ignored text"),
      ("%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%", "upstreamTime token"), ("%PATH%", "path text"),
      ("%PATH(NQ:ORIG):9%", "path text"), ("%REQ_WITHOUT_QUERY(:PATH)%", "path text"),
      ("%QUERY_PARAM(a)%", "ignored text"), ("%QUERY_PARAMS%", "ignored text"), ("%PROTOCOL%", "protocol protocol"),
      ("%UPSTREAM_PROTOCOL%", "ignored protocol"), ("%VIRTUAL_CLUSTER_NAME%", "ignored token"),
      ("%GRPC_STATUS(NUMBER)%", "grpcStatus token"), ("%GRPC_STATUS_NUMBER%", "grpcStatus integer"),
      ("%RESPONSE_CODE%", "status integer"), ("%RESPONSE_CODE_DETAILS%", "responseDetails token"),
      ("%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%", "responseDetails text"),
      ("%CONNECTION_TERMINATION_DETAILS%", "terminationDetails text"), ("%RESPONSE_FLAGS%", "responseFlags flags"),
      ("%RESPONSE_FLAGS_LONG%", "responseFlags flags"), ("%LOCAL_REPLY_BODY%", "ignored text"),
      ("%CUSTOM_FLAGS%", "ignored text"), ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "ignored integer"),
      ("%BYTES_RECEIVED%", "bytesSent integer"), ("%BYTES_SENT%", "bytesReceived integer"),
      ("%UPSTREAM_WIRE_BYTES_SENT%", "ignored integer"), ("%DOWNSTREAM_HEADER_BYTES_RECEIVED%", "ignored integer"),
      ("%DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT%", "ignored integer"),
      ("%REQUEST_HEADERS_BYTES%", "ignored integer"),
      ("%RESPONSE_TRAILERS_BYTES%", "ignored integer"), ("%BYTES_RETRANSMITTED%", "ignored integer"),
      ("%DURATION%", "duration integer"), ("%REQUEST_DURATION%", "ignored decimal"),
      ("%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ns)%", "duration decimal"),
      ("%COMMON_DURATION(US_CX_BEG:US_CX_END:ms)%", "ignored decimal"), ("%UPSTREAM_HOST%", "upstreamHost address"),
      ("%UPSTREAM_REMOTE_ADDRESS%", "upstreamRemote address"),
      ("%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "upstreamHostIP ip"),
      ("%UPSTREAM_REMOTE_PORT%", "upstreamHostPort integer"), ("%UPSTREAM_HOST_NAME%", "ignored text"),
      ("%UPSTREAM_HOSTS_ATTEMPTED%", "ignored text"), ("%UPSTREAM_CLUSTER%", "upstreamCluster token"),
      ("%UPSTREAM_CLUSTER_RAW%", "upstreamCluster token"), ("%UPSTREAM_LOCAL_ADDRESS%", "upstreamLocal address"),
      ("%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "upstreamLocalIP ip"),
      ("%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(16)%", "ignored ip"),
      ("%UPSTREAM_LOCAL_PORT%", "upstreamLocalPort integer"),
      ("%UPSTREAM_TRANSPORT_FAILURE_REASON%", "transportFailure text"), ("%UPSTREAM_TLS_CIPHER%", "ignored token"),
      ("%UPSTREAM_PEER_SUBJECT%", "ignored text"), ("%UPSTREAM_SERVER_NAME%", "ignored text"),
      ("%DOWNSTREAM_REMOTE_ADDRESS%", "downstreamRemote address"),
      ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "downstreamRemoteIP ip"),
      ("%DOWNSTREAM_REMOTE_PORT%", "downstreamRemotePort integer"),
      ("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "downstreamDirectRemote address"),
      ("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "downstreamDirectRemoteIP ip"),
      ("%DOWNSTREAM_DIRECT_REMOTE_PORT%", "downstreamDirectRemotePort integer"),
      ("%DOWNSTREAM_LOCAL_ADDRESS%", "downstreamLocal address"),
      ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "downstreamLocalIP ip"),
      ("%DOWNSTREAM_LOCAL_PORT%", "downstreamLocalPort integer"),
      ("%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%", "ignored address"), ("%REQUESTED_SERVER_NAME%", "serverName text"),
      ("%REQUESTED_SERVER_NAME(SNI_FIRST)%", "serverName text"),
      ("%REQUESTED_SERVER_NAME(HOST_FIRST:HOST)%", "authority text"), ("%DOWNSTREAM_PEER_URI_SAN%", "peerURI token"),
      ("%DOWNSTREAM_PEER_CERT_V_START(%F %T)%", "ignored text"), ("%TLS_JA3_FINGERPRINT%", "ignored text"),
      ("%CONNECTION_ID%", "connectionID token"), ("%STREAM_ID%", "requestID text"), ("%TRACE_ID%", "ignored token"),
      ("%HOSTNAME%", "hostname token"), ("%ENVIRONMENT(POD_NAME)%", "hostname text"),
      ("%ENVIRONMENT(HOME)%", "ignored text"), ("%FILTER_CHAIN_NAME%", "ignored text"),
      ("%ROUTE_NAME%", "routeName token"), ("%ACCESS_LOG_TYPE%", "accessLogType token"),
      ("%DYNAMIC_METADATA(istio.mixer:status)%", "ignored text"), ("%CEL(a.b('c)d'))%", "ignored text"),
      ("%COALESCE({\"operators\": [\"UPSTREAM_HOST\", \"DOWNSTREAM_LOCAL_ADDRESS\"]})%", "ignored text"),
      ("%COALESCE({\"operators\": [\"REQUESTED_SERVER_NAME\"]})%", "serverName text"),
    ])
  func envoy(_ directive: String, _ column: String) throws {
    #expect(summary(try .envoy(directive)) == column)
  }

  @Test("a logger that omits empty values may leave any column empty")
  func omittedValues() throws {
    let format = "%START_TIME% %PROTOCOL% %RESPONSE_FLAGS%"
    #expect(fields(try .envoy(format)).allSatisfy { !$0.mayBeEmpty })
    #expect(fields(try .envoy(format, omitsEmptyValues: true)).allSatisfy(\.mayBeEmpty))
  }

  @Test("a value of exactly the length at which the proxy cuts may be a stump")
  func lengths() throws {
    #expect(fields(try .envoy("%REQ(:AUTHORITY):64% %REQ(:PATH)%")).map(\.maxLength) == [64, nil])
    #expect(fields(try .squid("%.40ru %6tr %10.20>rd")).map(\.maxLength) == [40, nil, 20])
  }

  // MARK: - nginx

  @Test(
    "each variable of nginx is the column it should be",
    arguments: [
      ("$remote_addr", "downstreamRemoteIP ip"), ("$remote_port", "downstreamRemotePort integer"),
      ("$realip_remote_addr", "downstreamDirectRemoteIP ip"),
      ("$realip_remote_port", "downstreamDirectRemotePort integer"), ("$proxy_protocol_addr", "forwardedFor token"),
      ("$proxy_protocol_tlv_aws_vpce_id", "ignored text"), ("$server_addr", "downstreamLocalIP ip"),
      ("$server_port", "downstreamLocalPort integer"), ("$bytes_sent", "bytesReceived integer"),
      ("$bytes_received", "bytesSent integer"), ("$session_time", "duration decimal"), ("$status", "status status"),
      ("$connection", "connectionID integer"), ("$hostname", "hostname token"), ("$msec", "endTime time"),
      ("$time_iso8601", "endTime time"), ("$time_local", "endTime time"), ("$protocol", "protocol token"),
      ("$upstream_addr", "upstreamHost list"), ("$upstream_bytes_sent", "ignored list"),
      ("$upstream_connect_time", "ignored list"), ("$ssl_preread_server_name", "serverName text"),
      ("$ssl_preread_protocol", "ignored text"), ("$ssl_server_name", "serverName text"),
      ("$ssl_client_s_dn", "ignored text"), ("$request", "requestLine text"), ("$request_method", "method method"),
      ("$request_uri", "path text"), ("$uri", "path text"), ("$server_protocol", "protocol protocol"),
      ("$host", "authority text"), ("$http_host", "authority text"), ("$http_user_agent", "userAgent text"),
      ("$http_referer", "referer text"), ("$http_x_forwarded_for", "forwardedFor text"),
      ("$http_x_request_id", "requestID text"), ("$request_id", "requestID text"), ("$http_anything", "ignored text"),
      ("$body_bytes_sent", "bytesReceived integer"), ("$request_length", "bytesSent integer"),
      ("$request_time", "duration decimal"), ("$upstream_response_time", "upstreamTime list"),
      ("$remote_user", "ignored text"), ("$scheme", "scheme token"), ("$arg_q", "ignored text"),
      ("${status}", "status status"), ("$STATUS", "status status"), ("$scheme://$host$request_uri", "url text"),
      ("$a_map_of_ours", "ignored text"),
    ])
  func nginx(_ directive: String, _ column: String) throws {
    #expect(summary(try .nginx(directive)) == column)
  }

  @Test("the variables tell http from stream, and the caller overrules them")
  func nginxModule() throws {
    #expect(try FormatPlan.nginx("$remote_addr $request").dialect == .nginxHTTP)
    #expect(try FormatPlan.nginx("$remote_addr $session_time").dialect == .nginxStream)
    #expect(try FormatPlan.nginx("$remote_addr $status").dialect == .nginxStream)
    #expect(try FormatPlan.nginx("$remote_addr $status", http: true).dialect == .nginxHTTP)
  }

  @Test("variables that nginx does not define are legal and listed once")
  func notUnderstood() throws {
    #expect(try FormatPlan.nginx("$x ${y} $status $x").notUnderstood == ["$x", "${y}"])
    #expect(try FormatPlan.nginx("$remote_addr $http_x").notUnderstood.isEmpty)
    #expect(FormatPlan.suggestion(forNotUnderstood: "${stauts}") == "$status")
    #expect(FormatPlan.suggestion(forNotUnderstood: "$loggable_by_us") == nil)
  }

  // MARK: - Squid

  @Test(
    "each code of Squid is the column it should be",
    arguments: [
      ("%>a", "downstreamRemoteIP ip"), ("%>p", "downstreamRemotePort integer"), ("%>A", "ignored token"),
      ("%>la", "downstreamLocalIP ip"), ("%lp", "downstreamLocalPort integer"), ("%<a", "upstreamHostIP token"),
      ("%<p", "upstreamHostPort integer"), ("%<la", "upstreamLocalIP ip"), ("%<lp", "upstreamLocalPort integer"),
      ("%ts", "endTime time"), ("%03tu", "endTimeFraction integer"), ("%tl", "endTime time"), ("%tg", "endTime time"),
      ("%tS", "startTime time"), ("%tr", "duration integer"), ("%dt", "ignored integer"),
      ("%<pt", "ignored integer"), ("%<tt", "ignored integer"), ("%un", "user token"), ("%[un", "user text"),
      ("%rm", "method method"), ("%ru", "url token"), ("%'ru", "url text"), ("%>ru", "url token"),
      ("%>rs", "scheme token"), ("%>rd", "authority token"), ("%>rP", "targetPort integer"), ("%>rp", "path token"),
      ("%rv", "ignored token"), ("HTTP/%rv", "protocol protocol"), ("%{User-Agent}>h", "userAgent token"),
      ("\"%{User-Agent}>h\"", "userAgent text"), ("%>h{Referer}", "referer token"),
      ("%{Referer}<h", "ignored token"), ("%>h", "ignored text"), ("%{X-Forwarded-For}>ha", "forwardedFor token"),
      ("%>Hs", "status integer"), ("%03>Hs", "status status"), ("%<Hs", "ignored integer"), ("%Ss", "squidTag token"),
      ("%Sh", "squidHierarchy token"), ("%err_code", "squidError token"), ("%err_detail", "ignored token"),
      ("%mt", "ignored token"), ("%note", "ignored token"), ("%>st", "bytesSent integer"),
      ("%<st", "bytesReceived integer"), ("%st", "ignored integer"), ("%<bs", "ignored integer"),
      ("%ssl::>sni", "serverName token"), ("%tls::>sni", "serverName token"), ("%ssl::bump_mode", "ignored token"),
      ("%ssl::<cert_errors", "ignored token"), ("%http::>a", "downstreamRemoteIP ip"),
      ("%icap::tt", "ignored integer"), ("%adapt::all_trs", "ignored token"),
      ("%transport::>connection_id", "connectionID token"), ("%proxy_protocol::>h", "ignored token"),
      ("%byte{9}%sn", "ignored integer"), ("%request_attempts", "ignored integer"), ("%>handshake", "ignored token"),
    ])
  func squid(_ directive: String, _ column: String) throws {
    #expect(summary(try .squid(directive)) == column)
  }

  // MARK: - Times

  @Test(
    "time patterns compile to their parts",
    arguments: [
      (
        "%Y-%m-%dT%H:%M:%S.%3fZ",
        "year4|\"-\"|month2|\"-\"|day2|\"T\"|hour2|\":\"|minute2|\":\"|second2|\".\"|fraction(3)|\"Z\""
      ),
      ("%s", "epochSeconds"), ("%s%3f", "epochMilliseconds"), ("%s.%9f", "epochSeconds|\".\"|fraction(9)"),
      ("%H:%M:%S", "hour2|\":\"|minute2|\":\"|second2 lacks-date"), ("%f", "fraction(9) lacks-date lacks-hour"),
      ("%d %H", "day2|\" \"|hour2 lacks-date"), ("%j %I %p", "yearDay3|\" \"|hour12|\" \"|amPm"),
      ("%F %I:%M", "year4|\"-\"|month2|\"-\"|day2|\" \"|hour12|\":\"|minute2 lacks-hour"),
      ("%FT%T%Ez", "year4|\"-\"|month2|\"-\"|day2|\"T\"|hour2|\":\"|minute2|\":\"|second2|zone"),
      ("%E4Y%j %E3S", "year4|yearDay3|\" \"|second2|\".\"|fraction(3) lacks-hour"),
      (
        "%a %b %e %I:%M %p %y %%",
        "weekdayName|\" \"|monthName|\" \"|dayPadded|\" \"|hour12|\":\"|minute2|\" \"|amPm|\" \"|year2|\" %\""
      ),
    ])
  func patterns(_ pattern: String, _ parts: String) throws {
    #expect(time(try .envoy("%START_TIME(\(pattern))%")) == parts)
  }

  @Test("a pattern without a zone is UTC where the proxy prints UTC, and an assumption where it prints local time")
  func zones() throws {
    #expect(time(try .envoy("%START_TIME_LOCAL(%F)%")) == "year4|\"-\"|month2|\"-\"|day2 lacks-zone lacks-hour")
    #expect(time(try .squid("%{%F}tl")) == "year4|\"-\"|month2|\"-\"|day2 lacks-zone lacks-hour")
    #expect(time(try .squid("%{%F}tg")) == "year4|\"-\"|month2|\"-\"|day2 lacks-hour")
  }

  // MARK: -

  private func summary(_ plan: FormatPlan) -> String {
    fields(plan).map { "\($0.role) \($0.syntax)" }.joined(separator: ", ")
  }

  private func time(_ plan: FormatPlan) -> String? { fields(plan).first?.time.map { described($0) } }

  private func fields(_ plan: FormatPlan) -> [FormatField] {
    guard case .text(let pieces) = plan.body else { return [] }
    return pieces.compactMap { if case .field(let field) = $0 { field } else { nil } }
  }
}
