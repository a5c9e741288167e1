"""The scenarios of Istio's egress tasks through the egress gateway."""

from . import clients
from .clients import request
from .mesh import BATCH, GATEWAY_POD, NAMES
from .tasks import NOTHING, at_gateway, gets, https, to_gateway, websocket
from .truth import Old, OneOf, require, scenario

@scenario("gateway-http", "HTTP through the egress gateway")
def _(mesh):
    facts = gets(mesh.sleep, "gw.example", "/bytes/400", bytes_received=400, outcome="ok")
    return [to_gateway(**facts), at_gateway(destination_ip=NAMES["gw.example"], port=80, **{**facts, "protocol": "HTTP/2"})]


@scenario("gateway-pool", "several requests over one HTTP/2 connection between sidecar and gateway")
def _(mesh):
    lines = []
    for number in range(4):
        facts = gets(mesh.sleep, "gw.example", f"/pool/{'abcd'[number]}", outcome="ok")
        lines += [to_gateway(journey=number, **facts), at_gateway(journey=number, **{**facts, "protocol": "HTTP/2"})]
    return lines


@scenario("gateway-replaces-ids", "a gateway that gives each request an id of its own: only the connection joins")
def _(mesh):
    facts = gets(mesh.sleep, "reid.example", "/bytes/61", bytes_received=61, outcome="ok")
    return [to_gateway(**facts), at_gateway(destination_ip=NAMES["reid.example"], **{**facts, "protocol": "HTTP/2"})]


@scenario("gateway-retries", "the sidecar tries again after a 503: one line of its own, three of the gateway")
def _(mesh):
    facts = gets(mesh.sleep, "retried.example", "/flaky", outcome="ok")
    attempt = {**facts, "protocol": "HTTP/2"}
    # the sidecar resets the stream on seeing the status, which the gateway notes (DR) when it comes soon enough
    attempt["bytes_received"] = OneOf(0, 2)
    failed = {**attempt, "status": 503, "outcome": OneOf("failed", "client-gone")}
    return [to_gateway(**facts), at_gateway(**failed, repeated=True), at_gateway(**failed, repeated=True), at_gateway(**attempt)]


@scenario("gateway-tls", "TLS through the egress gateway by SNI")
def _(mesh):
    facts = https(mesh.sleep, "gw.example")
    return [to_gateway(**facts), at_gateway(destination_ip=NAMES["gw.example"], port=443, **facts)]


@scenario("gateway-origination", "HTTP to the gateway, TLS from there")
def _(mesh):
    facts = gets(mesh.sleep, "orig.example", "/bytes/500", bytes_received=500, outcome="ok")
    return [to_gateway(**facts), at_gateway(destination_ip=NAMES["orig.example"], port=443, **{**facts, "protocol": "HTTP/2"})]


@scenario("gateway-mutual-origination", "HTTP to the gateway, mutual TLS from there")
def _(mesh):
    facts = gets(mesh.sleep, "mtls.example", "/bytes/500", bytes_received=500, outcome="ok")
    return [to_gateway(**facts), at_gateway(destination_ip=NAMES["mtls.example"], port=443, **{**facts, "protocol": "HTTP/2"})]


@scenario("gateway-origination-fails", "the server behind the gateway speaks no TLS")
def _(mesh):
    facts = gets(mesh.sleep, "badtls.example", "/x", 503, outcome="failed")
    return [to_gateway(**facts), at_gateway(**{**facts, "protocol": "HTTP/2"}, reason=Old(OneOf("tls", "upstream-5xx", "connection-failure"), "tls"))]


@scenario("gateway-refused", "the server behind the gateway refuses connections")
def _(mesh):
    exchange = clients.plain(mesh.sleep, NAMES["gw.example"], 80, request("refused-gw.example", "/x"))
    require(exchange.status == 503, f"refused-gw.example gave {exchange.status}")
    facts = {"host": "refused-gw.example", "status": 503, "outcome": "failed", "url_path": "/x"}
    return [to_gateway(**facts), at_gateway(**facts)]


@scenario("gateway-server-breaks-off", "the server behind the gateway closes without an answer")
def _(mesh):
    facts = gets(mesh.sleep, "gw.example", "/abort", 503, outcome="failed")
    return [to_gateway(**facts), at_gateway(**{**facts, "protocol": "HTTP/2"})]


@scenario("gateway-rbac-http", "an AuthorizationPolicy at the gateway refuses a path")
def _(mesh):
    facts = gets(mesh.sleep, "gw.example", "/admin/x", 403)
    return [
        to_gateway(outcome="ok", **facts),
        at_gateway(**{**facts, "protocol": "HTTP/2", **NOTHING}, outcome="blocked", reason="rbac-http")]


@scenario("gateway-rbac-tcp", "an AuthorizationPolicy at the gateway refuses a TLS name; invisible to the sidecar and before 1.9")
def _(mesh):
    host = "denied-tls.example"
    exchange = clients.tls(mesh.sleep, NAMES[host], 443, host, request(host, "/"))
    require(exchange.received == 0, "the denied host answered")
    return [
        to_gateway(host=host, outcome=OneOf("ok", "failed")),
        at_gateway(host=host, path=Old(OneOf("gateway", "none"), "none"), outcome=Old(OneOf("ok", "blocked"), "blocked"),
                   reason=Old(OneOf(None, "rbac-tcp"), "rbac-tcp"))]


@scenario("gateway-fault", "a fault that is injected at the gateway: refused on purpose")
def _(mesh):
    exchange = clients.plain(mesh.sleep, NAMES["gw.example"], 80, request("gw.example", "/fault", headers=["x-fault: yes"]))
    require(exchange.status == 418, f"the fault gave {exchange.status}")
    return [
        to_gateway(host="gw.example", status=418, outcome="ok"),
        at_gateway(host="gw.example", status=418, outcome="blocked", **NOTHING)]


@scenario("gateway-rate-limit", "the second request exceeds the gateway's rate limit")
def _(mesh):
    lines = []
    for status, columns in ((200, {"outcome": "ok"}), (429, {"outcome": "blocked", "reason": "rate-limit", **NOTHING})):
        exchange = clients.plain(mesh.sleep, NAMES["gw.example"], 80, request("limited.example", "/x"))
        require(exchange.status == status, f"the rate limit gave {exchange.status}, not {status}")
        lines += [
            to_gateway(journey=status, host="limited.example", status=status, outcome="ok"),
            at_gateway(journey=status, host="limited.example", status=status, **columns)]
    return lines


@scenario("gateway-no-chain", "a TLS name that the gateway has no filter chain for")
def _(mesh):
    host = "unrouted.example"
    exchange = clients.tls(mesh.sleep, NAMES[host], 443, host, request(host, "/"))
    require(exchange.received == 0, "the unrouted host answered")
    return [
        to_gateway(host=host, outcome=OneOf("ok", "failed")),
        at_gateway(host=host, outcome="blocked", reason="no-route", **NOTHING)]


@scenario("egress-proxy", "a Sidecar's egressProxy sends unknown hosts to the gateway: route allow_any, no bypass")
def _(mesh):
    facts = gets(mesh.batch, "proxied.example", "/bytes/70", bytes_received=70, outcome="ok")
    return [
        to_gateway(log="batch", **facts),
        at_gateway(source=BATCH, destination_ip=NAMES["proxied.example"], **{**facts, "protocol": "HTTP/2"})]


@scenario("gateway-post", "an upload through the egress gateway")
def _(mesh):
    exchange = clients.plain(mesh.sleep, NAMES["gw.example"], 80, request("gw.example", "/in", "POST", body=b"y" * 7000))
    require(exchange.status == 200, f"POST gave {exchange.answer[:60]}")
    facts = {"host": "gw.example", "method": "POST", "url_path": "/in", "status": 200, "outcome": "ok",
             "bytes_sent": 7000, "bytes_received": 2}
    return [to_gateway(**facts), at_gateway(**facts)]


@scenario("gateway-websocket", "a WebSocket through the egress gateway")
def _(mesh):
    websocket(mesh, "ws-gw.example")
    facts = {"host": "ws-gw.example", "url_path": "/ws", "status": 101, "outcome": "ok"}
    return [to_gateway(**facts), at_gateway(**facts)]


@scenario("gateway-client-leaves", "the client hangs up before the gateway has the answer")
def _(mesh):
    clients.plain(mesh.sleep, NAMES["gw.example"], 80, request("gw.example", "/slow/700"), wait=0.2)
    facts = {"host": "gw.example", "url_path": "/slow/*", "status": 0, "outcome": "client-gone"}
    return [to_gateway(**facts), at_gateway(**facts)]


@scenario("gateway-timeout", "the sidecar's patience ends before the server behind the gateway answers")
def _(mesh):
    facts = gets(mesh.sleep, "patient.example", "/slow/1500", 504)
    return [
        to_gateway(outcome="timeout", **facts),
        at_gateway(host="patient.example", url_path="/slow/*", status=0, outcome="client-gone")]


@scenario("gateway-kept-connection", "a workload's two requests over one connection to the gateway's own address: TCP to its sidecar")
def _(mesh):
    first = request("gw.example", "/alive/one").replace(b"connection: close\r\n", b"")
    exchange = clients.plain(mesh.sleep, GATEWAY_POD, 8080, [first, request("gw.example", "/alive/two")])
    require(exchange.answer.count(b" 200 ") == 2, f"the gateway gave {exchange.answer[:60]}")
    return [
        to_gateway(port=8080, outcome="ok", loose=True),
        *(at_gateway(host="gw.example", url_path=f"/alive/{word}", outcome="ok", loose=True) for word in ("one", "two"))]


@scenario("wildcard-gateway", "a wildcard host that one server serves, through the egress gateway")
def _(mesh):
    facts = https(mesh.sleep, "en.site.example")
    return [to_gateway(**facts), at_gateway(destination_ip=NAMES["www.site.example"], port=443, **facts)]


@scenario("wildcard-gateway-resolves", "any wildcard host: the egress gateway resolves the server name itself")
def _(mesh):
    facts = https(mesh.sleep, "any.dyn.example")
    return [to_gateway(**facts), at_gateway(destination_ip=NAMES["any.dyn.example"], port=443, **facts)]
