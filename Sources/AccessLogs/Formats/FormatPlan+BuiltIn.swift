extension FormatPlan {
  /// The formats that are known without being told, each written in its proxy's own language.
  ///
  /// The newest of a family stands first. To add one: a line in its table below, and sample lines in `SampleLogs`.
  public static let builtIn: [FormatPlan] = envoyBuiltIn + nginxBuiltIn + squidBuiltIn

  // MARK: - Envoy and Istio

  /// Istio's default text formats (istio `pilot/pkg/networking/core/v1alpha3/listener.go`, later `accesslog.go`, later
  /// `pilot/pkg/model/telemetry_logging.go`) and Envoy's own.
  private static let envoyBuiltIn: [FormatPlan] = {
    let request =
      #"[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS%"#
    // Istio 1.0 forgot the space between path and protocol.
    let request10 =
      #"[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%%PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS%"#
    let mixer = #""%DYNAMIC_METADATA(istio.mixer:status)%""#
    let failure = #""%UPSTREAM_TRANSPORT_FAILURE_REASON%""#
    let details = "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS%"
    let middle =
      #"%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "#
      + #""%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%""#
    let addresses = "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%"
    let tail = "%UPSTREAM_CLUSTER% \(addresses)"
    let sni = "%REQUESTED_SERVER_NAME%"
    let route = "%ROUTE_NAME%"
    let tcp10 =
      #"[%START_TIME%] %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "%UPSTREAM_HOST%" \#(tail)"#
    return [
      compiled("istio-1.23", "Istio 1.23 and later, text") { () throws(FormatError) in
        try envoy("\(request) \(details) \(failure) \(middle) %UPSTREAM_CLUSTER_RAW% \(addresses) \(sni) \(route)")
      },
      compiled("istio-1.9", "Istio 1.9 to 1.22, text") { () throws(FormatError) in
        try envoy("\(request) \(details) \(failure) \(middle) \(tail) \(sni) \(route)")
      },
      compiled("istio-1.8", "Istio 1.8, text (and older proxies under 1.9 and 1.10)") { () throws(FormatError) in
        try envoy("\(request) \(failure) \(middle) \(tail) \(sni) \(route)")
      },
      compiled("istio-1.3", "Istio 1.3 to 1.7, text") { () throws(FormatError) in
        try envoy("\(request) \(mixer) \(failure) \(middle) \(tail) \(sni) \(route)")
      },
      compiled("istio-1.2", "Istio 1.2, text") { () throws(FormatError) in
        try envoy("\(request) \(mixer) \(failure) \(middle) \(tail) \(sni)")
      },
      compiled("istio-1.1", "Istio 1.1, text") { () throws(FormatError) in
        try envoy("\(request) \(mixer) \(middle) \(tail) \(sni)")
      },
      compiled("istio-1.0-http", "Istio 1.0.3 to 1.0.9, text, HTTP") { () throws(FormatError) in
        try envoy("\(request10) \(middle) \(tail)")
      },
      compiled("istio-1.0-tcp", "Istio 1.0.3 to 1.0.9, text, TCP") { () throws(FormatError) in try envoy(tcp10) },
      compiled("envoy-default", "Envoy without a format of its own, text (and Istio 1.0.0 to 1.0.2)") {
        () throws(FormatError) in try envoy("\(request) \(middle)")
      },
      compiled("istio-json", "Istio 1.2 and later, JSON; strings or numbers, any order of keys") {
        () throws(FormatError) in try envoy(istioJSON)
      },
    ]
  }()

  /// All keys that any version of Istio has written; a key that a line lacks is a missing value.
  private static let istioJSON = """
    {
      "start_time": "%START_TIME%",
      "method": "%REQ(:METHOD)%",
      "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
      "protocol": "%PROTOCOL%",
      "response_code": "%RESPONSE_CODE%",
      "response_flags": "%RESPONSE_FLAGS%",
      "response_code_details": "%RESPONSE_CODE_DETAILS%",
      "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
      "istio_policy_status": "%DYNAMIC_METADATA(istio.mixer:status)%",
      "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
      "bytes_received": "%BYTES_RECEIVED%",
      "bytes_sent": "%BYTES_SENT%",
      "duration": "%DURATION%",
      "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
      "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
      "user_agent": "%REQ(USER-AGENT)%",
      "request_id": "%REQ(X-REQUEST-ID)%",
      "authority": "%REQ(:AUTHORITY)%",
      "upstream_host": "%UPSTREAM_HOST%",
      "upstream_cluster": "%UPSTREAM_CLUSTER%",
      "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
      "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
      "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
      "requested_server_name": "%REQUESTED_SERVER_NAME%",
      "route_name": "%ROUTE_NAME%"
    }
    """

  // MARK: - nginx

  /// nginx has no format of its own in `stream`: these are its documentation's (ngx_stream_log_module) and the one of Istio's
  /// egress task; `combined` is built into `http`, `main` is that of the Docker image.
  private static let nginxBuiltIn: [FormatPlan] = {
    let basic = "$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time"
    let combined =
      #"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#
    return [
      compiled("nginx-stream-istio", "nginx stream as SNI proxy, from Istio's wildcard egress task") {
        () throws(FormatError) in
        try nginx(
          "$remote_addr [$time_local] $protocol [$ssl_preread_server_name]$status $bytes_sent $bytes_received $session_time",
          http: false)
      },
      compiled("nginx-stream-doc", "nginx stream, the documentation's basic format") { () throws(FormatError) in
        try nginx(basic, http: false)
      },
      compiled("nginx-stream-doc-upstream", "nginx stream, the documentation's format with upstream columns") {
        () throws(FormatError) in
        try nginx(
          basic + #" "$upstream_addr" "$upstream_bytes_sent" "$upstream_bytes_received" "$upstream_connect_time""#,
          http: false)
      },
      compiled("nginx-combined", "nginx http, combined") { () throws(FormatError) in try nginx(combined, http: true) },
      // Two spaces before the status.
      compiled("nginx-main-istio", "nginx http, main of Istio's egress tasks") { () throws(FormatError) in
        try nginx(
          #"$remote_addr - $remote_user [$time_local]  $status "$request" $body_bytes_sent "$http_referer" "#
            + #""$http_user_agent" "$http_x_forwarded_for""#, http: true)
      },
      compiled("nginx-main", "nginx http, main (Docker image)") { () throws(FormatError) in
        try nginx(combined + #" "$http_x_forwarded_for""#, http: true)
      },
    ]
  }()

  // MARK: - Squid

  /// The formats that Squid has names for (squid `src/cf.data.pre`). From version 7 `common` and `combined` hold a bare `-`
  /// where the ident name stood, which the older string reads as well.
  private static let squidBuiltIn: [FormatPlan] = {
    let native = "%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt"
    let common = #"%>a %[ui %[un [%tl] "%rm %ru HTTP/%rv" %>Hs %<st %Ss:%Sh"#
    let combined = #"%>a %[ui %[un [%tl] "%rm %ru HTTP/%rv" %>Hs %<st "%{Referer}>h" "%{User-Agent}>h" %Ss:%Sh"#
    let referrer = "%ts.%03tu %>a %{Referer}>h %ru"
    let userAgent = #"%>a [%tl] "%{User-Agent}>h""#
    // Squid writes each request into every log that `access_log` names; these took the place of the directives `referer_log` and
    // `useragent_log`, which wrote beside it.
    func sideLog(_ plan: FormatPlan) -> FormatPlan {
      var plan = plan
      plan.isSideLog = true
      return plan
    }
    func squidPlan(_ name: String, _ about: String, _ format: String) -> FormatPlan {
      compiled(name, about) { () throws(FormatError) in
        try squid(format, name: name, about: about, isBuiltIntoSquid: true)
      }
    }
    return [
      squidPlan("squid", "Squid, native", native),
      squidPlan("squid-mime", "Squid, native with log_mime_hdrs on", native + " [%>h] [%<h]"),
      squidPlan("squid-common", "Squid, common", common),
      squidPlan("squid-combined", "Squid, combined", combined),
      squidPlan("squid-common-7", "Squid 7 and later, common", common.replacing("%[ui", with: "-")),
      squidPlan("squid-combined-7", "Squid 7 and later, combined", combined.replacing("%[ui", with: "-")),
      sideLog(squidPlan("squid-referrer", "Squid, referrer", referrer)),
      sideLog(squidPlan("squid-useragent", "Squid, useragent", userAgent)),
    ]
  }()

  /// A built-in that does not compile is a mistake in this file.
  private static func compiled(
    _ name: String, _ about: String, _ make: () throws(FormatError) -> FormatPlan
  ) -> FormatPlan {
    do {
      var plan = try make()
      plan.name = name
      plan.about = about
      plan.isBuiltIn = true
      return plan
    } catch {
      preconditionFailure("built-in format \(name): \(error.rendered())")
    }
  }
}
