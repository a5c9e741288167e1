"""The outside world: web servers on documentation addresses, a small DNS server, and workloads inside the mesh."""

import base64
import hashlib
import socket
import socketserver
import ssl
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import tools


class Pages(BaseHTTPRequestHandler):
    """Answers by path: /bytes/N, /status/N, /slow/MS, /abort, /half, /flaky, /ws; anything else is a short page."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        length = int(self.headers.get("content-length") or 0)
        self.rfile.read(length)
        words = self.path.split("?")[0].strip("/").split("/")
        if words[0] == "ws" and "upgrade" in (self.headers.get("connection") or "").lower():
            return self.upgrade()
        if words[0] == "abort":
            self.close_connection = True
            return None
        if words[0] == "flaky":
            self.server.visits = getattr(self.server, "visits", 0) + 1
        if words[0] == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly the beginning")
            self.close_connection = True
            return None
        status, size = 200, 2
        if words[0] == "flaky" and self.server.visits < 3:
            status = 503
        elif words[0] == "bytes":
            size = int(words[1])
        elif words[0] == "status":
            status = int(words[1])
        elif words[0] == "slow":
            time.sleep(int(words[1]) / 1000)
        self.send_response(status)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(size))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"x" * size)

    do_POST = do_PUT = do_HEAD = do_GET

    def upgrade(self):
        key = (self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()
        accept = base64.b64encode(hashlib.sha1(key).digest()).decode()
        self.wfile.write((
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            f"sec-websocket-accept: {accept}\r\n\r\n").encode())
        # one message comes, one goes, and the server hangs up: Envoy's normal end of a WebSocket
        self.connection.recv(1024)
        self.wfile.write(b"\x81\x02ok")
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64
    tls = None

    def handle_error(self, *_):
        pass  # clients of these scenarios leave early, and shake hands badly

    def finish_request(self, request, client_address):
        if self.tls is not None:
            # in the connection's own thread, so that one that never speaks stops nobody
            request.settimeout(10)
            request = self.tls.wrap_socket(request, server_side=True)
        try:
            super().finish_request(request, client_address)
        finally:
            if self.tls is not None:
                request.close()


def serve(space, address, port, tls=None):
    kind = type("Server6", (Server,), {"address_family": socket.AF_INET6}) if ":" in address else Server

    def bind():
        server = kind((address, port), Pages)
        server.tls = tls
        return server

    # the listening socket is opened inside the namespace; accepting from it works anywhere
    server = space.call(bind)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    return server


class Certificates:
    """A throw-away authority, one server certificate for every name, one client certificate."""

    def __init__(self, folder):
        self.folder = folder
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
                  "-subj", "/CN=scene")
        for name in ("server", "client"):
            self._run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj",
                      f"/CN={name}.example")
            self._run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                      "-days", "2", "-out", f"{name}.pem")

    def path(self, name):
        return f"{self.folder}/{name}"

    def client(self):
        """What an Envoy presents to servers that ask for a certificate."""
        return {"tls_certificates": [{
            "certificate_chain": {"filename": self.path("client.pem")},
            "private_key": {"filename": self.path("client.key")}}]}

    def context(self, mutual=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path("server.pem"), self.path("server.key"))
        if mutual:
            context.load_verify_locations(self.path("ca.pem"))
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _run(self, *words):
        result = tools.quietly([tools.find("openssl"), *words], cwd=self.folder)
        if result.returncode != 0:
            raise RuntimeError(f"openssl {words[0]}: {result.stdout.strip()}")


class _Names(socketserver.BaseRequestHandler):
    """A records from a table; anything else does not exist. Just enough of RFC 1035 for one question."""

    def handle(self):
        query, connection = self.request
        labels, at = [], 12
        while at < len(query) and query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += query[at] + 1
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        address = self.server.names.get(".".join(labels))
        flags, answers = (0x8583, 0) if address is None else (0x8580, 1 if kind == 1 and ":" not in address else 0)
        reply = query[:2] + struct.pack(">HHHHH", flags, 1, answers, 0, 0) + query[12:at + 5]
        if answers:
            reply += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 30, 4) + socket.inet_aton(address)
        connection.sendto(reply, self.client_address)


def serve_names(space, address, names):
    def bind():
        server = socketserver.ThreadingUDPServer((address, 53), _Names)
        server.daemon_threads = True
        server.names = names
        return server

    server = space.call(bind)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    return server
