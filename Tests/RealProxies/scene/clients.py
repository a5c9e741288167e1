"""Clients that know to the byte what they sent: raw sockets, TLS over memory, curl and openssl in a pod's namespace."""

import socket
import ssl

from . import tools

#: No exchange of the scenes takes longer than this, except those that wait for a timeout on purpose.
PATIENCE = 8


class Exchange:
    """What a client wrote to and read from its socket."""

    def __init__(self):
        self.sent = 0
        self.received = 0
        self.hello = 0
        self.answer = b""
        self.error = None

    @property
    def status(self):
        words = self.answer.split(b" ", 2)
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else None


def request(host, path, method="GET", headers=(), body=b"", target=None):
    lines = [f"{method} {target or path} HTTP/1.1", f"host: {host}"] if host is not None else [f"{method} {path} HTTP/1.1"]
    lines += list(headers)
    if body:
        lines.append(f"content-length: {len(body)}")
    lines.append("connection: close")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def _read(connection, exchange):
    while True:
        try:
            piece = connection.recv(65536)
        except OSError as error:
            exchange.error = error
            return
        if not piece:
            return
        exchange.received += len(piece)
        exchange.answer += piece


def _plain(address, port, data, wait):
    exchange = Exchange()
    try:
        with socket.create_connection((address, port), timeout=PATIENCE) as connection:
            for piece in data if isinstance(data, list) else [data]:
                connection.sendall(piece)
                exchange.sent += len(piece)
                if isinstance(data, list):
                    answer = connection.recv(65536)
                    exchange.received += len(answer)
                    exchange.answer += answer
            if wait is not None:
                connection.settimeout(wait)
                try:
                    exchange.answer += connection.recv(1)
                except TimeoutError:
                    pass
                return exchange
            _read(connection, exchange)
    except OSError as error:
        exchange.error = error
    return exchange


def plain(space, address, port, data, wait=None):
    """Sends bytes and reads until the other side closes; a list is sent piece by piece, each after an answer.

    With `wait` the client leaves after so many seconds, whatever has come."""
    return space.call(_plain, address, port, data, wait)


def _tls(address, port, name, data, connect, headers):
    exchange = Exchange()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        connection = socket.create_connection((address, port), timeout=PATIENCE)
    except OSError as error:
        exchange.error = error
        return exchange
    with connection:
        def flush():
            piece = outgoing.read()
            if piece:
                connection.sendall(piece)
                exchange.sent += len(piece)
                exchange.hello = exchange.hello or len(piece)

        def pull():
            piece = connection.recv(65536)
            exchange.received += len(piece)
            incoming.write(piece) if piece else incoming.write_eof()
            return bool(piece)

        def step(action):
            while True:
                try:
                    return action()
                except ssl.SSLWantReadError:
                    flush()
                    if not pull():
                        raise ConnectionError("closed during the exchange") from None
                finally:
                    flush()

        try:
            if connect:
                words = "\r\n".join([
                    f"CONNECT {connect} HTTP/1.1", f"host: {connect}", *headers, "connection: close", "", ""]).encode()
                connection.sendall(words)
                exchange.sent += len(words)
                reply = b""
                while b"\r\n\r\n" not in reply:
                    piece = connection.recv(65536)
                    if not piece:
                        raise ConnectionError("closed before the tunnel")
                    reply += piece
                exchange.received += len(reply)
                if b" 200 " not in reply.split(b"\r\n")[0]:
                    exchange.answer = reply
                    _read(connection, exchange)
                    return exchange
            step(tls.do_handshake)
            step(lambda: tls.write(data))
            while True:
                try:
                    piece = step(lambda: tls.read(65536))
                except (ssl.SSLError, ConnectionError):
                    break
                if not piece:
                    break
                exchange.answer += piece
        except (OSError, ssl.SSLError) as error:
            exchange.error = error
        # nothing more is sent, and what still comes is counted
        try:
            while pull():
                pass
        except (OSError, ssl.SSLError):
            pass
    return exchange


def tls(space, address, port, name, data, connect=None, headers=()):
    """HTTPS with every byte on the wire counted; `connect` asks a proxy for a tunnel first, with `headers`."""
    return space.call(_tls, address, port, name, data, connect, headers)


def curl(space, url, *options):
    """curl with the pod's own names; the answer's status."""
    command = [tools.find("curl"), "-sk", "-o", "/dev/null", "-m", str(PATIENCE), "-w", "%{http_code}", *options, url]
    return tools.quietly(space.command(*command), timeout=PATIENCE + 5).stdout[-3:]


def openssl(space, address, port, *options):
    command = [tools.find("openssl"), "s_client", "-connect", f"{address}:{port}", *options]
    return tools.quietly(space.command("timeout", str(PATIENCE), *command), timeout=PATIENCE + 5).stdout


def probe(space, address, port):
    """Connects and closes."""
    def body():
        with socket.create_connection((address, port), timeout=PATIENCE):
            pass
    space.call(body)
