"""The scenarios of Istio's egress tasks with a proxy behind the mesh: SNI proxy and Squid; and traffic that stays in the mesh."""

import base64
import concurrent.futures
import time

from . import clients
from .clients import request
from .mesh import NAMES, REVIEWS, REVIEWS_POD, SLEEP, SNI_POD, SQUID
from .tasks import NOTHING, at_gateway, gets, sidecar, to_gateway
from .truth import Line, OneOf, require, scenario

# the SNI proxy behind a gateway


def through_sni_proxy(mesh, host):
    exchange = clients.tls(mesh.sleep, NAMES["a.wild.example"], 443, host, request(host, "/bytes/3000"))
    common = {"host": host, "protocol": "TCP", "bytes_sent": exchange.sent, "bytes_received": exchange.received}
    return exchange, common, [
        to_gateway(SNI_POD, outcome="ok", **common), at_gateway("sni-gateway", destination_ip="127.0.0.1", outcome="ok", **common)]


@scenario("wildcard-sni-proxy", "a wildcard host through the gateway and its SNI proxy")
def _(mesh):
    exchange, common, lines = through_sni_proxy(mesh, "a.wild.example")
    require(exchange.status == 200, f"the SNI proxy gave {exchange.status}")
    # nginx before 1.25.5 leaves the ClientHello, which it only peeked at, out
    common["bytes_sent"] = OneOf(exchange.sent - exchange.hello, exchange.sent)
    return lines + [Line("sni-proxy", source_ip="127.0.0.1", path="sni-proxy", outcome="ok", **common)]


def in_crowd(exchanges):
    """The lines of connections that ran at the same time."""
    lines = []
    for host, exchange in exchanges.items():
        require(exchange.status == 200, f"{host} gave {exchange.status}: {exchange.error}")
        common = {"host": host, "journey": host, "marker": host, "outcome": "ok", "bytes_received": exchange.received}
        lines += [
            to_gateway(SNI_POD, bytes_sent=exchange.sent, **common),
            at_gateway("sni-gateway", destination_ip="127.0.0.1", bytes_sent=exchange.sent, **common),
            Line("sni-proxy", source_ip="127.0.0.1", path="sni-proxy", **common)]
    return lines


@scenario("wildcard-crowd", "eight connections at once through gateway and SNI proxy, half of them equal to the byte")
def _(mesh):
    hosts = [f"{letter}.crowd.wild.example" for letter in "abcdefgh"]

    def visit(host):
        size = 3000 if host < "e" else 3000 + 100 * ord(host[0])
        return clients.tls(mesh.sleep, NAMES["a.wild.example"], 443, host, request(host, f"/bytes/{size}"))

    with concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
        exchanges = dict(zip(hosts, pool.map(visit, hosts)))
    return in_crowd(exchanges)


@scenario("wildcard-late", "a tunnel that opens first and closes last: its lines come after those of a shorter one")
def _(mesh):
    hosts = {"y.crowd.wild.example": "/slow/900", "z.crowd.wild.example": "/bytes/3000"}

    def visit(host):
        if host.startswith("z"):
            time.sleep(0.3)
        return clients.tls(mesh.sleep, NAMES["a.wild.example"], 443, host, request(host, hosts[host]))

    with concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
        exchanges = dict(zip(hosts, pool.map(visit, hosts)))
    return in_crowd(exchanges)


@scenario("wildcard-unknown-name", "a name that the SNI proxy cannot resolve: only nginx shows it")
def _(mesh):
    _, _, lines = through_sni_proxy(mesh, "nosuch.wild.example")
    return lines + [Line(
        "sni-proxy", source_ip="127.0.0.1", host="nosuch.wild.example", status=500, path="none", outcome="failed")]


@scenario("wildcard-refused", "a host that refuses the SNI proxy: 502")
def _(mesh):
    _, _, lines = through_sni_proxy(mesh, "refused.wild.example")
    return lines + [Line(
        "sni-proxy", source_ip="127.0.0.1", host="refused.wild.example", status=502, outcome="failed",
        path=OneOf("sni-proxy", "none"))]


# Squid


def to_squid(exchange, **columns):
    return sidecar(
        path="proxy", destination_ip=SQUID, port=3128, protocol="TCP", outcome="ok", bytes_sent=exchange.sent,
        bytes_received=exchange.received, **columns)


def at_squid(**columns):
    return Line("squid", **{"source_ip": SLEEP, "path": "proxy", "proven": True, **columns})


@scenario("squid-tunnel", "a tunnel through Squid, through the sidecar")
def _(mesh):
    host = "tunnel.example"
    exchange = clients.tls(mesh.sleep, SQUID, 3128, host, request(host, "/bytes/2500"), connect=f"{host}:443")
    require(exchange.status == 200, f"the tunnel gave {exchange.status}: {exchange.error}")
    return [to_squid(exchange), at_squid(
        host=host, port=443, destination_ip=NAMES[host], method="CONNECT", status=200, outcome="ok",
        bytes_received=exchange.received)]


@scenario("squid-get", "a plain request through Squid, through the sidecar")
def _(mesh):
    exchange = clients.plain(mesh.sleep, SQUID, 3128, request(
        "tunnel.example", "", target="http://tunnel.example/bytes/60?token=secret"))
    require(exchange.status == 200, f"Squid gave {exchange.answer[:60]}")
    return [to_squid(exchange), at_squid(
        host="tunnel.example", port=80, destination_ip=NAMES["tunnel.example"], method="GET", status=200, outcome="ok",
        url_path="/bytes/*", bytes_received=exchange.received)]


@scenario("squid-kept-connection", "two plain requests over one connection to Squid: one line of the sidecar, two of Squid")
def _(mesh):
    def of(number, **more):
        return request("tunnel.example", "", target=f"http://tunnel.example/bytes/{number}", **more)

    first = of(62).replace(b"connection: close", b"proxy-connection: keep-alive")
    exchange = clients.plain(mesh.sleep, SQUID, 3128, [first, of(63)])
    require(exchange.answer.count(b" 200 ") == 2, f"Squid gave {exchange.answer[:60]}")
    # the client has a sidecar, and used it: whatever joins, nothing may be claimed
    return [to_squid(exchange, loose=True)] + [
        at_squid(host="tunnel.example", method="GET", status=200, outcome="ok", loose=True, proven=None) for _ in range(2)]


@scenario("squid-denied", "a host that Squid's access rules refuse, which looks fine to the sidecar")
def _(mesh):
    host = "forbidden.example"
    exchange = clients.tls(mesh.sleep, SQUID, 3128, host, b"", connect=f"{host}:443")
    require(exchange.status == 403, f"Squid gave {exchange.status}")
    return [to_squid(exchange), at_squid(
        host=host, port=443, method="CONNECT", status=403, outcome="blocked", reason="squid-denied", **NOTHING)]


@scenario("squid-challenge", "Squid asks for a password, and gets it")
def _(mesh):
    host = "members.example"
    first = clients.tls(mesh.sleep, SQUID, 3128, host, b"", connect=f"{host}:443")
    require(first.status == 407, f"Squid gave {first.status}")
    word = base64.b64encode(b"somebody:secret").decode()
    second = clients.tls(
        mesh.sleep, SQUID, 3128, host, request(host, "/bytes/10"), connect=f"{host}:443",
        headers=[f"proxy-authorization: Basic {word}"])
    require(second.status == 200, f"Squid gave {second.status} with a password")
    return [
        to_squid(first, journey="a"), to_squid(second, journey="b"),
        at_squid(journey="a", host=host, status=407, outcome="challenge", **NOTHING),
        at_squid(journey="b", host=host, status=200, outcome="ok", bytes_received=second.received)]


@scenario("squid-failures", "a refusing server and an unknown name behind Squid")
def _(mesh):
    lines = []
    for host in ("refused.example", "nosuch.example"):
        # Squid's line shows neither port nor bytes: only the time tells two failures of one client apart
        time.sleep(0.4)
        exchange = clients.tls(mesh.sleep, SQUID, 3128, host, b"", connect=f"{host}:443")
        require(exchange.status in (500, 502, 503), f"Squid gave {exchange.status} for {host}")
        lines += [
            to_squid(exchange, journey=host),
            at_squid(journey=host, host=host, method="CONNECT", outcome="failed", path=OneOf("proxy", "none"))]
    return sorted(lines, key=lambda line: line.log)


@scenario("squid-client-leaves", "the client hangs up before Squid's server has answered")
def _(mesh):
    exchange = clients.plain(mesh.sleep, SQUID, 3128, request(
        "tunnel.example", "", target="http://tunnel.example/slow/700"), wait=0.2)
    return [
        sidecar(path="proxy", destination_ip=SQUID, port=3128, bytes_sent=exchange.sent),
        at_squid(host="tunnel.example", method="GET", url_path="/slow/*", outcome="client-gone")]


@scenario("squid-odd-port", "a tunnel to the port of SSH, which nobody serves there")
def _(mesh):
    host = "tunnel.example"
    exchange = clients.tls(mesh.sleep, SQUID, 3128, host, b"", connect=f"{host}:22")
    require(exchange.status in (502, 503), f"Squid gave {exchange.status}")
    return [to_squid(exchange), at_squid(host=host, port=22, outcome="failed", path=OneOf("proxy", "none"))]


# in the mesh


@scenario("in-mesh", "a call to another pod: sidecar and server side, no egress")
def _(mesh):
    facts = gets(mesh.sleep, f"{REVIEWS}:9080", "/bytes/30", bytes_received=30, outcome="ok")
    return [
        sidecar(destination_ip=REVIEWS_POD, path="internal", **facts),
        Line("reviews", source_ip=SLEEP, path="internal", **facts)]


@scenario("in-mesh-passthrough", "a scrape by pod address: PassthroughCluster, and yet no egress")
def _(mesh):
    exchange = clients.plain(mesh.sleep, REVIEWS_POD, 9090, request(f"{REVIEWS_POD}:9090", "/metrics"))
    require(exchange.status == 200, f"the pod gave {exchange.answer[:60]}")
    return [
        sidecar(destination_ip=REVIEWS_POD, port=9090, path="internal", outcome="ok", bytes_received=exchange.received),
        Line("reviews", source_ip=SLEEP, path="internal", outcome="ok", url_path="/metrics")]


