"""The mesh of the scenarios: pods, an egress gateway, a gateway with an SNI proxy, Squid, and the outside world."""

import os
import pwd
import shutil

from . import tools, web
from .envoy import (
    BLACK_HOLE, FORMATS, HTTP_PROTOCOLS, PASSTHROUGH, Envoy, allow_any, block_all, chain, deny_http, deny_tcp, fault, limited,
    rate_limit, typed, virtual_host)
from .network import DNS, capture

GATEWAY = "istio-egressgateway.istio-system.svc.cluster.local"
SNI_GATEWAY = "istio-egressgateway-with-sni-proxy.istio-system.svc.cluster.local"
REVIEWS = "reviews.default.svc.cluster.local"
VENDOR_SERVICE = "my-vendor.default.svc.cluster.local"
EXTERNAL_NAME = "my-httpbin.default.svc.cluster.local"
SQUID_HOST = "my-company-proxy.com"

#: Everything that has a name, by where the name leads.
NAMES = {
    "plain.example": "203.0.113.10", "declared.example": "203.0.113.11", "gw.example": "203.0.113.12",
    "orig.example": "203.0.113.13", "a.wild.example": "203.0.113.14", "b.wild.example": "203.0.113.14",
    "refused.wild.example": "203.0.113.18", "side.example": "203.0.113.15", "none.example": "203.0.113.16",
    "slow.example": "203.0.113.17", "refused.example": "203.0.113.18", "silent.example": "203.0.113.19",
    "vendor-service.example": "203.0.113.20", "badtls.example": "203.0.113.21", "mtls.example": "203.0.113.22",
    "denied-tls.example": "203.0.113.23", "front.example": "203.0.113.24", "hidden.example": "203.0.113.25",
    "unrouted.example": "203.0.113.26", "en.direct.example": "203.0.113.27", "proxied.example": "203.0.113.28",
    "side-mtls.example": "203.0.113.31", "www.site.example": "203.0.113.32", "en.site.example": "203.0.113.32",
    "any.dyn.example": "203.0.113.33", "my-httpbin.default.svc.cluster.local": "203.0.113.34",
    "evil.example": "203.0.113.66", "retried.example": "203.0.113.29", "patient.example": "203.0.113.17",
    "ws-gw.example": "203.0.113.35", "reid.example": "203.0.113.30",
    "plain6.example": "2001:db8::10", "gw6.example": "2001:db8::12",
    **{f"{letter}.crowd.wild.example": "203.0.113.14" for letter in "abcdefghyz"}, "ws.example": "198.51.100.10", "exception.example": "198.51.100.20",
    "tunnel.example": "198.51.100.30", "forbidden.example": "198.51.100.31", "members.example": "198.51.100.32",
    "excluded.example": "198.51.100.40", SQUID_HOST: "10.88.0.30", REVIEWS: "10.88.0.14",
}
#: Nothing listens at the first, and nothing answers at the second.
REFUSING, SILENT = "203.0.113.18", "203.0.113.19"
SLEEP6, ORDERS6, GATEWAY6 = "fd00:88::11", "fd00:88::12", "fd00:88::20"
METADATA = "169.254.169.254"
SLEEP, ORDERS, LEGACY, REVIEWS_POD, BATCH = "10.88.0.11", "10.88.0.12", "10.88.0.13", "10.88.0.14", "10.88.0.15"
GATEWAY_POD, SNI_POD, SQUID = "10.88.0.20", "10.88.0.21", "10.88.0.30"
#: ServiceEntries of the sidecars: plain HTTP on 80 and TLS by SNI on 443.
DECLARED = ["declared.example", "slow.example", "refused.example", "silent.example", "ws.example"]
#: VirtualServices that lead through the egress gateway.
THROUGH_GATEWAY = ["gw.example", "orig.example", "mtls.example", "badtls.example", "refused-gw.example", "limited.example", "retried.example",
    "patient.example"]
SNI_THROUGH_GATEWAY = ["gw.example", "denied-tls.example", "front.example", "unrouted.example", "*.site.example", "*.dyn.example"]
RBAC_HTTP = "ns[istio-system]-policy[no-admin]-rule[0]"
RBAC_TCP = "ns[istio-system]-policy[no denied hosts]-rule[0]"

_WALK_THROUGH = (
    # the walk-through's own, without a space before the status
    "log_format log_stream '$remote_addr [$time_local] $protocol [$ssl_preread_server_name]' "
    "'$status $bytes_sent $bytes_received $session_time';")
NGINX_FORMATS = {
    "istio-1.23": _WALK_THROUGH, "istio-1.3": _WALK_THROUGH.replace("log_stream", "log_stream_too"),
    "istio-json": "log_format object escape=json '{\"time\":\"$time_iso8601\",\"client\":\"$remote_addr\","
    "\"client_port\":\"$remote_port\",\"sni\":\"$ssl_preread_server_name\",\"upstream\":\"$upstream_addr\","
    "\"status\":\"$status\",\"sent\":\"$bytes_sent\",\"received\":\"$bytes_received\",\"session\":\"$session_time\"}';",
}
SQUID_FORMATS = {
    "istio-1.23": None,  # `squid`, the native one
    "istio-1.3": "logformat ports %ts.%03tu %tr %>a:%>p %<la:%<lp %Ss/%03>Hs %>st %<st %rm %ru %Sh/%<a:%<p %err_code",
    "istio-json": None,
}
#: What --log-format must be told of; the other formats are recognised.
CONFIGURATIONS = {"istio-1.3": SQUID_FORMATS["istio-1.3"], "istio-json": NGINX_FORMATS["istio-json"]}


class Mesh:
    """Starts everything and knows where each log is."""

    LOGS = ["sleep", "orders", "batch", "reviews", "gateway", "sni-gateway", "sni-proxy", "squid"]

    def __init__(self, network, folder, envoy):
        self.network = network
        self.folder = folder
        self.binary = envoy
        self.logs = os.path.join(folder, "logs")

    def start(self):
        for name in FORMATS:
            os.makedirs(os.path.join(self.logs, name))
        add = self.network.add
        outside = sorted({a for a in NAMES.values() if not a.startswith("10.")}, key=lambda a: a != "203.0.113.10")
        self.web = add("web", *outside, METADATA)
        self.dns = add("dns", DNS)
        self.sleep, self.orders = add("sleep", SLEEP, SLEEP6), add("orders", ORDERS, ORDERS6)
        self.legacy, self.reviews, self.batch = add("legacy", LEGACY), add("reviews", REVIEWS_POD), add("batch", BATCH)
        self.gateway, self.sni_gateway = add("gateway", GATEWAY_POD, GATEWAY6), add("sni-gateway", SNI_POD)
        self.squid = add("squid", SQUID)
        self.sleep.shell(f"ip route add {METADATA}/32 dev eth0 src {SLEEP}")
        self._outside()
        capture(self.sleep, excluded=["198.51.100.40/32"])
        capture(self.orders)
        capture(self.batch)
        capture(self.reviews, inbound=True)
        started = [self._start_nginx(), self._start_squid()]
        for space, build, port in [
            (self.sleep, self._sleep, 15001), (self.orders, self._orders, 15001), (self.batch, self._batch, 15001),
            (self.reviews, self._reviews, 15006), (self.gateway, self._gateway, 8443),
            (self.sni_gateway, self._sni_gateway, 443),
        ]:
            started.append((space, self._start_envoy(space, build), port))
        for space, process, port in started:
            self.network.await_listener(space, port, process)

    # the outside

    def _outside(self):
        certificates = web.Certificates(self._subfolder("certificates", 0o755))
        self.certificates = certificates
        for address in self.web.addresses:
            if address in (REFUSING, SILENT):
                continue
            mutual = address in (NAMES["mtls.example"], NAMES["side-mtls.example"])
            tls = address != NAMES["badtls.example"]
            web.serve(self.web, address, 80)
            web.serve(self.web, address, 443, certificates.context(mutual) if tls else None)
        web.serve(self.web, NAMES["plain.example"], 8000)
        self.web.shell(f"iptables -A INPUT -d {SILENT} -j DROP")
        web.serve(self.legacy, "0.0.0.0", 8000)
        web.serve(self.reviews, "0.0.0.0", 9080)
        web.serve(self.reviews, "0.0.0.0", 9090)
        web.serve_names(self.dns, DNS, NAMES)

    # sidecars

    def _sidecar(self, envoy, otherwise_http, otherwise_tcp):
        envoy.original_destination(PASSTHROUGH)
        envoy.cluster(BLACK_HOLE)
        hosts = []
        for host in DECLARED:
            endpoint = NAMES[host]
            cluster = envoy.cluster(f"outbound|80||{host}", (endpoint, 80))
            hosts.append(virtual_host(host, cluster, timeout="1s" if host == "slow.example" else "0s"))
        gateway_http = envoy.cluster(f"outbound|80||{GATEWAY}", (GATEWAY_POD, 8080), http2=True)
        hosts += [
            virtual_host(
                host, gateway_http, retried=host == "retried.example", timeout="1s" if host == "patient.example" else "0s")
            for host in THROUGH_GATEWAY]
        # HTTP/2 without extended CONNECT carries no WebSocket
        hosts.append(virtual_host("ws-gw.example", envoy.cluster(f"outbound|80|one|{GATEWAY}", (GATEWAY_POD, 8080))))
        hosts.append(virtual_host(EXTERNAL_NAME, envoy.cluster(f"outbound|80||{EXTERNAL_NAME}", (NAMES[EXTERNAL_NAME], 80))))
        hosts.append(virtual_host("empty.example", envoy.cluster("outbound|80||empty.example")))
        hosts.append(virtual_host("missing.example", "outbound|80||missing.example"))
        hosts.append(virtual_host(
            "reid.example", envoy.cluster(f"outbound|8081||{GATEWAY}", (GATEWAY_POD, 8081), http2=True)))
        hosts.append(virtual_host(
            "gw6.example", envoy.cluster(f"outbound|80|six|{GATEWAY}", (GATEWAY6, 8080), http2=True)))
        hosts.append(virtual_host("none.example", envoy.original_destination("outbound|80||none.example")))
        hosts.append(virtual_host("side.example", envoy.cluster(
            "outbound|443|tls-origination|side.example", (NAMES["side.example"], 443), tls={"sni": "side.example"})))
        hosts.append(virtual_host("side-mtls.example", envoy.cluster(
            "outbound|443||side-mtls.example", (NAMES["side-mtls.example"], 443),
            tls={"sni": "side-mtls.example", "common_tls_context": self.certificates.client()})))
        hosts.append(virtual_host(REVIEWS, envoy.cluster(f"outbound|9080||{REVIEWS}", (REVIEWS_POD, 9080)), 9080))
        envoy.listen("0.0.0.0_80", "0.0.0.0", 80, [
            chain(envoy.http("80", hosts + [otherwise_http]), application_protocols=HTTP_PROTOCOLS)],
            bound=False, default=chain(envoy.tcp(otherwise_tcp)))
        six = [chain(envoy.http("80", hosts + [otherwise_http]))]
        if self.network.six:
            envoy.listen("[::]_80", "::", 80, six, bound=False)
            envoy.listen("[::]_443", "::", 443, [chain(envoy.tcp(otherwise_tcp), transport_protocol="tls")], bound=False)
        envoy.listen("0.0.0.0_9080", "0.0.0.0", 9080, [chain(envoy.http("9080", hosts + [otherwise_http]))], bound=False)

        chains = []
        for host in DECLARED:
            cluster = envoy.cluster(f"outbound|443||{host}", (NAMES[host], 443))
            chains.append(chain(envoy.tcp(cluster), server_names=[host]))
        gateway_tls = envoy.cluster(f"outbound|443||{GATEWAY}", (GATEWAY_POD, 8443))
        chains.append(chain(envoy.tcp(gateway_tls), server_names=SNI_THROUGH_GATEWAY))
        sni_gateway = envoy.cluster(f"outbound|443||{SNI_GATEWAY}", (SNI_POD, 443))
        chains.append(chain(envoy.tcp(sni_gateway), server_names=["*.wild.example"]))
        wildcard = envoy.original_destination("outbound|443||*.direct.example")
        chains.append(chain(envoy.tcp(wildcard), server_names=["*.direct.example"]))
        vendor = envoy.cluster(f"outbound|443||{VENDOR_SERVICE}", (NAMES["vendor-service.example"], 443))
        chains.append(chain(envoy.tcp(vendor), server_names=["vendor-service.example"]))
        envoy.listen("0.0.0.0_443", "0.0.0.0", 443, chains, bound=False, default=chain(envoy.tcp(otherwise_tcp)))

        if otherwise_tcp == PASSTHROUGH:
            dynamic = envoy.dynamic("AllowAnyDynamicDNSCluster")
            anything = allow_any("AllowAnyDynamicDNSCluster", "allow_any_dynamic_dns")
            envoy.listen(
                "0.0.0.0_8081", "0.0.0.0", 8081, [chain(envoy.http("8081", [anything], dynamic))], bound=False)

        squid = envoy.cluster(f"outbound|3128||{SQUID_HOST}", (SQUID, 3128))
        envoy.listen(f"{SQUID}_3128", SQUID, 3128, [chain(envoy.tcp(squid))], bound=False, inspect=False)
        # the chain for those who dial Envoy's own port has no access log in Istio either
        black_hole = chain(
            [typed("envoy.filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy",
                   stat_prefix=BLACK_HOLE, cluster=BLACK_HOLE)],
            name="virtualOutbound-blackhole", destination_port=15001)
        for ip in ("0.0.0.0", "::") if self.network.six else ("0.0.0.0",):
            envoy.listen(
                f"virtualOutbound {ip}", ip, 15001, [black_hole], original=True, inspect=False,
                default=chain(envoy.tcp(otherwise_tcp), name="virtualOutbound-catchall-tcp"))

    def _sleep(self, envoy):
        self._sidecar(envoy, allow_any(), PASSTHROUGH)

    def _orders(self, envoy):
        self._sidecar(envoy, block_all(), BLACK_HOLE)

    def _batch(self, envoy):
        """A Sidecar resource with outboundTrafficPolicy.egressProxy: what is unknown goes to the gateway."""
        self._sidecar(envoy, allow_any(f"outbound|80||{GATEWAY}"), PASSTHROUGH)

    def _reviews(self, envoy):
        chains = []
        for port in (9080, 9090):
            cluster = envoy.original_destination(f"inbound|{port}||", bind="127.0.0.6")
            hosts = [{"name": f"inbound|http|{port}", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "name": "default", "route": {"cluster": cluster, "timeout": "0s"}}]}]
            chains.append(chain(envoy.http(f"inbound|{port}||", hosts), destination_port=port))
        envoy.listen("virtualInbound", "0.0.0.0", 15006, chains, original=True, inspect=False)

    # gateways

    def _gateway(self, envoy):
        client = self.certificates.client()
        hosts = [
            virtual_host(host, envoy.cluster(f"outbound|80||{host}", (NAMES[host], 80)))
            for host in ("gw.example", "gw6.example")]
        for host, tls in [("orig.example", {}), ("mtls.example", {"common_tls_context": client}), ("badtls.example", {})]:
            cluster = envoy.cluster(f"outbound|443||{host}", (NAMES[host], 443), tls={"sni": host, **tls})
            hosts.append(virtual_host(host, cluster))
        for host in ("refused-gw.example", "proxied.example", "hidden.example", "retried.example", "patient.example",
                     "ws-gw.example"):
            endpoint = NAMES.get(host, REFUSING)
            hosts.append(virtual_host(host, envoy.cluster(f"outbound|80||{host}", (endpoint, 80))))
        hosts.append(limited(virtual_host("limited.example", "outbound|80||gw.example"), requests=1))
        filters = [deny_http(RBAC_HTTP, "/admin"), fault("x-fault", 418), rate_limit()]
        again = [virtual_host("reid.example", envoy.cluster("outbound|80||reid.example", (NAMES["reid.example"], 80)))]
        envoy.listen(
            "0.0.0.0_8081", "0.0.0.0", 8081, [chain(envoy.http("http.8081", again, remote=True, trusting=False))], inspect=False)
        plain = [chain(envoy.http("http.8080", hosts, *filters, remote=True))]
        envoy.listen("0.0.0.0_8080", "0.0.0.0", 8080, plain, inspect=False)
        if self.network.six:
            envoy.listen("[::]_8080", "::", 8080, plain, inspect=False)

        passthrough = []
        for host in ("gw.example", "denied-tls.example"):
            cluster = envoy.cluster(f"outbound|443||{host}", (NAMES[host], 443))
            passthrough.append(chain(envoy.tcp(cluster, deny_tcp(RBAC_TCP, "denied-tls.example")), server_names=[host]))
        site = envoy.cluster("outbound|443||www.site.example", (NAMES["www.site.example"], 443))
        passthrough.append(chain(envoy.tcp(site), server_names=["*.site.example"]))
        passthrough.append(chain(envoy.tcp_by_name("sni-dynamic-forward-proxy"), server_names=["*.dyn.example"]))
        terminate = chain(envoy.http("https.8443", hosts, rate_limit(), remote=True), server_names=["front.example"])
        terminate["transport_socket"] = typed(
            "envoy.transport_sockets.tls", "transport_sockets.tls.v3.DownstreamTlsContext",
            common_tls_context={"tls_certificates": [{
                "certificate_chain": {"filename": self.certificates.path("server.pem")},
                "private_key": {"filename": self.certificates.path("server.key")}}]})
        envoy.listen("0.0.0.0_8443", "0.0.0.0", 8443, passthrough + [terminate])

    def _sni_gateway(self, envoy):
        proxy = envoy.cluster("outbound|8443||sni-proxy.local", ("127.0.0.1", 8443))
        envoy.listen("0.0.0.0_443", "0.0.0.0", 443, [chain(envoy.tcp(proxy), server_names=["*.wild.example"])])

    # processes

    def _subfolder(self, name, mode, user=None):
        path = os.path.join(self.folder, name)
        os.makedirs(path)
        os.chmod(path, mode)
        if user is not None:
            shutil.chown(path, user, user)
        return path

    def _start_envoy(self, space, build):
        envoy = Envoy(space.role, self.logs)
        build(envoy)
        path = os.path.join(self.folder, f"{space.role}.json")
        envoy.save(path)
        for name in FORMATS:
            log = os.path.join(self.logs, name, f"{space.role}.log")
            open(log, "w").close()
            os.chown(log, 1337, 1337)
        for name in ("server.key", "client.key"):
            os.chmod(self.certificates.path(name), 0o644)  # of a throw-away authority; user 1337 reads them
        return self.network.start(
            space, [self.binary, "-c", path, "--disable-hot-restart", "--concurrency", "1", "--file-flush-interval-msec",
                    "50", "--log-level", "error"], os.path.join(self.folder, f"{space.role}.out"), user=1337)

    def _start_nginx(self):
        folder = self._subfolder("nginx", 0o755)
        formats = "\n".join(f"  {text}" for text in NGINX_FORMATS.values())
        names = {key: text.split()[1] for key, text in NGINX_FORMATS.items()}
        logs = "\n".join(f"  access_log {self.logs}/{key}/sni-proxy.log {name};" for key, name in names.items())
        path = os.path.join(folder, "nginx.conf")
        with open(path, "w") as file:
            file.write(f"""load_module {tools.stream_module()};
user root;
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
stream {{
{formats}
{logs}
  resolver {DNS} ipv6=off;
  resolver_timeout 2s;
  preread_timeout 1s;
  proxy_connect_timeout 1s;
  server {{
    listen 8443;
    ssl_preread on;
    proxy_pass $ssl_preread_server_name:443;
  }}
}}
""")
        process = self.network.start(
            self.sni_gateway, [tools.find("nginx"), "-p", folder, "-c", path], os.path.join(folder, "out"))
        return self.sni_gateway, process, 8443

    def _start_squid(self):
        user = next(name for name in ("proxy", "squid", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
        folder = self._subfolder("squid", 0o755, user)
        helper = os.path.join(folder, "anybody")
        with open(helper, "w") as file:
            file.write("#!/bin/sh\nwhile read -r name; do echo OK; done\n")
        os.chmod(helper, 0o755)
        formats = "\n".join(text for text in SQUID_FORMATS.values() if text)
        logs = ""
        for key, text in SQUID_FORMATS.items():
            target = os.path.join(self.logs, key)
            shutil.chown(target, user, user)
            os.chmod(target, 0o777)
            open(f"{target}/squid.log", "w").close()
            shutil.chown(f"{target}/squid.log", user, user)
            logs += f"access_log stdio:{target}/squid.log logformat={text.split()[1] if text else 'squid'}\n"
        path = os.path.join(folder, "squid.conf")
        with open(path, "w") as file:
            file.write(f"""http_port 3128
visible_hostname squid.scene
cache_effective_user {user}
pid_filename {folder}/squid.pid
cache_log {folder}/cache.log
coredump_dir {folder}
cache deny all
pinger_enable off
netdb_filename none
dns_nameservers {DNS}
connect_timeout 1 second
forward_timeout 2 seconds
connect_retries 0
shutdown_lifetime 0 seconds
auth_param basic program {helper}
auth_param basic realm scene
{formats}
buffered_logs off
{logs}
acl forbidden dstdomain forbidden.example
acl members dstdomain members.example
acl known proxy_auth REQUIRED
http_access deny forbidden
http_access deny members !known
http_access allow all
""")
        process = self.network.start(
            self.squid, [tools.find("squid"), "-N", "-f", path], os.path.join(folder, "out"))
        return self.squid, process, 3128


POLICY = f"""# The mesh of the scenes, as its owner declares it.
mesh: {{ internal: [10.88.0.0/24, "fd00:88::/64", "*.svc.cluster.local"] }}
pods:
  - {{ name: sleep, addresses: [{SLEEP}, "{SLEEP6}"], sidecar: true }}
  - {{ name: orders, addresses: [{ORDERS}, "{ORDERS6}"], sidecar: true }}
  - {{ name: legacy, addresses: [{LEGACY}], sidecar: false }}
  - {{ name: reviews, addresses: [{REVIEWS_POD}], sidecar: true }}
  - {{ name: batch, addresses: [{BATCH}], sidecar: true }}
gateways:
  - {{ name: istio-egressgateway, hosts: [{GATEWAY}], addresses: [{GATEWAY_POD}, "{GATEWAY6}"] }}
  - {{ name: istio-egressgateway-with-sni-proxy, hosts: [{SNI_GATEWAY}], addresses: [{SNI_POD}] }}
sni_proxies: [ {{ name: sni-proxy, addresses: [127.0.0.1] }} ]
forward_proxies: [ {{ name: squid, hosts: [{SQUID_HOST}], addresses: [{SQUID}] }} ]
exceptions:
  - {{ host: exception.example, addresses: [198.51.100.20], port: 443, owner: payments, reason: "vendor cannot be proxied", expires: 2099-12-31 }}
"""
