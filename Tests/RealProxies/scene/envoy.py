"""Envoy bootstraps in the shape istiod gives them: the same listeners, filter chains, cluster and route names, three log formats at once."""

import json

_TYPE = "type.googleapis.com/envoy.extensions."

_T = '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
_M = (
    '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" '
    '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" ')
_A = (
    '%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% '
    '%ROUTE_NAME%\n')
#: istio/istio, pilot/pkg/model/telemetry_logging.go (1.23 and later) and pilot/pkg/networking/core/v1alpha3/listener.go (1.3-1.7).
TEXT_FORMATS = {
    "istio-1.23": _T + '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" '
    + _M + '%UPSTREAM_CLUSTER_RAW% ' + _A,
    "istio-1.3": _T + '"%DYNAMIC_METADATA(istio.mixer:status)%" "%UPSTREAM_TRANSPORT_FAILURE_REASON%" '
    + _M + '%UPSTREAM_CLUSTER% ' + _A,
}
JSON_FORMAT = {
    "start_time": "%START_TIME%", "route_name": "%ROUTE_NAME%", "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "protocol": "%PROTOCOL%", "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%", "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%", "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%", "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%", "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%", "request_id": "%REQ(X-REQUEST-ID)%", "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%", "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%", "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%", "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}
FORMATS = [*TEXT_FORMATS, "istio-json"]
PASSTHROUGH, BLACK_HOLE = "PassthroughCluster", "BlackHoleCluster"

#: Long enough for the slowest machine, short enough for a test that waits for it to pass.
CONNECT_TIMEOUT = "0.8s"
#: Istio's default retry policy.
RETRIES = {"retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", "num_retries": 2}


def typed(name, kind, **fields):
    return {"name": name, "typed_config": {"@type": _TYPE + kind, **fields}}


def address(ip, port):
    return {"socket_address": {"address": ip, "port_value": port}}


class Envoy:
    """One bootstrap under construction; `save` writes it as JSON."""

    def __init__(self, name, logs):
        self.name = name
        self.logs = logs
        self.listeners = []
        self.clusters = []

    def save(self, path):
        bootstrap = {
            "node": {"id": self.name, "cluster": self.name},
            "static_resources": {"listeners": self.listeners, "clusters": self.clusters},
            # current Envoy asks for a limit of connections and warns without one
            "overload_manager": {"resource_monitors": [typed(
                "envoy.resource_monitors.global_downstream_max_connections",
                "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=1000)]},
        }
        with open(path, "w") as file:
            json.dump(bootstrap, file, indent=1)

    # access logs

    def access_log(self, **more):
        loggers = []
        for name in FORMATS:
            text = TEXT_FORMATS.get(name)
            form = {"text_format_source": {"inline_string": text}} if text else {"json_format": JSON_FORMAT}
            loggers.append({**typed(
                "envoy.access_loggers.file", "access_loggers.file.v3.FileAccessLog",
                path=f"{self.logs}/{name}/{self.name}.log", log_format=form), **more})
        return loggers

    def listener_log(self):
        return self.access_log(filter={"response_flag_filter": {"flags": ["NR"]}})

    # clusters

    def cluster(self, name, *endpoints, tls=None, http2=False):
        """Fixed endpoints, as istiod's EDS gives them; no endpoint at all is BlackHoleCluster."""
        cluster = {"name": name, "type": "STATIC", "connect_timeout": CONNECT_TIMEOUT}
        if endpoints:
            cluster["load_assignment"] = {"cluster_name": name, "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address(*endpoint)}} for endpoint in endpoints]}]}
        if tls is not None:
            cluster["transport_socket"] = typed(
                "envoy.transport_sockets.tls", "transport_sockets.tls.v3.UpstreamTlsContext", **tls)
        if http2:
            cluster["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _TYPE + "upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}}}}
        self.clusters.append(cluster)
        return name

    def original_destination(self, name, bind=None):
        """resolution: NONE, and PassthroughCluster: connects to whatever address the client dialled."""
        cluster = {
            "name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": CONNECT_TIMEOUT}
        if bind:
            cluster["upstream_bind_config"] = {"source_address": {"address": bind, "port_value": 0}}
        self.clusters.append(cluster)
        return name

    def dynamic(self, name):
        """ALLOW_ANY_DYNAMIC_DNS: resolves the Host header. Returns the HTTP filter that goes with the cluster."""
        return typed(
            "envoy.filters.http.dynamic_forward_proxy", "filters.http.dynamic_forward_proxy.v3.FilterConfig",
            dns_cache_config=self._dynamic_cluster(name))

    def tcp_by_name(self, name):
        """The gateway of Istio's task for any wildcard host: resolves the SNI itself."""
        return [typed(
            "envoy.filters.network.sni_dynamic_forward_proxy",
            "filters.network.sni_dynamic_forward_proxy.v3.FilterConfig", port_value=443,
            dns_cache_config=self._dynamic_cluster(name)), *self.tcp(name)]

    def _dynamic_cluster(self, name):
        cache = {"name": name, "dns_lookup_family": "V4_ONLY", "typed_dns_resolver_config": typed(
            "envoy.network.dns_resolver.getaddrinfo",
            "network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig")}
        self.clusters.append({
            "name": name, "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": CONNECT_TIMEOUT, "cluster_type": typed(
                "envoy.clusters.dynamic_forward_proxy", "clusters.dynamic_forward_proxy.v3.ClusterConfig",
                dns_cache_config=cache)})
        return cache

    # filters

    def tcp(self, cluster, *before):
        return [*before, typed(
            "envoy.filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy",
            stat_prefix=cluster, cluster=cluster, access_log=self.access_log())]

    def http(self, route_config, hosts, *before, remote=False, trusting=True):
        # Istio trusts its own hops, so that one request keeps one id; Envoy by itself does not any more
        inside = [{"address_prefix": "10.0.0.0" if trusting else "192.0.2.0", "prefix_len": 8 if trusting else 24}]
        return [typed(
            "envoy.filters.network.http_connection_manager",
            "filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix=route_config, route_config={
                "name": route_config, "virtual_hosts": hosts, "validate_clusters": False},
            http_filters=[*before, typed("envoy.filters.http.router", "filters.http.router.v3.Router")],
            access_log=self.access_log(), use_remote_address=remote, upgrade_configs=[{"upgrade_type": "websocket"}],
            internal_address_config={"cidr_ranges": inside},
            stream_idle_timeout="0s", normalize_path=True)]

    def listen(self, name, ip, port, chains, *, bound=True, original=False, default=None, inspect=True):
        filters = []
        if original:
            filters.append(typed(
                "envoy.filters.listener.original_dst", "filters.listener.original_dst.v3.OriginalDst"))
        if inspect:
            filters.append(typed(
                "envoy.filters.listener.tls_inspector", "filters.listener.tls_inspector.v3.TlsInspector"))
            filters.append(typed(
                "envoy.filters.listener.http_inspector", "filters.listener.http_inspector.v3.HttpInspector"))
        listener = {
            "name": name, "address": address(ip, port), "filter_chains": chains, "listener_filters": filters,
            "access_log": self.listener_log(), "listener_filters_timeout": "0.5s",
            "continue_on_listener_filters_timeout": True}
        if not bound:
            listener["bind_to_port"] = False
        if original and bound:
            listener["use_original_dst"] = True
        if default is not None:
            listener["default_filter_chain"] = default
        self.listeners.append(listener)


def chain(filters, name=None, **match):
    result = {"filters": filters}
    if name:
        result["name"] = name
    if match:
        result["filter_chain_match"] = match
    return result


HTTP_PROTOCOLS = ["http/1.0", "http/1.1", "h2c"]


def virtual_host(host, cluster, port=80, route="default", timeout="0s", retried=False):
    action = {"cluster": cluster, "timeout": timeout, "retry_policy": dict(RETRIES)}
    if retried:
        action["retry_policy"]["retriable_status_codes"] = [503]
    return {
        "name": f"{host}:{port}", "domains": [host, f"{host}:{port}"],
        "routes": [{"match": {"prefix": "/"}, "name": route, "route": action}]}


def allow_any(cluster=PASSTHROUGH, name="allow_any"):
    return {"name": name, "domains": ["*"], "routes": [
        {"match": {"prefix": "/"}, "name": name, "route": {"cluster": cluster, "timeout": "0s"}}]}


def block_all():
    return {"name": "block_all", "domains": ["*"], "routes": [
        {"match": {"prefix": "/"}, "name": "block_all", "direct_response": {"status": 502}}]}


def deny_http(policy, prefix):
    """An AuthorizationPolicy with action DENY, as istiod translates it."""
    return typed("envoy.filters.http.rbac", "filters.http.rbac.v3.RBAC", rules={"action": "DENY", "policies": {
        policy: {"permissions": [{"url_path": {"path": {"prefix": prefix}}}], "principals": [{"any": True}]}}})


def deny_tcp(policy, server_name):
    return typed(
        "envoy.filters.network.rbac", "filters.network.rbac.v3.RBAC", stat_prefix="tcp.", rules={
            "action": "DENY", "policies": {policy: {
                "permissions": [{"requested_server_name": {"exact": server_name}}], "principals": [{"any": True}]}}})


def fault(header, status):
    """A VirtualService's `fault.abort` for requests with a header."""
    return typed("envoy.filters.http.fault", "filters.http.fault.v3.HTTPFault", headers=[
        {"name": header, "present_match": True}], abort={"http_status": status, "percentage": {"numerator": 100}})


def rate_limit():
    return typed("envoy.filters.http.local_ratelimit", "filters.http.local_ratelimit.v3.LocalRateLimit", stat_prefix="limit")


def limited(host, requests):
    always = {"default_value": {"numerator": 100}}
    host["typed_per_filter_config"] = {"envoy.filters.http.local_ratelimit": {
        "@type": _TYPE + "filters.http.local_ratelimit.v3.LocalRateLimit", "stat_prefix": "limit",
        "token_bucket": {"max_tokens": requests, "tokens_per_fill": 1, "fill_interval": "3600s"},
        "filter_enabled": {**always, "runtime_key": "limit.enabled"},
        "filter_enforced": {**always, "runtime_key": "limit.enforced"}}}
    return host
