"""The scenarios of Istio's egress tasks straight from the sidecar, and those over IPv6."""

import re

from . import clients
from .clients import request
from .mesh import BATCH, EXTERNAL_NAME, GATEWAY6, GATEWAY_POD, NAMES, ORDERS, ORDERS6, SILENT, SLEEP, SLEEP6
from .truth import Line, Old, OneOf, require, scenario

PASSTHROUGH = {"path": "passthrough", "bypass": "passthrough"}
DIRECT = {"path": "direct", "bypass": "direct-service-entry"}
NOTHING = {"path": "none"}


def sidecar(log="sleep", source=None, **columns):
    address = {"sleep": SLEEP, "orders": ORDERS, "batch": BATCH}[log]
    return Line(log, source_ip=source or address, **columns)


def to_gateway(pod=GATEWAY_POD, log="sleep", **columns):
    return sidecar(log, path="gateway", destination_ip=pod, **columns)


def at_gateway(log="gateway", source=SLEEP, **columns):
    return Line(log, **{"source_ip": source, "path": "gateway", "proven": True, **columns})


def template(path):
    """A path as flows carry it: numbers are no part of it."""
    return re.sub(r"/\d+(?=/|$)", "/*", path)


def gets(space, host, path, status=200, **columns):
    """GET by curl over plain HTTP."""
    answer = clients.curl(space, f"http://{host}{path}")
    require(answer == str(status), f"GET http://{host}{path} gave {answer}, not {status}")
    return {
        "host": host.rsplit(":", 1)[0] if host[-1].isdigit() and host.count(":") == 1 else host, "method": "GET", "url_path": template(path), "status": status,
        "protocol": "HTTP/1.1", "bytes_sent": 0,
        **columns}


def tls_of(exchange, host):
    require(exchange.status == 200, f"https://{host} gave {exchange.status}: {exchange.error}")
    return {
        "host": host, "protocol": "TCP", "status": 0, "outcome": "ok", "bytes_sent": exchange.sent,
        "bytes_received": exchange.received}


def https(space, host, path="/bytes/3000", address=None):
    """HTTPS with every byte counted."""
    return tls_of(clients.tls(space, address or NAMES[host], 443, host, request(host, path)), host)


def websocket(mesh, host):
    """One message each way."""
    upgrade = request(host, "/ws", headers=(
        "upgrade: websocket", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version: 13"))
    upgrade = upgrade.replace(b"connection: close", b"connection: Upgrade")
    exchange = clients.plain(mesh.sleep, NAMES[host], 80, [upgrade, b"\x81\x82\x00\x00\x00\x00hi"])
    require(exchange.status == 101, f"the upgrade gave {exchange.answer[:60]}")


# ALLOW_ANY and REGISTRY_ONLY


@scenario("allow-any-http", "undeclared host over HTTP under ALLOW_ANY")
def _(mesh):
    facts = gets(mesh.sleep, "plain.example", "/bytes/100", bytes_received=100)
    return [sidecar(destination_ip=NAMES["plain.example"], port=80, outcome="ok", **PASSTHROUGH, **facts)]


@scenario("allow-any-tls", "undeclared host over TLS under ALLOW_ANY")
def _(mesh):
    facts = https(mesh.sleep, "plain.example")
    return [sidecar(destination_ip=NAMES["plain.example"], port=443, **PASSTHROUGH, **facts)]


@scenario("allow-any-post", "an upload to an undeclared host")
def _(mesh):
    body = b"y" * 5000
    exchange = clients.plain(mesh.sleep, NAMES["plain.example"], 80, request("plain.example", "/in", "POST", body=body))
    require(exchange.status == 200, f"POST gave {exchange.answer[:60]}")
    return [sidecar(
        destination_ip=NAMES["plain.example"], host="plain.example", method="POST", url_path="/in", status=200, outcome="ok",
        bytes_sent=5000, bytes_received=2, **PASSTHROUGH)]


@scenario("allow-any-odd-port", "undeclared host on a port without a listener: a TCP line without a name")
def _(mesh):
    data = request("plain.example", "/bytes/50")
    exchange = clients.plain(mesh.sleep, NAMES["plain.example"], 8000, data)
    require(exchange.status == 200, f"port 8000 gave {exchange.answer[:60]}")
    return [sidecar(
        destination_ip=NAMES["plain.example"], port=8000, host=NAMES["plain.example"], protocol="TCP", outcome="ok",
        bytes_sent=exchange.sent, bytes_received=exchange.received, **PASSTHROUGH)]


@scenario("allow-any-dynamic-dns", "undeclared host under ALLOW_ANY_DYNAMIC_DNS: Envoy resolves the Host header itself")
def _(mesh):
    exchange = clients.plain(mesh.sleep, NAMES["evil.example"], 8081, request("plain.example:8000", "/bytes/56"))
    require(exchange.status == 200, f"the dynamic name gave {exchange.answer[:80]}")
    return [sidecar(
        destination_ip=NAMES["plain.example"], host="plain.example", outcome="ok", bytes_received=56, **PASSTHROUGH)]


@scenario("registry-only-http", "undeclared host over HTTP under REGISTRY_ONLY")
def _(mesh):
    facts = gets(mesh.orders, "plain.example", "/blocked", 502)
    return [sidecar("orders", outcome="blocked", reason="registry-only-http", **NOTHING, **facts)]


@scenario("registry-only-tls", "undeclared host over TLS under REGISTRY_ONLY")
def _(mesh):
    exchange = clients.tls(mesh.orders, NAMES["plain.example"], 443, "plain.example", request("plain.example", "/"))
    require(exchange.received == 0, "TLS under REGISTRY_ONLY was answered")
    return [sidecar("orders", host="plain.example", outcome="blocked", reason="registry-only-tcp", protocol="TCP", **NOTHING)]


@scenario("registry-only-tls-nameless", "undeclared address over TLS without a name under REGISTRY_ONLY")
def _(mesh):
    clients.openssl(mesh.orders, NAMES["plain.example"], 443, "-noservername")
    return [sidecar("orders", outcome="blocked", reason="registry-only-tcp", host=NAMES["plain.example"], **NOTHING)]


@scenario("registry-only-declared", "a declared host still works under REGISTRY_ONLY")
def _(mesh):
    facts = gets(mesh.orders, "declared.example", "/bytes/10", bytes_received=10)
    return [sidecar("orders", destination_ip=NAMES["declared.example"], outcome="ok", **DIRECT, **facts)]


# ServiceEntries straight from the sidecar


@scenario("service-entry-http", "declared host over HTTP, straight from the sidecar")
def _(mesh):
    facts = gets(mesh.sleep, "declared.example", "/bytes/200", bytes_received=200)
    return [sidecar(destination_ip=NAMES["declared.example"], port=80, outcome="ok", **DIRECT, **facts)]


@scenario("service-entry-https", "declared host over TLS, straight from the sidecar")
def _(mesh):
    facts = https(mesh.sleep, "declared.example")
    return [sidecar(destination_ip=NAMES["declared.example"], port=443, **DIRECT, **facts)]


@scenario("service-entry-timeout", "the route's timeout of one second: 504")
def _(mesh):
    facts = gets(mesh.sleep, "slow.example", "/slow/1500", 504)
    return [sidecar(destination_ip=NAMES["slow.example"], outcome="timeout", **DIRECT, **facts)]


@scenario("server-errors", "a 500 and a 403 of the server itself: one failure, no policy")
def _(mesh):
    error = gets(mesh.sleep, "declared.example", "/status/500", 500)
    refusal = gets(mesh.sleep, "declared.example", "/status/403", 403)
    return [
        sidecar(journey="a", outcome="failed", **DIRECT, **error), sidecar(journey="b", outcome="ok", **DIRECT, **refusal)]


@scenario("refused-http", "a declared host that refuses connections, over HTTP")
def _(mesh):
    facts = gets(mesh.sleep, "refused.example", "/x", 503)
    return [sidecar(outcome="failed", reason=Old(OneOf("connection-refused", "connection-failure", "upstream-5xx"),
                                                 "connection-refused"), **DIRECT, **facts)]


@scenario("refused-tls", "a declared host that refuses connections, over TLS")
def _(mesh):
    exchange = clients.tls(mesh.sleep, NAMES["refused.example"], 443, "refused.example", request("refused.example", "/"))
    require(exchange.received == 0, "a refusing host answered")
    return [sidecar(host="refused.example", outcome="failed", **DIRECT)]


@scenario("silent-http", "packets to a declared host are dropped, as a network policy does it: connection attempts time out")
def _(mesh):
    facts = gets(mesh.sleep, "silent.example", "/x", 503)
    return [sidecar(destination_ip=SILENT, outcome=OneOf("failed", "timeout"), **DIRECT, **facts)]


@scenario("silent-tls", "packets to a declared host are dropped, over TLS")
def _(mesh):
    exchange = clients.tls(mesh.sleep, SILENT, 443, "silent.example", request("silent.example", "/"))
    require(exchange.received == 0, "a silent host answered")
    return [sidecar(host="silent.example", destination_ip=SILENT, outcome=OneOf("failed", "timeout"), **DIRECT)]


@scenario("tls-origination-in-sidecar", "HTTP from the workload, TLS from its sidecar")
def _(mesh):
    facts = gets(mesh.sleep, "side.example", "/bytes/300", bytes_received=300)
    # the port is the one that the workload asked for
    return [sidecar(destination_ip=NAMES["side.example"], port=80, outcome="ok", **DIRECT, **facts)]


@scenario("mutual-tls-origination-in-sidecar", "HTTP from the workload, mutual TLS from its sidecar")
def _(mesh):
    facts = gets(mesh.sleep, "side-mtls.example", "/bytes/301", bytes_received=301)
    return [sidecar(destination_ip=NAMES["side-mtls.example"], port=80, outcome="ok", **DIRECT, **facts)]


@scenario("websocket", "a WebSocket that the server ends: 101 UC")
def _(mesh):
    websocket(mesh, "ws.example")
    return [sidecar(host="ws.example", url_path="/ws", status=101, outcome="ok", **DIRECT)]


@scenario("server-breaks-off-late", "a server that closes in the middle of its answer")
def _(mesh):
    clients.plain(mesh.sleep, NAMES["declared.example"], 80, request("declared.example", "/half"))
    return [sidecar(host="declared.example", url_path="/half", status=200, outcome="failed", **DIRECT)]


@scenario("keep-alive", "two requests over one connection of the client")
def _(mesh):
    url = "http://declared.example"
    options = [f"{url}/alive/one", "-o", "/dev/null"]
    require(clients.curl(mesh.sleep, f"{url}/alive/two", *options) == "200", "the kept connection broke")
    return [
        sidecar(journey=path, host="declared.example", url_path=f"/alive/{path}", status=200, outcome="ok", **DIRECT)
        for path in ("one", "two")]


@scenario("http2-from-the-workload", "a workload that speaks HTTP/2 itself to an undeclared host")
def _(mesh):
    answer = clients.curl(mesh.sleep, "http://plain.example/h2", "--http2-prior-knowledge")
    # the server speaks HTTP/1.1 only, and PassthroughCluster does not translate from what the client chose
    require(answer in ("200", "502", "503"), f"HTTP/2 gave {answer}")
    return [sidecar(
        host="plain.example", url_path="/h2", destination_ip=NAMES["plain.example"], status=int(answer),
        outcome="ok" if answer == "200" else "failed", **PASSTHROUGH)]


@scenario("no-endpoints", "a declared host without endpoints, and one whose cluster is missing: the mesh's own faults")
def _(mesh):
    lines = []
    for host in ("empty.example", "missing.example"):
        exchange = clients.plain(mesh.sleep, NAMES["plain.example"], 80, request(host, "/x"))
        require(exchange.status == 503, f"{host} gave {exchange.status}")
        lines.append(sidecar(journey=host, host=host, status=503, outcome="mesh-fault", **NOTHING))
    return lines


@scenario("client-leaves", "the client hangs up before the answer: 0 DC")
def _(mesh):
    clients.plain(mesh.sleep, NAMES["declared.example"], 80, request("declared.example", "/slow/700"), wait=0.2)
    return [sidecar(host="declared.example", url_path="/slow/*", status=0, outcome="client-gone", **DIRECT)]


@scenario("kubernetes-service", "a Kubernetes Service with outside endpoints: an inside name, an outside address")
def _(mesh):
    facts = https(mesh.sleep, "vendor-service.example")
    return [sidecar(destination_ip=NAMES["vendor-service.example"], port=443, **DIRECT, **facts)]


@scenario("kubernetes-external-name", "a Kubernetes Service of type ExternalName over HTTP: an inside name, an outside address")
def _(mesh):
    facts = gets(mesh.sleep, EXTERNAL_NAME, "/bytes/302", bytes_received=302)
    return [sidecar(destination_ip=NAMES[EXTERNAL_NAME], port=80, outcome="ok", **DIRECT, **facts)]


@scenario("wildcard-direct", "a wildcard ServiceEntry without a gateway")
def _(mesh):
    facts = https(mesh.sleep, "en.direct.example")
    return [sidecar(destination_ip=NAMES["en.direct.example"], port=443, **DIRECT, **facts)]


# IPv6


@scenario("ipv6-allow-any", "undeclared hosts over IPv6")
def _(mesh):
    facts = gets(mesh.sleep, "plain6.example", "/bytes/57", bytes_received=57)
    exchange = clients.tls(mesh.sleep, NAMES["plain6.example"], 443, "plain6.example", request("plain6.example", "/bytes/3000"))
    common = {"source": SLEEP6, "destination_ip": NAMES["plain6.example"], **PASSTHROUGH}
    return [
        sidecar(journey="a", outcome="ok", **common, **facts),
        sidecar(journey="b", **common, **tls_of(exchange, "plain6.example"))]


@scenario("ipv6-registry-only", "undeclared hosts over IPv6 under REGISTRY_ONLY")
def _(mesh):
    facts = gets(mesh.orders, "plain6.example", "/blocked", 502)
    clients.tls(mesh.orders, NAMES["plain6.example"], 443, "plain6.example", request("plain6.example", "/"))
    return [
        sidecar("orders", journey="a", source=ORDERS6, outcome="blocked", reason="registry-only-http", **NOTHING, **facts),
        sidecar("orders", journey="b", source=ORDERS6, host="plain6.example", outcome="blocked", reason="registry-only-tcp",
                **NOTHING)]


@scenario("ipv6-nameless", "an address in brackets as Host, and TLS without a name, over IPv6")
def _(mesh):
    address = NAMES["plain6.example"]
    facts = gets(mesh.sleep, f"[{address}]", "/bytes/58", bytes_received=58)
    clients.openssl(mesh.sleep, f"[{address}]", 443, "-noservername")
    common = {"source": SLEEP6, "destination_ip": address, **PASSTHROUGH}
    return [
        sidecar(journey="a", outcome="ok", **common, **{**facts, "host": address}),
        sidecar(journey="b", host=address, **common)]


@scenario("ipv6-gateway", "through the egress gateway, IPv6 on both sides of it")
def _(mesh):
    facts = gets(mesh.sleep, "gw6.example", "/bytes/59", bytes_received=59, outcome="ok")
    return [
        to_gateway(GATEWAY6, source=SLEEP6, **facts),
        at_gateway(source=SLEEP6, destination_ip=NAMES["gw6.example"], port=80, **{**facts, "protocol": "HTTP/2"})]
