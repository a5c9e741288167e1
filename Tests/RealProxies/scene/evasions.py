"""Ways round the gateway, and words that are meant to mislead whoever reads the log."""

import socket

from . import clients, tools
from .clients import request
from .mesh import GATEWAY, GATEWAY_POD, LEGACY, METADATA, NAMES, ORDERS, REFUSING, REVIEWS_POD, SLEEP, SNI_POD, SQUID
from .proxies import at_squid, to_squid
from .tasks import DIRECT, NOTHING, PASSTHROUGH, at_gateway, gets, https, sidecar, to_gateway
from .truth import Declared, Line, OneOf, require, scenario

EVIL = NAMES["evil.example"]


# what the names say is not where the bytes go


@scenario("spoofed-host-no-resolution", "resolution NONE: an allowed Host header sent to another address")
def _(mesh):
    exchange = clients.plain(mesh.sleep, EVIL, 80, request("none.example", "/bytes/40"))
    require(exchange.status == 200, f"the other server gave {exchange.answer[:60]}")
    return [sidecar(host="none.example", destination_ip=EVIL, outcome="ok", bytes_received=40, **DIRECT)]


@scenario("spoofed-host-resolved", "resolution DNS: Envoy connects to the true address, whatever was dialled")
def _(mesh):
    exchange = clients.plain(mesh.sleep, EVIL, 80, request("declared.example", "/bytes/41"))
    require(exchange.status == 200, f"the server gave {exchange.answer[:60]}")
    return [sidecar(
        host="declared.example", destination_ip=NAMES["declared.example"], outcome="ok", bytes_received=41, **DIRECT)]


@scenario("spoofed-mesh-host", "the name of a mesh service as Host, sent out of the mesh through PassthroughCluster")
def _(mesh):
    host = "istio-egressgateway.istio-system.svc.cluster.local"
    exchange = clients.plain(mesh.sleep, EVIL, 80, request(host, "/bytes/42"))
    require(exchange.status == 200, f"the server gave {exchange.answer[:60]}")
    return [sidecar(host=host, destination_ip=EVIL, outcome="ok", bytes_received=42, **PASSTHROUGH)]


@scenario("spoofed-sni", "an allowed wildcard name as SNI, sent to another address")
def _(mesh):
    exchange = clients.tls(mesh.sleep, EVIL, 443, "en.direct.example", request("evil.example", "/bytes/3000"))
    require(exchange.status == 200, f"the server gave {exchange.status}")
    return [sidecar(
        host="en.direct.example", destination_ip=EVIL, bytes_sent=exchange.sent, bytes_received=exchange.received, **DIRECT)]


@scenario("fronting", "SNI of one host, authority of another, where the gateway opens the TLS")
def _(mesh):
    exchange = clients.tls(
        mesh.sleep, NAMES["front.example"], 443, "front.example", request("hidden.example", "/bytes/43"))
    require(exchange.status == 200, f"the gateway gave {exchange.status}: {exchange.error}")
    return [
        to_gateway(host="front.example", bytes_sent=exchange.sent, bytes_received=exchange.received),
        at_gateway(
            host="hidden.example", destination_ip=NAMES["hidden.example"], outcome="ok", bytes_received=43,
            warnings=["host-mismatch"])]


@scenario("gateway-no-route", "a host that the gateway has no route for")
def _(mesh):
    exchange = clients.tls(
        mesh.sleep, NAMES["front.example"], 443, "front.example", request("front.example", "/x"))
    require(exchange.status == 404, f"the gateway gave {exchange.status}: {exchange.error}")
    return [
        to_gateway(host="front.example"),
        at_gateway(host="front.example", status=404, outcome="blocked", reason="no-route", **NOTHING)]


@scenario("no-sni", "TLS without a name")
def _(mesh):
    clients.openssl(mesh.sleep, NAMES["plain.example"], 443, "-noservername")
    return [sidecar(host=NAMES["plain.example"], destination_ip=NAMES["plain.example"], port=443, **PASSTHROUGH)]


@scenario("invalid-sni", "a server name with a space in it")
def _(mesh):
    clients.openssl(mesh.sleep, NAMES["plain.example"], 443, "-servername", "allowed.example x")
    return [sidecar(destination_ip=NAMES["plain.example"], port=443, warnings=["sni-invalid"], **PASSTHROUGH)]


@scenario("address-as-host", "an address instead of a name over HTTP")
def _(mesh):
    facts = gets(mesh.sleep, EVIL, "/bytes/44", bytes_received=44)
    return [sidecar(destination_ip=EVIL, outcome="ok", **PASSTHROUGH, **facts)]


@scenario("odd-authority", "capitals, a port and a dot at the end of the Host header")
def _(mesh):
    lines = []
    for number, host in enumerate(("PLAIN.example:80", "plain.example.", "plain.EXAMPLE.:80")):
        exchange = clients.plain(mesh.sleep, NAMES["plain.example"], 80, request(host, "/bytes/45"))
        require(exchange.status == 200, f"Host {host} gave {exchange.answer[:60]}")
        lines.append(sidecar(
            journey=number, host="plain.example", destination_ip=NAMES["plain.example"], outcome="ok", **PASSTHROUGH))
    return lines


@scenario("absolute-form", "an absolute-form target overrides the Host header")
def _(mesh):
    exchange = clients.plain(mesh.sleep, NAMES["plain.example"], 80, request(
        GATEWAY, "", target="http://plain.example/bytes/46"))
    require(exchange.status == 200, f"absolute form gave {exchange.answer[:60]}")
    return [sidecar(
        host="plain.example", url_path="/bytes/*", destination_ip=NAMES["plain.example"], outcome="ok", **PASSTHROUGH)]


# headers that lie


@scenario("forged-forwarded-for", "a forged X-Forwarded-For becomes the sidecar's remote address")
def _(mesh):
    header = ["x-forwarded-for: 1.2.3.4"]
    first = clients.plain(mesh.sleep, NAMES["plain.example"], 80, request("plain.example", "/bytes/47", headers=header))
    second = clients.plain(mesh.sleep, NAMES["gw.example"], 80, request("gw.example", "/bytes/48", headers=header))
    require(first.status == second.status == 200, "a forged header was refused")
    forged = OneOf(SLEEP, "1.2.3.4", None)
    return [
        sidecar(journey="a", source=forged, host="plain.example", destination_ip=NAMES["plain.example"], outcome="ok",
                warnings=["xff-source"], **PASSTHROUGH),
        to_gateway(journey="b", source=forged, host="gw.example", outcome="ok", warnings=["xff-source"]),
        at_gateway(journey="b", host="gw.example", outcome="ok")]


@scenario("forwarded-for-with-a-port", "a forged X-Forwarded-For with a port, over an undeclared and a declared host")
def _(mesh):
    lines = []
    for host, way in (("plain.example", PASSTHROUGH), ("declared.example", DIRECT)):
        header = ["x-forwarded-for: 1.2.3.4:5678"]
        exchange = clients.plain(mesh.sleep, NAMES[host], 80, request(host, "/bytes/67", headers=header))
        require(exchange.status == 200, "a forged header was refused")
        lines.append(sidecar(
            journey=host, source=OneOf(SLEEP, "1.2.3.4", None), host=host, destination_ip=NAMES[host], outcome="ok", **way))
    return lines


@scenario("forwarded-for-a-neighbour", "a forged X-Forwarded-For with the address of another pod of the mesh")
def _(mesh):
    header = [f"x-forwarded-for: {ORDERS}"]
    first = clients.plain(mesh.sleep, NAMES["plain.example"], 80, request("plain.example", "/bytes/65", headers=header))
    second = clients.plain(mesh.legacy, GATEWAY_POD, 8080, request("gw.example", "/bytes/66", headers=header))
    require(first.status == second.status == 200, "a forged header was refused")
    return [
        sidecar(journey="a", source=OneOf(SLEEP, ORDERS, None), host="plain.example", outcome="ok",
                destination_ip=NAMES["plain.example"], warnings=["xff-source"], **PASSTHROUGH),
        at_gateway(journey="b", source=LEGACY, host="gw.example", outcome="ok", claim="no-sidecar", proven=None)]


GATEWAY_COLUMNS = (
    f'x" "0aa0aa0a-0aa0-4aa0-8aa0-0aa0aa0aa0aa" "allowed.example" "{GATEWAY_POD}:8080" outbound|80||{GATEWAY} '
    f'{SLEEP}:40000 {GATEWAY_POD}:8080 {SLEEP}:40001 - default')
USER_AGENTS = [
    'quote"inside"ua', "trailing backslash\\", '" 200 - "-" "forged" 0 0', "", "-", "a\ttab", "\udcff\udce9", "[2026-01-01T00:00:00.000Z]",
    GATEWAY_COLUMNS, f'{GATEWAY_COLUMNS}" "', '" "-" "-" "-', '" 0 0 0 - "-" "x" "y" "z" "10.88.0.20:8080" -',
]


@scenario("forged-user-agents", "user agents with quotes, columns and whole ends of lines in them; Envoy writes them as they are")
def _(mesh):
    lines = []
    for number, agent in enumerate(USER_AGENTS):
        header = [f"user-agent: {agent}"]
        exchange = clients.plain(
            mesh.sleep, NAMES["plain.example"], 80, request("plain.example", "/bytes/49", headers=header))
        require(exchange.status == 200, f"user agent {agent!r} gave {exchange.answer[:60]}")
        lines.append(sidecar(
            journey=number, host="plain.example", destination_ip=NAMES["plain.example"], status=200, bytes_received=49,
            outcome="ok", ambiguous='"' in agent, **PASSTHROUGH))
    return lines


@scenario("forged-ids", "request ids and forwarded addresses with columns in them")
def _(mesh):
    lines = []
    for number, header in enumerate((
        f'x-request-id: a" "allowed.example" "{GATEWAY_POD}:8080" outbound|80||{GATEWAY} - - - - -',
        'x-forwarded-for: 9.9.9.9" "curl" "id" "allowed.example" "-', "x-request-id: same-id", "x-request-id: same-id",
        'x-envoy-original-path: /x" "y',
    )):
        exchange = clients.plain(
            mesh.sleep, NAMES["plain.example"], 80, request("plain.example", "/bytes/50", headers=[header]))
        require(exchange.status == 200, f"{header!r} gave {exchange.answer[:60]}")
        lines.append(sidecar(
            journey=number, source=OneOf(SLEEP, "9.9.9.9", None), host="plain.example",
            destination_ip=NAMES["plain.example"], status=200, outcome="ok", ambiguous='"' in header, **PASSTHROUGH))
    return lines


@scenario("forged-query", "a query with quotes and columns; the path before it stays what it is")
def _(mesh):
    query = '/q?x="y"&z=1"%20200%20-%20"'
    exchange = clients.plain(mesh.sleep, NAMES["plain.example"], 80, request("plain.example", query))
    require(exchange.status == 200, f"the query gave {exchange.answer[:60]}")
    return [sidecar(
        host="plain.example", destination_ip=NAMES["plain.example"], url_path="/q", outcome="ok", ambiguous=True, **PASSTHROUGH)]


@scenario("refused-shapes", "requests that Envoy refuses for their shape; nothing leaves")
def _(mesh):
    shapes = [
        b"GET / HTTP/1.1\r\nhost: <script>alert(1)</script>\r\nconnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: plain.example\r\nuser-agent: \x1b[31mred\r\nconnection: close\r\n\r\n",
    ]
    lines = []
    for number, shape in enumerate(shapes):
        exchange = clients.plain(mesh.sleep, NAMES["plain.example"], 80, shape)
        require(exchange.status == 400, f"{shape[:40]!r} gave {exchange.answer[:60]}")
        lines.append(sidecar(journey=number, status=400, outcome="failed", **NOTHING))
    return lines


# round the gateway


@scenario("exception", "undeclared, and allowed by an exception of the policy: still what it is")
def _(mesh):
    facts = https(mesh.sleep, "exception.example")
    return [sidecar(destination_ip=NAMES["exception.example"], **PASSTHROUGH, **facts)]


@scenario("sni-proxy-past-the-gateway", "a pod with a sidecar calls the SNI proxy without the gateway before it")
def _(mesh):
    host = "b.wild.example"
    exchange = clients.tls(mesh.sleep, SNI_POD, 8443, host, request(host, "/bytes/3000"))
    require(exchange.status == 200, f"the SNI proxy gave {exchange.status}")
    return [
        sidecar(destination_ip=SNI_POD, port=8443, path=OneOf("sni-proxy", "gateway", "unknown"), outcome="ok",
                bytes_sent=exchange.sent, bytes_received=exchange.received),
        Line("sni-proxy", source_ip=SLEEP, host=host, path="sni-proxy", outcome="ok", claim="sni-proxy-direct",
             bytes_received=exchange.received)]


@scenario("sni-proxy-without-sidecar", "a pod without a sidecar calls the SNI proxy")
def _(mesh):
    host = "b.wild.example"
    exchange = clients.tls(mesh.legacy, SNI_POD, 8443, host, request(host, "/bytes/3000"))
    require(exchange.status == 200, f"the SNI proxy gave {exchange.status}")
    return [Line(
        "sni-proxy", source_ip=LEGACY, host=host, path="sni-proxy", outcome="ok", claim="sni-proxy-direct",
        bytes_received=exchange.received)]


@scenario("sni-proxy-odd-clients", "no name, no TLS, a probe and a name full of columns, straight at the SNI proxy")
def _(mesh):
    clients.openssl(mesh.legacy, SNI_POD, 8443, "-noservername")
    clients.plain(mesh.legacy, SNI_POD, 8443, b"GET / HTTP/1.1\r\n\r\n")
    clients.probe(mesh.legacy, SNI_POD, 8443)
    clients.openssl(mesh.legacy, SNI_POD, 8443, "-servername", "x]200 1 1 1.wild.example")
    failed = {"source_ip": LEGACY, "path": "none", "outcome": "failed", "status": 500}
    return [
        Line("sni-proxy", journey=0, host=None, **failed), Line("sni-proxy", journey=1, host=None, **failed),
        Line("sni-proxy", journey=2, host=None, source_ip=LEGACY, path="none", outcome="noise"),
        Line("sni-proxy", journey=3, ambiguous=True, **failed)]


@scenario("sni-proxy-loopback-name", "the server name 127.0.0.1 makes the SNI proxy call its own pod's gateway")
def _(mesh):
    clients.openssl(mesh.legacy, SNI_POD, 8443, "-servername", "127.0.0.1")
    # nginx logs no port of its own: nothing joins the two
    return [
        Line("sni-proxy", journey="a", source_ip=LEGACY, claim="sni-proxy-direct", path=OneOf("sni-proxy", "none"),
             outcome=OneOf("ok", "failed")),
        Line("sni-gateway", journey="b", source_ip="127.0.0.1", outcome="blocked", reason="no-route", **NOTHING)]


@scenario("imitated-request", "a pod without a sidecar sends the id, the path and the address of a sidecar's request")
def _(mesh):
    headers = ["x-request-id: 5e1f0000-0000-4000-8000-00000000c0de"]
    first = clients.plain(mesh.sleep, NAMES["gw.example"], 80, request("gw.example", "/bytes/64", headers=headers))
    second = clients.plain(mesh.legacy, GATEWAY_POD, 8080, request(
        "gw.example", "/bytes/64", headers=[*headers, f"x-forwarded-for: {SLEEP}"]))
    require(first.status == second.status == 200, "an imitated request was refused")
    facts = {"host": "gw.example", "outcome": "ok", "bytes_received": 64}
    return [
        to_gateway(journey="a", **facts), at_gateway(journey="a", **facts),
        at_gateway(journey="b", source=LEGACY, claim="no-sidecar", proven=None, **facts)]


@scenario("gateway-without-sidecar", "a pod without a sidecar calls the egress gateway")
def _(mesh):
    exchange = clients.plain(mesh.legacy, GATEWAY_POD, 8080, request("gw.example", "/bytes/51"))
    require(exchange.status == 200, f"the gateway gave {exchange.answer[:60]}")
    return [at_gateway(
        source=LEGACY, host="gw.example", destination_ip=NAMES["gw.example"], outcome="ok", bytes_received=51,
        claim="no-sidecar", proven=None)]


@scenario("squid-without-sidecar", "a pod without a sidecar uses Squid: a name, an address, a plain request")
def _(mesh):
    host = "tunnel.example"
    first = clients.tls(mesh.legacy, SQUID, 3128, host, request(host, "/bytes/52"), connect=f"{host}:443")
    second = clients.tls(mesh.legacy, SQUID, 3128, "evil.example", request("evil.example", "/"), connect=f"{EVIL}:443")
    third = clients.plain(mesh.legacy, SQUID, 3128, request(host, "", target=f"http://{host}/bytes/53"))
    require(first.status == second.status == third.status == 200, "Squid refused a client")
    claim = {"source_ip": LEGACY, "claim": "squid-direct", "proven": None, "outcome": "ok"}
    return [
        at_squid(journey="a", host=host, destination_ip=NAMES[host], bytes_received=first.received, **claim),
        at_squid(journey="b", host=EVIL, destination_ip=EVIL, bytes_received=second.received, **claim),
        at_squid(journey="c", host=host, method="GET", url_path="/bytes/*", bytes_received=third.received, **claim)]


@scenario("squid-address", "CONNECT to an address through the sidecar, another name as SNI")
def _(mesh):
    exchange = clients.tls(mesh.sleep, SQUID, 3128, "allowed.example", request("allowed.example", "/"), connect=f"{EVIL}:443")
    require(exchange.status == 200, f"Squid gave {exchange.status}")
    return [to_squid(exchange), at_squid(
        host=EVIL, destination_ip=EVIL, port=443, outcome="ok", bytes_received=exchange.received, warnings=["host-is-address"])]


@scenario("squid-odd-clients", "a probe and a request that is none, straight at Squid")
def _(mesh):
    clients.probe(mesh.legacy, SQUID, 3128)
    clients.plain(mesh.legacy, SQUID, 3128, b"\x16\x03\x01 nonsense\r\n\r\n")
    return [
        at_squid(journey=0, source_ip=LEGACY, outcome="noise", proven=None, **NOTHING),
        at_squid(journey=1, source_ip=OneOf(LEGACY, None), outcome="failed", proven=None, **NOTHING)]


@scenario("gateway-by-address", "a pod with a sidecar dials the gateway's own address")
def _(mesh):
    exchange = clients.plain(mesh.sleep, GATEWAY_POD, 8080, request("gw.example", "/bytes/54"))
    require(exchange.status == 200, f"the gateway gave {exchange.answer[:60]}")
    return [
        to_gateway(port=8080, outcome="ok", bytes_sent=exchange.sent, bytes_received=exchange.received),
        at_gateway(host="gw.example", destination_ip=NAMES["gw.example"], outcome="ok", bytes_received=54)]


@scenario("passthrough-refused", "an undeclared address that refuses: the mesh let it try")
def _(mesh):
    exchange = clients.plain(mesh.sleep, REFUSING, 8000, b"hello\r\n")
    require(exchange.received == 0, "a refusing address answered")
    return [sidecar(destination_ip=REFUSING, port=8000, outcome="failed", **PASSTHROUGH)]


@scenario("private-stranger", "a private address that no line and, without a policy, nobody knows: no all-clear")
def _(mesh):
    exchange = clients.plain(mesh.sleep, LEGACY, 8000, request("plain.example", "/x"))
    require(exchange.status == 200, f"the pod without a sidecar gave {exchange.answer[:60]}")
    return [sidecar(
        destination_ip=LEGACY, port=8000, path=Declared("internal", "unknown"), outcome="ok",
        bytes_received=exchange.received)]


@scenario("cloud-metadata", "the cloud's metadata service: neither mesh nor Internet, never clear")
def _(mesh):
    facts = gets(mesh.sleep, METADATA, "/latest/meta-data", bytes_received=2)
    return [sidecar(destination_ip=METADATA, path="unknown", outcome="ok", **facts)]


@scenario("mesh-pod-without-sidecar-client", "a pod without a sidecar calls a pod that has one: server side only")
def _(mesh):
    exchange = clients.plain(mesh.legacy, REVIEWS_POD, 9080, request("reviews", "/bytes/55"))
    require(exchange.status == 200, f"the pod gave {exchange.answer[:60]}")
    return [Line("reviews", source_ip=LEGACY, path="internal", outcome="ok", bytes_received=55)]


# what no log shows


@scenario("invisible-no-sidecar", "a pod without a sidecar calls out: no line anywhere")
def _(mesh):
    require(clients.curl(mesh.legacy, "http://plain.example/") == "200", "the pod without a sidecar cannot call out")
    return []


@scenario("invisible-excluded-range", "excludeOutboundIPRanges: no line anywhere")
def _(mesh):
    require(clients.curl(mesh.sleep, "https://excluded.example/") == "200", "the excluded range does not answer")
    return []


@scenario("invisible-proxy-user", "a process with Envoy's own user id: no line anywhere")
def _(mesh):
    command = [tools.find("setpriv"), "--reuid=1337", "--regid=1337", "--clear-groups", tools.find("curl"), "-s", "-o",
               "/dev/null", "-w", "%{http_code}", "http://plain.example/"]
    require(tools.quietly(mesh.sleep.command(*command)).stdout[-3:] == "200", "user 1337 cannot call out")
    return []


@scenario("invisible-udp", "QUIC and everything else over UDP: no line anywhere")
def _(mesh):
    def body():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.sendto(b"\xc0 a first packet", (NAMES["plain.example"], 443))
    mesh.sleep.call(body)
    return []


@scenario("invisible-envoy-port", "a connection to Envoy's own port 15001: no line in Istio's configuration")
def _(mesh):
    clients.plain(mesh.sleep, SLEEP, 15001, request("plain.example", "/"), wait=0.5)
    return []
